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
        match wrapped {
            Some((body, root)) if instruction.opcode == Opcode::AsyncStart => {
                self.async_thread(instruction);
                self.attributes(body, root);
                self.called_computations(body, root);
                if instruction.frontend_attributes().is_empty() {
                    self.frontend(root);
                }
                self.aliasing(instruction);
            }
            Some(_) => {}
            None => {
                self.attributes(computation, instruction);
                self.called_computations(computation, instruction);
            }
        }
        self.extras(computation, instruction);
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
        let Some(value) = instruction.literal() else { return self.out.push("{...}") };
        let is_short = match &*value.shape {
            Shape::Array(array) => array.n_elements() <= MAX_SHORT_CONSTANT,
            Shape::Tuple(_) => false,
            _ => true,
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
        let in_order = root.operands.iter().enumerate().all(|(n, &at)| {
            let parameter = body.instructions.get(at as usize);
            parameter.is_some_and(|p| p.opcode == Opcode::Parameter && p.int(field::PARAMETER_NUMBER) == n as i64)
        });
        (in_order && body.instructions.len() == root.operands.len() + 1).then_some((body, root))
    }
}
