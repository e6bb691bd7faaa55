//! The reduction that all tools of the family share.
//!
//! Takes the statistics of hosts one after the other, gives those of the run. Between two hosts it holds what is combined
//! so far, and one host as it is for as long as there is no second one.

use std::sync::Arc;

use super::combine::Combiner;
use super::{HostStats, RunStats};
use crate::artifact::HostPart;
use crate::reduction::{Finished, Reduction};
use crate::{Diag, Result};

/// Whether the first and the last step of a long run are left out because they are seldom whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeSteps {
    /// Leave them out if there is a single host without TPUs and it has more than 5 steps. Those of several hosts are
    /// always shown.
    Drop,
    /// Keep all steps.
    Keep,
}

/// All hosts to one whole. A single host is taken as it is.
#[derive(Debug)]
pub struct Reducer {
    edge_steps: EdgeSteps,
    hosts: Hosts,
}

#[derive(Debug)]
enum Hosts {
    None,
    One(Arc<HostStats>),
    Several(Box<Combiner>),
}

impl Reducer {
    /// Begins without hosts. `parity:` the tools differ in what they do with edge steps, so each one says so.
    pub fn new(edge_steps: EdgeSteps) -> Self {
        Self { edge_steps, hosts: Hosts::None }
    }
}

impl Reduction for Reducer {
    type Artifact = HostStats;
    type Whole = RunStats;

    fn add(&mut self, part: HostPart<HostStats>, diag: &mut Diag) -> Result<()> {
        diag.check()?;
        self.hosts = match std::mem::replace(&mut self.hosts, Hosts::None) {
            Hosts::None => Hosts::One(part.artifact),
            Hosts::One(first) => {
                let mut combiner = Box::<Combiner>::default();
                combiner.add(&first.0);
                combiner.add(&part.artifact.0);
                Hosts::Several(combiner)
            }
            Hosts::Several(mut combiner) => {
                combiner.add(&part.artifact.0);
                Hosts::Several(combiner)
            }
        };
        Ok(())
    }

    fn finish(self, _diag: &mut Diag) -> Result<Finished<RunStats, Self>> {
        let edge_steps = self.edge_steps;
        let combiner = match self.hosts {
            Hosts::None => return Ok(Finished::Whole(RunStats { stats: Arc::default(), n_edge_steps: 0 })),
            Hosts::One(stats) => {
                let mut run = RunStats { stats, n_edge_steps: 0 };
                let drops = edge_steps == EdgeSteps::Drop && !run.is_tpu() && run.steps().len() > 5;
                run.n_edge_steps = usize::from(drops);
                return Ok(Finished::Whole(run));
            }
            Hosts::Several(combiner) => combiner,
        };
        Ok(match combiner.finish() {
            Finished::Whole(stats) => Finished::Whole(RunStats { stats: Arc::new(HostStats(stats)), n_edge_steps: 0 }),
            Finished::Again(combiner) => {
                Finished::Again(Self { edge_steps, hosts: Hosts::Several(Box::new(combiner)) })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use xprof_proto::tensorflow::profiler::{OpMetricsDb, OpStats, PerCoreStepInfo, StepDatabaseResult};
    use xprof_proto::xprof::worker::v1;

    use super::*;
    use crate::reduction::reduce_all;

    fn part(n_steps: usize, is_tpu: bool) -> HostPart<HostStats> {
        let step_db = StepDatabaseResult {
            step_sequence: vec![PerCoreStepInfo::default(); n_steps],
            ..StepDatabaseResult::default()
        };
        let op_stats = OpStats {
            step_db: Some(step_db),
            hlo_metrics_db_complete_steps_only: is_tpu.then(OpMetricsDb::default),
            ..OpStats::default()
        };
        let stats = v1::HostStats { op_stats: Some(op_stats), inference: None };
        HostPart { host: "h".into(), artifact: Arc::new(HostStats(stats)) }
    }

    fn check(parts: &[HostPart<HostStats>], edge_steps: EdgeSteps, expected: usize) {
        let run = reduce_all(Reducer::new(edge_steps), parts, &mut Diag::new()).unwrap();
        assert_eq!(run.steps().len(), expected);
    }

    #[test]
    fn drops_the_edges_of_long_runs() {
        check(&[part(6, false)], EdgeSteps::Drop, 4);
        check(&[part(5, false)], EdgeSteps::Drop, 5);
        check(&[part(6, false)], EdgeSteps::Keep, 6);
        check(&[part(6, true)], EdgeSteps::Drop, 6);
        check(&[part(6, false), part(6, false)], EdgeSteps::Drop, 6);
    }

    #[test]
    fn holds_no_host_once_there_are_two() {
        let mut reducer = Reducer::new(EdgeSteps::Keep);
        let parts: Vec<_> = (0..5).map(|_| part(3, true)).collect();
        let held = |part: &HostPart<HostStats>| Arc::strong_count(&part.artifact) - 1;
        for (i, part) in parts.iter().enumerate() {
            reducer.add(part.clone(), &mut Diag::new()).unwrap();
            assert_eq!(parts.iter().map(held).sum::<usize>(), usize::from(i == 0));
        }
    }

    #[test]
    fn takes_a_single_host_as_it_is() {
        let part = part(3, true);
        let run = reduce_all(Reducer::new(EdgeSteps::Keep), std::slice::from_ref(&part), &mut Diag::new()).unwrap();
        assert!(Arc::ptr_eq(&run.stats, &part.artifact));
    }
}
