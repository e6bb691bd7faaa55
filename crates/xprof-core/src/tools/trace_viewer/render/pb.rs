//! The binary answer: one zstd frame that holds an `xprof.TraceDataResponse`.
//!
//! Takes the windows of all hosts, gives bytes. The message is written field by field, because its repeated fields are as
//! long as the trace: see `proto/xprof/trace_data_response.proto` for the numbers.
//! It must not leave out or add events: only facts that the message has no place for are missing.

use bytestring::ByteString;
use rustc_hash::FxHashMap;

use super::{Member, Part, category_text, details, members, members_of, span};
use crate::prep::flows::Flow;
use crate::tools::trace_viewer::window::{Events, RowKind, Value, Window};
use crate::{Error, Result};

const ZSTD_LEVEL: i32 = 1;

/// Fields of `TraceDataResponse`.
mod response {
    pub const COMPLETE_EVENTS: u32 = 1;
    pub const COUNTER_EVENTS: u32 = 2;
    pub const ASYNC_EVENTS: u32 = 3;
    pub const METADATA: u32 = 4;
    pub const INTERNED_STRINGS: u32 = 5;
    pub const DETAILS: u32 = 6;
    pub const FULL_TIMESPAN_START_PS: u32 = 7;
    pub const FULL_TIMESPAN_END_PS: u32 = 8;
}

/// Appends the whole answer.
pub fn write(parts: &[Part], full_dma: bool, out: &mut Vec<u8>) -> Result<()> {
    let mut message = Message(Vec::new());
    let switches: Vec<_> = details(parts, full_dma).collect();
    response(&members(parts), &switches, span(parts), &mut message);
    compress(&message.0, out)
}

/// Appends the answer of the plain tool: process ids are those of the host, and there is nothing to switch.
pub fn write_whole(window: &Window, out: &mut Vec<u8>) -> Result<()> {
    let mut message = Message(Vec::new());
    response(&members_of(window, 0, 0), &[], (window.min_ps, window.max_ps), &mut message);
    compress(&message.0, out)
}

/// Appends `message` as one frame with its size and without a checksum.
fn compress(message: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let frame = zstd::bulk::compress(message, ZSTD_LEVEL);
    out.extend_from_slice(&frame.map_err(|e| Error::Unsupported(format!("the answer cannot be compressed: {e}")))?);
    Ok(())
}

/// The whole message.
fn response(members: &[Member<'_>], switches: &[(&str, bool)], (min_ps, max_ps): (u64, u64), message: &mut Message) {
    let mut strings = Strings::new();
    for m in members {
        for row in m.rows {
            if let RowKind::Thread(tid) = row.kind {
                let series = complete(m, tid, &row.events, &mut strings);
                message.bytes(response::COMPLETE_EVENTS, &series.0);
            }
        }
    }
    for m in members {
        for row in m.rows {
            if let RowKind::Counter(name) = row.kind {
                let series = counter(m, name, &row.events, &mut strings);
                message.bytes(response::COUNTER_EVENTS, &series.0);
            }
        }
    }
    for m in members {
        for row in m.rows {
            if let RowKind::Async(name) = row.kind {
                let series = asyncs(m, name, &row.events, &mut strings);
                message.bytes(response::ASYNC_EVENTS, &series.0);
            }
        }
    }
    message.bytes(response::METADATA, &metadata(members).0);
    for text in &strings.all {
        message.bytes(response::INTERNED_STRINGS, text.as_bytes());
    }
    for &(name, value) in switches {
        let mut item = Message::default();
        item.text(1, name);
        item.number(2, value.into());
        message.bytes(response::DETAILS, &item.0);
    }
    message.present(response::FULL_TIMESPAN_START_PS, min_ps);
    message.present(response::FULL_TIMESPAN_END_PS, max_ps);
}

fn complete(m: &Member<'_>, tid: u32, events: &Events, strings: &mut Strings) -> Message {
    let mut series = Message::default();
    series.series_metadata(m.pid, tid, 0, None);
    series.deltas(&events.begin_ps);
    series.packed(3, events.duration_ps.iter().copied());
    let (mut refs, mut facts) = (Vec::with_capacity(events.len()), Message::default());
    let mut flows = events.flows.iter().peekable();
    for idx in 0..events.len() {
        let name = events.names.get(idx).map_or(0, |&name| strings.of_text(m, name));
        refs.push(u64::from(name));
        let flow = flows.next_if(|(i, _)| *i as usize == idx).map(|&(_, flow)| flow);
        facts.bytes(5, &event_facts(events, idx, flow, strings).0);
    }
    series.packed(4, refs.into_iter());
    series.0.extend_from_slice(&facts.0);
    series
}

fn counter(m: &Member<'_>, name: u32, events: &Events, strings: &mut Strings) -> Message {
    let mut series = Message::default();
    let name = strings.of_text(m, name);
    let label = events.args(0).and_then(<[_]>::first).map(|&(label, _)| strings.of_text(m, label));
    series.series_metadata(m.pid, 0, name, label);
    series.deltas(&events.begin_ps);
    for idx in 0..events.len() {
        let mut facts = Message::default();
        // parity: signed integers and texts have no place in the message.
        match events.args(idx).and_then(<[_]>::first) {
            Some((_, Value::Double(v))) => facts.double(5, *v),
            Some((_, Value::Uint(v))) => facts.present(6, *v),
            _ => {}
        }
        series.bytes(5, &facts.0);
    }
    series
}

/// Asynchronous events of one row. parity: those of a row that is shared lose their names.
fn asyncs(m: &Member<'_>, name: u32, events: &Events, strings: &mut Strings) -> Message {
    let mut series = Message::default();
    let name = if events.names.is_empty() { strings.of_text(m, name) } else { 0 };
    series.series_metadata(m.pid, 0, name, None);
    series.deltas(&events.begin_ps);
    series.packed(3, events.duration_ps.iter().copied());
    let mut flows = events.flows.iter().peekable();
    for idx in 0..events.len() {
        let flow = flows.next_if(|(i, _)| *i as usize == idx).map(|&(_, flow)| flow);
        series.bytes(5, &event_facts(events, idx, flow, strings).0);
    }
    series
}

fn event_facts(events: &Events, idx: usize, flow: Option<Flow>, strings: &mut Strings) -> Message {
    let mut facts = Message::default();
    if let Some(flow) = flow {
        // parity: only the low half of the id, and no direction.
        facts.number(1, u64::from(flow.id() as u32));
        facts.number(2, u64::from(strings.add(&ByteString::from_static(category_text(flow.category())))));
    }
    facts.number(3, u64::from(events.group(idx).unwrap_or(0) as u32));
    facts.number(4, events.serial(idx).into());
    facts
}

/// Names of processes and threads.
fn metadata(members: &[Member<'_>]) -> Message {
    let mut metadata = Message::default();
    for same in members.chunk_by(|a, b| a.pid == b.pid) {
        let Some(last) = same.last() else { continue };
        let mut process = Message::default();
        process.text(1, last.window.text(last.process.name));
        process.number(2, last.pid.into());
        process.present(3, last.pid.into());
        let mut threads: Vec<(u32, &str)> =
            same.iter().flat_map(|m| m.process.threads.iter().map(|&(id, name)| (id, m.window.text(name)))).collect();
        threads.sort_by_key(|&(id, _)| id);
        threads.dedup_by_key(|&mut (id, _)| id);
        for (id, name) in threads {
            let mut thread = Message::default();
            thread.text(1, name);
            thread.number(2, id.into());
            thread.present(3, id.into());
            process.bytes(4, &thread.0);
        }
        metadata.bytes(1, &process.0);
    }
    metadata
}

/// Texts of the message, numbered by first use; the first is empty.
struct Strings {
    all: Vec<ByteString>,
    by_text: FxHashMap<ByteString, u32>,
    /// By host and text of its window, so that a text is hashed once.
    by_ref: FxHashMap<(usize, u32), u32>,
}

impl Strings {
    fn new() -> Self {
        let empty = ByteString::new();
        Self { all: vec![empty.clone()], by_text: [(empty, 0)].into_iter().collect(), by_ref: FxHashMap::default() }
    }

    fn add(&mut self, text: &ByteString) -> u32 {
        let next = self.all.len() as u32;
        let idx = *self.by_text.entry(text.clone()).or_insert(next);
        if idx == next {
            self.all.push(text.clone());
        }
        idx
    }

    fn of_text(&mut self, m: &Member<'_>, text: u32) -> u32 {
        if let Some(&known) = self.by_ref.get(&(m.host, text)) {
            return known;
        }
        let idx = m.window.texts.get(text as usize).map_or(0, |text| self.add(text));
        self.by_ref.insert((m.host, text), idx);
        idx
    }
}

/// A message while it is written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A number that is left out if it is 0.
    fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.present(field, value);
        }
    }

    /// A number that is written even if it is 0.
    fn present(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field << 3));
        self.varint(value);
    }

    fn double(&mut self, field: u32, value: f64) {
        self.varint(u64::from(field << 3 | 1));
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field << 3 | 2));
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, field: u32, value: &str) {
        if !value.is_empty() {
            self.bytes(field, value.as_bytes());
        }
    }

    fn packed(&mut self, field: u32, values: impl ExactSizeIterator<Item = u64>) {
        if values.len() == 0 {
            return;
        }
        let mut list = Self(Vec::with_capacity(values.len() * 4));
        values.for_each(|v| list.varint(v));
        self.bytes(field, &list.0);
    }

    /// The first time, then the difference to the one before, with wrap-around.
    fn deltas(&mut self, begin_ps: &[u64]) {
        let mut before = 0u64;
        let deltas = begin_ps.iter().map(|&begin| begin.wrapping_sub(std::mem::replace(&mut before, begin)));
        self.packed(2, deltas);
    }

    fn series_metadata(&mut self, process_id: u32, thread_id: u32, name_ref: u32, event_stats_ref: Option<u32>) {
        let mut metadata = Self::default();
        metadata.number(1, process_id.into());
        metadata.number(2, thread_id.into());
        metadata.number(3, name_ref.into());
        if let Some(label) = event_stats_ref {
            metadata.present(4, label.into());
        }
        self.bytes(1, &metadata.0);
    }
}
