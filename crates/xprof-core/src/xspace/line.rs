//! One line: a thread, stream or track, whose events are columns.

use std::ops::Range;

use bytestring::ByteString;

use super::added::AddedStats;
use super::marks::Marks;
use super::plane::Span;
use super::stat::{RawStat, Stat, StatKindSet, StatValue};
use super::{EventColumns, EventMetadata, Plane, StatKind, TraceBytes};
use crate::wire::{Fields, Value, read_varint};

/// The group of an event that belongs to no step.
pub const NO_GROUP: u32 = u32::MAX;

/// Ids of derived lines lie in this range, as signed 32-bit numbers: 0xdeadbeef and the 389 that follow.
const DERIVED_FIRST: i32 = 0xdead_beef_u32 as i32;
const N_DERIVED: i32 = 390;

/// A timeline of one plane.
#[derive(Debug, Default)]
pub struct Line {
    /// Thread id, stream id or the id of a derived line.
    pub id: i64,
    /// Id to show, 0 means [`Line::id`].
    pub display_id: i64,
    /// Name.
    pub name: ByteString,
    /// Name to show, empty means [`Line::name`].
    pub display_name: ByteString,
    /// Origin of the offsets of its events.
    pub timestamp_ns: i64,
    /// The events in the order of the file.
    pub events: EventColumns,
    /// The kinds of stat that occur on its events, whether read from the file or added by preparation.
    pub stat_kinds: StatKindSet,
    /// Group of each event, [`NO_GROUP`] for none; set by preparation, `None` where the file's own stats count.
    pub groups: Option<Vec<u32>>,
    pub(super) added: AddedStats,
    pub(super) marks: Marks,
    pub(super) trace: TraceBytes,
    /// Where the line is in the file.
    pub(super) span: Span,
}

impl Line {
    /// A line without events, for derived ones.
    pub fn new(id: i64, name: impl Into<ByteString>, timestamp_ns: i64) -> Self {
        Self { id, name: name.into(), timestamp_ns, ..Self::default() }
    }

    /// Name to show.
    pub fn shown_name(&self) -> &ByteString {
        if self.display_name.is_empty() { &self.name } else { &self.display_name }
    }

    /// Id to show.
    pub fn shown_id(&self) -> i64 {
        if self.display_id == 0 { self.id } else { self.display_id }
    }

    /// Whether the line was derived from others, by this program or by the producer: the low 32 bits of its id say so.
    pub fn is_derived(&self) -> bool {
        let low = self.id as i32;
        (DERIVED_FIRST..DERIVED_FIRST + N_DERIVED).contains(&low)
    }

    /// The events of this line, which must be one of `plane`'s.
    pub fn events<'a>(&'a self, plane: &'a Plane) -> impl ExactSizeIterator<Item = Event<'a>> + 'a {
        (0..self.events.len()).map(move |idx| Event { plane, line: self, idx })
    }

    /// One event of this line, which must be one of `plane`'s.
    pub fn event<'a>(&'a self, plane: &'a Plane, idx: usize) -> Option<Event<'a>> {
        (idx < self.events.len()).then_some(Event { plane, line: self, idx })
    }

    /// Sets stats of events. A later value of the same kind on the same event replaces an earlier one and the file's.
    pub fn add_stats(&mut self, stats: AddedStats) {
        if stats.is_empty() {
            return;
        }
        for (event, kind) in stats.keys() {
            self.stat_kinds.insert(kind);
            if Marks::is_marking(kind) {
                self.marks.set(event as usize);
            }
        }
        self.added.append(stats);
    }

    /// Removes all events for which `keep` is false.
    pub fn retain_events(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let order: Vec<u32> = (0..self.events.len()).filter(|&i| keep(i)).map(|i| i as u32).collect();
        if order.len() < self.events.len() {
            self.permute(&order);
        }
    }

    /// Sorts the events by begin ascending, then duration descending; equal ones keep their order.
    pub fn sort_events(&mut self) {
        if self.events.is_sorted() {
            return;
        }
        let mut order: Vec<u32> = (0..self.events.len() as u32).collect();
        let events = &self.events;
        order.sort_by_key(|&i| (events.begin_ps[i as usize], std::cmp::Reverse(events.duration_ps(i as usize))));
        self.permute(&order);
    }

    /// Rearranges the events: the new one at place `i` is the old one at `order[i]`.
    fn permute(&mut self, order: &[u32]) {
        self.added.permute(order, self.events.len());
        self.marks.permute(order);
        self.events.permute(order);
        if let Some(groups) = &mut self.groups {
            *groups = order.iter().filter_map(|&i| groups.get(i as usize).copied()).collect();
        }
    }

    /// Says that the stats of the events will not be needed soon: called by whoever has walked all of them.
    pub fn release(&self) {
        let start = self.span.at as usize;
        self.trace.release(start..start + self.span.len as usize);
    }

    /// Whether an event may have a stat that links or groups it; where not, its stats need not be asked for one.
    #[inline]
    pub fn is_marked(&self, event: usize) -> bool {
        self.marks.get(event)
    }

    /// Those of some events for which [`Line::is_marked`] is true, ascending.
    pub fn marked(&self, events: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        self.marks.iter(events)
    }

    /// Roughly the bytes of memory held beside the file.
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + self.events.weight()
            + self.added.weight()
            + self.marks.weight()
            + self.groups.as_ref().map_or(0, |g| g.capacity() * 4)
    }
}

/// One event: a view into its line.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The plane.
    pub plane: &'a Plane,
    /// The line, one of the plane's.
    pub line: &'a Line,
    /// Place in the line's columns.
    pub idx: usize,
}

impl<'a> Event<'a> {
    /// Row of the plane's event metadata, or [`NO_METADATA`].
    #[inline]
    pub fn metadata_row(&self) -> u32 {
        self.line.events.row(self.idx)
    }

    /// What all events of its name share.
    #[inline]
    pub fn metadata(&self) -> &'a EventMetadata {
        self.plane.metadata(self.metadata_row())
    }

    /// The metadata's name (not its display name).
    #[inline]
    pub fn name(&self) -> &'a str {
        &self.metadata().name
    }

    /// Absolute begin.
    #[inline]
    pub fn begin_ps(&self) -> u64 {
        self.line.events.begin_ps[self.idx]
    }

    /// Duration.
    #[inline]
    pub fn duration_ps(&self) -> u64 {
        self.line.events.duration_ps(self.idx)
    }

    /// Begin plus duration.
    #[inline]
    pub fn end_ps(&self) -> u64 {
        self.line.events.end_ps(self.idx)
    }

    /// Offset from the line's timestamp.
    pub fn offset_ps(&self) -> i64 {
        self.begin_ps().wrapping_sub((self.line.timestamp_ns as u64).wrapping_mul(1000)) as i64
    }

    /// How many events this one stands for: 0 unless it is an aggregated one.
    pub fn num_occurrences(&self) -> i64 {
        let mut n = 0;
        for field in Fields::new(self.body()).map_while(Result::ok) {
            match (field.number, field.value) {
                (2, Value::Varint(_)) => n = 0,
                (5, Value::Varint(v)) => n = v as i64,
                _ => {}
            }
        }
        n
    }

    /// The encoded event; empty for one that preparation made.
    fn body(&self) -> &'a [u8] {
        let data = self.line.trace.bytes();
        let Some(at) = self.line.events.bodies.get(self.idx) else {
            return &[];
        };
        let mut pos = at as usize;
        let Ok(len) = read_varint(data, &mut pos) else {
            return &[];
        };
        Span { at: pos as u64, len }.of(data)
    }

    /// The stats in the order of the file, without those that preparation replaced, then those that preparation added.
    pub fn stats(&self) -> impl Iterator<Item = Stat<'a>> + 'a {
        let (plane, line) = (self.plane, self.line);
        let added = line.added.of(self.idx);
        Fields::new(self.body())
            .map_while(Result::ok)
            .filter(|f| f.number == 4)
            .map(move |f| plane.resolve(RawStat::decode(f.value.as_bytes())))
            .filter(move |s| added.is_empty() || !added.iter().any(|a| Some(a.kind) == s.kind))
            .chain(added.iter().map(move |a| Stat::added(a.kind, line.added.value(a))))
    }

    /// The stats that preparation added, by kind.
    #[inline]
    pub fn added_stats(&self) -> impl Iterator<Item = (StatKind, StatValue<'a>)> + use<'a> {
        let added = &self.line.added;
        added.of(self.idx).iter().map(|stat| (stat.kind, added.value(stat)))
    }

    /// The first stat of that kind on the event itself.
    #[inline]
    pub fn stat(&self, kind: StatKind) -> Option<StatValue<'a>> {
        if !self.line.stat_kinds.contains(kind) || (Marks::is_marking(kind) && !self.line.is_marked(self.idx)) {
            return None;
        }
        if let Some(added) = self.line.added.of(self.idx).iter().find(|a| a.kind == kind) {
            return Some(self.line.added.value(added));
        }
        let mut fields = Fields::new(self.body());
        while let Ok(Some(field)) = fields.next_field() {
            if let (4, Value::Bytes(stat)) = (field.number, field.value) {
                let raw = RawStat::decode_short(stat).unwrap_or_else(|| RawStat::decode(stat));
                if self.plane.stat_kind(raw.metadata_id) == Some(kind) {
                    return Some(self.plane.resolve_value(raw.value));
                }
            }
        }
        None
    }

    /// Calls `each` with every stat of a known kind in one walk over the event, those that preparation added first;
    /// of several stats of one kind the first counts. Gives how many events this one stands for, 0 unless it is an
    /// aggregated one. For loops that want several facts of each event of a long line.
    #[inline(always)]
    pub fn each_stat(&self, mut each: impl FnMut(StatKind, StatValue<'a>)) -> i64 {
        self.added_stats().for_each(|(kind, value)| each(kind, value));
        let mut num_occurrences = 0;
        let mut fields = Fields::new(self.body());
        while let Ok(Some(field)) = fields.next_field() {
            match (field.number, field.value) {
                (4, Value::Bytes(stat)) => {
                    let raw = RawStat::decode_short(stat).unwrap_or_else(|| RawStat::decode(stat));
                    if let Some(kind) = self.plane.stat_kind(raw.metadata_id) {
                        each(kind, self.plane.resolve_value(raw.value));
                    }
                }
                (2, Value::Varint(_)) => num_occurrences = 0,
                (5, Value::Varint(v)) => num_occurrences = v as i64,
                _ => {}
            }
        }
        num_occurrences
    }

    /// The first stat of each of these kinds on the event itself, in one walk over its stats.
    #[inline]
    pub fn find<const N: usize>(&self, kinds: [StatKind; N]) -> [Option<StatValue<'a>>; N] {
        let mut found = [None; N];
        self.each_stat(|kind, value| {
            for (slot, wanted) in found.iter_mut().zip(kinds) {
                if kind == wanted && slot.is_none() {
                    *slot = Some(value);
                }
            }
        });
        found
    }

    /// The first stat of that kind on the event, else on its metadata.
    pub fn stat_or_metadata_stat(&self, kind: StatKind) -> Option<StatValue<'a>> {
        self.stat(kind).or_else(|| self.plane.metadata_stat(self.metadata(), kind))
    }

    /// The step or group the event belongs to.
    #[inline]
    pub fn group_id(&self) -> Option<i64> {
        match &self.line.groups {
            Some(groups) => groups.get(self.idx).filter(|&&g| g != NO_GROUP).map(|&g| i64::from(g)),
            None => self.stat(StatKind::GroupId).filter(|v| v.is_int()).map(StatValue::int),
        }
    }
}
