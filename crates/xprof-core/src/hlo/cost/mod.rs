//! The cost model of GPU traces: flops and bytes of every instruction.
//!
//! Takes a module, gives costs per instruction; must not look at measured times.
//! Sums and products are IEEE single precision, as in the original, and become integers at the very end.

mod basic;
mod collective;
mod cycles;
mod fusion;
mod library;
mod sizes;
mod windows;

use super::field;
use super::instruction::Instruction;
use super::module::{Computation, HloModule, InstructionRef};
use super::opcode::Opcode;
use super::shape::Shape;

/// The module cannot be analysed; it then has no costs at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanalysable;

/// What one execution of an instruction costs. `None` means that the model does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Costs {
    /// Operations of the program.
    pub model_flops: Option<i64>,
    /// Operations as the device counts them: narrow types run several at once.
    pub device_flops: Option<i64>,
    /// Bytes read and written in any memory.
    pub bytes_accessed: Option<i64>,
    /// Bytes read from the device's main memory, if any are known.
    pub hbm_read_bytes: Option<i64>,
    /// Bytes written to the device's main memory, if any are known.
    pub hbm_written_bytes: Option<i64>,
}

/// Bytes that pass through one operand or result.
#[derive(Debug, Clone, PartialEq)]
enum Traffic {
    /// The value as a whole: an array, or the pointers of a tuple.
    Whole(f32),
    /// Each leaf of the value.
    Leaves(Vec<f32>),
    /// Not known.
    Unknown,
}

impl Traffic {
    fn total(&self) -> f32 {
        match self {
            Self::Whole(bytes) => *bytes,
            Self::Leaves(leaves) => leaves.iter().sum(),
            Self::Unknown => 0.0,
        }
    }

    /// Bytes of the leaves that lie in the device's main memory. The pointers of a tuple are no leaf.
    fn in_main_memory(&self, shape: &Shape) -> i64 {
        match self {
            Self::Whole(bytes) if !matches!(shape, Shape::Tuple(_)) && sizes::memory_space(shape) == 0 => *bytes as i64,
            Self::Whole(_) | Self::Unknown => 0,
            Self::Leaves(leaves) => {
                let in_main = shape.leaves().into_iter().zip(leaves).filter(|(leaf, _)| sizes::memory_space(leaf) == 0);
                in_main.fold(0i64, |sum, (_, &bytes)| sum.saturating_add((bytes as i64).max(0)))
            }
        }
    }
}

/// What the model finds out about an instruction.
#[derive(Debug, Clone, PartialEq)]
struct Cost {
    flops: f32,
    bytes: f32,
    /// Whether flops and bytes are unknown instead of zero.
    unknown: bool,
    result: Traffic,
    operands: Vec<Traffic>,
    /// How much of each operand is used, where that is not all of it once.
    utilization: Vec<(usize, f32)>,
}

impl Cost {
    /// Nothing.
    fn zero() -> Self {
        Self {
            flops: 0.0,
            bytes: 0.0,
            unknown: false,
            result: Traffic::Unknown,
            operands: Vec::new(),
            utilization: Vec::new(),
        }
    }

    /// No flops; the result is written and the operands are read once.
    fn default_for(computation: &Computation, instruction: &Instruction) -> Self {
        let mut result = 0.0f32;
        instruction.shape.each_leaf(&mut |leaf| result += sizes::bytes(leaf) as f32);
        let operands =
            computation.operands(instruction).map(|o| Traffic::Whole(sizes::bytes(&o.shape) as f32)).collect();
        Self::of_traffic(0.0, Traffic::Whole(result), operands)
    }

    /// The bytes are the sum over the result and the operands.
    fn of_traffic(flops: f32, result: Traffic, operands: Vec<Traffic>) -> Self {
        let bytes = operands.iter().fold(result.total(), |sum, operand| sum + operand.total());
        Self { flops, bytes, result, operands, ..Self::zero() }
    }

    /// Replaces the total; what passes through result and operands stays as it was.
    fn with_bytes(mut self, bytes: f32) -> Self {
        self.bytes = bytes;
        self
    }

    fn with_flops(mut self, flops: f32) -> Self {
        self.flops = flops;
        self
    }

    fn utilization_of(&self, operand: usize) -> f32 {
        self.utilization.iter().find(|(n, _)| *n == operand).map_or(1.0, |&(_, u)| u)
    }
}

/// Costs of all instructions of a module that its entry computation reaches.
#[derive(Debug, Clone)]
pub struct ModuleCosts {
    costs: Vec<Vec<Costs>>,
}

/// The analysis while it runs: costs of the computations that were already seen.
struct Analysis<'m> {
    module: &'m HloModule,
    computations: Vec<Option<ComputationCost>>,
}

/// Costs of a computation and of its instructions.
struct ComputationCost {
    instructions: Vec<Cost>,
    total: Cost,
}

impl ModuleCosts {
    /// Analyses a module.
    pub fn of(module: &HloModule) -> Result<Self, Unanalysable> {
        let mut analysis = Analysis { module, computations: Vec::new() };
        let reachable = reachable(module);
        // Callees come before their callers, so one pass finds every callee already analysed.
        for (computation, is_reachable) in module.computations.iter().zip(reachable) {
            let cost = if is_reachable { Some(analysis.computation(computation)?) } else { None };
            analysis.computations.push(cost);
        }
        let costs = module.computations.iter().zip(&analysis.computations).map(|(computation, cost)| {
            let costs = cost.iter().flat_map(|cost| &cost.instructions).zip(&computation.instructions);
            costs.map(|(cost, instruction)| final_costs(computation, instruction, cost)).collect()
        });
        Ok(Self { costs: costs.collect() })
    }

    /// The costs of an instruction, `None` if the entry computation does not reach it.
    pub fn of_instruction(&self, at: InstructionRef) -> Option<Costs> {
        self.costs.get(at.computation as usize)?.get(at.instruction as usize).copied()
    }
}

/// Whether the cost of an instruction comes from those of the computations that it calls.
/// Collectives and sorts look at their function without analysing it, library calls not even that.
fn analyses_callees(i: &Instruction) -> bool {
    matches!(
        i.opcode,
        Opcode::Fusion
            | Opcode::Call
            | Opcode::AsyncStart
            | Opcode::While
            | Opcode::Conditional
            | Opcode::Reduce
            | Opcode::ReduceWindow
            | Opcode::SelectAndScatter
            | Opcode::Map
            | Opcode::Scan
            | Opcode::Scatter
    )
}

/// Which computations the analysis of the entry computation reaches.
fn reachable(module: &HloModule) -> Vec<bool> {
    let mut reachable = vec![false; module.computations.len()];
    let mut stack = vec![module.entry];
    while let Some(at) = stack.pop() {
        let Some(seen) = reachable.get_mut(at as usize) else { continue };
        if !std::mem::replace(seen, true) {
            let computation = &module.computations[at as usize];
            let analysed = computation.instructions.iter().filter(|i| analyses_callees(i));
            stack.extend(analysed.flat_map(|i| i.called.iter().copied()));
        }
    }
    reachable
}

impl Analysis<'_> {
    fn computation(&self, computation: &Computation) -> Result<ComputationCost, Unanalysable> {
        let mut instructions: Vec<Cost> = Vec::with_capacity(computation.instructions.len());
        for instruction in &computation.instructions {
            instructions.push(self.instruction(computation, instruction)?);
        }
        // Single precision makes the order of additions visible.
        let mut total = Cost::zero();
        for cost in computation.post_order().iter().filter_map(|&at| instructions.get(at as usize)) {
            total.flops += cost.flops;
            total.bytes += cost.bytes;
        }
        Ok(ComputationCost { instructions, total })
    }

    /// The cost of the `n`-th computation that an instruction calls.
    fn called(&self, instruction: &Instruction, n: usize) -> Result<&ComputationCost, Unanalysable> {
        let at = *instruction.called.get(n).ok_or(Unanalysable)?;
        self.computations.get(at as usize).and_then(Option::as_ref).ok_or(Unanalysable)
    }

    fn instruction(&self, computation: &Computation, i: &Instruction) -> Result<Cost, Unanalysable> {
        Ok(match i.opcode {
            Opcode::Fusion => self.fusion(computation, i)?,
            Opcode::Call | Opcode::AsyncStart => {
                let called = &self.called(i, 0)?.total;
                Cost { flops: called.flops, bytes: called.bytes, ..Cost::zero() }
            }
            Opcode::While => {
                let (body, condition) = (&self.called(i, 0)?.total, &self.called(i, 1)?.total);
                Cost { flops: body.flops + condition.flops, bytes: body.bytes + condition.bytes, ..Cost::zero() }
            }
            Opcode::Conditional => {
                let mut most = Cost::zero();
                for n in 0..i.called.len() {
                    let branch = &self.called(i, n)?.total;
                    most.flops = most.flops.max(branch.flops);
                    most.bytes = most.bytes.max(branch.bytes);
                }
                most
            }
            Opcode::AllReduce
            | Opcode::AllReduceStart
            | Opcode::AllGather
            | Opcode::AllGatherStart
            | Opcode::ReduceScatter => self.collective(computation, i),
            Opcode::CustomCall => library::custom_call(computation, i)?,
            _ => self.basic(computation, i)?,
        })
    }
}

/// The integers that are reported.
fn final_costs(computation: &Computation, instruction: &Instruction, cost: &Cost) -> Costs {
    if cost.unknown {
        return Costs::default();
    }
    let read = computation
        .operands(instruction)
        .zip(&cost.operands)
        .fold(0i64, |sum, (operand, traffic)| sum.saturating_add(traffic.in_main_memory(&operand.shape)));
    let written = cost.result.in_main_memory(&instruction.shape);
    let some_positive = |bytes: i64| (bytes > 0).then_some(bytes);
    let bytes = cost.bytes as i64;
    let model_flops = cost.flops as i64;
    Costs {
        model_flops: Some(model_flops),
        device_flops: Some(model_flops / speed_up(computation, instruction)),
        bytes_accessed: Some(bytes),
        hbm_read_bytes: some_positive(read).filter(|_| bytes > 0),
        hbm_written_bytes: some_positive(written).filter(|_| bytes > 0),
    }
}

/// How many operations on the instruction's operands the device does in the place of one wide one.
fn speed_up(computation: &Computation, instruction: &Instruction) -> i64 {
    let width = |operand: &Instruction| operand.shape.as_array().map_or(0, |array| array.element.bits());
    let bits = match instruction.opcode {
        Opcode::CustomCall if library::is_cublas_lt(instruction.text(field::CUSTOM_CALL_TARGET)) => {
            computation.operand(instruction, 0).map_or(0, width)
        }
        Opcode::CustomCall => 0,
        _ => computation.operands(instruction).map(width).max().unwrap_or(0),
    };
    match bits {
        8 => 2,
        4 => 4,
        _ => 1,
    }
}
