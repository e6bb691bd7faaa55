//! What any instruction may have besides the attributes of its opcode: sharding, origin, metadata, configuration.

use super::strings::json_or_quoted;
use super::writer::Writer;
use super::{Printer, number, shape, sharding};
use crate::hlo::attribute::{Attribute, field};
use crate::hlo::dims::{OriginalElement, OriginalValue, ResultAccuracy};
use crate::hlo::instruction::Instruction;
use crate::hlo::metadata::{Metadata, Payload};
use crate::hlo::module::Computation;
use crate::hlo::opcode::Opcode;
use crate::hlo::shape::Shape;
use crate::hlo::sharding::ShardingKind;

impl Printer<'_> {
    /// Everything behind the called computations. `frontend` is the instruction whose frontend attributes are shown.
    pub(super) fn extras(&mut self, computation: &Computation, instruction: &Instruction) {
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

    /// The sharding. One that is meant for all parts of a tuple is shown for each.
    pub(super) fn sharding(&mut self, instruction: &Instruction) {
        let Some(sharding) = instruction.sharding_field(field::SHARDING) else {
            return;
        };
        self.out.push(", sharding=");
        match &*instruction.shape {
            Shape::Tuple(_) if sharding.kind != ShardingKind::Tuple => {
                let parts = instruction.shape.leaves().len().max(1);
                self.out.push("{");
                shape::elements(&mut self.out, 0..parts, |out, _| sharding::sharding(out, sharding));
                self.out.push("}");
            }
            _ => sharding::sharding(&mut self.out, sharding),
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
    /// The number of the stack frame is that of the proto; whoever prints whole modules renumbers frames first.
    fn metadata(&mut self, metadata: &Metadata) {
        let texts = [metadata.op_type, metadata.op_name, metadata.source_file, metadata.scheduling_name];
        if texts.iter().all(|text| text.is_empty()) && metadata.stack_frame_id == 0 && metadata.payload.is_none() {
            return;
        }
        self.out.push(", metadata={");
        let mut items = Items { first: true };
        for (key, text) in [("op_type", texts[0]), ("op_name", texts[1]), ("source_file", texts[2])] {
            if !text.is_empty() {
                items.key(&mut self.out, key);
                self.quoted(text);
            }
        }
        for (key, number) in [
            ("source_line", metadata.source_line),
            ("source_end_line", metadata.source_end_line),
            ("source_column", metadata.source_column),
            ("source_end_column", metadata.source_end_column),
        ] {
            if number != 0 {
                items.key(&mut self.out, key);
                self.out.int(i64::from(number));
            }
        }
        if !metadata.profile_types.is_empty() {
            items.key(&mut self.out, "profile_type");
            self.out.braced(&metadata.profile_types);
        }
        if !metadata.deduplicated_name.is_empty() {
            items.key(&mut self.out, "deduplicated_name");
            self.quoted(metadata.deduplicated_name);
        }
        if !metadata.scheduling_name.is_empty() {
            items.key(&mut self.out, "scheduling_name");
            let name = self.module.text(metadata.scheduling_name);
            self.out.format(format_args!("\"{name}\""));
        }
        if metadata.stack_frame_id != 0 {
            items.key(&mut self.out, "stack_frame_id");
            self.out.int(i64::from(metadata.stack_frame_id));
        }
        if let Some(payload) = metadata.payload {
            items.key(&mut self.out, "metadata_payload");
            let bytes = self.payload(payload);
            self.out.quoted(bytes);
        }
        self.out.push("}");
    }

    fn backend_config(&mut self, instruction: &Instruction) {
        let in_payload = instruction.attributes.iter().find_map(|a| match a {
            Attribute::ConfigPayload(payload) => Some(*payload),
            _ => None,
        });
        let config = match in_payload {
            Some(payload) => without_empty_queues(self.payload(payload)),
            None => without_empty_queues(instruction.bytes(field::BACKEND_CONFIG)),
        };
        if !config.is_empty() {
            self.out.push(", backend_config=");
            json_or_quoted(&mut self.out, &config);
        }
    }
}

impl<'m> Printer<'m> {
    /// The bytes of a payload, in place or in the module's table.
    fn payload(&self, payload: Payload) -> &'m [u8] {
        match payload {
            Payload::Inline(span) => self.module.bytes(span),
            Payload::Id(id) => {
                let span = usize::try_from(id).ok().and_then(|at| self.module.payloads.get(at));
                span.map(|&span| self.module.bytes(span)).unwrap_or_default()
            }
        }
    }
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

/// Puts a space between items.
struct Items {
    first: bool,
}

impl Items {
    fn key(&mut self, out: &mut Writer, key: &str) {
        if !std::mem::replace(&mut self.first, false) {
            out.push(" ");
        }
        out.push(key);
        out.push("=");
    }
}

/// Old GPU compilers wrote `"wait_on_operation_queues":[],` into every configuration; readers drop it.
fn without_empty_queues(config: &[u8]) -> std::borrow::Cow<'_, [u8]> {
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
