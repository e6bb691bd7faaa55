//! What tables of ops say about each op besides its rates: its times, its rank, and its place in the source.
//!
//! Takes the metrics of one op; gives numbers in the units of the tables, and a cell of HTML.

use std::fmt::Write as _;

use xprof_proto::tensorflow::profiler::{OpMetrics, SourceInfo};

use super::numbers::{ps_to_us, safe_div};
use crate::answer::html;

/// The times of one op.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OpTimes {
    /// All executions with what they contain, in microseconds.
    pub total_us: f64,
    /// One execution with what it contains, in microseconds.
    pub avg_us: f64,
    /// All executions without what they contain, in microseconds.
    pub total_self_us: f64,
    /// One execution without what it contains, in microseconds.
    pub avg_self_us: f64,
    /// The share of the time that was spent waiting for transfers, of 1.
    pub dma_stall_fraction: f64,
}

impl OpTimes {
    /// The times of an op.
    pub fn of(op: &OpMetrics) -> Self {
        let (total_us, total_self_us) = (ps_to_us(op.time_ps), ps_to_us(op.self_time_ps));
        let occurrences = f64::from(op.occurrences);
        Self {
            total_us,
            avg_us: safe_div(total_us, occurrences),
            total_self_us,
            avg_self_us: safe_div(total_self_us, occurrences),
            dma_stall_fraction: safe_div(op.dma_stall_ps as f64, op.time_ps as f64),
        }
    }
}

/// The place of one op among those that it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rank {
    /// Counted from 1; 0 for an op without a place.
    pub rank: f64,
    /// Its share of the total time, of 1.
    pub fraction: f64,
    /// That and the shares of all before it.
    pub cumulative: f64,
}

/// Gives places to ops, in their order.
#[derive(Debug, Clone, Copy)]
pub struct Ranking {
    total_us: f64,
    last: Rank,
}

impl Ranking {
    /// A ranking that begins behind `rank`; shares are of `total_ps`.
    pub fn after(rank: f64, total_ps: u64) -> Self {
        Self { total_us: ps_to_us(total_ps), last: Rank { rank, ..Rank::default() } }
    }

    /// The place of the next op.
    pub fn place(&mut self, times: &OpTimes) -> Rank {
        let fraction = safe_div(times.total_self_us, self.total_us);
        self.last = Rank { rank: self.last.rank + 1.0, fraction, cumulative: self.last.cumulative + fraction };
        self.last
    }

    /// The last rank that was given.
    pub fn last_rank(&self) -> f64 {
        self.last.rank
    }
}

/// A cell that shows file and line, and the call stack where the mouse rests; empty if the place is not known.
pub fn source_cell(source: Option<&SourceInfo>) -> String {
    let Some(source) = source.filter(|s| !s.file_name.is_empty() && s.line_number != -1) else {
        return String::new();
    };
    let mut cell = String::from("<div class='source-info-cell' title='");
    html::push_escaped(&mut cell, &source.stack_frame);
    cell.push_str("'>");
    html::push_escaped(&mut cell, &source.file_name);
    // Writing to a string cannot fail.
    let _ = write!(cell, ":{}</div>", source.line_number);
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_ops() {
        let op = OpMetrics {
            time_ps: 8_000_000,
            self_time_ps: 2_000_000,
            occurrences: 4,
            dma_stall_ps: 1_000_000,
            ..OpMetrics::default()
        };
        let times = OpTimes::of(&op);
        let expected =
            OpTimes { total_us: 8.0, avg_us: 2.0, total_self_us: 2.0, avg_self_us: 0.5, dma_stall_fraction: 0.125 };
        assert_eq!(times, expected);
        let mut ranking = Ranking::after(3.0, 8_000_000);
        assert_eq!(ranking.place(&times), Rank { rank: 4.0, fraction: 0.25, cumulative: 0.25 });
        assert_eq!(ranking.place(&times), Rank { rank: 5.0, fraction: 0.25, cumulative: 0.5 });
        assert_eq!(Ranking::after(0.0, 0).place(&times), Rank { rank: 1.0, fraction: 0.0, cumulative: 0.0 });
        assert_eq!(OpTimes::of(&OpMetrics { time_ps: 1_000_000, ..OpMetrics::default() }).avg_us, 0.0);
    }

    #[test]
    fn shows_places_in_the_source() {
        let check = |file: &str, line_number, stack: &str, expected: &str| {
            let source = SourceInfo { file_name: file.into(), line_number, stack_frame: stack.into() };
            assert_eq!(source_cell(Some(&source)), expected);
        };
        check("", 3, "s", "");
        check("a.py", -1, "s", "");
        check("a.py", 0, "", "<div class='source-info-cell' title=''>a.py:0</div>");
        check(
            "<a&b>.py",
            7,
            "\"f\"\n'g'",
            "<div class='source-info-cell' title='&quot;f&quot;\n&#39;g&#39;'>&lt;a&amp;b&gt;.py:7</div>",
        );
        assert_eq!(source_cell(None), "");
    }
}
