//! From tracks to the rows of an answer: nearly always one to one.
//!
//! Takes the events that a query selected, puts those tracks together that share a row.
//! It must not leave out events.

use std::cmp::Reverse;

use super::{Scope, Selected};
use crate::tools::trace_viewer::store::levels::Levels;

/// The events of one row in the order of the answer.
pub enum SelectedRow {
    /// Those of one track.
    Track(Selected),
    /// Track and position of events of several tracks of one device: asynchronous events with long names.
    Shared(Vec<(u32, u32)>),
}

/// The rows of an answer. Events of a shared row are ordered by level first if `levels` are given.
pub fn of(scope: &Scope<'_>, selected: Vec<Selected>, levels: Option<&[Levels]>) -> Vec<SelectedRow> {
    let tracks = &scope.store.tracks;
    let mut rows = Vec::with_capacity(selected.len());
    let mut shared: Vec<Selected> = Vec::new();
    for s in selected.into_iter().filter(|s| !s.positions.is_empty()) {
        if tracks[s.track].shares_row() {
            shared.push(s);
        } else {
            rows.push(SelectedRow::Track(s));
        }
    }
    for of_device in shared.chunk_by(|a, b| tracks[a.track].device == tracks[b.track].device) {
        rows.push(SelectedRow::Shared(merge(scope, of_device, levels)));
    }
    rows
}

fn merge(scope: &Scope<'_>, selected: &[Selected], levels: Option<&[Levels]>) -> Vec<(u32, u32)> {
    let mut events = Vec::new();
    for Selected { track, positions } in selected {
        let times = scope.store.tracks[*track].times(scope.lines);
        for &position in positions {
            let (begin_ps, duration_ps) = times.at(position as usize);
            let level = levels.and_then(|levels| levels[*track].at(position));
            events.push((level, begin_ps, Reverse(duration_ps), *track as u32, position));
        }
    }
    // Tracks are in the order that breaks ties.
    events.sort_unstable();
    events.into_iter().map(|(.., track, position)| (track, position)).collect()
}
