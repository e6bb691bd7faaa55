//! Which events a window query returns.
//!
//! Takes levels of detail and tracks, gives positions. Only the levels that a window needs are looked at, and only the
//! part of each that can reach into the window.
//! It must not read names or stats.

use rayon::prelude::*;

use super::{Scope, Selected, comes_to, thin};
use crate::tools::trace_viewer::options::{WindowQuery, truncated_ps};
use crate::tools::trace_viewer::store::STREAMING_THRESHOLD;
use crate::tools::trace_viewer::store::levels::Levels;
use crate::tools::trace_viewer::store::merge::Ascending;
use crate::tools::trace_viewer::store::tracks::{Times, TrackKind};
use crate::tools::trace_viewer::thinning::{LAST_LEVEL, resolution_ps};
use crate::{Diag, Result};

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
    let levels = if needs_levels { Some(store.levels(scope.prepared, bounds.last_level(), diag)?) } else { None };
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
            let is_counter = matches!(store.tracks[track].kind, TrackKind::Counter { .. });
            // parity: an intermediate DMA event that was read is returned even if it does not reach into the window.
            positions.retain(|&position| match comes_to(&mut dma, position) {
                true => full_dma,
                false => {
                    let (begin_ps, duration_ps) = times[track].at(position as usize);
                    // A sample is an instant, whatever its duration says.
                    bounds.overlaps(begin_ps, if is_counter { 0 } else { duration_ps })
                }
            });
            Ok(Selected { track, positions })
        })
        .collect::<Result<_>>()?;
    if bounds.thins() {
        thin::thin(scope, &times, &mut selected, bounds.resolution_ps, diag)?;
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
    // Coarser levels are read from farther back. The order of the reference among events of equal begin and duration is that
    // of a heap; ours is that of the line.
    let mut positions = Vec::new();
    let end = times.first(|begin| begin > bounds.end_ps);
    let start_of = |level| times.first(|begin| begin >= bounds.first_begin_ps(level)).min(end);
    let last = bounds.last_level();
    for level in 0..last {
        levels.append_down_to(level, start_of(level)..start_of(level + 1), &mut positions);
    }
    levels.append_down_to(last, start_of(last)..end, &mut positions);
    positions
}
