//! Protobuf's text format, as the C++ library writes it.

use std::io::Write as _;

use super::ROOT;
use super::reader::{Datum, damaged, double_text, fields, float_text};
use super::schema::{Message, Schema};
use crate::Result;

/// Writes a whole proto.
pub(in crate::tools::graph_viewer) fn write(proto: &[u8], out: &mut Vec<u8>) -> Result<()> {
    message(proto, Schema::get().message(ROOT).ok_or_else(damaged)?, 0, out)
}

/// The recursion is bounded by the depth to which fields are read.
fn message(data: &[u8], definition: &'static Message, depth: u32, out: &mut Vec<u8>) -> Result<()> {
    for (field, mut values) in fields(data, definition, depth)? {
        if let Some(&Datum::Message(_, at)) = values.first()
            && Schema::get().at(at).is_map_entry
        {
            sort_entries(&mut values, Schema::get().at(at), depth)?;
        }
        for value in &values {
            indent(out, depth);
            out.extend_from_slice(field.name.as_bytes());
            if let Datum::Message(part, at) = value {
                out.extend_from_slice(b" {\n");
                message(part, Schema::get().at(*at), depth + 1, out)?;
                indent(out, depth);
                out.extend_from_slice(b"}\n");
            } else {
                out.extend_from_slice(b": ");
                scalar(value, out);
                out.push(b'\n');
            }
        }
    }
    Ok(())
}

fn indent(out: &mut Vec<u8>, depth: u32) {
    out.extend(std::iter::repeat_n(b' ', 2 * depth as usize));
}

/// Sorts the entries of a map by key; of equal keys the last entry counts.
pub(super) fn sort_entries(values: &mut Vec<Datum<'_>>, entry: &'static Message, depth: u32) -> Result<()> {
    let mut keyed = Vec::with_capacity(values.len());
    for value in values.drain(..) {
        let key = match &value {
            Datum::Message(part, _) => {
                let read = fields(part, entry, depth)?;
                read.into_iter().find(|(field, _)| field.number == 1).and_then(|(_, v)| match v.first() {
                    Some(Datum::Int(n) | Datum::Short(n)) => Some((*n, Vec::new())),
                    Some(Datum::Uint(n)) => Some((*n as i64, Vec::new())),
                    Some(Datum::Text(text)) => Some((0, text.to_vec())),
                    _ => None,
                })
            }
            _ => None,
        };
        keyed.push((key.unwrap_or_default(), value));
    }
    keyed.reverse();
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    keyed.dedup_by(|a, b| a.0 == b.0);
    values.extend(keyed.into_iter().map(|(_, value)| value));
    Ok(())
}

fn scalar(value: &Datum<'_>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = match value {
        Datum::Int(v) | Datum::Short(v) | Datum::Enum(None, v) => write!(out, "{v}"),
        Datum::Uint(v) => write!(out, "{v}"),
        Datum::Bool(v) => write!(out, "{v}"),
        Datum::Float(v) => out.write_all(float_text(*v).as_bytes()),
        Datum::Double(v) => out.write_all(double_text(*v).as_bytes()),
        Datum::Enum(Some(name), _) => out.write_all(name.as_bytes()),
        Datum::Text(text) | Datum::Bytes(text) => {
            out.push(b'"');
            escape(text, out);
            out.push(b'"');
            Ok(())
        }
        Datum::Message(..) => Ok(()),
    };
}

/// C notation: whatever is not printable ASCII is escaped.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'"' | b'\'' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x20..0x7f => out.push(byte),
            _ => {
                let _ = write!(out, "\\{byte:03o}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlo::testing::{int, message};

    fn check(proto: &[u8], expect: &str) {
        let mut out = Vec::new();
        write(proto, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn writes_text() {
        check(&[], "");
        // A name to escape, an id of 0, an unknown field, attributes out of order and one of them without a value.
        let attributes = [message(1, message(1, "b")), message(1, [message(1, "a"), message(2, "x")].concat())];
        let module = [message(1, "\"é"), int(5, 0), int(100, 1), message(19, attributes.concat())];
        check(
            &message(1, module.concat()),
            "hlo_module {\n  name: \"\\\"\\303\\251\"\n  frontend_attributes {\n    map {\n      key: \"a\"\n      value: \"x\"\n    \
             }\n    map {\n      key: \"b\"\n      value: \"\"\n    }\n  }\n}\n",
        );
        let mut out = Vec::new();
        assert!(write(&[10, 5, 10], &mut out).is_err());
    }
}
