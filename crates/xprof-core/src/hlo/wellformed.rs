//! Whether the parts of a proto that are not read here are protobuf at all.
//!
//! A parser that knows the whole schema refuses a proto for damage anywhere in it, so damage in a part that only other tools read
//! must not go unnoticed either. Takes bytes and a tree of the fields that hold messages; must not keep anything.

use super::HloError;
use super::proto::each_field;
use crate::wire::Value;

/// The fields of a message that are messages themselves.
struct Schema(&'static [(u32, Schema)]);

/// A message without messages in it.
const FLAT: Schema = Schema(&[]);

/// `BufferAssignmentProto`: buffers, aliases, allocations, heap traces.
const BUFFER_ASSIGNMENT: Schema =
    Schema(&[(1, Schema(&[(3, FLAT)])), (2, FLAT), (3, Schema(&[(9, FLAT)])), (4, Schema(&[(1, FLAT)])), (5, FLAT)]);

/// The fields of `HloModuleProto` that only printing of whole modules reads.
const MODULE_REST: Schema = Schema(&[
    (8, Schema(&[(1, FLAT)])),
    (10, FLAT),
    (12, FLAT),
    (13, FLAT),
    (14, FLAT),
    (15, Schema(&[(3, FLAT)])),
    (18, Schema(&[(1, FLAT)])),
    (19, Schema(&[(1, FLAT)])),
    (20, FLAT),
    (24, FLAT),
]);

/// Checks a `BufferAssignmentProto`.
pub(super) fn buffer_assignment(data: &[u8]) -> Result<(), HloError> {
    check(data, &BUFFER_ASSIGNMENT)
}

/// Checks one field of an `HloModuleProto`.
pub(super) fn module_field(number: u32, value: Value<'_>) -> Result<(), HloError> {
    field(number, value, &MODULE_REST)
}

/// The recursion is as deep as the constant trees above.
fn check(data: &[u8], schema: &Schema) -> Result<(), HloError> {
    each_field(data, |number, value| field(number, value, schema))
}

fn field(number: u32, value: Value<'_>, schema: &Schema) -> Result<(), HloError> {
    match (schema.0.iter().find(|(known, _)| *known == number), value) {
        (Some((_, inner)), Value::Bytes(part)) => check(part, inner),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_buffers(data: &[u8], ok: bool) {
        assert_eq!(buffer_assignment(data).is_ok(), ok, "{data:?}");
    }

    #[test]
    fn finds_damage_in_nested_messages() {
        check_buffers(&[], true);
        check_buffers(&[0x0a, 2, 0x08, 1], true);
        check_buffers(&[0x0a, 2, 0x1a, 0], true);
        check_buffers(&[0x0a, 2, 0x1a, 1], false);
        check_buffers(&[0x0a, 9], false);
        check_buffers(&[0x3a, 1, 0xff], true);
    }
}
