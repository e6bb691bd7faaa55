//! Costs of the instructions that are neither fusions, nor collectives, nor library calls.

use super::cycles::cycles;
use super::{Analysis, Cost, RESULT, Unanalysable, sizes, windows};
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
            Opcode::Tuple => tuple(i),
            Opcode::Slice => moved(usual(), i, 0, array(0)?),
            Opcode::DynamicSlice | Opcode::Gather => moved(usual(), i, shape(1).map_or(0, sizes::bytes), array(0)?),
            Opcode::DynamicUpdateSlice => dynamic_update_slice(usual(), i, array(1)?, shape(2)),
            Opcode::Concatenate => usual().with_flops(concatenate(i, array(0)?)),
            Opcode::Dot | Opcode::ScaledDot => {
                let dims = i.dot_dims().ok_or(Unanalysable)?;
                usual().with_flops(dot(array(0)?, i.shape.as_array().ok_or(Unanalysable)?, dims)?)
            }
            Opcode::RaggedDot => usual().with_flops(ragged_dot(i, array(0)?)?),
            Opcode::Convolution => {
                let result = i.shape.as_array().ok_or(Unanalysable)?;
                usual().with_flops(windows::convolution(i, array(0)?, array(1)?, result)?)
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
            Opcode::Scan => {
                let n_lanes = n_lanes(i, array(0)?);
                usual().with_flops(self.called(i, 0)?.total.flops * n_lanes as f32)
            }
            Opcode::Scatter => self.scatter(computation, i)?,
            Opcode::Sort => {
                let n = array(0)?.n_elements();
                usual().with_flops(n.saturating_mul(ceil_log2(n)) as f32)
            }
            Opcode::Fft => usual().with_flops(fft(i, array(0)?)),
            Opcode::TriangularSolve => triangular_solve(usual(), i, array(0)?, array(1)?),
            Opcode::Cholesky => cholesky(i, array(0)?),
            Opcode::Transpose if only_relabels(i, array(0)?) => Cost::zero(),
            Opcode::Infeed => infeed(usual(), i),
            Opcode::Outfeed => outfeed(shape(0)),
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
            cost.put(n as u32 + 1, output as f32 * sizes::bytes(&operand.shape) as f32);
            cost.utilization.push((n, output as f32));
        }
        let flops = function.flops * input.saturating_sub(output) as f32;
        Ok(cost.summed().with_flops(flops))
    }

    fn scatter(&self, computation: &Computation, i: &Instruction) -> Result<Cost, Unanalysable> {
        let function = &self.called(i, 0)?.total;
        // Operands are n targets, the indices, n updates.
        let n_targets = i.operands.len() / 2;
        let size = |n: usize| computation.operand(i, n).map_or(0, |o| sizes::bytes(&o.shape)) as f32;
        let updates: f32 = (n_targets + 1..i.operands.len()).map(size).sum();
        let elements = computation.operand(i, n_targets + 1).map_or(0, |o| o.shape.n_elements());
        let mut cost = Cost::default_for(computation, i);
        for n in 0..n_targets {
            cost.put(n as u32 + 1, size(n_targets + 1 + n));
        }
        cost.put(RESULT, updates);
        let flops = function.flops * elements as f32;
        Ok(cost.with_bytes(updates * 3.0 + size(n_targets)).with_flops(flops))
    }
}

/// Cycles per element times elements.
pub(super) fn elementwise(i: &Instruction) -> f32 {
    i.shape.as_array().map_or(0.0, |a| cycles(i.opcode, a.element).saturating_mul(a.n_elements()) as f32)
}

/// As much is read as is written, and the indices are read too.
fn moved(mut cost: Cost, i: &Instruction, index_bytes: i64, source: &ArrayShape) -> Cost {
    let out = sizes::bytes(&i.shape) as f32;
    cost.put(1, out);
    cost.utilization.push((0, ratio(i.shape.n_elements(), source.n_elements())));
    cost.with_bytes(out * 2.0 + index_bytes as f32)
}

/// Only the updated part is touched.
fn dynamic_update_slice(mut cost: Cost, i: &Instruction, update: &ArrayShape, index: Option<&Shape>) -> Cost {
    let bytes = sizes::array_bytes(update) as f32;
    cost.put(1, 0.0);
    cost.put(RESULT, bytes);
    let n = i.shape.n_elements();
    cost.utilization.push((0, ratio(n.saturating_sub(update.n_elements()), n)));
    cost.with_bytes(bytes * 2.0 + index.map_or(0, sizes::bytes) as f32)
}

fn ratio(part: i64, whole: i64) -> f32 {
    if whole == 0 { 1.0 } else { part as f32 / whole as f32 }
}

fn tuple(i: &Instruction) -> Cost {
    let mut cost = Cost::zero();
    cost.put(RESULT, sizes::bytes(&i.shape) as f32);
    cost.summed()
}

/// How many scans run side by side.
fn n_lanes(i: &Instruction, input: &ArrayShape) -> i64 {
    let dim = i.dimensions().first().and_then(|&dim| input.dims.get(usize::try_from(dim).ok()?));
    input.n_elements() / dim.copied().unwrap_or(1).max(1)
}

fn fft(i: &Instruction, input: &ArrayShape) -> f32 {
    let lengths = i.ints(crate::hlo::field::FFT_LENGTH).iter();
    let logs = lengths.fold(1i64, |n, &length| n.saturating_mul(floor_log2(length)));
    input.n_elements().saturating_mul(logs).saturating_mul(8) as f32
}

/// What it reads comes from outside.
fn infeed(mut cost: Cost, i: &Instruction) -> Cost {
    for n in 0..i.operands.len() {
        cost.put(n as u32 + 1, 0.0);
    }
    cost.summed()
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

/// A dot of groups. The result's dimensions of the same numbers as the group dimensions do not count.
fn ragged_dot(i: &Instruction, lhs: &ArrayShape) -> Result<f32, Unanalysable> {
    let dims = i.dot_dims().ok_or(Unanalysable)?;
    let mut result = i.shape.as_array().ok_or(Unanalysable)?.clone();
    let mut at = 0;
    result.dims.retain(|_| {
        at += 1;
        !dims.rhs_group.contains(&(at - 1))
    });
    dot(lhs, &result, dims)
}

/// All leaves of the first operand are sent.
fn outfeed(sent: Option<&Shape>) -> Cost {
    let mut cost = Cost::zero();
    cost.put(1, sent.map_or(0.0, sizes::leaf_bytes));
    cost.summed()
}

/// Half of the matrix is read.
fn triangular_solve(mut cost: Cost, i: &Instruction, a: &ArrayShape, b: &ArrayShape) -> Cost {
    let last = a.dims.last().copied().unwrap_or(1);
    let flops = last.saturating_mul(b.n_elements()).saturating_mul(2) as f32;
    let bytes = sizes::bytes(&i.shape) as f32 + sizes::array_bytes(a) as f32 / 2.0 + sizes::array_bytes(b) as f32;
    // parity: the original books the size of the right side for both operands.
    cost.put(1, sizes::array_bytes(b) as f32);
    cost.with_flops(flops).with_bytes(bytes)
}

/// Half of the matrix is read, half of it is written.
fn cholesky(i: &Instruction, a: &ArrayShape) -> Cost {
    let last = a.dims.last().copied().unwrap_or(1);
    let flops = (last.saturating_mul(a.n_elements()) / 3) as f32;
    let mut cost = Cost::zero().with_flops(flops);
    cost.put(RESULT, sizes::bytes(&i.shape) as f32 / 2.0);
    cost.put(1, sizes::array_bytes(a) as f32 / 2.0);
    cost.summed()
}

/// Whether a transpose leaves every byte where it is and only renames dimensions.
fn only_relabels(i: &Instruction, input: &ArrayShape) -> bool {
    let Some(output) = i.shape.as_array() else { return false };
    let (Some(from), Some(to)) = (&input.layout, &output.layout) else {
        return false;
    };
    let perm = i.dimensions();
    // Dimension `d` of the output is dimension `perm[d]` of the input; both must come in the same order in memory.
    let renamed = |dim: &i64| usize::try_from(*dim).ok().and_then(|d| perm.get(d)).copied();
    to.minor_to_major.iter().map(renamed).eq(from.minor_to_major.iter().map(|&dim| Some(dim)))
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

    use crate::hlo::Costs;
    use crate::hlo::testing::{Comp, array, binary, f32s, facts, int, ints, message, tuple};

    /// Checks an instruction on these parameters, all figures as the original reports them.
    fn check(parameters: &[Vec<u8>], opcode: &str, result: &[u8], extra: &[Vec<u8>], expect: [Option<i64>; 5]) {
        let operands: Vec<String> = (0..parameters.len()).map(|n| format!("p{n}")).collect();
        let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
        let entry = Comp::new(0, parameters).add("x", opcode, result, &operands, &extra.concat());
        let facts = facts(&[binary(1, "add"), entry], &[]);
        let [model_flops, device_flops, bytes_accessed, hbm_read_bytes, hbm_written_bytes] = expect;
        let expect = Costs { model_flops, device_flops, bytes_accessed, hbm_read_bytes, hbm_written_bytes };
        assert_eq!(facts.find("x").and_then(|x| x.costs()), Some(expect), "{opcode}");
    }

    #[test]
    fn counts_flops_and_bytes() {
        let m = || f32s(&[4, 4]);
        let some = |flops: i64, read: i64, written: i64| {
            [Some(flops), Some(flops), Some(read + written), Some(read), Some(written)]
        };
        check(&[m(), m()], "add", &m(), &[], some(48, 128, 64));
        check(&[m()], "exponential", &m(), &[], some(16 * 86, 64, 64));
        check(&[m()], "bitcast", &m(), &[], [Some(0), Some(0), Some(0), None, None]);
        let dims = || message(30, [ints(1, &[1]), ints(2, &[0])].concat());
        check(&[m(), m()], "dot", &m(), &[dims()], some(128, 128, 64));
        let reduce = [ints(14, &[1]), ints(38, &[1])];
        check(&[m(), f32s(&[])], "reduce", &f32s(&[4]), &reduce, some(36, 80, 16));
        // Narrow types run several operations at once, rounded up.
        check(&[array(2, &[3])], "negate", &array(2, &[3]), &[], [Some(9), Some(5), Some(6), Some(3), Some(3)]);
        // The pointers of a tuple lie nowhere.
        let call = [message(28, "unknown")];
        check(&[m()], "custom-call", &m(), &call, [None; 5]);
        check(
            &[tuple(&[m(), m()])],
            "opt-barrier",
            &tuple(&[m(), m()]),
            &[],
            [Some(0), Some(0), Some(144), None, None],
        );
    }

    #[test]
    fn keeps_the_quirks_of_single_ports() {
        let (v, w) = (f32s(&[3, 5, 5]), f32s(&[3, 5, 7]));
        let options = [message(59, int(1, 1))];
        let costs = [Some(2 * 5 * 105), Some(2 * 5 * 105), Some(420 + 150 + 420), Some(840), Some(420)];
        check(&[v, w.clone()], "triangular-solve", &w, &options, costs);
        let index = || array(4, &[]);
        let slice = [ints(20, &[1, 2])];
        let costs = [Some(0), Some(0), Some(20), Some(16), Some(8)];
        check(&[array(8, &[3, 2]), index(), index()], "dynamic-slice", &array(8, &[1, 2]), &slice, costs);
    }

    #[test]
    fn rounds_logarithms() {
        for (n, ceil, floor) in [(0, 0, 0), (1, 0, 0), (2, 1, 1), (3, 2, 1), (1024, 10, 10), (1025, 11, 10)] {
            assert_eq!((ceil_log2(n), floor_log2(n)), (ceil, floor), "{n}");
        }
    }
}
