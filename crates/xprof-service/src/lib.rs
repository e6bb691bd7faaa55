//! What the worker and the aggregator share: everything around the conversion that is neither gRPC nor a route of the user's HTTP API.
//!
//! Read in this order: [`config`] (what may be set, and how) → [`storage`] (trace bytes) → [`engine`] (one map job,
//! from a path to an artifact, the same code on a worker and inside the aggregator) → [`admin`] (what operators see).
//!
//! Invariants:
//! - No gRPC, no tool knowledge. A tool is an opaque `&'static registry::Entry`.
//! - Input and output run on tokio, conversion runs on one [`cpu_pool::CpuPool`].
//! - Every wait is bounded by a deadline or ends when its caller goes away.
//! - The environment is read in [`config`] and nowhere else.

pub mod admin;
pub mod config;
pub mod cpu_pool;
pub mod engine;
pub mod error_chain;
pub mod exit;
pub mod limits;
pub mod metrics;
pub mod shutdown;
pub mod storage;
pub mod telemetry;

/// The version of this build, for `--version`, logs and answers.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
