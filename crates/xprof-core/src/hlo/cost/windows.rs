//! Sliding windows: convolutions and window reductions.

use super::Cost;
use super::Unanalysable;
use crate::hlo::dims::{ConvDims, WindowDim};
use crate::hlo::instruction::Instruction;
use crate::hlo::shape::ArrayShape;

/// Loops of the analysis end here; real programs have smaller windows by far.
const MAX_STEPS: i64 = 1 << 22;

/// Multiply-add count of a convolution, times two. How far the kernel reaches is told by its shape: the window of a library's
/// backward pass is that of the forward one.
pub(super) fn convolution(
    instruction: &Instruction,
    lhs: &ArrayShape,
    kernel: &ArrayShape,
    result: &ArrayShape,
) -> Result<f32, Unanalysable> {
    let dims = instruction.conv_dims().ok_or(Unanalysable)?;
    let size = |array: &ArrayShape, dim: i64| {
        usize::try_from(dim).ok().and_then(|dim| array.dims.get(dim)).copied().ok_or(Unanalysable)
    };
    let batch = size(lhs, dims.input_batch)? / instruction.batch_group_count();
    let in_features = size(lhs, dims.input_feature)? / instruction.feature_group_count();
    let out_features = size(result, dims.output_feature)?;
    let pairs = spatial_pairs(instruction.window(), dims, (lhs, kernel), result)?;
    let fma = in_features.saturating_mul(out_features).saturating_mul(batch).saturating_mul(pairs);
    Ok(fma.saturating_mul(2) as f32)
}

/// Product over the spatial dimensions of the number of (kernel, output) pairs that read an input element.
fn spatial_pairs(
    window: &[WindowDim],
    dims: &ConvDims,
    (lhs, kernel): (&ArrayShape, &ArrayShape),
    result: &ArrayShape,
) -> Result<i64, Unanalysable> {
    let mut pairs = 1i64;
    let at = |array: &ArrayShape, dim: Option<&i64>| {
        let dim = dim.and_then(|&dim| usize::try_from(dim).ok()).ok_or(Unanalysable)?;
        array.dims.get(dim).copied().ok_or(Unanalysable)
    };
    for (n, dim) in window.iter().enumerate() {
        let dim = &WindowDim { size: at(kernel, dims.kernel_spatial.get(n))?, ..*dim };
        let input = at(lhs, dims.input_spatial.get(n))?;
        let output = at(result, dims.output_spatial.get(n))?;
        pairs = pairs.saturating_mul(valid_positions(dim, input, output)?);
    }
    Ok(pairs)
}

/// In one dimension: how often a kernel element at an output position meets an element of the input,
/// and neither padding nor a hole of a dilated input.
fn valid_positions(dim: &WindowDim, input: i64, output: i64) -> Result<i64, Unanalysable> {
    let base = dim.base_dilation.max(1);
    if dim.size.max(0).saturating_mul(base) > MAX_STEPS || output > MAX_STEPS * 1024 {
        return Err(Unanalysable);
    }
    let mut valid = 0i64;
    // The input after dilation: elements with `base - 1` holes between them.
    let extent = (input - 1).checked_mul(base).and_then(|e| e.checked_add(1)).ok_or(Unanalysable)?;
    for k in 0..dim.size {
        let offset = k.checked_mul(dim.window_dilation).and_then(|o| o.checked_sub(dim.padding_low));
        let offset = offset.ok_or(Unanalysable)?;
        valid += positions_in(offset, dim.stride, output, extent, base)?;
    }
    Ok(valid)
}

/// How many `j` in `0..output` have `offset + j * stride` in `0..extent` and divisible by `base`.
fn positions_in(offset: i64, stride: i64, output: i64, extent: i64, base: i64) -> Result<i64, Unanalysable> {
    if stride < 1 {
        return Err(Unanalysable);
    }
    let first = if offset < 0 { offset.unsigned_abs().div_ceil(stride.unsigned_abs()).cast_signed() } else { 0 };
    let last = ((extent - 1).checked_sub(offset).ok_or(Unanalysable)?).div_euclid(stride).min(output - 1);
    if last < first {
        return Ok(0);
    }
    if base == 1 {
        return Ok(last - first + 1);
    }
    // Divisible positions repeat with a period that divides `base`: find the first, then count in steps.
    let is_element = |j: i64| (i128::from(offset) + i128::from(j) * i128::from(stride)) % i128::from(base) == 0;
    let candidates = first..=last.min(first.saturating_add(base - 1));
    let Some(hit) = candidates.clone().find(|&j| is_element(j)) else {
        return Ok(0);
    };
    let period = candidates.skip_while(|&j| j <= hit).find(|&j| is_element(j)).map_or(base, |next| next - hit);
    Ok((last - hit) / period + 1)
}

/// Number of elements in a window.
fn window_elements(window: &[WindowDim]) -> i64 {
    window.iter().fold(1i64, |n, dim| n.saturating_mul(dim.size))
}

/// Flops of a window reduction whose function costs `function` per application.
pub(super) fn reduce_window(
    instruction: &Instruction,
    function: &Cost,
    input: &ArrayShape,
    result: &ArrayShape,
) -> f32 {
    let n = result.n_elements();
    let window = instruction.window();
    let mut wide = window.iter().enumerate().filter(|(_, dim)| dim.size != 1);
    if let (Some((at, dim)), None) = (wide.next(), wide.next())
        && let Some(&size) = input.dims.get(at)
        && is_reduce_broadcast(dim, size)
        && result.dims.get(at) == Some(&size)
        && size > 0
    {
        return function.flops * (n / size + size - 1) as f32;
    }
    function.flops * window_elements(window).saturating_sub(1).saturating_mul(n) as f32
}

/// Whether a window covers a whole dimension at every position: it reduces and repeats the result.
fn is_reduce_broadcast(dim: &WindowDim, size: i64) -> bool {
    dim.size == size.saturating_mul(2) - 1
        && dim.padding_low == size - 1
        && dim.padding_high == size - 1
        && dim.stride == 1
        && dim.base_dilation == 1
        && dim.window_dilation == 1
}

/// Flops of a select-and-scatter.
pub(super) fn select_and_scatter(instruction: &Instruction, select: &Cost, scatter: &Cost, source: &ArrayShape) -> f32 {
    let n = source.n_elements();
    let selects = n.saturating_mul(window_elements(instruction.window()).saturating_sub(1));
    select.flops * selects as f32 + scatter.flops * n as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(size: i64, stride: i64, pad: (i64, i64), dilation: (i64, i64), input: i64, output: i64) {
        let dim = WindowDim {
            size,
            stride,
            padding_low: pad.0,
            padding_high: pad.1,
            base_dilation: dilation.0,
            window_dilation: dilation.1,
            reversed: false,
        };
        let mut expect = 0;
        for k in 0..size {
            for o in 0..output {
                let place = o * stride + k * dilation.1 - pad.0;
                if place >= 0 && place % dilation.0 == 0 && place / dilation.0 < input {
                    expect += 1;
                }
            }
        }
        assert_eq!(valid_positions(&dim, input, output), Ok(expect), "{dim:?} {input} {output}");
    }

    #[test]
    fn counts_pairs_like_the_plain_loops() {
        check(3, 1, (1, 1), (1, 1), 8, 8);
        check(3, 2, (0, 0), (1, 1), 9, 4);
        check(2, 1, (1, 1), (3, 2), 4, 9);
        check(5, 2, (4, 3), (4, 3), 6, 11);
        check(3, 3, (-1, 0), (6, 1), 7, 12);
        check(1, 1, (0, 0), (1, 1), 0, 4);
        let huge =
            WindowDim { size: i64::MAX, stride: 1, base_dilation: 1, window_dilation: 1, ..WindowDim::default() };
        assert_eq!(valid_positions(&huge, 8, 8), Err(Unanalysable));
    }
}
