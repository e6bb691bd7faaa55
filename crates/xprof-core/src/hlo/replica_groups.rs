//! Which devices take part together in a collective operation.
//!
//! Takes the bytes of the three notations that protos know, gives [`ReplicaGroups`]; must not expand compact notations.

use bytes::Bytes;
use bytestring::ByteString;

use super::HloError;
use super::proto::{Ints, each_field, flat_ints, ints, push_ints, shared_text};
use super::tile_order::product;
use crate::wire::Value;

/// The groups of a collective.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaGroups {
    /// Each group's members.
    List(Vec<Ints>),
    /// A transposed box of consecutive numbers, cut into groups.
    Iota {
        /// Number of groups.
        n_groups: i64,
        /// Members of each.
        group_size: i64,
        /// The box that the numbers fill.
        reshape_dims: Ints,
        /// The order in which its dimensions are then read.
        transpose_perm: Ints,
    },
    /// Axes of a named mesh.
    Mesh(Box<Mesh>, Vec<AxisRef>),
}

/// A named box of devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mesh {
    /// Name and size of each axis.
    pub axes: Vec<(ByteString, i64)>,
    /// The devices in order, empty if they are simply numbered.
    pub device_ids: Ints,
    /// The devices as a box of consecutive numbers that is read in another order: its dimensions and their order.
    pub device_iota: Option<(Ints, Ints)>,
}

/// An axis of a mesh or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AxisRef {
    /// Which axis.
    pub axis: i64,
    /// Product of the parts before it and its own size, if only a part is meant.
    pub part: Option<(i64, i64)>,
}

impl ReplicaGroups {
    /// Number of members of the largest group.
    pub fn largest(&self) -> i64 {
        match self {
            Self::List(groups) => groups.iter().map(|group| group.len() as i64).max().unwrap_or(0),
            Self::Iota { group_size, .. } => *group_size,
            Self::Mesh(mesh, axes) => axes.iter().fold(1, |n, axis| n.saturating_mul(mesh.size_of(*axis))),
        }
    }
}

impl Mesh {
    /// Reads a `MeshProto`.
    pub(crate) fn from_proto(owner: &Bytes, data: &[u8]) -> Result<Self, HloError> {
        let mut mesh = Self::default();
        each_field(data, |number, value| {
            match (number, value) {
                (1, Value::Bytes(part)) => {
                    let (mut name, mut size) = (ByteString::new(), 0);
                    each_field(part, |number, value| {
                        match (number, value) {
                            (1, Value::Bytes(text)) => name = shared_text(owner, text)?,
                            (2, Value::Varint(v)) => size = v as i64,
                            _ => {}
                        }
                        Ok(())
                    })?;
                    mesh.axes.push((name, size));
                }
                (2, value) => push_ints(&mut mesh.device_ids, value)?,
                (3, Value::Bytes(part)) => {
                    let (mut dims, mut perm) = (Ints::new(), Ints::new());
                    each_field(part, |number, value| match number {
                        1 => push_ints(&mut dims, value),
                        2 => push_ints(&mut perm, value),
                        _ => Ok(()),
                    })?;
                    mesh.device_iota = Some((dims, perm));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(mesh)
    }

    /// Number of devices along an axis or part of one.
    pub fn size_of(&self, axis: AxisRef) -> i64 {
        let whole = usize::try_from(axis.axis).ok().and_then(|at| self.axes.get(at)).map_or(1, |(_, size)| *size);
        axis.part.map_or(whole, |(_, size)| size)
    }
}

/// Reads an `AxisRefProto`.
pub(crate) fn axis_ref(data: &[u8]) -> Result<AxisRef, HloError> {
    let mut axis = AxisRef::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Varint(v)) => axis.axis = v as i64,
            (2, Value::Bytes(part)) => {
                let [before, size] = flat_ints(part)?;
                axis.part = Some((before, size));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(axis)
}

/// Reads one legacy `ReplicaGroup`.
pub(crate) fn group(data: &[u8]) -> Result<Ints, HloError> {
    let mut group = Ints::new();
    each_field(data, |number, value| if number == 1 { push_ints(&mut group, value) } else { Ok(()) })?;
    Ok(group)
}

/// Reads a `CollectiveDeviceList`.
pub(crate) fn device_list(data: &[u8]) -> Result<ReplicaGroups, HloError> {
    let mut groups = Vec::new();
    each_field(data, |number, value| {
        if let (1, Value::Bytes(part)) = (number, value) {
            groups.push(group(part)?);
        }
        Ok(())
    })?;
    Ok(ReplicaGroups::List(groups))
}

/// Reads an `IotaReplicaGroupListProto`.
pub(crate) fn iota(data: &[u8]) -> Result<ReplicaGroups, HloError> {
    let (mut n_groups, mut group_size) = (0, 0);
    let (mut reshape_dims, mut transpose_perm) = (Ints::new(), Ints::new());
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Varint(v)) => n_groups = v as i64,
            (2, Value::Varint(v)) => group_size = v as i64,
            (3, value) => reshape_dims.extend(ints(value)?),
            (4, value) => transpose_perm.extend(ints(value)?),
            _ => {}
        }
        Ok(())
    })?;
    let members = n_groups.checked_mul(group_size).filter(|&n| n > 0 && n_groups > 0);
    if members != Some(product(&reshape_dims)) {
        return Err(HloError::invalid("replica groups and their iota dimensions disagree"));
    }
    Ok(ReplicaGroups::Iota { n_groups, group_size, reshape_dims, transpose_perm })
}

/// Reads a `MeshAxesReplicaGroupListProto`.
pub(crate) fn mesh_axes(owner: &Bytes, data: &[u8]) -> Result<ReplicaGroups, HloError> {
    let (mut mesh, mut axes) = (Mesh::default(), Vec::new());
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Bytes(part)) => mesh = Mesh::from_proto(owner, part)?,
            (2, Value::Bytes(part)) => axes.push(axis_ref(part)?),
            _ => {}
        }
        Ok(())
    })?;
    if axes.iter().any(|axis| usize::try_from(axis.axis).map_or(true, |at| at >= mesh.axes.len())) {
        return Err(HloError::invalid("replica groups along an axis that the mesh does not have"));
    }
    Ok(ReplicaGroups::Mesh(Box::new(mesh), axes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(groups: &Result<ReplicaGroups, HloError>, largest: i64) {
        assert_eq!(groups.as_ref().map(ReplicaGroups::largest), Ok(largest), "{groups:?}");
    }

    #[test]
    fn counts_members() {
        check(&device_list(&[0x0a, 4, 0x0a, 2, 0, 1, 0x0a, 2, 0x08, 2]), 2);
        check(&device_list(&[]), 0);
        check(&iota(&[0x08, 2, 0x10, 4, 0x1a, 1, 8]), 4);
        let mesh = [0x0a, 9, 0x0a, 7, 0x0a, 1, b'x', 0x10, 8, 0x18, 0, 0x12, 2, 0x08, 0];
        let owner = Bytes::copy_from_slice(&mesh);
        check(&mesh_axes(&owner, &owner), 8);
    }
}
