//! What kind each event of one line is: slice, counter sample, asynchronous, or not shown at all.
//!
//! Takes one line of the timeline, gives the tracks its events belong to and the flows they carry.
//! It must not look at other lines: lines are scanned in parallel.

use std::cmp::Reverse;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::tracks::{TrackFlows, TrackKind, thread_id};
use crate::prep::derived::ShownLine;
use crate::prep::flows::{Flow, PlaneFlows};
use crate::tools::trace_viewer::facts;
use crate::xspace::schema::line_names;
use crate::xspace::{Event, Plane, StatKind, StatValue};
use crate::{Diag, Result};

/// How many events of a line are looked at by one thread at a time.
const PIECE_EVENTS: usize = 1 << 13;

/// Which events of a line belong to a track, in the order of the track.
#[derive(Debug, PartialEq, Eq)]
pub enum Pick {
    /// All, as they are.
    All,
    /// Those at these places.
    Some(Vec<u32>),
}

/// What one line contributes to the timeline.
#[derive(Debug, Default)]
pub struct LineScan {
    /// Tracks, which of the line's events are on them, and the flows of those by place in the line.
    pub tracks: Vec<(TrackKind, Pick, TrackFlows)>,
    /// Whether its events had to be sorted.
    pub was_unsorted: bool,
}

/// Whether the events of a line are samples of counters.
pub fn is_counter_line(line: &ShownLine<'_>) -> bool {
    line.line.name == line_names::COUNTERS
}

/// For each metadata row whether its events are not shown; empty if all are.
pub fn internal_rows(plane: &Plane) -> Vec<bool> {
    let rows: Vec<bool> = plane.event_metadata.iter().map(|m| facts::is_internal_event(&m.name)).collect();
    if rows.contains(&true) { rows } else { Vec::new() }
}

fn is_internal(internal: &[bool], row: u32) -> bool {
    internal.get(row as usize).is_some_and(|&internal| internal)
}

/// Sorts out one line. `internal` are the [`internal_rows`] of its plane.
pub fn scan(line: &ShownLine<'_>, flows: &PlaneFlows, internal: &[bool], diag: &Diag) -> Result<LineScan> {
    let mut scan =
        if is_counter_line(line) { counters(line, internal) } else { slices_and_asyncs(line, flows, internal, diag)? };
    let events = &line.line.events;
    scan.was_unsorted = !events.is_sorted();
    if scan.was_unsorted {
        for (_, pick, _) in &mut scan.tracks {
            let mut order = match std::mem::replace(pick, Pick::All) {
                Pick::All => (0..events.len() as u32).collect(),
                Pick::Some(order) => order,
            };
            order.sort_by_key(|&i| (events.begin_ps[i as usize], Reverse(events.duration_ps(i as usize))));
            *pick = Pick::Some(order);
        }
    }
    Ok(scan)
}

/// One track per metadata name: `parity:` a display name does not rename a counter.
fn counters(line: &ShownLine<'_>, internal: &[bool]) -> LineScan {
    let mut by_row: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
    for (idx, row) in line.line.events.rows().enumerate() {
        by_row.entry(row).or_default().push(idx as u32);
    }
    let mut by_name: FxHashMap<&str, Vec<u32>> = FxHashMap::default();
    for (row, places) in by_row {
        if !is_internal(internal, row) {
            by_name.entry(&line.plane.metadata(row).name).or_default().extend(places);
        }
    }
    let tracks = by_name.into_iter().map(|(name, mut places)| {
        places.sort_unstable();
        (TrackKind::Counter { name: name.into() }, Pick::Some(places), TrackFlows::default())
    });
    LineScan { tracks: tracks.collect(), was_unsorted: false }
}

/// The asynchronous events of a line by name.
#[derive(Default)]
struct Asyncs {
    named: Vec<(String, TrackFlows)>,
    by_name: FxHashMap<String, usize>,
    /// Where events of a metadata row have their name from it, so that no name is made for each.
    by_row: FxHashMap<u32, usize>,
}

impl Asyncs {
    /// The events of the same name.
    fn of(&mut self, event: &Event<'_>) -> &mut TrackFlows {
        let row = event.metadata_row();
        let by_row = (!event.line.stat_kinds.contains(StatKind::StepName)).then_some(&mut self.by_row);
        let known = by_row.as_ref().and_then(|rows| rows.get(&row).copied());
        let at = known.unwrap_or_else(|| {
            let name = facts::visible_name(event).into_owned();
            let at = *self.by_name.entry(name.clone()).or_insert(self.named.len());
            if at == self.named.len() {
                self.named.push((name, TrackFlows::default()));
            }
            if let Some(rows) = by_row {
                rows.insert(row, at);
            }
            at
        });
        &mut self.named[at].1
    }
}

/// The events of a line that have flows, in pieces that were looked at in parallel: place, flow, whether asynchronous.
fn links(
    line: &ShownLine<'_>,
    flows: &PlaneFlows,
    internal: &[bool],
    diag: &Diag,
) -> Result<Vec<Vec<(u32, Flow, bool)>>> {
    let (plane, line) = (line.plane, line.line);
    let may_be_async = line.stat_kinds.contains(StatKind::IsAsync);
    let link = |event: Event<'_>| {
        if is_internal(internal, event.metadata_row()) {
            return None;
        }
        let flow = flows.of(&event)?;
        // Only what has a flow can be asynchronous.
        let is_async = may_be_async && event.stat(StatKind::IsAsync).is_some_and(StatValue::is_int);
        Some((event.idx as u32, flow, is_async))
    };
    let piece = |first: usize| {
        diag.check()?;
        let marked = line.marked(first..line.events.len().min(first + PIECE_EVENTS));
        Ok(marked.map(|idx| Event { plane, line, idx }).filter_map(link).collect())
    };
    (0..line.events.len()).into_par_iter().step_by(PIECE_EVENTS).map(piece).collect()
}

fn slices_and_asyncs(line: &ShownLine<'_>, flows: &PlaneFlows, internal: &[bool], diag: &Diag) -> Result<LineScan> {
    // Nearly every line of a large trace is one thread as it is; its events need not be looked at.
    if internal.is_empty() && !flows.any_on(line.line) {
        let tracks = match line.line.events.len() {
            0 => Vec::new(),
            _ => vec![(TrackKind::Thread { id: thread_id(line) }, Pick::All, TrackFlows::default())],
        };
        return Ok(LineScan { tracks, was_unsorted: false });
    }
    let (plane, shown) = (line.plane, line.line);
    let mut not_slices: Vec<u32> = if internal.is_empty() {
        Vec::new()
    } else {
        shown.events.rows().zip(0u32..).filter(|&(row, _)| is_internal(internal, row)).map(|(_, idx)| idx).collect()
    };
    let n_internal = not_slices.len();
    let mut slice_flows = TrackFlows::default();
    let mut asyncs = Asyncs::default();
    for (event, flow, is_async) in links(line, flows, internal, diag)?.into_iter().flatten() {
        if is_async {
            not_slices.push(event);
            asyncs.of(&Event { plane, line: shown, idx: event as usize }).push(event, flow);
        } else {
            slice_flows.push(event, flow);
        }
    }
    if n_internal > 0 && not_slices.len() > n_internal {
        not_slices.sort_unstable();
    }
    shown.release();
    let mut tracks: Vec<_> = asyncs
        .named
        .into_iter()
        .map(|(name, flows)| (TrackKind::Async { name: name.into() }, Pick::Some(flows.positions.clone()), flows))
        .collect();
    let n_events = line.line.events.len();
    if not_slices.len() < n_events {
        let pick = if not_slices.is_empty() {
            Pick::All
        } else {
            let mut left_out = not_slices.into_iter().peekable();
            Pick::Some((0..n_events as u32).filter(|&i| left_out.next_if_eq(&i).is_none()).collect())
        };
        tracks.push((TrackKind::Thread { id: thread_id(line) }, pick, slice_flows));
    }
    Ok(LineScan { tracks, was_unsorted: false })
}
