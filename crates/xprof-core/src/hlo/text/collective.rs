//! Attributes of operations in which several devices take part.

use super::Printer;
use super::sharding;
use super::writer::Writer;
use crate::hlo::attribute::field;
use crate::hlo::instruction::Instruction;
use crate::hlo::module::Computation;
use crate::hlo::opcode::Opcode;
use crate::hlo::replica_groups::ReplicaGroups;
use crate::hlo::shape::Shape;
use crate::hlo::tile_order::TileOrder;

impl Printer<'_> {
    /// Channel, groups and whether layouts are fixed.
    pub(super) fn groups(&mut self, instruction: &Instruction, with_layout_constraint: bool) {
        self.channel(instruction);
        self.out.push(", replica_groups=");
        match instruction.replica_groups() {
            Some(groups) => replica_groups(&mut self.out, &groups),
            None => self.out.push("{}"),
        }
        if with_layout_constraint {
            self.flag(instruction, field::CONSTRAIN_LAYOUT, "constrain_layout");
        }
    }

    /// `channel_id=N`, if there is a channel.
    pub(super) fn channel(&mut self, instruction: &Instruction) {
        if let Some(id) = instruction.channel_id() {
            self.out.format(format_args!(", channel_id={id}"));
        }
    }

    /// Everything of the collectives in the order of the text.
    pub(super) fn collective(&mut self, computation: &Computation, instruction: &Instruction) {
        match instruction.opcode {
            Opcode::AllGather | Opcode::AllGatherStart => {
                self.groups(instruction, true);
                self.dimensions(instruction);
                self.flag(instruction, field::USE_GLOBAL_DEVICE_IDS, "use_global_device_ids");
            }
            Opcode::AllReduce | Opcode::AllReduceStart => {
                self.groups(instruction, true);
                self.flag(instruction, field::USE_GLOBAL_DEVICE_IDS, "use_global_device_ids");
            }
            Opcode::ReduceScatter => {
                self.groups(instruction, true);
                self.flag(instruction, field::USE_GLOBAL_DEVICE_IDS, "use_global_device_ids");
                self.dimensions(instruction);
            }
            Opcode::AllToAll => {
                self.groups(instruction, true);
                if !instruction.dimensions().is_empty() {
                    self.dimensions(instruction);
                }
            }
            Opcode::RaggedAllToAll => self.groups(instruction, true),
            Opcode::CollectiveBroadcast => {
                self.groups(instruction, false);
                self.word(instruction, field::HAS_DYNAMIC_ROOT, "has_dynamic_root");
            }
            _ => self.permute(computation, instruction),
        }
    }

    /// The messages of a collective permute, and the parts of the buffers that they carry.
    fn permute(&mut self, computation: &Computation, instruction: &Instruction) {
        self.channel(instruction);
        self.out.push(", source_target_pairs={");
        self.out.list(",", instruction.source_targets(), |out, pair| out.braced(pair));
        self.out.push("}");
        let sizes = instruction.ints(field::DYNAMIC_SLICE_SIZES);
        if sizes.is_empty() {
            return;
        }
        // The sizes are one flat list; each slice has as many as the array it is cut from has dimensions.
        let shape = computation.operand(instruction, 0).map(|operand| &*operand.shape);
        let rank = match shape {
            Some(Shape::Tuple(elements)) => elements.first().and_then(Shape::as_array),
            Some(shape) => shape.as_array(),
            None => None,
        };
        let rank = rank.map_or(sizes.len(), |array| array.dims.len()).max(1);
        self.out.push(", slice_sizes={");
        self.out.list(",", sizes.chunks(rank), Writer::braced);
        self.out.push("}");
    }
}

/// Appends the groups in their own notation.
fn replica_groups(out: &mut Writer, groups: &ReplicaGroups) {
    match groups {
        ReplicaGroups::List(groups) => {
            out.push("{");
            out.list(",", groups, |out, group| out.braced(group));
            out.push("}");
        }
        ReplicaGroups::Iota { n_groups, group_size, reshape_dims, transpose_perm } => {
            out.format(format_args!("[{n_groups},{group_size}]"));
            let identity: Vec<i64> = (0..reshape_dims.len() as i64).collect();
            let perm = if transpose_perm.is_empty() { &identity[..] } else { transpose_perm.as_slice() };
            if let Ok(TileOrder::Strided(dims)) = TileOrder::from_iota(reshape_dims, perm) {
                sharding::iota(out, &dims);
            }
        }
        ReplicaGroups::Mesh(mesh, axes) => {
            sharding::mesh(out, mesh);
            out.push(" {");
            sharding::axes(out, mesh, axes, ",");
            out.push("}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(groups: &ReplicaGroups, expect: &str) {
        let mut out = Writer::new(1000);
        replica_groups(&mut out, groups);
        assert_eq!(out.finish(), expect);
    }

    #[test]
    fn prints_groups() {
        check(&ReplicaGroups::List(vec![]), "{}");
        check(&ReplicaGroups::List(vec![[0, 1].as_slice().into(), [2].as_slice().into()]), "{{0,1},{2}}");
        let iota = |reshape: &[i64], perm: &[i64]| ReplicaGroups::Iota {
            n_groups: 2,
            group_size: 4,
            reshape_dims: reshape.into(),
            transpose_perm: perm.into(),
        };
        check(&iota(&[8], &[0]), "[2,4]<=[8]");
        check(&iota(&[8], &[]), "[2,4]<=[8]");
        check(&iota(&[2, 2, 2], &[0, 2, 1]), "[2,4]<=[2,2,2]T(0,2,1)");
    }
}
