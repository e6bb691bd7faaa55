//! Which events a window query returns.
//!
//! Takes levels of detail and tracks, gives positions. Only the levels that a window needs are looked at, and only the
//! part of each that can reach into the window.
//! It must not read names or stats.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{Scope, Selected, comes_to};
use crate::prep::flows::Flow;
use crate::tools::trace_viewer::options::{WindowQuery, truncated_ps};
use crate::tools::trace_viewer::store::STREAMING_THRESHOLD;
use crate::tools::trace_viewer::store::levels::Levels;
use crate::tools::trace_viewer::store::tracks::{Times, Track, TrackKind};
use crate::tools::trace_viewer::thinning::{Decisions, LAST_LEVEL, Row, Slice, Thread, admit_in_row, resolution_ps};
use crate::{Diag, Result};

/// How many events are thinned between two looks at the cancellation.
const CHECK_EVERY: usize = 1 << 16;

/// A window on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    start_ps: u64,
    end_ps: u64,
    /// Whether the window is one instant because its end lies before its start; then nothing is left out or thinned.
    is_instant: bool,
    /// What lies closer together is thinned; 0 for nothing.
    resolution_ps: u64,
}

impl Bounds {
    fn new(query: &WindowQuery, min_ps: u64, max_ps: u64, n_events: u64) -> Self {
        let (start_ps, end_ps) = match (truncated_ps(query.start_ms), truncated_ps(query.end_ms)) {
            (0, 0) => (min_ps, max_ps),
            (start, end) => (start.max(min_ps), end.min(max_ps)),
        };
        let resolution = if n_events < STREAMING_THRESHOLD { 0 } else { query.resolution };
        let length_ps = end_ps.saturating_sub(start_ps);
        Self {
            start_ps,
            end_ps: end_ps.max(start_ps),
            is_instant: end_ps <= start_ps,
            resolution_ps: if resolution == 0 { 0 } else { (length_ps as f64 / resolution as f64).round() as u64 },
        }
    }

    /// The finest level that can hold events worth showing.
    fn last_level(&self) -> u8 {
        (0..LAST_LEVEL).find(|&level| self.resolution_ps >= resolution_ps(level)).unwrap_or(LAST_LEVEL)
    }

    /// The first begin that is read of a level. parity: this bounds slices by their length, but asynchronous events and
    /// flows may be longer than their level says, and then they are missing from windows that begin inside them.
    fn first_begin_ps(&self, level: u8) -> u64 {
        level.checked_sub(1).map_or(0, |coarser| self.start_ps.saturating_sub(resolution_ps(coarser)))
    }

    fn overlaps(&self, begin_ps: u64, duration_ps: u64) -> bool {
        self.is_instant || (self.start_ps <= begin_ps.wrapping_add(duration_ps) && begin_ps <= self.end_ps)
    }

    fn thins(&self) -> bool {
        self.resolution_ps > 0 && !self.is_instant
    }
}

/// The events of a window, by track.
pub fn select(scope: &Scope<'_>, query: &WindowQuery, full_dma: bool, diag: &Diag) -> Result<Vec<Selected>> {
    let store = scope.store;
    let bounds = Bounds::new(query, store.min_ps, store.max_ps, store.n_events);
    let times: Vec<Times<'_>> = store.tracks.iter().map(|t| t.times(scope.lines)).collect();
    // Without a begin inside the trace every level is read from its first event, so which level that is does not matter.
    let needs_levels = bounds.resolution_ps > 0 || bounds.start_ps != store.min_ps;
    let levels = if needs_levels { Some(store.levels(scope.prepared, diag)?) } else { None };
    let mut selected: Vec<Selected> = (0..store.tracks.len())
        .into_par_iter()
        .with_max_len(1)
        .map(|track| {
            diag.check()?;
            let mut positions = match levels {
                Some(levels) => of_levels(&bounds, &times[track], &levels[track]),
                None => of_track(scope, &bounds, &times[track], track),
            };
            let mut dma = scope.intermediate_dma(track).peekable();
            // parity: an intermediate DMA event that was read is returned even if it does not reach into the window.
            positions.retain(|&position| match comes_to(&mut dma, position) {
                true => full_dma,
                false => {
                    let (begin_ps, duration_ps) = times[track].at(position as usize);
                    bounds.overlaps(begin_ps, duration_ps)
                }
            });
            if bounds.thins() && shared_thinning(&store.tracks[track]).is_none() {
                thin_alone(scope, &bounds, &times[track], track, &mut positions);
            }
            Ok(Selected { track, positions })
        })
        .collect::<Result<_>>()?;
    if bounds.thins() {
        thin_together(scope, &bounds, &times, &mut selected, diag)?;
    }
    selected.retain(|s| !s.positions.is_empty());
    Ok(selected)
}

fn of_track(scope: &Scope<'_>, bounds: &Bounds, times: &Times<'_>, track: usize) -> Vec<u32> {
    let serials = &scope.store.serials[track];
    let n = times.first(|begin| begin > bounds.end_ps);
    (0..n as u32).filter(|&position| serials.shows(position)).collect()
}

fn of_levels(bounds: &Bounds, times: &Times<'_>, levels: &Levels) -> Vec<u32> {
    let mut positions = Vec::new();
    for level in 0..=bounds.last_level() {
        let list = levels.of(level);
        let from = list.partition_point(|&p| times.begin_ps(p as usize) < bounds.first_begin_ps(level));
        let to = list.partition_point(|&p| times.begin_ps(p as usize) <= bounds.end_ps);
        positions.extend_from_slice(&list[from..to.max(from)]);
    }
    // One ascending run per level, which this sort merges. The order of the reference among events of equal begin and
    // duration is that of a heap; ours is that of the line.
    #[allow(clippy::stable_sort_primitive, reason = "a merge of ascending runs, which the stable sort finds")]
    positions.sort();
    positions
}

/// Which tracks are thinned together: flows link the threads of a host, and asynchronous events of long names share a row.
fn shared_thinning(track: &Track) -> Option<Shared> {
    match &track.kind {
        TrackKind::Thread { .. } => (!track.flows.is_empty()).then_some(Shared::Flows),
        TrackKind::Async { .. } if track.shares_row() => Some(Shared::LongNames { device: track.device }),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shared {
    Flows,
    LongNames { device: u32 },
}

/// Thins a track that has nothing to do with others.
fn thin_alone(scope: &Scope<'_>, bounds: &Bounds, times: &Times<'_>, track: usize, positions: &mut Vec<u32>) {
    let (mut thread, mut row, mut decisions) = (Thread::default(), Row::default(), Decisions::default());
    let is_row = scope.store.tracks[track].is_row();
    let mut dma = scope.intermediate_dma(track).peekable();
    positions.retain(|&position| {
        let (begin_ps, duration_ps) = times.at(position as usize);
        comes_to(&mut dma, position)
            || if is_row {
                admit_in_row(&mut row, begin_ps, bounds.resolution_ps)
            } else {
                thread.admit(Slice { begin_ps, duration_ps, flow: None }, bounds.resolution_ps, &mut decisions)
            }
    });
}

/// One event of tracks that are thinned together.
struct Candidate {
    begin_ps: u64,
    duration_ps: u64,
    /// Index of the selection.
    selected: u32,
    position: u32,
    flow: Option<Flow>,
    is_dma: bool,
}

/// Thins tracks that depend on each other, in global order.
fn thin_together(
    scope: &Scope<'_>,
    bounds: &Bounds,
    times: &[Times<'_>],
    selected: &mut [Selected],
    diag: &Diag,
) -> Result<()> {
    let mut groups: BTreeMap<Shared, Vec<u32>> = BTreeMap::new();
    for (i, s) in selected.iter().enumerate().filter(|(_, s)| !s.positions.is_empty()) {
        if let Some(shared) = shared_thinning(&scope.store.tracks[s.track]) {
            groups.entry(shared).or_default().push(i as u32);
        }
    }
    for (shared, members) in groups {
        let candidates = candidates(scope, times, selected, &members);
        for &member in &members {
            selected[member as usize].positions.clear();
        }
        let mut threads: Vec<Thread> = vec![Thread::default(); selected.len()];
        let (mut row, mut decisions) = (Row::default(), Decisions::default());
        for (n, c) in candidates.iter().enumerate() {
            if n % CHECK_EVERY == 0 {
                diag.check()?;
            }
            let slice = Slice { begin_ps: c.begin_ps, duration_ps: c.duration_ps, flow: c.flow };
            let kept = c.is_dma
                || match shared {
                    Shared::Flows => threads[c.selected as usize].admit(slice, bounds.resolution_ps, &mut decisions),
                    Shared::LongNames { .. } => admit_in_row(&mut row, c.begin_ps, bounds.resolution_ps),
                };
            if kept {
                selected[c.selected as usize].positions.push(c.position);
            }
        }
    }
    Ok(())
}

fn candidates(scope: &Scope<'_>, times: &[Times<'_>], selected: &[Selected], members: &[u32]) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for &member in members {
        let Selected { track, positions } = &selected[member as usize];
        let mut dma = scope.intermediate_dma(*track).peekable();
        let mut flows = scope.store.tracks[*track].flows.iter().peekable();
        for &position in positions {
            let (begin_ps, duration_ps) = times[*track].at(position as usize);
            while flows.next_if(|(p, _)| *p < position).is_some() {}
            let flow = flows.next_if(|(p, _)| *p == position).map(|(_, flow)| flow);
            let is_dma = comes_to(&mut dma, position);
            candidates.push(Candidate { begin_ps, duration_ps, selected: member, position, flow, is_dma });
        }
    }
    // Tracks are in the order that breaks ties, and each is sorted: the sort is stable and merges them.
    candidates.sort_by_key(|c| (c.begin_ps, Reverse(c.duration_ps)));
    candidates
}
