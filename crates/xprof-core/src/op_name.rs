//! Splits the name of a framework op into category, op name and op type.
//!
//! Takes the text that frameworks write into trace events and HLO metadata, such as `jit(f)/add:add` or `model/Relu:Relu`.
//! Gives borrowed parts of that text.
//! Must not allocate: every event of a host trace passes through here once.

/// Which framework or mechanism an op name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpCategory {
    /// Follows none of the known conventions.
    Unknown,
    /// `scopes/name:OpType`.
    TensorFlow,
    /// `jit(f)/primitive:primitive`.
    Jax,
    /// `Iterator::...`, a stage of a tf.data input pipeline.
    TfData,
    /// A copy from host memory to a device.
    MemcpyHToD,
    /// A copy from a device to host memory.
    MemcpyDToH,
    /// A copy between or inside devices.
    MemcpyDToD,
    /// A copy inside host memory.
    MemcpyHToH,
}

/// The parts of an op name; all borrow from the text that was parsed or are constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedOp<'a> {
    /// Which convention the text follows.
    pub category: OpCategory,
    /// The name with its scopes; the whole text when no convention applies.
    pub op_name: &'a str,
    /// The kind of op, such as `MatMul` or `dot_general`; may be empty.
    pub op_type: &'a str,
}

/// The op type that stages of a tf.data pipeline get.
pub const DATASET_OP_TYPE: &str = "Dataset";

/// Prefixes of memory copies, compared without regard to case, with the category and the op type they stand for.
const MEMCPY: [(&str, OpCategory, &str); 4] = [
    ("MEMCPYHToD", OpCategory::MemcpyHToD, "MemcpyHToD"),
    ("MEMCPYDToH", OpCategory::MemcpyDToH, "MemcpyDToH"),
    ("MEMCPYDToD", OpCategory::MemcpyDToD, "MemcpyDToD"),
    ("MEMCPYHToH", OpCategory::MemcpyHToH, "MemcpyHToH"),
];

/// Parses the full name of an op, `name:type` or a bare name.
pub fn parse(full_name: &str) -> ParsedOp<'_> {
    let Some((name, op_type)) = full_name.split_once(':') else {
        return parse_bare(full_name);
    };
    if name == "Iterator" {
        return ParsedOp { category: OpCategory::TfData, op_name: full_name, op_type: DATASET_OP_TYPE };
    }
    if is_tf_op_name(name) && is_tf_op_type(op_type) {
        return ParsedOp { category: OpCategory::TensorFlow, op_name: name, op_type };
    }
    let derived = if op_type.is_empty() { type_from_name(name) } else { op_type };
    if is_jax_op_type(derived) {
        let op_type = derived.split_once('[').map_or(derived, |(head, _)| head);
        return ParsedOp { category: OpCategory::Jax, op_name: name, op_type };
    }
    if op_type.is_empty() {
        return ParsedOp { category: OpCategory::TensorFlow, op_name: name, op_type: derived };
    }
    ParsedOp { category: OpCategory::Unknown, op_name: full_name, op_type: "" }
}

/// A name without a colon is a memory copy or nothing known.
fn parse_bare(full_name: &str) -> ParsedOp<'_> {
    for (prefix, category, op_type) in MEMCPY {
        let head = full_name.as_bytes().get(..prefix.len());
        if head.is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes())) {
            return ParsedOp { category, op_name: full_name, op_type };
        }
    }
    ParsedOp { category: OpCategory::Unknown, op_name: full_name, op_type: "" }
}

/// Whether the whole text is `[A-Za-z0-9.][A-Za-z0-9_.\/>-]*`.
pub fn is_tf_op_name(text: &str) -> bool {
    let Some((first, rest)) = text.as_bytes().split_first() else {
        return false;
    };
    (first.is_ascii_alphanumeric() || *first == b'.')
        && rest.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'\\' | b'/' | b'>' | b'-'))
}

/// Whether the whole text is `[A-Z_][a-zA-Z0-9_]*`.
pub fn is_tf_op_type(text: &str) -> bool {
    let Some((first, rest)) = text.as_bytes().split_first() else {
        return false;
    };
    (first.is_ascii_uppercase() || *first == b'_') && rest.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// Whether the whole text is `[a-z_][a-z0-9_]*(\[.*\])?`, where the dot matches everything but a line feed.
pub fn is_jax_op_type(text: &str) -> bool {
    let (head, parameters) = match text.find('[') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let Some((first, rest)) = head.as_bytes().split_first() else {
        return false;
    };
    let parameters_ok =
        parameters.is_empty() || (parameters.len() >= 2 && parameters.ends_with(']') && !parameters.contains('\n'));
    parameters_ok
        && (first.is_ascii_lowercase() || *first == b'_')
        && rest.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
}

/// The name scopes of an op: all `/`-components of its name but the last.
pub fn name_scopes(op_name: &str) -> impl Iterator<Item = &str> {
    let scopes = op_name.rsplit_once('/').map(|(scopes, _)| scopes);
    scopes.into_iter().flat_map(|scopes| scopes.split('/'))
}

/// The op type that a name implies: its last component without a trailing `_<integer>`.
fn type_from_name(name: &str) -> &str {
    let last = last_component(name);
    match last.rsplit_once('_') {
        Some((head, number)) if is_integer(number) => head,
        _ => last,
    }
}

/// Whether the text is a decimal integer of 64 bits, with an optional sign and blanks around it.
fn is_integer(text: &str) -> bool {
    text.trim_matches(|c: char| c.is_ascii_whitespace()).parse::<i64>().is_ok()
}

/// What follows the last `/`.
fn last_component(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, last)| last)
}

/// Whether an op with this name and type, as HLO metadata gives them, belongs to the backward pass of a training step.
///
/// TensorFlow marks gradients by a scope, JAX by the `transpose(...)` transformation.
pub fn is_gradient(op_name: &str, op_type: &str) -> bool {
    if is_tf_op_type(op_type)
        && is_tf_op_name(op_name)
        && name_scopes(op_name).any(|scope| scope == "gradient_tape" || scope.starts_with("gradients"))
    {
        return true;
    }
    let jax = op_type.is_empty() || (is_jax_op_type(op_type) && last_component(op_name).contains(op_type));
    jax && op_name.split('/').any(|part| part.starts_with("transpose("))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(full_name: &str, category: OpCategory, op_name: &str, op_type: &str) {
        assert_eq!(parse(full_name), ParsedOp { category, op_name, op_type }, "{full_name}");
    }

    #[test]
    fn parses_every_convention() {
        use OpCategory::{Jax, MemcpyDToD, MemcpyDToH, MemcpyHToD, MemcpyHToH, TensorFlow, TfData, Unknown};
        check("", Unknown, "", "");
        check("noColon", Unknown, "noColon", "");
        check("MemcpyHToD_12", MemcpyHToD, "MemcpyHToD_12", "MemcpyHToD");
        check("MEMCPYDToH", MemcpyDToH, "MEMCPYDToH", "MemcpyDToH");
        check("memcpydtod", MemcpyDToD, "memcpydtod", "MemcpyDToD");
        check("MEMCPYHToHost", MemcpyHToH, "MEMCPYHToHost", "MemcpyHToH");
        check("MemcpyHTo", Unknown, "MemcpyHTo", "");
        check("Iterator::Batch::Map", TfData, "Iterator::Batch::Map", "Dataset");
        check("model/dense/MatMul:MatMul", TensorFlow, "model/dense/MatMul", "MatMul");
        check("a:_Send", TensorFlow, "a", "_Send");
        check("jit(f)/jit(main)/dot_general:", Jax, "jit(f)/jit(main)/dot_general", "dot_general");
        check("jit(f)/add_2:", Jax, "jit(f)/add_2", "add");
        check("jit(f)/add_2_x:", Jax, "jit(f)/add_2_x", "add_2_x");
        check("a/transpose:transpose[permutation=(0, 1)]", Jax, "a/transpose", "transpose");
        check("a/x:transpose[a\nb]", Unknown, "a/x:transpose[a\nb]", "");
        check("x/transpose(jvp())/foo:Foo", Unknown, "x/transpose(jvp())/foo:Foo", "");
        check("scope/Relu:", TensorFlow, "scope/Relu", "Relu");
        check("scope/Relu_3:", TensorFlow, "scope/Relu_3", "Relu");
        check(":", TensorFlow, "", "");
        check("_2:", TensorFlow, "_2", "");
        check("a:b:c", Unknown, "a:b:c", "");
    }

    #[test]
    fn recognises_the_backward_pass() {
        for (name, op_type, expect) in [
            ("gradient_tape/model/MatMul", "MatMul", true),
            ("train/gradients_1/x", "Mul", true),
            ("gradients", "Mul", false),
            ("a/gradient_tape_1/x", "Mul", false),
            ("jit(f)/transpose(jvp(f))/dot_general", "", true),
            ("jit(f)/transpose(jvp(f))/dot_general", "dot_general", true),
            ("jit(f)/transpose(jvp(f))/dot_general[a=1]", "dot_general[a=1]", true),
            ("jit(f)/transpose(jvp(f))/dot_general", "add", false),
            ("jit(f)/my_transpose(x)/add", "", false),
            ("", "", false),
        ] {
            assert_eq!(is_gradient(name, op_type), expect, "{name} {op_type}");
        }
    }
}
