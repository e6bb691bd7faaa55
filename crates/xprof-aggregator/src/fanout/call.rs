//! One attempt at a map job on one worker, in our own protocol or in XProf's.
//!
//! Takes a job and a worker, gives the part or what the failure means. It tries once: going on is [`super::dispatch`]'s part.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use xprof_core::diag::{Problem, ProblemKind};
use xprof_proto::xprof::worker::v1;
use xprof_proto::xprof::worker::v1::map_reply::Part as ReplyPart;
use xprof_proto::xprof::worker::v1::worker_client::WorkerClient;
use xprof_service::engine::Engine;

use super::plan::Job;
use super::retry::{Verdict, judge};
use super::{Part, legacy, on_pool};
use crate::error::Error;
use crate::workers::Worker;

/// A worker sends artifacts in chunks far below this.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Why an attempt gave no part.
#[derive(Debug)]
pub struct Failure {
    /// What it means.
    pub verdict: Verdict,
    /// For people, with the worker's name.
    pub text: String,
}

/// One attempt in our own protocol.
pub async fn map(engine: &Engine, job: &Job, worker: &Arc<Worker>) -> Result<Part, Failure> {
    let file = job.trace.file_name();
    let _slot = worker.occupy();
    let refused =
        |status: Status| Failure { verdict: judge(&status, &file, &worker.name), text: told(worker, &status) };
    let lost = |why: &str| Failure { verdict: Verdict::Broken { gone: true }, text: format!("{}: {why}", worker.name) };
    let receive = async {
        let mut client = WorkerClient::new(worker.channel()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let mut stream = client.map(map_request(job)).await.map_err(refused)?.into_inner();
        let mut chunks = Chunks::default();
        while let Some(reply) = stream.message().await.map_err(refused)? {
            match reply.part {
                Some(ReplyPart::Chunk(chunk)) => chunks.push(chunk),
                Some(ReplyPart::Done(done)) => {
                    let artifact = chunks.finish();
                    if artifact.len() as u64 != done.artifact_bytes {
                        return Err(lost("the artifact is not whole"));
                    }
                    return Ok((artifact, problems(done.problems)));
                }
                Some(ReplyPart::Progress(_)) | None => {}
            }
        }
        Err(lost("the answer ended early"))
    };
    let (artifact, problems) = tokio::select! {
        received = receive => received?,
        () = worker.health.hung() => return Err(lost("the worker does not answer probes")),
        () = tokio::time::sleep_until(job.deadline.into()) => return Err(timed_out()),
    };
    let tool = job.tool;
    match on_pool(engine, move || tool.decode(artifact)).await {
        Ok(Ok(artifact)) => Ok(Part { artifact, problems }),
        // Another worker may run the release that this aggregator understands.
        Ok(Err(error)) => Err(lost(&error.to_string())),
        Err(error) => Err(Failure { text: error.to_string(), verdict: Verdict::Final(error) }),
    }
}

/// One attempt in XProf's own protocol; none means that this process must do it.
pub async fn legacy(engine: &Engine, job: &Job, worker: &Arc<Worker>) -> Result<Option<Part>, Failure> {
    let _slot = worker.occupy();
    let answer = tokio::select! {
        answer = legacy::map(engine, job, worker) => answer,
        () = worker.health.hung() => Err(Status::aborted("the worker does not answer probes")),
        () = tokio::time::sleep_until(job.deadline.into()) => return Err(timed_out()),
    };
    // `parity:` the reference, too, does itself what a worker says it cannot do.
    let status = match answer {
        Ok(part) => return Ok(part),
        Err(status) => status,
    };
    match judge(&status, &job.trace.file_name(), &worker.name) {
        Verdict::Unknown | Verdict::Final(Error::Job { .. } | Error::Core { .. }) => Ok(None),
        verdict => Err(Failure { verdict, text: told(worker, &status) }),
    }
}

fn told(worker: &Worker, status: &Status) -> String {
    format!("{}: {}: {}", worker.name, code_name(status.code()), status.message())
}

/// The job in our own protocol.
fn map_request(job: &Job) -> tonic::Request<v1::MapRequest> {
    let identity = &job.trace.identity;
    let mut request = tonic::Request::new(v1::MapRequest {
        trace: Some(v1::TraceSource {
            path: identity.path.to_string_lossy().into_owned(),
            size_bytes: identity.size_bytes,
            modified_unix_ns: identity.modified_unix_ns,
        }),
        host: job.trace.host.to_string(),
        tool: job.tool.name.to_owned(),
        parameters: job.params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        request_id: job.request_id.to_string(),
        artifact_version: job.tool.artifact_version,
    });
    if let Ok(id) = MetadataValue::try_from(&*job.request_id) {
        request.metadata_mut().insert("x-request-id", id);
    }
    request.set_timeout(job.deadline.saturating_duration_since(Instant::now()));
    request
}

fn timed_out() -> Failure {
    let error = Error::TimedOut("the request's deadline while a worker had its job".into());
    Failure { text: error.to_string(), verdict: Verdict::Final(error) }
}

/// The bytes of an artifact as they arrive. One chunk alone is not copied.
#[derive(Default)]
struct Chunks {
    first: Bytes,
    rest: BytesMut,
}

impl Chunks {
    fn push(&mut self, chunk: Bytes) {
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = chunk;
        } else {
            if self.rest.is_empty() {
                self.rest.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.rest.extend_from_slice(&chunk);
        }
    }

    fn finish(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}

/// A worker's problems in the core's words. A kind that only a newer release knows is logged and left out.
fn problems(received: Vec<v1::Problem>) -> Vec<Problem> {
    let known = received.into_iter().filter_map(|problem| {
        let kind = ProblemKind::from_name(&problem.name);
        if kind.is_none() {
            tracing::debug!(problem = problem.name, count = problem.count, "problem of an unknown kind");
        }
        Some(Problem { kind: kind?, count: problem.count, example: problem.detail })
    });
    known.collect()
}

/// The name of a code as gRPC's documents spell it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_chunks() {
        let mut one = Chunks::default();
        one.push(Bytes::from_static(b"abc"));
        assert_eq!(one.finish(), "abc");
        let mut three = Chunks::default();
        for chunk in ["a", "", "bc", "d"] {
            three.push(Bytes::from_static(chunk.as_bytes()));
        }
        assert_eq!(three.finish(), "abcd");
        assert_eq!(Chunks::default().finish(), "");
    }
}
