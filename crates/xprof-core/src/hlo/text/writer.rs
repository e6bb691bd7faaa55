//! A text that stops growing at a limit.
//!
//! Everything printed goes through it, so that a hostile module (thousands of operands of thousands of parts each) costs no more
//! than the limit says.

use std::fmt::Write;

/// A growing text with a limit in bytes.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    text: String,
    limit: usize,
}

impl Writer {
    /// An empty text that may grow to `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { text: String::new(), limit }
    }

    /// Whether the limit is reached; loops over large values ask this to stop early.
    pub(crate) fn is_full(&self) -> bool {
        self.text.len() > self.limit
    }

    /// How many bytes may still be added.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.text.len())
    }

    /// Appends a text. A single text may go over the limit; `finish` cuts it.
    pub(crate) fn push(&mut self, text: &str) {
        if !self.is_full() {
            self.text.push_str(text);
        }
    }

    /// Appends a number.
    pub(crate) fn int(&mut self, number: i64) {
        // Writing to a String cannot fail.
        let _ = if self.is_full() { Ok(()) } else { write!(self.text, "{number}") };
    }

    /// Appends formatted text.
    pub(crate) fn format(&mut self, arguments: std::fmt::Arguments<'_>) {
        let _ = if self.is_full() { Ok(()) } else { self.text.write_fmt(arguments) };
    }

    /// Appends items with a separator between them.
    pub(crate) fn list<T>(
        &mut self,
        separator: &str,
        items: impl IntoIterator<Item = T>,
        mut one: impl FnMut(&mut Self, T),
    ) {
        for (at, item) in items.into_iter().enumerate() {
            if self.is_full() {
                return;
            }
            if at > 0 {
                self.push(separator);
            }
            one(self, item);
        }
    }

    /// Appends `{1,2,3}`.
    pub(crate) fn braced(&mut self, numbers: &[i64]) {
        self.push("{");
        self.list(",", numbers, |w, &n| w.int(n));
        self.push("}");
    }

    /// Appends a text in C notation: escapes for what is not printable ASCII.
    pub(crate) fn escaped(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' => self.push("\\n"),
                b'\r' => self.push("\\r"),
                b'\t' => self.push("\\t"),
                b'"' => self.push("\\\""),
                b'\'' => self.push("\\'"),
                b'\\' => self.push("\\\\"),
                0..32 | 127.. => self.format(format_args!("\\{byte:03o}")),
                _ => {
                    if !self.is_full() {
                        self.text.push(byte as char);
                    }
                }
            }
        }
    }

    /// Appends `"..."` in C notation.
    pub(crate) fn quoted(&mut self, bytes: &[u8]) {
        self.push("\"");
        self.escaped(bytes);
        self.push("\"");
    }

    /// The text, cut at the limit but never inside a character.
    pub(crate) fn finish(mut self) -> String {
        self.text.truncate(self.text.floor_char_boundary(self.limit));
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limit: usize, fill: impl Fn(&mut Writer), expect: &str) {
        let mut writer = Writer::new(limit);
        fill(&mut writer);
        assert_eq!(writer.finish(), expect);
    }

    #[test]
    fn stops_at_its_limit() {
        check(100, |w| w.braced(&[1, -2]), "{1,-2}");
        check(100, |w| w.quoted("a\"\n\té\u{1}".as_bytes()), r#""a\"\n\t\303\251\001""#);
        check(3, |w| w.push("é€"), "é");
        check(4, |w| w.list(",", 0..1_000_000_000u64, |w, n| w.int(n as i64)), "0,1,");
    }
}
