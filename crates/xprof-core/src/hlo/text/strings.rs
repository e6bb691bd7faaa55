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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: bool) {
        assert_eq!(is_json_like(text.as_bytes()), expect, "{text}");
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
