//! The events of several lines in one order of time, as the reference puts them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::gnu_sort;
use crate::xspace::Plane;

/// An event and what it is sorted by first. Its duration, which comes second, is in the plane's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timed {
    pub begin_ps: u64,
    /// Index of the plane's lines.
    pub line: u32,
    /// Place on the line.
    pub idx: u32,
}

impl Timed {
    pub fn duration_ps(&self, plane: &Plane) -> u64 {
        plane.lines[self.line as usize].events.duration_ps(self.idx as usize)
    }

    fn is_before(&self, other: &Self, plane: &Plane) -> bool {
        self.begin_ps < other.begin_ps
            || (self.begin_ps == other.begin_ps && self.duration_ps(plane) < other.duration_ps(plane))
    }
}

/// The events of `wanted` lines by begin, then by duration; those of `all` lines, if it takes these to order them.
///
/// Where events are equal in both and `order_matters` for a run of them, their order is the reference's, which takes a slow
/// sort of `all` to find out.
pub(super) fn in_time_order(
    plane: &Plane,
    wanted: &[usize],
    all: &[usize],
    order_matters: impl Fn(&[Timed]) -> bool,
) -> Vec<Timed> {
    let mut sorted = merged(plane, wanted);
    let mut matters = runs_that_matter(plane, &sorted, &order_matters);
    if matters.is_empty() {
        return sorted;
    }
    if n_events(plane, all) > sorted.len() {
        sorted = merged(plane, all);
        matters = runs_that_matter(plane, &sorted, &order_matters);
    }
    let mut exact = collected(plane, all);
    gnu_sort::sort_at(&mut exact, &sorted, &matters, |a, b| a.is_before(b, plane));
    exact
}

fn n_events(plane: &Plane, lines: &[usize]) -> usize {
    lines.iter().map(|&l| plane.lines[l].events.len()).sum()
}

/// The events of one line from `from` on, in its order.
fn events_of(plane: &Plane, line: usize, from: usize) -> impl Iterator<Item = Timed> {
    let begins = plane.lines[line].events.begin_ps[from..].iter();
    begins.zip(from as u32..).map(move |(&begin_ps, idx)| Timed { begin_ps, line: line as u32, idx })
}

/// The events of one line after the other.
fn collected(plane: &Plane, lines: &[usize]) -> Vec<Timed> {
    let mut all = Vec::with_capacity(n_events(plane, lines));
    lines.iter().for_each(|&line| all.extend(events_of(plane, line, 0)));
    all
}

/// The events of all lines by begin, then by duration; of equal ones, those of an earlier line first.
fn merged(plane: &Plane, lines: &[usize]) -> Vec<Timed> {
    let mut sorted;
    if lines.iter().all(|&line| plane.lines[line].events.begin_ps.is_sorted()) {
        // Nothing is sorted that is in order, for which a sort would need memory of its own.
        sorted = Vec::with_capacity(n_events(plane, lines));
        let head = |n: usize, at: usize| {
            let begin_ps = plane.lines[lines[n]].events.begin_ps.get(at)?;
            Some(Reverse((*begin_ps, n, at)))
        };
        let mut heads: BinaryHeap<_> = (0..lines.len()).filter_map(|n| head(n, 0)).collect();
        while let Some(Reverse((_, n, at))) = heads.pop() {
            let next = heads.peek().map(|Reverse(next)| (next.0, next.1));
            let is_first = |event: &Timed| next.is_none_or(|next| (event.begin_ps, n) < next);
            let before = sorted.len();
            sorted.extend(events_of(plane, lines[n], at).take_while(is_first));
            heads.extend(head(n, at + sorted.len() - before));
        }
    } else {
        sorted = collected(plane, lines);
        sorted.sort_by_key(|event| event.begin_ps);
    }
    let of_one_begin = sorted.chunk_by_mut(|a, b| a.begin_ps == b.begin_ps).filter(|events| events.len() > 1);
    of_one_begin.for_each(|events| events.sort_by_key(|event| event.duration_ps(plane)));
    sorted
}

/// The places of equal events whose order matters.
fn runs_that_matter(plane: &Plane, sorted: &[Timed], order_matters: impl Fn(&[Timed]) -> bool) -> Vec<Range<usize>> {
    let mut end = 0;
    let place = |run: &[Timed]| {
        end += run.len();
        (run.len() > 1 && order_matters(run)).then(|| end - run.len()..end)
    };
    sorted.chunk_by(|a, b| !a.is_before(b, plane)).filter_map(place).collect()
}
