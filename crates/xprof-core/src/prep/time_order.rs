//! The events of several lines in one order of time, as the reference puts them.

use rayon::prelude::*;

use super::gnu_sort;
use crate::xspace::Plane;

/// An event and what it is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timed {
    pub begin_ps: u64,
    pub duration_ps: u64,
    /// Index of the plane's lines.
    pub line: u32,
    /// Place on the line.
    pub idx: u32,
}

impl Timed {
    fn key(&self) -> (u64, u64) {
        (self.begin_ps, self.duration_ps)
    }
}

/// The events of `wanted` lines by begin, then by duration; those of `all` lines, if it takes these to order them.
///
/// Where events are equal in both, their order is the reference's, which takes a slow sort of `all` to find out.
/// It is taken only if `order_matters` for some run of equal events.
pub(super) fn in_time_order(
    plane: &Plane,
    wanted: &[usize],
    all: &[usize],
    order_matters: impl Fn(&[Timed]) -> bool,
) -> Vec<Timed> {
    let collect = |lines: &[usize]| {
        let mut all = Vec::with_capacity(lines.iter().map(|&l| plane.lines[l].events.len()).sum());
        for &l in lines {
            let events = &plane.lines[l].events;
            all.extend((0..events.len()).map(|i| Timed {
                begin_ps: events.begin_ps[i],
                duration_ps: events.duration_ps(i),
                line: l as u32,
                idx: i as u32,
            }));
        }
        all
    };
    let mut sorted = collect(wanted);
    if !sorted.is_sorted_by_key(Timed::key) {
        sorted.par_sort_by_key(Timed::key);
    }
    let mut runs = sorted.chunk_by(|a, b| a.key() == b.key());
    if runs.any(|run| run.len() > 1 && order_matters(run)) {
        sorted = collect(all);
        gnu_sort::sort(&mut sorted, |a, b| a.key() < b.key());
    }
    sorted
}
