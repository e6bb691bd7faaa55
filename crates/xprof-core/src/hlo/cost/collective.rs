//! Costs of operations in which several devices take part.

use super::cycles::cycles;
use super::{Analysis, Cost, Traffic, sizes};
use crate::hlo::instruction::Instruction;
use crate::hlo::module::Computation;
use crate::hlo::opcode::Opcode;
use crate::hlo::shape::Shape;

impl Analysis<'_> {
    pub(super) fn collective(&self, computation: &Computation, i: &Instruction) -> Cost {
        let usual = Cost::default_for(computation, i);
        let flops = self.reduction_flops(i);
        let ranks = i.replica_groups().map_or(1, |groups| groups.largest()).max(1) as f32;
        // A ring: each device sends its share around and collects those of the others.
        let there_and_back = |whole: f32| {
            let share = whole / ranks;
            share * (2.0 * ranks - 1.0) + share * ranks
        };
        match i.opcode {
            Opcode::AllReduce => usual.with_flops(flops),
            Opcode::AllReduceStart => {
                let result = usual.result.total();
                usual.with_flops(flops).with_bytes(result)
            }
            Opcode::AllGather => {
                let bytes = there_and_back(usual.result.total());
                usual.with_bytes(bytes)
            }
            Opcode::AllGatherStart => {
                // The result holds the operands first and what was gathered after them.
                let gathered: f32 = match &*i.shape {
                    Shape::Tuple(parts) => parts.last().map_or(0.0, leaf_bytes),
                    array => leaf_bytes(array),
                };
                usual.with_bytes(there_and_back(gathered))
            }
            _ => {
                let bytes = there_and_back(usual.operands.iter().map(Traffic::total).sum());
                usual.with_flops(flops).with_bytes(bytes)
            }
        }
    }

    /// One application of the reduction per element of the result.
    fn reduction_flops(&self, i: &Instruction) -> f32 {
        let Some(function) = self.module.called(i, 0) else { return 0.0 };
        let root = function.root();
        let mut flops = 0.0f32;
        i.shape.each_leaf(&mut |leaf| {
            if let Shape::Array(array) = leaf {
                flops += cycles(root.opcode, array.element).saturating_mul(array.n_elements()) as f32;
            }
        });
        flops
    }
}

fn leaf_bytes(shape: &Shape) -> f32 {
    let mut bytes = 0.0f32;
    shape.each_leaf(&mut |leaf| bytes += sizes::bytes(leaf) as f32);
    bytes
}
