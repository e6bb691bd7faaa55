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

use std::cell::Cell;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::field;
use super::instruction::Instruction;
use super::module::{Computation, HloModule, InstructionRef};
use super::opcode::Opcode;
use super::shape::{PrimitiveType, Shape};

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

/// Place of a part in a value: the numbers of the tuple elements that lead to it. Empty for the value as a whole.
type Path = SmallVec<[u32; 2]>;

/// Where bytes pass: 0 is the result, `n + 1` is operand `n`; and which part of it.
type Port = (u32, Path);

/// The port of a whole result.
const RESULT: u32 = 0;

/// What the model finds out about an instruction or about a whole computation.
#[derive(Debug, Clone, PartialEq)]
struct Cost {
    flops: f32,
    bytes: f32,
    /// Bytes at single ports. They need not add up to `bytes`, and ports without bytes may be missing.
    ports: SmallVec<[(Port, f32); 3]>,
    /// How much of each operand is used, where that is not all of it once.
    utilization: Vec<(usize, f32)>,
}

/// See [`Analysis::fused_left`].
const MAX_FUSED_STEPS: usize = 1 << 28;

/// See [`Analysis::ports_left`].
const MAX_COPIED_PORTS: usize = 1 << 22;

/// The number that stands for an unknown one. Sums over a computation take it for a number.
const UNKNOWN: f32 = -1.0;

impl Cost {
    /// Nothing.
    fn zero() -> Self {
        Self { flops: 0.0, bytes: 0.0, ports: SmallVec::new(), utilization: Vec::new() }
    }

    /// No flops; the result is written and the operands are read once.
    fn default_for(computation: &Computation, instruction: &Instruction) -> Self {
        let mut cost = Self::zero();
        cost.push(RESULT, Path::new(), sizes::leaf_bytes(&instruction.shape));
        for (n, operand) in computation.operands(instruction).enumerate() {
            cost.push(n as u32 + 1, Path::new(), sizes::bytes(&operand.shape) as f32);
        }
        cost.summed()
    }

    /// Adds a port that is not there yet.
    fn push(&mut self, port: u32, path: Path, bytes: f32) {
        self.ports.push(((port, path), bytes));
    }

    /// Sets the bytes at a port of a whole value.
    fn put(&mut self, port: u32, bytes: f32) {
        match self.ports.iter_mut().find(|((p, path), _)| *p == port && path.is_empty()) {
            Some((_, known)) => *known = bytes,
            None => self.push(port, Path::new(), bytes),
        }
    }

    /// Sets the total to the sum over the ports.
    fn summed(mut self) -> Self {
        self.bytes = self.ports.iter().map(|(_, bytes)| bytes).sum();
        self
    }

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

    /// Bytes that are read from and written to the device's main memory.
    /// The pointers of a tuple are no part of it, and neither are ports that the instruction does not have.
    fn in_main_memory(&self, computation: &Computation, instruction: &Instruction) -> [i64; 2] {
        let [mut read, mut written] = [0i64; 2];
        for ((port, path), bytes) in &self.ports {
            let (shape, sum) = if *port == RESULT {
                (Some(&*instruction.shape), &mut written)
            } else {
                (computation.operand(instruction, *port as usize - 1).map(|o| &*o.shape), &mut read)
            };
            let part =
                shape.and_then(|shape| path.iter().try_fold(shape, |part, &at| part.tuple_elements().get(at as usize)));
            if part.is_some_and(|part| !matches!(part, Shape::Tuple(_)) && sizes::memory_space(part) == 0) {
                *sum = sum.saturating_add(*bytes as i64);
            }
        }
        [read, written]
    }
}

/// Sums or maxima of costs, over all ports.
#[derive(Default)]
struct Collected {
    flops: f32,
    bytes: f32,
    ports: FxHashMap<Port, f32>,
}

impl Collected {
    fn add(&mut self, cost: &Cost) {
        self.flops += cost.flops;
        self.bytes += cost.bytes;
        for (port, bytes) in &cost.ports {
            *self.ports.entry(port.clone()).or_default() += bytes;
        }
    }

    fn most(&mut self, cost: &Cost) {
        self.flops = self.flops.max(cost.flops);
        self.bytes = self.bytes.max(cost.bytes);
        for (port, bytes) in &cost.ports {
            let known = self.ports.entry(port.clone()).or_default();
            *known = known.max(*bytes);
        }
    }

    fn finish(self) -> Cost {
        let mut ports: SmallVec<[(Port, f32); 3]> = self.ports.into_iter().collect();
        // A hash map has no order of its own; results must not depend on it.
        ports.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Cost { flops: self.flops, bytes: self.bytes, ports, utilization: Vec::new() }
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
    /// See [`fusion::memory_accesses`].
    accesses: Vec<Option<u32>>,
    /// So many ports may still be copied from computations to their callers.
    /// Real programs have a few thousand; a hostile one could have calls times ports.
    ports_left: Cell<usize>,
    /// So many fused instructions may still be walked. Each fusion of a real program has its own body; a hostile one could
    /// have a thousand fusions of one body of a million instructions.
    fused_left: Cell<usize>,
}

/// Costs of a computation and of its instructions.
struct ComputationCost {
    instructions: Vec<Cost>,
    total: Cost,
}

impl ModuleCosts {
    /// Analyses a module.
    pub fn of(module: &HloModule) -> Result<Self, Unanalysable> {
        let mut analysis = Analysis {
            module,
            computations: Vec::new(),
            accesses: fusion::memory_accesses(module),
            ports_left: Cell::new(MAX_COPIED_PORTS),
            fused_left: Cell::new(MAX_FUSED_STEPS),
        };
        let reachable = reachable(module, &analysis.accesses);
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
fn reachable(module: &HloModule, accesses: &[Option<u32>]) -> Vec<bool> {
    let mut reachable = vec![false; module.computations.len()];
    let mut stack = vec![module.entry];
    while let Some(at) = stack.pop() {
        let Some(seen) = reachable.get_mut(at as usize) else {
            continue;
        };
        if !std::mem::replace(seen, true) {
            let computation = &module.computations[at as usize];
            for i in computation.instructions.iter().filter(|i| analyses_callees(i)) {
                match fusion::custom_memory_access(module, accesses, i) {
                    // Only what the costs of this one instruction need is analysed.
                    Some(access) => stack.extend(&access.called),
                    None => stack.extend(&i.called),
                }
            }
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
        let mut total = Collected::default();
        for cost in computation.post_order().iter().filter_map(|&at| instructions.get(at as usize)) {
            total.add(cost);
        }
        Ok(ComputationCost { instructions, total: total.finish() })
    }

    /// The cost of the `n`-th computation that an instruction calls.
    fn called(&self, instruction: &Instruction, n: usize) -> Result<&ComputationCost, Unanalysable> {
        let at = *instruction.called.get(n).ok_or(Unanalysable)?;
        self.computations.get(at as usize).and_then(Option::as_ref).ok_or(Unanalysable)
    }

    /// [`Analysis::called`] for those who copy what passes through the computation's ports.
    fn total_of(&self, instruction: &Instruction, n: usize) -> Result<&Cost, Unanalysable> {
        let total = &self.called(instruction, n)?.total;
        self.ports_left.set(self.ports_left.get().checked_sub(total.ports.len()).ok_or(Unanalysable)?);
        Ok(total)
    }

    fn instruction(&self, computation: &Computation, i: &Instruction) -> Result<Cost, Unanalysable> {
        Ok(match i.opcode {
            Opcode::Fusion => self.fusion(i)?,
            // What runs asynchronously is not counted where it starts.
            Opcode::AsyncStart => Cost::zero(),
            Opcode::Call => self.total_of(i, 0)?.clone(),
            Opcode::While => {
                let mut sum = Collected::default();
                sum.add(self.total_of(i, 0)?);
                sum.add(self.total_of(i, 1)?);
                sum.finish()
            }
            Opcode::Conditional => {
                let mut most = Collected::default();
                for n in 0..i.called.len() {
                    most.most(self.total_of(i, n)?);
                }
                most.finish()
            }
            Opcode::AllReduce
            | Opcode::AllReduceStart
            | Opcode::AllGather
            | Opcode::AllGatherStart
            | Opcode::ReduceScatter => self.collective(computation, i)?,
            Opcode::CustomCall => library::custom_call(computation, i)?,
            _ => self.basic(computation, i)?,
        })
    }
}

/// The integers that are reported.
fn final_costs(computation: &Computation, instruction: &Instruction, cost: &Cost) -> Costs {
    let [read, written] = cost.in_main_memory(computation, instruction);
    let known = |number: f32| (number >= 0.0).then_some(number as i64);
    let (model_flops, bytes_accessed) = (known(cost.flops), known(cost.bytes));
    let has_bytes = bytes_accessed.is_some_and(|bytes| bytes > 0);
    let some_positive = |bytes: i64| (bytes > 0 && has_bytes).then_some(bytes);
    Costs {
        model_flops,
        device_flops: model_flops.map(|flops| (flops as u64).div_ceil(speed_up(computation, instruction)) as i64),
        bytes_accessed,
        hbm_read_bytes: some_positive(read),
        hbm_written_bytes: some_positive(written),
    }
}

/// How many operations on the instruction's operands the device does in the place of one wide one.
fn speed_up(computation: &Computation, instruction: &Instruction) -> u64 {
    let width = |operand: &Instruction| match operand.shape.as_array().map(|array| array.element) {
        None | Some(PrimitiveType::Pred) => 1,
        Some(element) => element.bits(),
    };
    let bits = match instruction.opcode {
        Opcode::CustomCall if library::is_cublas_lt(instruction.text(field::CUSTOM_CALL_TARGET)) => {
            computation.operand(instruction, 0).map_or(0, width)
        }
        Opcode::CustomCall => 0,
        _ => computation.operands(instruction).map(width).max().unwrap_or(0),
    };
    match bits {
        5..=8 => 2,
        4 => 4,
        _ => 1,
    }
}
