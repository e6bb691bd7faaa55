//! Protos written out by their definitions, straight from their bytes.
//!
//! Takes the bytes of an `xla.HloProto`, gives protobuf's text format, its JSON, or the same bytes in
//! normal form. Nothing is built up in memory, unknown
//! fields are left out, and nesting is bounded as in every protobuf parser.

mod binary;
mod json;
mod reader;
mod schema;
mod text;

pub(super) use binary::write as write_binary;
pub(super) use json::write as write_json;
pub(super) use text::write as write_text;

/// The message that both write.
const ROOT: &str = ".xla.HloProto";
