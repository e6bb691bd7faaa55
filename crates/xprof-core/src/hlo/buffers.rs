//! The memory of a program: its arrays, the pieces of memory they lie in, and the order in which they got it.
//!
//! Takes the bytes of an `xla.HloProto`, gives plain records. Must not judge them: ids may be unknown and sizes absurd.

use bytes::Bytes;

use super::HloError;
use super::metadata::Span;
use super::proto::{Ints, each_field, push_ints, text};
use crate::wire::Value;

/// An array that the program computes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogicalBuffer {
    /// Identity.
    pub id: i64,
    /// Size in bytes, with padding.
    pub size_bytes: i64,
    /// The instruction that computes it.
    pub instruction_id: i64,
    /// Where in the instruction's result it is, from the outermost tuple inwards.
    pub shape_index: Ints,
    /// The kind of memory it must lie in.
    pub color: i64,
}

/// An array's place in a piece of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Assigned {
    /// The array.
    pub buffer_id: i64,
    /// Begin within the piece, in bytes.
    pub offset_bytes: i64,
    /// Size in bytes.
    pub size_bytes: i64,
}

/// A piece of memory, and why it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allocation {
    /// Number.
    pub index: i64,
    /// Size in bytes.
    pub size_bytes: i64,
    /// Whether each thread has its own.
    pub is_thread_local: bool,
    /// Whether it holds a parameter of the program.
    pub is_entry_parameter: bool,
    /// Whether it may hold a result of the program.
    pub maybe_live_out: bool,
    /// The kind of memory.
    pub color: i64,
    /// What lies in it.
    pub assigned: Vec<Assigned>,
    /// Whether it holds a table of pointers.
    pub is_tuple: bool,
    /// Whether it holds a constant.
    pub is_constant: bool,
}

/// What happens to an array's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeapAction {
    /// It gets memory.
    #[default]
    Alloc,
    /// It gives its memory back.
    Free,
    /// It uses the memory of another array.
    ShareWith,
    /// Something that is not known.
    Unknown,
}

/// One step of packing arrays into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeapEvent {
    /// What happens.
    pub action: HeapAction,
    /// To which array.
    pub buffer_id: i64,
    /// The array whose memory is used, for [`HeapAction::ShareWith`].
    pub canonical_id: i64,
    /// Name of the instruction at which it happens, a text of the proto.
    pub instruction_name: Span,
}

/// Everything about the memory of one program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BufferAssignment {
    /// Arrays.
    pub buffers: Vec<LogicalBuffer>,
    /// Pieces of memory.
    pub allocations: Vec<Allocation>,
    /// How arrays were packed: a list of events per packing.
    pub heap_traces: Vec<Vec<HeapEvent>>,
}

impl BufferAssignment {
    /// Reads that of an `xla.HloProto`; empty if the proto has none.
    pub fn from_hlo_proto(owner: &Bytes) -> Result<Self, HloError> {
        if u32::try_from(owner.len()).is_err() {
            return Err(HloError::TooLarge);
        }
        let mut all = Self::default();
        each_field(owner, |number, value| match (number, value) {
            (3, Value::Bytes(part)) => all.read(owner, part),
            _ => Ok(()),
        })?;
        Ok(all)
    }

    fn read(&mut self, owner: &Bytes, data: &[u8]) -> Result<(), HloError> {
        each_field(data, |number, value| {
            match (number, value) {
                (1, Value::Bytes(part)) => self.buffers.push(read_buffer(part)?),
                (3, Value::Bytes(part)) => self.allocations.push(read_allocation(part)?),
                (4, Value::Bytes(part)) => self.heap_traces.push(read_trace(owner, part)?),
                _ => {}
            }
            Ok(())
        })
    }
}

fn read_buffer(data: &[u8]) -> Result<LogicalBuffer, HloError> {
    let mut buffer = LogicalBuffer::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Varint(v)) => buffer.id = v as i64,
            (2, Value::Varint(v)) => buffer.size_bytes = v as i64,
            (3, Value::Bytes(part)) => each_field(part, |number, value| {
                match (number, value) {
                    (2, Value::Bytes(name)) => {
                        text(name)?;
                    }
                    (3, value) => push_ints(&mut buffer.shape_index, value)?,
                    (4, Value::Varint(v)) => buffer.instruction_id = v as i64,
                    _ => {}
                }
                Ok(())
            })?,
            (4, Value::Varint(v)) => buffer.color = v as i64,
            _ => {}
        }
        Ok(())
    })?;
    Ok(buffer)
}

fn read_allocation(data: &[u8]) -> Result<Allocation, HloError> {
    let mut allocation = Allocation::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Varint(v)) => allocation.index = v as i64,
            (2, Value::Varint(v)) => allocation.size_bytes = v as i64,
            (3, Value::Varint(v)) => allocation.is_thread_local = v != 0,
            (5, Value::Varint(v)) => allocation.is_entry_parameter = v != 0,
            (7, Value::Varint(v)) => allocation.maybe_live_out = v != 0,
            (8, Value::Varint(v)) => allocation.color = v as i64,
            (9, Value::Bytes(part)) => allocation.assigned.push(read_assigned(part)?),
            (11, Value::Varint(v)) => allocation.is_tuple = v != 0,
            (12, Value::Varint(v)) => allocation.is_constant = v != 0,
            _ => {}
        }
        Ok(())
    })?;
    Ok(allocation)
}

fn read_assigned(data: &[u8]) -> Result<Assigned, HloError> {
    let mut assigned = Assigned::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Varint(v)) => assigned.buffer_id = v as i64,
            (2, Value::Varint(v)) => assigned.offset_bytes = v as i64,
            (3, Value::Varint(v)) => assigned.size_bytes = v as i64,
            _ => {}
        }
        Ok(())
    })?;
    Ok(assigned)
}

fn read_trace(owner: &Bytes, data: &[u8]) -> Result<Vec<HeapEvent>, HloError> {
    let mut events = Vec::new();
    each_field(data, |number, value| {
        if let (1, Value::Bytes(part)) = (number, value) {
            events.push(read_event(owner, part)?);
        }
        Ok(())
    })?;
    Ok(events)
}

fn read_event(owner: &Bytes, data: &[u8]) -> Result<HeapEvent, HloError> {
    let mut event = HeapEvent::default();
    each_field(data, |number, value| {
        match (number, value) {
            (1, Value::Varint(v)) => {
                event.action = match v {
                    0 => HeapAction::Alloc,
                    1 => HeapAction::Free,
                    2 => HeapAction::ShareWith,
                    _ => HeapAction::Unknown,
                }
            }
            (2, Value::Varint(v)) => event.buffer_id = v as i64,
            (3, Value::Bytes(name)) => {
                text(name)?;
            }
            (4, Value::Bytes(name)) => {
                text(name)?;
                event.instruction_name = Span::of(owner, name);
            }
            (5, Value::Varint(v)) => event.canonical_id = v as i64,
            _ => {}
        }
        Ok(())
    })?;
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hlo::testing::{int, message};

    fn check(assignment: &[Vec<u8>], expect: &Result<BufferAssignment, HloError>) {
        let owner = Bytes::from(message(3, assignment.concat()));
        assert_eq!(BufferAssignment::from_hlo_proto(&owner), *expect);
    }

    #[test]
    fn reads_every_record() {
        let place = [message(3, [1, 2]), int(4, 77)].concat();
        let buffer = [int(1, 5), int(2, 400), message(3, place), int(4, 1)].concat();
        let assigned = [int(1, 5), int(2, 64), int(3, 400)].concat();
        let flags = [3, 5, 7, 11, 12].map(|flag| int(flag, 1)).concat();
        let allocation = [int(1, 9), int(2, 1000), flags, int(8, 1), message(9, assigned)].concat();
        let event = [int(1, 2), int(2, 5), message(3, "c"), int(5, 6)].concat();
        let unknown = [int(1, 9), int(2, -1)].concat();
        check(
            &[
                message(1, buffer),
                message(3, allocation),
                message(4, [message(1, event), message(1, unknown)].concat()),
            ],
            &Ok(BufferAssignment {
                buffers: vec![LogicalBuffer {
                    id: 5,
                    size_bytes: 400,
                    instruction_id: 77,
                    shape_index: [1, 2].as_slice().into(),
                    color: 1,
                }],
                allocations: vec![Allocation {
                    index: 9,
                    size_bytes: 1000,
                    is_thread_local: true,
                    is_entry_parameter: true,
                    maybe_live_out: true,
                    color: 1,
                    assigned: vec![Assigned { buffer_id: 5, offset_bytes: 64, size_bytes: 400 }],
                    is_tuple: true,
                    is_constant: true,
                }],
                heap_traces: vec![vec![
                    HeapEvent {
                        action: HeapAction::ShareWith,
                        buffer_id: 5,
                        canonical_id: 6,
                        instruction_name: Span::default(),
                    },
                    HeapEvent { action: HeapAction::Unknown, buffer_id: -1, ..HeapEvent::default() },
                ]],
            }),
        );
    }

    #[test]
    fn refuses_damage() {
        check(&[], &Ok(BufferAssignment::default()));
        check(&[message(4, message(1, message(4, [0xff])))], &Err(HloError::NotUtf8));
        check(&[vec![0x0a, 9]], &Err(HloError::Wire(crate::wire::WireError::LengthOverflow)));
    }
}
