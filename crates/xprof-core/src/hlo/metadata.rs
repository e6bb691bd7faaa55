//! Where an instruction comes from: framework op, source line, stack frame.
//!
//! Takes `xla.OpMetadata` bytes, gives spans of the module's bytes; must not copy texts, for every instruction has some.

use bytes::Bytes;
use smallvec::SmallVec;

use super::HloError;
use super::proto::{each_field, push_ints, text};
use crate::wire::{Value, offset_in};

/// A piece of the module's bytes; resolve texts with [`super::HloModule::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    /// Whether there is nothing in it.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The span of `part`, which must lie in `owner`; owners over 4 GiB are refused before anything is read.
    pub(crate) fn of(owner: &Bytes, part: &[u8]) -> Self {
        if part.is_empty() {
            return Self::default();
        }
        Self { start: offset_in(owner, part) as u32, len: part.len() as u32 }
    }

    /// The bytes, empty if the span is none of this owner's.
    pub(crate) fn bytes(self, owner: &Bytes) -> &[u8] {
        let start = self.start as usize;
        owner.get(start..start + self.len as usize).unwrap_or_default()
    }
}

/// What the framework and the compiler noted about an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Framework op type, a text.
    pub op_type: Span,
    /// Framework op name with scopes, a text.
    pub op_name: Span,
    /// Source file, a text.
    pub source_file: Span,
    /// Name of the representative of equal instructions, a text.
    pub deduplicated_name: Span,
    /// Name used by the scheduler, a text.
    pub scheduling_name: Span,
    /// An opaque payload: its bytes, or its id in the module's payload table.
    pub payload: Option<Payload>,
    /// First source line, 0 if unknown.
    pub source_line: i32,
    /// Last source line.
    pub source_end_line: i32,
    /// First source column.
    pub source_column: i32,
    /// Last source column.
    pub source_end_column: i32,
    /// Stack frame as numbered in the proto, 0 if none.
    pub stack_frame_id: i32,
    /// Profiles that covered the instruction.
    pub profile_types: SmallVec<[i64; 1]>,
}

/// Opaque bytes that are either here or in the module's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// The bytes themselves.
    Inline(Span),
    /// Index into the module's payloads.
    Id(i64),
}

/// Reads a payload message.
pub(crate) fn payload(owner: &Bytes, data: &[u8]) -> Result<Option<Payload>, HloError> {
    let mut payload = None;
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Bytes(part)) => payload = Some(Payload::Inline(Span::of(owner, part))),
            (2, Value::Varint(v)) => payload = Some(Payload::Id(v as i64)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(payload)
}

impl Metadata {
    /// Reads an `OpMetadata` that lies in `owner`.
    pub(crate) fn from_proto(owner: &Bytes, data: &[u8]) -> Result<Self, HloError> {
        let mut metadata = Self::default();
        let checked = |part: &[u8]| text(part).map(|_| Span::of(owner, part));
        each_field(data, |number, value| {
            match (number, value) {
                (1, Value::Bytes(part)) => metadata.op_type = checked(part)?,
                (2, Value::Bytes(part)) => metadata.op_name = checked(part)?,
                (3, Value::Bytes(part)) => metadata.source_file = checked(part)?,
                (4, Value::Varint(v)) => metadata.source_line = v as i32,
                (5, value) => push_ints(&mut metadata.profile_types, value)?,
                (12, Value::Bytes(part)) => metadata.deduplicated_name = checked(part)?,
                (15, Value::Varint(v)) => metadata.stack_frame_id = v as i32,
                (16, Value::Bytes(part)) => metadata.scheduling_name = checked(part)?,
                (17, Value::Varint(v)) => metadata.source_end_line = v as i32,
                (18, Value::Varint(v)) => metadata.source_column = v as i32,
                (19, Value::Varint(v)) => metadata.source_end_column = v as i32,
                (20, Value::Bytes(part)) => metadata.payload = payload(owner, part)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: &'static [u8], op_name: Option<&str>, line: i32) {
        let owner = Bytes::from_static(data);
        let got = Metadata::from_proto(&owner, &owner);
        let name = got.as_ref().ok().map(|m| std::str::from_utf8(m.op_name.bytes(&owner)).unwrap());
        assert_eq!(name, op_name);
        assert_eq!(got.map_or(0, |m| m.source_line), line);
    }

    #[test]
    fn reads_spans() {
        check(&[0x12, 2, b'a', b'b', 0x20, 7], Some("ab"), 7);
        check(&[0x12, 1, 0xff], None, 0);
        check(&[], Some(""), 0);
    }
}
