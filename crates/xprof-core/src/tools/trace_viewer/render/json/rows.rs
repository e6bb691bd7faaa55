//! Events as JSON, row by row.
//!
//! Takes rows in the order of the answer and the texts they refer to. Rows are cut into parts that are written in parallel,
//! each into a buffer of its own, and then appended to the answer, some at a time.
//! It must not allocate per event.

use std::iter::Peekable;
use std::ops::Range;

use rayon::prelude::*;

use super::Texts;
use crate::Result;
use crate::answer::{Answer, number};
use crate::prep::flows::Flow;
use crate::tools::trace_viewer::render::text::{write_i64, write_string, write_u64, write_us};
use crate::tools::trace_viewer::render::{Member, category_text};
use crate::tools::trace_viewer::window::{Events, Row, RowKind, Value};

/// How many events are written together, so that what is written stays in the processor's cache until it is used.
const PART_EVENTS: usize = 2048;
/// How many parts per thread are written before they are appended.
const PARTS_PER_THREAD: usize = 8;
/// The largest magnitude up to which every whole number is a double.
const MAX_EXACT_INTEGER: u64 = 1 << 53;

const DIRECTION_IN: u8 = 1;
const DIRECTION_OUT: u8 = 2;
const DIRECTION_BOTH: u8 = 3;

/// The rows of one process: first those without thread.
pub fn in_order<'a>(members: &'a [Member<'a>]) -> impl Iterator<Item = (&'a Member<'a>, &'a Row)> {
    [true, false].into_iter().flat_map(move |without_thread| {
        let rows = members.iter().flat_map(|m| m.rows.iter().map(move |row| (m, row)));
        rows.filter(move |(_, row)| row.is_thread() != without_thread)
    })
}

/// Appends all events, each with a comma before it.
pub fn write(rows: &[(&Member<'_>, &Row)], texts: &Texts<'_>, answer: &mut Answer) -> Result<()> {
    let mut parts: Vec<(usize, Range<usize>)> = Vec::new();
    for (i, (_, row)) in rows.iter().enumerate() {
        let n_events = row.events.len();
        // A counter is one object with all its samples.
        let step = if matches!(row.kind, RowKind::Counter(_)) { n_events.max(1) } else { PART_EVENTS };
        parts.extend((0..n_events).step_by(step).map(|start| (i, start..n_events.min(start + step))));
    }
    let write_part = |out: &mut Vec<u8>, (row, range): &(usize, Range<usize>)| {
        out.clear();
        let (m, Row { kind, events, .. }) = rows[*row];
        let mut writer = Writer { texts, out };
        match *kind {
            RowKind::Counter(name) => writer.counter(m, name, events),
            RowKind::Async(name) => writer.asyncs(m, name, events, range.clone()),
            RowKind::Thread(tid) => writer.slices(m, tid, events, range.clone()),
        }
    };
    let at_once = PARTS_PER_THREAD * rayon::current_num_threads();
    let mut written: Vec<Vec<u8>> = vec![Vec::new(); at_once.min(parts.len())];
    for parts in parts.chunks(at_once) {
        let written = &mut written[..parts.len()];
        written.par_iter_mut().zip(parts).for_each(|(out, part)| write_part(out, part));
        answer.append(written)?;
    }
    Ok(())
}

/// The flows of the events from `start` on.
fn flows_from(events: &Events, start: usize) -> Peekable<std::slice::Iter<'_, (u32, Flow)>> {
    let first = events.flows.partition_point(|&(idx, _)| (idx as usize) < start);
    events.flows[first..].iter().peekable()
}

struct Writer<'a> {
    texts: &'a Texts<'a>,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn counter(&mut self, m: &Member<'_>, name: u32, events: &Events) {
        let names = &self.texts.names[m.host];
        self.out.extend_from_slice(b",{\"pid\":");
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

    fn asyncs(&mut self, m: &Member<'_>, name: u32, events: &Events, range: Range<usize>) {
        let mut flows = flows_from(events, range.start);
        for idx in range {
            let begin_ps = events.begin_ps[idx];
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
        self.out.extend_from_slice(b",{\"pid\":");
        write_u64(self.out, m.pid.into());
        self.out.extend_from_slice(b",\"name\":");
        self.out.extend_from_slice(self.texts.names[m.host].get(name));
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

    fn slices(&mut self, m: &Member<'_>, tid: u32, events: &Events, range: Range<usize>) {
        let mut prefix = Vec::with_capacity(64);
        prefix.extend_from_slice(b",{\"pid\":");
        write_u64(&mut prefix, m.pid.into());
        prefix.extend_from_slice(b",\"tid\":");
        write_u64(&mut prefix, tid.into());
        prefix.extend_from_slice(b",\"name\":");
        let mut flows = flows_from(events, range.start);
        for idx in range {
            self.out.extend_from_slice(&prefix);
            let name = events.names.get(idx).copied().unwrap_or(u32::MAX);
            self.out.extend_from_slice(self.texts.names[m.host].get(name));
            self.out.extend_from_slice(b",\"ts\":");
            write_us(self.out, events.begin_ps[idx]);
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
                frame = self.texts.frames.number(m.window.text(text));
                continue;
            }
            if comma {
                self.out.push(b',');
            }
            comma = true;
            self.out.extend_from_slice(self.texts.names[m.host].get(name));
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
            Value::Text(text) | Value::Frame(text) => self.out.extend_from_slice(self.texts.names[m.host].get(text)),
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
