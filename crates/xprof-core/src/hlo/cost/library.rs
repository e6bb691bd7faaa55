//! Costs of calls into libraries: matrix products and convolutions are known, everything else is not.

use super::{Cost, Traffic, Unanalysable, basic, sizes, windows};
use crate::hlo::dims::DotDims;
use crate::hlo::field;
use crate::hlo::instruction::Instruction;
use crate::hlo::module::Computation;
use crate::hlo::proto::Ints;
use crate::hlo::shape::Shape;

/// Whether a custom call is a matrix product of the cublasLt library.
pub(super) fn is_cublas_lt(target: &str) -> bool {
    matches!(target, "__cublas$lt$matmul" | "__cublas$lt$matmul$f8")
}

/// Whether a custom call is a convolution of the cuDNN library.
fn is_cudnn_convolution(target: &str) -> bool {
    target.starts_with("__cudnn$conv")
}

pub(super) fn custom_call(computation: &Computation, i: &Instruction) -> Result<Cost, Unanalysable> {
    let target = i.text(field::CUSTOM_CALL_TARGET);
    let operand = |n: usize| computation.operand(i, n).and_then(|o| o.shape.as_array());
    if is_cublas_lt(target) {
        let (Some(lhs), Some(result)) = (operand(0), sizes::first_array(&i.shape)) else { return Err(Unanalysable) };
        let flops = basic::dot(lhs, result, &gemm_dims(i.bytes(field::BACKEND_CONFIG)))?;
        return Ok(real_result_only(computation, i, flops));
    }
    if is_cudnn_convolution(target) {
        let (Some(lhs), Some(result)) = (operand(0), sizes::first_array(&i.shape)) else { return Err(Unanalysable) };
        let flops = windows::convolution(i, lhs, result)?;
        return Ok(real_result_only(computation, i, flops));
    }
    let config = i.bytes(field::BACKEND_CONFIG);
    if let Some((flops, bytes)) = cost_estimate(config) {
        return Ok(Cost { flops, bytes, ..Cost::zero() });
    }
    // The sums of callers take the mark of the unknown, -1, for a number.
    Ok(Cost { flops: -1.0, bytes: -1.0, unknown: true, ..Cost::zero() })
}

/// The usual bytes, but the scratch memory among the results does not count.
fn real_result_only(computation: &Computation, i: &Instruction, flops: f32) -> Cost {
    let usual = Cost::default_for(computation, i);
    let real = match &*i.shape {
        Shape::Tuple(elements) => elements.first().map_or(0, sizes::bytes),
        whole => sizes::bytes(whole),
    };
    Cost::of_traffic(flops, Traffic::Whole(real as f32), usual.operands)
}

/// The dot dimensions in the configuration of a matrix product.
fn gemm_dims(config: &[u8]) -> DotDims {
    let config: serde_json::Value = serde_json::from_slice(config).unwrap_or_default();
    // Newer compilers wrap the configuration of an instruction into one of the backend.
    let gemm = config.get("gemm_backend_config").unwrap_or(&config);
    let numbers = |key: &str| -> Ints {
        let list = gemm.get("dot_dimension_numbers").and_then(|dims| dims.get(key)).and_then(|list| list.as_array());
        // JSON of protobuf messages writes 64-bit integers as strings.
        let number = |v: &serde_json::Value| v.as_i64().or_else(|| v.as_str()?.parse().ok());
        list.into_iter().flatten().filter_map(number).collect()
    };
    DotDims { lhs_contracting: numbers("lhs_contracting_dimensions"), ..DotDims::default() }
}

/// Flops and bytes that a custom call's author wrote into its configuration.
fn cost_estimate(config: &[u8]) -> Option<(f32, f32)> {
    let config = std::str::from_utf8(config).ok()?;
    let estimate = config.split_once("cost_estimate_json")?.1;
    let after = |key: &str| -> Option<f32> {
        let rest = estimate.split_once(key)?.1;
        let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit() && !matches!(c, ',' | '}'));
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits.get(..end)?.parse::<i64>().ok().map(|n| n as f32)
    };
    Some((after("flops")?, after("bytes_accessed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str, expect: Option<(f32, f32)>) {
        assert_eq!(cost_estimate(config.as_bytes()), expect, "{config}");
    }

    #[test]
    fn reads_configurations() {
        check(r#"{"cost_estimate_json":{"flops":12,"bytes_accessed":34}}"#, Some((12.0, 34.0)));
        check(r#"{"x":"{\"cost_estimate_json\":\"{\\\"flops\\\": 12, \\\"bytes_accessed\\\": 34}\"}"}"#, Some((12.0, 34.0)));
        check(r#"{"flops":12}"#, None);
        check("", None);
        let dims = gemm_dims(br#"{"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]}}}"#);
        assert_eq!(dims.lhs_contracting.as_slice(), [1]);
    }
}
