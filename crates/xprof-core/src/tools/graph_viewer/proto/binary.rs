//! The bytes of a proto in normal form, as the C++ library writes what it has read: fields in order, lists packed, defaults
//! left out, what nobody knows at the end.

use super::ROOT;
use super::reader::{Datum, Read, damaged, read};
use super::schema::{Message, Schema};
use super::text::sort_entries;
use crate::Result;

/// Writes a whole proto.
pub(in crate::tools::graph_viewer) fn write(proto: &[u8], out: &mut Vec<u8>) -> Result<()> {
    message(proto, Schema::get().message(ROOT).ok_or_else(damaged)?, 0, out)
}

/// The recursion is bounded by the depth to which fields are read.
fn message(data: &[u8], definition: &'static Message, depth: u32, out: &mut Vec<u8>) -> Result<()> {
    let Read { fields, unknown } = read(data, definition, depth)?;
    for (field, mut values) in fields {
        if let Some(&Datum::Message(_, at)) = values.first()
            && Schema::get().at(at).is_map_entry
        {
            sort_entries(&mut values, Schema::get().at(at), depth)?;
        }
        if field.is_repeated && field.kind.is_number() {
            let mut packed = Vec::new();
            values.iter().for_each(|value| scalar(value, &mut packed));
            bytes(field.number, &packed, out);
            continue;
        }
        for value in &values {
            match value {
                Datum::Message(part, at) => {
                    let mut inner = Vec::with_capacity(part.len());
                    message(part, Schema::get().at(*at), depth + 1, &mut inner)?;
                    bytes(field.number, &inner, out);
                }
                Datum::Text(text) | Datum::Bytes(text) => bytes(field.number, text, out),
                value => {
                    let wire_type = match value {
                        Datum::Float(_) => 5,
                        Datum::Double(_) => 1,
                        _ => 0,
                    };
                    varint(u64::from(field.number) << 3 | wire_type, out);
                    scalar(value, out);
                }
            }
        }
    }
    unknown.iter().for_each(|field| out.extend_from_slice(field));
    Ok(())
}

fn bytes(number: u32, content: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// The value without its tag.
fn scalar(value: &Datum<'_>, out: &mut Vec<u8>) {
    match value {
        Datum::Int(v) | Datum::Short(v) | Datum::Enum(_, v) => varint(*v as u64, out),
        Datum::Uint(v) => varint(*v, out),
        Datum::Bool(v) => out.push(u8::from(*v)),
        Datum::Float(v) => out.extend_from_slice(&v.to_le_bytes()),
        Datum::Double(v) => out.extend_from_slice(&v.to_le_bytes()),
        // Those are no scalars.
        Datum::Text(_) | Datum::Bytes(_) | Datum::Message(..) => {}
    }
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(proto: &[u8], expect: &[u8]) {
        let mut out = Vec::new();
        write(proto, &mut out).unwrap();
        assert_eq!(out, expect);
    }

    #[test]
    fn brings_protos_into_normal_form() {
        check(&[], &[]);
        // A name, then an id of 0, an unknown field 100, an entry id of 7 and an older name: the last of each counts.
        check(
            &[10, 15, 10, 1, b'a', 40, 0, 0xa0, 6, 1, 48, 7, 10, 1, b'b', 48, 8],
            &[10, 8, 10, 1, b'b', 48, 8, 0xa0, 6, 1],
        );
        // An id of another wire type is unknown, and no list of ids.
        check(&[10, 6, 42, 2, 1, 1, 40, 7], &[10, 6, 40, 7, 42, 2, 1, 1]);
    }
}
