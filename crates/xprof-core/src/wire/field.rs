//! Iterator over the fields of one message.

use super::{WireError, read_varint};

/// The value of a field, by wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0: integers, booleans and enums.
    Varint(u64),
    /// Wire type 1: `fixed64`, `double`.
    Fixed64(u64),
    /// Wire type 2: strings, bytes, messages, packed lists.
    Bytes(&'a [u8]),
    /// Wire type 5: `fixed32`, `float`.
    Fixed32(u32),
    /// Wire types 3 and 4: the content of a group, which no message of ours uses.
    Group,
}

impl<'a> Value<'a> {
    /// The integer of a varint field; 0 for any other wire type, as a parser that finds an unknown field would say.
    pub fn as_u64(self) -> u64 {
        if let Value::Varint(v) = self { v } else { 0 }
    }

    /// The bytes of a length-delimited field; empty for any other wire type.
    pub fn as_bytes(self) -> &'a [u8] {
        if let Value::Bytes(v) = self { v } else { &[] }
    }

    /// The double of a fixed64 field; 0 for any other wire type.
    pub fn as_f64(self) -> f64 {
        if let Value::Fixed64(v) = self { f64::from_bits(v) } else { 0.0 }
    }

    /// The float of a fixed32 field; 0 for any other wire type.
    pub fn as_f32(self) -> f32 {
        if let Value::Fixed32(v) = self { f32::from_bits(v) } else { 0.0 }
    }
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field number, never 0.
    pub number: u32,
    /// What it holds.
    pub value: Value<'a>,
}

/// The fields of a message in the order of the bytes. After an error the iteration is over.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    data: &'a [u8],
    pos: usize,
}

impl<'a> Fields<'a> {
    /// The fields of the message that `data` holds.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, pos: 0 }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.pos
    }

    /// The next field, `None` at the end.
    #[inline(always)]
    pub fn next_field(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.pos >= self.data.len() {
            return Ok(None);
        }
        let tag = read_varint(self.data, &mut self.pos)?;
        let number = (tag >> 3) as u32;
        if number == 0 || tag > u64::from(u32::MAX) {
            return Err(WireError::BadTag);
        }
        let value = match tag & 7 {
            0 => Value::Varint(read_varint(self.data, &mut self.pos)?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Value::Bytes(self.bytes()?),
            3 => {
                self.skip_group(number)?;
                Value::Group
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            4 => return Err(WireError::UnbalancedGroup),
            _ => return Err(WireError::BadTag),
        };
        Ok(Some(Field { number, value }))
    }

    #[inline(always)]
    fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = read_varint(self.data, &mut self.pos)?;
        let rest = &self.data[self.pos..];
        if len > rest.len() as u64 {
            return Err(WireError::LengthOverflow);
        }
        self.pos += len as usize;
        Ok(&rest[..len as usize])
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let bytes = self.data[self.pos..].first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.pos += N;
        Ok(*bytes)
    }

    /// Skips to the end of the group that has just begun. A stack is not needed: protobuf allows only properly nested
    /// groups, and a group that ends under another number than the innermost open one is damage either way, so counting
    /// the open ones and checking the outermost number is enough to skip and cannot be driven into recursion.
    fn skip_group(&mut self, number: u32) -> Result<(), WireError> {
        let mut open = 1u64;
        while open > 0 {
            if self.pos >= self.data.len() {
                return Err(WireError::UnbalancedGroup);
            }
            let tag = read_varint(self.data, &mut self.pos)?;
            match tag & 7 {
                0 => {
                    read_varint(self.data, &mut self.pos)?;
                }
                1 => {
                    self.array::<8>()?;
                }
                2 => {
                    self.bytes()?;
                }
                3 => open += 1,
                4 => {
                    open -= 1;
                    if open == 0 && tag >> 3 != u64::from(number) {
                        return Err(WireError::UnbalancedGroup);
                    }
                }
                5 => {
                    self.array::<4>()?;
                }
                _ => return Err(WireError::BadTag),
            }
        }
        Ok(())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        match self.next_field() {
            Ok(field) => field.map(Ok),
            Err(error) => {
                self.pos = self.data.len();
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "shorter cases")]
    fn check(bytes: &[u8], expect: Result<Vec<(u32, Value<'_>)>, WireError>) {
        let got: Result<Vec<_>, _> = Fields::new(bytes).map(|f| f.map(|f| (f.number, f.value))).collect();
        assert_eq!(got, expect, "{bytes:?}");
    }

    #[test]
    fn reads_every_wire_type() {
        check(&[], Ok(vec![]));
        check(&[0x08, 0x96, 0x01], Ok(vec![(1, Value::Varint(150))]));
        check(&[0x12, 2, b'h', b'i'], Ok(vec![(2, Value::Bytes(b"hi"))]));
        check(&[0x0d, 1, 0, 0, 0], Ok(vec![(1, Value::Fixed32(1))]));
        check(&[0x09, 1, 0, 0, 0, 0, 0, 0, 0], Ok(vec![(1, Value::Fixed64(1))]));
        check(&[0x0b, 0x08, 1, 0x13, 0x14, 0x0c, 0x10, 5], Ok(vec![(1, Value::Group), (2, Value::Varint(5))]));
    }

    #[test]
    fn names_the_damage() {
        check(&[0x08], Err(WireError::Truncated));
        check(&[0x12, 3, b'h'], Err(WireError::LengthOverflow));
        check(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Err(WireError::LengthOverflow));
        check(&[0x00, 0], Err(WireError::BadTag));
        check(&[0x0e, 0], Err(WireError::BadTag));
        check(&[0x0c], Err(WireError::UnbalancedGroup));
        check(&[0x0b, 0x08, 1], Err(WireError::UnbalancedGroup));
        check(&[0x0b, 0x14], Err(WireError::UnbalancedGroup));
    }
}
