//! The way from bytes to columns, in two passes.
//!
//! Pass one finds the boundaries: planes, then per plane its lines and metadata entries, then per line its events.
//! Pass two decodes metadata tables (`tables.rs`) and, in parallel over pieces of lines, events (`events.rs`).
//! Fields may come in any order and be repeated; later scalars win, as protobuf says.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use bytestring::ByteString;
use rayon::prelude::*;

use super::events::{CHUNK, read_events};
use super::id_table::IdTable;
use super::plane::Span;
use super::tables::{read_event_metadata, read_stat_metadata};
use super::{EventMetadata, Line, Plane, StatMetadata, TraceBytes, XSpace};
use crate::diag::ProblemKind;
use crate::wire::{Fields, Value, WireError, offset_in};
use crate::{Diag, Error, Result};

/// What to read.
#[derive(Clone, Copy)]
pub(super) enum Want {
    Everything,
    /// No events, except of the planes for which the function is true.
    Catalog {
        events_of: fn(&Plane) -> bool,
    },
}

/// A plane costs hundreds of bytes of memory and as little as two bytes of file; this limit keeps a hostile file from using that.
/// Real traces have tens of planes.
const MAX_PLANES: usize = 1 << 16;
/// Memory for everything that is not an event: so much, and so many times the size of the file. An entry of a real trace takes
/// at most ten times its bytes of file.
const ROOM_BYTES: u64 = 64 << 20;
const ROOM_PER_FILE_BYTE: u64 = 16;
/// What a line needs beside its own size: the vectors of its columns.
const LINE_PARTS_BYTES: usize = 512;

/// A problem at a place of the file.
pub(super) struct Damage {
    pub offset: u64,
    pub error: WireError,
}

pub(super) type Scan<T> = std::result::Result<T, Damage>;

/// The memory that may still be used for lines and tables, by all planes together.
struct Room {
    left: AtomicU64,
    all: u64,
}

impl Room {
    fn of(n_file_bytes: usize) -> Self {
        let all = ROOM_BYTES + ROOM_PER_FILE_BYTE * n_file_bytes as u64;
        Self { left: AtomicU64::new(all), all }
    }

    /// Takes room for `n` things before it is used.
    fn take(&self, n: usize, bytes_each: usize, what: &str) -> Result<()> {
        let bytes = n as u64 * bytes_each as u64;
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        let too_large = |_| Error::TooLarge {
            what: format!("the memory for {n} {what}, beside the rest of this trace,"),
            limit: format!("{} bytes", self.all),
        };
        taken.map(drop).map_err(too_large)
    }
}

pub(super) fn read(trace: TraceBytes, file: &str, want: Want, diag: &mut Diag) -> Result<XSpace> {
    let data = trace.bytes().clone();
    let room = Room::of(data.len());
    let malformed = |d: Damage| Error::Malformed { file: file.to_owned(), offset: d.offset, source: d.error };
    let mut space =
        XSpace { trace, planes: Vec::new(), errors: Vec::new(), warnings: Vec::new(), hostnames: Vec::new() };
    let mut bodies = Vec::new();
    let mut fields = Fields::new(&data);
    while let Some(field) =
        fields.next_field().map_err(|error| malformed(Damage { offset: fields.position() as u64, error }))?
    {
        match (field.number, field.value) {
            (1, Value::Bytes(body)) => bodies.push(body),
            (2, Value::Bytes(text)) => space.errors.push(string(&data, text, diag)),
            (3, Value::Bytes(text)) => space.warnings.push(string(&data, text, diag)),
            (4, Value::Bytes(text)) => space.hostnames.push(string(&data, text, diag)),
            _ => {}
        }
        limit(bodies.len(), MAX_PLANES, "the number of planes")?;
    }
    let n_texts = space.errors.len() + space.warnings.len() + space.hostnames.len();
    room.take(n_texts, size_of::<ByteString>(), "texts")?;
    let planes: Vec<_> = bodies
        .par_iter()
        .map(|body| {
            let mut part = diag.fork();
            read_plane(&space.trace, body, want, &room, &malformed, &mut part).map(|plane| (plane, part))
        })
        .collect::<Result<_>>()?;
    for (plane, part) in planes {
        diag.merge(&part);
        space.planes.push(plane);
    }
    Ok(space)
}

fn limit(n: usize, max: usize, what: &str) -> Result<()> {
    if n > max { Err(Error::TooLarge { what: what.to_owned(), limit: max.to_string() }) } else { Ok(()) }
}

/// A text of the file, without a copy if it is valid UTF-8.
pub(super) fn string(data: &Bytes, text: &[u8], diag: &mut Diag) -> ByteString {
    ByteString::try_from(data.slice_ref(text)).unwrap_or_else(|_| {
        let replaced = String::from_utf8_lossy(text).into_owned();
        diag.count(ProblemKind::InvalidUtf8, || replaced.clone());
        replaced.into()
    })
}

pub(super) fn span(data: &[u8], part: &[u8]) -> Span {
    Span { at: offset_in(data, part) as u64, len: part.len() as u64 }
}

/// Calls `each` for every field of `part`, which lies in `data`.
pub(super) fn scan<'a>(data: &[u8], part: &'a [u8], mut each: impl FnMut(u32, Value<'a>)) -> Scan<()> {
    let mut fields = Fields::new(part);
    loop {
        match fields.next_field() {
            Ok(Some(field)) => each(field.number, field.value),
            Ok(None) => return Ok(()),
            Err(error) => {
                return Err(Damage { offset: (offset_in(data, part) + fields.position()) as u64, error });
            }
        }
    }
}

fn read_plane(
    trace: &TraceBytes,
    body: &[u8],
    want: Want,
    room: &Room,
    malformed: &(impl Fn(Damage) -> Error + Sync),
    diag: &mut Diag,
) -> Result<Plane> {
    let data = trace.bytes();
    let mut plane = Plane {
        id: 0,
        name: ByteString::new(),
        lines: Vec::new(),
        event_metadata: Vec::new(),
        stat_metadata: Vec::new(),
        event_rows: IdTable::default(),
        stat_rows: IdTable::default(),
        stats: Vec::new(),
        data: data.clone(),
    };
    let (mut lines, mut event_entries, mut stat_entries) = (Vec::new(), Vec::new(), Vec::new());
    let mut name: &[u8] = &[];
    scan(data, body, |number, value| match (number, value) {
        (1, Value::Varint(v)) => plane.id = v as i64,
        (2, Value::Bytes(v)) => name = v,
        (3, Value::Bytes(v)) => lines.push(v),
        (4, Value::Bytes(v)) => event_entries.push(v),
        (5, Value::Bytes(v)) => stat_entries.push(v),
        (6, Value::Bytes(v)) => plane.stats.push(span(data, v)),
        _ => {}
    })
    .map_err(malformed)?;
    room.take(lines.len(), size_of::<Line>() + LINE_PARTS_BYTES, "lines")?;
    // Tables are there twice while repeated keys are sorted out.
    room.take(event_entries.len(), 2 * size_of::<EventMetadata>(), "names of events")?;
    room.take(stat_entries.len(), 2 * size_of::<StatMetadata>(), "names of stats")?;
    room.take(plane.stats.len(), size_of::<Span>(), "stats of a plane")?;
    plane.name = string(data, name, diag);
    read_stat_metadata(&mut plane, data, &stat_entries, diag);
    read_event_metadata(&mut plane, data, &event_entries, diag);

    let with_events = match want {
        Want::Everything => true,
        Want::Catalog { events_of } => events_of(&plane),
    };
    let read: Vec<_> = lines
        .par_iter()
        .map(|body| {
            let mut part = diag.fork();
            read_line(trace, &plane, body, with_events, malformed, &mut part).map(|line| (line, part))
        })
        .collect::<Result<_>>()?;
    for (line, part) in read {
        diag.merge(&part);
        plane.lines.push(line);
    }
    Ok(plane)
}

fn read_line(
    trace: &TraceBytes,
    plane: &Plane,
    body: &[u8],
    with_events: bool,
    malformed: &(impl Fn(Damage) -> Error + Sync),
    diag: &mut Diag,
) -> Result<Line> {
    let data = plane.data();
    let mut line = Line { trace: trace.clone(), span: span(data, body), ..Line::default() };
    let (mut name, mut display_name): (&[u8], &[u8]) = (&[], &[]);
    let mut n_events = 0usize;
    // Where each piece of CHUNK events begins: position of the tag of its first event.
    let mut pieces = Vec::new();
    let mut fields = Fields::new(body);
    loop {
        let at = fields.position();
        let field = match fields.next_field() {
            Ok(Some(field)) => field,
            Ok(None) => break,
            Err(error) => {
                return Err(malformed(Damage { offset: (offset_in(data, body) + fields.position()) as u64, error }));
            }
        };
        match (field.number, field.value) {
            (4, Value::Bytes(_)) => {
                if n_events.is_multiple_of(CHUNK) {
                    pieces.push(at);
                }
                n_events += 1;
            }
            (1, Value::Varint(v)) => line.id = v as i64,
            (2, Value::Bytes(v)) => name = v,
            (3, Value::Varint(v)) => line.timestamp_ns = v as i64,
            (10, Value::Varint(v)) => line.display_id = v as i64,
            (11, Value::Bytes(v)) => display_name = v,
            _ => {}
        }
    }
    line.name = string(data, name, diag);
    line.display_name = string(data, display_name, diag);
    if with_events {
        read_events(trace, plane, body, &pieces, n_events, &mut line, diag)?;
    }
    Ok(line)
}
