//! Writes the small JSON documents that the server itself makes: run lists, tool lists, host lists, settings.
//!
//! Takes a [`serde_json::Value`], gives its text. Answers of tools are not written here and never pass through here.
//! `parity:` the reference writes these with Python's `json.dumps(value, sort_keys=True)`, and its clients compare bytes.

use std::fmt::Write as _;

use serde_json::Value;

/// The text of a value: separators `", "` and `": "`, keys sorted, everything outside ASCII as `\uXXXX`.
pub fn to_text(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (i, (name, field)) in fields.into_iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_string(out, name);
                out.push_str(": ");
                write_value(out, field);
            }
            out.push('}');
        }
        // Numbers, booleans and null are written alike by both.
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _ = write!(out, "{value}");
        }
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='\u{7e}' => out.push(c),
            // Python escapes by UTF-16 unit, so a character beyond the basic plane becomes two escapes.
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn writes_as_python_does() {
        for (value, text) in [
            (json!([]), "[]"),
            (json!(["a", "b"]), r#"["a", "b"]"#),
            (json!({"b": 1, "a": null, "c": true}), r#"{"a": null, "b": 1, "c": true}"#),
            (json!([{"hostname": "h\"\\\n\u{7f}é😀"}]), r#"[{"hostname": "h\"\\\n\u007f\u00e9\ud83d\ude00"}]"#),
        ] {
            assert_eq!(to_text(&value), text);
        }
    }
}
