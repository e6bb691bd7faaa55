//! The lines inside a node and the text behind it.

use super::filter::Filter;
use super::program::Program;
use super::{backend, inline};
use crate::hlo::{Instruction, InstructionRef, Opcode, Shape, field, text};

/// Lists of this many characters and no more are shown in full.
const MAX_LIST_CHARS: usize = 128;
/// Shapes of this many characters and no more are shown in full.
const MAX_SHAPE_CHARS: usize = 64;
/// So many operands are written into a node.
const MAX_INLINED: usize = 32;
/// Attributes of one node end here.
const MAX_ATTRIBUTE_BYTES: usize = 1 << 16;
/// A chain of instructions that only pass a value on is followed so far.
const MAX_CHAIN: usize = 1000;

/// Replaces what would be markup.
pub(super) fn escape(text: &str) -> String {
    replace(text, "<>\"")
}

/// Replaces what would be markup in a text that is not between quotes.
pub(super) fn escape_tags(text: &str) -> String {
    replace(text, "<>")
}

/// Replaces `&`, those of `<`, `>` and `"` that are named, and control characters.
fn replace(text: &str, marks: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' if marks.contains(c) => out.push_str("&lt;"),
            '>' if marks.contains(c) => out.push_str("&gt;"),
            '"' if marks.contains(c) => out.push_str("&quot;"),
            c if c.is_control() && c != '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// The first `keep` characters and three dots if the text has more than `max`.
fn cut(text: &str, max: usize, keep: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(keep)])
}

/// All lines of a node.
pub(super) fn lines(program: &Program<'_>, filter: &Filter, at: InstructionRef, show_config: bool) -> Vec<String> {
    let mut lines = head(program.get(at));
    lines.extend(trivial_callees(program, at));
    lines.extend(extra_info(program, at, true));
    lines.extend(inlined_operands(program, filter, at));
    lines.extend(backend::lines(program.module, program.get(at), show_config));
    lines
}

/// What an instruction is called.
fn head(instruction: &Instruction) -> Vec<String> {
    if instruction.opcode == Opcode::Parameter {
        return vec![format!("<b>Parameter {}</b>", instruction.int(field::PARAMETER_NUMBER))];
    }
    let mut lines = vec![format!("<b>{}</b>", escape(&instruction.name))];
    let opcode = instruction.opcode.name();
    if instruction.opcode == Opcode::Fusion {
        if !instruction.name.starts_with(opcode) {
            lines.push(format!("{opcode}:{}", instruction.fusion_kind()));
        }
    } else if !instruction.name.starts_with(opcode) {
        lines.push(opcode.to_owned());
    }
    lines
}

/// The called computations that are so simple that a word says it all.
fn trivial_callees(program: &Program<'_>, at: InstructionRef) -> Vec<String> {
    let instruction = program.get(at);
    if instruction.opcode == Opcode::Fusion {
        return Vec::new();
    }
    let is_single = instruction.called.len() == 1;
    let word = |(n, &callee): (usize, &u32)| {
        let word = inline::trivial_word(program.computation(callee))?;
        let number = if is_single { String::new() } else { format!(" {n}") };
        Some(format!("Subcomputation{number}: <b>{word}</b>"))
    };
    instruction.called.iter().enumerate().filter_map(word).collect()
}

/// Where a parameter comes from, the attributes, the shape.
pub(super) fn extra_info(program: &Program<'_>, at: InstructionRef, with_shape: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(from) = producer(program, at) {
        let place = if from.computation == program.module.entry {
            "the ENTRY computation".to_owned()
        } else {
            escape(&program.computation(from.computation).name)
        };
        lines.push(format!("<i>from {} in {place}</i>", escape(&program.get(from).name)));
    }
    for attribute in text::attribute_list(program.module, at, MAX_ATTRIBUTE_BYTES) {
        let is_list = ["replica_groups=", "source_target_pairs=", "control-predecessors="];
        let is_list = is_list.iter().any(|key| attribute.starts_with(key));
        let shown = if is_list { cut(&attribute, MAX_LIST_CHARS, MAX_LIST_CHARS - 3) } else { attribute };
        let line = escape(&shown);
        lines.push(if line.starts_with("feature_group_count=") { format!("<b>{line}</b>") } else { line });
    }
    if with_shape {
        lines.push(escape(&shape_line(program.get(at))));
    }
    lines
}

/// The shape, with layout where the layout says something.
fn shape_line(instruction: &Instruction) -> String {
    let is_matrix = |leaf: &&Shape| leaf.as_array().is_some_and(|array| array.dims.len() > 1);
    let with_layout = instruction.opcode != Opcode::Tuple && instruction.shape.leaves().iter().any(is_matrix);
    let shape = text::shape_text(&instruction.shape, with_layout, 2 * MAX_SHAPE_CHARS);
    cut(&shape, MAX_SHAPE_CHARS, MAX_SHAPE_CHARS - 3)
}

/// For a parameter of a computation that one `call` calls: the instruction whose value it is.
fn producer(program: &Program<'_>, at: InstructionRef) -> Option<InstructionRef> {
    let mut at = called_argument(program, at)?;
    for _ in 0..MAX_CHAIN {
        let next = match program.get(at).opcode {
            Opcode::Bitcast | Opcode::Copy => program.operand(at, 0),
            Opcode::GetTupleElement => {
                let tuple = program.operand(at, 0)?;
                let index = usize::try_from(program.get(at).int(field::TUPLE_INDEX)).ok();
                index.filter(|_| program.get(tuple).opcode == Opcode::Tuple).and_then(|n| program.operand(tuple, n))
            }
            Opcode::Call => program.get(at).called.first().map(|&callee| program.root(callee)),
            Opcode::Parameter => called_argument(program, at),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    Some(at)
}

/// What the only caller of a parameter's computation, a `call`, gives for it.
fn called_argument(program: &Program<'_>, parameter: InstructionRef) -> Option<InstructionRef> {
    let instruction = program.get(parameter);
    if instruction.opcode != Opcode::Parameter {
        return None;
    }
    let &[caller] = program.callers(parameter.computation) else {
        return None;
    };
    if program.get(caller).opcode != Opcode::Call {
        return None;
    }
    program.operand(caller, usize::try_from(instruction.int(field::PARAMETER_NUMBER)).ok()?)
}

/// Operands that have no node.
fn inlined_operands(program: &Program<'_>, filter: &Filter, at: InstructionRef) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(given) = program.fused_operand(at)
        && program.get(given).opcode == Opcode::GetTupleElement
    {
        lines.push(escape(&inline::tuple_element_text(program, given)));
    }
    let n_operands = program.operands(at).len();
    for (n, operand) in program.operands(at).enumerate() {
        let Some(text) = inline::operand_text(program, filter, operand) else {
            continue;
        };
        if lines.len() >= MAX_INLINED {
            lines.push("...".into());
            break;
        }
        let number = if n_operands > 1 { format!(" {n}") } else { String::new() };
        lines.push(format!("<b>operand{number}</b> = {}", escape(&text)));
    }
    lines
}

/// What is shown of a node that is pointed at: where it comes from, with the call stack, innermost first.
/// `parity:` in places of the source, such as `<module>`, angle brackets stay as they are.
pub(super) fn tooltip(program: &Program<'_>, at: InstructionRef) -> String {
    let module = program.module;
    let metadata = module.metadata(program.get(at));
    let mut lines = Vec::new();
    if !metadata.op_name.is_empty() {
        lines.push(escape(&module.text(metadata.op_name)));
    }
    if !metadata.op_type.is_empty() {
        lines.push(format!("op_type: {}", escape(&module.text(metadata.op_type))));
    }
    if !metadata.source_file.is_empty() && metadata.source_line != 0 {
        lines.push(format!("source: {}:{}", replace(&module.text(metadata.source_file), "\""), metadata.source_line));
    }
    for line in module.frames.stack(i64::from(metadata.stack_frame_id)) {
        let column = if line.column == 0 { String::new() } else { format!(":{}", line.column) };
        let place = format!("{}:{}:{}{column}", module.text(line.file), module.text(line.function), line.line);
        lines.push(replace(&place, "\""));
    }
    // In DOT a backslash begins an escape.
    lines.join("\n").replace('\\', "\\\\")
}
