//! From positions of events to the columns of a [`Window`]: names, groups, flows, ranks, arguments.
//!
//! Takes what a query selected, gives the artifact.
//! It must not decide what is shown; texts that occur often are looked up once.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bytestring::ByteString;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::Scope;
use super::rows::SelectedRow;
use crate::prep::derived::ShownLine;
use crate::tools::trace_viewer::facts;
use crate::tools::trace_viewer::store::frames::{MARK, frame_text};
use crate::tools::trace_viewer::store::merge::Ascending;
use crate::tools::trace_viewer::store::serials::Serials;
use crate::tools::trace_viewer::store::tracks::TrackKind;
use crate::tools::trace_viewer::window::{Events, NO_GROUP, Process, Row, RowKind, Value, Window};
use crate::xspace::{Event, StatKind, StatValue};
use crate::{Diag, Result};

/// How many events are written between two looks at the cancellation.
const CHECK_EVERY: usize = 1 << 16;

/// The window that holds the selected events, with the processes of the whole trace.
pub fn window(
    scope: &Scope<'_>,
    selected: &[SelectedRow],
    serials: &Serials,
    with_args: bool,
    diag: &Diag,
) -> Result<Window> {
    let store = scope.store;
    let tables = tables_of_lines(scope.lines);
    let build = |row: &SelectedRow| {
        let mut builder =
            Builder { scope, serials, texts: Texts::default(), names: Names::new(&tables), frames: BTreeSet::new() };
        let row = match row {
            SelectedRow::Track(s) => builder.row(s.track, &s.positions, with_args, diag)?,
            SelectedRow::Shared(events) => builder.shared_row(events, with_args)?,
        };
        Ok((row, builder.texts, builder.frames))
    };
    let built: Vec<(Row, Texts, BTreeSet<u32>)> =
        selected.par_iter().with_max_len(1).map(build).collect::<Result<_>>()?;

    let (mut texts, mut frames) = (Texts::default(), BTreeSet::new());
    let mut processes = Vec::with_capacity(store.devices.len());
    for device in &store.devices {
        processes.push(Process {
            device_id: device.id,
            name: texts.add(format!("{} {}", scope.prepared.host, device.name)),
            is_tpu: device.is_tpu(),
            threads: device.threads.iter().map(|(&id, name)| (id, texts.share(name))).collect(),
        });
    }
    let mut rows = Vec::with_capacity(built.len());
    for (mut row, own, own_frames) in built {
        let shared: Vec<u32> = own.all.iter().map(|text| texts.share(text)).collect();
        row.change_texts(|own| shared[own as usize]);
        frames.extend(own_frames.into_iter().map(|own| shared[own as usize]));
        rows.push(row);
    }
    // Tracks have threads first, because that is the order of equal events; in the answer, threads come last.
    rows.sort_by_key(|row: &Row| (row.process, matches!(row.kind, RowKind::Thread(_))));
    Ok(Window {
        min_ps: store.min_ps,
        max_ps: store.max_ps,
        has_tpu: store.has_tpu(),
        not_found: false,
        texts: texts.all,
        frames: frames.into_iter().collect(),
        processes,
        rows,
    })
}

/// Adds texts that the answer lists as stack frames.
pub fn add_frames(window: &mut Window, texts: &[ByteString]) {
    let first = window.texts.len() as u32;
    window.texts.extend_from_slice(texts);
    window.frames.extend(first..window.texts.len() as u32);
}

/// Makes one row, with texts of its own.
struct Builder<'a> {
    scope: &'a Scope<'a>,
    serials: &'a Serials,
    texts: Texts,
    names: Names<'a>,
    /// Texts that are frames although no event refers to them as such.
    frames: BTreeSet<u32>,
}

impl Builder<'_> {
    /// A row that is a track, or a part of one.
    fn row(&mut self, track_idx: usize, positions: &[u32], with_args: bool, diag: &Diag) -> Result<Row> {
        let mut events = times(self.scope, self.serials, track_idx, positions);
        let track = &self.scope.store.tracks[track_idx];
        let kind = match &track.kind {
            TrackKind::Thread { id } => RowKind::Thread(*id),
            TrackKind::Counter { name } => RowKind::Counter(self.texts.share(name)),
            TrackKind::Async { name } => RowKind::Async(self.texts.share(name)),
        };
        let (is_counter, is_thread) = (matches!(kind, RowKind::Counter(_)), matches!(kind, RowKind::Thread(_)));
        if is_thread {
            events.names.reserve_exact(positions.len());
        }
        for (i, chunk) in positions.chunks(CHECK_EVERY).enumerate() {
            diag.check()?;
            for (j, &position) in chunk.iter().enumerate() {
                let (line_idx, idx) = track.locate(position);
                let line = &self.scope.lines[line_idx as usize];
                let event = Event { plane: line.plane, line: line.line, idx: idx as usize };
                if is_thread {
                    events.names.push(self.names.of(&mut self.texts, line_idx, line, &event));
                }
                if !is_counter {
                    push_group(&mut events, i * CHECK_EVERY + j, group_of(line, &event));
                }
                if with_args || is_counter {
                    self.push_args(&mut events, &event, !is_counter);
                }
            }
        }
        Ok(Row { process: track.device, kind, events })
    }

    /// A row of asynchronous events that each have a name of their own.
    fn shared_row(&mut self, events: &[(u32, u32)], with_args: bool) -> Result<Row> {
        let mut row =
            Row { process: 0, kind: RowKind::Async(self.texts.add(String::new())), events: Events::default() };
        for (idx, &(track, position)) in events.iter().enumerate() {
            let track_idx = track as usize;
            let track = &self.scope.store.tracks[track_idx];
            row.process = track.device;
            let mut one = times(self.scope, self.serials, track_idx, &[position]);
            let to = &mut row.events;
            to.begin_ps.append(&mut one.begin_ps);
            to.duration_ps.append(&mut one.duration_ps);
            to.serials.push(one.serial(0));
            to.flows.extend(one.flows.first().map(|&(_, flow)| (idx as u32, flow)));
            let (line_idx, at) = track.locate(position);
            let line = &self.scope.lines[line_idx as usize];
            let event = Event { plane: line.plane, line: line.line, idx: at as usize };
            to.names.push(self.names.of(&mut self.texts, line_idx, line, &event));
            push_group(to, idx, group_of(line, &event));
            if with_args {
                self.push_args(to, &event, true);
            }
        }
        Ok(row)
    }

    /// Appends the arguments of one event. Only its first frame becomes one; `parity:` another keeps the mark in its text,
    /// and is listed among the frames all the same.
    fn push_args(&mut self, events: &mut Events, event: &Event<'_>, may_have_frame: bool) {
        let mut has_frame = false;
        let texts = &mut self.texts;
        let frames = &mut self.frames;
        let mut text_value = |texts: &mut Texts, name: &str, text: Cow<'_, str>| match frame_text(name, &text) {
            _ if !may_have_frame => Value::Text(texts.add(text.into_owned())),
            Some(frame) if !has_frame => {
                has_frame = true;
                Value::Frame(texts.add(frame.to_owned()))
            }
            Some(frame) => {
                frames.insert(texts.add(frame.to_owned()));
                Value::Text(texts.add(format!("{MARK}{frame}")))
            }
            None => Value::Text(texts.add(text.into_owned())),
        };
        if let Some(long_name) = facts::long_name(event) {
            let value = text_value(texts, "long_name", long_name);
            events.args.push((texts.add("long_name".to_owned()), value));
        }
        for stat in facts::shown_stats(event, false).filter(|stat| !facts::is_consumed(stat)) {
            let value = match stat.value {
                StatValue::Int(v) => Value::Int(v),
                StatValue::Uint(v) => Value::Uint(v),
                StatValue::Double(v) => Value::Double(v),
                text => text_value(texts, stat.name, text.text()),
            };
            events.args.push((texts.add(stat.name.to_owned()), value));
        }
        events.arg_ends.push(events.args.len() as u32);
    }
}

/// Begins, durations, ranks and flows: what is known without looking at the trace.
fn times(scope: &Scope<'_>, serials: &Serials, track_idx: usize, positions: &[u32]) -> Events {
    let mut events = Events::default();
    let track = &scope.store.tracks[track_idx];
    let times = track.times(scope.lines);
    events.begin_ps = positions.iter().map(|&p| times.begin_ps(p as usize)).collect();
    if !track.flows.is_empty() {
        let mut near = 0;
        let flows = (0u32..).zip(positions).filter_map(|(idx, &p)| track.flow(p, &mut near).map(|flow| (idx, flow)));
        events.flows = flows.collect();
    }
    if !matches!(track.kind, TrackKind::Counter { .. }) {
        events.duration_ps = positions.iter().map(|&p| times.at(p as usize).1).collect();
        if positions.iter().any(|&p| serials.of(track_idx, p) != 0) {
            events.serials = positions.iter().map(|&p| serials.of(track_idx, p)).collect();
        }
    }
    events
}

fn group_of(line: &ShownLine<'_>, event: &Event<'_>) -> i64 {
    if line.line.groups.is_none() && !line.line.stat_kinds.contains(StatKind::GroupId) {
        return NO_GROUP;
    }
    event.group_id().unwrap_or(NO_GROUP)
}

/// Appends a group; the column comes into being with the first event that has one.
fn push_group(events: &mut Events, idx: usize, group: i64) {
    if group != NO_GROUP || !events.groups.is_empty() {
        events.groups.resize(idx, NO_GROUP);
        events.groups.push(group);
    }
}

/// All texts of a window, each once.
#[derive(Default)]
struct Texts {
    all: Vec<ByteString>,
    by_text: FxHashMap<ByteString, u32>,
}

impl Texts {
    fn add(&mut self, text: String) -> u32 {
        match self.by_text.get(text.as_str()) {
            Some(&known) => known,
            None => self.share(&text.into()),
        }
    }

    fn share(&mut self, text: &ByteString) -> u32 {
        let next = self.all.len() as u32;
        let idx = *self.by_text.entry(text.clone()).or_insert(next);
        if idx == next {
            self.all.push(text.clone());
        }
        idx
    }
}

/// Which table of metadata the events of each line refer to: lines of one plane share it.
fn tables_of_lines(lines: &[ShownLine<'_>]) -> Vec<u32> {
    let mut table_of_plane: FxHashMap<*const crate::xspace::Plane, u32> = FxHashMap::default();
    let table_of_line = lines.iter().map(|line| {
        let next = table_of_plane.len() as u32;
        *table_of_plane.entry(std::ptr::from_ref(line.plane)).or_insert(next)
    });
    table_of_line.collect()
}

/// Visible names by metadata row. A map, because there are as many as rows of the answer, and most of those have few names.
struct Names<'a> {
    table_of_line: &'a [u32],
    by_row: FxHashMap<(u32, u32), u32>,
}

impl<'a> Names<'a> {
    fn new(table_of_line: &'a [u32]) -> Self {
        Self { table_of_line, by_row: FxHashMap::default() }
    }

    /// The text that is an event's visible name.
    #[inline]
    fn of(&mut self, texts: &mut Texts, line_idx: u32, line: &ShownLine<'_>, event: &Event<'_>) -> u32 {
        if line.line.stat_kinds.contains(StatKind::StepName)
            && let Some(name) = facts::step_name(event)
        {
            return texts.add(name.into_owned());
        }
        let key = (self.table_of_line[line_idx as usize], event.metadata_row());
        *self.by_row.entry(key).or_insert_with(|| texts.share(event.metadata().shown_name()))
    }
}
