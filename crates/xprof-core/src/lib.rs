//! Reads profile traces of accelerator programs and turns them into answers.
//!
//! The modules follow the data: bytes ([`wire`]) → columns ([`xspace`]) → side tables ([`prep`]) → artifact of one host
//! ([`opstats`], [`tools`]) → artifact of all hosts → [`answer`].
//! Start reading at [`pipeline`].
//!
//! Invariants:
//! - This crate does no input or output: no sockets, no files, no environment, no clock, no async runtime.
//! - A later stage is never imported by an earlier one.
//! - No input makes it panic; a damaged trace is an [`Error`] or a counted [`diag::Problem`].
//! - Results do not depend on thread timing or on the order in which hosts arrive.

pub mod answer;
pub mod artifact;
pub mod diag;
pub mod error;
pub mod hlo;
pub mod hw;
pub mod op_name;
pub mod opstats;
mod parallel;
pub mod pipeline;
pub mod prep;
pub mod reduction;
pub mod session;
pub mod tools;
pub mod wire;
pub mod xspace;

#[cfg(feature = "fixture")]
pub mod fixture;

pub use diag::Diag;
pub use error::{Error, Result, Retry};
