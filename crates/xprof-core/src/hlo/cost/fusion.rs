//! Costs of fusions: how often each fused instruction is computed, and which bytes really move.
//!
//! Fused code recomputes what several users need in different order. A *use root* of an instruction is the nearest later
//! instruction that decides in which order it is read; its weight says how many times over the elements are read.

use rustc_hash::FxHashMap;

use super::{Analysis, ComputationCost, Cost, Path, RESULT, Unanalysable, sizes};
use crate::hlo::field;
use crate::hlo::instruction::Instruction;
use crate::hlo::module::{Computation, HloModule, InstructionRef};
use crate::hlo::opcode::Opcode;
use crate::hlo::shape::Shape;

/// Fused constants up to this many elements become immediates of the code.
const MAX_IMMEDIATE_ELEMENTS: i64 = 8;
/// Use roots are compared so many times in one fusion at most; no real fusion comes near.
const MAX_ROOT_STEPS: usize = 1 << 26;

/// How much of each instruction of a fused computation is computed, as a multiple of its elements.
struct Utilization {
    /// By position in the computation.
    of: Vec<f32>,
    flops: f32,
}

impl Analysis<'_> {
    pub(super) fn fusion(&self, i: &Instruction) -> Result<Cost, Unanalysable> {
        let body = self.module.called(i, 0).ok_or(Unanalysable)?;
        if let Some(access) = custom_memory_access(self.module, &self.accesses, i) {
            return self.instruction(body, access);
        }
        let steps = body.instructions.len();
        self.fused_left.set(self.fused_left.get().checked_sub(steps).ok_or(Unanalysable)?);
        let costs = self.called(i, 0)?;
        let (outputs, updated) = written(body, i);
        let used = utilization(body, costs, &updated)?;
        let mut cost = Cost::zero();
        for (path, bytes) in outputs {
            cost.push(RESULT, path, bytes);
        }
        let mut constants = 0.0f32;
        for (instruction, &used) in body.instructions.iter().zip(&used.of) {
            if instruction.opcode == Opcode::Constant && instruction.shape.n_elements() > MAX_IMMEDIATE_ELEMENTS {
                constants += sizes::bytes(&instruction.shape) as f32 * used.min(1.0);
            }
        }
        let parts = TupleParts::of(body);
        for (at, (parameter, &used_whole)) in body.instructions.iter().zip(&used.of).enumerate() {
            if parameter.opcode != Opcode::Parameter {
                continue;
            }
            let number = parameter.int(field::PARAMETER_NUMBER);
            let mut leaves = Vec::new();
            sizes::each_leaf_path(&parameter.shape, &mut Path::new(), &mut |path, _| {
                let reader = parts.reader(at as u32, path) as usize;
                let bytes = body.instructions.get(reader).map_or(0, |reader| sizes::bytes(&reader.shape));
                let used = used.of.get(reader).copied().unwrap_or(0.0);
                leaves.push((path.clone(), (bytes as f32 * used.min(1.0)).round()));
            });
            for (path, bytes) in leaves {
                cost.push(number as u32 + 1, path, bytes);
            }
            cost.utilization.push((number as usize, used_whole));
        }
        let cost = cost.summed().with_flops(used.flops);
        let bytes = cost.bytes + constants;
        Ok(cost.with_bytes(bytes))
    }
}

/// Which instruction takes which element out of which tuple.
struct TupleParts(FxHashMap<(u32, u32), u32>);

impl TupleParts {
    fn of(body: &Computation) -> Self {
        let mut parts = FxHashMap::default();
        for (at, i) in body.instructions.iter().enumerate() {
            if let (Opcode::GetTupleElement, Some(&tuple)) = (i.opcode, i.operands.first()) {
                parts.entry((tuple, i.int(field::TUPLE_INDEX) as u32)).or_insert(at as u32);
            }
        }
        Self(parts)
    }

    /// The instruction that stands for a leaf of a parameter: the one that takes it out of the tuple, or as far as anyone
    /// follows the way to it.
    /// parity: a leaf that nobody takes out counts like the table of pointers in which it is, not as nothing.
    fn reader(&self, parameter: u32, path: &Path) -> u32 {
        let mut at = parameter;
        for &part in path {
            match self.0.get(&(at, part)) {
                Some(&next) => at = next,
                None => break,
            }
        }
        at
    }
}

/// The first gather or scatter of each computation.
pub(super) fn memory_accesses(module: &HloModule) -> Vec<Option<u32>> {
    let is_access = |i: &Instruction| matches!(i.opcode, Opcode::Gather | Opcode::Scatter);
    let first = |c: &Computation| c.instructions.iter().position(is_access).map(|at| at as u32);
    module.computations.iter().map(first).collect()
}

/// The gather or scatter that a custom fusion is all about: such a fusion costs what that instruction costs.
pub(super) fn custom_memory_access<'m>(
    module: &'m HloModule,
    accesses: &[Option<u32>],
    fusion: &Instruction,
) -> Option<&'m Instruction> {
    if fusion.opcode != Opcode::Fusion || fusion.fusion_kind() != "kCustom" {
        return None;
    }
    let computation = *fusion.called.first()?;
    let instruction = (*accesses.get(computation as usize)?)?;
    module.instruction(InstructionRef { computation, instruction })
}

/// The bytes that the result's parts receive, and the instructions that update a part of a larger array in place.
fn written(body: &Computation, fusion: &Instruction) -> (Vec<(Path, f32)>, Vec<u32>) {
    let root = body.root();
    let is_tuple = root.opcode == Opcode::Tuple;
    let (mut parts, mut updates) = (Vec::new(), Vec::new());
    sizes::each_leaf_path(&fusion.shape, &mut Path::new(), &mut |path, leaf| {
        let at = match path.as_slice() {
            [] if !is_tuple => Some(body.root),
            [n] if is_tuple => root.operands.get(*n as usize).copied(),
            _ => None,
        };
        let output = at.and_then(|at| Some((at, body.instructions.get(at as usize)?)));
        let bytes = match output {
            Some((at, output)) if output.opcode == Opcode::DynamicUpdateSlice => {
                updates.push(at);
                body.operand(output, 1).map_or(0, |update| sizes::bytes(&update.shape))
            }
            _ => sizes::bytes(leaf),
        };
        parts.push((path.clone(), bytes as f32));
    });
    (parts, updates)
}

/// Whether an instruction hands the order in which it is read on to its operands.
fn passes_order_on(body: &Computation, i: &Instruction) -> bool {
    match i.opcode {
        Opcode::Tuple | Opcode::GetTupleElement => true,
        Opcode::Bitcast => body.operand(i, 0).is_some_and(|operand| match (&*operand.shape, &*i.shape) {
            (Shape::Array(from), Shape::Array(to)) => from.dims == to.dims && from.layout == to.layout,
            _ => false,
        }),
        opcode => opcode.is_elementwise() || matches!(opcode, Opcode::Map | Opcode::Rng),
    }
}

fn utilization(body: &Computation, costs: &ComputationCost, in_place: &[u32]) -> Result<Utilization, Unanalysable> {
    let n = body.instructions.len();
    let mut weights = vec![0.0f32; n];
    let mut roots: Vec<Vec<u32>> = vec![Vec::new(); n];
    let mut used = Utilization { of: vec![0.0; n], flops: 0.0 };
    let mut steps = 0usize;
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
                    steps += roots[target].len() + 1;
                    if !roots[target].contains(&root) {
                        roots[target].push(root);
                    }
                }
            } else {
                steps += roots[target].len() + 1;
                if !roots[target].contains(&operand) {
                    roots[target].push(operand);
                }
                let part = if k == 0 && in_place.contains(&at) { 0.0 } else { cost.utilization_of(k) };
                let elements = body.instructions[target].shape.n_elements() as f32;
                weights[target] +=
                    if elements > 0.0 { (times * part * elements).ceil() / elements } else { times * part };
            }
            if steps > MAX_ROOT_STEPS {
                return Err(Unanalysable);
            }
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use crate::hlo::testing::{Comp, array, binary, f32s, facts, int, ints, message, tuple};

    /// Checks flops and bytes of a fusion of that body, all figures as the original reports them.
    fn check(kind: &str, parameters: &[Vec<u8>], body: Comp, result: &[u8], expect: (i64, i64)) {
        let operands: Vec<String> = (0..parameters.len()).map(|n| format!("p{n}")).collect();
        let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
        let extra = [message(11, kind), ints(38, &[2])].concat();
        let entry = Comp::new(0, parameters).add("x", "fusion", result, &operands, &extra);
        let facts = facts(&[binary(1, "add"), body, entry], &[]);
        let costs = facts.find("x").and_then(|x| x.costs()).expect("costs");
        assert_eq!((costs.model_flops, costs.bytes_accessed), (Some(expect.0), Some(expect.1)));
    }

    /// `slice` of the first rows or elements.
    fn first(limits: &[i64]) -> Vec<u8> {
        limits.iter().flat_map(|&limit| message(17, [int(2, limit), int(3, 1)].concat())).collect()
    }

    #[test]
    fn counts_what_is_recomputed() {
        let a = f32s(&[64, 64]);
        let two = [a.clone(), a.clone()];
        let body = Comp::new(2, &two)
            .add("e", "sine", &a, &["p0"], &[])
            .add("t", "transpose", &a, &["e"], &ints(14, &[1, 0]))
            .add("u", "add", &a, &["t", "e"], &[]);
        check("kLoop", &two, body, &a, (2 * 4096 * 662 + 3 * 4096, 2 * 16384));
        let body = Comp::new(2, &two)
            .add("e", "add", &a, &["p0", "p1"], &[])
            .add("s", "slice", &f32s(&[8, 64]), &["e"], &first(&[8, 64]))
            .add("l", "log", &f32s(&[8, 64]), &["s"], &[]);
        check("kLoop", &two, body, &f32s(&[8, 64]), (512 * 3 + 512 * 244, 3 * 2048));
    }

    #[test]
    fn counts_a_start_value_once_per_result() {
        let a = f32s(&[64, 64]);
        let body = Comp::new(2, std::slice::from_ref(&a))
            .add("c", "constant", &array(16, &[]), &[], &[])
            .add("i", "convert", &f32s(&[]), &["c"], &[])
            .add("r", "reduce", &f32s(&[64]), &["p0", "i"], &[ints(14, &[1]), ints(38, &[1])].concat());
        check("kInput", &[a], body, &f32s(&[64]), (3 * 64 * 63 + 3 * 64, 16384 + 256));
    }

    #[test]
    fn counts_updates_in_place() {
        let a = f32s(&[64, 64]);
        let two = [a.clone(), a.clone()];
        let body = Comp::new(2, &two)
            .add("u", "slice", &f32s(&[1, 64]), &["p1"], &first(&[1, 64]))
            .add("i", "constant", &array(4, &[]), &[], &[])
            .add("d", "dynamic-update-slice", &a, &["p0", "u", "i", "i"], &[]);
        check("kLoop", &two, body, &a, (0, 512));
    }

    #[test]
    fn counts_parts_of_tuples() {
        let v = f32s(&[64]);
        let pair = [tuple(&[v.clone(), f32s(&[64, 64])])];
        let body = Comp::new(2, &pair)
            .add("g", "get-tuple-element", &v, &["p0"], &[])
            .add("s", "slice", &f32s(&[8]), &["g"], &first(&[8]))
            .add("n", "negate", &f32s(&[8]), &["s"], &[]);
        // An eighth of the first part, and for the second one an eighth of two pointers.
        check("kLoop", &pair, body, &f32s(&[8]), (24, 32 + 32 + 2));
    }

    #[test]
    fn custom_fusions_cost_what_their_gather_costs() {
        let parameters = [f32s(&[8, 4]), array(4, &[2, 1])];
        let dims = message(33, [ints(1, &[1]), ints(2, &[0]), ints(3, &[0]), int(4, 1)].concat());
        let body = Comp::new(2, &parameters)
            .add("g", "gather", &f32s(&[2, 4]), &["p0", "p1"], &[dims, ints(34, &[1, 4])].concat())
            .add("e", "exponential", &f32s(&[2, 4]), &["g"], &[]);
        check("kCustom", &parameters, body, &f32s(&[2, 4]), (0, 72));
    }
}
