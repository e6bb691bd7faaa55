//! The values of a message, in the order of their fields.

use std::borrow::Cow;

use super::schema::{Field, Kind, Message, Schema};
use crate::wire::{Fields, Value, read_varint};
use crate::{Error, Result};

/// How deep messages may be nested; the limit of the usual protobuf parsers.
const MAX_DEPTH: u32 = 100;

/// A value that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Datum<'a> {
    Int(i64),
    /// Of 32 bits.
    Short(i64),
    Uint(u64),
    Bool(bool),
    Float(f32),
    Double(f64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    /// The name or, if nobody knows it, the number.
    Enum(Option<&'static str>, i64),
    Message(Cow<'a, [u8]>, usize),
}

impl Datum<'_> {
    /// Whether it is what an absent field means.
    fn is_default(&self) -> bool {
        match self {
            Self::Int(v) | Self::Short(v) | Self::Enum(_, v) => *v == 0,
            Self::Uint(v) => *v == 0,
            Self::Bool(v) => !v,
            Self::Float(v) => v.to_bits() == 0,
            Self::Double(v) => v.to_bits() == 0,
            Self::Text(v) | Self::Bytes(v) => v.is_empty(),
            Self::Message(..) => false,
        }
    }
}

/// What is wrong with the bytes.
pub(super) fn damaged() -> Error {
    Error::Unsupported("the HLO proto is damaged".into())
}

/// What was read of a message.
pub(super) struct Read<'a> {
    /// The fields that have something to show, by number, each with its values.
    pub(super) fields: Vec<(&'static Field, Vec<Datum<'a>>)>,
    /// Fields that are not in the definitions, with their tags.
    pub(super) unknown: Vec<&'a [u8]>,
}

/// The known fields of a message.
pub(super) fn fields<'a>(
    data: &'a [u8],
    message: &'static Message,
    depth: u32,
) -> Result<Vec<(&'static Field, Vec<Datum<'a>>)>> {
    Ok(read(data, message, depth)?.fields)
}

/// The fields of a message.
/// A single field that occurs several times has the last value; messages are merged. Of fields that exclude each other the
/// last one counts.
pub(super) fn read<'a>(data: &'a [u8], message: &'static Message, depth: u32) -> Result<Read<'a>> {
    if depth > MAX_DEPTH {
        return Err(damaged());
    }
    let mut found: Vec<(&'static Field, Vec<Datum<'a>>)> = Vec::new();
    let mut unknown = Vec::new();
    let mut source = Fields::new(data);
    loop {
        let start = source.position();
        let Some(raw) = source.next_field().map_err(|_| damaged())? else {
            break;
        };
        // As for every protobuf parser a value of another wire type than the field's is none of this field.
        let Some(field) = message.field(raw.number).filter(|field| field.takes(raw.value)) else {
            unknown.extend(data.get(start..source.position()));
            continue;
        };
        if let Some(group) = field.oneof {
            found.retain(|(other, _)| other.oneof != Some(group) || other.number == field.number);
        }
        // Writers put fields in order, so the right place is nearly always the last one.
        let at = match found.last() {
            Some((last, _)) if last.number == field.number => found.len() - 1,
            _ => match found.binary_search_by_key(&field.number, |(f, _)| f.number) {
                Ok(at) => at,
                Err(at) => {
                    found.insert(at, (field, Vec::new()));
                    at
                }
            },
        };
        add(&mut found[at].1, field, raw.value)?;
    }
    if !message.is_map_entry {
        found
            .retain(|(field, values)| field.is_repeated || field.has_presence || !values.iter().all(Datum::is_default));
    }
    found.retain(|(_, values)| !values.is_empty());
    if message.is_map_entry {
        // An entry always has a key and a value.
        for (place, number) in [(0, 1), (1, 2)] {
            if let Some(field) = message.field(number)
                && !found.iter().any(|(f, _)| f.number == number)
            {
                found.insert(place, (field, vec![default_of(field.kind)]));
            }
        }
    }
    Ok(Read { fields: found, unknown })
}

/// What an absent field of that type means.
fn default_of(kind: Kind) -> Datum<'static> {
    match kind {
        Kind::Int => Datum::Int(0),
        Kind::Int32 | Kind::Uint32 => Datum::Short(0),
        Kind::Uint => Datum::Uint(0),
        Kind::Bool => Datum::Bool(false),
        Kind::Float => Datum::Float(0.0),
        Kind::Double => Datum::Double(0.0),
        Kind::Text => Datum::Text(&[]),
        Kind::Bytes => Datum::Bytes(&[]),
        Kind::Enum(at) => Datum::Enum(Schema::get().enum_name(at, 0), 0),
        Kind::Message(at) => Datum::Message(Cow::Borrowed(&[]), at),
    }
}

impl Field {
    /// Whether a value of this wire type is one of the field, or several.
    fn takes(&self, value: Value<'_>) -> bool {
        let is_packed = self.is_repeated && self.kind.is_number() && matches!(value, Value::Bytes(_));
        is_packed || datum(self.kind, value).is_some()
    }
}

fn add<'a>(values: &mut Vec<Datum<'a>>, field: &Field, value: Value<'a>) -> Result<()> {
    if let (Value::Bytes(packed), true) = (value, field.kind.is_number()) {
        let mut pos = 0;
        while pos < packed.len() {
            let one = match field.kind {
                Kind::Float => Value::Fixed32(u32::from_le_bytes(take(packed, &mut pos)?)),
                Kind::Double => Value::Fixed64(u64::from_le_bytes(take(packed, &mut pos)?)),
                _ => Value::Varint(read_varint(packed, &mut pos).map_err(|_| damaged())?),
            };
            values.extend(datum(field.kind, one));
        }
        return Ok(());
    }
    let Some(new) = datum(field.kind, value) else {
        return Ok(());
    };
    match (values.last_mut(), new) {
        (Some(Datum::Message(old, _)), Datum::Message(more, _)) if !field.is_repeated => {
            old.to_mut().extend_from_slice(&more);
        }
        (Some(old), new) if !field.is_repeated => *old = new,
        (_, new) => values.push(new),
    }
    Ok(())
}

fn take<const N: usize>(data: &[u8], pos: &mut usize) -> Result<[u8; N]> {
    let part = data.get(*pos..).and_then(<[u8]>::first_chunk).ok_or_else(damaged)?;
    *pos += N;
    Ok(*part)
}

/// The value in the field's type, `None` if the wire type does not fit.
fn datum(kind: Kind, value: Value<'_>) -> Option<Datum<'_>> {
    Some(match (kind, value) {
        (Kind::Int, Value::Varint(v)) => Datum::Int(v as i64),
        (Kind::Int32, Value::Varint(v)) => Datum::Short(i64::from(v as i32)),
        (Kind::Uint32, Value::Varint(v)) => Datum::Short(i64::from(v as u32)),
        (Kind::Uint, Value::Varint(v)) => Datum::Uint(v),
        (Kind::Bool, Value::Varint(v)) => Datum::Bool(v != 0),
        (Kind::Enum(at), Value::Varint(v)) => Datum::Enum(Schema::get().enum_name(at, v as i64), v as i64),
        (Kind::Float, Value::Fixed32(bits)) => Datum::Float(f32::from_bits(bits)),
        (Kind::Double, Value::Fixed64(bits)) => Datum::Double(f64::from_bits(bits)),
        (Kind::Text, Value::Bytes(v)) => Datum::Text(v),
        (Kind::Bytes, Value::Bytes(v)) => Datum::Bytes(v),
        (Kind::Message(at), Value::Bytes(v)) => Datum::Message(Cow::Borrowed(v), at),
        _ => return None,
    })
}

/// The decimal digits of a float: six if they are enough to tell it from others, else nine. No sign of `nan`.
/// `parity:` numbers too small to be normal always have nine.
pub(super) fn float_text(value: f32) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    let short = crate::answer::number::g(f64::from(value), 6);
    let is_enough = short.parse::<f32>().is_ok_and(|parsed| parsed.to_bits() == value.to_bits());
    if is_enough && !value.is_subnormal() { short } else { crate::answer::number::g(f64::from(value), 9) }
}

/// The decimal digits of a double: fifteen if they are enough, else seventeen. No sign of `nan`.
pub(super) fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    let short = crate::answer::number::g(value, 15);
    let is_enough = short.parse::<f64>().is_ok_and(|parsed| parsed.to_bits() == value.to_bits());
    if is_enough { short } else { crate::answer::number::g(value, 17) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_numbers_in_as_few_digits_as_the_original() {
        for (value, expect) in [
            (1.5, "1.5"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.333333343"),
            (-0.0, "-0"),
            (-f32::NAN, "nan"),
            (f32::NEG_INFINITY, "-inf"),
            (f32::from_bits(2), "2.80259693e-45"),
            (f32::MIN_POSITIVE, "1.17549435e-38"),
        ] {
            assert_eq!(float_text(value), expect);
        }
        for (value, expect) in
            [(f64::from_bits(2), "9.88131291682493e-324"), (-f64::NAN, "nan"), (1.0 / 3.0, "0.33333333333333331")]
        {
            assert_eq!(double_text(value), expect);
        }
    }
}
