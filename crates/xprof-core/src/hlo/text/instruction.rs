//! One instruction as a line: name, shape, opcode, operands, attributes.

use super::{Printer, literal, shape};
use crate::hlo::attribute::field;
use crate::hlo::instruction::Instruction;
use crate::hlo::module::Computation;
use crate::hlo::opcode::Opcode;
use crate::hlo::shape::Shape;

/// Constants of more elements are elided unless large constants are asked for.
const MAX_SHORT_CONSTANT: i64 = 10;

impl<'m> Printer<'m> {
    /// The whole line, without indentation and `ROOT`.
    pub(crate) fn instruction(&mut self, computation: &'m Computation, instruction: &'m Instruction) {
        self.name(&instruction.name);
        self.out.push(" = ");
        shape::shape(&mut self.out, &instruction.shape, true);
        self.out.push(" ");
        let wrapped = self.wrapped(computation, instruction);
        match (wrapped, instruction.opcode) {
            (Some((_, root)), opcode) => {
                self.out.push(root.opcode.name());
                self.out.push(match opcode {
                    Opcode::AsyncStart => "-start",
                    Opcode::AsyncUpdate => "-update",
                    _ => "-done",
                });
            }
            (None, opcode) => self.out.push(opcode.name()),
        }
        self.out.push("(");
        self.operands(computation, instruction);
        self.out.push(")");
        self.specific(computation, instruction, true);
        self.extras(computation, instruction);
    }

    /// The attributes of the opcode, those of the wrapped operation where there is one; called computations if wanted.
    pub(super) fn specific(&mut self, computation: &'m Computation, instruction: &'m Instruction, callees: bool) {
        match self.wrapped(computation, instruction) {
            Some((body, root)) if instruction.opcode == Opcode::AsyncStart => {
                self.async_thread(instruction);
                self.attributes(body, root);
                if callees {
                    self.called_computations(body, root);
                }
                self.sharding(root);
                if instruction.frontend_attributes().is_empty() {
                    self.frontend(root);
                }
                self.statistics(root);
                self.accuracy(root);
                self.aliasing(instruction);
            }
            Some(_) => {}
            None => {
                self.attributes(computation, instruction);
                if callees {
                    self.called_computations(computation, instruction);
                }
            }
        }
    }

    /// What stands between the parentheses.
    fn operands(&mut self, computation: &'m Computation, instruction: &'m Instruction) {
        match instruction.opcode {
            Opcode::Parameter => self.out.int(instruction.int(field::PARAMETER_NUMBER)),
            Opcode::Constant => self.constant(instruction),
            _ => {
                for (n, operand) in computation.operands(instruction).enumerate() {
                    if self.out.is_full() {
                        return;
                    }
                    if n > 0 {
                        self.out.push(", ");
                        if self.options.operand_marks && n % 5 == 0 {
                            self.out.format(format_args!("/*index={n}*/"));
                        }
                    }
                    if self.options.operand_shapes {
                        shape::shape(&mut self.out, &operand.shape, true);
                        self.out.push(" ");
                    }
                    self.name(&operand.name);
                }
            }
        }
    }

    fn constant(&mut self, instruction: &Instruction) {
        let Some(value) = instruction.literal() else {
            return self.out.push("{...}");
        };
        let is_short = match &*value.shape {
            Shape::Array(array) => array.n_elements() <= MAX_SHORT_CONSTANT,
            _ => false,
        };
        if is_short || self.options.large_constants {
            literal::literal(&mut self.out, value);
        } else {
            self.out.push("{...}");
        }
    }

    /// The computation, and its root, that an asynchronous instruction stands for if it does nothing but pass its parameters on.
    pub(super) fn wrapped(
        &self,
        computation: &'m Computation,
        instruction: &'m Instruction,
    ) -> Option<(&'m Computation, &'m Instruction)> {
        let mut start = instruction;
        // Operands come before their users, so the chain ends.
        while matches!(start.opcode, Opcode::AsyncUpdate | Opcode::AsyncDone) {
            start = computation.operand(start, 0)?;
        }
        if start.opcode != Opcode::AsyncStart {
            return None;
        }
        let body = self.module.called(start, 0)?;
        let root = body.root();
        body.is_trivial_wrapper().then_some((body, root))
    }
}

#[cfg(test)]
mod tests {
    use crate::hlo::testing::{Comp, array, binary, f32s, facts, int, ints, message, tuple};
    use crate::hlo::text::{PrintOptions, expression, instruction_line};

    fn check(comps: &[Comp], expect: &str) {
        let facts = facts(comps, &[]);
        let at = facts.find("x").expect("x").position();
        assert_eq!(expression(facts.module(), at), expect);
    }

    /// A module whose entry takes two matrices and adds `x`.
    fn entry(opcode: &str, shape: &[u8], operands: &[&str], extra: &[Vec<u8>]) -> Vec<Comp> {
        let parameters = [f32s(&[4, 8]), f32s(&[8, 4])];
        vec![Comp::new(0, &parameters).add("x", opcode, shape, operands, &extra.concat())]
    }

    #[test]
    fn prints_opcodes_with_their_attributes() {
        let dot = [message(30, [ints(1, &[1]), ints(2, &[0])].concat()), message(51, int(2, 6))];
        check(
            &entry("dot", &f32s(&[4, 4]), &["p0", "p1"], &dot),
            "%x = f32[4,4]{1,0} dot(f32[4,8]{1,0} %p0, f32[8,4]{1,0} %p1), lhs_contracting_dims={1}, \
             rhs_contracting_dims={0}, algorithm=dot_bf16_bf16_f32",
        );
        let slice = [message(17, [int(2, 2), int(3, 1)].concat()), message(17, [int(2, 8), int(3, 2)].concat())];
        check(
            &entry("slice", &f32s(&[2, 4]), &["p0"], &slice),
            "%x = f32[2,4]{1,0} slice(f32[4,8]{1,0} %p0), slice={[0:2:1], [0:8:2]}",
        );
        check(
            &entry("custom-call", &f32s(&[4, 8]), &["p0"], &[message(28, "a\"b"), message(43, "hidden"), int(65, 1)]),
            "%x = f32[4,8]{1,0} custom-call(f32[4,8]{1,0} %p0), custom_call_target=\"a\\\"b\", \
             custom_call_has_side_effect=true, api_version=API_VERSION_UNSPECIFIED",
        );
        let pad = message(21, [message(1, int(1, 1)), message(1, int(3, 2))].concat());
        check(
            &entry("pad", &f32s(&[5, 8]), &["p0", "p1"], &[pad]),
            "%x = f32[5,8]{1,0} pad(f32[4,8]{1,0} %p0, f32[8,4]{1,0} %p1), padding=1_0_0x0_0_2",
        );
        let all_gather = [int(26, 3), message(92, [int(1, 2), int(2, 4), int(3, 8), int(4, 0)].concat()), int(14, 0)];
        check(
            &entry("all-gather", &f32s(&[16, 8]), &["p0"], &all_gather),
            "%x = f32[16,8]{1,0} all-gather(f32[4,8]{1,0} %p0), channel_id=3, replica_groups=[2,4]<=[8], dimensions={0}",
        );
        check(
            &entry("greater-than", &array(1, &[4, 8]), &["p0", "p0"], &[]),
            "%x = pred[4,8]{1,0} compare(f32[4,8]{1,0} %p0, f32[4,8]{1,0} %p0), direction=GT",
        );
        let six = tuple(&vec![f32s(&[4, 8]); 6]);
        check(
            &entry("tuple", &six, &["p0"; 6], &[]),
            "%x = (f32[4,8]{1,0}, f32[4,8]{1,0}, f32[4,8]{1,0}, f32[4,8]{1,0}, f32[4,8]{1,0}, /*index=5*/f32[4,8]{1,0}) \
             tuple(f32[4,8]{1,0} %p0, f32[4,8]{1,0} %p0, f32[4,8]{1,0} %p0, f32[4,8]{1,0} %p0, f32[4,8]{1,0} %p0, \
             /*index=5*/f32[4,8]{1,0} %p0)",
        );
    }

    #[test]
    fn elides_long_constants() {
        let constant = |n: i64| {
            let numbers: Vec<i64> = (0..n).collect();
            let literal = [message(1, array(4, &[n])), ints(4, &numbers)].concat();
            entry("constant", &array(4, &[n]), &[], &[message(8, literal)])
        };
        check(&constant(3), "%x = s32[3]{0} constant({0, 1, 2})");
        check(&constant(11), "%x = s32[11]{0} constant({...})");
        let facts = facts(&constant(11), &[]);
        let at = facts.find("x").expect("x").position();
        let long = instruction_line(facts.module(), at, PrintOptions::long(false), 1000);
        assert_eq!(long, "%x = s32[11]{0} constant({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})");
        assert_eq!(instruction_line(facts.module(), at, PrintOptions::long(false), 7), "%x = s3");
    }

    #[test]
    fn names_called_computations() {
        let reduce = [ints(14, &[1]), ints(38, &[1])];
        let mut comps = entry("reduce", &f32s(&[4]), &["p0", "p1"], &reduce);
        comps.insert(0, binary(1, "add"));
        check(&comps, "%x = f32[4]{0} reduce(f32[4,8]{1,0} %p0, f32[8,4]{1,0} %p1), dimensions={1}, to_apply=%comp1");
        let shape = tuple(&[tuple(&[f32s(&[]), f32s(&[])]), f32s(&[]), array(8, &[])]);
        let starts =
            Comp::new(0, &[f32s(&[]), f32s(&[])]).add("x", "async-start", &shape, &["p0", "p1"], &ints(38, &[1]));
        check(&[binary(1, "add"), starts], "%x = ((f32[], f32[]), f32[], u32[]) add-start(f32[] %p0, f32[] %p1)");
    }
}
