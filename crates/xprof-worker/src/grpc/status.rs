//! The only place where errors become gRPC statuses.
//!
//! | what went wrong | status | try again |
//! |---|---|---|
//! | parameter, path that cannot be used, unknown tool | `INVALID_ARGUMENT` | no |
//! | file, or something in the trace, is not there | `NOT_FOUND` | no |
//! | trace is damaged | `DATA_LOSS` | no |
//! | trace is another version, tool does not fit the trace | `FAILED_PRECONDITION` | after asking anew |
//! | path is not permitted or not readable | `PERMISSION_DENIED` | no |
//! | deadline passed | `DEADLINE_EXCEEDED` | no |
//! | queue is full | `RESOURCE_EXHAUSTED` | another worker |
//! | reading failed | `UNAVAILABLE` | another worker |
//! | a defect | `INTERNAL` | another worker, once |
//!
//! Every status carries `xprof-error` (a stable word) and `xprof-retry` (`no`, `elsewhere`, `later`) as metadata.

use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Status};
use xprof_core::{Error, Retry};
use xprof_service::engine::EngineError;
use xprof_service::error_chain::chain;
use xprof_service::storage::StorageError;

/// The status of a failed map job.
pub fn from_engine(error: &EngineError) -> Status {
    let status = match error {
        EngineError::Storage(error) => return from_storage(error),
        EngineError::Convert { source, .. } => Status::new(code_of(source), chain(error)),
        EngineError::TraceChanged { .. } => Status::failed_precondition(chain(error)),
        EngineError::DeadlineExceeded { .. } => Status::deadline_exceeded(chain(error)),
        EngineError::Overloaded { .. } => Status::resource_exhausted(chain(error)),
        EngineError::Internal(_) => Status::internal(chain(error)),
    };
    with_details(status, error.code(), error.retry())
}

/// The status of a failed file access.
pub fn from_storage(error: &StorageError) -> Status {
    let status = match error {
        // parity: worker service, the text that XProf's aggregators and their users know.
        StorageError::NotFound { path } => Status::not_found(format!("{}; No such file or directory", path.display())),
        StorageError::WrongKind { .. } => Status::failed_precondition(chain(error)),
        StorageError::Denied { .. } | StorageError::OutsideRoots { .. } => Status::permission_denied(chain(error)),
        StorageError::Unusable { .. } => Status::invalid_argument(chain(error)),
        StorageError::Io { .. } => Status::unavailable(chain(error)),
    };
    with_details(status, error.code(), error.retry())
}

/// The status of an error of the conversion outside a job.
pub fn from_core(error: &Error) -> Status {
    with_details(Status::new(code_of(error), chain(error)), error.code(), error.retry())
}

/// A request that makes no sense.
pub fn invalid(text: impl Into<String>) -> Status {
    with_details(Status::invalid_argument(text), "invalid_request", Retry::No)
}

/// An artifact layout that this build does not write.
pub fn wrong_version(artifact: &str, asked: u32, ours: u32) -> Status {
    let text = format!("this worker writes version {ours} of {artifact}, not version {asked}");
    with_details(Status::failed_precondition(text), "artifact_version", Retry::Elsewhere)
}

/// A defect.
pub fn internal(text: impl Into<String>) -> Status {
    with_details(Status::internal(text), "internal", Retry::No)
}

fn code_of(error: &Error) -> Code {
    match error {
        Error::Malformed { .. } => Code::DataLoss,
        Error::BadArtifact { .. } => Code::Internal,
        Error::InvalidParameter { .. } | Error::UnknownTool(_) => Code::InvalidArgument,
        Error::NotFound(_) => Code::NotFound,
        Error::Unsupported(_) | Error::TooLarge { .. } => Code::FailedPrecondition,
        Error::Cancelled => Code::Cancelled,
    }
}

fn with_details(mut status: Status, code: &'static str, retry: Retry) -> Status {
    let retry = match retry {
        Retry::No => "no",
        Retry::Elsewhere => "elsewhere",
        Retry::Later => "later",
    };
    status.metadata_mut().insert("xprof-error", AsciiMetadataValue::from_static(code));
    status.metadata_mut().insert("xprof-retry", AsciiMetadataValue::from_static(retry));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_file_and_the_cause() {
        let missing = StorageError::NotFound { path: "/r/h.xplane.pb".into() };
        let status = from_engine(&EngineError::Storage(missing));
        assert_eq!((status.code(), status.message()), (Code::NotFound, "/r/h.xplane.pb; No such file or directory"));
        assert_eq!(status.metadata().get("xprof-retry").unwrap(), "no");

        let source = Error::Malformed { file: "h".into(), offset: 7, source: xprof_core::wire::WireError::Truncated };
        let status = from_engine(&EngineError::Convert { path: "/r/h.xplane.pb".into(), source });
        assert_eq!(status.code(), Code::DataLoss);
        assert!(
            status.message().starts_with("/r/h.xplane.pb cannot be converted: h is not a readable trace: at byte 7")
        );
        assert_eq!(status.metadata().get("xprof-error").unwrap(), "malformed_trace");
    }
}
