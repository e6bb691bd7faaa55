//! Copies between a TPU and the memory of its host, which run beside the instructions that begin and end them.
//!
//! Takes the instructions of a core in the order of time, pairs begins with ends by name, first in, first out,
//! and spreads the copies over as many rows as it takes for them not to overlap.

use std::collections::VecDeque;

use bytestring::ByteString;
use rustc_hash::FxHashMap;

use super::FIRST_ID;
use super::names::Names;
use crate::xspace::{AddedValue, EventMetadata, Line, Plane, StatKind, StatValue};

/// Number of the first row among derived lines.
const FIRST_ROW: i64 = 8;
const MAX_ROWS: usize = 41;
/// How the text of an instruction shows that a buffer is in the memory of the host.
const HOST_MEMORY: &str = "S(5)";
const KINDS: [&str; 3] = ["copy", "dynamic-slice", "dynamic-update-slice"];

/// What an instruction means for copies, told by its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Role {
    is_start: bool,
    /// Row of the name that start and end have in common.
    name: u32,
}

impl Role {
    /// The role of the instructions of that metadata, if they have one.
    pub(super) fn of(metadata: &EventMetadata, names: &mut Names) -> Option<Self> {
        let shown = &*metadata.display_name;
        if !metadata.name.contains(HOST_MEMORY) {
            return None;
        }
        let is = |suffix: &str| KINDS.iter().any(|kind| shown.contains(&format!("{kind}{suffix}")));
        let (is_start, suffix) = if is("-start") {
            (true, "-start")
        } else if is("-done") {
            (false, "-done")
        } else {
            return None;
        };
        // `copy-start.3` and `copy-done.3` are the two ends of `offload-copy.3`.
        let (head, _) = shown.split_once(suffix)?;
        let number = shown.rsplit_once('.').map_or("0", |(_, number)| number);
        Some(Self { is_start, name: names.row("", format!("offload-{head}.{number}")) })
    }
}

/// The rows in the making.
#[derive(Debug, Default)]
pub(super) struct Offloads {
    /// Begin and metadata row of what has not ended yet, by name.
    pending: FxHashMap<u32, VecDeque<(u64, u32)>>,
    /// Row of the name, by the metadata rows of the two instructions.
    named: FxHashMap<(u32, u32), u32>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    line: Line,
    end_ps: u64,
}

impl Offloads {
    /// Takes an instruction of `plane` into account; `metadata` is its row.
    pub(super) fn add(&mut self, role: Role, plane: &Plane, names: &mut Names, metadata: u32, span: (u64, u64)) {
        let (begin_ps, end_ps) = span;
        if role.is_start {
            self.pending.entry(role.name).or_default().push_back((begin_ps, metadata));
            return;
        }
        let Some((start_ps, start)) = self.pending.get_mut(&role.name).and_then(VecDeque::pop_front) else {
            return;
        };
        let name = *self.named.entry((start, metadata)).or_insert_with(|| {
            let stat = |row, kind| plane.metadata_stat(plane.metadata(row), kind);
            let text = |shape: StatValue<'_>| ByteString::try_from(plane.share(shape.text_bytes())).unwrap_or_default();
            // `parity:` the size is what the end says, the shape what the start says.
            let bytes = stat(metadata, StatKind::RawBytesAccessed).map(|bytes| AddedValue::Int(bytes.int()));
            let shape = stat(start, StatKind::ShapeWithLayout).map(|shape| AddedValue::Str(text(shape)));
            let stats = [
                (StatKind::IsAsync, Some(AddedValue::Int(1))),
                (StatKind::RawBytesAccessed, bytes),
                (StatKind::ShapeWithLayout, shape),
            ];
            names.with_stats(role.name, stats.into_iter().filter_map(|(kind, value)| Some((kind, value?))).collect())
        });
        let row = self.free_row(start_ps);
        row.end_ps = row.end_ps.max(end_ps);
        row.line.events.push(name, start_ps, end_ps.saturating_sub(start_ps));
    }

    /// The row that has been free for longest, of equal ones the last; a new one if none is free;
    /// the last one if there may be no more.
    fn free_row(&mut self, start_ps: u64) -> &mut Row {
        let earliest = (0..self.rows.len()).min_by_key(|&i| (self.rows[i].end_ps, std::cmp::Reverse(i)));
        let at = match earliest {
            Some(i) if self.rows[i].end_ps <= start_ps => i,
            _ if self.rows.len() < MAX_ROWS => {
                let n = self.rows.len();
                let line = Line::new(FIRST_ID + FIRST_ROW + n as i64, format!("Host Offload Ops row {n}"), 0);
                self.rows.push(Row { line, end_ps: 0 });
                n
            }
            _ => MAX_ROWS - 1,
        };
        &mut self.rows[at]
    }

    /// The finished lines.
    pub(super) fn finish(self) -> impl Iterator<Item = Line> {
        self.rows.into_iter().map(|row| row.line)
    }
}
