//! Builds programs with memory for the unit tests of this tool.

use bytes::Bytes;

use super::blocks::Blocks;
use super::program::Program;
use super::report::Report;
use super::{render, scoped, timeline};
use crate::Diag;
use crate::hlo::testing::{Comp, f32s, int, ints, message, module, tuple};

/// A module and its buffer assignment.
#[derive(Default)]
pub struct Memory {
    buffers: Vec<u8>,
    allocations: Vec<u8>,
    traces: Vec<u8>,
}

impl Memory {
    /// An array of a size in bytes. Instruction 1 is `p0: f32[4]`, 2 is `t: (f32[4], f32[2], ())`, 3 is `big: f32[8192]`.
    pub fn buffer(mut self, id: i64, bytes: i64, instruction: i64, index: &[i64]) -> Self {
        let place = [ints(3, index), int(4, instruction)].concat();
        self.buffers.extend(message(1, [int(1, id), int(2, bytes), message(3, place)].concat()));
        self
    }

    /// A piece of memory with arrays, each with its offset. `flags` are further fields.
    pub fn allocation(mut self, index: i64, bytes: i64, flags: &[Vec<u8>], assigned: &[(i64, i64)]) -> Self {
        let assigned =
            assigned.iter().map(|&(id, offset)| message(9, [int(1, id), int(2, offset), int(3, 100)].concat()));
        let fields = [int(1, index), int(2, bytes), flags.concat(), assigned.collect::<Vec<_>>().concat()];
        self.allocations.extend(message(3, fields.concat()));
        self
    }

    /// A heap trace in words: `+7` allocates buffer 7, `-7` frees it, `7>5` lets it share the memory of 5.
    pub fn trace(mut self, events: &str) -> Self {
        let number = |text: &str| text.parse::<i64>().expect("a buffer id");
        let event = |word: &str| match (word.strip_prefix('+'), word.strip_prefix('-'), word.split_once('>')) {
            (Some(id), ..) => [int(1, 0), int(2, number(id))].concat(),
            (_, Some(id), _) => [int(1, 1), int(2, number(id))].concat(),
            (.., Some((id, with))) => [int(1, 2), int(2, number(id)), int(5, number(with))].concat(),
            _ => panic!("no event: {word}"),
        };
        let named = |word: &str| message(1, [event(word), message(4, format!("at {word}"))].concat());
        self.traces.extend(message(4, events.split_whitespace().flat_map(named).collect::<Vec<u8>>()));
        self
    }

    /// The `HloProto`.
    pub fn proto(self) -> Bytes {
        self.proto_with(&message(2, "main"))
    }

    /// The `HloProto` with further fields of the module.
    pub fn proto_with(self, module_fields: &[u8]) -> Bytes {
        let values = tuple(&[f32s(&[4]), f32s(&[2]), tuple(&[])]);
        let from = message(7, [message(2, "jit(f)/mul"), message(3, "f.py"), int(4, 7), int(15, 2)].concat());
        let entry = Comp::new(0, &[f32s(&[4])]).add("t", "custom-call", &values, &["p0"], &[]).add(
            "big",
            "fusion",
            &f32s(&[8192]),
            &["p0"],
            &from,
        );
        let assignment = message(3, [self.buffers, self.allocations, self.traces].concat());
        [&module(&[entry], module_fields)[..], &assignment].concat().into()
    }

    /// The program, with the problems that were counted.
    pub fn program(self) -> (Program, Diag) {
        let mut diag = Diag::new();
        let program = Program::read(&self.proto(), &mut diag).expect("a readable proto");
        (program, diag)
    }
}

/// Asks for everything about any proto: an error is as good as an answer.
pub(in crate::tools) fn survives(proto: &Bytes) {
    let mut diag = Diag::new();
    if let Ok(program) = Program::read(proto, &mut diag)
        && let Ok(report) = Report::of(&program, 0, &mut diag)
    {
        let mut out = Vec::new();
        render::write(&mut out, &program, &report, scoped::largest(&program.outline)).expect("an answer");
        let _ = timeline::page(&program, &Blocks::of(&program, &report));
    }
}
