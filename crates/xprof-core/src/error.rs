//! The one error type of this crate.
//!
//! A damaged or odd *part* of a trace is not an error: it is counted in [`crate::Diag`] and the rest is answered.

use crate::wire::WireError;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whether and where the same work may succeed if it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same input fails the same way everywhere.
    No,
    /// Another worker may succeed at once.
    Elsewhere,
    /// It may succeed later.
    Later,
}

/// Everything that can go wrong between trace bytes and an answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The bytes are not an XSpace.
    #[error("{file} is not a readable trace: at byte {offset}: {source}")]
    Malformed {
        /// The file as the user knows it.
        file: String,
        /// Where reading stopped, in bytes from the start of the file.
        offset: u64,
        /// What was found there.
        source: WireError,
    },
    /// An artifact of another stage or another version cannot be decoded.
    #[error("the {artifact} artifact cannot be decoded: {reason}")]
    BadArtifact {
        /// Kind of artifact.
        artifact: &'static str,
        /// Why.
        reason: String,
    },
    /// A parameter of the request has a value that is not allowed.
    #[error("{parameter}={value:?} is not valid: {allowed}")]
    InvalidParameter {
        /// Name as in the query string.
        parameter: String,
        /// Value as given.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// What was asked for is not in the trace.
    #[error("{0}")]
    NotFound(String),
    /// The tool exists but not for this input.
    #[error("{0}")]
    Unsupported(String),
    /// No tool has this name.
    #[error("there is no tool named {0:?}")]
    UnknownTool(String),
    /// The client went away or the deadline passed.
    #[error("the work was cancelled")]
    Cancelled,
    /// A limit that protects the process was reached.
    #[error("{what} exceeds the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
}

impl Error {
    /// A stable label for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed_trace",
            Self::BadArtifact { .. } => "bad_artifact",
            Self::InvalidParameter { .. } => "invalid_parameter",
            Self::NotFound(_) => "not_found",
            Self::Unsupported(_) => "unsupported",
            Self::UnknownTool(_) => "unknown_tool",
            Self::Cancelled => "cancelled",
            Self::TooLarge { .. } => "too_large",
        }
    }

    /// Whether the same work may succeed elsewhere or later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::BadArtifact { .. } => Retry::Elsewhere,
            Self::Cancelled => Retry::Later,
            _ => Retry::No,
        }
    }

    /// An [`Error::InvalidParameter`].
    pub fn invalid(parameter: &str, value: &str, allowed: &str) -> Self {
        Self::InvalidParameter { parameter: parameter.into(), value: value.into(), allowed: allowed.into() }
    }
}
