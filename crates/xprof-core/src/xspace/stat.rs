//! Stats: typed facts about an event, an event metadata or a plane.

use std::borrow::Cow;

use super::schema::StatKind;
use crate::wire::{Fields, Value};

/// A stat as the file has it: references are not resolved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawStat<'a> {
    /// Key into the plane's stat metadata.
    pub metadata_id: i64,
    /// What it holds.
    pub value: RawValue<'a>,
}

/// The value of a [`RawStat`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum RawValue<'a> {
    /// No value is set.
    #[default]
    None,
    /// `double_value`.
    Double(f64),
    /// `uint64_value`.
    Uint(u64),
    /// `int64_value`.
    Int(i64),
    /// `str_value`.
    Str(&'a [u8]),
    /// `bytes_value`.
    Bytes(&'a [u8]),
    /// `ref_value`: the name of that stat metadata is the value.
    Ref(u64),
}

impl<'a> RawStat<'a> {
    /// Decodes a stat message; a damaged tail is ignored.
    #[inline]
    pub fn decode(data: &'a [u8]) -> Self {
        let mut stat = Self { metadata_id: 0, value: RawValue::None };
        for field in Fields::new(data).map_while(Result::ok) {
            stat.value = match (field.number, field.value) {
                (1, Value::Varint(v)) => {
                    stat.metadata_id = v as i64;
                    continue;
                }
                (2, Value::Fixed64(v)) => RawValue::Double(f64::from_bits(v)),
                (3, Value::Varint(v)) => RawValue::Uint(v),
                (4, Value::Varint(v)) => RawValue::Int(v as i64),
                (5, Value::Bytes(v)) => RawValue::Str(v),
                (6, Value::Bytes(v)) => RawValue::Bytes(v),
                (7, Value::Varint(v)) => RawValue::Ref(v),
                _ => continue,
            };
        }
        stat
    }
}

impl RawStat<'_> {
    /// Decodes the form that nearly all stats of device events have: an id below 128, then one integer and nothing else.
    #[inline(always)]
    pub(super) fn decode_short(data: &[u8]) -> Option<Self> {
        let (&[0x08, id, tag], rest) = data.split_first_chunk::<3>()? else {
            return None;
        };
        let mut end = 0;
        let number = crate::wire::read_varint(rest, &mut end).ok()?;
        if id >= 0x80 || end != rest.len() {
            return None;
        }
        let value = match tag {
            0x18 => RawValue::Uint(number),
            0x20 => RawValue::Int(number as i64),
            0x38 => RawValue::Ref(number),
            _ => return None,
        };
        Some(Self { metadata_id: i64::from(id), value })
    }
}

/// A stat with its name and its reference resolved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat<'a> {
    /// Name from the plane's stat metadata; empty if that is missing.
    pub name: &'a str,
    /// What the name means, if it is a known one.
    pub kind: Option<StatKind>,
    /// What it holds.
    pub value: StatValue<'a>,
}

impl<'a> Stat<'a> {
    /// A stat that preparation added.
    pub(super) fn added(kind: StatKind, value: StatValue<'a>) -> Self {
        Self { name: kind.name(), kind: Some(kind), value }
    }
}

/// The value of a [`Stat`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum StatValue<'a> {
    /// No value is set.
    #[default]
    None,
    /// A double.
    Double(f64),
    /// An unsigned integer.
    Uint(u64),
    /// A signed integer.
    Int(i64),
    /// Text in the stat itself; UTF-8 unless the producer was wrong.
    Str(&'a [u8]),
    /// Opaque bytes.
    Bytes(&'a [u8]),
    /// Text that the plane holds once for many stats.
    Ref(&'a str),
}

impl<'a> StatValue<'a> {
    /// The signed integer; 0 if the stat holds anything else, an unsigned integer included (`parity:` plain int read).
    pub fn int(self) -> i64 {
        if let Self::Int(v) = self { v } else { 0 }
    }

    /// The unsigned integer; 0 if the stat holds anything else (`parity:` plain uint read).
    pub fn uint(self) -> u64 {
        if let Self::Uint(v) = self { v } else { 0 }
    }

    /// Either integer, a signed one reinterpreted; 0 for anything else.
    pub fn int_or_uint(self) -> u64 {
        match self {
            Self::Uint(v) => v,
            Self::Int(v) => v as u64,
            _ => 0,
        }
    }

    /// The double; 0 if the stat holds anything else (`parity:` plain double read).
    pub fn double(self) -> f64 {
        if let Self::Double(v) = self { v } else { 0.0 }
    }

    /// Text, own or referenced; empty if the stat holds anything else.
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Self::Str(v) => String::from_utf8_lossy(v),
            Self::Ref(v) => Cow::Borrowed(v),
            _ => Cow::Borrowed(""),
        }
    }

    /// Text as bytes, own or referenced; empty if the stat holds anything else.
    pub fn text_bytes(self) -> &'a [u8] {
        match self {
            Self::Str(v) => v,
            Self::Ref(v) => v.as_bytes(),
            _ => &[],
        }
    }

    /// Opaque bytes; empty if the stat holds anything else.
    pub fn bytes(self) -> &'a [u8] {
        if let Self::Bytes(v) = self { v } else { &[] }
    }

    /// Whether it is an integer of either sign.
    pub fn is_int(self) -> bool {
        matches!(self, Self::Int(_) | Self::Uint(_))
    }
}

/// A set of known kinds of stat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatKindSet([u64; 4]);

impl StatKindSet {
    /// Adds a kind.
    #[inline]
    pub fn insert(&mut self, kind: StatKind) {
        let bit = kind as u8;
        self.0[usize::from(bit >> 6)] |= 1 << (bit & 63);
    }

    /// Whether the kind is in the set.
    #[inline]
    pub fn contains(&self, kind: StatKind) -> bool {
        let bit = kind as u8;
        self.0[usize::from(bit >> 6)] & (1 << (bit & 63)) != 0
    }

    /// Whether any of the kinds is in the set.
    pub fn contains_any(&self, kinds: &[StatKind]) -> bool {
        kinds.iter().any(|&k| self.contains(k))
    }

    /// Adds all kinds of another set.
    pub fn union(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a |= b;
        }
    }
}
