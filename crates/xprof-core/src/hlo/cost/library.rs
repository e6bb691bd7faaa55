//! Costs of calls into libraries: matrix products and convolutions are known, everything else is not.

use super::{Cost, Path, RESULT, UNKNOWN, Unanalysable, basic, sizes, windows};
use crate::hlo::dims::DotDims;
use crate::hlo::field;
use crate::hlo::instruction::Instruction;
use crate::hlo::module::Computation;
use crate::hlo::shape::Shape;

/// Whether a custom call is a matrix product of the cublasLt library.
pub(super) fn is_cublas_lt(target: &str) -> bool {
    matches!(
        target,
        "__cublas$lt$matmul" | "__cublas$lt$matmul$f8" | "__cublas$lt$matmul$mx" | "__cublas$lt$groupedMatmul"
    )
}

/// Whether a custom call is a convolution of the cuDNN library.
fn is_cudnn_convolution(target: &str) -> bool {
    matches!(
        target,
        "__cudnn$convForward"
            | "__cudnn$convForwardGraph"
            | "__cudnn$convBackwardInput"
            | "__cudnn$convBackwardFilter"
            | "__cudnn$convBiasActivationForward"
    )
}

pub(super) fn custom_call(computation: &Computation, i: &Instruction) -> Result<Cost, Unanalysable> {
    let target = i.text(field::CUSTOM_CALL_TARGET);
    let operand = |n: usize| computation.operand(i, n).and_then(|o| o.shape.as_array()).ok_or(Unanalysable);
    let config = i.bytes(field::BACKEND_CONFIG);
    if is_cublas_lt(target) {
        let result = sizes::first_array(&i.shape).ok_or(Unanalysable)?;
        // parity: a dimension that the operand does not have counts as empty.
        let flops = basic::dot(operand(0)?, result, &gemm_dims(config)?).unwrap_or(0.0);
        return Ok(real_result_only(computation, i, flops));
    }
    if is_cudnn_convolution(target) {
        let result = sizes::first_array(&i.shape).ok_or(Unanalysable)?;
        let flops = windows::convolution(i, operand(0)?, operand(1)?, result)?;
        return Ok(real_result_only(computation, i, flops));
    }
    let mut cost = Cost::zero();
    for port in 0..=i.operands.len() as u32 {
        cost.push(port, Path::new(), UNKNOWN);
    }
    let [flops, bytes] = cost_estimate(config);
    Ok(cost.with_flops(flops.unwrap_or(UNKNOWN)).with_bytes(bytes.unwrap_or(UNKNOWN)))
}

/// The usual bytes, but the scratch memory among the results does not count.
fn real_result_only(computation: &Computation, i: &Instruction, flops: f32) -> Cost {
    let mut cost = Cost::default_for(computation, i);
    let real = match &*i.shape {
        Shape::Tuple(elements) => elements.first().map_or(0, sizes::bytes),
        whole => sizes::bytes(whole),
    };
    cost.put(RESULT, real as f32);
    cost.summed().with_flops(flops)
}

/// The dot dimensions in the configuration of a matrix product; without a configuration there are none.
fn gemm_dims(config: &[u8]) -> Result<DotDims, Unanalysable> {
    if config.is_empty() {
        return Ok(DotDims::default());
    }
    let config: serde_json::Value = serde_json::from_slice(config).map_err(|_| Unanalysable)?;
    // The configuration of the product alone, as older compilers wrote it, is not understood.
    if !config.is_object() || config.get("dot_dimension_numbers").is_some() {
        return Err(Unanalysable);
    }
    // Protobuf knows each field under two spellings.
    let either = |value: &serde_json::Value, snake: &str, camel: &str| {
        value.get(snake).or_else(|| value.get(camel)).cloned().unwrap_or_default()
    };
    let gemm = either(&config, "gemm_backend_config", "gemmBackendConfig");
    let dims = either(&gemm, "dot_dimension_numbers", "dotDimensionNumbers");
    let list = either(&dims, "lhs_contracting_dimensions", "lhsContractingDimensions");
    // JSON of protobuf messages writes 64-bit integers as strings.
    let number = |v: &serde_json::Value| v.as_i64().or_else(|| v.as_str()?.parse().ok());
    let lhs_contracting = list.as_array().into_iter().flatten().filter_map(number).collect();
    Ok(DotDims { lhs_contracting, ..DotDims::default() })
}

/// Flops and bytes that a custom call's author wrote into its configuration, however it is quoted.
fn cost_estimate(config: &[u8]) -> [Option<f32>; 2] {
    let config = std::str::from_utf8(config).unwrap_or_default();
    if !config.contains("cost_estimate_json") {
        return [None; 2];
    }
    ["flops", "bytes_accessed"].map(|key| {
        config.match_indices(key).find_map(|(at, _)| {
            let rest = config.get(at + key.len()..)?;
            let rest = unquoted(rest).trim_start().strip_prefix([':', '='])?;
            let rest = unquoted(rest.trim_start());
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest.get(..end)?.parse::<i64>().ok().map(|n| n as f32)
        })
    })
}

/// What follows a double quote with or without a backslash, if there is one.
fn unquoted(text: &str) -> &str {
    let rest = text.strip_prefix('\\').unwrap_or(text);
    rest.strip_prefix('"').unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlo::testing::{Comp, array, facts, int, ints, message, tuple};

    fn check(config: &str, expect: [Option<f32>; 2]) {
        assert_eq!(cost_estimate(config.as_bytes()), expect, "{config}");
    }

    #[test]
    fn reads_configurations() {
        let both = [Some(12.0), Some(34.0)];
        check(r#"{"cost_estimate_json":{"flops":12,"bytes_accessed":34}}"#, both);
        check(r#"{"cost_estimate_json":"{\"flops\": 12, \"bytes_accessed\": 34}"}"#, both);
        check(r#"{"flops":12,"bytes_accessed":34,"cost_estimate_json":1}"#, both);
        check(r#"{"cost_estimate_json":{"flops":12.5}}"#, [Some(12.0), None]);
        check(r#"cost_estimate_json flops:"12" "bytes_accessed"= 34"#, both);
        check(r#"cost_estimate_json 'flops':12 "bytes_accessed":+34"#, [None, None]);
        check(r#"{"flops":12}"#, [None, None]);
        check("", [None, None]);
        let config = br#"{"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]}}}"#;
        assert_eq!(gemm_dims(config).map(|dims| dims.lhs_contracting.to_vec()), Ok(vec![1]));
        assert_eq!(gemm_dims(b""), Ok(DotDims::default()));
        assert_eq!(gemm_dims(b"{"), Err(Unanalysable));
    }

    #[test]
    fn the_kernel_of_a_backward_pass_is_its_second_operand() {
        let (image, gradient) = (array(16, &[64, 65, 65, 3]), array(16, &[64, 32, 32, 32]));
        let window = message(1, [int(1, 3), int(2, 2), int(5, 1), int(6, 1)].concat());
        let dims = [
            [int(7, 0), ints(11, &[1, 2]), int(8, 3)].concat(),
            [int(4, 0), ints(6, &[1, 2]), int(3, 3)].concat(),
            [int(9, 0), ints(12, &[1, 2]), int(10, 3)].concat(),
        ];
        let target = message(28, "__cudnn$convBackwardFilter");
        let extra = [target, message(15, window.repeat(2)), message(16, dims.concat())].concat();
        let result = tuple(&[array(16, &[32, 3, 3, 3]), array(6, &[1024])]);
        let entry = Comp::new(0, &[image, gradient]).add("x", "custom-call", &result, &["p0", "p1"], &extra);
        let costs = facts(&[entry], &[]).find("x").and_then(|x| x.costs()).expect("costs");
        // 3 features in, 3 out, a batch of 64; 3 positions of a kernel of 32 in either dimension.
        assert_eq!(costs.model_flops, Some(2 * 3 * 3 * 64 * (3 * 32) * (3 * 32)));
    }
}
