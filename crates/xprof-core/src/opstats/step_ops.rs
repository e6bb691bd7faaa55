//! The ops of the steps that hosts have in common.
//!
//! Takes one step after the other of one host after the other, gives a table per step, and one of all steps. In the latter
//! rows come, and facts are chosen, as if all steps of the first host were merged first, then those of the next one. But
//! which steps are in common is known only after the last host: so each row knows from which host it has what.

use xprof_proto::tensorflow::profiler::{OpMetrics, OpMetricsDb};

use super::merge::{FACTS, N_FACTS, NumCores, OpMetricsDbCombiner};

/// The ops of one step.
#[derive(Debug, Clone, Default)]
pub struct StepOps {
    ops: OpMetricsDbCombiner,
    /// One per row.
    origins: Vec<Origin>,
}

/// Where a row of one step comes from.
#[derive(Debug, Clone, Copy)]
struct Origin {
    /// The first host that has it.
    host: u32,
    /// Its place in the table of that host.
    place: u32,
    /// The host that each fact is from.
    facts: [u32; N_FACTS],
}

impl StepOps {
    /// Adds a host's step; hosts come in ascending order.
    pub fn add(&mut self, host_idx: usize, source: &OpMetricsDb) {
        let host = host_idx as u32;
        self.ops.merge_totals(source);
        for (row, place) in source.metrics_db.iter().zip(0..) {
            let merged = self.ops.merge_row(row, NumCores::Add);
            if merged.row_idx == self.origins.len() {
                self.origins.push(Origin { host, place, facts: [host; N_FACTS] });
            }
            for (fact_idx, from) in self.origins[merged.row_idx].facts.iter_mut().enumerate() {
                if merged.brought(fact_idx) {
                    *from = host;
                }
            }
        }
    }

    /// The table of this step.
    pub fn finish(self) -> OpMetricsDb {
        self.ops.finish()
    }
}

/// The table of all steps, which come in order.
pub fn ops_of_steps<'a>(steps: impl Iterator<Item = &'a StepOps>) -> OpMetricsDb {
    let mut all = OpMetricsDbCombiner::new();
    // Of each row: host, step and place where it is met first, and the hosts that its facts are from.
    let mut origins: Vec<((u32, usize, u32), [u32; N_FACTS])> = Vec::new();
    for (step_idx, step) in steps.enumerate() {
        let db = step.ops.db();
        // A table into which nothing was merged, not even an empty one, is none.
        if db.precision_stats.is_none() {
            continue;
        }
        all.merge_totals(db);
        for (row, origin) in db.metrics_db.iter().zip(&step.origins) {
            let first = (origin.host, step_idx, origin.place);
            let merged = all.merge_row(row, NumCores::Add);
            let Some((known_first, known_facts)) = origins.get_mut(merged.row_idx) else {
                origins.push((first, origin.facts));
                continue;
            };
            *known_first = first.min(*known_first);
            for (fact_idx, fact) in FACTS.iter().enumerate() {
                let (from, known) = (origin.facts[fact_idx], &mut known_facts[fact_idx]);
                if merged.brought(fact_idx) {
                    *known = from;
                } else if from < *known && !(fact.is_absent)(row) {
                    (fact.copy)(&mut all.rows_mut()[merged.row_idx], row);
                    *known = from;
                }
            }
        }
    }
    let mut db = all.finish();
    let mut rows: Vec<(_, OpMetrics)> = origins.into_iter().map(|(first, _)| first).zip(db.metrics_db).collect();
    rows.sort_by_key(|(first, _)| *first);
    db.metrics_db = rows.into_iter().map(|(_, row)| row).collect();
    db
}
