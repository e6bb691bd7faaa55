//! One plane: metadata tables, plane stats and lines.

use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;

use super::StatKind;
use super::added::AddedValue;
use super::id_table::IdTable;
use super::line::Line;
use super::stat::{RawStat, RawValue, Stat, StatValue};
use crate::wire::Fields;

/// The metadata row of an event whose metadata id the plane does not define.
pub const NO_METADATA: u32 = u32::MAX;

/// A piece of the trace file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub at: u64,
    pub len: u64,
}

impl Span {
    pub(super) fn of(self, data: &Bytes) -> &[u8] {
        let start = self.at as usize;
        data.get(start..start.saturating_add(self.len as usize)).unwrap_or_default()
    }
}

/// What all events of one name share.
#[derive(Debug, Default)]
pub struct EventMetadata {
    /// The key of the table. (The `id` field inside the entry is not used; `parity:` lookups go by key.)
    pub id: i64,
    /// The `id` field inside the entry, where the program id of an HLO module may be.
    pub id_field: i64,
    /// Name; for TPU ops the HLO text.
    pub name: ByteString,
    /// Short name, empty if there is none.
    pub display_name: ByteString,
    /// Keys of the metadata of child instructions.
    pub child_ids: SmallVec<[i64; 2]>,
    /// The messages that make up this entry: one, unless the producer repeated the value.
    pub(super) bodies: SmallVec<[Span; 1]>,
    /// Stats that preparation gave to the entry.
    pub added: Vec<(StatKind, AddedValue)>,
}

impl EventMetadata {
    /// The display name if there is one, else the name.
    pub fn shown_name(&self) -> &ByteString {
        if self.display_name.is_empty() { &self.name } else { &self.display_name }
    }
}

/// What all stats of one name share.
#[derive(Debug, Default)]
pub struct StatMetadata {
    /// The key of the table.
    pub id: i64,
    /// Name of the stat.
    pub name: ByteString,
    /// What the name means, if it is a known one.
    pub kind: Option<StatKind>,
}

/// One plane: a device, the host's threads, or metadata.
#[derive(Debug)]
pub struct Plane {
    /// Core id of a device plane.
    pub id: i64,
    /// Name, see [`super::schema::plane_names`].
    pub name: ByteString,
    /// Timelines in the order of the file; preparation adds derived ones behind them.
    pub lines: Vec<Line>,
    /// Event metadata in the order of the file.
    pub event_metadata: Vec<EventMetadata>,
    /// Stat metadata in the order of the file.
    pub stat_metadata: Vec<StatMetadata>,
    pub(super) event_rows: IdTable,
    pub(super) stat_rows: IdTable,
    pub(super) stats: Vec<Span>,
    pub(super) data: Bytes,
}

impl Plane {
    /// The row of [`Plane::event_metadata`] with that id.
    #[inline]
    pub fn event_row(&self, id: i64) -> Option<u32> {
        self.event_rows.get(id)
    }

    /// The event metadata of a row; an empty one for [`NO_METADATA`].
    #[inline]
    pub fn metadata(&self, row: u32) -> &EventMetadata {
        static EMPTY: EventMetadata = EventMetadata {
            id: 0,
            id_field: 0,
            name: ByteString::from_static(""),
            display_name: ByteString::from_static(""),
            child_ids: SmallVec::new_const(),
            bodies: SmallVec::new_const(),
            added: Vec::new(),
        };
        self.event_metadata.get(row as usize).unwrap_or(&EMPTY)
    }

    /// The kind of the stat with that metadata id.
    #[inline]
    pub fn stat_kind(&self, metadata_id: i64) -> Option<StatKind> {
        self.stat_rows.get(metadata_id).and_then(|row| self.stat_metadata.get(row as usize)).and_then(|m| m.kind)
    }

    /// The stat metadata with that id.
    #[inline]
    pub fn stat_metadata(&self, metadata_id: i64) -> Option<&StatMetadata> {
        self.stat_rows.get(metadata_id).and_then(|row| self.stat_metadata.get(row as usize))
    }

    /// Whether some stat metadata has this kind, whether or not a stat uses it.
    pub fn declares(&self, kind: StatKind) -> bool {
        self.stat_metadata.iter().any(|m| m.kind == Some(kind))
    }

    /// Resolves name, kind and reference of a stat.
    #[inline]
    pub fn resolve<'a>(&'a self, raw: RawStat<'a>) -> Stat<'a> {
        let metadata = self.stat_metadata(raw.metadata_id);
        Stat {
            name: metadata.map_or("", |m| &m.name),
            kind: metadata.and_then(|m| m.kind),
            value: self.resolve_value(raw.value),
        }
    }

    pub(super) fn resolve_value<'a>(&'a self, value: RawValue<'a>) -> StatValue<'a> {
        match value {
            RawValue::None => StatValue::None,
            RawValue::Double(v) => StatValue::Double(v),
            RawValue::Uint(v) => StatValue::Uint(v),
            RawValue::Int(v) => StatValue::Int(v),
            RawValue::Str(v) => StatValue::Str(v),
            RawValue::Bytes(v) => StatValue::Bytes(v),
            RawValue::Ref(id) => StatValue::Ref(self.stat_metadata(id as i64).map_or("", |m| &m.name)),
        }
    }

    /// The stats of the plane itself.
    pub fn stats(&self) -> impl Iterator<Item = Stat<'_>> {
        self.stats.iter().map(|span| self.resolve(RawStat::decode(span.of(&self.data))))
    }

    /// The stats of the plane itself with the keys that they have in the file.
    pub fn keyed_stats(&self) -> impl Iterator<Item = (i64, StatValue<'_>)> {
        self.stats.iter().map(|span| {
            let raw = RawStat::decode(span.of(&self.data));
            (raw.metadata_id, self.resolve_value(raw.value))
        })
    }

    /// The first plane stat of that kind.
    pub fn stat(&self, kind: StatKind) -> Option<StatValue<'_>> {
        self.stats().find(|s| s.kind == Some(kind)).map(|s| s.value)
    }

    /// The stats that all events of a metadata row share.
    pub fn metadata_stats<'a>(&'a self, metadata: &'a EventMetadata) -> impl Iterator<Item = Stat<'a>> + 'a {
        let of_file = metadata.bodies.iter().flat_map(move |body| {
            Fields::new(body.of(&self.data))
                .map_while(Result::ok)
                .filter(|f| f.number == 5)
                .map(move |f| self.resolve(RawStat::decode(f.value.as_bytes())))
        });
        of_file.chain(metadata.added.iter().map(|(kind, value)| Stat::added(*kind, value.view())))
    }

    /// The first stat of that kind among those that all events of a metadata row share.
    pub fn metadata_stat<'a>(&'a self, metadata: &'a EventMetadata, kind: StatKind) -> Option<StatValue<'a>> {
        self.metadata_stats(metadata).find(|s| s.kind == Some(kind)).map(|s| s.value)
    }

    /// Adds an event metadata for derived events and returns its row. It gets no key of the file's table.
    pub fn add_event_metadata(&mut self, name: impl Into<ByteString>) -> u32 {
        let row = self.event_metadata.len() as u32;
        self.event_metadata.push(EventMetadata { name: name.into(), ..EventMetadata::default() });
        row
    }

    /// Gives event metadata other keys, all at once: the old key of one may be the new key of another.
    /// An entry that keeps a key which another one gets is emptied.
    pub fn set_event_metadata_ids(&mut self, moves: &[(u32, i64)]) {
        for &(row, _) in moves {
            let old = self.metadata(row).id;
            if self.event_rows.get(old) == Some(row) {
                self.event_rows.remove(old);
            }
        }
        for &(row, id) in moves {
            if let Some(before) = self.event_rows.get(id)
                && let Some(replaced) = self.event_metadata.get_mut(before as usize)
            {
                *replaced = EventMetadata { id, ..EventMetadata::default() };
            }
            if let Some(metadata) = self.event_metadata.get_mut(row as usize) {
                metadata.id = id;
                metadata.id_field = id;
                self.event_rows.insert(id, row);
            }
        }
    }

    /// A plane of the same name and file without lines, stats and metadata: the home of names of derived events.
    pub fn empty_sibling(&self) -> Self {
        Self {
            id: self.id,
            name: self.name.clone(),
            lines: Vec::new(),
            event_metadata: Vec::new(),
            stat_metadata: Vec::new(),
            event_rows: IdTable::default(),
            stat_rows: IdTable::default(),
            stats: Vec::new(),
            data: self.data.clone(),
        }
    }

    /// A value of one of this plane's stats as shared bytes, without a copy where it lies in the trace file.
    pub fn share(&self, slice: &[u8]) -> Bytes {
        let file = self.data.as_ptr_range();
        let part = slice.as_ptr_range();
        if file.start <= part.start && part.end <= file.end {
            self.data.slice_ref(slice)
        } else {
            Bytes::copy_from_slice(slice)
        }
    }

    /// Roughly the bytes of memory held beside the file.
    pub fn weight(&self) -> usize {
        self.lines.iter().map(Line::weight).sum::<usize>()
            + self.event_metadata.len() * size_of::<EventMetadata>()
            + self.stat_metadata.len() * size_of::<StatMetadata>()
    }

    /// The whole trace file.
    pub(super) fn data(&self) -> &Bytes {
        &self.data
    }
}

/// The metadata id of an encoded stat, without decoding the rest: producers write it first.
#[inline]
pub(super) fn peek_metadata_id(data: &[u8]) -> i64 {
    if let Some((&0x08, rest)) = data.split_first() {
        let mut pos = 0;
        // A second id would override the first, but only a hand-made file has two: then decode in full.
        if let Ok(id) = crate::wire::read_varint(rest, &mut pos)
            && rest.get(pos) != Some(&0x08)
        {
            return id as i64;
        }
    }
    RawStat::decode(data).metadata_id
}
