//! The JSON of `trace_viewer`: one event per line, as Python's `json` module writes it.
//!
//! Takes a prepared trace, appends the answer. Events come in the order of planes and lines.
//! It must not know levels of detail, ranks or flows as arrows: all of that is left to the arguments.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;

use crate::answer::number;
use crate::diag::ProblemKind;
use crate::prep::Prepared;
use crate::prep::derived::{ShownLine, TimelineLines, timeline};
use crate::prep::flows::{Flow, PlaneFlows};
use crate::tools::trace_viewer::facts;
use crate::tools::trace_viewer::render::text::write_u64;
use crate::xspace::schema::{line_names, plane_names};
use crate::xspace::{Event, StatValue};
use crate::{Diag, Result};

/// The id of the host's process.
const HOST_ID: u32 = 701;
const PS_PER_US: f64 = 1e6;
/// How many events are written between two looks at the cancellation.
const CHECK_EVERY: usize = 1 << 14;

/// A plane that is shown, with its process id.
struct ShownPlane {
    plane: usize,
    pid: u32,
}

/// Appends the whole answer with the earliest `max_events` events.
pub fn write(prepared: &Prepared, max_events: usize, diag: &mut Diag, out: &mut Vec<u8>) -> Result<()> {
    let (timeline, _) = timeline(prepared, |_, _| Ok(()), diag)?;
    out.extend_from_slice(b"{\"displayTimeUnit\":\"ns\",\"metadata\":{\"highres-ticks\":true},\n\"traceEvents\":[\n");
    trace_events(prepared, &timeline, max_events, diag, out)?;
    out.extend_from_slice(b"{}]}\n");
    Ok(())
}

fn trace_events<'a>(
    prepared: &'a Prepared,
    timeline: &'a TimelineLines,
    max_events: usize,
    diag: &mut Diag,
    out: &mut Vec<u8>,
) -> Result<()> {
    let planes = shown_planes(prepared);
    processes(prepared, timeline, &planes, out);
    let flows = planes.iter().map(|p| PlaneFlows::new(prepared, &prepared.space.planes[p.plane])).collect::<Vec<_>>();
    let mut args = Args::default();
    let mut write = |plane: usize, line: ShownLine<'a>, idx: usize| {
        if let Some(event) = line.line.event(line.plane, idx) {
            args.event(&event, flows[plane].of(&event), planes[plane].pid, line.id as u32, out);
        }
    };
    if let Some(events) = capped(prepared, timeline, &planes, max_events, diag)? {
        events.into_iter().for_each(|(plane, line, idx)| write(plane, line, idx));
        return Ok(());
    }
    for (i, plane) in planes.iter().enumerate() {
        for line in event_lines(prepared, timeline, plane) {
            for idx in 0..line.line.events.len() {
                if idx % CHECK_EVERY == 0 {
                    diag.check()?;
                }
                write(i, line, idx);
            }
        }
    }
    Ok(())
}
/// The host's plane, then the devices of the first kind that there is.
fn shown_planes(prepared: &Prepared) -> Vec<ShownPlane> {
    let planes = &prepared.space.planes;
    let host = planes.iter().position(|p| p.name == plane_names::HOST_CPU);
    let mut shown: Vec<ShownPlane> = host.map(|plane| ShownPlane { plane, pid: HOST_ID }).into_iter().collect();
    let of_kind = |prefix: &&str| (0..planes.len()).filter(|&i| planes[i].name.starts_with(prefix)).collect::<Vec<_>>();
    let kinds = [plane_names::GPU_PREFIX, plane_names::TPU_PREFIX, plane_names::CUSTOM_PREFIX];
    let devices = kinds.iter().map(of_kind).find(|planes| !planes.is_empty()).unwrap_or_default();
    // parity: unlike in the streaming tool, an id may be anything.
    shown.extend(devices.into_iter().map(|plane| ShownPlane { plane, pid: (planes[plane].id as u32).wrapping_add(1) }));
    shown
}

fn lines<'a>(
    prepared: &'a Prepared,
    timeline: &'a TimelineLines,
    plane: &ShownPlane,
) -> impl Iterator<Item = ShownLine<'a>> {
    timeline.planes[plane.plane].shown(&prepared.space.planes[plane.plane])
}

/// The lines whose events are listed. parity: that of asynchronous operations is only declared.
fn event_lines<'a>(
    prepared: &'a Prepared,
    timeline: &'a TimelineLines,
    plane: &ShownPlane,
) -> impl Iterator<Item = ShownLine<'a>> {
    lines(prepared, timeline, plane).filter(|line| line.name() != line_names::ASYNC_XLA_OPS)
}

/// The earliest events, if there are too many.
fn capped<'a>(
    prepared: &'a Prepared,
    timeline: &'a TimelineLines,
    planes: &[ShownPlane],
    max_events: usize,
    diag: &mut Diag,
) -> Result<Option<Vec<(usize, ShownLine<'a>, usize)>>> {
    let n_events: usize =
        planes.iter().flat_map(|p| event_lines(prepared, timeline, p)).map(|line| line.line.events.len()).sum();
    if n_events <= max_events {
        return Ok(None);
    }
    diag.count_n(ProblemKind::Truncated, (n_events - max_events) as u64, || {
        format!("only the earliest {max_events} events are shown; trace_viewer@ shows all")
    });
    let mut events = Vec::with_capacity(n_events);
    for (i, plane) in planes.iter().enumerate() {
        for line in event_lines(prepared, timeline, plane) {
            diag.check()?;
            events.extend((0..line.line.events.len()).map(|idx| (i, line, idx)));
        }
    }
    events.sort_by_key(|(_, line, idx)| line.line.events.begin_ps[*idx]);
    events.truncate(max_events);
    Ok(Some(events))
}

/// Names of processes and threads.
fn processes(prepared: &Prepared, timeline: &TimelineLines, planes: &[ShownPlane], out: &mut Vec<u8>) {
    let mut processes: BTreeMap<u32, (&str, BTreeMap<u32, &str>)> = BTreeMap::new();
    for plane in planes.iter().filter(|p| !prepared.space.planes[p.plane].name.is_empty()) {
        let process = processes.entry(plane.pid).or_default();
        process.0 = &prepared.space.planes[plane.plane].name;
        process.1.extend(lines(prepared, timeline, plane).map(|line| (line.id as u32, &**line.name())));
    }
    for (pid, (name, threads)) in processes {
        metadata(out, "process", name, pid, pid, None);
        for (tid, name) in threads {
            metadata(out, "thread", name, tid, pid, Some(tid));
        }
    }
}

/// Name and place of a process or thread. parity: an empty name is left out.
fn metadata(out: &mut Vec<u8>, what: &str, name: &str, sort_index: u32, pid: u32, tid: Option<u32>) {
    let tid = tid.map(|tid| format!(", \"tid\": {tid}")).unwrap_or_default();
    if !name.is_empty() {
        out.extend_from_slice(b"{\"args\": {\"name\": ");
        write_string(out, name);
        // Writing to a vector cannot fail.
        let _ = writeln!(out, "}}, \"name\": \"{what}_name\", \"ph\": \"M\", \"pid\": {pid}{tid}}},");
    }
    let _ = writeln!(
        out,
        "{{\"args\": {{\"sort_index\": {sort_index}}}, \"name\": \"{what}_sort_index\", \"ph\": \"M\", \"pid\": {pid}{tid}}},"
    );
}

/// The arguments of one event; the memory serves all events.
#[derive(Default)]
struct Args<'a> {
    args: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Args<'a> {
    /// Appends one event with its arguments, sorted by name; of equal names the last one counts.
    fn event(&mut self, event: &Event<'a>, flow: Option<Flow>, pid: u32, tid: u32, out: &mut Vec<u8>) {
        if facts::is_internal_event(event.name()) {
            return;
        }
        self.collect(event, flow);
        out.push(b'{');
        if !self.args.is_empty() {
            out.extend_from_slice(b"\"args\": {");
            for (i, (name, value)) in self.args.iter().enumerate() {
                if i > 0 {
                    out.extend_from_slice(b", ");
                }
                write_string(out, name);
                out.extend_from_slice(b": ");
                write_string(out, value);
            }
            out.extend_from_slice(b"}, ");
        }
        let duration_ps = event.duration_ps();
        if duration_ps > 0 {
            out.extend_from_slice(b"\"dur\": ");
            number::write_python(out, duration_ps as f64 / PS_PER_US);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(b"\"name\": ");
        write_string(out, &facts::plain_name(event));
        out.extend_from_slice(if duration_ps > 0 {
            b", \"ph\": \"X\", \"pid\": "
        } else {
            b", \"ph\": \"i\", \"pid\": "
        });
        write_u64(out, pid.into());
        if duration_ps == 0 {
            out.extend_from_slice(b", \"s\": \"t\"");
        }
        out.extend_from_slice(b", \"tid\": ");
        write_u64(out, tid.into());
        out.extend_from_slice(b", \"ts\": ");
        number::write_python(out, event.begin_ps() as f64 / PS_PER_US);
        out.extend_from_slice(b"},\n");
    }

    fn collect(&mut self, event: &Event<'a>, flow: Option<Flow>) {
        self.args.clear();
        let metadata = event.metadata();
        if !metadata.display_name.is_empty() {
            // parity: unlike in the streaming tool, it is not cut.
            self.args.push((Cow::Borrowed("long_name"), Cow::Borrowed(&*metadata.name)));
        }
        for stat in facts::shown_stats(event, true) {
            let value = match stat.value {
                StatValue::Int(v) => Cow::Owned(v.to_string()),
                StatValue::Uint(v) => Cow::Owned(v.to_string()),
                StatValue::Double(v) => Cow::Owned(number::g(v, 6)),
                StatValue::Bytes(_) => Cow::Borrowed("<opaque bytes>"),
                text => text.text(),
            };
            self.args.push((Cow::Borrowed(stat.name), value));
        }
        if let Some(group) = event.group_id() {
            self.args.push((Cow::Borrowed("group_id"), group.to_string().into()));
        }
        if let Some(flow) = flow {
            self.args.push((Cow::Borrowed("flow"), flow.0.to_string().into()));
        }
        // The sort is stable; of equal names the last one is moved to the front place and stays.
        self.args.sort_by(|a, b| a.0.cmp(&b.0));
        self.args.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(&mut later.1, &mut kept.1);
            }
            same
        });
    }
}

/// Appends a string in quotes with everything beyond ASCII as `\uxxxx`.
fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            ' '..='~' => out.push(c as u8),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(b"\\u");
                    out.extend((0..4).rev().map(|i| HEX[usize::from(*unit >> (4 * i) & 15)]));
                }
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let mut out = Vec::new();
        write_string(&mut out, text);
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn writes_strings_as_python_does() {
        check("a\"b\\\n\r\t\u{8}\u{c}", r#""a\"b\\\n\r\t\b\f""#);
        check("<é>\u{7f}\u{1}🚀", r#""<\u00e9>\u007f\u0001\ud83d\ude80""#);
    }
}
