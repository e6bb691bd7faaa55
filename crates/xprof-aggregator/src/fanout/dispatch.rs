//! One map job on the workers: choose one, call it, and move to another if it is lost.
//!
//! Takes a job, gives its part. What a failure means is [`super::retry`]'s business, which worker is next [`super::place`]'s.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use xprof_core::diag::{Problem, ProblemKind};
use xprof_proto::xprof::worker::v1;
use xprof_proto::xprof::worker::v1::map_reply::Part as ReplyPart;
use xprof_proto::xprof::worker::v1::worker_client::WorkerClient;
use xprof_service::engine::Engine;
use xprof_service::metrics::{Counter, Metrics};

use super::plan::Job;
use super::retry::{Budget, Verdict, judge};
use super::{Part, legacy, local, on_pool};
use crate::error::{Error, Result};
use crate::workers::{Pool, Worker};

/// A worker sends artifacts in chunks far below this.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Sends jobs to workers.
#[derive(Debug)]
pub struct Dispatch {
    pool: Arc<Pool>,
    wait: Duration,
    attempts: Counter,
    retries: Counter,
    in_process: Counter,
}

/// Why an attempt gave no part.
struct Failure {
    verdict: Verdict,
    text: String,
}

impl Dispatch {
    /// `wait` is how long a job waits for a worker that has room.
    pub fn new(pool: Arc<Pool>, wait: Duration, metrics: &Metrics) -> Self {
        Self {
            pool,
            wait,
            attempts: metrics.counter(
                "xprof_fanout_attempts_total",
                "Map jobs sent to workers, retries included.",
                &[],
            ),
            retries: metrics.counter("xprof_fanout_retries_total", "Map jobs sent again to another worker.", &[]),
            in_process: metrics.counter(
                "xprof_fanout_in_process_total",
                "Map jobs done here because the worker speaks only XProf's own protocol.",
                &[],
            ),
        }
    }

    /// The workers.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Runs one job, on as many workers as it takes within the budget.
    pub async fn map(&self, engine: &Engine, job: &Job) -> Result<Part> {
        let key = job.trace.identity.path.to_string_lossy().into_owned();
        let turn = self.pool.next_turn();
        let mut budget = Budget::new(self.wait, job.deadline);
        let mut tried: Vec<SocketAddr> = Vec::new();
        let mut last = format!("{} leads to no address", self.pool.target_text());
        loop {
            let Some(worker) = self.pool.pick(&key, turn, &tried) else {
                self.pool.refresh_soon();
                let Some(pause) = budget.next_round(Instant::now()) else {
                    let attempts = budget.attempts();
                    return Err(Error::NoWorker { file: job.trace.file_name(), attempts, last });
                };
                tried.clear();
                // A new address ends the pause: workers that just started should not wait for a timer.
                let _ = tokio::time::timeout(pause, self.pool.changed()).await;
                continue;
            };
            let attempt = budget.attempt();
            self.attempts.inc();
            if worker.is_legacy() {
                match self.legacy(engine, job, &worker).await {
                    Ok(part) => return Ok(part),
                    Err(failure) => last = self.settle(engine, job, &worker, &mut budget, failure).await?,
                }
            } else {
                match self.call(engine, job, &worker).await {
                    Ok(part) => {
                        worker.health.succeeded();
                        tracing::debug!(worker = worker.name, attempt, host = %job.trace.host, "map job done");
                        return Ok(part);
                    }
                    // The same worker is asked again, in the protocol that it knows.
                    Err(Failure { verdict: Verdict::Unknown, .. }) => {
                        worker.set_legacy();
                        continue;
                    }
                    Err(failure) => last = self.settle(engine, job, &worker, &mut budget, failure).await?,
                }
            }
            tried.push(worker.address);
            self.retries.inc();
        }
    }

    /// After a failed attempt: an error ends the job, a text lets it go on elsewhere.
    async fn settle(
        &self,
        engine: &Engine,
        job: &Job,
        worker: &Worker,
        budget: &mut Budget,
        failure: Failure,
    ) -> Result<String> {
        let Failure { verdict, text } = failure;
        match verdict {
            Verdict::Final(error) => {
                // The worker is well: it answered.
                worker.health.succeeded();
                return Err(error);
            }
            Verdict::NotBegun { gone: true } | Verdict::Broken { gone: true } => {
                worker.health.failed(Instant::now());
                self.pool.refresh_soon();
            }
            Verdict::Mismatch => {
                let now = engine.storage().identity(&job.trace.identity.path).await.map_err(local::storage_error)?;
                if now != job.trace.identity {
                    return Err(Error::Changed(job.trace.file_name()));
                }
                // The file is as we know it, so this worker sees an old listing or runs an old release.
            }
            Verdict::NotBegun { gone: false } | Verdict::Broken { gone: false } | Verdict::Unknown => {}
        }
        let attempt = budget.attempts();
        let host = &*job.trace.host;
        // Waiting for a worker to come back is one event for a person who reads the log, not one per round.
        if attempt == 1 || matches!(verdict, Verdict::Broken { .. } | Verdict::Mismatch) {
            let (tool, request_id) = (job.tool.name, &*job.request_id);
            tracing::warn!(
                worker = worker.name,
                attempt,
                host,
                tool,
                request_id,
                error = text,
                "map job failed on a worker"
            );
        } else {
            tracing::debug!(worker = worker.name, attempt, host, error = text, "map job failed on a worker");
        }
        if budget.spend(&verdict, Instant::now()) {
            Ok(text)
        } else {
            Err(Error::NoWorker { file: job.trace.file_name(), attempts: budget.attempts(), last: text })
        }
    }

    /// One attempt in our own protocol.
    async fn call(&self, engine: &Engine, job: &Job, worker: &Arc<Worker>) -> Result<Part, Failure> {
        let file = job.trace.file_name();
        let _slot = worker.occupy();
        let refused = |status: Status| Failure {
            verdict: judge(&status, &file, &worker.name),
            text: format!("{}: {}: {}", worker.name, code_name(status.code()), status.message()),
        };
        let lost =
            |why: &str| Failure { verdict: Verdict::Broken { gone: true }, text: format!("{}: {why}", worker.name) };
        let receive = async {
            let mut client = WorkerClient::new(worker.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
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

    /// One attempt in XProf's own protocol; what that protocol cannot do is done here.
    async fn legacy(&self, engine: &Engine, job: &Job, worker: &Arc<Worker>) -> Result<Part, Failure> {
        let _slot = worker.occupy();
        let call = legacy::map(engine, job, worker);
        let answer = tokio::select! {
            answer = call => answer,
            () = worker.health.hung() => Err(Status::aborted("the worker does not answer probes")),
            () = tokio::time::sleep_until(job.deadline.into()) => return Err(timed_out()),
        };
        match answer {
            Ok(Some(part)) => {
                worker.health.succeeded();
                return Ok(part);
            }
            Ok(None) => {}
            // `parity:` the reference, too, does itself what a worker says it cannot do.
            Err(status) => match judge(&status, &job.trace.file_name(), &worker.name) {
                Verdict::Unknown | Verdict::Final(Error::Job { .. } | Error::Core { .. }) => {}
                verdict => {
                    let text = format!("{}: {}: {}", worker.name, code_name(status.code()), status.message());
                    return Err(Failure { verdict, text });
                }
            },
        }
        self.in_process.inc();
        local::map(engine, job).await.map_err(|e| Failure { text: e.to_string(), verdict: Verdict::Final(e) })
    }
}

/// The job in our own protocol.
fn map_request(job: &Job) -> tonic::Request<v1::MapRequest> {
    let identity = &job.trace.identity;
    let mut request = tonic::Request::new(v1::MapRequest {
        trace: Some(v1::TraceSource {
            path: identity.path.to_string_lossy().into_owned(),
            size_bytes: identity.size_bytes,
            modified_unix_ns: identity.modified_unix_ns,
            etag: String::new(),
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
