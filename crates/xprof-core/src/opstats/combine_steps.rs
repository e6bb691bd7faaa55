//! Combines the steps that all hosts have in common, without keeping more than one host.
//!
//! Takes hosts in the order of the request. Which steps go together is known only after the last of them, so each host is
//! aligned to the first one for the time being, and its steps are merged at once. If the last host shows that this was
//! wrong, which takes clocks that differ by about half a step or more, the hosts must be seen once more.
//!
//! ```text
//! first host  |--0--|--1--|--2--|--3--|         slots 0 to 3, one per step of the first host
//! next host   |-------0--|--1--|--2--|          into slots 1 to 3; slot 0 is not common any more and is given up
//! ```
//! All that is kept of a host beyond its share in the slots are the times of its steps.

use std::collections::VecDeque;

use xprof_proto::tensorflow::profiler::{OpMetricsDb, OpStats, PerCoreStepInfo, StepDatabaseResult};

use super::core_ids;
use super::hardware::has_device;
use super::step_intersection::{Alignment, Span, StepIntersection, intersect, step_span};
use super::step_ops::{StepOps, ops_of_steps};
use crate::reduction::Finished;

/// The steps of the run, and the ops of hosts within these steps, if the host's steps are whole ones.
pub type CombinedSteps = (StepDatabaseResult, OpMetricsDb);

/// Builds the common steps.
#[derive(Debug, Default)]
pub struct StepCombiner {
    /// The hosts that take part, in the order of the request.
    members: Vec<Member>,
    any_has_device: bool,
    use_incomplete_step: bool,
    slots: Slots,
    /// What is in common, once all hosts were seen.
    common: Option<StepIntersection>,
}

/// What is kept of a host.
#[derive(Debug)]
struct Member {
    host_idx: usize,
    spans: Vec<Span>,
    /// Which of its steps go into which slots.
    alignment: Alignment,
}

impl StepCombiner {
    /// Adds the next host; `host_idx` counts hosts from 0, in a second pass anew.
    pub fn add(&mut self, host_idx: usize, host: &OpStats) {
        let steps = host.step_db.as_ref().map_or(&[][..], |db| &db.step_sequence);
        let are_whole = !host.step_db.as_ref().is_some_and(|db| db.use_incomplete_step);
        let alignment = if self.common.is_some() {
            let member = self.members.binary_search_by_key(&host_idx, |m| m.host_idx);
            member.ok().and_then(|i| self.members.get(i)).map(|m| m.alignment)
        } else {
            self.use_incomplete_step |= !are_whole;
            self.admit(host_idx, host, steps)
        };
        if let Some(alignment) = alignment {
            self.slots.merge(host_idx, steps, are_whole, alignment);
        }
    }

    /// Makes a new host a member if it takes part, and aligns it to the first one.
    fn admit(&mut self, host_idx: usize, host: &OpStats, steps: &[PerCoreStepInfo]) -> Option<Alignment> {
        // A host without a device beside others that have one only coordinates them.
        let device_type = host.run_environment.as_ref().map_or("", |e| &e.device_type);
        match (has_device(device_type), self.any_has_device) {
            (true, false) => {
                self.any_has_device = true;
                self.members.clear();
            }
            (false, true) => return None,
            _ => {}
        }
        let spans: Vec<Span> = steps.iter().map(step_span).collect();
        let alignment = match self.members.first() {
            Some(first) => Alignment::best(&spans, &first.spans),
            None => {
                self.slots = Slots::new(steps.len());
                Alignment { begin_host: 0, begin_chief: 0, count: steps.len() }
            }
        };
        self.members.push(Member { host_idx, spans, alignment });
        Some(alignment)
    }

    /// The common steps, or a request to see the hosts again.
    pub fn finish(mut self) -> Finished<CombinedSteps, Self> {
        if let Some(common) = self.common.take() {
            return Finished::Whole(self.whole(&common));
        }
        let spans: Vec<&[Span]> = self.members.iter().map(|m| &*m.spans).collect();
        let common = intersect(&spans);
        if let Some(first_slot) = self.first_slot(&common) {
            self.slots.keep(first_slot, first_slot + common.n_steps);
            return Finished::Whole(self.whole(&common));
        }
        for (member, first) in self.members.iter_mut().zip(&common.first_step_idx) {
            member.alignment = Alignment { begin_host: *first, begin_chief: 0, count: common.n_steps };
        }
        self.slots = Slots::new(common.n_steps);
        self.common = Some(common);
        Finished::Again(self)
    }

    /// The slot of the first common step, if all members put their first common step there.
    fn first_slot(&self, common: &StepIntersection) -> Option<usize> {
        if common.n_steps == 0 {
            return Some(self.slots.begin);
        }
        let mut slots = self.members.iter().zip(&common.first_step_idx).map(|(m, idx)| m.alignment.chief_of(*idx));
        let slot = slots.next()??;
        let agree = slots.all(|other| other == Some(slot));
        (agree && self.slots.covers(slot, slot + common.n_steps)).then_some(slot)
    }

    fn whole(self, common: &StepIntersection) -> CombinedSteps {
        let whole_steps_db = ops_of_steps(self.slots.steps.iter().map(Slot::whole_ops));
        let steps = self.slots.steps.into_iter().zip(0..).map(|(slot, step_num)| slot.finish(step_num));
        let step_db = StepDatabaseResult {
            step_sequence: steps.collect(),
            empty_intersect: common.is_contradiction,
            use_incomplete_step: self.use_incomplete_step,
            ..StepDatabaseResult::default()
        };
        (step_db, whole_steps_db)
    }
}

/// The steps that may still be common, as combined so far.
#[derive(Debug, Default)]
struct Slots {
    /// The number of the first one.
    begin: usize,
    steps: VecDeque<Slot>,
}

impl Slots {
    fn new(n_steps: usize) -> Self {
        Self { begin: 0, steps: std::iter::repeat_with(Slot::default).take(n_steps).collect() }
    }

    fn end(&self) -> usize {
        self.begin + self.steps.len()
    }

    fn covers(&self, begin: usize, end: usize) -> bool {
        self.begin <= begin && end <= self.end()
    }

    /// Gives up all slots but these.
    fn keep(&mut self, begin: usize, end: usize) {
        self.steps.truncate(end.saturating_sub(self.begin));
        let n_given_up = begin.saturating_sub(self.begin).min(self.steps.len());
        self.steps.drain(..n_given_up);
        self.begin += n_given_up;
    }

    /// Merges the steps of one host, and gives up the slots for which it has none.
    fn merge(&mut self, host_idx: usize, steps: &[PerCoreStepInfo], are_whole: bool, alignment: Alignment) {
        self.keep(alignment.begin_chief, alignment.begin_chief + alignment.count);
        let first = alignment.begin_host + self.begin.saturating_sub(alignment.begin_chief);
        for (slot, step) in self.steps.iter_mut().zip(steps.get(first..).unwrap_or_default()) {
            slot.add(host_idx, step, are_whole);
        }
    }
}

/// One step.
#[derive(Debug, Default)]
struct Slot {
    step: PerCoreStepInfo,
    ops: StepOps,
    /// Only those of hosts whose steps are whole, once there is another host.
    whole_ops: Option<StepOps>,
}

impl Slot {
    /// Adds a host's step. `parity:` transfers between host and devices are not carried over.
    fn add(&mut self, host_idx: usize, part: &PerCoreStepInfo, is_whole: bool) {
        for (core, info) in &part.step_info_per_core {
            let cores = &mut self.step.step_info_per_core;
            cores.entry(core_ids::in_run(host_idx, *core)).or_insert_with(|| info.clone());
        }
        for (core, db) in &part.all_reduce_db_per_core {
            let cores = &mut self.step.all_reduce_db_per_core;
            cores.entry(core_ids::in_run(host_idx, *core)).or_insert_with(|| db.clone());
        }
        for (core, replica) in &part.core_id_to_replica_id_map {
            self.step.core_id_to_replica_id_map.entry(core_ids::in_run(host_idx, *core)).or_insert(*replica);
        }
        // An absent table is merged like an empty one, for merging leaves a trace of itself.
        let no_ops = OpMetricsDb::default();
        let ops = part.hlo_metrics_db.as_ref().unwrap_or(&no_ops);
        if !is_whole {
            self.whole_ops.get_or_insert_with(|| self.ops.clone());
        } else if let Some(whole_ops) = &mut self.whole_ops {
            whole_ops.add(host_idx, ops);
        }
        self.ops.add(host_idx, ops);
    }

    fn whole_ops(&self) -> &StepOps {
        self.whole_ops.as_ref().unwrap_or(&self.ops)
    }

    fn finish(mut self, step_num: u32) -> PerCoreStepInfo {
        self.step.step_num = step_num;
        for info in self.step.step_info_per_core.values_mut() {
            info.step_num = step_num;
        }
        self.step.hlo_metrics_db = Some(self.ops.finish());
        self.step
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xprof_proto::tensorflow::profiler::{AllReduceDbResult, OpMetrics, RunEnvironment, StepInfoResult};

    use super::super::merge::{NumCores, OpMetricsDbCombiner};
    use super::*;

    /// What the combiner must give, from all hosts at once.
    fn expected(hosts: &[OpStats]) -> CombinedSteps {
        let is_device = |h: &OpStats| h.run_environment.as_ref().is_some_and(|e| has_device(&e.device_type));
        let any_has_device = hosts.iter().any(is_device);
        let steps_of = |h: &OpStats| h.step_db.clone().unwrap_or_default().step_sequence;
        let members: Vec<(usize, Vec<PerCoreStepInfo>)> = (0..hosts.len())
            .filter(|i| !any_has_device || is_device(&hosts[*i]))
            .map(|i| (i, steps_of(&hosts[i])))
            .collect();
        let spans: Vec<Vec<Span>> = members.iter().map(|(_, steps)| steps.iter().map(step_span).collect()).collect();
        let common = intersect(&spans.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let is_whole = |h: &OpStats| !h.step_db.as_ref().is_some_and(|db| db.use_incomplete_step);
        let mut step_db = StepDatabaseResult {
            empty_intersect: common.is_contradiction,
            use_incomplete_step: !hosts.iter().all(is_whole),
            ..StepDatabaseResult::default()
        };
        for step_num in 0..common.n_steps {
            let mut slot = Slot::default();
            for ((host_idx, steps), first) in members.iter().zip(&common.first_step_idx) {
                slot.add(*host_idx, &steps[first + step_num], true);
            }
            step_db.step_sequence.push(slot.finish(step_num as u32));
        }
        let mut whole_steps_db = OpMetricsDbCombiner::new();
        for ((host_idx, steps), first) in members.iter().zip(&common.first_step_idx) {
            for step in &steps[*first..first + common.n_steps] {
                if is_whole(&hosts[*host_idx]) {
                    let db = step.hlo_metrics_db.clone().unwrap_or_default();
                    whole_steps_db.merge(&db, NumCores::Add);
                }
            }
        }
        (step_db, whole_steps_db.finish())
    }

    /// Checks a run and gives the number of passes that it took.
    fn check(hosts: &[OpStats]) -> usize {
        let mut combiner = StepCombiner::default();
        for n_passes in 1.. {
            for (host_idx, host) in hosts.iter().enumerate() {
                combiner.add(host_idx, host);
            }
            match combiner.finish() {
                Finished::Whole(got) => {
                    assert_eq!(got, expected(hosts));
                    return n_passes;
                }
                Finished::Again(again) => combiner = again,
            }
            assert!(n_passes < 2, "a second pass must be the last");
        }
        0
    }

    /// A host whose steps begin at `begin_ps` and last as long as given, each with two cores and two ops.
    fn host(device_type: &str, begin_ps: u64, durations_ps: &[u64]) -> OpStats {
        let mut begin_ps = begin_ps;
        let mut steps = Vec::new();
        for duration_ps in durations_ps.iter().copied() {
            let info = StepInfoResult { step_num: 40, begin_ps, duration_ps, ..StepInfoResult::default() };
            let op = |name: String| OpMetrics {
                name,
                occurrences: 1,
                time_ps: duration_ps,
                min_time_ps: duration_ps,
                num_cores: 1,
                // What an op is differs by host and step, and is not always said.
                category: if duration_ps % 3 == 0 { String::new() } else { format!("{duration_ps}") },
                fingerprint: duration_ps % 2 * begin_ps,
                ..OpMetrics::default()
            };
            let ops = vec![op("same".into()), op(format!("op{duration_ps}"))];
            steps.push(PerCoreStepInfo {
                step_num: 40,
                step_info_per_core: [(3, info.clone()), (1004, info)].into(),
                all_reduce_db_per_core: [(3, AllReduceDbResult::default())].into(),
                core_id_to_replica_id_map: [(3, duration_ps as u32)].into(),
                hlo_metrics_db: (duration_ps % 5 != 0)
                    .then(|| OpMetricsDb { metrics_db: ops, ..OpMetricsDb::default() }),
                ..PerCoreStepInfo::default()
            });
            begin_ps += duration_ps;
        }
        let use_incomplete_step = begin_ps % 4 == 1;
        OpStats {
            step_db: Some(StepDatabaseResult { step_sequence: steps, use_incomplete_step, ..Default::default() }),
            run_environment: Some(RunEnvironment { device_type: device_type.into(), ..RunEnvironment::default() }),
            ..OpStats::default()
        }
    }

    #[test]
    fn one_pass_is_enough_for_hosts_in_step() {
        let late = host("TPU v5", 110, &[100; 3]);
        assert_eq!(check(&[host("TPU v5", 0, &[100; 4]), late.clone(), host("TPU v5", 5, &[100; 3])]), 1);
        assert_eq!(check(&[late, OpStats::default(), host("TPU v5", 0, &[100; 4])]), 1);
        assert_eq!(check(&[host("CPU", 7, &[33, 1]), host("CPU", 9, &[5]), host("TPU v5", 0, &[9; 3])]), 1);
        assert_eq!(check(&[host("TPU v5", 0, &[100; 4]), host("TPU v5", 0, &[])]), 1);
        assert_eq!(check(&[OpStats::default(), OpStats::default()]), 1);
    }

    #[test]
    fn takes_a_second_pass_if_the_first_host_misleads() {
        // Beside the first host alone, the second one's steps begin with slot 0 and the third one's with slot 1; but the
        // third one is the shortest, and it is closer to the second one's first step than to its second.
        let first = host("TPU v5", 0, &[100; 4]);
        let second = host("TPU v5", 40, &[100; 4]);
        let third = host("TPU v5", 80, &[100; 3]);
        assert_eq!(check(&[first, second, third]), 2);
    }

    fn any_host() -> impl Strategy<Value = OpStats> {
        let device_type = prop::sample::select(vec!["TPU v5", "TPU v5", "TPU v5", "CPU"]);
        (device_type, 0_u64..300, prop::collection::vec(1_u64..120, 0..7))
            .prop_map(|(device_type, begin_ps, durations_ps)| host(device_type, begin_ps, &durations_ps))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn equals_all_hosts_at_once(hosts in prop::collection::vec(any_host(), 2..7)) {
            check(&hosts);
        }
    }
}
