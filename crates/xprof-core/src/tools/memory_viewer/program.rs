//! A program's arrays together with the instructions that compute them and the memory they lie in.
//!
//! Takes the bytes of an `xla.HloProto`; gives arrays by position instead of by id. What refers to something that is not
//! there is counted and left out.

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::Diag;
use crate::diag::ProblemKind;
use crate::hlo::buffers::{Allocation, BufferAssignment, HeapEvent, LogicalBuffer};
use crate::hlo::outline::{Outline, OutlineInstruction};
use crate::hlo::{HloError, Shape, Span, text};

/// A tuple is a table of pointers of this size; an opaque value is one.
const POINTER_BYTES: i64 = 8;
/// A stack of more frames is cut: a hostile table may call itself.
const MAX_STACK_FRAMES: usize = 1000;

/// An array that lies in some piece of memory.
#[derive(Debug)]
pub struct Buffer {
    /// Identity, size, place in the instruction's result.
    pub logical: LogicalBuffer,
    /// The proto of the instruction that computes it.
    instruction: Span,
    /// The piece of memory, as a position in [`Program::allocations`]. The last one, should there be more.
    pub allocation: u32,
    /// Begin within the piece, in bytes.
    pub offset_bytes: i64,
    /// Size without padding, in bytes.
    pub unpadded_bytes: i64,
}

/// A program and its memory.
#[derive(Debug)]
pub struct Program {
    /// Names and instructions.
    pub outline: Outline,
    /// The arrays that lie in some piece of memory.
    pub buffers: Vec<Buffer>,
    /// The pieces of memory.
    pub allocations: Vec<Allocation>,
    /// The ways in which arrays were packed.
    pub heap_traces: Vec<Vec<HeapEvent>>,
    by_id: FxHashMap<i64, u32>,
}

/// What is shown of an array.
#[derive(Debug, Default)]
pub struct BufferFacts {
    /// Name of the instruction.
    pub instruction_name: String,
    /// Name of the instruction and, for a part of its result, where that is.
    pub name: String,
    /// Shape with layout.
    pub shape: String,
    /// Name of the framework op.
    pub op_name: String,
    /// Opcode of the instruction.
    pub opcode: String,
    /// Where it was written.
    pub source: Source,
}

/// A place in source code.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Source file, empty if unknown.
    pub file: String,
    /// Line in it.
    pub line: i32,
    /// The call stack, innermost first, `file:line:column` per line.
    pub stack: String,
}

impl Program {
    /// Reads an `xla.HloProto`.
    pub fn read(proto: &Bytes, diag: &mut Diag) -> Result<Self, HloError> {
        let outline = Outline::from_hlo_proto(proto)?;
        let assignment = BufferAssignment::from_hlo_proto(proto)?;
        let BufferAssignment { buffers: logical, allocations, heap_traces } = assignment;
        let mut program = Self { outline, buffers: Vec::new(), allocations, heap_traces, by_id: FxHashMap::default() };
        program.mend_sizes(diag);
        program.join(logical, diag);
        Ok(program)
    }

    /// Negative sizes count as 0.
    fn mend_sizes(&mut self, diag: &mut Diag) {
        let name = self.outline.text(self.outline.name);
        let sizes = self.allocations.iter_mut().flat_map(|allocation| {
            let assigned = allocation.assigned.iter_mut().map(|assigned| &mut assigned.size_bytes);
            assigned.chain(std::iter::once(&mut allocation.size_bytes))
        });
        for size in sizes.filter(|size| **size < 0) {
            diag.count(ProblemKind::MalformedEntry, || format!("negative size {size} in the memory of {name}"));
            *size = 0;
        }
    }

    /// Keeps the arrays that lie in some piece of memory.
    fn join(&mut self, logical: Vec<LogicalBuffer>, diag: &mut Diag) {
        let mut by_id: FxHashMap<i64, LogicalBuffer> = logical.into_iter().map(|buffer| (buffer.id, buffer)).collect();
        for (allocation, at) in self.allocations.iter().zip(0u32..) {
            for assigned in &allocation.assigned {
                if let Some(&known) = self.by_id.get(&assigned.buffer_id) {
                    let buffer = &mut self.buffers[known as usize];
                    (buffer.allocation, buffer.offset_bytes) = (at, assigned.offset_bytes);
                    continue;
                }
                let Some(logical) = by_id.remove(&assigned.buffer_id) else { continue };
                match read_buffer(&self.outline, logical, (at, assigned.offset_bytes)) {
                    Ok(buffer) => {
                        self.by_id.insert(buffer.logical.id, self.buffers.len() as u32);
                        self.buffers.push(buffer);
                    }
                    Err(reason) => {
                        let name = self.outline.text(self.outline.name);
                        diag.count(ProblemKind::MalformedEntry, || {
                            format!("buffer {} of {name}: {reason}", assigned.buffer_id)
                        });
                    }
                }
            }
        }
    }

    /// The array of that id, as a position.
    pub fn find(&self, buffer_id: i64) -> Option<u32> {
        self.by_id.get(&buffer_id).copied()
    }

    /// The array at a position that this program gave.
    pub fn buffer(&self, at: u32) -> &Buffer {
        &self.buffers[at as usize]
    }

    /// The arrays in a piece of memory.
    pub fn assigned<'a>(&'a self, allocation: &'a Allocation) -> impl Iterator<Item = u32> {
        allocation.assigned.iter().filter_map(|assigned| self.find(assigned.buffer_id))
    }

    /// What is shown of an array.
    pub fn facts(&self, at: u32) -> BufferFacts {
        let buffer = self.buffer(at);
        let outline = &self.outline;
        // It was read once already.
        let instruction = outline.instruction(buffer.instruction).unwrap_or_default();
        let instruction_name = outline.text(instruction.name).into_owned();
        BufferFacts {
            name: indexed(&instruction_name, &buffer.logical.shape_index),
            instruction_name,
            shape: shape_text(outline, &instruction, &buffer.logical),
            op_name: outline.text(instruction.metadata.op_name).into_owned(),
            opcode: outline.text(instruction.opcode).into_owned(),
            source: source(outline, &instruction),
        }
    }

    /// Name and shape of an array: [`BufferFacts::instruction_name`], [`BufferFacts::shape`].
    pub fn name_and_shape(&self, at: u32) -> (String, String) {
        let buffer = self.buffer(at);
        let instruction = self.outline.instruction(buffer.instruction).unwrap_or_default();
        let name = self.outline.text(instruction.name).into_owned();
        (name, shape_text(&self.outline, &instruction, &buffer.logical))
    }
}

fn read_buffer(outline: &Outline, mut logical: LogicalBuffer, place: (u32, i64)) -> Result<Buffer, String> {
    let proto = outline.find(logical.instruction_id);
    let proto = proto.ok_or_else(|| format!("there is no instruction {}", logical.instruction_id))?;
    if logical.size_bytes < 0 {
        return Err(format!("negative size {}", logical.size_bytes));
    }
    let instruction = outline.instruction(proto).map_err(|error| error.to_string())?;
    let shape = outline.shape(&instruction).map_err(|error| error.to_string())?;
    let unpadded_bytes = unpadded_bytes(part(&shape, &logical));
    logical.shape_index.shrink_to_fit();
    let (allocation, offset_bytes) = place;
    Ok(Buffer { logical, instruction: proto, allocation, offset_bytes, unpadded_bytes })
}

/// The part of an instruction's value that an array is.
///
/// parity: only the last index counts, and it is looked up in the outermost tuple.
fn part<'a>(shape: &'a Shape, buffer: &LogicalBuffer) -> &'a Shape {
    let last = buffer.shape_index.last().and_then(|&last| usize::try_from(last).ok());
    last.and_then(|last| shape.tuple_elements().get(last)).unwrap_or(shape)
}

fn shape_text(outline: &Outline, instruction: &OutlineInstruction, buffer: &LogicalBuffer) -> String {
    outline.shape(instruction).map(|shape| text::shape(part(&shape, buffer))).unwrap_or_default()
}

/// Bytes of a value without padding; elements below a byte take a whole one.
fn unpadded_bytes(shape: &Shape) -> i64 {
    match shape {
        Shape::Array(array) => array.n_elements().saturating_mul(i64::from(array.element.bits().div_ceil(8))),
        Shape::Tuple(elements) => POINTER_BYTES * elements.len() as i64,
        Shape::Token => 0,
        Shape::Opaque | Shape::Buffer(_) => POINTER_BYTES,
    }
}

/// `fusion.3{1,0}`; no braces for a whole value.
fn indexed(name: &str, index: &[i64]) -> String {
    if index.is_empty() {
        return name.to_owned();
    }
    let index: Vec<String> = index.iter().map(i64::to_string).collect();
    format!("{name}{{{}}}", index.join(","))
}

/// Where an instruction was written: as its metadata says, else as the innermost frame of its call stack says.
fn source(outline: &Outline, instruction: &OutlineInstruction) -> Source {
    use std::fmt::Write as _;
    let metadata = &instruction.metadata;
    let mut source = Source {
        file: outline.text(metadata.source_file).into_owned(),
        line: metadata.source_line,
        stack: String::new(),
    };
    let frames = &outline.frames;
    let mut id = i64::from(metadata.stack_frame_id);
    for n in 0..MAX_STACK_FRAMES.min(frames.frames.len()) {
        let Some([location, parent]) = entry(&frames.frames, id) else { break };
        let location = entry(&frames.locations, location);
        let file = location.and_then(|place| entry(&frames.file_names, place.file_name_id)).unwrap_or_default();
        let file = outline.text(file);
        let (line, column) = location.map_or((-1, -1), |place| (place.line, place.column));
        if n == 0 && source.file.is_empty() {
            source.file = file.clone().into_owned();
            source.line = line as i32;
        }
        // Writing to a String cannot fail.
        let _ = write!(source.stack, "{}{file}:{line}:{column}", if n == 0 { "" } else { "\n" });
        id = parent;
    }
    source
}

/// Element `id` of a table that counts from 1.
fn entry<T: Copy>(table: &[T], id: i64) -> Option<T> {
    usize::try_from(id).ok()?.checked_sub(1).and_then(|at| table.get(at)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlo::testing::{int, message};
    use crate::tools::memory_viewer::testing::Memory;

    #[test]
    fn shows_parts_of_results() {
        // The name of a buffer in instruction `t` or `big`, its shape, and its bytes without padding.
        let check = |instruction: i64, index: &[i64], name: &str, shape: &str, unpadded_bytes: i64| {
            let (program, _) =
                Memory::default().buffer(5, 640, instruction, index).allocation(0, 640, &[], &[(5, 0)]).program();
            let at = program.find(5).expect("buffer 5");
            let facts = program.facts(at);
            assert_eq!((&*facts.name, &*facts.shape, program.buffer(at).unpadded_bytes), (name, shape, unpadded_bytes));
        };
        check(2, &[], "t", "(f32[4]{0}, f32[2]{0}, ())", 24);
        check(2, &[1], "t{1}", "f32[2]{0}", 8);
        check(2, &[2], "t{2}", "()", 0);
        check(2, &[2, 0], "t{2,0}", "f32[4]{0}", 16);
        check(2, &[9], "t{9}", "(f32[4]{0}, f32[2]{0}, ())", 24);
        check(3, &[-1], "big{-1}", "f32[8192]{0}", 32_768);
    }

    #[test]
    fn leaves_out_and_counts_what_does_not_fit() {
        let (program, diag) = Memory::default()
            .buffer(1, 10, 1, &[])
            .buffer(2, 10, 99, &[])
            .buffer(3, -10, 1, &[])
            .buffer(4, 10, 1, &[])
            .allocation(0, -5, &[], &[(1, 0), (2, 0), (3, 0), (77, 0)])
            .program();
        assert_eq!(program.buffers.len(), 1, "buffer 4 lies nowhere");
        assert_eq!(program.allocations[0].size_bytes, 0);
        let counts: Vec<_> = diag.problems().map(|p| (p.kind, p.count)).collect();
        assert_eq!(counts, [(ProblemKind::MalformedEntry, 3)]);
    }

    #[test]
    fn tells_where_instructions_come_from() {
        // Frames 1 and 2 are their own callers' callers; the location of frame 2 is missing.
        let place = message(3, [int(1, 1), int(3, 10), int(4, 5)].concat());
        let frame = |location, parent| message(4, [int(1, location), int(2, parent)].concat());
        let check = |frames: &[Vec<u8>], stack: &str| {
            let table = [&[message(1, "a.py"), place.clone()].concat()[..], &frames.concat()].concat();
            let memory = Memory::default().buffer(5, 640, 3, &[]).allocation(0, 640, &[], &[(5, 0)]);
            let program = Program::read(&memory.proto_with(&message(17, table)), &mut Diag::new()).expect("readable");
            let source = program.facts(program.find(5).expect("buffer 5")).source;
            assert_eq!(source, Source { file: "f.py".into(), line: 7, stack: stack.into() });
        };
        check(&[frame(1, 0), frame(1, 1)], "a.py:10:5\na.py:10:5");
        check(&[frame(1, 0), frame(9, 1)], ":-1:-1\na.py:10:5");
        check(&[frame(1, 2), frame(1, 1)], "a.py:10:5\na.py:10:5");
        check(&[], "");
    }
}
