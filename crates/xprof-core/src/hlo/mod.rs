//! HLO modules: the programs that a trace's device ops belong to.
//!
//! Takes the bytes of an `xla.HloProto`, gives a checked [`HloModule`], its text, categories and costs.
//! [`HloModuleFacts`] is the door for op statistics; the other modules are for tools that show programs.
//!
//! Invariants:
//! - No bytes make it panic, recurse without bound or take more memory than a small multiple of their length.
//! - Text is made on demand, never kept.
//! - Nothing here knows of traces, planes or sessions.

pub mod attribute;
pub mod buffers;
pub mod category;
#[cfg(test)]
mod corpus_tests;
pub mod cost;
pub mod dims;
mod error;
pub mod facts;
mod frame_numbers;
pub mod frames;
mod getters;
mod instruction;
pub mod literal;
mod metadata;
pub mod module;
pub mod opcode;
pub mod outline;
mod proto;
mod replica_groups;
mod scan;
mod schedule;
pub mod shape;
mod sharding;
mod sharding_normal;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
mod tile_order;
mod validate;
mod wellformed;

pub use attribute::{Attribute, field};
pub use cost::{Costs, ModuleCosts};
pub use error::HloError;
pub use facts::{FusedChild, HloModuleFacts, InstructionFacts, SourceInfo};
pub use instruction::Instruction;
pub use metadata::{Metadata, Span};
pub use module::{Computation, HloModule, InstructionRef};
pub use opcode::Opcode;
pub use scan::{module_name_of, shows_training};
pub use shape::{ArrayShape, Layout, PrimitiveType, Shape};
