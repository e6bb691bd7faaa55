//! Writes JSON text as the reference's two writers do: tables in one dialect, protocol buffers in another.
//!
//! Takes values in the order of their fields and gives compact bytes; nothing is built up in memory first.
//! Must not reorder or check what it is given: a caller that forgets to end an object gets broken JSON.

use super::number;

/// Which of the reference's JSON writers is followed; they differ in numbers and in escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// DataTables: shortest digits with a fraction, only the necessary escapes.
    Table,
    /// Messages: 15 or 17 digits, 64-bit integers as strings, markup and invisible characters escaped.
    Proto,
}

/// Appends JSON to a buffer and puts the commas where they belong.
#[derive(Debug)]
pub struct JsonWriter<'a> {
    out: &'a mut Vec<u8>,
    dialect: Dialect,
    /// Whether the next value or key must be preceded by a comma.
    comma: bool,
}

impl<'a> JsonWriter<'a> {
    /// Writes to the end of `out`.
    pub fn new(out: &'a mut Vec<u8>, dialect: Dialect) -> Self {
        Self { out, dialect, comma: false }
    }

    /// Opens an object, as a value.
    pub fn begin_object(&mut self) -> &mut Self {
        self.open(b'{')
    }

    /// Closes the innermost object.
    pub fn end_object(&mut self) -> &mut Self {
        self.close(b'}')
    }

    /// Opens an array, as a value.
    pub fn begin_array(&mut self) -> &mut Self {
        self.open(b'[')
    }

    /// Closes the innermost array.
    pub fn end_array(&mut self) -> &mut Self {
        self.close(b']')
    }

    /// Writes the name of the value that follows.
    pub fn key(&mut self, name: &str) -> &mut Self {
        self.string(name);
        self.out.push(b':');
        self.comma = false;
        self
    }

    /// Writes a string.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.separate();
        match self.dialect {
            Dialect::Table => write_string(self.out, text),
            Dialect::Proto => write_proto_string(self.out, text),
        }
        self
    }

    /// Writes a double.
    pub fn double(&mut self, value: f64) -> &mut Self {
        self.separate();
        match self.dialect {
            Dialect::Table => number::write_shortest(self.out, value),
            Dialect::Proto => number::write_proto(self.out, value),
        }
        self
    }

    /// Writes a whole number of at most 32 bits.
    pub fn int(&mut self, value: impl Into<i64>) -> &mut Self {
        self.separate();
        number::write_integer(self.out, value.into());
        self
    }

    /// Writes a whole number of 64 bits: in messages these are strings, for the sake of readers that know only doubles.
    pub fn int64(&mut self, value: impl Into<i128>) -> &mut Self {
        self.separate();
        let quotes: &[u8] = if self.dialect == Dialect::Proto { b"\"" } else { b"" };
        self.out.extend_from_slice(quotes);
        number::write_integer(self.out, value);
        self.out.extend_from_slice(quotes);
        self
    }

    /// Writes a truth value.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.separate();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// Writes a value that is JSON already.
    pub fn raw(&mut self, json: &[u8]) -> &mut Self {
        self.separate();
        self.out.extend_from_slice(json);
        self
    }

    /// Bytes in the buffer so far.
    pub fn n_bytes(&self) -> usize {
        self.out.len()
    }

    fn open(&mut self, bracket: u8) -> &mut Self {
        self.separate();
        self.out.push(bracket);
        self.comma = false;
        self
    }

    fn close(&mut self, bracket: u8) -> &mut Self {
        self.out.push(bracket);
        self.comma = true;
        self
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }
}

/// Appends a string in quotes, with only those escapes that JSON demands.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (i, byte) in bytes.iter().enumerate() {
        if !must_escape(*byte) {
            continue;
        }
        out.extend_from_slice(&bytes[start..i]);
        write_escape(out, u16::from(*byte));
        start = i + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// Appends a string in quotes as the JSON of protocol buffers: markup and invisible characters are escaped too.
pub fn write_proto_string(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|b| !must_escape(b) && b < 0x7f && b != b'<' && b != b'>') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        return out.push(b'"');
    }
    out.push(b'"');
    let mut utf8 = [0; 4];
    for c in text.chars() {
        match c {
            '<' | '>' | '\u{7f}' | '\u{ad}' | '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                write_escape(out, c as u16);
            }
            _ if c.is_ascii() && must_escape(c as u8) => write_escape(out, c as u16),
            _ => out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes()),
        }
    }
    out.push(b'"');
}

fn must_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn write_escape(out: &mut Vec<u8>, code: u16) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match code {
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        0x22 => b'"',
        0x5c => b'\\',
        _ => {
            out.extend_from_slice(b"\\u");
            return out.extend((0..4).rev().map(|i| HEX[usize::from(code >> (4 * i) & 0xf)]));
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, table: &str, proto: &str) {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        write_string(&mut a, text);
        write_proto_string(&mut b, text);
        assert_eq!((String::from_utf8(a).unwrap().as_str(), String::from_utf8(b).unwrap().as_str()), (table, proto));
    }

    #[test]
    fn escapes_strings() {
        check("", r#""""#, r#""""#);
        check("plain é", r#""plain é""#, r#""plain é""#);
        check("a\"b\\c\n\t\r\u{8}\u{c}\u{1}", r#""a\"b\\c\n\t\r\b\f\u0001""#, r#""a\"b\\c\n\t\r\b\f\u0001""#);
        check("<b>\u{7f}\u{2028}\u{feff}", "\"<b>\u{7f}\u{2028}\u{feff}\"", r#""\u003cb\u003e\u007f\u2028\ufeff""#);
    }

    #[test]
    fn puts_commas_between_values() {
        let mut out = Vec::new();
        let mut json = JsonWriter::new(&mut out, Dialect::Proto);
        json.begin_object().key("a").begin_array().int(1).double(0.5).end_array();
        json.key("b").begin_object().end_object().key("c").int64(7_u64).key("d").bool(true).end_object();
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":[1,0.5],"b":{},"c":"7","d":true}"#);
    }
}
