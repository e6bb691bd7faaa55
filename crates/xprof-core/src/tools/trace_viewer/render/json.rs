//! The JSON of `trace_viewer@`.
//!
//! Takes the windows of all hosts, gives one object without line breaks, byte for byte in the reference's layout where
//! that is valid JSON. Where it is not (names and values of counters), ours is.
//! It must not allocate per event: names are escaped once, numbers are written in place.

use super::text::{write_i64, write_string, write_u64, write_us};
use super::{Member, Part, category_text, details, members, span};
use crate::answer::number;
use crate::prep::flows::Flow;
use crate::tools::trace_viewer::store::frames::frame_order;
use crate::tools::trace_viewer::window::{Events, Row, RowKind, Value, Window};

/// parity: the message appears at exactly this number of samples, although nothing is left out.
const MESSAGE_AT_COUNTER_EVENTS: usize = 10_000_000;
const COUNTER_MESSAGE: &str = "Only 10000000 counter events are shown. Zoom in or pan to see more.";
/// The largest magnitude up to which every whole number is a double.
const MAX_EXACT_INTEGER: u64 = 1 << 53;
const PS_PER_MS: f64 = 1e9;

const DIRECTION_IN: u8 = 1;
const DIRECTION_OUT: u8 = 2;
const DIRECTION_BOTH: u8 = 3;

/// Appends the whole answer.
pub fn write(parts: &[Part], full_dma: bool, out: &mut Vec<u8>) {
    let members = members(parts);
    let n_events: usize = members.iter().flat_map(|m| m.rows).map(|row| row.events.len()).sum();
    out.reserve(4096 + n_events * 128);
    let frames = Frames::new(parts);
    head(parts, full_dma, n_events, out);
    frames.write(out);
    out.extend_from_slice(b",\"traceEvents\":[");
    let mut writer = Writer {
        names: parts.iter().map(|part| EscapedTexts::new(&part.artifact)).collect(),
        frames,
        is_first: true,
        n_counter_events: 0,
        out,
    };
    let same_pid = || members.chunk_by(|a, b| a.pid == b.pid);
    same_pid().for_each(|members| writer.process(members));
    same_pid().for_each(|members| writer.rows(members));
    let n_counter_events = writer.n_counter_events;
    out.extend_from_slice(b"], \"showCounterMessage\": ");
    write_string(out, if n_counter_events == MESSAGE_AT_COUNTER_EVENTS { COUNTER_MESSAGE } else { "" });
    out.extend_from_slice(b" ,\"totalCounterEvents\":");
    write_u64(out, n_counter_events as u64);
    out.push(b'}');
}

/// Everything up to the stack frames.
fn head(parts: &[Part], full_dma: bool, n_events: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"displayTimeUnit\":\"ns\",\"metadata\":{\"highres-ticks\":true}, \"codeLink\":\"\",");
    out.extend_from_slice(b"\"useNewBackend\": false,\"details\":[");
    for (i, (name, value)) in details(parts, full_dma).enumerate() {
        out.extend_from_slice(if i == 0 { b"{\"name\":" } else { b",{\"name\":" });
        write_string(out, name);
        out.extend_from_slice(if value { b",\"value\":true}" } else { b",\"value\":false}" });
    }
    out.extend_from_slice(b"],\"returnedEventsSize\":");
    write_u64(out, n_events as u64);
    // parity: the flag says true even if nothing was left out, and the span has six significant digits.
    out.extend_from_slice(b",\"filteredByVisibility\":true,\"fullTimespan\":[");
    let (min_ps, max_ps) = span(parts);
    number::write_g(out, min_ps as f64 / PS_PER_MS, 6);
    out.push(b',');
    number::write_g(out, max_ps as f64 / PS_PER_MS, 6);
    out.push(b']');
}

/// Stack frames of the answer: (order, text), sorted; a frame's number is its place, from 1.
struct Frames<'a>(Vec<(u64, &'a str)>);

impl<'a> Frames<'a> {
    fn new(parts: &'a [Part]) -> Self {
        let mut frames = Vec::new();
        for window in parts.iter().map(|p| &*p.artifact).filter(|w| !w.not_found) {
            let rows = window.rows.iter().filter(|row| !matches!(row.kind, RowKind::Counter(_)));
            let of_args = rows.flat_map(|row| &row.events.args).filter_map(|(_, value)| match value {
                Value::Frame(text) => Some(*text),
                _ => None,
            });
            frames.extend(window.frames.iter().copied().chain(of_args).map(|text| window.text(text)));
        }
        frames.sort_unstable();
        frames.dedup();
        let mut frames: Vec<_> = frames.into_iter().map(|text| (frame_order(text), text)).collect();
        frames.sort_unstable();
        Self(frames)
    }

    fn number(&self, text: &str) -> Option<u64> {
        self.0.binary_search(&(frame_order(text), text)).ok().map(|i| i as u64 + 1)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"stackFrames\":{");
        for (i, (_, text)) in self.0.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"\"" } else { b",\"" });
            write_u64(out, i as u64 + 1);
            out.extend_from_slice(b"\":{\"name\":");
            write_string(out, text);
            out.push(b'}');
        }
        out.push(b'}');
    }
}

/// All texts of one window as JSON strings.
struct EscapedTexts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl EscapedTexts {
    fn new(window: &Window) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(window.texts.len()));
        for text in &window.texts {
            write_string(&mut bytes, text);
            ends.push(bytes.len());
        }
        Self { bytes, ends }
    }

    #[inline]
    fn get(&self, text: u32) -> &[u8] {
        let text = text as usize;
        let start = if text == 0 { 0 } else { self.ends.get(text - 1).copied().unwrap_or(0) };
        self.ends.get(text).map_or(b"\"\"", |&end| &self.bytes[start..end])
    }
}

struct Writer<'a> {
    /// Of each host.
    names: Vec<EscapedTexts>,
    frames: Frames<'a>,
    is_first: bool,
    n_counter_events: usize,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn separate(&mut self) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
    }

    /// Metadata of one process and its threads. Of several devices with one id, the last one names the process.
    fn process(&mut self, members: &[Member<'_>]) {
        let Some(last) = members.last() else { return };
        let mut threads: Vec<(u32, usize, u32)> =
            members.iter().flat_map(|m| m.process.threads.iter().map(|&(id, name)| (id, m.host, name))).collect();
        threads.sort_by_key(|&(id, ..)| id);
        threads.dedup_by_key(|&mut (id, ..)| id);
        self.named("process_name", (last.host, last.process.name), last.pid, None, Some(threads.len()));
        self.sorted("process_sort_index", last.pid, last.pid, None);
        for (id, host, name) in threads {
            self.named("thread_name", (host, name), last.pid, Some(id), None);
            self.sorted("thread_sort_index", id, last.pid, Some(id));
        }
    }

    fn named(&mut self, what: &str, (host, name): (usize, u32), pid: u32, tid: Option<u32>, n_threads: Option<usize>) {
        self.separate();
        self.out.extend_from_slice(b"{\"args\":{\"name\":");
        self.out.extend_from_slice(self.names[host].get(name));
        self.metadata(what, pid, tid);
        if let Some(n) = n_threads {
            self.out.extend_from_slice(b",\"thread_count\":");
            write_u64(self.out, n as u64);
        }
        self.out.push(b'}');
    }

    fn sorted(&mut self, what: &str, sort_index: u32, pid: u32, tid: Option<u32>) {
        self.separate();
        self.out.extend_from_slice(b"{\"args\":{\"sort_index\":");
        write_u64(self.out, sort_index.into());
        self.metadata(what, pid, tid);
        self.out.push(b'}');
    }

    fn metadata(&mut self, what: &str, pid: u32, tid: Option<u32>) {
        self.out.extend_from_slice(b"},\"name\":\"");
        self.out.extend_from_slice(what.as_bytes());
        self.out.extend_from_slice(b"\",\"ph\":\"M\",\"pid\":");
        write_u64(self.out, pid.into());
        if let Some(tid) = tid {
            self.out.extend_from_slice(b",\"tid\":");
            write_u64(self.out, tid.into());
        }
    }

    /// Events of one process: first the rows without thread.
    fn rows(&mut self, members: &[Member<'_>]) {
        for without_thread in [true, false] {
            for m in members {
                for row in m.rows.iter().filter(|row| row.is_thread() != without_thread) {
                    match row.kind {
                        RowKind::Counter(name) => self.counter(m, name, &row.events),
                        RowKind::Async(name) => self.asyncs(m, name, &row.events),
                        RowKind::Thread(tid) => self.slices(m, tid, row),
                    }
                }
            }
        }
    }

    fn counter(&mut self, m: &Member<'_>, name: u32, events: &Events) {
        self.n_counter_events += events.len();
        self.separate();
        let names = &self.names[m.host];
        self.out.extend_from_slice(b"{\"pid\":");
        write_u64(self.out, m.pid.into());
        self.out.extend_from_slice(b",\"name\":");
        self.out.extend_from_slice(names.get(name));
        self.out.extend_from_slice(b",\"ph\":\"C\"");
        if let Some((first, _)) = events.args(0).and_then(<[_]>::first) {
            self.out.extend_from_slice(b",\"event_stats\":");
            self.out.extend_from_slice(names.get(*first));
        }
        self.out.extend_from_slice(b",\"entries\":[");
        let mut is_first = true;
        for (idx, &begin_ps) in events.begin_ps.iter().enumerate() {
            // The reference writes a comma and nothing else for a sample without values, which is not JSON.
            let Some(args) = events.args(idx).filter(|args| !args.is_empty()) else {
                continue;
            };
            self.out.extend_from_slice(if is_first { b"[" } else { b",[" });
            is_first = false;
            write_us(self.out, begin_ps);
            for &(arg, value) in args {
                self.out.push(b',');
                match value {
                    Value::Int(v) => write_i64(self.out, v),
                    Value::Uint(v) => write_u64(self.out, v),
                    Value::Double(v) => write_double(self.out, m.window.text(arg), v),
                    Value::Text(text) | Value::Frame(text) => self.out.extend_from_slice(names.get(text)),
                }
            }
            self.out.push(b']');
        }
        self.out.extend_from_slice(b"]}");
    }

    fn asyncs(&mut self, m: &Member<'_>, name: u32, events: &Events) {
        let mut flows = events.flows.iter().peekable();
        for (idx, &begin_ps) in events.begin_ps.iter().enumerate() {
            // Events of a row that is shared have names of their own.
            let name = events.names.get(idx).copied().unwrap_or(name);
            let flow = flows.next_if(|(i, _)| *i as usize == idx).map_or(Flow(0), |&(_, flow)| flow);
            let phase: &[u8] = match flow.direction() {
                DIRECTION_IN => b"\"e\"",
                DIRECTION_OUT | DIRECTION_BOTH => b"\"b\"",
                // parity: such an event has no phase at all.
                _ => b"",
            };
            self.async_end(m, name, begin_ps, flow, phase);
            self.args(m, events, idx);
            self.close(events.serial(idx));
            if flow.direction() == DIRECTION_BOTH {
                self.async_end(m, name, begin_ps.wrapping_add(events.duration_ps(idx)), flow, b"\"e\"");
                if let Some(group) = events.group(idx) {
                    self.out.extend_from_slice(b",\"args\":{\"group_id\":");
                    write_i64(self.out, group);
                    self.out.push(b'}');
                }
                self.close(events.serial(idx));
            }
        }
    }

    fn async_end(&mut self, m: &Member<'_>, name: u32, ps: u64, flow: Flow, phase: &[u8]) {
        self.separate();
        self.out.extend_from_slice(b"{\"pid\":");
        write_u64(self.out, m.pid.into());
        self.out.extend_from_slice(b",\"name\":");
        self.out.extend_from_slice(self.names[m.host].get(name));
        self.out.extend_from_slice(b",\"ts\":");
        write_us(self.out, ps);
        self.out.extend_from_slice(b",\"id\":");
        write_u64(self.out, flow.id());
        self.out.extend_from_slice(b",\"cat\":");
        write_string(self.out, category_text(flow.category()));
        if !phase.is_empty() {
            self.out.extend_from_slice(b",\"ph\":");
            self.out.extend_from_slice(phase);
        }
    }

    fn slices(&mut self, m: &Member<'_>, tid: u32, row: &Row) {
        let events = &row.events;
        let mut prefix = Vec::with_capacity(48);
        prefix.extend_from_slice(b"{\"pid\":");
        write_u64(&mut prefix, m.pid.into());
        prefix.extend_from_slice(b",\"tid\":");
        write_u64(&mut prefix, tid.into());
        prefix.extend_from_slice(b",\"name\":");
        let mut flows = events.flows.iter().peekable();
        for (idx, &begin_ps) in events.begin_ps.iter().enumerate() {
            self.separate();
            self.out.extend_from_slice(&prefix);
            let name = events.names.get(idx).copied().unwrap_or(u32::MAX);
            self.out.extend_from_slice(self.names[m.host].get(name));
            self.out.extend_from_slice(b",\"ts\":");
            write_us(self.out, begin_ps);
            self.out.extend_from_slice(b",\"dur\":");
            // parity: an event without duration is drawn with the shortest one there is.
            write_us(self.out, events.duration_ps(idx).max(1));
            if let Some(&(_, flow)) = flows.next_if(|(i, _)| *i as usize == idx) {
                self.flow(flow);
            }
            self.out.extend_from_slice(b",\"ph\":\"X\"");
            self.args(m, events, idx);
            self.close(events.serial(idx));
        }
    }

    fn flow(&mut self, flow: Flow) {
        self.out.extend_from_slice(b",\"bind_id\":");
        write_u64(self.out, flow.id());
        let category = category_text(flow.category());
        if !category.is_empty() {
            self.out.extend_from_slice(b",\"cat\":");
            write_string(self.out, category);
        }
        self.out.extend_from_slice(match flow.direction() {
            DIRECTION_IN => b",\"flow_in\":true",
            DIRECTION_OUT => b",\"flow_out\":true",
            DIRECTION_BOTH => b",\"flow_in\":true,\"flow_out\":true",
            _ => b"",
        });
    }

    /// Arguments: all if the query asked for them, else what the client needs to ask for the rest.
    fn args(&mut self, m: &Member<'_>, events: &Events, idx: usize) {
        self.out.extend_from_slice(b",\"args\":{");
        if let Some(group) = events.group(idx) {
            self.out.extend_from_slice(b"\"group_id\":");
            write_i64(self.out, group);
        }
        let mut comma = events.group(idx).is_some();
        let Some(args) = events.args(idx) else {
            self.out.extend_from_slice(if comma { b",\"uid\":" } else { b"\"uid\":" });
            write_u64(self.out, events.serial(idx).into());
            self.out.push(b'}');
            return;
        };
        let mut frame = None;
        for &(name, value) in args {
            if let Value::Frame(text) = value {
                frame = self.frames.number(m.window.text(text));
                continue;
            }
            if comma {
                self.out.push(b',');
            }
            comma = true;
            self.out.extend_from_slice(self.names[m.host].get(name));
            self.out.push(b':');
            self.value(m, name, value);
        }
        self.out.push(b'}');
        if let Some(frame) = frame {
            self.out.extend_from_slice(b",\"sf\":");
            write_u64(self.out, frame);
        }
    }

    fn value(&mut self, m: &Member<'_>, name: u32, value: Value) {
        match value {
            Value::Int(v) => quoted_if(self.out, v.unsigned_abs() > MAX_EXACT_INTEGER, |out| write_i64(out, v)),
            Value::Uint(v) => quoted_if(self.out, v > MAX_EXACT_INTEGER, |out| write_u64(out, v)),
            Value::Double(v) => write_double(self.out, m.window.text(name), v),
            Value::Text(text) | Value::Frame(text) => self.out.extend_from_slice(self.names[m.host].get(text)),
        }
    }

    fn close(&mut self, serial: u8) {
        if serial > 0 {
            self.out.extend_from_slice(b",\"z\":");
            write_u64(self.out, serial.into());
        }
        self.out.push(b'}');
    }
}

fn quoted_if(out: &mut Vec<u8>, quoted: bool, write: impl FnOnce(&mut Vec<u8>)) {
    if quoted {
        out.push(b'"');
    }
    write(out);
    if quoted {
        out.push(b'"');
    }
}

/// A double with all its digits, or two decimals where the argument's name says that it is a rate.
fn write_double(out: &mut Vec<u8>, name: &str, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else if name.ends_with("(util %)") || name.ends_with(" (MB/sec)") {
        number::write_fixed(out, value, 2);
    } else {
        number::write_g(out, value, 17);
    }
}
