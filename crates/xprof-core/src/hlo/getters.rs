//! Typed access to the attributes of an instruction, with the defaults that readers of HLO apply.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::attribute::{Attribute, field};
use super::dims::{
    Aliasing, ConvDims, DotDims, GatherDims, OriginalValue, PaddingDim, Precision, ResultAccuracy, SideConfig,
    Statistics, WindowDim,
};
use super::instruction::Instruction;
use super::literal::Literal;
use super::opcode::Opcode;
use super::replica_groups::ReplicaGroups;
use super::shape::Shape;
use super::sharding::OpSharding;

macro_rules! getters {
    ($($(#[$doc:meta])* $get:ident: $variant:ident -> $ty:ty;)*) => {
        impl Instruction {
            $($(#[$doc])*
            pub fn $get(&self) -> Option<&$ty> {
                self.attributes.iter().rev().find_map(|a| match a {
                    Attribute::$variant(value) => Some(value as &$ty),
                    _ => None,
                })
            })*
        }
    };
}

getters! {
    /// The value of a constant, or the literal of a custom call.
    literal: Literal -> Literal;
    /// Dimension numbers of a convolution.
    conv_dims: ConvDims -> ConvDims;
    /// Dimension numbers of a dot, ragged or not.
    dot_dims: DotDims -> DotDims;
    /// Dimension numbers of a gather.
    gather_dims: GatherDims -> GatherDims;
    /// Dimension numbers of a scatter.
    scatter_dims: ScatterDims -> GatherDims;
    /// Precision as set, without the padding that text shows.
    precision: Precision -> Precision;
    /// Recorded statistics.
    statistics: Statistics -> Statistics;
    /// Demanded accuracy of the result.
    result_accuracy: Accuracy -> ResultAccuracy;
    /// Where the value came from before compilation.
    original_value: Origin -> OriginalValue;
    /// Sparsity of both operands of a convolution.
    sparsity: Sparsity -> [Option<SideConfig>; 2];
    /// Block scaling of both operands of a convolution.
    block_scaling: BlockScaling -> [Option<SideConfig>; 2];
}

macro_rules! list_getters {
    ($($(#[$doc:meta])* $get:ident: $variant:ident -> $ty:ty;)*) => {
        impl Instruction {
            $($(#[$doc])*
            pub fn $get(&self) -> &[$ty] {
                self.attributes.iter().rev().find_map(|a| match a {
                    Attribute::$variant(value) => Some(value.as_slice()),
                    _ => None,
                }).unwrap_or_default()
            })*
        }
    };
}

list_getters! {
    /// The dimensions of the sliding window, empty if there is none.
    window: Window -> WindowDim;
    /// Start, limit and stride of a slice in each dimension.
    slice_dims: Slice -> [i64; 3];
    /// Padding before, after and between elements of each dimension.
    padding: Padding -> PaddingDim;
    /// Source and target of each message of a collective permute.
    source_targets: SourceTargets -> [i64; 2];
    /// Parts of the output that share memory with operands.
    aliasing: Aliasing -> Aliasing;
    /// Attributes that the framework attached, sorted by key.
    frontend_attributes: Frontend -> (ByteString, ByteString);
    /// The shapes that the operands must have.
    operand_shapes: OperandShapes -> Arc<Shape>;
    /// Shifts of a rotating shuffle.
    rotation: Rotate -> i64;
}

impl Instruction {
    /// Groups of a collective. A list in the oldest notation counts more than one in a newer, but less than a compact one.
    pub fn replica_groups(&self) -> Option<Cow<'_, ReplicaGroups>> {
        let newer = self.attributes.iter().rev().find_map(|a| match a {
            Attribute::Groups(groups) => Some(&**groups),
            _ => None,
        });
        let legacy = self.attributes.iter().find_map(|a| match a {
            Attribute::LegacyGroups(groups) => Some(groups),
            _ => None,
        });
        match (newer, legacy) {
            (None | Some(ReplicaGroups::List(_)), Some(legacy)) => {
                Some(Cow::Owned(ReplicaGroups::List(legacy.clone())))
            }
            (newer, _) => newer.map(Cow::Borrowed),
        }
    }

    /// A number, boolean or enum field, 0 if not set.
    pub fn int(&self, number: u32) -> i64 {
        self.int_opt(number).unwrap_or(0)
    }

    /// A number field that may be told apart from an absent one.
    pub fn int_opt(&self, number: u32) -> Option<i64> {
        self.attributes.iter().find_map(|a| match a {
            Attribute::Int(n, value) if *n == number => Some(*value),
            _ => None,
        })
    }

    /// Whether a boolean field is set.
    pub fn flag(&self, number: u32) -> bool {
        self.int(number) != 0
    }

    /// A list of numbers, empty if not set.
    pub fn ints(&self, number: u32) -> &[i64] {
        let list = self.attributes.iter().find_map(|a| match a {
            Attribute::Ints(n, list) if *n == number => Some(list.as_slice()),
            _ => None,
        });
        list.unwrap_or_default()
    }

    /// The list `dimensions`.
    pub fn dimensions(&self) -> &[i64] {
        self.ints(field::DIMENSIONS)
    }

    /// A text field, empty if not set.
    pub fn text(&self, number: u32) -> &str {
        let text = self.attributes.iter().rev().find_map(|a| match a {
            Attribute::Text(n, text) if *n == number => Some(&**text),
            _ => None,
        });
        text.unwrap_or_default()
    }

    /// A bytes field, empty if not set.
    pub fn bytes(&self, number: u32) -> &[u8] {
        let bytes: Option<&Bytes> = self.attributes.iter().rev().find_map(|a| match a {
            Attribute::Bytes(n, bytes) if *n == number => Some(bytes),
            _ => None,
        });
        bytes.map(|b| &b[..]).unwrap_or_default()
    }

    /// The values of a flat message, if it is set.
    pub fn flat(&self, number: u32) -> Option<[i64; 4]> {
        self.attributes.iter().rev().find_map(|a| match a {
            Attribute::Flat(n, values) if *n == number => Some(*values),
            _ => None,
        })
    }

    /// Epsilon of a batch normalisation.
    pub fn epsilon(&self) -> f32 {
        let epsilon = self.attributes.iter().rev().find_map(|a| match a {
            Attribute::Float(field::EPSILON, value) => Some(*value),
            _ => None,
        });
        epsilon.unwrap_or(0.0)
    }

    /// The shape that an outfeed sends.
    pub fn outfeed_shape(&self) -> Option<&Shape> {
        self.attributes.iter().rev().find_map(|a| match a {
            Attribute::Shape(field::OUTFEED_SHAPE, shape) => Some(&**shape),
            _ => None,
        })
    }

    /// A sharding: the instruction's own, or one of those of a domain.
    pub fn sharding_field(&self, number: u32) -> Option<&OpSharding> {
        self.attributes.iter().rev().find_map(|a| match a {
            Attribute::Sharding(n, sharding) if *n == number => Some(&**sharding),
            _ => None,
        })
    }

    /// The channel of a communication. Old reductions said it in another field.
    pub fn channel_id(&self) -> Option<i64> {
        let id = self.int(field::CHANNEL_ID);
        if id > 0 {
            return Some(id);
        }
        let legacy = matches!(self.opcode, Opcode::AllReduce | Opcode::AllReduceStart | Opcode::ReduceScatter);
        let id = self.int(field::ALL_REDUCE_ID);
        (legacy && id > 0).then_some(id)
    }

    /// Number of groups that the features of a convolution are cut into; at least 1.
    pub fn feature_group_count(&self) -> i64 {
        self.int(field::FEATURE_GROUP_COUNT).max(1)
    }

    /// Number of groups that the batch of a convolution is cut into; at least 1.
    pub fn batch_group_count(&self) -> i64 {
        self.int(field::BATCH_GROUP_COUNT).max(1)
    }

    /// The index of a cross-program prefetch; an old flag stands for index 0.
    pub fn cross_program_prefetch_index(&self) -> Option<i64> {
        let flagged = self.flag(field::IS_CROSS_PROGRAM_PREFETCH).then_some(0);
        self.int_opt(field::CROSS_PROGRAM_PREFETCH_INDEX).or(flagged)
    }

    /// The kind of a fusion: `kLoop`, `kInput`, `kOutput` or `kCustom`.
    pub fn fusion_kind(&self) -> &str {
        self.text(field::FUSION_KIND)
    }
}
