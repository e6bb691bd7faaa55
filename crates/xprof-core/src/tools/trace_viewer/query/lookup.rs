//! Events by name: the search request and the details request.
//!
//! Takes a prefix, or everything that identifies one event, gives positions.
//! It must not thin: whoever names an event wants to see it.

use rayon::prelude::*;

use super::{Scope, Selected};
use crate::prep::derived::ShownLine;
use crate::tools::trace_viewer::facts;
use crate::tools::trace_viewer::options::DetailsQuery;
use crate::tools::trace_viewer::store::levels::Levels;
use crate::tools::trace_viewer::store::merge::Ascending;
use crate::tools::trace_viewer::store::serials;
use crate::tools::trace_viewer::store::tracks::{Times, Track, TrackKind};
use crate::tools::trace_viewer::thinning::LAST_LEVEL;
use crate::xspace::{Event, StatKind};
use crate::{Diag, Result};

/// How many events are looked at between two looks at the cancellation.
const CHECK_EVERY: usize = 1 << 16;

/// All events whose visible name begins with `prefix`.
/// parity: a row's events come in the order in which the reference stores them, coarser levels first.
pub fn search(scope: &Scope<'_>, prefix: &str, full_dma: bool, diag: &Diag) -> Result<Vec<Selected>> {
    let levels = scope.store.levels(scope.prepared, LAST_LEVEL, diag)?;
    let mut selected: Vec<Selected> = (0..scope.store.tracks.len())
        .into_par_iter()
        .with_max_len(1)
        .map(|track| {
            let mut positions = matches(scope, &scope.store.tracks[track], &levels[track], prefix, diag)?;
            if !full_dma {
                let dma: Vec<u32> = scope.intermediate_dma(track).collect();
                positions.retain(|position| dma.binary_search(position).is_err());
            }
            Ok(Selected { track, positions })
        })
        .collect::<Result<_>>()?;
    selected.retain(|s| !s.positions.is_empty());
    Ok(selected)
}

/// The positions of the events of one track that match, by level.
fn matches(scope: &Scope<'_>, track: &Track, levels: &Levels, prefix: &str, diag: &Diag) -> Result<Vec<u32>> {
    let n_events = track.times(scope.lines).len() as u32;
    let mut positions: Vec<u32> = Vec::new();
    match &track.kind {
        TrackKind::Counter { name } | TrackKind::Async { name } => {
            if name.starts_with(prefix) {
                positions.extend(0..n_events);
            }
        }
        TrackKind::Thread { .. } => {
            let mut names = NameMatches::new(scope.lines, prefix);
            for position in 0..n_events {
                if (position as usize).is_multiple_of(CHECK_EVERY) {
                    diag.check()?;
                }
                if names.matches(track.locate(position)) {
                    positions.push(position);
                }
            }
        }
    }
    positions.retain(|&position| levels.at(position).is_some());
    // Within a level they stay as they are.
    positions.sort_by_key(|&position| levels.at(position));
    Ok(positions)
}

/// Whether names begin with a prefix. Each metadata row is compared once, as long as the line stays the same.
struct NameMatches<'a> {
    lines: &'a [ShownLine<'a>],
    prefix: &'a str,
    line: Option<u32>,
    by_row: Vec<Option<bool>>,
}

impl<'a> NameMatches<'a> {
    fn new(lines: &'a [ShownLine<'a>], prefix: &'a str) -> Self {
        Self { lines, prefix, line: None, by_row: Vec::new() }
    }

    fn matches(&mut self, (line_idx, idx): (u32, u32)) -> bool {
        let line = &self.lines[line_idx as usize];
        if self.line != Some(line_idx) {
            self.line = Some(line_idx);
            self.by_row.clear();
            self.by_row.resize(line.plane.event_metadata.len(), None);
        }
        let Some(event) = line.line.event(line.plane, idx as usize) else {
            return false;
        };
        if line.line.stat_kinds.contains(StatKind::StepName)
            && let Some(name) = facts::step_name(&event)
        {
            return name.starts_with(self.prefix);
        }
        let compare = |event: &Event<'_>| event.metadata().shown_name().starts_with(self.prefix);
        match self.by_row.get_mut(event.metadata_row() as usize) {
            Some(known) => *known.get_or_insert_with(|| compare(&event)),
            None => compare(&event),
        }
    }
}

/// The event that a details request names; at most one, because begin and rank are unique.
/// parity: samples of counters cannot be asked for.
pub fn details(scope: &Scope<'_>, query: &DetailsQuery) -> Vec<Selected> {
    let tracks = &scope.store.tracks;
    let times: Vec<Times<'_>> = tracks.iter().map(|t| t.times(scope.lines)).collect();
    let is_named = |&(track, position): &(usize, u32)| {
        !matches!(tracks[track].kind, TrackKind::Counter { .. })
            && times[track].at(position as usize).1 == query.duration_ps
            && scope.store.left_out[track].binary_search(&position).is_err()
            && name_is(scope, tracks[track].locate(position), &query.name)
    };
    let of_begin = serials::at(&times, query.begin_ps);
    let named = usize::try_from(query.serial).ok().and_then(|serial| of_begin.get(serial).copied()).filter(is_named);
    named.map(|(track, position)| Selected { track, positions: vec![position] }).into_iter().collect()
}

fn name_is(scope: &Scope<'_>, (line, idx): (u32, u32), name: &str) -> bool {
    let line = &scope.lines[line as usize];
    line.line.event(line.plane, idx as usize).is_some_and(|event| facts::visible_name(&event) == name)
}
