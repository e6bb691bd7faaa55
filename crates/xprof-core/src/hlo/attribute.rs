//! The rarely set fields of instructions.
//!
//! An instruction proto has about a hundred fields, and nearly every instruction sets fewer than five of them.
//! So each set field becomes one [`Attribute`] in a list, keyed by its field number; typed access is in `getters`.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::HloError;
use super::dims::{
    self, Aliasing, ConvDims, DotDims, GatherDims, OriginalValue, PaddingDim, Precision, ResultAccuracy, SideConfig,
    Statistics, Window,
};
use super::literal::Literal;
use super::metadata::Payload;
use super::proto::{Ints, each_field, flat_ints, push_ints, shared_bytes, shared_text};
use super::replica_groups::{self, ReplicaGroups};
use super::shape::{Shape, ShapeTable};
use super::sharding::OpSharding;
use super::sharding_normal;
use crate::wire::Value;

/// Numbers of the fields of `HloInstructionProto` that become attributes.
pub mod field {
    #![allow(missing_docs)] // The names are those of the proto.
    pub const PARAMETER_NUMBER: u32 = 9;
    pub const FUSION_KIND: u32 = 11;
    pub const TUPLE_INDEX: u32 = 13;
    pub const DIMENSIONS: u32 = 14;
    pub const EXPONENT_BITS: u32 = 18;
    pub const MANTISSA_BITS: u32 = 19;
    pub const DYNAMIC_SLICE_SIZES: u32 = 20;
    pub const OUTFEED_CONFIG: u32 = 22;
    pub const DISTRIBUTION: u32 = 23;
    pub const EPSILON: u32 = 24;
    pub const FEATURE_INDEX: u32 = 25;
    pub const CHANNEL_ID: u32 = 26;
    pub const INFEED_CONFIG: u32 = 27;
    pub const CUSTOM_CALL_TARGET: u32 = 28;
    pub const OUTFEED_SHAPE: u32 = 29;
    pub const FFT_TYPE: u32 = 31;
    pub const FFT_LENGTH: u32 = 32;
    pub const GATHER_SLICE_SIZES: u32 = 34;
    pub const SHARDING: u32 = 40;
    pub const BACKEND_CONFIG: u32 = 43;
    pub const ALL_REDUCE_ID: u32 = 45;
    pub const IS_HOST_TRANSFER: u32 = 47;
    pub const FEATURE_GROUP_COUNT: u32 = 50;
    pub const DOMAIN_ENTRY_SHARDING: u32 = 54;
    pub const DOMAIN_EXIT_SHARDING: u32 = 55;
    pub const CONSTRAIN_LAYOUT: u32 = 56;
    pub const BATCH_GROUP_COUNT: u32 = 58;
    pub const TRIANGULAR_SOLVE_OPTIONS: u32 = 59;
    pub const IS_STABLE: u32 = 60;
    pub const PARAMETER_REPLICATION: u32 = 61;
    pub const CHOLESKY_OPTIONS: u32 = 62;
    pub const COMPARISON_DIRECTION: u32 = 63;
    pub const HAS_SIDE_EFFECT: u32 = 65;
    pub const DELTA: u32 = 66;
    pub const INDICES_ARE_SORTED: u32 = 67;
    pub const UNIQUE_INDICES: u32 = 69;
    pub const RNG_ALGORITHM: u32 = 70;
    pub const USE_GLOBAL_DEVICE_IDS: u32 = 71;
    pub const COMPARISON_TYPE: u32 = 72;
    pub const IS_CROSS_PROGRAM_PREFETCH: u32 = 73;
    pub const PADDING_TYPE: u32 = 75;
    pub const CUSTOM_CALL_SCHEDULE: u32 = 76;
    pub const API_VERSION: u32 = 77;
    pub const ASYNC_EXECUTION_THREAD: u32 = 79;
    pub const CROSS_PROGRAM_PREFETCH_INDEX: u32 = 80;
    pub const K: u32 = 81;
    pub const LARGEST: u32 = 85;
    pub const IS_COMPOSITE: u32 = 89;
    pub const IS_REVERSE: u32 = 94;
    pub const NUM_CARRIES: u32 = 95;
    pub const IS_ASSOCIATIVE: u32 = 96;
    pub const CONV_KIND: u32 = 97;
    pub const HAS_DYNAMIC_ROOT: u32 = 100;
    pub const COMPARISON_ORDER: u32 = 102;
}

/// One set field of an instruction. The first member of the general kinds is the field number.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A number, boolean or enum.
    Int(u32, i64),
    /// A list of numbers.
    Ints(u32, Ints),
    /// A 32-bit float.
    Float(u32, f32),
    /// A text.
    Text(u32, ByteString),
    /// Bytes that need not be text.
    Bytes(u32, Bytes),
    /// Booleans or enums of a flat message, by field number minus one.
    Flat(u32, [i64; 4]),
    /// A shape.
    Shape(u32, Arc<Shape>),
    /// The shapes that a custom call or collective demands of its operands.
    OperandShapes(Vec<Arc<Shape>>),
    /// A sharding.
    Sharding(u32, Box<OpSharding>),
    /// The value of a constant or the literal of a custom call.
    Literal(Box<Literal>),
    /// A sliding window.
    Window(Window),
    /// Dimension numbers of a convolution.
    ConvDims(Box<ConvDims>),
    /// Dimension numbers of a dot.
    DotDims(Box<DotDims>),
    /// Dimension numbers of a gather.
    GatherDims(Box<GatherDims>),
    /// Dimension numbers of a scatter.
    ScatterDims(Box<GatherDims>),
    /// Start, limit and stride of a slice in each dimension.
    Slice(Vec<[i64; 3]>),
    /// Padding of each dimension.
    Padding(Vec<PaddingDim>),
    /// Precision of a dot or convolution.
    Precision(Box<Precision>),
    /// Groups of a collective.
    Groups(Box<ReplicaGroups>),
    /// Groups of a collective in the oldest notation.
    LegacyGroups(Vec<Ints>),
    /// Source and target of each message of a collective permute.
    SourceTargets(Vec<[i64; 2]>),
    /// Parts of the output that share memory with operands.
    Aliasing(Vec<Aliasing>),
    /// Attributes that the framework attached, sorted by key.
    Frontend(Vec<(ByteString, ByteString)>),
    /// Recorded statistics.
    Statistics(Box<Statistics>),
    /// Demanded accuracy.
    Accuracy(ResultAccuracy),
    /// The original value.
    Origin(Box<OriginalValue>),
    /// Sparsity of both operands of a convolution.
    Sparsity(Box<[Option<SideConfig>; 2]>),
    /// Block scaling of both operands of a convolution.
    BlockScaling(Box<[Option<SideConfig>; 2]>),
    /// Shifts of a rotating shuffle.
    Rotate(Ints),
    /// Where the backend's configuration is, if not in field 43.
    ConfigPayload(Payload),
}

/// Reads fields of one instruction into attributes.
pub(crate) struct AttributeReader<'a, 'o> {
    /// The bytes that everything shares.
    pub owner: &'o Bytes,
    /// Shapes seen before.
    pub shapes: &'o mut ShapeTable<'a>,
    /// What was read so far.
    pub list: Vec<Attribute>,
}

impl<'a> AttributeReader<'a, '_> {
    /// Reads one field; unknown ones are ignored.
    pub(crate) fn read(&mut self, number: u32, value: Value<'a>) -> Result<(), HloError> {
        match value {
            Value::Varint(v) => self.varint(number, v),
            Value::Bytes(part) => self.bytes(number, part),
            Value::Fixed32(bits) if number == field::EPSILON => {
                self.list.push(Attribute::Float(number, f32::from_bits(bits)));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn varint(&mut self, number: u32, v: u64) -> Result<(), HloError> {
        if is_list(number) {
            return self.ints(number, Value::Varint(v));
        }
        // A zero is the default of every field but this one, which is told apart from an absent one.
        if is_int(number) && (v != 0 || number == field::CROSS_PROGRAM_PREFETCH_INDEX) {
            self.list.retain(|a| !matches!(a, Attribute::Int(n, _) if *n == number));
            self.list.push(Attribute::Int(number, v as i64));
        }
        Ok(())
    }

    fn ints(&mut self, number: u32, value: Value<'a>) -> Result<(), HloError> {
        if let Some(list) = self.list.iter_mut().find_map(|a| match a {
            Attribute::Ints(n, list) if *n == number => Some(list),
            _ => None,
        }) {
            return push_ints(list, value);
        }
        let mut list = Ints::new();
        push_ints(&mut list, value)?;
        if !list.is_empty() {
            self.list.push(Attribute::Ints(number, list));
        }
        Ok(())
    }

    fn bytes(&mut self, number: u32, part: &'a [u8]) -> Result<(), HloError> {
        if is_list(number) {
            return self.ints(number, Value::Bytes(part));
        }
        let owner = self.owner;
        let attribute = match number {
            8 => Attribute::Literal(Box::new(Literal::from_proto(owner, part)?)),
            field::FUSION_KIND
            | field::CUSTOM_CALL_TARGET
            | field::COMPARISON_DIRECTION
            | field::COMPARISON_TYPE
            | field::COMPARISON_ORDER
            | field::ASYNC_EXECUTION_THREAD => Attribute::Text(number, shared_text(owner, part)?),
            field::OUTFEED_CONFIG | field::INFEED_CONFIG | field::BACKEND_CONFIG => {
                Attribute::Bytes(number, shared_bytes(owner, part))
            }
            15 => Attribute::Window(dims::window(part)?),
            16 => Attribute::ConvDims(Box::new(dims::conv_dims(part)?)),
            21 => Attribute::Padding(dims::padding(part)?),
            field::OUTFEED_SHAPE => Attribute::Shape(number, self.shapes.get(part)?),
            30 => Attribute::DotDims(Box::new(dims::dot_dims(part)?)),
            33 => Attribute::GatherDims(Box::new(dims::gather_dims(part)?)),
            48 => Attribute::ScatterDims(Box::new(dims::gather_dims(part)?)),
            field::SHARDING | field::DOMAIN_ENTRY_SHARDING | field::DOMAIN_EXIT_SHARDING => {
                let sharding = OpSharding::from_proto(owner, part)?;
                sharding_normal::check(&sharding)?;
                Attribute::Sharding(number, Box::new(sharding))
            }
            51 => Attribute::Precision(Box::new(dims::precision(part)?)),
            field::TRIANGULAR_SOLVE_OPTIONS | field::CHOLESKY_OPTIONS => Attribute::Flat(number, flat_ints(part)?),
            field::PARAMETER_REPLICATION => Attribute::Ints(number, first_ints(part)?),
            68 => Attribute::Frontend(frontend(owner, part)?),
            82 => Attribute::Statistics(Box::new(dims::statistics(owner, part)?)),
            87 => Attribute::Groups(Box::new(replica_groups::device_list(part)?)),
            88 => Attribute::Origin(Box::new(dims::original_value(owner, part)?)),
            90 => Attribute::DotDims(Box::new(dims::ragged_dot_dims(part)?)),
            91 => Attribute::Accuracy(dims::result_accuracy(part)?),
            92 => Attribute::Groups(Box::new(replica_groups::iota(part)?)),
            93 => Attribute::Groups(Box::new(replica_groups::mesh_axes(owner, part)?)),
            98 => Attribute::Sparsity(Box::new(dims::two_sides(part, false)?)),
            99 => match super::metadata::payload(owner, part)? {
                Some(payload) => Attribute::ConfigPayload(payload),
                None => return Ok(()),
            },
            101 => Attribute::BlockScaling(Box::new(dims::two_sides(part, true)?)),
            103 => Attribute::Rotate(rotation(part)?),
            17 | 49 | 52 | 57 | 74 => return self.repeated(number, part),
            _ => return Ok(()),
        };
        self.list.push(attribute);
        Ok(())
    }

    /// Fields of repeated messages: each occurrence adds to the attribute of the first.
    fn repeated(&mut self, number: u32, part: &'a [u8]) -> Result<(), HloError> {
        macro_rules! push {
            ($variant:ident, $item:expr) => {{
                let item = $item;
                for attribute in &mut self.list {
                    if let Attribute::$variant(list) = attribute {
                        list.push(item);
                        return Ok(());
                    }
                }
                self.list.push(Attribute::$variant(vec![item]));
            }};
        }
        match number {
            17 => push!(Slice, flat_ints(part)?),
            52 => push!(SourceTargets, flat_ints(part)?),
            57 => push!(OperandShapes, self.shapes.get(part)?),
            74 => push!(Aliasing, dims::aliasing(part)?),
            _ => push!(LegacyGroups, replica_groups::group(part)?),
        }
        Ok(())
    }
}

pub(crate) fn map_entry(owner: &Bytes, data: &[u8]) -> Result<(ByteString, ByteString), HloError> {
    let (mut key, mut text) = (ByteString::new(), ByteString::new());
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Bytes(part)) => key = shared_text(owner, part)?,
            (2, Value::Bytes(part)) => text = shared_text(owner, part)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, text))
}

/// The integers of field 1.
fn first_ints(part: &[u8]) -> Result<Ints, HloError> {
    let mut ints = Ints::new();
    each_field(part, |n, value| if n == 1 { push_ints(&mut ints, value) } else { Ok(()) })?;
    Ok(ints)
}

/// The shifts of all rotations.
fn rotation(part: &[u8]) -> Result<Ints, HloError> {
    let mut shifts = Ints::new();
    each_field(part, |n, value| {
        if let (1, Value::Bytes(rotate)) = (n, value) {
            shifts.extend(first_ints(rotate)?);
        }
        Ok(())
    })?;
    Ok(shifts)
}

/// Attributes that frontends give, sorted by name.
fn frontend(owner: &Bytes, part: &[u8]) -> Result<Vec<(ByteString, ByteString)>, HloError> {
    let mut map = Vec::new();
    each_field(part, |n, value| {
        if let (1, Value::Bytes(entry)) = (n, value) {
            map.push(map_entry(owner, entry)?);
        }
        Ok(())
    })?;
    // Of several entries with one key the last one counts.
    map.reverse();
    map.sort_by(|(a, _): &(ByteString, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
    map.dedup_by(|(a, _), (b, _)| a == b);
    Ok(map)
}

fn is_list(number: u32) -> bool {
    matches!(number, field::DIMENSIONS | field::DYNAMIC_SLICE_SIZES | field::FFT_LENGTH | field::GATHER_SLICE_SIZES)
}

fn is_int(number: u32) -> bool {
    use field as f;
    matches!(
        number,
        f::PARAMETER_NUMBER
            | f::TUPLE_INDEX
            | f::EXPONENT_BITS
            | f::MANTISSA_BITS
            | f::DISTRIBUTION
            | f::FEATURE_INDEX
            | f::CHANNEL_ID
            | f::FFT_TYPE
            | f::ALL_REDUCE_ID
            | f::IS_HOST_TRANSFER
            | f::FEATURE_GROUP_COUNT
            | f::CONSTRAIN_LAYOUT
            | f::BATCH_GROUP_COUNT
            | f::IS_STABLE
            | f::HAS_SIDE_EFFECT
            | f::DELTA
            | f::INDICES_ARE_SORTED
            | f::UNIQUE_INDICES
            | f::RNG_ALGORITHM
            | f::USE_GLOBAL_DEVICE_IDS
            | f::IS_CROSS_PROGRAM_PREFETCH
            | f::PADDING_TYPE
            | f::CUSTOM_CALL_SCHEDULE
            | f::API_VERSION
            | f::CROSS_PROGRAM_PREFETCH_INDEX
            | f::K
            | f::LARGEST
            | f::IS_COMPOSITE
            | f::IS_REVERSE
            | f::NUM_CARRIES
            | f::IS_ASSOCIATIVE
            | f::CONV_KIND
            | f::HAS_DYNAMIC_ROOT
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &'static [u8], expect: &[Attribute]) {
        let owner = Bytes::from_static(data);
        let mut shapes = ShapeTable::default();
        let mut reader = AttributeReader { owner: &owner, shapes: &mut shapes, list: Vec::new() };
        each_field(&owner, |number, value| reader.read(number, value)).expect("attributes");
        assert_eq!(reader.list, expect, "{data:?}");
    }

    #[test]
    fn keeps_what_is_set() {
        check(&[0x48, 0, 0x48, 3, 0x48, 4], &[Attribute::Int(field::PARAMETER_NUMBER, 4)]);
        check(&[0x70, 1, 0x72, 2, 2, 3], &[Attribute::Ints(field::DIMENSIONS, [1, 2, 3].as_slice().into())]);
        check(&[0x5a, 1, b'k'], &[Attribute::Text(field::FUSION_KIND, "k".into())]);
        check(&[0x8a, 1, 2, 0x10, 4, 0x8a, 1, 0], &[Attribute::Slice(vec![[0, 4, 0], [0, 0, 0]])]);
    }
}
