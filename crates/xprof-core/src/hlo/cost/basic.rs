//! Costs of the instructions that are neither fusions, nor collectives, nor library calls.

use super::cycles::cycles;
use super::{Analysis, Cost, Traffic, Unanalysable, sizes, windows};
use crate::hlo::dims::DotDims;
use crate::hlo::instruction::Instruction;
use crate::hlo::module::Computation;
use crate::hlo::opcode::Opcode;
use crate::hlo::shape::{ArrayShape, Shape};

impl Analysis<'_> {
    pub(super) fn basic(&self, computation: &Computation, i: &Instruction) -> Result<Cost, Unanalysable> {
        let operand = |n: usize| computation.operand(i, n);
        let shape = |n: usize| operand(n).map(|o| &*o.shape);
        let array = |n: usize| shape(n).and_then(Shape::as_array).ok_or(Unanalysable);
        let usual = || Cost::default_for(computation, i);
        Ok(match i.opcode {
            Opcode::Parameter
            | Opcode::Constant
            | Opcode::GetTupleElement
            | Opcode::Bitcast
            | Opcode::Domain
            | Opcode::AfterAll
            | Opcode::AddDependency => Cost::zero(),
            Opcode::Tuple => {
                let operands = i.operands.iter().map(|_| Traffic::Whole(0.0)).collect();
                Cost::of_traffic(0.0, Traffic::Whole(sizes::bytes(&i.shape) as f32), operands)
            }
            Opcode::Slice => moved(usual(), i, 0, array(0)?),
            Opcode::DynamicSlice | Opcode::Gather => moved(usual(), i, shape(1).map_or(0, sizes::bytes), array(0)?),
            Opcode::DynamicUpdateSlice => dynamic_update_slice(usual(), i, array(1)?, shape(2)),
            Opcode::Concatenate => usual().with_flops(concatenate(i, array(0)?)),
            Opcode::Dot | Opcode::ScaledDot => {
                let dims = i.dot_dims().ok_or(Unanalysable)?;
                usual().with_flops(dot(array(0)?, i.shape.as_array().ok_or(Unanalysable)?, dims)?)
            }
            Opcode::RaggedDot => usual().with_flops(ragged_dot(i, array(0)?, array(1)?)?),
            Opcode::Convolution => {
                let result = i.shape.as_array().ok_or(Unanalysable)?;
                usual().with_flops(windows::convolution(i, array(0)?, result)?)
            }
            Opcode::Reduce => self.reduce(computation, i)?,
            Opcode::ReduceWindow => {
                let result = sizes::first_array(&i.shape).ok_or(Unanalysable)?;
                let function = &self.called(i, 0)?.total;
                usual().with_flops(windows::reduce_window(i, function, array(0)?, result))
            }
            Opcode::SelectAndScatter => {
                let (select, scatter) = (&self.called(i, 0)?.total, &self.called(i, 1)?.total);
                usual().with_flops(windows::select_and_scatter(i, select, scatter, array(1)?))
            }
            Opcode::Map => usual().with_flops(self.called(i, 0)?.total.flops * i.shape.n_elements() as f32),
            Opcode::Scan => usual().with_flops(self.called(i, 0)?.total.flops * array(0)?.n_elements() as f32),
            Opcode::Scatter => self.scatter(computation, i)?,
            Opcode::Sort => {
                let n = array(0)?.n_elements();
                usual().with_flops(n.saturating_mul(ceil_log2(n)) as f32)
            }
            Opcode::Fft => {
                let lengths = i.ints(crate::hlo::field::FFT_LENGTH).iter();
                let logs = lengths.fold(1i64, |n, &length| n.saturating_mul(floor_log2(length)));
                usual().with_flops(array(0)?.n_elements().saturating_mul(logs).saturating_mul(8) as f32)
            }
            Opcode::TriangularSolve => triangular_solve(usual(), i, array(0)?, array(1)?),
            Opcode::Cholesky => cholesky(i, array(0)?),
            Opcode::Transpose if only_relabels(i, array(0)?) => Cost::zero(),
            Opcode::Infeed => {
                Cost::of_traffic(0.0, usual().result, i.operands.iter().map(|_| Traffic::Whole(0.0)).collect())
            }
            Opcode::Outfeed => {
                let mut operands = Vec::new();
                for (n, operand) in computation.operands(i).enumerate() {
                    let mut leaves = Vec::new();
                    operand.shape.each_leaf(&mut |leaf| leaves.push(if n == 0 { sizes::bytes(leaf) as f32 } else { 0.0 }));
                    operands.push(Traffic::Leaves(leaves));
                }
                Cost::of_traffic(0.0, Traffic::Leaves(vec![0.0; i.shape.leaves().len()]), operands)
            }
            opcode if opcode.is_elementwise_math() => usual().with_flops(elementwise(i)),
            _ => usual(),
        })
    }

    fn reduce(&self, computation: &Computation, i: &Instruction) -> Result<Cost, Unanalysable> {
        let function = &self.called(i, 0)?.total;
        let input = computation.operand(i, 0).map_or(0, |o| o.shape.n_elements());
        let output = sizes::first_array(&i.shape).map_or(0, ArrayShape::n_elements);
        let mut cost = Cost::default_for(computation, i);
        // The second half of the operands are start values, read once per result.
        let n_inputs = i.operands.len() / 2;
        for (n, operand) in computation.operands(i).enumerate().skip(n_inputs) {
            if let Some(traffic) = cost.operands.get_mut(n) {
                *traffic = Traffic::Whole(output as f32 * sizes::bytes(&operand.shape) as f32);
            }
        }
        let flops = function.flops * input.saturating_sub(output) as f32;
        Ok(Cost::of_traffic(flops, cost.result, cost.operands))
    }

    fn scatter(&self, computation: &Computation, i: &Instruction) -> Result<Cost, Unanalysable> {
        let function = &self.called(i, 0)?.total;
        // Operands are n targets, the indices, n updates.
        let n_targets = i.operands.len() / 2;
        let size = |n: usize| computation.operand(i, n).map_or(0, |o| sizes::bytes(&o.shape)) as f32;
        let updates: Vec<f32> = (n_targets + 1..i.operands.len()).map(size).collect();
        let elements = computation.operand(i, n_targets + 1).map_or(0, |o| o.shape.n_elements());
        let mut operands: Vec<Traffic> = updates.iter().map(|&bytes| Traffic::Whole(bytes)).collect();
        operands.push(Traffic::Whole(size(n_targets)));
        operands.extend(updates.iter().map(|&bytes| Traffic::Whole(bytes)));
        Ok(Cost::of_traffic(function.flops * elements as f32, Traffic::Leaves(updates), operands))
    }
}

/// Cycles per element times elements.
pub(super) fn elementwise(i: &Instruction) -> f32 {
    i.shape.as_array().map_or(0.0, |a| cycles(i.opcode, a.element).saturating_mul(a.n_elements()) as f32)
}

/// As much is read as is written, and the indices are read too.
fn moved(mut cost: Cost, i: &Instruction, index_bytes: i64, source: &ArrayShape) -> Cost {
    let out = sizes::bytes(&i.shape) as f32;
    if let Some(traffic) = cost.operands.first_mut() {
        *traffic = Traffic::Whole(out);
    }
    cost.utilization.push((0, ratio(i.shape.n_elements(), source.n_elements())));
    cost.with_bytes(out * 2.0 + index_bytes as f32)
}

/// Only the updated part is touched.
fn dynamic_update_slice(mut cost: Cost, i: &Instruction, update: &ArrayShape, index: Option<&Shape>) -> Cost {
    let bytes = sizes::array_bytes(update) as f32;
    if let Some(traffic) = cost.operands.first_mut() {
        *traffic = Traffic::Whole(0.0);
    }
    cost.result = Traffic::Whole(bytes);
    let n = i.shape.n_elements();
    cost.utilization.push((0, ratio(n.saturating_sub(update.n_elements()), n)));
    cost.with_bytes(bytes * 2.0 + index.map_or(0, sizes::bytes) as f32)
}

fn ratio(part: i64, whole: i64) -> f32 {
    if whole == 0 { 1.0 } else { part as f32 / whole as f32 }
}

/// Pieces that do not end where a warp ends make every thread search for its piece.
fn concatenate(i: &Instruction, first: &ArrayShape) -> f32 {
    let dim = i.dimensions().first().copied().unwrap_or(0);
    let size = usize::try_from(dim).ok().and_then(|dim| first.dims.get(dim)).copied().unwrap_or(0);
    let per_element = if dim > 0 && size % 32 != 0 { 400 } else { 6 };
    i.shape.n_elements().saturating_mul(per_element) as f32
}

/// Two operations per multiplied pair.
pub(super) fn dot(lhs: &ArrayShape, result: &ArrayShape, dims: &DotDims) -> Result<f32, Unanalysable> {
    let mut depth = 1i64;
    for &dim in &dims.lhs_contracting {
        let size = usize::try_from(dim).ok().and_then(|dim| lhs.dims.get(dim)).ok_or(Unanalysable)?;
        depth = depth.saturating_mul(*size);
    }
    Ok(result.n_elements().saturating_mul(depth).saturating_mul(2) as f32)
}

/// A dot whose groups divide the rows: the group dimensions of the right side are no part of the work.
fn ragged_dot(i: &Instruction, lhs: &ArrayShape, rhs: &ArrayShape) -> Result<f32, Unanalysable> {
    let dims = i.dot_dims().ok_or(Unanalysable)?;
    let _ = rhs;
    let result = i.shape.as_array().ok_or(Unanalysable)?;
    let is_contracting = dims.lhs_ragged.iter().any(|dim| dims.lhs_contracting.contains(dim));
    let mut result = result.clone();
    if is_contracting && !result.dims.is_empty() {
        // With ragged contraction the result has one more leading dimension: the groups.
        result.dims.remove(0);
    }
    dot(lhs, &result, dims)
}

/// Half of the matrix is read.
fn triangular_solve(cost: Cost, i: &Instruction, a: &ArrayShape, b: &ArrayShape) -> Cost {
    let last = a.dims.last().copied().unwrap_or(1);
    let flops = last.saturating_mul(b.n_elements()).saturating_mul(2) as f32;
    let bytes = sizes::bytes(&i.shape) as f32 + sizes::array_bytes(a) as f32 / 2.0 + sizes::array_bytes(b) as f32;
    cost.with_flops(flops).with_bytes(bytes)
}

/// Half of the matrix is read, half of it is written.
fn cholesky(i: &Instruction, a: &ArrayShape) -> Cost {
    let last = a.dims.last().copied().unwrap_or(1);
    let flops = (last.saturating_mul(a.n_elements()) / 3) as f32;
    let half = |bytes: i64| Traffic::Whole(bytes as f32 / 2.0);
    Cost::of_traffic(flops, half(sizes::bytes(&i.shape)), vec![half(sizes::array_bytes(a))])
}

/// Whether a transpose leaves every byte where it is and only renames dimensions.
fn only_relabels(i: &Instruction, input: &ArrayShape) -> bool {
    let Some(output) = i.shape.as_array() else { return false };
    let (Some(from), Some(to)) = (&input.layout, &output.layout) else { return false };
    let perm = i.dimensions();
    // Dimension `d` of the output is dimension `perm[d]` of the input; both must come in the same order in memory.
    let order = |dims: &[i64], sizes: &[i64]| -> Vec<i64> {
        let counts = |dim: &i64| usize::try_from(*dim).ok().and_then(|d| sizes.get(d)) != Some(&1);
        dims.iter().copied().filter(counts).collect()
    };
    let renamed = order(&to.minor_to_major, &output.dims)
        .iter()
        .map(|&dim| usize::try_from(dim).ok().and_then(|d| perm.get(d)).copied().unwrap_or(-1))
        .collect::<Vec<_>>();
    renamed == order(&from.minor_to_major, &input.dims)
}

fn ceil_log2(n: i64) -> i64 {
    if n < 2 { 0 } else { i64::from(64 - (n - 1).leading_zeros()) }
}

fn floor_log2(n: i64) -> i64 {
    if n < 1 { 0 } else { i64::from(63 - n.leading_zeros()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(n: i64, ceil: i64, floor: i64) {
        assert_eq!((ceil_log2(n), floor_log2(n)), (ceil, floor), "{n}");
    }

    #[test]
    fn rounds_logarithms() {
        check(0, 0, 0);
        check(1, 0, 0);
        check(2, 1, 1);
        check(3, 2, 1);
        check(1024, 10, 10);
        check(1025, 11, 10);
    }
}
