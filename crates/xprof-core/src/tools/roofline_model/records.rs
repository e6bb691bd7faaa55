//! The records of the table: of the whole program, of each op, and of the program in each step.
//!
//! Takes the whole run's statistics; gives one record per row, twice: with infeeds and outfeeds, then without.

use std::borrow::Cow;

use xprof_proto::tensorflow::profiler::op_metrics::TpuCoreType;
use xprof_proto::tensorflow::profiler::{OpMetrics, OpMetricsDb};

use crate::hlo::Opcode;
use crate::opstats::RunStats;
use crate::opstats::merge::add_breakdown;
use crate::opstats::numbers::safe_div;
use crate::opstats::op_record::{OpTimes, Rank, Ranking};
use crate::opstats::roofline::{Peaks, Roofline};
use crate::opstats::sort::by_self_time;

/// Ops beyond these have no record.
const MAX_OPS: usize = 1000;
const PROGRAM: &str = "Program";

/// Categories whose work is also that of other ops.
const CONTAINERS: [&str; 4] = ["call", "conditional", "while", "megacore fusion"];

/// Which part of the run a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All of it.
    Total,
    /// The mean of the whole steps.
    Average {
        /// How many these are.
        n_steps: usize,
    },
    /// One step, by its number.
    Step(u32),
}

/// What one row shows.
#[derive(Debug)]
pub struct Record<'a> {
    /// The op, or what stands for the program.
    pub op: Cow<'a, OpMetrics>,
    /// The op's category, or what is shown in its place.
    pub category: &'a str,
    /// Which part of the run.
    pub span: Span,
    /// The op's times; of the program, no self time.
    pub times: OpTimes,
    /// Place among the ops by self time; the program has none.
    pub rank: Rank,
    /// The op's share of all time.
    pub time_share: f64,
    /// The roofline numbers.
    pub roofline: Roofline,
    /// Whether infeeds and outfeeds count.
    pub with_feeds: bool,
}

/// The records of all rows in order.
pub fn all<'a>(run: &'a RunStats, peaks: &Peaks<'_>) -> Vec<Record<'a>> {
    let mut records = Vec::new();
    for with_feeds in [true, false] {
        let pass = Pass { with_feeds, peaks };
        records.push(pass.program(run.device_ops(), Span::Total));
        pass.add_ops(run.device_ops(), &mut records);
        if let Some(whole_steps) = &run.op_stats().hlo_metrics_db_complete_steps_only {
            records.push(pass.program(whole_steps, Span::Average { n_steps: run.steps().len() }));
        }
        let no_ops = OpMetricsDb::default();
        for step in run.steps() {
            records.push(pass.program(step.hlo_metrics_db.as_ref().unwrap_or(&no_ops), Span::Step(step.step_num)));
        }
    }
    records
}

/// One pass over all tables.
struct Pass<'p> {
    with_feeds: bool,
    peaks: &'p Peaks<'p>,
}

impl Pass<'_> {
    fn counts(&self, op: &OpMetrics) -> bool {
        self.with_feeds || !is_feed(category(op))
    }

    /// The program as one op that takes all the time and does all the work.
    /// SparseCores work beside the program: neither their work nor their feeds count here.
    fn program<'a>(&self, db: &OpMetricsDb, span: Span) -> Record<'a> {
        let mut program = OpMetrics { name: PROGRAM.into(), occurrences: 1, ..OpMetrics::default() };
        program.time_ps = db.total_time_ps;
        for op in db.metrics_db.iter().filter(|op| op.core_type() != TpuCoreType::SparseCore) {
            if !self.counts(op) {
                program.time_ps = program.time_ps.wrapping_sub(op.time_ps);
            } else if !CONTAINERS.contains(&category(op)) {
                program.flops_v2 += op.flops_v2;
                program.model_flops_v2 += op.model_flops_v2;
                program.bytes_accessed = program.bytes_accessed.wrapping_add(op.bytes_accessed);
                add_breakdown(&mut program.memory_accessed_breakdown, &op.memory_accessed_breakdown);
            }
        }
        Record {
            roofline: Roofline::new(&program, self.peaks),
            time_share: safe_div(program.time_ps as f64, program.time_ps as f64),
            times: OpTimes::of(&program),
            op: Cow::Owned(program),
            category: PROGRAM,
            span,
            rank: Rank::default(),
            with_feeds: self.with_feeds,
        }
    }

    fn add_ops<'a>(&self, db: &'a OpMetricsDb, records: &mut Vec<Record<'a>>) {
        // parity: an op that is a feed only by its name keeps its time here.
        let feeds = db.metrics_db.iter().filter(|op| !self.with_feeds && is_feed(&op.category));
        let total_ps = feeds.fold(db.total_time_ps, |ps, op| ps.wrapping_sub(op.time_ps));
        let mut ranking = Ranking::after(0.0, total_ps);
        // parity: ops are cut off before those without a record are left out.
        let ops = by_self_time(&db.metrics_db).into_iter().take(MAX_OPS);
        for op in ops.filter(|op| op.occurrences != 0 && self.counts(op)) {
            let times = OpTimes::of(op);
            records.push(Record {
                roofline: Roofline::new(op, self.peaks),
                op: Cow::Borrowed(op),
                category: category(op),
                span: Span::Total,
                rank: ranking.place(&times),
                times,
                time_share: safe_div(op.time_ps as f64, total_ps as f64),
                with_feeds: self.with_feeds,
            });
        }
    }
}

fn is_feed(category: &str) -> bool {
    category.contains("infeed") || category.contains("outfeed")
}

/// An op of no known category is filed under its name, if that is what HLO calls an operation.
fn category(op: &OpMetrics) -> &str {
    match op.category.as_str() {
        "" | "unknown" | "Unknown" if Opcode::from_name(&op.name).is_some() => &op.name,
        "" => "unknown",
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_ops_of_no_category_under_their_names() {
        let check = |name: &str, text: &str, expected: &str| {
            let op = OpMetrics { name: name.into(), category: text.into(), ..OpMetrics::default() };
            assert_eq!(category(&op), expected);
        };
        check("multiply", "", "multiply");
        check("while", "unknown", "while");
        check("multiply.1", "Unknown", "Unknown");
        check("multiply.1", "", "unknown");
        check("multiply", "fusion", "fusion");
    }
}
