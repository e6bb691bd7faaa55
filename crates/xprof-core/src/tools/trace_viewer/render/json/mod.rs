//! The JSON of `trace_viewer@`.
//!
//! Takes the windows of all hosts, gives one object without line breaks, byte for byte in the reference's layout where
//! that is valid JSON. Where it is not (names and values of counters), ours is.
//! It must not allocate per event: names are escaped once, numbers are written in place.

mod rows;

use super::text::{write_string, write_u64};
use super::{Member, Part, details, members, span};
use crate::Result;
use crate::answer::{Answer, number};
use crate::tools::trace_viewer::store::frames::frame_order;
use crate::tools::trace_viewer::window::{RowKind, Value, Window};

/// parity: the message appears at exactly this number of samples, although nothing is left out.
const MESSAGE_AT_COUNTER_EVENTS: usize = 10_000_000;
const COUNTER_MESSAGE: &str = "Only 10000000 counter events are shown. Zoom in or pan to see more.";
const PS_PER_MS: f64 = 1e9;

/// Appends the whole answer.
pub fn write(parts: &[Part], full_dma: bool, answer: &mut Answer) -> Result<()> {
    let members = members(parts);
    let n_events: usize = members.iter().flat_map(|m| m.rows).map(|row| row.events.len()).sum();
    let texts = Texts {
        names: parts.iter().map(|part| EscapedTexts::new(&part.artifact)).collect(),
        frames: Frames::new(parts),
    };
    let out = answer.buffer();
    head(parts, full_dma, n_events, out);
    texts.frames.write(out);
    out.extend_from_slice(b",\"traceEvents\":[");
    let mut writer = ProcessWriter { names: &texts.names, is_first: true, out };
    let same_pid = || members.chunk_by(|a, b| a.pid == b.pid);
    same_pid().for_each(|members| writer.process(members));
    // Every row has its process, so rows are never the first in the list.
    let rows: Vec<_> = same_pid().flat_map(rows::in_order).collect();
    rows::write(&rows, &texts, answer)?;
    let out = answer.buffer();
    let counters = rows.iter().filter(|(_, row)| matches!(row.kind, RowKind::Counter(_)));
    let n_counter_events: usize = counters.map(|(_, row)| row.events.len()).sum();
    out.extend_from_slice(b"], \"showCounterMessage\": ");
    write_string(out, if n_counter_events == MESSAGE_AT_COUNTER_EVENTS { COUNTER_MESSAGE } else { "" });
    out.extend_from_slice(b" ,\"totalCounterEvents\":");
    write_u64(out, n_counter_events as u64);
    out.push(b'}');
    Ok(())
}

/// The texts of an answer, made once.
struct Texts<'a> {
    /// Of each host.
    names: Vec<EscapedTexts>,
    frames: Frames<'a>,
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

/// Writes what is known about processes and threads.
struct ProcessWriter<'a> {
    names: &'a [EscapedTexts],
    is_first: bool,
    out: &'a mut Vec<u8>,
}

impl ProcessWriter<'_> {
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
}
