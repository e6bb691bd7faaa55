//! Small readers that the decoders of HLO messages share.
//!
//! Take wire-format values, give checked numbers and texts; must not know any message.

use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;

use super::HloError;
use crate::wire::{Fields, Value, offset_in, read_varint};

/// How deep messages may be nested; the limit of the usual protobuf parsers.
pub(crate) const MAX_DEPTH: u32 = 100;

/// A short list of 64-bit integers: dimensions, permutations, indices.
pub type Ints = SmallVec<[i64; 4]>;

/// A text of the proto, borrowed.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, HloError> {
    std::str::from_utf8(bytes).map_err(|_| HloError::NotUtf8)
}

/// A part of `owner` that shares its memory. `part` must lie in `owner` or be empty.
pub(crate) fn shared_bytes(owner: &Bytes, part: &[u8]) -> Bytes {
    if part.is_empty() {
        return Bytes::new();
    }
    let start = offset_in(owner, part);
    match start.checked_add(part.len()) {
        Some(end) if end <= owner.len() => owner.slice(start..end),
        _ => Bytes::copy_from_slice(part),
    }
}

/// A text of the proto that shares its memory.
pub(crate) fn shared_text(owner: &Bytes, part: &[u8]) -> Result<ByteString, HloError> {
    ByteString::try_from(shared_bytes(owner, part)).map_err(|_| HloError::NotUtf8)
}

/// Adds what one occurrence of a repeated integer field holds, be it packed or single.
pub(crate) fn push_ints<const N: usize>(list: &mut SmallVec<[i64; N]>, value: Value<'_>) -> Result<(), HloError>
where
    [i64; N]: smallvec::Array<Item = i64>,
{
    match value {
        Value::Varint(v) => list.push(v as i64),
        Value::Bytes(packed) => {
            let mut pos = 0;
            while pos < packed.len() {
                list.push(read_varint(packed, &mut pos)? as i64);
            }
        }
        _ => {}
    }
    Ok(())
}

/// The integers of one occurrence of a repeated integer field.
pub(crate) fn ints(value: Value<'_>) -> Result<Ints, HloError> {
    let mut list = Ints::new();
    push_ints(&mut list, value)?;
    Ok(list)
}

/// Calls `visit` with every field of a message.
pub(crate) fn each_field<'a>(
    data: &'a [u8],
    mut visit: impl FnMut(u32, Value<'a>) -> Result<(), HloError>,
) -> Result<(), HloError> {
    let mut fields = Fields::new(data);
    while let Some(field) = fields.next_field()? {
        visit(field.number, field.value)?;
    }
    Ok(())
}

/// The integer fields of a flat message, for messages that hold nothing else: value `i` is that of field `i + 1`.
pub(crate) fn flat_ints<const N: usize>(data: &[u8]) -> Result<[i64; N], HloError> {
    let mut values = [0; N];
    each_field(data, |number, value| {
        if let (Some(slot), Value::Varint(v)) = (values.get_mut(number as usize - 1), value) {
            *slot = v as i64;
        }
        Ok(())
    })?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &[u8], expect: &Result<[i64; 2], HloError>) {
        assert_eq!(&flat_ints::<2>(data), expect, "{data:?}");
    }

    #[test]
    fn reads_flat_messages() {
        check(&[], &Ok([0, 0]));
        check(&[0x08, 5, 0x10, 7, 0x18, 9], &Ok([5, 7]));
        check(&[0x08], &Err(HloError::Wire(crate::wire::WireError::Truncated)));
        assert_eq!(ints(Value::Bytes(&[1, 2])).expect("packed").as_slice(), [1, 2]);
        let owner = Bytes::from_static(b"abc");
        assert_eq!(shared_text(&owner, &owner[1..]).expect("text"), "bc");
        assert_eq!(shared_text(&owner, b"").expect("empty"), "");
    }
}
