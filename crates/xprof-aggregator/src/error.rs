//! Everything that can go wrong between a request and its answer.
//!
//! Which status a client sees is decided in [`crate::http::respond`] and nowhere else.

use std::sync::Arc;

use xprof_core::Retry;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request has no answer. Cheap to clone: requests that share one computation share its failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The run, the host, the session or the file is not there.
    #[error("{0}")]
    NotFound(String),
    /// A parameter is missing or has a value that is not allowed.
    #[error("{0}")]
    BadRequest(String),
    /// The directory is outside of what this server may read.
    #[error("{0}")]
    Forbidden(String),
    /// A file or directory cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file or directory.
        path: String,
        /// What the system said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The work itself failed: a damaged trace, a wrong parameter, something that is not in the trace.
    #[error("{}", core_text(file, source))]
    Core {
        /// The trace at fault, empty where no single one is.
        file: String,
        /// What the stage said.
        source: xprof_core::Error,
    },
    /// A worker refused the job for a reason that another worker would give too.
    #[error("{}", job_text(file, message))]
    Job {
        /// The trace of the job.
        file: String,
        /// The closed label of the failure.
        code: &'static str,
        /// What the worker said.
        message: String,
        /// Whose fault it is.
        fault: Fault,
    },
    /// No worker could take the job.
    #[error("no worker could answer for {file} after {attempts} attempts, the last one said: {last}")]
    NoWorker {
        /// The trace of the job.
        file: String,
        /// How many workers were asked.
        attempts: u32,
        /// The last failure.
        last: String,
    },
    /// The trace changed while it was being read.
    #[error("{0} changed while it was being read")]
    Changed(String),
    /// More requests are in flight than the server admits.
    #[error("the server is busy: {0}")]
    Overloaded(String),
    /// The request took longer than it may.
    #[error("the request took longer than {0}")]
    TimedOut(String),
    /// A bug.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The core names the file where the file is at fault, and most other errors are about the request.
fn core_text(file: &str, source: &xprof_core::Error) -> String {
    match source {
        xprof_core::Error::BadArtifact { .. } | xprof_core::Error::TooLarge { .. } if !file.is_empty() => {
            format!("{file}: {source}")
        }
        _ => source.to_string(),
    }
}

/// A worker's message with the file, unless it names the file itself.
fn job_text(file: &str, message: &str) -> String {
    if message.contains(file) { message.to_owned() } else { format!("{file}: {message}") }
}

/// Whose fault a failed job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request asks for what cannot be.
    Client,
    /// What was asked for is not there.
    Absent,
    /// The trace is damaged.
    Trace,
    /// The worker.
    Server,
    /// This program.
    Defect,
}

impl Error {
    /// A stable label for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::BadRequest(_) => "bad_request",
            Self::Forbidden(_) => "forbidden",
            Self::Unreadable { .. } => "unreadable",
            Self::Core { source, .. } => source.code(),
            Self::Job { code, .. } => code,
            Self::NoWorker { .. } => "no_worker",
            Self::Changed(_) => "trace_changed",
            Self::Overloaded(_) => "overloaded",
            Self::TimedOut(_) => "timed_out",
            Self::Internal(_) => "internal",
        }
    }

    /// Whether the same work may succeed elsewhere or later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Core { source, .. } => source.retry(),
            Self::NoWorker { .. } | Self::Overloaded(_) | Self::TimedOut(_) | Self::Changed(_) => Retry::Later,
            _ => Retry::No,
        }
    }

    /// Whether the failure is that of one trace, so that the other hosts of the session can still be answered for.
    pub fn spares_other_hosts(&self) -> bool {
        match self {
            Self::Unreadable { .. } => true,
            Self::Core { source, .. } => {
                matches!(source, xprof_core::Error::Malformed { .. } | xprof_core::Error::TooLarge { .. })
            }
            Self::Job { fault, .. } => *fault == Fault::Trace,
            _ => false,
        }
    }

    /// A failure of the work on one trace.
    pub fn core(file: impl Into<String>, source: xprof_core::Error) -> Self {
        Self::Core { file: file.into(), source }
    }

    /// The message with every cause behind it, in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            let part = error.to_string();
            // Some errors already quote their cause.
            if !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            next = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_causes_once() {
        let e = Error::core("", xprof_core::Error::NotFound("no step".into()));
        assert_eq!(e.chain(), "no step");
        let large = xprof_core::Error::TooLarge { what: "the number of planes".into(), limit: "5".into() };
        assert_eq!(
            Error::core("h.xplane.pb", large).chain(),
            "h.xplane.pb: the number of planes exceeds the limit of 5"
        );
        let io = std::io::Error::other("disk on fire");
        let e = Error::Unreadable { path: "/x".into(), source: Arc::new(io) };
        assert_eq!(e.chain(), "/x cannot be read: disk on fire");
        assert!(e.spares_other_hosts());
    }
}
