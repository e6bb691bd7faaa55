//! The two passes over the bytes.
//!
//! Pass one finds the boundaries: planes, then per plane its lines and metadata entries, then per line its events.
//! Pass two decodes metadata tables and, in parallel over pieces of lines, events into columns.
//! Fields may come in any order and be repeated; later scalars win, as protobuf says.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use bytestring::ByteString;
use rayon::prelude::*;

use super::columns::{Bodies, Durations, DurationsMut, Rows, RowsMut};
use super::id_table::IdTable;
use super::marks::{MARKS_PER_WORD, Marks};
use super::plane::{Span, peek_metadata_id};
use super::tables::{read_event_metadata, read_stat_metadata};
use super::{EventColumns, EventMetadata, Line, NO_METADATA, Plane, StatKindSet, StatMetadata, TraceBytes, XSpace};
use crate::diag::ProblemKind;
use crate::wire::{Fields, Value, WireError, offset_in, read_varint};
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
/// Events per piece of parallel work: some milliseconds.
const CHUNK: usize = 1 << 16;
const MARK_WORDS: usize = CHUNK / MARKS_PER_WORD;
/// Marks an event that could not be decoded until it is removed.
const DAMAGED: u32 = NO_METADATA - 1;
/// Lines longer than this give their pages back after they were read.
const RELEASE_ABOVE: usize = 4 << 20;

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

/// One piece of a line's columns, to be filled by one task.
struct Piece<'a> {
    body: &'a [u8],
    rows: RowsMut<'a>,
    begin_ps: &'a mut [u64],
    durations: DurationsMut<'a>,
    marks: &'a mut [u64],
    at: PieceAt<'a>,
}

enum PieceAt<'a> {
    Narrow(&'a mut [u32]),
    Wide(&'a mut [u64]),
}

fn read_events(
    trace: &TraceBytes,
    plane: &Plane,
    body: &[u8],
    pieces: &[usize],
    n_events: usize,
    line: &mut Line,
    diag: &mut Diag,
) -> Result<()> {
    let data = plane.data();
    let base = offset_in(data, body) as u64;
    let narrow = body.len() < u32::MAX as usize;
    let mut rows = Rows::zeros(n_events, plane.event_metadata.len());
    let mut begin_ps = vec![0u64; n_events];
    let mut durations = Durations::zeros(n_events);
    let mut marks = Marks::none(n_events);
    let mut at_narrow = vec![0u32; if narrow { n_events } else { 0 }];
    let mut at_wide = vec![0u64; if narrow { 0 } else { n_events }];

    let origin_ps = (line.timestamp_ns as u64).wrapping_mul(1000);
    let places: Vec<PieceAt<'_>> = if narrow {
        at_narrow.chunks_mut(CHUNK).map(PieceAt::Narrow).collect()
    } else {
        at_wide.chunks_mut(CHUNK).map(PieceAt::Wide).collect()
    };
    let work: Vec<Piece<'_>> = rows
        .chunks_mut(CHUNK)
        .into_iter()
        .zip(begin_ps.chunks_mut(CHUNK))
        .zip(durations.chunks_mut(CHUNK))
        .zip(marks.words_mut().chunks_mut(MARK_WORDS))
        .zip(places)
        .enumerate()
        .map(|(i, ((((rows, begin_ps), durations), marks), at))| {
            let from = pieces.get(i).copied().unwrap_or(body.len());
            let to = pieces.get(i + 1).copied().unwrap_or(body.len());
            let body = body.get(from..to).unwrap_or_default();
            Piece { body, rows, begin_ps, durations, marks, at }
        })
        .collect();
    let facts: Vec<_> = work
        .into_par_iter()
        .map(|piece| {
            diag.check()?;
            let range = offset_in(data, piece.body)..offset_in(data, piece.body) + piece.body.len();
            let facts = read_piece(plane, body, origin_ps, base, piece);
            if body.len() > RELEASE_ABOVE {
                trace.release(range);
            }
            Ok(facts)
        })
        .collect::<Result<_>>()?;

    let bodies = if narrow { Bodies::Narrow { base, at: at_narrow } } else { Bodies::Wide(at_wide) };
    line.marks = marks;
    let (mut n_dangling, mut n_damaged) = (0, 0);
    for mut f in facts {
        durations.add_long(&mut f.long);
        line.stat_kinds.union(&f.kinds);
        n_dangling += f.n_dangling;
        n_damaged += f.n_damaged;
    }
    line.events = EventColumns { rows, begin_ps, durations, bodies };
    let place = |l: &Line| format!("line {} of plane {}", l.name, plane.name);
    diag.count_n(ProblemKind::DanglingMetadata, n_dangling, || place(line));
    diag.count_n(ProblemKind::MalformedEntry, n_damaged, || format!("an event of {}", place(line)));
    if n_damaged > 0 {
        let damaged: Vec<bool> = line.events.rows().map(|row| row == DAMAGED).collect();
        line.retain_events(|i| !damaged[i]);
    }
    Ok(())
}

#[derive(Default)]
struct PieceFacts {
    kinds: StatKindSet,
    n_dangling: u64,
    n_damaged: u64,
    /// Durations that do not fit their column, by event.
    long: Vec<(u32, u64)>,
}

fn read_piece(plane: &Plane, line: &[u8], origin_ps: u64, base: u64, mut piece: Piece<'_>) -> PieceFacts {
    let mut facts = PieceFacts::default();
    let from = offset_in(line, piece.body);
    let mut fields = Fields::new(piece.body);
    let mut i = 0;
    loop {
        let tag_at = fields.position();
        let Ok(Some(field)) = fields.next_field() else { break };
        let (4, Value::Bytes(event)) = (field.number, field.value) else {
            continue;
        };
        let Some(begin_ps) = piece.begin_ps.get_mut(i) else {
            break;
        };
        // The tag of field 4 is one byte, unless a producer wrote it longer than needed: then skip what it takes.
        let mut length_at = tag_at;
        let _ = read_varint(piece.body, &mut length_at);
        match &mut piece.at {
            PieceAt::Narrow(at) => at[i] = (from + length_at) as u32,
            PieceAt::Wide(at) => at[i] = base + (from + length_at) as u64,
        }
        let mut is_marked = false;
        let (mut head, mut rest_at) = ([0; 3], 0);
        // Producers write these three first and in this order. What follows, or comes otherwise, is read field by field.
        for (number, tag) in head.iter_mut().zip([0x08, 0x10, 0x18]) {
            let mut pos = rest_at + 1;
            if event.get(rest_at) == Some(&tag)
                && let Ok(value) = read_varint(event, &mut pos)
            {
                (*number, rest_at) = (value, pos);
            }
        }
        let [id, mut offset_ps, mut duration] = head;
        let mut id = id as i64;
        let mut inner = Fields::new(event.get(rest_at..).unwrap_or_default());
        let complete = loop {
            match inner.next_field() {
                Ok(Some(f)) => match (f.number, f.value) {
                    (1, Value::Varint(v)) => id = v as i64,
                    (2, Value::Varint(v)) => offset_ps = v,
                    // Either arm of the oneof clears the other.
                    (5, Value::Varint(_)) => offset_ps = 0,
                    (3, Value::Varint(v)) => duration = v,
                    (4, Value::Bytes(stat)) => {
                        if let Some(kind) = plane.stat_kind(peek_metadata_id(stat)) {
                            facts.kinds.insert(kind);
                            is_marked |= Marks::is_marking(kind);
                        }
                    }
                    _ => {}
                },
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        if is_marked && let Some(word) = piece.marks.get_mut(i / MARKS_PER_WORD) {
            *word |= 1 << (i % MARKS_PER_WORD);
        }
        *begin_ps = origin_ps.wrapping_add(offset_ps);
        piece.durations.set(i, duration, &mut facts.long);
        let row = if complete {
            plane.event_row(id).unwrap_or_else(|| {
                facts.n_dangling += 1;
                NO_METADATA
            })
        } else {
            facts.n_damaged += 1;
            DAMAGED
        };
        piece.rows.set(i, row);
        i += 1;
    }
    facts
}
