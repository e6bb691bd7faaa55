//! One HLO instruction and how it is read.
//!
//! Takes `xla.HloInstructionProto` bytes and what is already known of the module, gives an [`Instruction`] whose operands,
//! predecessors and callees are positions instead of ids.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::HloError;
use super::attribute::{Attribute, AttributeReader, field};
use super::metadata::Metadata;
use super::opcode::Opcode;
use super::proto::{Ints, each_field, push_ints, shared_text, text};
use super::shape::{Shape, ShapeTable};
use crate::wire::Value;

/// An operation of a computation. Positions of other instructions count from 0 inside the same computation.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// Id inside its computation: the low 32 bits of the proto's id.
    pub id: u32,
    /// Name, unique in the module, sanitised as HLO text demands.
    pub name: ByteString,
    /// What it computes.
    pub opcode: Opcode,
    /// Shape of its value.
    pub shape: Arc<Shape>,
    /// Positions of its operands.
    pub operands: SmallVec<[u32; 4]>,
    /// Positions of the instructions that must run before it without giving it data.
    pub predecessors: Vec<u32>,
    /// Positions in the module of the computations it calls.
    pub called: SmallVec<[u32; 2]>,
    /// Where it comes from.
    pub metadata: Option<Box<Metadata>>,
    /// Its other fields; see the getters.
    pub attributes: Vec<Attribute>,
}

/// What the reader of an instruction must know of its surroundings.
pub(crate) struct Context<'a, 'o> {
    /// The bytes that everything shares.
    pub owner: &'o Bytes,
    /// Shapes seen before.
    pub shapes: &'o mut ShapeTable<'a>,
    /// Position of each instruction already read, by the low half of its id.
    pub instructions: &'o FxHashMap<u32, u32>,
    /// Position of each computation already read, by its whole id.
    pub computations: &'o FxHashMap<i64, u32>,
}

impl Instruction {
    /// Reads an `HloInstructionProto`.
    pub(crate) fn from_proto<'a>(context: &mut Context<'a, '_>, data: &'a [u8]) -> Result<Self, HloError> {
        let (mut name, mut opcode, mut id) = (&data[..0], &data[..0], 0);
        let (mut shape, mut metadata) = (None, None);
        let (mut operand_ids, mut predecessor_ids, mut called_ids) = (Ints::new(), Ints::new(), Ints::new());
        let owner = context.owner;
        let mut reader = AttributeReader { owner, shapes: context.shapes, list: Vec::new() };
        each_field(data, |number, value| {
            match (number, value) {
                (1, Value::Bytes(part)) => name = part,
                (2, Value::Bytes(part)) => opcode = part,
                (3, Value::Bytes(part)) => shape = Some(part),
                (7, Value::Bytes(part)) => metadata = Some(Box::new(Metadata::from_proto(owner, part)?)),
                (35, Value::Varint(v)) => id = v as i64,
                (36, value) => push_ints(&mut operand_ids, value)?,
                (37, value) => push_ints(&mut predecessor_ids, value)?,
                (38, value) => push_ints(&mut called_ids, value)?,
                (number, value) => reader.read(number, value)?,
            }
            Ok(())
        })?;
        let mut attributes = reader.list;
        let opcode = read_opcode(text(opcode)?, &mut attributes)?;
        let shape = context.shapes.get(shape.unwrap_or_default())?;
        let instruction_at = |id: &i64| {
            let at = context.instructions.get(&(*id as u32)).copied();
            at.ok_or_else(|| HloError::invalid(format!("no instruction with id {id} before its user")))
        };
        let computation_at = |id: &i64| {
            let at = context.computations.get(id).copied();
            at.ok_or_else(|| HloError::invalid(format!("no computation with id {id} before its caller")))
        };
        Ok(Self {
            id: id as u32,
            name: sanitize_instruction(shared_text(owner, name)?),
            opcode,
            shape,
            operands: operand_ids.iter().map(instruction_at).collect::<Result<_, _>>()?,
            predecessors: predecessor_ids.iter().map(instruction_at).collect::<Result<_, _>>()?,
            called: called_ids.iter().map(computation_at).collect::<Result<_, _>>()?,
            metadata,
            attributes,
        })
    }
}

/// The opcode of that name. The comparisons of old compilers become `compare` with a direction.
fn read_opcode(name: &str, attributes: &mut Vec<Attribute>) -> Result<Opcode, HloError> {
    if let Some(opcode) = Opcode::from_name(name) {
        return Ok(opcode);
    }
    let direction = Opcode::legacy_comparison(name).ok_or_else(|| HloError::UnknownOpcode(name.to_owned()))?;
    attributes.push(Attribute::Text(field::COMPARISON_DIRECTION, direction.into()));
    Ok(Opcode::Compare)
}

/// A name as HLO text allows it: letters, digits, `_`, `.` and `-`, beginning with a letter or `_`.
/// Two leading underscores are reserved, except for names that begin with `__xla_`.
pub(crate) fn sanitize(name: ByteString) -> ByteString {
    let allowed = |(i, b): (usize, &u8)| {
        if i == 0 {
            b.is_ascii_alphabetic() || *b == b'_'
        } else {
            b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')
        }
    };
    let reserved = name.starts_with("__") && !name.starts_with("__xla_");
    if !reserved && name.as_bytes().iter().enumerate().all(allowed) {
        return name;
    }
    // Every byte of a longer character becomes an underscore of its own.
    let mut clean: String =
        name.as_bytes().iter().enumerate().map(|(i, b)| if allowed((i, b)) { *b as char } else { '_' }).collect();
    if clean.starts_with("__") && !clean.starts_with("__xla_") {
        clean.replace_range(..1, "a");
    }
    clean.into()
}

/// [`sanitize`], and a name that could be mistaken for a type gets an underscore.
fn sanitize_instruction(name: ByteString) -> ByteString {
    let name = sanitize(name);
    let is_type = super::shape::PrimitiveType::ALL.iter().any(|(_, ty)| ty.name() == &*name);
    if is_type && !matches!(&*name, "tuple" | "buffer") { format!("{name}_").into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expect: &str) {
        assert_eq!(sanitize_instruction(name.into()), expect);
    }

    #[test]
    fn sanitizes_names() {
        check("fusion.1", "fusion.1");
        check("1x", "_x");
        check("a b/é", "a_b___");
        check("f32", "f32_");
        check("u2", "u2_");
        check("tuple", "tuple");
        check("__foo", "a_foo");
        check("__xla_x", "__xla_x");
        check("_", "_");
        check("", "");
    }
}
