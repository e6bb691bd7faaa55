//! How a value is split over devices, as the proto says it.
//!
//! Takes `xla.OpSharding` bytes, gives an [`OpSharding`]; bringing it into the form that is printed is `sharding_normal`'s work.

use bytes::Bytes;

use super::HloError;
use super::metadata::Metadata;
use super::proto::{Ints, MAX_DEPTH, each_field, push_ints};
use super::replica_groups::{AxisRef, Mesh, axis_ref};
use crate::wire::Value;

/// The kind of a sharding, or of a group of devices inside a tiled one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShardingKind {
    /// Every device has everything.
    Replicated,
    /// One device has everything.
    Maximal,
    /// Each tuple element has a sharding of its own.
    Tuple,
    /// Devices have tiles.
    Tiled,
    /// The program shards by itself.
    Manual,
    /// To be decided by the compiler.
    Unknown,
    /// Devices have partial results that must still be combined.
    Unreduced,
}

impl ShardingKind {
    /// The kind of that proto number.
    pub fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Replicated,
            1 => Self::Maximal,
            2 => Self::Tuple,
            3 => Self::Tiled,
            4 => Self::Manual,
            5 => Self::Unknown,
            6 => Self::Unreduced,
            _ => return None,
        })
    }

    /// The word in HLO text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replicated => "replicated",
            Self::Maximal => "maximal",
            Self::Tuple => "tuple",
            Self::Tiled => "other",
            Self::Manual => "manual",
            Self::Unknown => "unknown",
            Self::Unreduced => "unreduced",
        }
    }
}

/// A sharding as written in the proto.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpSharding {
    /// Its kind.
    pub kind: ShardingKind,
    /// Number of tiles in each dimension.
    pub tile_dims: Ints,
    /// The devices in tile order, if written as a list.
    pub devices: Vec<i64>,
    /// Shardings of tuple elements, flat.
    pub tuple: Vec<OpSharding>,
    /// Whether the devices of the last tile dimension hold the same.
    pub replicate_last: bool,
    /// Where it was written.
    pub metadata: Vec<Metadata>,
    /// Kinds of the trailing tile dimensions that divide no data.
    pub last_tile_dims: Vec<ShardingKind>,
    /// Compact notation: the box that consecutive device numbers fill.
    pub iota_reshape: Ints,
    /// Compact notation: the order in which its dimensions are read.
    pub iota_perm: Ints,
    /// Id of the group whose members are sharded alike, and whether this one only follows.
    pub shard_group: Option<(i64, bool)>,
    /// The newer notation by mesh axes.
    pub named: Option<Box<NamedSharding>>,
}

impl Default for OpSharding {
    fn default() -> Self {
        Self {
            kind: ShardingKind::Replicated,
            tile_dims: Ints::new(),
            devices: Vec::new(),
            tuple: Vec::new(),
            replicate_last: false,
            metadata: Vec::new(),
            last_tile_dims: Vec::new(),
            iota_reshape: Ints::new(),
            iota_perm: Ints::new(),
            shard_group: None,
            named: None,
        }
    }
}

/// A sharding by the axes of a mesh.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamedSharding {
    /// The mesh.
    pub mesh: Mesh,
    /// Per dimension its axes, and whether more may be added.
    pub dims: Vec<(Vec<AxisRef>, bool)>,
    /// Axes along which everything is the same.
    pub replicated: Vec<AxisRef>,
    /// Axes along which partial results must be combined.
    pub unreduced: Vec<AxisRef>,
    /// Axes that the program handles itself.
    pub manual: Vec<AxisRef>,
    /// How partial results are combined: 0 sum, 1 maximum, 2 minimum.
    pub reduction: u64,
}

impl OpSharding {
    /// Reads an `OpSharding` that lies in `owner`.
    pub(crate) fn from_proto(owner: &Bytes, data: &[u8]) -> Result<Self, HloError> {
        decode(owner, data, 0)
    }
}

fn kind(number: u64) -> Result<ShardingKind, HloError> {
    ShardingKind::from_number(number).ok_or_else(|| HloError::invalid(format!("unknown sharding type {number}")))
}

fn decode(owner: &Bytes, data: &[u8], depth: u32) -> Result<OpSharding, HloError> {
    if depth > MAX_DEPTH {
        return Err(HloError::TooDeep);
    }
    let mut sharding = OpSharding::default();
    let (mut in_group, mut group_id, mut follows) = (false, 0, false);
    let mut last_tile_dims = Ints::new();
    let mut devices = Ints::new();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Varint(v)) => sharding.kind = kind(v)?,
            (3, value) => push_ints(&mut sharding.tile_dims, value)?,
            (4, value) => push_ints(&mut devices, value)?,
            (5, Value::Bytes(part)) => sharding.tuple.push(decode(owner, part, depth + 1)?),
            (6, Value::Varint(v)) => sharding.replicate_last = v != 0,
            (7, Value::Bytes(part)) => sharding.metadata.push(Metadata::from_proto(owner, part)?),
            (8, value) => push_ints(&mut last_tile_dims, value)?,
            (9, value) => push_ints(&mut sharding.iota_reshape, value)?,
            (10, value) => push_ints(&mut sharding.iota_perm, value)?,
            (11, Value::Varint(v)) => in_group = v != 0,
            (12, Value::Varint(v)) => group_id = v as i64,
            (13, Value::Varint(v)) => follows = v != 0,
            (14, Value::Bytes(part)) => sharding.named = Some(Box::new(decode_named(owner, part)?)),
            _ => {}
        }
        Ok(())
    })?;
    sharding.devices = devices.into_vec();
    sharding.shard_group = in_group.then_some((group_id, follows));
    sharding.last_tile_dims = last_tile_dims.iter().map(|&v| kind(v as u64)).collect::<Result<_, _>>()?;
    Ok(sharding)
}

fn decode_named(owner: &Bytes, data: &[u8]) -> Result<NamedSharding, HloError> {
    let mut named = NamedSharding::default();
    each_field(data, |number, value| {
        match (number, value) {
            (2, Value::Bytes(part)) => named.mesh = Mesh::from_proto(owner, part)?,
            (3, Value::Bytes(part)) => {
                let (mut axes, mut closed) = (Vec::new(), false);
                each_field(part, |number, value| {
                    match (number, value) {
                        (1, Value::Bytes(axis)) => axes.push(axis_ref(axis)?),
                        (2, Value::Varint(v)) => closed = v != 0,
                        _ => {}
                    }
                    Ok(())
                })?;
                named.dims.push((axes, !closed));
            }
            (4, Value::Bytes(part)) => named.replicated.push(axis_ref(part)?),
            (5, Value::Bytes(part)) => named.unreduced.push(axis_ref(part)?),
            (7, Value::Bytes(part)) => named.manual.push(axis_ref(part)?),
            (8, Value::Varint(v)) => named.reduction = v,
            _ => {}
        }
        Ok(())
    })?;
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &'static [u8], expect: &Result<OpSharding, HloError>) {
        let owner = Bytes::from_static(data);
        assert_eq!(&OpSharding::from_proto(&owner, &owner), expect);
    }

    #[test]
    fn reads_shardings() {
        check(&[], &Ok(OpSharding::default()));
        let tiled = OpSharding {
            kind: ShardingKind::Tiled,
            tile_dims: [2, 1].as_slice().into(),
            devices: vec![0, 1],
            shard_group: Some((7, true)),
            ..OpSharding::default()
        };
        check(&[0x08, 3, 0x1a, 2, 2, 1, 0x22, 2, 0, 1, 0x58, 1, 0x60, 7, 0x68, 1], &Ok(tiled));
        check(&[0x08, 9], &Err(HloError::invalid("unknown sharding type 9")));
    }
}
