//! Stats that preparation adds to the events of a line, beside those of the file.

use bytestring::ByteString;

use super::StatKind;
use super::stat::StatValue;

/// The value of an added stat.
#[derive(Debug, Clone, PartialEq)]
pub enum AddedValue {
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A double.
    Double(f64),
    /// Text.
    Str(ByteString),
}

impl AddedValue {
    pub(super) fn view(&self) -> StatValue<'_> {
        match self {
            Self::Int(v) => StatValue::Int(*v),
            Self::Uint(v) => StatValue::Uint(*v),
            Self::Double(v) => StatValue::Double(*v),
            Self::Str(v) => StatValue::Ref(v),
        }
    }
}

/// One stat. It hides the file's stat of the same kind on the same event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added {
    event: u32,
    pub kind: StatKind,
    value: Number,
}

/// A value in place; a text is a number of [`AddedStats::texts`].
#[derive(Debug, Clone, Copy)]
enum Number {
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(u32),
}

/// Added stats of one line, by event and kind once they are the line's.
#[derive(Debug, Default)]
pub struct AddedStats {
    rows: Vec<Added>,
    texts: Vec<ByteString>,
    /// For each block of events, how many rows come before those of its events; made once the stats are the line's.
    blocks: Vec<u32>,
}

/// So many events share an entry of [`AddedStats::blocks`].
const BLOCK: u32 = 64;

impl AddedStats {
    /// Adds a stat of an event.
    pub fn push(&mut self, event: u32, kind: StatKind, value: AddedValue) {
        let value = match value {
            AddedValue::Int(v) => Number::Int(v),
            AddedValue::Uint(v) => Number::Uint(v),
            AddedValue::Double(v) => Number::Double(v),
            AddedValue::Str(text) => Number::Text(self.text(text)),
        };
        self.rows.push(Added { event, kind, value });
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes over all of `later`, whose values count before earlier ones.
    pub(super) fn append(&mut self, mut later: Self) {
        if self.rows.is_empty() {
            *self = later;
        } else {
            let n_texts = self.texts.len() as u32;
            self.texts.append(&mut later.texts);
            self.rows.extend(later.rows.into_iter().map(|mut added| {
                if let Number::Text(at) = &mut added.value {
                    *at += n_texts;
                }
                added
            }));
        }
        self.settle();
        self.index();
    }

    fn index(&mut self) {
        self.blocks.clear();
        for (row, added) in (0..).zip(&self.rows) {
            let block = (added.event / BLOCK) as usize;
            if self.blocks.len() <= block {
                self.blocks.resize(block + 1, row);
            }
        }
    }

    /// Puts the stats in order. Of two values of one kind on one event the later one counts.
    pub fn settle(&mut self) {
        let key = |a: &Added| (a.event, a.kind);
        if self.rows.is_sorted_by(|a, b| key(a) < key(b)) {
            return;
        }
        // Stable: of equal keys the last one was added last, and is the one to keep.
        if self.rows.is_sorted_by_key(|a| a.event) {
            self.rows.chunk_by_mut(|a, b| a.event == b.event).for_each(|of_event| of_event.sort_by_key(|a| a.kind));
        } else {
            self.rows.sort_by_key(key);
        }
        if !self.rows.is_sorted_by(|a, b| key(a) < key(b)) {
            self.rows.reverse();
            self.rows.dedup_by_key(|a| key(a));
            self.rows.reverse();
        }
    }

    /// Event and kind of every stat.
    pub(super) fn keys(&self) -> impl Iterator<Item = (u32, StatKind)> + '_ {
        self.rows.iter().map(|a| (a.event, a.kind))
    }

    /// The number of a text. One that was added recently, as the same bytes of the file, is not held again.
    fn text(&mut self, text: ByteString) -> u32 {
        const RECENT: usize = 8;
        let is_same = |known: &ByteString| std::ptr::eq(known.as_bytes(), text.as_bytes());
        let n = self.texts.len();
        let recent = n.saturating_sub(RECENT);
        if let Some(at) = self.texts[recent..].iter().position(is_same) {
            return (recent + at) as u32;
        }
        self.texts.push(text);
        n as u32
    }

    /// The stats of one event, by kind.
    #[inline]
    pub(super) fn of(&self, event: usize) -> &[Added] {
        let event = event as u32;
        let block = (event / BLOCK) as usize;
        let Some(&start) = self.blocks.get(block) else {
            return &[];
        };
        let end = self.blocks.get(block + 1).map_or(self.rows.len(), |&end| end as usize);
        let of_block = &self.rows[start as usize..end];
        let from = of_block.partition_point(|a| a.event < event);
        let n = of_block[from..].iter().take_while(|a| a.event == event).count();
        &of_block[from..from + n]
    }

    /// The value of one of the stats.
    #[inline]
    pub(super) fn value(&self, added: &Added) -> StatValue<'_> {
        match added.value {
            Number::Int(v) => StatValue::Int(v),
            Number::Uint(v) => StatValue::Uint(v),
            Number::Double(v) => StatValue::Double(v),
            Number::Text(at) => self.texts.get(at as usize).map_or(StatValue::None, |text| StatValue::Ref(text)),
        }
    }

    /// Follows events to their new places: the new one at place `i` is the old one at `order[i]`, out of `n_events`.
    pub(super) fn permute(&mut self, order: &[u32], n_events: usize) {
        if self.rows.is_empty() {
            return;
        }
        let mut place = vec![u32::MAX; n_events];
        for (new, &old) in order.iter().enumerate() {
            if let Some(slot) = place.get_mut(old as usize) {
                *slot = new as u32;
            }
        }
        self.rows.retain_mut(|a| {
            a.event = place.get(a.event as usize).copied().unwrap_or(u32::MAX);
            a.event != u32::MAX
        });
        self.rows.sort_by_key(|a| (a.event, a.kind));
        self.index();
    }

    /// Roughly the bytes of memory held.
    pub(super) fn weight(&self) -> usize {
        self.rows.capacity() * size_of::<Added>()
            + self.blocks.capacity() * 4
            + self.texts.capacity() * size_of::<ByteString>()
    }
}

impl FromIterator<(u32, StatKind, AddedValue)> for AddedStats {
    fn from_iter<I: IntoIterator<Item = (u32, StatKind, AddedValue)>>(stats: I) -> Self {
        let mut added = Self::default();
        stats.into_iter().for_each(|(event, kind, value)| added.push(event, kind, value));
        added
    }
}
