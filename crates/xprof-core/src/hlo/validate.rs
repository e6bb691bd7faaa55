//! What a module must satisfy beyond being readable.
//!
//! Takes a module that has just been read, gives the first contradiction found; must not change the module.

use bytestring::ByteString;
use foldhash::HashSet;
use foldhash::HashSetExt;
use rustc_hash::FxHashSet;

use super::attribute::{Attribute, field};
use super::instruction::Instruction;
use super::module::{Computation, HloModule};
use super::opcode::{Arity, Opcode};
use super::shape::PrimitiveType;
use super::{HloError, Shape};

/// The highest number of a multiplication algorithm.
const MAX_ALGORITHM: i64 = 15;

/// Checks a whole module.
pub(super) fn module(module: &HloModule) -> Result<(), HloError> {
    let mut names = HashSet::new();
    for computation in &module.computations {
        if !names.insert(&*computation.name) {
            return Err(HloError::invalid(format!("two computations are named {}", computation.name)));
        }
        for instruction in &computation.instructions {
            self::instruction(computation, instruction)?;
        }
        parameters(computation)?;
    }
    schedule(module)
}

fn instruction(computation: &Computation, instruction: &Instruction) -> Result<(), HloError> {
    let wrong = |what: &str| {
        let message = format!("{} {}: {what}", instruction.opcode.name(), instruction.name);
        Err(HloError::Invalid(message))
    };
    if let Arity::Exactly(n) = instruction.opcode.arity()
        && usize::from(n) != instruction.operands.len()
    {
        return wrong("wrong number of operands");
    }
    if instruction.operands.len() < least_operands(instruction.opcode) {
        return wrong("operands are missing");
    }
    if !callees_ok(instruction) {
        return wrong("wrong number of called computations");
    }
    let complete = match instruction.opcode {
        Opcode::Dot | Opcode::ScaledDot | Opcode::RaggedDot => instruction.dot_dims().is_some(),
        Opcode::Convolution => {
            instruction.conv_dims().is_some() && has(instruction, |a| matches!(a, Attribute::Window(_)))
        }
        Opcode::Gather => instruction.gather_dims().is_some(),
        Opcode::Scatter => instruction.scatter_dims().is_some(),
        Opcode::Pad => has(instruction, |a| matches!(a, Attribute::Padding(_))),
        Opcode::AllGather
        | Opcode::AllGatherStart
        | Opcode::Iota
        | Opcode::GetDimensionSize
        | Opcode::SetDimensionSize => instruction.dimensions().len() == 1,
        Opcode::Reduce | Opcode::ReduceWindow => instruction.operands.len().is_multiple_of(2),
        Opcode::Transpose => is_permutation(instruction.dimensions(), &instruction.shape),
        Opcode::Call => {
            let named = |(key, value): &(ByteString, ByteString)| key == "composite.name" && !value.is_empty();
            !instruction.flag(field::IS_COMPOSITE) || instruction.frontend_attributes().iter().any(named)
        }
        Opcode::Outfeed => instruction.outfeed_shape().is_some(),
        Opcode::Constant => instruction.literal().is_none_or(|value| value.shape.is_compatible(&instruction.shape)),
        _ => true,
    };
    if instruction.precision().is_some_and(|precision| {
        precision.operands.iter().any(|p| !matches!(p, 0..=2)) || !matches!(precision.algorithm, 0..=MAX_ALGORITHM)
    }) {
        return wrong("unknown precision");
    }
    if !complete {
        return wrong("a required part is missing or does not fit");
    }
    if instruction.name.is_empty() {
        return wrong("no name");
    }
    match instruction.opcode {
        Opcode::Fusion if !matches!(instruction.fusion_kind(), "kLoop" | "kInput" | "kOutput" | "kCustom") => {
            wrong("unknown fusion kind")
        }
        Opcode::Compare => compare(computation, instruction),
        _ => Ok(()),
    }
}

fn has(instruction: &Instruction, is_it: impl Fn(&Attribute) -> bool) -> bool {
    instruction.attributes.iter().any(is_it)
}

/// Operands that an opcode of free arity needs at least.
fn least_operands(opcode: Opcode) -> usize {
    match opcode {
        Opcode::Convolution | Opcode::DynamicUpdateSlice | Opcode::Reduce | Opcode::ReduceWindow => 2,
        Opcode::Scatter => 3,
        Opcode::Conditional | Opcode::DynamicSlice | Opcode::Sort => 1,
        _ => 0,
    }
}

/// Whether an instruction calls as many computations as its opcode demands.
fn callees_ok(instruction: &Instruction) -> bool {
    let n = instruction.called.len();
    match instruction.opcode {
        Opcode::Fusion
        | Opcode::Call
        | Opcode::Map
        | Opcode::Reduce
        | Opcode::ReduceWindow
        | Opcode::ReduceScatter
        | Opcode::AllReduce
        | Opcode::AllReduceStart
        | Opcode::Scan
        | Opcode::Scatter
        | Opcode::Sort
        | Opcode::AsyncStart => n == 1,
        Opcode::While | Opcode::SelectAndScatter => n == 2,
        Opcode::Conditional => n >= 1,
        _ => true,
    }
}

/// Whether the numbers are those of the dimensions of an array in some order.
fn is_permutation(dims: &[i64], shape: &Shape) -> bool {
    let rank = shape.as_array().map_or(0, |array| array.dims.len());
    let mut seen = vec![false; rank];
    let fresh = |dim: &i64| {
        let seen = usize::try_from(*dim).ok().and_then(|dim| seen.get_mut(dim));
        seen.is_some_and(|seen| !std::mem::replace(seen, true))
    };
    dims.len() == rank && dims.iter().all(fresh)
}

/// The order of a comparison is written or follows from its type; both must be known words.
fn compare(computation: &Computation, instruction: &Instruction) -> Result<(), HloError> {
    let order = instruction.text(field::COMPARISON_ORDER);
    if !matches!(order, "" | "TOTAL" | "PARTIAL") {
        return Err(HloError::UnknownComparisonOrder(order.to_owned()));
    }
    let known_type =
        matches!(instruction.text(field::COMPARISON_TYPE), "" | "FLOAT" | "SIGNED" | "UNSIGNED" | "TOTALORDER");
    let known_direction =
        matches!(instruction.text(field::COMPARISON_DIRECTION), "EQ" | "NE" | "GE" | "GT" | "LE" | "LT");
    let comparable =
        computation.operand(instruction, 0).is_some_and(|operand| matches!(&*operand.shape, Shape::Array(_)));
    if known_type && known_direction && comparable {
        Ok(())
    } else {
        Err(HloError::invalid(format!("compare {} has an unknown direction or type", instruction.name)))
    }
}

/// Parameters are numbered from 0 without gaps.
fn parameters(computation: &Computation) -> Result<(), HloError> {
    let mut numbers: Vec<i64> = computation
        .instructions
        .iter()
        .filter(|i| i.opcode == Opcode::Parameter)
        .map(|i| i.int(field::PARAMETER_NUMBER))
        .collect();
    numbers.sort_unstable();
    if numbers.iter().enumerate().all(|(at, &number)| at as i64 == number) {
        Ok(())
    } else {
        Err(HloError::invalid(format!("parameters of {} are not numbered from 0", computation.name)))
    }
}

/// A thread that is scheduled at all is scheduled in all its computations that are no bodies of fusions.
fn schedule(module: &HloModule) -> Result<(), HloError> {
    if module.computations.iter().all(|c| c.schedule.is_none()) {
        return Ok(());
    }
    let fused: FxHashSet<u32> = module
        .computations
        .iter()
        .flat_map(|c| &c.instructions)
        .filter(|i| i.opcode == Opcode::Fusion)
        .flat_map(|i| i.called.iter().copied())
        .collect();
    let threads: HashSet<&str> =
        module.computations.iter().filter(|c| c.schedule.is_some()).map(|c| &*c.execution_thread).collect();
    for (at, computation) in module.computations.iter().enumerate() {
        let must = threads.contains(&*computation.execution_thread) && !fused.contains(&(at as u32));
        if must && computation.schedule.is_none() {
            return Err(HloError::invalid(format!("computation {} is not scheduled", computation.name)));
        }
    }
    Ok(())
}

/// Whether NaNs make values of this type incomparable, so that their default order is partial.
pub(crate) fn is_partially_ordered(element: PrimitiveType) -> bool {
    element.is_float() || element.is_complex()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlo::shape::ArrayShape;

    fn check(dims: &[i64], rank: usize, expect: bool) {
        let dims_of = smallvec::SmallVec::from_elem(2, rank);
        let array =
            ArrayShape { element: PrimitiveType::F32, dims: dims_of, dynamic: [].as_slice().into(), layout: None };
        assert_eq!(is_permutation(dims, &Shape::Array(array)), expect, "{dims:?}");
    }

    #[test]
    fn knows_permutations() {
        check(&[1, 0], 2, true);
        check(&[], 0, true);
        check(&[0, 0], 2, false);
        check(&[0, 2], 2, false);
        check(&[-1, 0], 2, false);
        check(&[0], 2, false);
    }
}
