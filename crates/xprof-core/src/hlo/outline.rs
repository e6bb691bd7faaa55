//! A module as it is written: names and instructions by id, without a judgement whether it is a usable program.
//!
//! Takes the bytes of an `xla.HloProto` and reads an instruction's fields only when they are asked for. For tools that need
//! facts of some instructions and must work for modules that [`super::HloModule`] refuses.

use std::borrow::Cow;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::HloError;
use super::frames::StackFrames;
use super::metadata::{Metadata, Span};
use super::proto::{each_field, text};
use super::shape::Shape;
use crate::wire::Value;

/// The names and instructions of a module.
#[derive(Debug, Clone)]
pub struct Outline {
    bytes: Bytes,
    /// Name of the module as in the proto, a text.
    pub name: Span,
    /// Name of the entry computation, a text.
    pub entry_name: Span,
    /// Source positions that instructions refer to.
    pub frames: StackFrames,
    /// The instructions' protos in the order of the module.
    pub instructions: Vec<Span>,
    by_id: FxHashMap<i64, u32>,
}

/// The fields of an instruction that tools show.
#[derive(Debug, Clone, Default)]
pub struct OutlineInstruction {
    /// Name, a text.
    pub name: Span,
    /// Opcode, a text.
    pub opcode: Span,
    /// Encoded shape of its value.
    pub shape: Span,
    /// Where it comes from.
    pub metadata: Metadata,
    /// The backend's configuration, a text or opaque bytes.
    pub backend_config: Span,
}

impl Outline {
    /// Reads an `xla.HloProto`; a proto without a module has no names and no instructions.
    pub fn from_hlo_proto(bytes: &Bytes) -> Result<Self, HloError> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(HloError::TooLarge);
        }
        let mut outline = Self {
            bytes: bytes.clone(),
            name: Span::default(),
            entry_name: Span::default(),
            frames: StackFrames::default(),
            instructions: Vec::new(),
            by_id: FxHashMap::default(),
        };
        each_field(bytes, |number, value| match (number, value) {
            (1, Value::Bytes(part)) => outline.read_module(part),
            _ => Ok(()),
        })?;
        Ok(outline)
    }

    fn read_module(&mut self, data: &[u8]) -> Result<(), HloError> {
        let owner = self.bytes.clone();
        each_field(data, |number, value| {
            match (number, value) {
                (1, Value::Bytes(part)) => self.name = checked(&owner, part)?,
                (2, Value::Bytes(part)) => self.entry_name = checked(&owner, part)?,
                (3, Value::Bytes(part)) => self.read_computation(&owner, part)?,
                (17, Value::Bytes(part)) => self.frames = StackFrames::from_proto(&owner, part)?,
                _ => {}
            }
            Ok(())
        })
    }

    fn read_computation(&mut self, owner: &Bytes, data: &[u8]) -> Result<(), HloError> {
        each_field(data, |number, value| {
            if let (2, Value::Bytes(part)) = (number, value) {
                let mut id = 0;
                each_field(part, |number, value| {
                    if let (35, Value::Varint(v)) = (number, value) {
                        id = v as i64;
                    }
                    Ok(())
                })?;
                self.by_id.insert(id, self.instructions.len() as u32);
                self.instructions.push(Span::of(owner, part));
            }
            Ok(())
        })
    }

    /// The proto of the instruction of that id.
    pub fn find(&self, id: i64) -> Option<Span> {
        self.instructions.get(*self.by_id.get(&id)? as usize).copied()
    }

    /// Reads an instruction's fields.
    pub fn instruction(&self, proto: Span) -> Result<OutlineInstruction, HloError> {
        let owner = &self.bytes;
        let mut instruction = OutlineInstruction::default();
        each_field(proto.bytes(owner), |number, value| {
            match (number, value) {
                (1, Value::Bytes(part)) => instruction.name = checked(owner, part)?,
                (2, Value::Bytes(part)) => instruction.opcode = checked(owner, part)?,
                (3, Value::Bytes(part)) => instruction.shape = Span::of(owner, part),
                (7, Value::Bytes(part)) => instruction.metadata = Metadata::from_proto(owner, part)?,
                (43, Value::Bytes(part)) => instruction.backend_config = Span::of(owner, part),
                _ => {}
            }
            Ok(())
        })?;
        Ok(instruction)
    }

    /// The shape of an instruction's value.
    pub fn shape(&self, of: &OutlineInstruction) -> Result<Shape, HloError> {
        Shape::from_proto(of.shape.bytes(&self.bytes))
    }

    /// The bytes that a span of this module stands for.
    pub fn bytes(&self, span: Span) -> &[u8] {
        span.bytes(&self.bytes)
    }

    /// The text that a span of this module stands for.
    pub fn text(&self, span: Span) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(span))
    }

    /// Roughly the bytes of memory held beside the proto itself.
    pub fn weight(&self) -> usize {
        self.instructions.len() * (size_of::<Span>() + 2 * size_of::<(i64, u32)>())
    }
}

fn checked(owner: &Bytes, part: &[u8]) -> Result<Span, HloError> {
    text(part).map(|_| Span::of(owner, part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlo::testing::{Comp, f32s, int, message, module};

    #[test]
    fn reads_what_a_module_would_refuse() {
        let entry = Comp::new(0, &[f32s(&[4])]).add("f x", "frob", &f32s(&[2]), &["p0"], &message(43, "{}"));
        let proto = module(&[entry], &[message(2, "main"), int(6, 99)].concat());
        let outline = Outline::from_hlo_proto(&proto).expect("protobuf");
        assert_eq!((outline.text(outline.name), outline.text(outline.entry_name)), ("m".into(), "main".into()));
        assert_eq!(outline.instructions.len(), 2);
        let frob = outline.instruction(outline.find(2).expect("id 2")).expect("protobuf");
        let texts = [frob.name, frob.opcode, frob.backend_config].map(|span| outline.text(span));
        assert_eq!(texts, ["f x", "frob", "{}"]);
        assert_eq!(outline.shape(&frob).expect("a shape").n_elements(), 2);
        assert_eq!(outline.find(3), None);
    }

    #[test]
    fn refuses_damage() {
        let check = |proto: Vec<u8>, expect: HloError| {
            assert_eq!(Outline::from_hlo_proto(&Bytes::from(proto)).err(), Some(expect));
        };
        check(message(1, message(1, [0xff])), HloError::NotUtf8);
        check(vec![0x0a, 9], HloError::Wire(crate::wire::WireError::LengthOverflow));
        assert_eq!(Outline::from_hlo_proto(&Bytes::new()).map(|o| o.instructions.len()), Ok(0));
    }
}
