//! Shapes and layouts of HLO values.
//!
//! Takes `xla.ShapeProto` bytes, gives a [`Shape`]; must not print (see `text`) and must not do cost arithmetic.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use smallvec::SmallVec;

use super::HloError;
use super::proto::{Ints, MAX_DEPTH, each_field, ints, push_ints};
use crate::wire::Value;

/// Size of a dimension that has no bound.
pub const UNBOUNDED: i64 = i64::MIN;

macro_rules! primitive_types {
    ($($variant:ident $number:literal $name:literal $bits:literal,)*) => {
        /// The type of an array's elements, or of something that is no array.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // The variants are XLA's own names.
        pub enum PrimitiveType { $($variant,)* }

        impl PrimitiveType {
            /// Every type with its number in protos.
            pub const ALL: &'static [(u64, Self)] = &[$(($number, Self::$variant),)*];

            /// The type of that number.
            pub fn from_number(number: u64) -> Option<Self> {
                Some(match number { $($number => Self::$variant,)* _ => return None })
            }

            /// The name in HLO text.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Width of one element in bits; 0 for what has no elements.
            pub fn bits(self) -> u32 {
                match self { $(Self::$variant => $bits,)* }
            }
        }
    };
}

primitive_types! {
    Pred 1 "pred" 8,
    S8 2 "s8" 8,
    S16 3 "s16" 16,
    S32 4 "s32" 32,
    S64 5 "s64" 64,
    U8 6 "u8" 8,
    U16 7 "u16" 16,
    U32 8 "u32" 32,
    U64 9 "u64" 64,
    F16 10 "f16" 16,
    F32 11 "f32" 32,
    F64 12 "f64" 64,
    Tuple 13 "tuple" 0,
    Opaque 14 "opaque" 0,
    C64 15 "c64" 64,
    Bf16 16 "bf16" 16,
    Token 17 "token" 0,
    C128 18 "c128" 128,
    F8E5M2 19 "f8e5m2" 8,
    F8E4M3Fn 20 "f8e4m3fn" 8,
    S4 21 "s4" 4,
    U4 22 "u4" 4,
    F8E4M3B11Fnuz 23 "f8e4m3b11fnuz" 8,
    F8E5M2Fnuz 24 "f8e5m2fnuz" 8,
    F8E4M3Fnuz 25 "f8e4m3fnuz" 8,
    S2 26 "s2" 2,
    U2 27 "u2" 2,
    F8E4M3 28 "f8e4m3" 8,
    F8E3M4 29 "f8e3m4" 8,
    S1 30 "s1" 1,
    U1 31 "u1" 1,
    F4E2M1Fn 32 "f4e2m1fn" 4,
    F8E8M0Fnu 33 "f8e8m0fnu" 8,
    Buffer 34 "buffer" 0,
    F6E3M2Fn 35 "f6e3m2fn" 6,
    F6E2M3Fn 36 "f6e2m3fn" 6,
}

impl PrimitiveType {
    /// Whether elements are real floating-point numbers.
    pub fn is_float(self) -> bool {
        self.name().starts_with('f') || self == Self::Bf16
    }

    /// Whether elements are complex numbers.
    pub fn is_complex(self) -> bool {
        matches!(self, Self::C64 | Self::C128)
    }

    /// Whether elements are integers; `pred` is none.
    pub fn is_integral(self) -> bool {
        matches!(self.name().as_bytes(), [b's' | b'u', b'0'..=b'9', ..])
    }

    /// Whether values of this type are arrays.
    pub fn is_array(self) -> bool {
        !matches!(self, Self::Tuple | Self::Opaque | Self::Token | Self::Buffer)
    }
}

/// How an array lies in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Layout {
    /// Logical dimensions from the fastest varying to the slowest.
    pub minor_to_major: Ints,
    /// Sizes of the tiles, outermost tiling first.
    pub tiles: Vec<Ints>,
    /// Width of an element in bits if it differs from the type's, else 0.
    pub element_size_in_bits: i64,
    /// Number of the memory it lies in; 0 is the device's main memory.
    pub memory_space: i64,
    /// Number of the type that sparse indices have, 0 for none.
    pub index_type: u64,
    /// Number of the type that sparse pointers have, 0 for none.
    pub pointer_type: u64,
    /// Where the array is cut between memories: dimension and indices.
    pub split_configs: Vec<(i64, Ints)>,
    /// The shape that is really stored.
    pub physical_shape: Option<Box<Shape>>,
    /// Bytes in front of the data that hold the real sizes of dynamic dimensions.
    pub dynamic_shape_metadata_prefix_bytes: i64,
    /// The number of elements is padded to a multiple of this; never 0.
    pub tail_padding_alignment: i64,
}

/// The shape of an array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArrayShape {
    /// Type of the elements.
    pub element: PrimitiveType,
    /// Sizes of the dimensions, upper bounds for dynamic ones.
    pub dims: Ints,
    /// Which dimensions are dynamic; shorter than `dims` when the rest is static.
    pub dynamic: SmallVec<[bool; 4]>,
    /// How it lies in memory, if that is decided.
    pub layout: Option<Box<Layout>>,
}

impl ArrayShape {
    /// Whether a dimension's size is only a bound.
    pub fn is_dynamic(&self, dim: usize) -> bool {
        self.dynamic.get(dim).copied().unwrap_or(false)
    }

    /// Number of elements; an unbounded or absurd size saturates.
    pub fn n_elements(&self) -> i64 {
        self.dims.iter().fold(1i64, |n, &dim| n.saturating_mul(dim.max(0)))
    }
}

/// The shape of a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Numbers in a box of any rank.
    Array(ArrayShape),
    /// Several values.
    Tuple(Vec<Shape>),
    /// An ordering constraint without data.
    Token,
    /// Something only a custom call understands.
    Opaque,
    /// Memory that an array lies in.
    Buffer(Box<Shape>),
}

impl Shape {
    /// Reads a `ShapeProto`.
    pub fn from_proto(data: &[u8]) -> Result<Self, HloError> {
        decode(data, 0)
    }

    /// Whether two shapes are equal, with their elements in the same order; finer points of the layout do not count.
    pub fn is_compatible(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Array(a), Self::Array(b)) => {
                let order = |array: &ArrayShape| array.layout.as_ref().map(|layout| layout.minor_to_major.clone());
                let same_order = order(a) == order(b);
                a.element == b.element && a.dims == b.dims && same_order
            }
            (Self::Tuple(a), Self::Tuple(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_compatible(b)),
            (a, b) => a == b,
        }
    }

    /// The array, if it is one.
    pub fn as_array(&self) -> Option<&ArrayShape> {
        if let Self::Array(array) = self { Some(array) } else { None }
    }

    /// The elements of a tuple, empty for anything else.
    pub fn tuple_elements(&self) -> &[Shape] {
        if let Self::Tuple(elements) = self { elements } else { &[] }
    }

    /// Calls `visit` with every part that is no tuple, in depth-first order.
    pub fn each_leaf<'a>(&'a self, visit: &mut dyn FnMut(&'a Shape)) {
        match self {
            Self::Tuple(elements) => elements.iter().for_each(|element| element.each_leaf(visit)),
            leaf => visit(leaf),
        }
    }

    /// The parts that are no tuples, in depth-first order.
    pub fn leaves(&self) -> Vec<&Shape> {
        let mut leaves = Vec::new();
        self.each_leaf(&mut |leaf| leaves.push(leaf));
        leaves
    }

    /// Number of elements of an array, 0 for anything else.
    pub fn n_elements(&self) -> i64 {
        self.as_array().map_or(0, ArrayShape::n_elements)
    }
}

/// Shapes repeat: a module of many instructions has few. Equal proto bytes share one decoded shape.
#[derive(Debug, Default)]
pub(crate) struct ShapeTable<'a> {
    by_bytes: std::collections::HashMap<&'a [u8], Arc<Shape>, foldhash::fast::RandomState>,
}

impl<'a> ShapeTable<'a> {
    /// The shape of these proto bytes.
    pub(crate) fn get(&mut self, data: &'a [u8]) -> Result<Arc<Shape>, HloError> {
        match self.by_bytes.entry(data) {
            Entry::Occupied(known) => Ok(Arc::clone(known.get())),
            Entry::Vacant(free) => Ok(Arc::clone(free.insert(Arc::new(Shape::from_proto(data)?)))),
        }
    }
}

fn decode(data: &[u8], depth: u32) -> Result<Shape, HloError> {
    if depth > MAX_DEPTH {
        return Err(HloError::TooDeep);
    }
    let (mut element, mut dims, mut dynamic) = (0, Ints::new(), SmallVec::<[i64; 4]>::new());
    let (mut tuple, mut layout) = (Vec::new(), None);
    each_field(data, |number, value| {
        match (number, value) {
            (2, Value::Varint(v)) => element = v,
            (3, value) => push_ints(&mut dims, value)?,
            (4, Value::Bytes(part)) => tuple.push(decode(part, depth + 1)?),
            (5, Value::Bytes(part)) => layout = Some(Box::new(decode_layout(part, depth + 1)?)),
            (6, value) => push_ints(&mut dynamic, value)?,
            _ => {}
        }
        Ok(())
    })?;
    let Some(element) = PrimitiveType::from_number(element) else {
        return Err(HloError::invalid(format!("shape has invalid element type {element}")));
    };
    match element {
        PrimitiveType::Tuple => return Ok(Shape::Tuple(tuple)),
        PrimitiveType::Token => return Ok(Shape::Token),
        PrimitiveType::Opaque => return Ok(Shape::Opaque),
        PrimitiveType::Buffer => {
            let inner = tuple.into_iter().next().ok_or_else(|| HloError::invalid("buffer shape without content"))?;
            return Ok(Shape::Buffer(Box::new(inner)));
        }
        _ => {}
    }
    if dims.iter().any(|&dim| dim < 0 && dim != UNBOUNDED) {
        return Err(HloError::invalid("a dimension is negative"));
    }
    if !dynamic.is_empty() && dynamic.len() != dims.len() {
        return Err(HloError::invalid("a shape says of some dimensions but not of all whether they are dynamic"));
    }
    let dynamic = dynamic.iter().map(|&d| d != 0).collect();
    let shape = ArrayShape { element, dims, dynamic, layout };
    check_layout(&shape)?;
    Ok(Shape::Array(shape))
}

/// A layout must order exactly the dimensions that the array has, and dense arrays have no index type.
fn check_layout(shape: &ArrayShape) -> Result<(), HloError> {
    let Some(layout) = &shape.layout else { return Ok(()) };
    if layout.index_type != 0 || layout.pointer_type != 0 || layout.physical_shape.is_some() {
        return Err(HloError::invalid("layout of a dense array has parts of a sparse one"));
    }
    let mut seen: SmallVec<[bool; 8]> = SmallVec::from_elem(false, shape.dims.len());
    let is_order = layout.minor_to_major.len() == shape.dims.len()
        && layout.minor_to_major.iter().all(|&dim| {
            usize::try_from(dim)
                .ok()
                .and_then(|dim| seen.get_mut(dim))
                .is_some_and(|seen| !std::mem::replace(seen, true))
        });
    if is_order { Ok(()) } else { Err(HloError::invalid("layout does not order the dimensions of its shape")) }
}

fn decode_layout(data: &[u8], depth: u32) -> Result<Layout, HloError> {
    let mut layout = Layout { tail_padding_alignment: 1, ..Layout::default() };
    each_field(data, |number, value| {
        match (number, value) {
            (1, value) => push_ints(&mut layout.minor_to_major, value)?,
            (6, Value::Bytes(part)) => {
                let mut tile = Ints::new();
                each_field(part, |number, value| if number == 1 { push_ints(&mut tile, value) } else { Ok(()) })?;
                layout.tiles.push(tile);
            }
            (7, Value::Varint(v)) => layout.element_size_in_bits = v as i64,
            (8, Value::Varint(v)) => layout.memory_space = v as i64,
            (10, Value::Bytes(part)) => layout.physical_shape = Some(Box::new(decode(part, depth + 1)?)),
            (11, Value::Varint(v)) => layout.index_type = v,
            (12, Value::Varint(v)) => layout.pointer_type = v,
            (15, Value::Varint(v)) => layout.dynamic_shape_metadata_prefix_bytes = v as i64,
            (16, Value::Varint(v)) => {
                layout.tail_padding_alignment = match v as i64 {
                    0 => 1,
                    n if n < 0 => return Err(HloError::invalid("a negative tail padding alignment")),
                    n => n,
                }
            }
            (17, Value::Bytes(part)) => {
                let (mut dimension, mut indices) = (0, Ints::new());
                each_field(part, |number, value| {
                    match (number, value) {
                        (1, Value::Varint(v)) => dimension = v as i64,
                        (2, value) => indices.extend(ints(value)?),
                        _ => {}
                    }
                    Ok(())
                })?;
                layout.split_configs.push((dimension, indices));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &[u8], expect: Result<Shape, &str>) {
        let got = Shape::from_proto(data).map_err(|error| error.to_string());
        assert_eq!(got, expect.map_err(str::to_string), "{data:?}");
    }

    fn array(element: PrimitiveType, dims: &[i64]) -> Shape {
        Shape::Array(ArrayShape { element, dims: dims.into(), dynamic: SmallVec::new(), layout: None })
    }

    #[test]
    fn reads_shapes_and_refuses_contradictions() {
        check(&[0x10, 11, 0x1a, 2, 3, 4], Ok(array(PrimitiveType::F32, &[3, 4])));
        check(&[0x10, 11, 0x18, 3, 0x18, 4], Ok(array(PrimitiveType::F32, &[3, 4])));
        check(&[0x10, 13, 0x22, 2, 0x10, 17], Ok(Shape::Tuple(vec![Shape::Token])));
        check(&[0x10, 11, 0x18, 3, 0x2a, 2, 0x08, 1], Err("layout does not order the dimensions of its shape"));
        check(&[], Err("shape has invalid element type 0"));
    }

    #[test]
    fn bounds_the_depth_of_hostile_shapes() {
        let mut data = vec![0x10, 17];
        for _ in 0..200 {
            let mut outer = vec![0x10, 13, 0x22];
            let mut len = data.len();
            while len >= 0x80 {
                outer.push((len & 0x7f) as u8 | 0x80);
                len >>= 7;
            }
            outer.push(len as u8);
            outer.extend(&data);
            data = outer;
        }
        assert_eq!(Shape::from_proto(&data), Err(HloError::TooDeep));
    }

    #[test]
    fn knows_the_kinds_of_types() {
        for &(number, ty) in PrimitiveType::ALL {
            assert_eq!(PrimitiveType::from_number(number), Some(ty));
            assert!(u32::from(ty.is_float()) + u32::from(ty.is_complex()) + u32::from(ty.is_integral()) <= 1);
        }
        assert!(PrimitiveType::S4.is_integral() && !PrimitiveType::Pred.is_integral());
        assert!(PrimitiveType::Bf16.is_float() && PrimitiveType::F8E8M0Fnu.is_float());
    }
}
