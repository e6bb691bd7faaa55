//! What is not drawn as a node of its own but written into the nodes that use it.

use super::filter::Filter;
use super::program::Program;
use crate::hlo::{Computation, Instruction, InstructionRef, Opcode, Shape, field, text};

/// Constants of more elements are named, not shown.
const MAX_CONSTANT_ELEMENTS: i64 = 8;
/// Longer values of constants are not shown.
const MAX_CONSTANT_CHARS: usize = 64;
/// Texts of shapes in full end here: a tuple may have thousands of parts.
const MAX_SHAPE_BYTES: usize = 4096;
/// Values of fewer elements are small.
const SMALL_ELEMENTS: i64 = 4096;

/// Whether a value counts as small. `parity:` one with a token or something opaque in it does, too.
pub(super) fn is_small(shape: &Shape) -> bool {
    let leaves = shape.leaves();
    leaves.iter().any(|leaf| !matches!(leaf, Shape::Array(_))) || shape.n_elements() < SMALL_ELEMENTS
}

/// Whether a value is an array of exactly one element.
fn is_one_element(shape: &Shape) -> bool {
    shape.as_array().is_some_and(|array| array.dims.iter().all(|&dim| dim == 1))
}

/// For the broadcast of a single constant element inside a fusion: that constant.
pub(super) fn broadcast_constant(program: &Program<'_>, at: InstructionRef) -> Option<InstructionRef> {
    let operand = program.operand(at, 0)?;
    let constant = program.get(operand);
    let fits = program.get(at).opcode == Opcode::Broadcast
        && constant.opcode == Opcode::Constant
        && is_one_element(&constant.shape)
        && program.fusion_of(at.computation).is_some();
    fits.then_some(operand)
}

/// For a parameter of a fusion that is given a constant: that constant.
pub(super) fn parameter_constant(program: &Program<'_>, at: InstructionRef) -> Option<InstructionRef> {
    let operand = program.fused_operand(at)?;
    (program.get(operand).opcode == Opcode::Constant).then_some(operand)
}

/// Whether an instruction has no node of its own.
pub(super) fn has_no_node(program: &Program<'_>, filter: &Filter, at: InstructionRef) -> bool {
    match program.get(at).opcode {
        Opcode::Constant | Opcode::GetTupleElement => !program.is_root(at),
        Opcode::Broadcast => !program.is_root(at) && broadcast_constant(program, at).is_some(),
        Opcode::Parameter => parameter_constant(program, at).is_some() || filter.spreads(at),
        _ => false,
    }
}

/// Whether no edge leads away from an instruction. `parity:` not even from a constant that is a result and has a node.
pub(super) fn has_no_edges(program: &Program<'_>, filter: &Filter, at: InstructionRef) -> bool {
    program.get(at).opcode == Opcode::Constant
        || broadcast_constant(program, at).is_some()
        || has_no_node(program, filter, at)
}

/// The text of an operand that has no node, `None` if it has one.
pub(super) fn operand_text(program: &Program<'_>, filter: &Filter, operand: InstructionRef) -> Option<String> {
    let instruction = program.get(operand);
    if let Some(constant) = broadcast_constant(program, operand).or_else(|| parameter_constant(program, operand)) {
        return Some(constant_text(program.get(constant), &instruction.shape));
    }
    match instruction.opcode {
        Opcode::Constant => Some(constant_text(instruction, &instruction.shape)),
        Opcode::GetTupleElement => Some(tuple_element_text(program, operand)),
        Opcode::Parameter if filter.spreads(operand) => {
            Some(format!("Parameter {}", instruction.int(field::PARAMETER_NUMBER)))
        }
        _ => None,
    }
}

/// `tuple-element 1 of while.24 u32[4]{0}`.
pub(super) fn tuple_element_text(program: &Program<'_>, at: InstructionRef) -> String {
    let instruction = program.get(at);
    let from = program.operand(at, 0).map_or("", |from| &*program.get(from).name);
    let shape = text::shape_text(&instruction.shape, true, MAX_SHAPE_BYTES);
    format!("tuple-element {} of {from} {shape}", instruction.int(field::TUPLE_INDEX))
}

/// A constant's value if it is short, else its name. `shape` is that of the value which stands for it.
pub(super) fn constant_text(constant: &Instruction, shape: &Shape) -> String {
    let plain = |shape: &Shape| text::shape_text(shape, false, MAX_SHAPE_BYTES);
    if shape.as_array().is_some_and(|array| array.dims.contains(&0)) {
        return format!("{{}} ({})", plain(&constant.shape));
    }
    let n = constant.shape.as_array().map_or(i64::MAX, crate::hlo::ArrayShape::n_elements);
    if n <= MAX_CONSTANT_ELEMENTS
        && let Some(literal) = constant.literal()
    {
        let value = text::literal_in_lines(literal, 4 * MAX_CONSTANT_CHARS);
        if value.len() <= MAX_CONSTANT_CHARS {
            return format!("{} {value}", plain(shape));
        }
    }
    let name = &*constant.name;
    let word = if name.starts_with("constant") { "" } else { "constant " };
    format!("{word}{name} {}", plain(shape))
}

/// The word for a computation that does nothing but apply one common operation to two numbers.
pub(super) fn trivial_word(computation: &Computation) -> Option<&'static str> {
    let root = computation.root();
    let [first, second] = root.operands[..] else {
        return None;
    };
    let parameter = |at: u32, number: i64| {
        computation.instructions.get(at as usize).is_some_and(|i| {
            i.opcode == Opcode::Parameter && i.int(field::PARAMETER_NUMBER) == number && is_one_element(&i.shape)
        })
    };
    let in_order = parameter(first, 0) && parameter(second, 1);
    let reversed = parameter(first, 1) && parameter(second, 0);
    if computation.instructions.len() != 3 || !(in_order || reversed) || !is_one_element(&root.shape) {
        return None;
    }
    Some(match root.opcode {
        Opcode::Add => "add",
        Opcode::Multiply => "multiply",
        Opcode::Minimum => "min",
        Opcode::Maximum => "max",
        Opcode::And => "and",
        Opcode::Or => "or",
        Opcode::Xor => "xor",
        Opcode::Compare => match root.text(field::COMPARISON_DIRECTION) {
            "EQ" => "equal-to",
            "NE" => "not-equal-to",
            // An order means something else the other way around.
            _ if !in_order => return None,
            "LT" => "less-than",
            "LE" => "less-or-equal",
            "GT" => "greater-than",
            "GE" => "greater-or-equal",
            _ => return None,
        },
        _ => return None,
    })
}
