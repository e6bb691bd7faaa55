//! The JSON of protocol buffers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ROOT;
use super::reader::{Datum, damaged, double_text, fields, float_text};
use super::schema::{Message, Schema};
use crate::Result;
use crate::answer::json::{write_proto_string, write_string};

/// Writes a whole proto.
pub(in crate::tools::graph_viewer) fn write(proto: &[u8], out: &mut Vec<u8>) -> Result<()> {
    message(proto, Schema::get().message(ROOT).ok_or_else(damaged)?, 0, out)
}

/// The recursion is bounded by the depth to which fields are read.
fn message(data: &[u8], definition: &'static Message, depth: u32, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'{');
    let mut first = true;
    for (field, values) in fields(data, definition, depth)? {
        comma(&mut first, out);
        write_string(out, &field.json_name);
        out.push(b':');
        let map = values.first().and_then(|value| match value {
            Datum::Message(_, at) => Some(Schema::get().at(*at)).filter(|entry| entry.is_map_entry),
            _ => None,
        });
        if let Some(entry) = map {
            self::map(&values, entry, depth, out)?;
        } else if field.is_repeated {
            out.push(b'[');
            let mut first = true;
            for value in &values {
                comma(&mut first, out);
                self::value(value, depth, out)?;
            }
            out.push(b']');
        } else if let Some(value) = values.first() {
            self::value(value, depth, out)?;
        }
    }
    out.push(b'}');
    Ok(())
}

fn comma(first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::replace(first, false) {
        out.push(b',');
    }
}

/// An object with the entries of a map; keys are texts in JSON.
fn map(entries: &[Datum<'_>], definition: &'static Message, depth: u32, out: &mut Vec<u8>) -> Result<()> {
    let mut sorted = std::collections::BTreeMap::new();
    for entry in entries {
        let Datum::Message(part, _) = entry else { continue };
        let (mut key, mut text) = (String::new(), Vec::new());
        for (field, values) in fields(part, definition, depth + 1)? {
            match (field.number, values.last()) {
                (1, Some(Datum::Int(n) | Datum::Short(n))) => key = n.to_string(),
                (1, Some(Datum::Uint(n))) => key = n.to_string(),
                (1, Some(Datum::Text(name))) => key = String::from_utf8_lossy(name).into_owned(),
                (2, Some(value)) => self::value(value, depth + 1, &mut text)?,
                _ => {}
            }
        }
        sorted.insert(key, text);
    }
    out.push(b'{');
    let mut first = true;
    for (key, text) in sorted {
        comma(&mut first, out);
        write_proto_string(out, &key);
        out.push(b':');
        out.extend_from_slice(&text);
    }
    out.push(b'}');
    Ok(())
}

fn value(value: &Datum<'_>, depth: u32, out: &mut Vec<u8>) -> Result<()> {
    match value {
        // Numbers of 64 bits are texts, as readers of JSON have only doubles.
        Datum::Int(v) => write_string(out, &v.to_string()),
        Datum::Uint(v) => write_string(out, &v.to_string()),
        Datum::Bool(v) => out.extend_from_slice(if *v { b"true" } else { b"false" }),
        Datum::Float(v) => number(f64::from(*v), &float_text(*v), out),
        Datum::Double(v) => number(*v, &double_text(*v), out),
        Datum::Enum(Some(name), _) => write_string(out, name),
        Datum::Short(v) | Datum::Enum(None, v) => out.extend_from_slice(v.to_string().as_bytes()),
        Datum::Text(text) => write_proto_string(out, &String::from_utf8_lossy(text)),
        Datum::Bytes(bytes) => write_string(out, &STANDARD.encode(bytes)),
        Datum::Message(part, at) => message(part, Schema::get().at(*at), depth + 1, out)?,
    }
    Ok(())
}

fn number(value: f64, text: &str, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}
