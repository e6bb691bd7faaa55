//! Costs of operations in which several devices take part.

use super::cycles::cycles;
use super::{Analysis, Cost, Unanalysable, sizes};
use crate::hlo::field;
use crate::hlo::instruction::Instruction;
use crate::hlo::module::Computation;
use crate::hlo::opcode::Opcode;
use crate::hlo::shape::Shape;

impl Analysis<'_> {
    pub(super) fn collective(&self, computation: &Computation, i: &Instruction) -> Result<Cost, Unanalysable> {
        let groups = i.replica_groups().map_or(0, |groups| groups.largest());
        // Global ids only make sense with a channel and with groups that consist of them.
        if i.flag(field::USE_GLOBAL_DEVICE_IDS) && (i.channel_id().is_none() || groups == 0) {
            return Err(Unanalysable);
        }
        let usual = Cost::default_for(computation, i);
        let flops = self.reduction_flops(i);
        let ranks = groups.max(1) as f32;
        // A ring: each device sends its share around and collects those of the others.
        let there_and_back = |whole: f32| {
            let share = whole / ranks;
            share * (2.0 * ranks - 1.0) + share * ranks
        };
        let result = sizes::leaf_bytes(&i.shape);
        Ok(match i.opcode {
            Opcode::AllReduce => usual.with_flops(flops),
            Opcode::AllReduceStart => usual.with_flops(flops).with_bytes(result),
            Opcode::AllGather => usual.with_bytes(there_and_back(result)),
            Opcode::AllGatherStart => {
                // The result holds the operands first and what was gathered after them.
                let gathered = i.shape.tuple_elements().last().map_or(result, sizes::leaf_bytes);
                usual.with_bytes(there_and_back(gathered))
            }
            _ => {
                let operands = computation.operands(i).map(|o| sizes::bytes(&o.shape) as f32).sum();
                usual.with_flops(flops).with_bytes(there_and_back(operands))
            }
        })
    }

    /// One application of the reduction per element of the result.
    fn reduction_flops(&self, i: &Instruction) -> f32 {
        let Some(function) = self.module.called(i, 0) else {
            return 0.0;
        };
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
