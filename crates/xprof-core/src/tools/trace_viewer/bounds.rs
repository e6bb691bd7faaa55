//! From a window query to picoseconds: what is inside, what lies too close together, which levels of detail are read.
//!
//! Takes a query and the span of a trace. It must not look at events.

use super::options::{WindowQuery, truncated_ps};
use super::thinning::{LAST_LEVEL, resolution_ps};

/// A trace with fewer events than this is always returned whole (`parity:` the resolution is then ignored).
pub const STREAMING_THRESHOLD: u64 = 500_000;

/// A window on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Begin.
    pub start_ps: u64,
    /// End, not before the begin.
    pub end_ps: u64,
    /// What lies closer together is thinned; 0 for nothing.
    pub resolution_ps: u64,
    /// Whether the window begins inside the trace.
    begins_inside: bool,
    /// Whether the window is one instant because its end lies before its start; then nothing is left out or thinned.
    is_instant: bool,
}

impl Bounds {
    /// For a trace from `min_ps` to `max_ps` that shows so many events.
    pub fn new(query: &WindowQuery, min_ps: u64, max_ps: u64, n_events: u64) -> Self {
        let (start_ps, end_ps) = match (truncated_ps(query.start_ms), truncated_ps(query.end_ms)) {
            (0, 0) => (min_ps, max_ps),
            (start, end) => (start.max(min_ps), end.min(max_ps)),
        };
        let resolution = if n_events < STREAMING_THRESHOLD { 0 } else { query.resolution };
        let length_ps = end_ps.saturating_sub(start_ps);
        Self {
            start_ps,
            end_ps: end_ps.max(start_ps),
            resolution_ps: if resolution == 0 { 0 } else { (length_ps as f64 / resolution as f64).round() as u64 },
            begins_inside: start_ps != min_ps,
            is_instant: end_ps <= start_ps,
        }
    }

    /// Whether levels of detail matter: without thinning and a begin inside the trace, every level is read from its first
    /// event.
    pub fn needs_levels(&self) -> bool {
        self.resolution_ps > 0 || self.begins_inside
    }

    /// The finest level that can hold events worth showing.
    pub fn last_level(&self) -> u8 {
        (0..LAST_LEVEL).find(|&level| self.resolution_ps >= resolution_ps(level)).unwrap_or(LAST_LEVEL)
    }

    /// The first begin that is read of a level. parity: this bounds slices by their length, but asynchronous events and
    /// flows may be longer than their level says, and then they are missing from windows that begin inside them.
    pub fn first_begin_ps(&self, level: u8) -> u64 {
        level.checked_sub(1).map_or(0, |coarser| self.start_ps.saturating_sub(resolution_ps(coarser)))
    }

    /// Whether an event reaches into the window.
    pub fn overlaps(&self, begin_ps: u64, duration_ps: u64) -> bool {
        self.is_instant || (self.start_ps <= begin_ps.wrapping_add(duration_ps) && begin_ps <= self.end_ps)
    }

    /// Whether what lies close together is left out.
    pub fn thins(&self) -> bool {
        self.resolution_ps > 0 && !self.is_instant
    }
}
