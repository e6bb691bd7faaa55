//! The answer of one host as a block of columns that a browser views without parsing event by event.
//!
//! ```text
//! u32 bytes of the header | u32 bytes of the columns | header: JSON, padded with blanks | columns, each padded with zeros
//! ```
//! Everything is little-endian and every part is a multiple of 8 bytes long, so that blocks can follow one another.
//! `docs/timeline-format.md` describes what the headers and columns of each query hold.
//! It must not know what the columns mean.

use bytes::Bytes;
use serde_json::Value;

use crate::answer::json::{Dialect, JsonWriter};
use crate::artifact::Artifact;
use crate::{Error, Result};

const ALIGN: usize = 8;

/// One host's answer to one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block(Vec<u8>);

impl Block {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Artifact for Block {
    const KIND: &'static str = "timeline_block";
    const VERSION: u32 = 1;

    fn encode(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn decode(bytes: Bytes) -> Result<Self> {
        describe(&bytes).map_err(|reason| Error::BadArtifact { artifact: Self::KIND, reason: reason.into() })?;
        Ok(Self(bytes.into()))
    }

    fn weight(&self) -> usize {
        self.0.capacity() + size_of::<Self>()
    }
}

/// A type of numbers that a column may have.
pub trait Number: Copy {
    /// As the header calls it.
    const TYPE: &'static str;

    /// Appends the bytes of one number.
    fn put(self, out: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Number for $type {
            const TYPE: &'static str = stringify!($type);

            #[inline]
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
numbers!(u8, u32, f64);

/// Bytes of one number of a type, as the header calls it.
fn size_of_type(name: &str) -> Option<usize> {
    match name {
        u8::TYPE => Some(1),
        u32::TYPE => Some(4),
        f64::TYPE => Some(8),
        _ => None,
    }
}

/// A block while it is written: facts first, then columns.
pub struct BlockBuilder {
    header: Vec<u8>,
    listed: Vec<(&'static str, &'static str, usize)>,
    body: Vec<u8>,
}

impl BlockBuilder {
    /// A block whose header holds what `facts` writes into one JSON object.
    pub fn new(facts: impl FnOnce(&mut JsonWriter<'_>)) -> Self {
        let mut header = Vec::new();
        let mut json = JsonWriter::new(&mut header, Dialect::Table);
        json.begin_object();
        facts(&mut json);
        Self { header, listed: Vec::new(), body: Vec::new() }
    }

    /// Adds a column.
    pub fn column<T: Number>(&mut self, name: &'static str, values: impl IntoIterator<Item = T>) {
        let mut n = 0;
        for value in values {
            value.put(&mut self.body);
            n += 1;
        }
        pad(&mut self.body, 0);
        self.listed.push((name, T::TYPE, n));
    }

    /// The block.
    pub fn finish(mut self) -> Result<Block> {
        let mut list = Vec::new();
        let mut json = JsonWriter::new(&mut list, Dialect::Table);
        json.begin_array();
        for &(name, kind, n) in &self.listed {
            json.begin_array().string(name).string(kind).int64(n as i64).end_array();
        }
        json.end_array();
        if self.header.len() > 1 {
            self.header.push(b',');
        }
        self.header.extend_from_slice(b"\"columns\":");
        self.header.extend_from_slice(&list);
        self.header.push(b'}');
        pad(&mut self.header, b' ');
        let length = |part: &[u8]| {
            let too_long = || Error::Unsupported("the answer is longer than 4 GB: ask for less of the timeline".into());
            u32::try_from(part.len()).map_err(|_| too_long())
        };
        let mut bytes = Vec::with_capacity(ALIGN + self.header.len() + self.body.len());
        length(&self.header)?.put(&mut bytes);
        length(&self.body)?.put(&mut bytes);
        bytes.append(&mut self.header);
        bytes.append(&mut self.body);
        Ok(Block(bytes))
    }
}

fn pad(part: &mut Vec<u8>, with: u8) {
    part.resize(part.len().next_multiple_of(ALIGN), with);
}

/// The header of a block, and name, type and bytes of each column.
type Described<'a> = (Value, Vec<(String, String, &'a [u8])>);

/// Reads one whole block, whose bytes may be anything; what is no block is refused with a reason.
pub fn describe(bytes: &[u8]) -> std::result::Result<Described<'_>, &'static str> {
    let ([header_len, body_len], rest) = lengths(bytes).ok_or("the lengths are missing")?;
    if rest.len() != header_len + body_len || header_len % ALIGN != 0 || body_len % ALIGN != 0 {
        return Err("the lengths do not match the bytes");
    }
    let (header, mut body) = rest.split_at(header_len);
    let header: Value = serde_json::from_slice(header).map_err(|_| "the header is no JSON")?;
    let mut columns = Vec::new();
    for entry in header.get("columns").and_then(Value::as_array).ok_or("the header lists no columns")? {
        let text = |i: usize| entry.get(i).and_then(Value::as_str).map(str::to_owned);
        let n = entry.get(2).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let (Some(name), Some(kind), Some(n)) = (text(0), text(1), n) else {
            return Err("a column is not described");
        };
        let n_bytes = size_of_type(&kind).and_then(|size| size.checked_mul(n)).ok_or("a column has no such type")?;
        let padded = n_bytes.checked_next_multiple_of(ALIGN).filter(|&n| n <= body.len());
        let (column, after) = body.split_at(padded.ok_or("a column is longer than the bytes")?);
        columns.push((name, kind, &column[..n_bytes]));
        body = after;
    }
    if body.is_empty() { Ok((header, columns)) } else { Err("bytes follow the last column") }
}

/// The two lengths at the start of a block, and what follows them.
fn lengths(bytes: &[u8]) -> Option<([usize; 2], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<4>()?;
    let (body, rest) = rest.split_first_chunk::<4>()?;
    Some(([header, body].map(|length| u32::from_le_bytes(*length) as usize), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(small: &[u8], numbers: &[u32], wide: &[f64]) -> Block {
        let mut builder = BlockBuilder::new(|json| {
            json.key("host").string("a \"host\"");
        });
        builder.column("small", small.iter().copied());
        builder.column("numbers", numbers.iter().copied());
        builder.column("wide", wide.iter().copied());
        builder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn comes_back(
            small in prop::collection::vec(any::<u8>(), 0..20),
            numbers in prop::collection::vec(any::<u32>(), 0..20),
            wide in prop::collection::vec(-1e18..1e18f64, 0..20),
        ) {
            let block = block(&small, &numbers, &wide);
            prop_assert_eq!(block.bytes().len() % ALIGN, 0);
            let (header, columns) = describe(block.bytes()).unwrap();
            prop_assert_eq!(&header["host"], "a \"host\"");
            let expected: [Vec<u8>; 3] = [
                small,
                numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
                wide.iter().flat_map(|n| n.to_le_bytes()).collect(),
            ];
            prop_assert_eq!(columns.iter().map(|&(.., bytes)| bytes).collect::<Vec<_>>(), expected);
            let decoded = Block::decode(block.encode().into()).unwrap();
            prop_assert_eq!(decoded, block);
        }

        #[test]
        fn damage_is_refused_or_harmless(at in 0usize..200, value in any::<u8>(), cut in 0usize..200) {
            let mut bytes = block(&[1, 2, 3], &[4, 5], &[6.0]).encode();
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = Block::decode(bytes.clone().into());
            bytes.truncate(cut % bytes.len());
            prop_assert!(Block::decode(bytes.into()).is_err());
        }
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        let with_header = |header: &str, body: &[u8]| {
            let header = format!("{header:<width$}", width = header.len().next_multiple_of(8));
            let lengths = [header.len(), body.len()].map(|n| (n as u32).to_le_bytes()).concat();
            [&lengths[..], header.as_bytes(), body].concat()
        };
        for (header, body, reason) in [
            ("{", &[][..], "no JSON"),
            ("{}", &[], "lists no columns"),
            (r#"{"columns":[["a","u32"]]}"#, &[], "not described"),
            (r#"{"columns":[["a","u16",1]]}"#, &[0; 8], "no such type"),
            (r#"{"columns":[["a","u32",18446744073709551615]]}"#, &[0; 8], "no such type"),
            (r#"{"columns":[["a","u32",3]]}"#, &[0; 8], "longer than the bytes"),
            (r#"{"columns":[]}"#, &[0; 8], "bytes follow"),
        ] {
            let error = describe(&with_header(header, body)).err().unwrap_or_default();
            assert!(error.contains(reason), "{header}: {error}");
        }
    }
}
