//! What the backend settled about an instruction, for people.

use serde_json::Value;

use crate::hlo::{HloModule, Instruction, Opcode, field, text};

use super::label::{escape, escape_tags};

/// The lines about the configuration: properties of GPU library calls, else the configuration itself if it is wanted.
pub(super) fn lines(module: &HloModule, instruction: &Instruction, show_config: bool) -> Vec<String> {
    let config = text::backend_config(module, instruction);
    let properties = library_properties(instruction, &config);
    match properties.len() {
        0 if show_config && !config.is_empty() => {
            vec![format!("backend_config=\"{}\"", escape_tags(&String::from_utf8_lossy(&config)))]
        }
        0 | 1 => properties,
        // parity: an empty line before several.
        _ => std::iter::once(String::new()).chain(properties).collect(),
    }
}

fn library_properties(instruction: &Instruction, config: &[u8]) -> Vec<String> {
    if instruction.opcode != Opcode::CustomCall {
        return Vec::new();
    }
    let target = instruction.text(field::CUSTOM_CALL_TARGET);
    let read: fn(&Value) -> Vec<String> = if target.starts_with("__cudnn$conv") {
        convolution
    } else if target.starts_with("__cublas$lt$matmul") {
        matmul
    } else {
        return Vec::new();
    };
    serde_json::from_slice(config).map_or_else(|_| Vec::new(), |value| read(&value))
}

/// A number that the JSON of protocol buffers may write as a text.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn convolution(config: &Value) -> Vec<String> {
    let Some(config) = config.get("cudnn_conv_backend_config") else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    let of = |key: &str| config.get(key).and_then(number).unwrap_or(0.0);
    let conv_scale = of("conv_result_scale");
    if conv_scale != 1.0 {
        lines.push(format!("conv_result_scale={conv_scale}"));
    }
    let side_scale = of("side_input_scale");
    if side_scale != 0.0 && side_scale != 1.0 {
        lines.push(format!("side_input_scale={side_scale}"));
    }
    let mode = match config.get("activation_mode") {
        Some(Value::String(name)) => name.trim_start_matches('k').to_owned(),
        Some(Value::Number(number)) => activation(number.as_u64().unwrap_or(0)).to_owned(),
        _ => "None".to_owned(),
    };
    let mode = if mode == "ReluX" { "reluX".to_owned() } else { mode.to_ascii_lowercase() };
    if mode == "leakyrelu" {
        lines.push(format!("leakyrelu_alpha={}", of("leakyrelu_alpha")));
    }
    lines.push(format!("activation_mode={}", escape(&mode)));
    if let Some(algorithm) = config.get("algorithm") {
        lines.push(format!("algo={}", escape(&algorithm_text(algorithm))));
    }
    lines
}

fn activation(number: u64) -> &'static str {
    const MODES: [&str; 9] = ["None", "Sigmoid", "Relu", "Relu6", "ReluX", "Tanh", "BandPass", "Elu", "LeakyRelu"];
    usize::try_from(number).ok().and_then(|n| MODES.get(n)).copied().unwrap_or("None")
}

/// `eng28{k2=4,k3=1}`.
fn algorithm_text(algorithm: &Value) -> String {
    let id = algorithm.get("algo_id").and_then(number).unwrap_or(0.0);
    let mut knobs: Vec<(u64, f64)> = algorithm
        .get("tuning_knobs")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.parse().ok()?, number(value)?)))
        .collect();
    knobs.sort_by_key(|knob| knob.0);
    let knobs: Vec<String> = knobs.iter().map(|(key, value)| format!("k{key}={value}")).collect();
    format!("eng{id}{{{}}}", knobs.join(","))
}

fn matmul(config: &Value) -> Vec<String> {
    let Some(config) = config.get("gemm_backend_config") else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    let of = |key: &str| config.get(key).and_then(number).unwrap_or(0.0);
    let (real, imaginary) = (of("alpha_real"), of("alpha_imag"));
    if real != 1.0 || imaginary != 0.0 {
        let imaginary = if imaginary == 0.0 { String::new() } else { format!("+{imaginary}i") };
        lines.push(format!("alpha={real}{imaginary}"));
    }
    let beta = of("beta");
    if beta != 0.0 && beta != 1.0 {
        lines.push(format!("beta={beta}"));
    }
    if let Some(dims) = config.get("dot_dimension_numbers") {
        for (key, field, is_always) in [
            ("lhs_batch_dims", "lhs_batch_dimensions", false),
            ("lhs_contracting_dims", "lhs_contracting_dimensions", true),
            ("rhs_batch_dims", "rhs_batch_dimensions", false),
            ("rhs_contracting_dims", "rhs_contracting_dimensions", true),
        ] {
            let list: Vec<String> = dims
                .get(field)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(number)
                .map(|n| n.to_string())
                .collect();
            if is_always || !list.is_empty() {
                lines.push(format!("{key}={{{}}}", list.join(",")));
            }
        }
    }
    if let Some(algorithm) = config.get("selected_algorithm").and_then(number) {
        lines.push(format!("algorithm={algorithm}"));
    }
    if let Some(epilogue) = config.get("epilogue").and_then(Value::as_str)
        && epilogue != "DEFAULT"
    {
        lines.push(format!("epilogue={}", escape(epilogue)));
    }
    lines
}
