//! Why a map job has no artifact.

use std::sync::Arc;

use xprof_core::Retry;

use crate::cpu_pool::Abandoned;
use crate::storage::{StorageError, TraceIdentity};

/// Everything that can go wrong with a map job.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The file is not there or cannot be read.
    #[error("the trace cannot be read")]
    Storage(#[source] StorageError),
    /// The trace or the request is at fault.
    #[error("{path} cannot be converted")]
    Convert {
        /// The trace file.
        path: Arc<str>,
        /// Why.
        #[source]
        source: xprof_core::Error,
    },
    /// The file is not the version that the caller means, or it changed while it was read.
    #[error("{} is another version than expected: it has {} bytes, written at {} ns", found.path.display(), found.size_bytes, found.modified_unix_ns)]
    TraceChanged {
        /// The file as it is now.
        found: TraceIdentity,
    },
    /// The deadline passed.
    #[error("the deadline passed while the job was {stage}")]
    DeadlineExceeded {
        /// `waiting` or `running`.
        stage: &'static str,
    },
    /// Too many jobs wait already.
    #[error("the queue is full: {waiting} jobs wait")]
    Overloaded {
        /// How many.
        waiting: usize,
    },
    /// A defect of this program.
    #[error("internal error")]
    Internal(#[source] Abandoned),
}

impl EngineError {
    /// A stable label for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Storage(error) => error.code(),
            Self::Convert { source, .. } => source.code(),
            Self::TraceChanged { .. } => "trace_changed",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::Overloaded { .. } => "overloaded",
            Self::Internal(_) => "internal",
        }
    }

    /// Whether the same job may succeed elsewhere or later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Storage(error) => error.retry(),
            Self::Convert { source, .. } => source.retry(),
            // A defect is the same everywhere.
            Self::DeadlineExceeded { .. } | Self::Internal(_) => Retry::No,
            Self::TraceChanged { .. } => Retry::Later,
            Self::Overloaded { .. } => Retry::Elsewhere,
        }
    }
}
