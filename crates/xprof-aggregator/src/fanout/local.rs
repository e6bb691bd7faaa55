//! Map jobs in this process: the same interface as [`super::dispatch`], for an aggregator without workers.
//!
//! Takes a job, gives its part. The engine does the work; here only its errors get the words of this crate.

use std::sync::Arc;

use xprof_service::engine::{Engine, EngineError, MapJob};
use xprof_service::storage::StorageError;

use super::Part;
use super::plan::Job;
use crate::error::{Error, Fault, Result};

/// Runs one job on the engine.
pub async fn map(engine: &Engine, job: &Job) -> Result<Part> {
    let file = job.trace.file_name();
    let mapped = engine
        .map(MapJob {
            path: job.trace.identity.path.clone(),
            expected: Some(job.trace.identity.clone()),
            host: Arc::clone(&job.trace.host),
            tool: job.tool,
            params: job.params.clone(),
            deadline: Some(job.deadline),
            request_id: Arc::clone(&job.request_id),
            on_stage: None,
        })
        .await
        .map_err(|e| engine_error(e, &file))?;
    Ok(Part { artifact: mapped.artifact, problems: mapped.problems })
}

/// An error of the engine in the words of this crate.
pub fn engine_error(error: EngineError, file: &str) -> Error {
    match error {
        EngineError::Storage(source) => storage_error(source),
        // The core's own message names the file where it knows it; elsewhere it is about the request.
        EngineError::Convert { source, .. } => Error::core(file, source),
        EngineError::TraceChanged { .. } => Error::Changed(file.to_owned()),
        EngineError::DeadlineExceeded { stage } => {
            Error::TimedOut(format!("the request's deadline while its job was {stage}"))
        }
        EngineError::Overloaded { waiting } => Error::Overloaded(format!("{waiting} jobs wait already")),
        EngineError::Internal(abandoned) => {
            Error::Job { file: file.to_owned(), code: "internal", message: abandoned.to_string(), fault: Fault::Defect }
        }
    }
}

/// An error of the storage in the words of this crate.
pub fn storage_error(error: StorageError) -> Error {
    match error {
        StorageError::NotFound { .. } | StorageError::WrongKind { .. } => Error::NotFound(error.to_string()),
        StorageError::Denied { .. } | StorageError::OutsideRoots { .. } => Error::Forbidden(error.to_string()),
        StorageError::Unusable { .. } => Error::BadRequest(error.to_string()),
        StorageError::Io { ref path, .. } => {
            Error::Unreadable { path: path.display().to_string(), source: Arc::new(error) }
        }
    }
}
