//! What any instruction may have besides the attributes of its opcode: sharding, origin, metadata, configuration.

use super::strings::json_or_quoted;
use super::writer::Writer;
use super::{Printer, number, sharding};
use crate::hlo::attribute::{Attribute, field};
use crate::hlo::dims::{OriginalElement, OriginalValue, ResultAccuracy};
use crate::hlo::instruction::Instruction;
use crate::hlo::metadata::{Metadata, Payload};
use crate::hlo::module::Computation;

impl Printer<'_> {
    /// Everything behind the called computations. `frontend` is the instruction whose frontend attributes are shown.
    pub(super) fn extras(&mut self, computation: &Computation, instruction: &Instruction) {
        if let Some(sharding) = instruction.sharding_field(field::SHARDING) {
            self.out.push(", sharding=");
            sharding::sharding(&mut self.out, sharding);
        }
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

    fn statistics(&mut self, instruction: &Instruction) {
        let Some(statistics) = instruction.statistics() else { return };
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

    fn accuracy(&mut self, instruction: &Instruction) {
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
    if origin.is_synthetic_call {
        return out.push("[synthetic_call]");
    }
    original_node(out, &origin.elements, 0);
}

/// Prints the elements below one index prefix of `depth` numbers, which they all share.
/// The depth of the recursion is bounded by the length of an index, and cut at 64.
fn original_node(out: &mut Writer, elements: &[OriginalElement], depth: usize) {
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
    out.push("(");
    if depth < 64 {
        let same_branch = |a: &OriginalElement, b: &OriginalElement| a.index.get(depth) == b.index.get(depth);
        out.list(", ", elements.chunk_by(same_branch), |out, part| original_node(out, part, depth + 1));
    }
    out.push(")");
}

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
        ] {
            let mut out = Writer::new(100);
            original_value(&mut out, &OriginalValue { elements, is_synthetic_call: false });
            assert_eq!(out.finish(), expect);
        }
    }
}
