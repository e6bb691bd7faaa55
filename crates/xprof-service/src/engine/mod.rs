//! One map job, from a path to an artifact: the same code on a worker and inside the aggregator.
//!
//! ```text
//! job ─▶ artifact cached? ─▶ permit (jobs) ─▶ trace prepared? ─▶ permit (bytes) ─▶ read, prepare ─▶ map ─▶ artifact
//!            └───────────────────────── yes: answered at once ─────────────────────────────────────────────▲
//! ```
//! - Two jobs that need the same thing at the same time make it once ([`flight`]).
//! - Running jobs and cached results share one budget of bytes ([`ledger`]): a job that needs room evicts what was not used for longest.
//! - Dropping the future of a job stops its work, unless another job waits for the same thing.

mod elsewhere;
mod error;
mod flight;
mod ledger;
mod map;
mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use xprof_core::artifact::AnyArtifact;
use xprof_core::diag::Problem;
use xprof_core::tools::{Params, registry};

pub use elsewhere::Origin;
pub use error::EngineError;
pub use map::Engine;

use crate::storage::TraceIdentity;

/// What the engine may use.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineLimits {
    /// Map jobs that run at once.
    pub jobs: usize,
    /// Bytes for running jobs and caches together.
    pub memory_budget: u64,
    /// Memory that reading and preparing a trace may take, as a multiple of its file size.
    pub cost_factor: f64,
    /// A job that would wait behind this many others is refused instead.
    pub max_waiting: usize,
}

impl EngineLimits {
    /// From configured values, where 0 stands for automatic.
    pub fn new(jobs: usize, memory_budget: u64) -> Self {
        Self {
            jobs: if jobs == 0 { crate::limits::cpus() } else { jobs },
            memory_budget: if memory_budget == 0 { crate::limits::default_memory_budget() } else { memory_budget },
            // A prepared trace holds columns, not the file: for the traces we know well below the size of the file.
            // The surplus is for what map allocates on top.
            cost_factor: 1.5,
            max_waiting: 4096,
        }
    }
}

/// The stages that a caller can watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for permits.
    Queued,
    /// The file is opened.
    Read,
    /// The trace is read and prepared.
    Prepare,
    /// The tool's map runs.
    Map,
}

impl Stage {
    /// Lower-case word for logs, metrics and progress messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Read => "read",
            Self::Prepare => "prepare",
            Self::Map => "map",
        }
    }
}

/// Called at each change of stage. It must not block.
pub type OnStage = Arc<dyn Fn(Stage) + Send + Sync>;

/// One host's share of one request.
#[derive(Clone)]
pub struct MapJob {
    /// The trace file, absolute.
    pub path: PathBuf,
    /// The version of the file that the caller means, if it cares: another version is [`EngineError::TraceChanged`].
    pub expected: Option<TraceIdentity>,
    /// The host's name.
    pub host: Arc<str>,
    /// What to map.
    pub tool: &'static registry::Entry,
    /// The request's parameters; only those on which map depends are used.
    pub params: Params,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// For logs.
    pub request_id: Arc<str>,
    /// Who watches.
    pub on_stage: Option<OnStage>,
}

impl std::fmt::Debug for MapJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MapJob")
            .field("path", &self.path)
            .field("host", &self.host)
            .field("tool", &self.tool.name)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

/// Where the time of a job went. A stage that a cache made unnecessary took none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// Waiting for permits, and for another job that made the same thing.
    pub queued: Duration,
    /// Opening the file.
    pub read: Duration,
    /// Reading and preparing.
    pub prepare: Duration,
    /// Mapping.
    pub map: Duration,
}

/// The answer to a map job.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// What map made.
    pub artifact: AnyArtifact,
    /// What was odd about the trace.
    pub problems: Vec<Problem>,
    /// Where the time went.
    pub timing: Timing,
    /// Whether the artifact or the prepared trace was held already, so that the trace was not read.
    pub cache_hit: bool,
    /// The version of the trace that was mapped.
    pub identity: TraceIdentity,
}

/// The engine as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineStatus {
    /// Jobs that run.
    pub jobs_running: usize,
    /// Jobs that wait for a permit.
    pub jobs_waiting: usize,
    /// Jobs that may run at once.
    pub jobs_limit: usize,
    /// Bytes of running jobs and caches.
    pub bytes_held: u64,
    /// The budget.
    pub bytes_limit: u64,
    /// Prepared traces in the cache.
    pub prepared_traces: usize,
    /// Artifacts in the cache.
    pub artifacts: usize,
}
