//! Which events a window query returns.
//!
//! Takes levels of detail and tracks, gives positions. Only the levels that a window needs are looked at, and only the
//! part of each that can reach into the window.
//! It must not read names or stats.

use rayon::prelude::*;

use super::{Scope, Selected, comes_to, thin};
use crate::tools::trace_viewer::bounds::Bounds;
use crate::tools::trace_viewer::options::WindowQuery;
use crate::tools::trace_viewer::store::levels::Levels;
use crate::tools::trace_viewer::store::merge::Ascending;
use crate::tools::trace_viewer::store::tracks::{Times, TrackKind};
use crate::{Diag, Result};

/// The events of a window, by track.
pub fn select(scope: &Scope<'_>, query: &WindowQuery, full_dma: bool, diag: &Diag) -> Result<Vec<Selected>> {
    let store = scope.store;
    let bounds = Bounds::new(query, store.min_ps, store.max_ps, store.n_events);
    let times: Vec<Times<'_>> = store.tracks.iter().map(|t| t.times(scope.lines)).collect();
    let levels = bounds.needs_levels().then(|| store.levels(scope.prepared, bounds.last_level(), diag)).transpose()?;
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
    let mut left_out = scope.store.left_out[track].iter().copied().peekable();
    let n = times.first(|begin| begin > bounds.end_ps);
    (0..n as u32).filter(|&position| !comes_to(&mut left_out, position)).collect()
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
