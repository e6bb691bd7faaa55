//! HLO modules, read from protos and checked.
//!
//! Takes `xla.HloProto` bytes, gives an [`HloModule`]; must not print, and must not accept what contradicts itself.

use bytes::Bytes;
use bytestring::ByteString;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rustc_hash::FxHashMap;
use std::hash::BuildHasher;

use super::HloError;
use super::frames::StackFrames;
use super::instruction::{Context, Instruction, sanitize};
use super::metadata::{Metadata, Span};
use super::proto::{each_field, shared_bytes, shared_text};
use super::shape::{Shape, ShapeTable};
use super::{schedule, validate, wellformed};
use crate::wire::Value;

/// A position of an instruction in a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstructionRef {
    /// Position of the computation in the module.
    pub computation: u32,
    /// Position of the instruction in the computation.
    pub instruction: u32,
}

/// A function of a module.
#[derive(Debug, Clone)]
pub struct Computation {
    /// Id in the module.
    pub id: i64,
    /// Name, unique in the module, sanitised.
    pub name: ByteString,
    /// Its instructions; each comes after those it uses.
    pub instructions: Vec<Instruction>,
    /// Position of the instruction whose value is the result.
    pub root: u32,
    /// The thread it runs on, empty for the main one.
    pub execution_thread: ByteString,
    /// Positions of the instructions in the order they run, if the module is scheduled.
    pub schedule: Option<Vec<u32>>,
    /// The backend's configuration.
    pub backend_config: Span,
}

impl Computation {
    /// The instruction whose value is the result.
    pub fn root(&self) -> &Instruction {
        // A computation is only made with a root that exists.
        &self.instructions[self.root as usize]
    }

    /// The operand of an instruction of this computation.
    pub fn operand(&self, of: &Instruction, n: usize) -> Option<&Instruction> {
        self.instructions.get(*of.operands.get(n)? as usize)
    }

    /// The operands of an instruction of this computation.
    pub fn operands<'a>(&'a self, of: &'a Instruction) -> impl Iterator<Item = &'a Instruction> {
        of.operands.iter().filter_map(|&at| self.instructions.get(at as usize))
    }

    /// The parameter of that number, as a position.
    pub fn parameter(&self, number: i64) -> Option<u32> {
        let is_it =
            |i: &Instruction| i.opcode == super::Opcode::Parameter && i.int(super::field::PARAMETER_NUMBER) == number;
        self.instructions.iter().position(is_it).map(|at| at as u32)
    }

    /// Whether it does nothing but pass its parameters, in their order, to one instruction.
    pub(crate) fn is_trivial_wrapper(&self) -> bool {
        let parameters = self.instructions.iter().enumerate().filter(|(at, _)| *at as u32 != self.root);
        let n = self.instructions.len() - 1;
        let root = self.root();
        let passes = |(position, &operand): (usize, &u32)| {
            self.instructions.get(operand as usize).is_some_and(|i| {
                i.opcode == super::Opcode::Parameter && i.int(super::field::PARAMETER_NUMBER) == position as i64
            })
        };
        parameters.into_iter().all(|(_, i)| i.opcode == super::Opcode::Parameter)
            && root.operands.len() == n
            && root.operands.iter().enumerate().all(passes)
    }

    /// Positions such that every instruction comes after its control predecessors and its operands.
    ///
    /// Starts at the instructions that nobody uses, in the order of the proto; the last predecessor and the first operand
    /// are visited first, which is the order of the original's text.
    pub fn post_order(&self) -> Vec<u32> {
        let n = self.instructions.len();
        let mut used = vec![false; n];
        for instruction in &self.instructions {
            for &at in &instruction.operands {
                used[at as usize] = true;
            }
        }
        let mut order = Vec::with_capacity(n);
        let mut state = vec![0u8; n];
        let mut stack = Vec::new();
        for start in (0..n).filter(|&at| !used[at]) {
            stack.push(start as u32);
            while let Some(&at) = stack.last() {
                match state[at as usize] {
                    0 => {
                        state[at as usize] = 1;
                        let instruction = &self.instructions[at as usize];
                        // The stack turns the order around: what is pushed last is visited first.
                        let next = instruction.operands.iter().rev().chain(&instruction.predecessors);
                        stack.extend(next.copied().filter(|&next| state[next as usize] == 0));
                    }
                    seen => {
                        stack.pop();
                        if seen == 1 {
                            state[at as usize] = 2;
                            order.push(at);
                        }
                    }
                }
            }
        }
        order
    }
}

/// A whole program.
#[derive(Debug, Clone)]
pub struct HloModule {
    bytes: Bytes,
    proto: Span,
    /// Name as in the proto.
    pub raw_name: ByteString,
    /// Name, sanitised.
    pub name: ByteString,
    /// Its functions; each comes after those it calls.
    pub computations: Vec<Computation>,
    /// Position of the function that the program starts with.
    pub entry: u32,
    /// Source positions that instructions refer to.
    pub frames: StackFrames,
    /// Opaque bytes that instructions refer to.
    pub payloads: Vec<Span>,
    by_name: HashTable<InstructionRef>,
}

impl HloModule {
    /// Reads an `xla.HloProto`. The module shares the bytes.
    pub fn from_hlo_proto(bytes: &Bytes) -> Result<Self, HloError> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(HloError::TooLarge);
        }
        let mut module = None;
        each_field(bytes, |number, value| {
            match (number, value) {
                (1, Value::Bytes(part)) => module = Some(part),
                (3, Value::Bytes(part)) => wellformed::buffer_assignment(part)?,
                _ => {}
            }
            Ok(())
        })?;
        read_module(bytes, module.ok_or(HloError::NoModule)?)
    }

    /// Reads an `xla.HloModuleProto`, which other messages may hold without an `HloProto` around it.
    pub(crate) fn from_module_proto(bytes: &Bytes) -> Result<Self, HloError> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(HloError::TooLarge);
        }
        read_module(bytes, bytes)
    }

    /// The text that a span of this module stands for.
    pub fn text(&self, span: Span) -> &str {
        std::str::from_utf8(span.bytes(&self.bytes)).unwrap_or_default()
    }

    /// The bytes that a span of this module stands for.
    pub fn bytes(&self, span: Span) -> &[u8] {
        span.bytes(&self.bytes)
    }

    /// A text of this module that may outlive it, sharing its memory.
    pub fn shared(&self, span: Span) -> ByteString {
        shared_text(&self.bytes, span.bytes(&self.bytes)).unwrap_or_default()
    }

    /// Where a part of the proto lies.
    pub(crate) fn span_of(&self, part: &[u8]) -> Span {
        Span::of(&self.bytes, part)
    }

    /// The `HloModuleProto`, for the parts that only whole-module tools need.
    pub fn proto(&self) -> Bytes {
        shared_bytes(&self.bytes, self.proto.bytes(&self.bytes))
    }

    /// The function that the program starts with.
    pub fn entry(&self) -> &Computation {
        // A module is only made with an entry that exists.
        &self.computations[self.entry as usize]
    }

    /// The instruction at a position, `None` if the position is of another module.
    pub fn instruction(&self, at: InstructionRef) -> Option<&Instruction> {
        self.computations.get(at.computation as usize)?.instructions.get(at.instruction as usize)
    }

    /// Finds an instruction by its exact, sanitised name.
    pub fn find(&self, name: &str) -> Option<InstructionRef> {
        let is_it = |at: &InstructionRef| self.instruction(*at).is_some_and(|i| i.name == name);
        self.by_name.find(hash(name), is_it).copied()
    }

    /// The computation that an instruction calls as its `n`-th.
    pub fn called(&self, by: &Instruction, n: usize) -> Option<&Computation> {
        self.computations.get(*by.called.get(n)? as usize)
    }

    /// Number of instructions in all computations.
    pub fn n_instructions(&self) -> usize {
        self.computations.iter().map(|c| c.instructions.len()).sum()
    }

    /// The metadata of an instruction, empty if it has none.
    pub fn metadata<'a>(&'a self, of: &'a Instruction) -> &'a Metadata {
        static NONE: std::sync::OnceLock<Metadata> = std::sync::OnceLock::new();
        of.metadata.as_deref().unwrap_or_else(|| NONE.get_or_init(Metadata::default))
    }
}

fn hash(name: &str) -> u64 {
    FixedState::with_seed(0).hash_one(name)
}

/// The parts of a module proto before anything refers to anything.
#[derive(Default)]
struct RawModule<'a> {
    name: &'a [u8],
    entry_id: i64,
    computations: Vec<&'a [u8]>,
    has_program_shape: bool,
    schedule: Option<&'a [u8]>,
}

fn read_module(owner: &Bytes, data: &[u8]) -> Result<HloModule, HloError> {
    let mut raw = RawModule::default();
    let mut frames = StackFrames::default();
    let mut payloads = Vec::new();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Bytes(part)) => raw.name = part,
            (3, Value::Bytes(part)) => raw.computations.push(part),
            (4, Value::Bytes(part)) => {
                program_shape(part)?;
                raw.has_program_shape = true;
            }
            (6, Value::Varint(v)) => raw.entry_id = v as i64,
            (7, Value::Bytes(part)) => raw.schedule = Some(part),
            (17, Value::Bytes(part)) => frames = StackFrames::from_proto(owner, part)?,
            (22, Value::Bytes(part)) => payloads.push(Span::of(owner, part)),
            (number, value) => wellformed::module_field(number, value)?,
        }
        Ok(())
    })?;
    if !raw.has_program_shape {
        return Err(HloError::invalid("No program shape found in the proto"));
    }
    let mut shapes = ShapeTable::default();
    let mut ids: FxHashMap<i64, u32> = FxHashMap::default();
    let mut computations = Vec::with_capacity(raw.computations.len());
    let mut instruction_ids = FxHashMap::default();
    for part in raw.computations {
        instruction_ids.clear();
        let computation = read_computation(owner, part, &mut shapes, &ids, &mut instruction_ids)?;
        if ids.insert(computation.id, computations.len() as u32).is_some() {
            return Err(HloError::invalid(format!("two computations have id {}", computation.id)));
        }
        computations.push(computation);
    }
    let entry = ids.get(&raw.entry_id).copied();
    let entry = entry.ok_or_else(|| HloError::invalid(format!("no entry computation with id {}", raw.entry_id)))?;
    if let Some(schedule) = raw.schedule {
        schedule::read(schedule, &ids, &mut computations)?;
    }
    let raw_name = shared_text(owner, raw.name)?;
    let mut module = HloModule {
        bytes: owner.clone(),
        proto: Span::of(owner, data),
        name: sanitize(raw_name.clone()),
        raw_name,
        computations,
        entry,
        frames,
        payloads,
        by_name: HashTable::new(),
    };
    index_names(&mut module)?;
    validate::module(&module)?;
    Ok(module)
}

/// Reads a `ProgramShapeProto` to see whether it is one. An empty shape stands for a missing one.
fn program_shape(data: &[u8]) -> Result<(), HloError> {
    let (mut n_parameters, mut n_names) = (0, 0);
    each_field(data, |number, value| {
        n_parameters += u32::from(number == 1);
        n_names += u32::from(number == 3);
        match (number, value) {
            (1 | 2, Value::Bytes(part)) if !part.is_empty() => Shape::from_proto(part).map(|_| ()),
            _ => Ok(()),
        }
    })?;
    if n_parameters == n_names {
        Ok(())
    } else {
        Err(HloError::invalid(format!("the program shape has {n_parameters} parameters and {n_names} names")))
    }
}

fn read_computation<'a>(
    owner: &Bytes,
    data: &'a [u8],
    shapes: &mut ShapeTable<'a>,
    computations: &FxHashMap<i64, u32>,
    ids: &mut FxHashMap<u32, u32>,
) -> Result<Computation, HloError> {
    let (mut name, mut id, mut root_id) = (ByteString::new(), 0, 0);
    let (mut execution_thread, mut backend_config) = (ByteString::new(), Span::default());
    let mut instructions = Vec::new();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Bytes(part)) => name = sanitize(shared_text(owner, part)?),
            (2, Value::Bytes(part)) => {
                let mut context = Context { owner, shapes, instructions: ids, computations };
                let instruction = Instruction::from_proto(&mut context, part)?;
                if ids.insert(instruction.id, instructions.len() as u32).is_some() {
                    return Err(HloError::invalid(format!("two instructions have id {}", instruction.id)));
                }
                instructions.push(instruction);
            }
            (5, Value::Varint(v)) => id = v as i64,
            (6, Value::Varint(v)) => root_id = v as i64,
            (8, Value::Bytes(part)) => execution_thread = shared_text(owner, part)?,
            (9, Value::Bytes(part)) => backend_config = Span::of(owner, part),
            _ => {}
        }
        Ok(())
    })?;
    let root = ids.get(&(root_id as u32)).copied();
    let root = root.ok_or_else(|| HloError::invalid(format!("computation {name} has no root with id {root_id}")))?;
    Ok(Computation { id, name, instructions, root, execution_thread, schedule: None, backend_config })
}

/// Builds the table by which instructions are found, and refuses names that are there twice.
fn index_names(module: &mut HloModule) -> Result<(), HloError> {
    let computations = &module.computations;
    let name_at = |at: &InstructionRef| {
        let computation = computations.get(at.computation as usize)?;
        computation.instructions.get(at.instruction as usize).map(|i| &*i.name)
    };
    let mut table: HashTable<InstructionRef> = HashTable::with_capacity(module.n_instructions());
    for (c, computation) in computations.iter().enumerate() {
        for (i, instruction) in computation.instructions.iter().enumerate() {
            let name = &*instruction.name;
            let rehash = |other: &InstructionRef| hash(name_at(other).unwrap_or_default());
            match table.entry(hash(name), |other| name_at(other) == Some(name), rehash) {
                Entry::Occupied(_) => return Err(HloError::invalid(format!("two instructions are named {name}"))),
                Entry::Vacant(free) => {
                    free.insert(InstructionRef { computation: c as u32, instruction: i as u32 });
                }
            }
        }
    }
    module.by_name = table;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlo::testing::{Comp, f32s, int, ints, message, module};

    fn check(proto: &Bytes, expect: Result<usize, &str>) {
        let got = HloModule::from_hlo_proto(proto).map(|m| m.n_instructions()).map_err(|error| error.to_string());
        assert_eq!(got, expect.map_err(str::to_string));
    }

    fn entry(opcode: &str, operands: &[&str], extra: &[u8]) -> Comp {
        Comp::new(0, &[f32s(&[4]), f32s(&[4])]).add("x", opcode, &f32s(&[4]), operands, extra)
    }

    #[test]
    fn refuses_what_contradicts_itself() {
        let add = || entry("add", &["p0", "p1"], &[]);
        check(&module(&[add()], &[]), Ok(3));
        check(&Bytes::new(), Err("No HLO module found in the HLO proto"));
        check(&Bytes::from_static(&[0x0a, 9]), Err("the bytes are not a protobuf message"));
        check(&Bytes::from(message(1, message(1, "m"))), Err("No program shape found in the proto"));
        check(&module(&[entry("frob", &["p0"], &[])], &[]), Err("Unknown opcode: frob"));
        check(&module(&[entry("add", &["p0"], &[])], &[]), Err("add x: wrong number of operands"));
        let order = [message(63, "EQ"), message(102, "SOME")].concat();
        check(&module(&[entry("compare", &["p0", "p1"], &order)], &[]), Err("Unknown comparison order: SOME"));
        let dot = entry("dot", &["p0", "p1"], &[]);
        check(&module(&[dot], &[]), Err("dot x: a required part is missing or does not fit"));
        let late = entry("negate", &[], &ints(36, &[9]));
        check(&module(&[late], &[]), Err("no instruction with id 9 before its user"));
        let twice = add().add("x", "negate", &f32s(&[4]), &["p0"], &[]);
        check(&module(&[twice], &[]), Err("two instructions are named x"));
        check(&module(&[add()], &int(6, 7)), Err("no entry computation with id 7"));
        check(&module(&[add()], &message(8, [0x0a, 9])), Err("the bytes are not a protobuf message"));
    }

    #[test]
    fn orders_instructions_after_what_they_need() {
        let comp = entry("add", &["p1", "p0"], &[]).add("y", "negate", &f32s(&[4]), &["p0"], &ints(37, &[2]));
        let module = HloModule::from_hlo_proto(&module(&[comp], &[])).expect("usable");
        assert_eq!(module.entry().post_order(), [1, 0, 2, 3]);
        assert_eq!(module.find("y").and_then(|at| module.instruction(at)).map(|i| i.id), Some(4));
        assert_eq!(module.find("z"), None);
    }
}
