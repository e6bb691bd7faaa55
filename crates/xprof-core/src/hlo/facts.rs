//! What op statistics want to know of a module.
//!
//! Takes the bytes of an `xla.HloProto`, gives facts about instructions by name; texts and costs are made when asked for.
//! Must not know of events or planes.

use std::fmt::Write;
use std::sync::OnceLock;

use bytes::Bytes;

use super::category::category;
use super::cost::{Costs, ModuleCosts};
use super::frames::StackLine;
use super::instruction::Instruction;
use super::module::{HloModule, InstructionRef};
use super::opcode::Opcode;
use super::{HloError, text};

/// Fused instructions are listed down to this depth of fusions in fusions.
const MAX_FUSION_DEPTH: u32 = 32;
/// So many fused instructions are listed at most; a hostile module could make them grow exponentially.
const MAX_FUSED: usize = 1 << 16;

/// A module and what follows from it for op statistics.
#[derive(Debug)]
pub struct HloModuleFacts {
    module: HloModule,
    want_costs: bool,
    costs: OnceLock<Option<ModuleCosts>>,
}

/// Where an instruction was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceInfo {
    /// Source file, empty if unknown.
    pub file: String,
    /// Line in it, 0 if unknown.
    pub line: i32,
    /// The call stack, innermost first, as lines `file:line:column`.
    pub stack: String,
}

/// An instruction inside a fusion, with those inside it if it is a fusion itself.
#[derive(Debug, Clone)]
pub struct FusedChild<'m> {
    /// The instruction.
    pub facts: InstructionFacts<'m>,
    /// The instructions inside it.
    pub children: Vec<FusedChild<'m>>,
}

impl HloModuleFacts {
    /// Reads an `xla.HloProto`. Costs are computed at the first question for one, and only if they are wanted.
    pub fn from_proto(bytes: &Bytes, want_costs: bool) -> Result<Self, HloError> {
        let module = HloModule::from_hlo_proto(bytes)?;
        Ok(Self { module, want_costs, costs: OnceLock::new() })
    }

    /// The module.
    pub fn module(&self) -> &HloModule {
        &self.module
    }

    /// The instruction of exactly that name.
    pub fn find(&self, name: &str) -> Option<InstructionFacts<'_>> {
        let at = self.module.find(name)?;
        Some(InstructionFacts { owner: self, at, instruction: self.module.instruction(at)? })
    }

    /// Costs of all instructions, if they are wanted and the module lets itself be analysed.
    fn costs(&self) -> Option<&ModuleCosts> {
        let compute = || self.want_costs.then(|| ModuleCosts::of(&self.module).ok()).flatten();
        self.costs.get_or_init(compute).as_ref()
    }
}

/// The facts about one instruction.
#[derive(Debug, Clone, Copy)]
pub struct InstructionFacts<'m> {
    owner: &'m HloModuleFacts,
    at: InstructionRef,
    instruction: &'m Instruction,
}

impl<'m> InstructionFacts<'m> {
    /// The instruction itself.
    pub fn instruction(&self) -> &'m Instruction {
        self.instruction
    }

    /// Where it is in its module.
    pub fn position(&self) -> InstructionRef {
        self.at
    }

    /// Its name.
    pub fn name(&self) -> &'m str {
        &self.instruction.name
    }

    /// Its category, such as `loop fusion`.
    pub fn category(&self) -> &'static str {
        category(self.instruction)
    }

    /// Its one-line text of at most [`text::MAX_EXPRESSION_BYTES`]; made anew at each call.
    pub fn expression(&self) -> String {
        text::expression(&self.owner.module, self.at)
    }

    /// The name of the representative of equal instructions, empty if it has none.
    pub fn deduplicated_name(&self) -> &'m str {
        let module = &self.owner.module;
        module.text(module.metadata(self.instruction).deduplicated_name)
    }

    /// Name of the framework op, with scopes.
    pub fn op_name(&self) -> &'m str {
        let module = &self.owner.module;
        module.text(module.metadata(self.instruction).op_name)
    }

    /// Type of the framework op.
    pub fn op_type(&self) -> &'m str {
        let module = &self.owner.module;
        module.text(module.metadata(self.instruction).op_type)
    }

    /// `name:type` of the framework op, `:` if it has neither.
    pub fn full_op_name(&self) -> String {
        let (name, op_type) = (self.op_name(), self.op_type());
        let mut full = String::with_capacity(name.len() + 1 + op_type.len());
        full.push_str(name);
        full.push(':');
        full.push_str(op_type);
        full
    }

    /// `name:type` of the framework op, empty if it has neither.
    pub fn tf_op_name(&self) -> String {
        let full = self.full_op_name();
        if full == ":" { String::new() } else { full }
    }

    /// Where it was written: as its metadata says, else as the innermost line of its call stack says.
    pub fn source(&self) -> SourceInfo {
        let module = &self.owner.module;
        let metadata = module.metadata(self.instruction);
        let lines = module.frames.stack(i64::from(metadata.stack_frame_id));
        let first = lines.first();
        let (file, line) = match first {
            Some(first) if metadata.source_file.is_empty() => (first.file, first.line as i32),
            _ => (metadata.source_file, metadata.source_line),
        };
        SourceInfo { file: module.text(file).to_owned(), line, stack: stack_text(module, &lines) }
    }

    /// What one execution costs, `None` if costs are not wanted or not known.
    pub fn costs(&self) -> Option<Costs> {
        self.owner.costs()?.of_instruction(self.at)
    }

    /// The instructions inside it if it is a fusion, with those inside them.
    pub fn fused_children(&self) -> Vec<FusedChild<'m>> {
        let mut budget = MAX_FUSED;
        fused(self.owner, self.instruction, 0, &mut budget)
    }
}

fn stack_text(module: &HloModule, lines: &[StackLine]) -> String {
    let mut text = String::new();
    for line in lines {
        if text.len() > text::MAX_EXPRESSION_BYTES {
            break;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}:{}:{}", module.text(line.file), line.line, line.column);
    }
    text
}

/// The fused instructions in the order of the proto, without the parameters and tuples that only pass values on.
fn fused<'m>(
    owner: &'m HloModuleFacts,
    fusion: &'m Instruction,
    depth: u32,
    budget: &mut usize,
) -> Vec<FusedChild<'m>> {
    let mut children = Vec::new();
    if fusion.opcode != Opcode::Fusion || depth >= MAX_FUSION_DEPTH {
        return children;
    }
    for &computation in &fusion.called {
        let Some(body) = owner.module.computations.get(computation as usize) else {
            continue;
        };
        for (n, instruction) in body.instructions.iter().enumerate() {
            if matches!(instruction.opcode, Opcode::Parameter | Opcode::Tuple) || *budget == 0 {
                continue;
            }
            *budget -= 1;
            let at = InstructionRef { computation, instruction: n as u32 };
            children.push(FusedChild {
                facts: InstructionFacts { owner, at, instruction },
                children: fused(owner, instruction, depth + 1, budget),
            });
        }
    }
    children
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlo::testing::{Comp, binary, f32s, facts, int, ints, message};

    /// A module with frames: `b.py:20` is called by `a.py:10`, and frame 3 is its own caller.
    fn with_metadata(metadata: &[Vec<u8>]) -> HloModuleFacts {
        let place = |file, line| message(3, [int(1, file), int(2, 1), int(3, line), int(4, 5)].concat());
        let frame = |location, parent| message(4, [int(1, location), int(2, parent)].concat());
        let table = [
            message(1, "a.py"),
            message(1, "b.py"),
            message(2, "f"),
            place(1, 10),
            place(2, 20),
            frame(1, 0),
            frame(2, 1),
            frame(1, 3),
        ];
        let entry = Comp::new(0, &[f32s(&[])]).add("x", "negate", &f32s(&[]), &["p0"], &message(7, metadata.concat()));
        facts(&[entry], &message(17, table.concat()))
    }

    fn check(metadata: &[Vec<u8>], op_names: [&str; 2], source: (&str, i32, &str)) {
        let facts = with_metadata(metadata);
        let x = facts.find("x").expect("x");
        assert_eq!([x.full_op_name(), x.tf_op_name()], op_names);
        let (file, line, stack) = source;
        assert_eq!(x.source(), SourceInfo { file: file.into(), line, stack: stack.into() });
    }

    #[test]
    fn tells_where_instructions_come_from() {
        let stack = "b.py:20:5\na.py:10:5\n";
        check(&[], [":", ""], ("", 0, ""));
        check(&[message(2, "jit(f)/mul")], ["jit(f)/mul:", "jit(f)/mul:"], ("", 0, ""));
        check(&[message(1, "Mul")], [":Mul", ":Mul"], ("", 0, ""));
        check(&[int(15, 2)], [":", ""], ("b.py", 20, stack));
        check(&[int(15, 2), int(4, 7)], [":", ""], ("b.py", 20, stack));
        check(&[int(15, 2), message(3, "c.py")], [":", ""], ("c.py", 0, stack));
        check(&[int(15, 2), message(3, "c.py"), int(4, 7)], [":", ""], ("c.py", 7, stack));
        check(&[int(15, 3)], [":", ""], ("", 0, ""));
    }

    #[test]
    fn lists_fused_instructions() {
        let scalar = f32s(&[]);
        let called = |id: i64| [message(11, "kLoop"), ints(38, &[id])].concat();
        let outer = Comp::new(2, &[scalar.clone(), scalar.clone()])
            .add("inner", "fusion", &scalar, &["p0", "p1"], &called(1))
            .add("n", "negate", &scalar, &["inner"], &[]);
        let entry =
            Comp::new(0, &[scalar.clone(), scalar.clone()]).add("x", "fusion", &scalar, &["p0", "p1"], &called(2));
        let facts = facts(&[binary(1, "add"), outer, entry], &[]);
        let x = facts.find("x").expect("x");
        assert_eq!(x.category(), "loop fusion");
        let children = x.fused_children();
        let names: Vec<&str> = children.iter().map(|child| child.facts.name()).collect();
        assert_eq!(names, ["c2.inner", "c2.n"]);
        let inner: Vec<&str> = children[0].children.iter().map(|child| child.facts.name()).collect();
        assert_eq!(inner, ["c1.r"]);
        assert!(facts.find("p0").expect("p0").fused_children().is_empty());
        assert!(facts.find("nothing").is_none());
    }
}
