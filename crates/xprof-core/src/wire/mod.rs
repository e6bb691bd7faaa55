//! Protobuf wire format without a schema: bytes in, (number, value) pairs out.
//!
//! Nothing here allocates, recurses or panics, whatever the bytes are.
//! Positions in errors are relative to the slice that was given; callers add their own base.

mod field;
mod varint;

pub use field::{Field, Fields, Value};
pub use varint::{read_varint, skip_varint};

/// Why a piece of wire format cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end inside a value.
    #[error("the data ends inside a field")]
    Truncated,
    /// A varint has more than ten bytes or more than 64 bits.
    #[error("a varint is longer than 64 bits")]
    VarintOverflow,
    /// A length-delimited field says that it is longer than what is left.
    #[error("a field claims more bytes than there are")]
    LengthOverflow,
    /// A wire type that protobuf does not define, or a field number of zero.
    #[error("a field tag is not valid protobuf")]
    BadTag,
    /// A group ends that never began, or begins and never ends.
    #[error("a group is not balanced")]
    UnbalancedGroup,
}

/// The position of `part` inside `whole`, of which it must be a subslice.
pub fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    let offset = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    debug_assert!(offset <= whole.len());
    offset
}

/// Iterates over a packed repeated field of varints; a damaged tail ends the iteration.
pub fn packed_varints(data: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let mut pos = 0;
    std::iter::from_fn(move || read_varint(data, &mut pos).ok())
}
