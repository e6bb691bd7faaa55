//! HLO text.
//!
//! Takes a checked module and [`PrintOptions`], gives text; must not change or judge the module.
//! One [`Printer`] prints any part: an instruction as op statistics show it, or as a line of a module's text.

mod attributes;
mod by_opcode;
mod collective;
mod extras;
mod frames;
mod header;
mod instruction;
mod literal;
mod module;
mod number;
#[cfg(test)]
mod opcode_tests;
mod origin;
mod shape;
mod sharding;
mod strings;
mod structured;
mod writer;

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::frame_numbers::FrameNumbers;
use super::instruction::Instruction;
use super::literal::Literal;
use super::module::{Computation, HloModule, InstructionRef};
use super::shape::Shape;
pub use module::module_text;
use writer::Writer;

/// Expressions in op statistics are cut at this many bytes.
pub const MAX_EXPRESSION_BYTES: usize = 1_000_000;

/// What is printed and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrintOptions {
    /// `%` before the names of instructions and computations.
    pub percent: bool,
    /// The shape, with layout, before each operand.
    pub operand_shapes: bool,
    /// `/*index=5*/` before every fifth operand.
    pub operand_marks: bool,
    /// The parameters and the result of computations behind their names.
    pub signatures: bool,
    /// All elements of constants; otherwise `{...}` for more than ten.
    pub large_constants: bool,
    /// Instructions that must run before without giving data.
    pub control_predecessors: bool,
    /// Where instructions come from.
    pub metadata: bool,
    /// The backend's configuration.
    pub backend_config: bool,
    /// The configuration of infeeds and outfeeds.
    pub feed_config: bool,
}

impl PrintOptions {
    /// The one-line expressions of op statistics.
    pub const EXPRESSION: Self = Self {
        percent: true,
        operand_shapes: true,
        operand_marks: true,
        signatures: false,
        large_constants: false,
        control_predecessors: true,
        metadata: false,
        backend_config: false,
        feed_config: false,
    };

    /// The compact text of a module.
    pub const fn short(metadata: bool) -> Self {
        Self {
            percent: false,
            operand_shapes: false,
            operand_marks: false,
            signatures: false,
            large_constants: false,
            control_predecessors: false,
            metadata,
            backend_config: true,
            feed_config: true,
        }
    }

    /// The complete text of a module.
    pub const fn long(metadata: bool) -> Self {
        Self {
            percent: true,
            operand_shapes: false,
            operand_marks: true,
            signatures: true,
            large_constants: true,
            control_predecessors: true,
            metadata,
            backend_config: true,
            feed_config: true,
        }
    }
}

/// Prints parts of one module.
#[derive(Debug)]
pub struct Printer<'m> {
    module: &'m HloModule,
    options: PrintOptions,
    /// The numbers of stack frames, where whole modules are printed.
    frames: FrameNumbers,
    /// Computations that asynchronous instructions call, likewise.
    asynchronous: FxHashMap<u32, module::Asynchronous<'m>>,
    out: Writer,
}

impl<'m> Printer<'m> {
    /// A printer whose text ends at `limit` bytes.
    pub fn new(module: &'m HloModule, options: PrintOptions, limit: usize) -> Self {
        Self {
            module,
            options,
            frames: FrameNumbers::default(),
            asynchronous: FxHashMap::default(),
            out: Writer::new(limit),
        }
    }

    /// What was printed.
    pub fn finish(self) -> String {
        self.out.finish()
    }

    /// The name of an instruction or computation, with `%` if asked for.
    fn name(&mut self, name: &str) {
        if self.options.percent {
            self.out.push("%");
        }
        self.out.push(name);
    }
}

/// A shape with its layout.
pub fn shape(shape: &Shape) -> String {
    let mut out = Writer::new(MAX_EXPRESSION_BYTES);
    shape::shape(&mut out, shape, true);
    out.finish()
}

/// The one-line expression of an instruction, empty if the position is of another module.
pub fn expression(module: &HloModule, at: InstructionRef) -> String {
    instruction_line(module, at, PrintOptions::EXPRESSION, MAX_EXPRESSION_BYTES)
}

/// An instruction as one line, without indentation and `ROOT`.
pub fn instruction_line(module: &HloModule, at: InstructionRef, options: PrintOptions, limit: usize) -> String {
    let mut printer = Printer::new(module, options, limit);
    let computation: Option<&Computation> = module.computations.get(at.computation as usize);
    if let (Some(computation), Some(instruction)) = (computation, module.instruction(at)) {
        printer.instruction(computation, instruction);
    }
    printer.finish()
}

/// The attributes of an instruction one by one, as `key=value`: those of its opcode and those that any may have, without
/// called computations, origin, metadata and configurations. What is longer than `limit` bytes together is cut.
pub fn attribute_list(module: &HloModule, at: InstructionRef, limit: usize) -> Vec<String> {
    let options = PrintOptions { backend_config: false, feed_config: false, ..PrintOptions::long(true) };
    let mut printer = Printer::new(module, options, limit);
    if let (Some(computation), Some(instruction)) =
        (module.computations.get(at.computation as usize), module.instruction(at))
    {
        printer.specific(computation, instruction, false);
        printer.common(computation, instruction);
    }
    strings::split_attributes(&printer.finish())
}

/// A shape as text.
pub fn shape_text(value: &Shape, with_layout: bool, limit: usize) -> String {
    let mut out = Writer::new(limit);
    shape::shape(&mut out, value, with_layout);
    out.finish()
}

/// The value of a constant as text, each row of it on a line of its own.
pub fn literal_in_lines(value: &Literal, limit: usize) -> String {
    let mut out = Writer::new(limit);
    literal::literal_in_lines(&mut out, value);
    out.finish()
}

/// The configuration that the backend attached to an instruction, empty if there is none.
pub fn backend_config<'m>(module: &'m HloModule, instruction: &'m Instruction) -> Cow<'m, [u8]> {
    extras::backend_config(module, instruction)
}
