//! Finds what the author of a kernel noted for the profiler inside an instruction's text.
//!
//! Takes the text of an HLO instruction, gives compact JSON, or nothing if there is no note or it cannot be read.
//!
//! ```text
//! %c = f32[8] custom-call(%p), frontend_attributes={kernel_metadata={"xprof_metadata":{"k": 1}}}    →    {"k":1}
//! ```

use serde_json::Value;

use crate::answer::json::write_string;
use crate::answer::number::write_shortest;

const ATTRIBUTES: &str = ", frontend_attributes={";
const ATTRIBUTE: &str = "kernel_metadata";
const NOTE: &str = "xprof_metadata";

/// Attributes that name other computations. `parity:` the reference reads one instruction without its module, and gives
/// up where that refers to the rest of it.
const REFERENCES: [&str; 8] = [
    ", calls=",
    ", to_apply=",
    ", condition=",
    ", body=",
    ", branch_computations=",
    ", true_computation=",
    ", called_computations=",
    ", select=",
];

/// The note of a kernel's author.
pub fn kernel_metadata(instruction: &str) -> String {
    if !instruction.contains(NOTE) {
        return String::new();
    }
    note(instruction).map(|note| compact(&note)).unwrap_or_default()
}

fn note(instruction: &str) -> Option<Value> {
    let (head, attributes) = instruction.split_once(ATTRIBUTES)?;
    let (_, operation) = head.split_once(" = ")?;
    if !operation.contains('(') || REFERENCES.iter().any(|r| instruction.contains(r)) {
        return None;
    }
    let metadata: Value = serde_json::from_str(&attribute(attributes)?).ok()?;
    match metadata.get(NOTE)? {
        Value::String(text) => serde_json::from_str(text).ok(),
        note => Some(note.clone()),
    }
}

/// The value of the one attribute in a list `key=value,key=value}`.
fn attribute(mut list: &str) -> Option<String> {
    let mut found = None;
    loop {
        let (key, rest) = list.split_once('=')?;
        let (value, rest) = match rest.chars().next()? {
            quote @ ('"' | '\'') => quoted(rest, quote)?,
            '{' => braced(rest)?,
            _ => return None,
        };
        if key.trim() == ATTRIBUTE {
            found = Some(value);
        }
        match rest.chars().next()? {
            ',' => list = &rest[1..],
            '}' => return found,
            _ => return None,
        }
    }
}

/// A quoted text without its escapes, and what follows it.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        if c == quote {
            return Some((value, &text[i + c.len_utf8()..]));
        }
        value.push(if c == '\\' {
            match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }
        } else {
            c
        });
    }
    None
}

/// A text up to the brace that closes its first one, and what follows it.
fn braced(text: &str) -> Option<(String, &str)> {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return Some((text[..=i].to_owned(), &text[i + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}

/// JSON without blanks, its keys sorted.
fn compact(value: &Value) -> String {
    let mut out = Vec::new();
    write_compact(&mut out, value);
    String::from_utf8(out).unwrap_or_default()
}

/// Recursion is bounded by what the JSON reader accepts.
fn write_compact(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(number) => write_shortest(out, number),
            None => out.extend_from_slice(number.to_string().as_bytes()),
        },
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_compact(out, item);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (i, (name, field)) in fields.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(out, name);
                out.push(b':');
                write_compact(out, field);
            }
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attributes: &str, expected: &str) {
        let text = format!("%c.1 = f32[8]{{0}} custom-call(f32[8]{{0}} %p){attributes}");
        assert_eq!(kernel_metadata(&text), expected, "{text}");
    }

    #[test]
    fn reads_notes() {
        for value in [
            r#"{"xprof_metadata":{"k":1}}"#,
            r#""{\"xprof_metadata\":{\"k\":1}}""#,
            r#"'{"xprof_metadata":{"k":1}}'"#,
            r#"{"xprof_metadata":"{\"k\": 1}"}"#,
        ] {
            check(&format!(r#", frontend_attributes={{a="b",kernel_metadata={value},c="d"}}, x={{}}"#), r#"{"k":1}"#);
        }
        check(
            r#", frontend_attributes={kernel_metadata={"xprof_metadata":{"b":1.50,"a":[1, 2,"x}y"],"e":1e3}}}"#,
            r#"{"a":[1,2,"x}y"],"b":1.5,"e":1000.0}"#,
        );
        check(r#", frontend_attributes={kernel_metadata={"xprof_metadata":null}}"#, "null");
    }

    #[test]
    fn gives_nothing_for_what_it_cannot_read() {
        for attributes in [
            r#", frontend_attributes={kernel_metadata={"other":"xprof_metadata"}}"#,
            r#", frontend_attributes={kernel_metadata={"xprof_metadata":"text"}}"#,
            r#", frontend_attributes={kernel_metadata={"xprof_metadata":{"k":1}}"#,
            r#", frontend_attributes={kernel_metadata="{\"xprof_metadata\""#,
            r#", calls=%f, frontend_attributes={kernel_metadata={"xprof_metadata":1}}"#,
            "xprof_metadata",
            ", frontend_attributes={xprof_metadata",
            ", frontend_attributes={xprof_metadata=é",
        ] {
            check(attributes, "");
        }
        assert_eq!(kernel_metadata("%x = garbage, frontend_attributes={kernel_metadata={\"xprof_metadata\":1}}"), "");
    }
}
