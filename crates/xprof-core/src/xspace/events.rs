//! Pass two over a line: its events become columns, in parallel over pieces of it.
//!
//! An event that cannot be read to its end is counted and left out. Nothing is allocated per event.

use rayon::prelude::*;

use super::columns::{Bodies, Durations, DurationsMut, Rows, RowsMut};
use super::marks::{MARKS_PER_WORD, Marks};
use super::plane::peek_metadata_id;
use super::{EventColumns, Line, NO_METADATA, Plane, StatKindSet, TraceBytes};
use crate::diag::ProblemKind;
use crate::wire::{Fields, Value, offset_in, read_varint};
use crate::{Diag, Result};

/// Events per piece of parallel work: some milliseconds.
pub(super) const CHUNK: usize = 1 << 16;
const MARK_WORDS: usize = CHUNK / MARKS_PER_WORD;
/// Marks an event that could not be decoded until it is removed.
const DAMAGED: u32 = NO_METADATA - 1;
/// Lines longer than this give their pages back after they were read.
const RELEASE_ABOVE: usize = 4 << 20;

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

/// Reads the events of a line, whose fields are `body`, into its columns. `pieces` says where in it each piece of [`CHUNK`]
/// events begins.
pub(super) fn read_events(
    trace: &TraceBytes,
    plane: &Plane,
    body: &[u8],
    pieces: &[usize],
    n_events: usize,
    line: &mut Line,
    diag: &mut Diag,
) -> Result<()> {
    let base = offset_in(plane.data(), body) as u64;
    let narrow = body.len() < u32::MAX as usize;
    let mut rows = Rows::zeros(n_events, plane.event_metadata.len());
    let mut begin_ps = vec![0u64; n_events];
    let mut durations = Durations::zeros(n_events);
    let mut marks = Marks::none(n_events);
    let mut at_narrow = vec![0u32; if narrow { n_events } else { 0 }];
    let mut at_wide = vec![0u64; if narrow { 0 } else { n_events }];

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
    let facts = read_pieces(trace, plane, body, line.timestamp_ns, work, diag)?;

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

fn read_pieces(
    trace: &TraceBytes,
    plane: &Plane,
    body: &[u8],
    timestamp_ns: i64,
    work: Vec<Piece<'_>>,
    diag: &Diag,
) -> Result<Vec<PieceFacts>> {
    let data = plane.data();
    let base = offset_in(data, body) as u64;
    let origin_ps = (timestamp_ns as u64).wrapping_mul(1000);
    work.into_par_iter()
        .map(|piece| {
            diag.check()?;
            let from = offset_in(data, piece.body);
            let range = from..from + piece.body.len();
            let facts = read_piece(plane, body, origin_ps, base, piece);
            if body.len() > RELEASE_ABOVE {
                trace.release(range);
            }
            Ok(facts)
        })
        .collect()
}

#[derive(Default)]
struct PieceFacts {
    kinds: StatKindSet,
    n_dangling: u64,
    n_damaged: u64,
    /// Durations that do not fit their column, by event.
    long: Vec<(u32, u64)>,
}

// tidy: a hot loop
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
