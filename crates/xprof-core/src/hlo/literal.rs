//! Values of constants.
//!
//! Takes `xla.LiteralProto` bytes, gives the bits of each element; must not format them.
//! The elements stay in the proto's bytes until someone asks: a model's weights may be literals.

use std::sync::Arc;

use bytes::Bytes;

use super::HloError;
use super::proto::{MAX_DEPTH, each_field, shared_bytes};
use super::shape::{PrimitiveType, Shape};
use crate::wire::{Value, read_varint};

/// A constant value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Its shape; arrays have a layout, which gives the order of the elements.
    pub shape: Arc<Shape>,
    /// Elements of a tuple.
    pub elements: Vec<Literal>,
    /// The whole `LiteralProto`.
    data: Bytes,
}

/// How a proto stores the elements of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    /// A repeated varint field.
    Varints,
    /// A repeated fixed-width field: bytes per number.
    Fixed(usize),
    /// A bytes field: little-endian, bytes per element.
    Packed(usize),
}

/// Field number, storage and numbers per element of a type.
fn storage(element: PrimitiveType) -> Option<(u32, Storage, usize)> {
    use PrimitiveType as P;
    use Storage::{Fixed, Packed, Varints};
    Some(match element {
        P::Pred => (2, Varints, 1),
        P::U8 => (3, Packed(1), 1),
        P::S32 => (4, Varints, 1),
        P::S64 => (5, Varints, 1),
        P::U32 => (6, Varints, 1),
        P::U64 => (7, Varints, 1),
        P::F32 => (8, Fixed(4), 1),
        P::F64 => (9, Fixed(8), 1),
        P::F16 => (11, Packed(2), 1),
        P::C64 => (12, Fixed(4), 2),
        P::Bf16 => (13, Packed(2), 1),
        P::S8 => (15, Packed(1), 1),
        P::U16 => (16, Packed(2), 1),
        P::S16 => (17, Packed(2), 1),
        P::C128 => (18, Fixed(8), 2),
        P::F8E5M2 => (19, Packed(1), 1),
        P::F8E4M3Fn => (20, Packed(1), 1),
        P::S4 => (21, Packed(1), 1),
        P::U4 => (22, Packed(1), 1),
        P::F8E4M3B11Fnuz => (23, Packed(1), 1),
        P::F8E5M2Fnuz => (24, Packed(1), 1),
        P::F8E4M3Fnuz => (25, Packed(1), 1),
        P::S2 => (26, Packed(1), 1),
        P::U2 => (27, Packed(1), 1),
        P::F8E4M3 => (28, Packed(1), 1),
        P::F8E3M4 => (29, Packed(1), 1),
        P::F4E2M1Fn => (32, Packed(1), 1),
        P::F8E8M0Fnu => (33, Packed(1), 1),
        // parity: the original does not read these two, and shows zeros.
        P::F6E3M2Fn | P::F6E2M3Fn => (u32::MAX, Packed(1), 1),
        P::S1 | P::U1 | P::Tuple | P::Opaque | P::Token | P::Buffer => return None,
    })
}

impl Literal {
    /// Reads a `LiteralProto` that lies in `owner` and checks that it holds as many elements as its shape says.
    pub(crate) fn from_proto(owner: &Bytes, data: &[u8]) -> Result<Self, HloError> {
        decode(owner, data, 0)
    }

    /// The elements in the order of the proto, which is the order of the memory.
    /// None at all stand for zeros. Each is the number's bits, extended by zeros, except that varint integers are extended by their sign;
    /// a complex element is two numbers.
    pub fn numbers(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        let Some((field, storage, _)) = self.shape.as_array().and_then(|array| storage(array.element)) else {
            return numbers;
        };
        // The bytes were read once when the literal was made, so they can be read again.
        let _ = each_number_field(&self.data, field, storage, &mut |part| {
            match (part, storage) {
                (Value::Fixed32(v), _) => numbers.push(u64::from(v)),
                (Value::Varint(v) | Value::Fixed64(v), _) => numbers.push(v),
                (Value::Bytes(bytes), Storage::Varints) => {
                    let mut pos = 0;
                    while pos < bytes.len() {
                        numbers.push(read_varint(bytes, &mut pos)?);
                    }
                }
                (Value::Bytes(bytes), Storage::Fixed(width) | Storage::Packed(width)) => {
                    numbers.extend(
                        bytes
                            .chunks_exact(width)
                            .map(|chunk| chunk.iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte))),
                    );
                }
                (Value::Group, _) => {}
            }
            Ok(())
        });
        numbers
    }
}

/// Visits the occurrences of the field that holds the numbers; of a bytes field only the last one counts.
fn each_number_field(
    data: &[u8],
    field: u32,
    storage: Storage,
    visit: &mut dyn FnMut(Value<'_>) -> Result<(), HloError>,
) -> Result<(), HloError> {
    let mut last = None;
    each_field(data, |number, value| {
        if number != field {
            return Ok(());
        }
        match (storage, value) {
            (Storage::Packed(_), Value::Bytes(_)) => last = Some(value),
            (Storage::Varints, Value::Varint(_) | Value::Bytes(_))
            | (Storage::Fixed(4), Value::Fixed32(_) | Value::Bytes(_))
            | (Storage::Fixed(8), Value::Fixed64(_) | Value::Bytes(_)) => visit(value)?,
            _ => {}
        }
        Ok(())
    })?;
    last.map_or(Ok(()), visit)
}

/// How many numbers are stored, found without decoding them.
fn count_numbers(data: &[u8], field: u32, storage: Storage) -> Result<usize, HloError> {
    let mut count = 0;
    each_number_field(data, field, storage, &mut |value| {
        count += match (value, storage) {
            (Value::Bytes(bytes), Storage::Varints) => {
                let (mut pos, mut n) = (0, 0);
                while pos < bytes.len() {
                    read_varint(bytes, &mut pos)?;
                    n += 1;
                }
                n
            }
            (Value::Bytes(bytes), Storage::Fixed(width) | Storage::Packed(width)) => bytes.len() / width,
            _ => 1,
        };
        Ok(())
    })?;
    Ok(count)
}

fn decode(owner: &Bytes, data: &[u8], depth: u32) -> Result<Literal, HloError> {
    if depth > MAX_DEPTH {
        return Err(HloError::TooDeep);
    }
    let (mut shape, mut elements) = (None, Vec::new());
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Bytes(part)) => shape = Some(Shape::from_proto(part)?),
            (10, Value::Bytes(part)) => elements.push(decode(owner, part, depth + 1)?),
            _ => {}
        }
        Ok(())
    })?;
    let shape = shape.ok_or_else(|| HloError::invalid("LiteralProto has no shape"))?;
    match &shape {
        Shape::Array(array) => {
            if array.layout.is_none() {
                return Err(HloError::invalid("LiteralProto has no layout"));
            }
            let (field, storage, per_element) =
                storage(array.element).ok_or_else(|| HloError::invalid("literal of a type that has no literals"))?;
            let stored = count_numbers(data, field, storage)? as i64;
            // A literal without any number stands for zeros.
            if stored != 0 && stored != array.n_elements().saturating_mul(per_element as i64) {
                return Err(HloError::invalid(format!(
                    "literal has {stored} numbers for {} elements",
                    array.n_elements()
                )));
            }
        }
        Shape::Tuple(expected) => {
            let fits = |(expected, element): (&Shape, &Literal)| expected.is_compatible(&element.shape);
            if expected.len() != elements.len() || !expected.iter().zip(&elements).all(fits) {
                return Err(HloError::invalid("the elements of a tuple literal do not fit its shape"));
            }
        }
        _ => {}
    }
    Ok(Literal { shape: Arc::new(shape), elements, data: shared_bytes(owner, data) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &'static [u8], expect: Result<Vec<u64>, &str>) {
        let owner = Bytes::from_static(data);
        let got = Literal::from_proto(&owner, &owner).map(|l| l.numbers()).map_err(|error| error.to_string());
        assert_eq!(got, expect.map_err(str::to_string));
    }

    #[test]
    fn reads_numbers() {
        check(&[0x0a, 4, 0x10, 4, 0x2a, 0, 0x20, 7], Ok(vec![7]));
        check(&[0x0a, 4, 0x10, 4, 0x2a, 0, 0x22, 1, 7], Ok(vec![7]));
        check(&[0x0a, 4, 0x10, 10, 0x2a, 0, 0x5a, 2, 1, 2], Ok(vec![0x0201]));
        check(&[0x0a, 4, 0x10, 15, 0x2a, 0, 0x62, 8, 1, 0, 0, 0, 2, 0, 0, 0], Ok(vec![1, 2]));
        check(&[0x0a, 4, 0x10, 4, 0x2a, 0], Ok(vec![]));
        check(&[0x0a, 4, 0x10, 4, 0x2a, 0, 0x22, 2, 7, 8], Err("literal has 2 numbers for 1 elements"));
        check(&[0x0a, 2, 0x10, 4, 0x20, 7], Err("LiteralProto has no layout"));
        check(&[], Err("LiteralProto has no shape"));
    }
}
