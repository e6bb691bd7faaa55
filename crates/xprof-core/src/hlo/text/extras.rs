//! What any instruction may have besides the attributes of its opcode: sharding, origin, metadata, configuration.

use super::origin::Origin;
use std::borrow::Cow;

use super::strings::json_or_quoted;
use super::writer::Writer;
use super::{Printer, number, shape, sharding};
use crate::hlo::attribute::{Attribute, field};
use crate::hlo::dims::{OriginalElement, OriginalValue, ResultAccuracy};
use crate::hlo::instruction::Instruction;
use crate::hlo::metadata::{Metadata, Payload};
use crate::hlo::module::{Computation, HloModule};
use crate::hlo::opcode::Opcode;
use crate::hlo::shape::Shape;
use crate::hlo::sharding::ShardingKind;

impl Printer<'_> {
    /// Everything behind the called computations. `frontend` is the instruction whose frontend attributes are shown.
    pub(super) fn extras(&mut self, computation: &Computation, instruction: &Instruction) {
        self.common(computation, instruction);
        if let Some(origin) = instruction.original_value() {
            self.out.push(", origin={");
            original_value(&mut self.out, origin);
            self.out.push("}");
        }
        if self.options.metadata
            && let Some(metadata) = instruction.metadata.as_deref()
        {
            self.metadata(metadata);
        }
        if self.options.backend_config {
            self.backend_config(instruction);
        }
    }

    /// What any instruction may have, up to the demanded accuracy.
    pub(super) fn common(&mut self, computation: &Computation, instruction: &Instruction) {
        self.sharding(instruction);
        self.frontend(instruction);
        if self.options.control_predecessors && !instruction.predecessors.is_empty() {
            self.out.push(", control-predecessors={");
            for (n, &at) in instruction.predecessors.iter().enumerate() {
                self.out.push(if n > 0 { ", " } else { "" });
                let name = computation.instructions.get(at as usize).map_or("", |i| &*i.name);
                self.name(name);
            }
            self.out.push("}");
        }
        self.statistics(instruction);
        self.accuracy(instruction);
    }

    /// The sharding. One that is meant for all parts of a tuple is shown for each.
    pub(super) fn sharding(&mut self, instruction: &Instruction) {
        let Some(sharding) = instruction.sharding_field(field::SHARDING) else {
            return;
        };
        self.out.push(", sharding=");
        let origin = Origin { module: self.module, frames: &self.frames };
        let origin = self.options.metadata.then_some(&origin);
        match &*instruction.shape {
            Shape::Tuple(_) if sharding.kind != ShardingKind::Tuple => {
                let parts = instruction.shape.leaves().len().max(1);
                self.out.push("{");
                shape::elements(&mut self.out, 0..parts, |out, _| sharding::sharding(out, sharding, origin));
                self.out.push("}");
            }
            _ => sharding::sharding(&mut self.out, sharding, origin),
        }
    }

    /// Attributes that the framework attached.
    pub(super) fn frontend(&mut self, instruction: &Instruction) {
        let attributes = instruction.frontend_attributes();
        if attributes.is_empty() {
            return;
        }
        self.out.push(", frontend_attributes={");
        self.out.list(",", attributes, |out, (key, value)| {
            out.push(key);
            out.push("=");
            json_or_quoted(out, value.as_bytes());
        });
        self.out.push("}");
    }

    /// Recorded statistics.
    pub(super) fn statistics(&mut self, instruction: &Instruction) {
        let Some(statistics) = instruction.statistics() else {
            return;
        };
        if statistics.values.is_empty() {
            return;
        }
        self.out.format(format_args!(", statistics={{visualizing_index={}", statistics.visualizing_index));
        for (name, value) in &statistics.values {
            self.out.format(format_args!(",{name}="));
            number::general(&mut self.out, *value, 6);
        }
        self.out.push("}");
    }

    /// Demanded accuracy.
    pub(super) fn accuracy(&mut self, instruction: &Instruction) {
        if !has_accuracy(instruction.opcode) {
            return;
        }
        match instruction.result_accuracy() {
            Some(ResultAccuracy::Mode(1)) => self.out.push(", result_accuracy={mode=highest}"),
            Some(&ResultAccuracy::Tolerance(atol, rtol, ulps)) => {
                self.out.push(", result_accuracy={tolerance={atol=");
                number::general(&mut self.out, atol, 6);
                self.out.push(",rtol=");
                number::general(&mut self.out, rtol, 6);
                self.out.format(format_args!(",ulps={ulps}}}}}"));
            }
            _ => {}
        }
    }

    /// Where the instruction comes from.
    fn metadata(&mut self, metadata: &Metadata) {
        let origin = Origin { module: self.module, frames: &self.frames };
        if origin.is_worth_printing(metadata) {
            self.out.push(", metadata={");
            origin.print(&mut self.out, metadata);
            self.out.push("}");
        }
    }

    fn backend_config(&mut self, instruction: &Instruction) {
        let config = backend_config(self.module, instruction);
        if !config.is_empty() {
            self.out.push(", backend_config=");
            json_or_quoted(&mut self.out, &config);
        }
    }
}

/// The configuration that the backend attached, in a payload or in place.
pub(super) fn backend_config<'m>(module: &'m HloModule, instruction: &'m Instruction) -> Cow<'m, [u8]> {
    let in_payload = instruction.attributes.iter().find_map(|a| match a {
        Attribute::ConfigPayload(payload) => Some(*payload),
        _ => None,
    });
    without_empty_queues(match in_payload {
        Some(payload) => payload_bytes(module, payload),
        None => instruction.bytes(field::BACKEND_CONFIG),
    })
}

/// Whether an operation is computed by approximation, so that an accuracy can be demanded of it.
fn has_accuracy(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::Acos
            | Opcode::Acosh
            | Opcode::Asin
            | Opcode::Asinh
            | Opcode::Atanh
            | Opcode::Cbrt
            | Opcode::Cosh
            | Opcode::Cosine
            | Opcode::Erf
            | Opcode::Exponential
            | Opcode::ExponentialMinusOne
            | Opcode::Log
            | Opcode::LogPlusOne
            | Opcode::Logistic
            | Opcode::Rsqrt
            | Opcode::Sine
            | Opcode::Sinh
            | Opcode::Sqrt
            | Opcode::Tan
            | Opcode::Tanh
    )
}

/// The bytes of a payload, in place or in the module's table.
pub(super) fn payload_bytes(module: &HloModule, payload: Payload) -> &[u8] {
    match payload {
        Payload::Inline(span) => module.bytes(span),
        Payload::Id(id) => {
            let span = usize::try_from(id).ok().and_then(|at| module.payloads.get(at));
            span.map(|&span| module.bytes(span)).unwrap_or_default()
        }
    }
}

/// Old GPU compilers wrote `"wait_on_operation_queues":[],` into every configuration; readers drop it.
fn without_empty_queues(config: &[u8]) -> Cow<'_, [u8]> {
    const KEY: &[u8] = b"\"wait_on_operation_queues\"";
    let mut kept = Vec::new();
    let mut done = 0;
    let mut from = 0;
    while let Some(at) = config.get(from..).and_then(|rest| rest.windows(KEY.len()).position(|w| w == KEY)) {
        let start = from + at;
        from = start + KEY.len();
        if let Some(end) = empty_list_end(config, from) {
            kept.extend_from_slice(&config[done..start]);
            done = end;
            from = end;
        }
    }
    if done == 0 {
        return config.into();
    }
    kept.extend_from_slice(&config[done..]);
    kept.into()
}

/// The position behind `: [ ] ,` with any white space between.
fn empty_list_end(config: &[u8], mut at: usize) -> Option<usize> {
    for symbol in *b":[]," {
        while config.get(at)?.is_ascii_whitespace() {
            at += 1;
        }
        if *config.get(at)? != symbol {
            return None;
        }
        at += 1;
    }
    Some(at)
}

fn original_value(out: &mut Writer, origin: &OriginalValue) {
    let mut elements: Vec<&OriginalElement> = origin.elements.iter().filter(|_| !origin.is_synthetic_call).collect();
    elements.sort_by(|a, b| a.index.cmp(&b.index));
    original_node(out, &elements, 0);
    if let Some(note) = &origin.note {
        out.format(format_args!(",[\"{note}\"]"));
    }
}

/// Prints the elements below one index prefix of `depth` numbers, which they all share; they are sorted by index.
/// The depth of the recursion is bounded by the length of an index, and cut at 64.
fn original_node(out: &mut Writer, elements: &[&OriginalElement], depth: usize) {
    if let [leaf] = elements
        && leaf.index.len() <= depth
    {
        if let Some((name, index)) = &leaf.original {
            out.format(format_args!("{{\"{name}\""));
            if !index.is_empty() {
                out.push(" ");
                out.braced(index);
            }
            out.push("}");
        } else {
            out.push("{}");
        }
        return;
    }
    let branch = |element: &OriginalElement| element.index.get(depth).copied().unwrap_or(0);
    let n = elements.last().map_or(0, |last| branch(last).saturating_add(1)).min(MAX_BRANCHES);
    out.push("(");
    if depth < 64 {
        out.list(", ", 0..n, |out, at| {
            let start = elements.partition_point(|element| branch(element) < at);
            let end = elements.partition_point(|element| branch(element) <= at);
            original_node(out, elements.get(start..end).unwrap_or_default(), depth + 1);
        });
    }
    out.push(")");
}

/// No tuple has more elements than this; an index beyond is damage.
const MAX_BRANCHES: i64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str, expect: &str) {
        assert_eq!(without_empty_queues(config.as_bytes()), expect.as_bytes());
    }

    #[test]
    fn drops_empty_queue_lists() {
        check(r#"{"wait_on_operation_queues":[],"a":1}"#, r#"{"a":1}"#);
        check(r#"{"wait_on_operation_queues" : [ ] ,"a":1}"#, r#"{"a":1}"#);
        check(r#"{"wait_on_operation_queues":[1],"a":1}"#, r#"{"wait_on_operation_queues":[1],"a":1}"#);
        check(r#"{"a":1,"wait_on_operation_queues":[]}"#, r#"{"a":1,"wait_on_operation_queues":[]}"#);
        check("", "");
    }

    #[test]
    fn prints_origins() {
        let leaf = |index: &[i64], name: &str, from: &[i64]| OriginalElement {
            index: index.into(),
            original: Some((name.into(), from.into())),
        };
        for (elements, expect) in [
            (vec![leaf(&[], "neg.5", &[])], r#"{"neg.5"}"#),
            (vec![leaf(&[0], "a", &[1, 0]), leaf(&[1], "b", &[])], r#"({"a" {1,0}}, {"b"})"#),
            (vec![OriginalElement::default()], "{}"),
            (vec![], "()"),
            (vec![leaf(&[1], "b", &[])], r#"((), {"b"})"#),
        ] {
            let mut out = Writer::new(100);
            original_value(&mut out, &OriginalValue { elements, ..OriginalValue::default() });
            assert_eq!(out.finish(), expect);
        }
    }
}
