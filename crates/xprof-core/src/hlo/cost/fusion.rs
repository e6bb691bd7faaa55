//! Costs of fusions: how often each fused instruction is computed, and which bytes really move.
//!
//! Fused code recomputes what several users need in different order. A *use root* of an instruction is the nearest later
//! instruction that decides in which order it is read; its weight says how many times over the elements are read.

use super::{Analysis, ComputationCost, Cost, Traffic, Unanalysable, sizes};
use crate::hlo::instruction::Instruction;
use crate::hlo::module::Computation;
use crate::hlo::opcode::Opcode;
use crate::hlo::shape::Shape;

/// Fused constants up to this many elements become immediates of the code.
const MAX_IMMEDIATE_ELEMENTS: i64 = 8;
/// Use roots are counted together up to here; no real fusion comes near.
const MAX_ROOTS: usize = 1 << 24;

/// How much of each instruction of a fused computation is computed, as a multiple of its elements.
struct Utilization {
    /// By position in the computation.
    of: Vec<f32>,
    flops: f32,
}

impl Analysis<'_> {
    pub(super) fn fusion(&self, computation: &Computation, i: &Instruction) -> Result<Cost, Unanalysable> {
        let body = self.module.called(i, 0).ok_or(Unanalysable)?;
        let costs = self.called(i, 0)?;
        if i.fusion_kind() == "kCustom" {
            let scattered = |i: &Instruction| matches!(i.opcode, Opcode::Gather | Opcode::Scatter);
            if let Some(at) = body.instructions.iter().position(scattered) {
                let inner = costs.instructions.get(at).ok_or(Unanalysable)?;
                return Ok(Cost { flops: inner.flops, bytes: inner.bytes, ..Cost::zero() });
            }
        }
        let (result, updated) = written(body, i);
        let used = utilization(body, costs, &updated)?;
        let mut bytes = result.total();
        for (instruction, &used) in body.instructions.iter().zip(&used.of) {
            if instruction.opcode == Opcode::Constant && instruction.shape.n_elements() > MAX_IMMEDIATE_ELEMENTS {
                bytes += sizes::bytes(&instruction.shape) as f32 * used.min(1.0);
            }
        }
        let mut cost = Cost { flops: used.flops, result, ..Cost::zero() };
        for n in 0..computation.operands(i).count() {
            let at = body.parameter(n as i64).ok_or(Unanalysable)?;
            let parameter = body.instructions.get(at as usize).ok_or(Unanalysable)?;
            let used = used.of.get(at as usize).copied().unwrap_or(0.0);
            let mut leaves = Vec::new();
            parameter.shape.each_leaf(&mut |leaf| leaves.push((sizes::bytes(leaf) as f32 * used.min(1.0)).round()));
            let traffic = Traffic::Leaves(leaves);
            bytes += traffic.total();
            cost.operands.push(traffic);
            cost.utilization.push((n, used));
        }
        cost.bytes = bytes;
        Ok(cost)
    }
}

/// The bytes that the result's leaves receive, and the instructions that update a part of a larger array in place.
fn written(body: &Computation, fusion: &Instruction) -> (Traffic, Vec<u32>) {
    let root = body.root();
    let outputs: Vec<u32> =
        if root.opcode == Opcode::Tuple { root.operands.to_vec() } else { vec![body.root] };
    let mut updates = Vec::new();
    let mut leaves = Vec::new();
    let parts: Vec<&Shape> = match &*fusion.shape {
        Shape::Tuple(elements) if root.opcode == Opcode::Tuple => elements.iter().collect(),
        whole => vec![whole],
    };
    for (n, part) in parts.into_iter().enumerate() {
        let output = outputs.get(n).and_then(|&at| Some((at, body.instructions.get(at as usize)?)));
        if let Some((at, output)) = output
            && output.opcode == Opcode::DynamicUpdateSlice
        {
            updates.push(at);
            leaves.push(body.operand(output, 1).map_or(0, |update| sizes::bytes(&update.shape)) as f32);
        } else {
            part.each_leaf(&mut |leaf| leaves.push(sizes::bytes(leaf) as f32));
        }
    }
    (Traffic::Leaves(leaves), updates)
}

/// Whether an instruction hands the order in which it is read on to its operands.
fn passes_order_on(body: &Computation, i: &Instruction) -> bool {
    match i.opcode {
        Opcode::Tuple | Opcode::GetTupleElement => true,
        Opcode::Bitcast => body.operand(i, 0).is_some_and(|operand| match (&*operand.shape, &*i.shape) {
            (Shape::Array(from), Shape::Array(to)) => from.dims == to.dims && from.layout == to.layout,
            _ => false,
        }),
        opcode => opcode.is_elementwise(),
    }
}

fn utilization(body: &Computation, costs: &ComputationCost, in_place: &[u32]) -> Result<Utilization, Unanalysable> {
    let n = body.instructions.len();
    let mut weights = vec![0.0f32; n];
    let mut roots: Vec<Vec<u32>> = vec![Vec::new(); n];
    let mut used = Utilization { of: vec![0.0; n], flops: 0.0 };
    let mut n_roots = 0usize;
    *weights.get_mut(body.root as usize).ok_or(Unanalysable)? = 1.0;
    roots[body.root as usize].push(body.root);
    for &at in body.post_order().iter().rev() {
        let here = at as usize;
        let (instruction, cost) = (&body.instructions[here], costs.instructions.get(here).ok_or(Unanalysable)?);
        let mine = std::mem::take(&mut roots[here]);
        let times: f32 = mine.iter().map(|&root| weights[root as usize]).sum();
        used.of[here] = times;
        used.flops += times * cost.flops;
        let hands_on = passes_order_on(body, instruction);
        for (k, &operand) in instruction.operands.iter().enumerate() {
            let target = operand as usize;
            if hands_on {
                for &root in &mine {
                    if !roots[target].contains(&root) {
                        roots[target].push(root);
                        n_roots += 1;
                    }
                }
            } else {
                if !roots[target].contains(&operand) {
                    roots[target].push(operand);
                    n_roots += 1;
                }
                let part = if k == 0 && in_place.contains(&at) { 0.0 } else { cost.utilization_of(k) };
                let elements = body.instructions[target].shape.n_elements() as f32;
                weights[target] +=
                    if elements > 0.0 { (times * part * elements).ceil() / elements } else { times * part };
            }
            if n_roots > MAX_ROOTS {
                return Err(Unanalysable);
            }
        }
    }
    Ok(used)
}
