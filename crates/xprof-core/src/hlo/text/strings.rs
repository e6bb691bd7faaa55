//! Texts that come from outside: quoted unless they look like JSON.

use super::writer::Writer;

/// Appends a text raw if it looks like one JSON object, else quoted in C notation.
pub(crate) fn json_or_quoted(out: &mut Writer, text: &[u8]) {
    match std::str::from_utf8(text) {
        Ok(raw) if is_json_like(text) => out.push(raw),
        _ => out.quoted(text),
    }
}

/// Whether a text is, apart from blanks and comments, something in balanced braces.
pub(crate) fn is_json_like(text: &[u8]) -> bool {
    let rest = skip_blanks(text);
    if rest.first() != Some(&b'{') {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (at, &byte) in rest.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return skip_blanks(&rest[at + 1..]).is_empty();
                }
            }
            _ => {}
        }
    }
    false
}

/// What follows leading white space, `// ...` and `/* ... */`.
fn skip_blanks(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        if let Some(comment) = text.strip_prefix(b"//") {
            let end = comment.iter().position(|&b| b == b'\n').map_or(comment.len(), |at| at + 1);
            text = &comment[end..];
        } else if let Some(comment) = text.strip_prefix(b"/*") {
            let Some(end) = comment.windows(2).position(|pair| pair == b"*/") else {
                return text;
            };
            text = &comment[end + 2..];
        } else {
            return text;
        }
    }
}

/// Whether an item may be continued by a key.
fn belongs_to(key: &str, item: &str) -> bool {
    match key {
        "algorithm" => item.starts_with("operand_precision"),
        "shifts" => item.starts_with("mode"),
        _ => ["lhs_", "offset_dims", "update_window_dims"].iter().any(|first| item.starts_with(first)),
    }
}

/// Keys that continue the item before them: dimension numbers and precisions are one item of several keys.
const CONTINUING: [&str; 16] = [
    "lhs_contracting_dims",
    "rhs_batch_dims",
    "rhs_contracting_dims",
    "lhs_ragged_dims",
    "rhs_group_dims",
    "collapsed_slice_dims",
    "start_index_map",
    "operand_batching_dims",
    "start_indices_batching_dims",
    "index_vector_dim",
    "inserted_window_dims",
    "scatter_dims_to_operand_dims",
    "input_batching_dims",
    "scatter_indices_batching_dims",
    "algorithm",
    "shifts",
];

/// Takes `, a=1, b={2, 3}` apart into `a=1` and `b={2, 3}`: separators inside brackets and quotes do not count, nor those
/// inside an item of several keys.
pub(crate) fn split_attributes(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let (mut depth, mut in_string, mut escaped, mut start) = (0usize, false, false, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 && text[at..].starts_with(", ") => {
                parts.push(&text[start..at]);
                start = at + 2;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    let mut items: Vec<String> = Vec::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        let key = part.split('=').next().unwrap_or_default();
        match items.last_mut() {
            Some(item) if CONTINUING.contains(&key) && belongs_to(key, item) => {
                item.push_str(", ");
                item.push_str(part);
            }
            _ => items.push(part.to_owned()),
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: bool) {
        assert_eq!(is_json_like(text.as_bytes()), expect, "{text}");
    }

    #[test]
    fn splits_attributes() {
        let parts = split_attributes(r#", a=1, b={2, 3}, c="x, \\\"y, z", d=[2,4]<=[8], e=f32[2] {1, 2}"#);
        assert_eq!(parts, ["a=1", "b={2, 3}", r#"c="x, \\\"y, z""#, "d=[2,4]<=[8]", "e=f32[2] {1, 2}"]);
        let dot = split_attributes(", lhs_batch_dims={0}, lhs_contracting_dims={1}, rhs_batch_dims={0}, algorithm=a");
        assert_eq!(dot, ["lhs_batch_dims={0}, lhs_contracting_dims={1}, rhs_batch_dims={0}", "algorithm=a"]);
        assert!(split_attributes("").is_empty());
    }

    #[test]
    fn tells_json_from_text() {
        check(r#"{"a":1}"#, true);
        check(r#" /* x */ { "a}" : "\"}" } // end"#, true);
        check("{} x", false);
        check("{", false);
        check("}", false);
        check("plain", false);
        check("", false);
        check("/* open", false);
    }
}
