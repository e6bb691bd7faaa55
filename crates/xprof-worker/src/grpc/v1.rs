//! Our own worker service: the artifact itself in the answer, in chunks, with progress, problems and timing.
//!
//! ```text
//! MapRequest ─▶ Progress* ─▶ chunk* ─▶ MapDone        or a status that says why not
//! ```
//! The answer's stream owns the job: a client that drops the call stops the work.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};
use xprof_core::diag;
use xprof_core::session::host_of_file;
use xprof_core::tools::registry;
use xprof_proto::xprof::worker::v1::map_reply::Part;
use xprof_proto::xprof::worker::v1::worker_server::Worker;
use xprof_proto::xprof::worker::v1::{
    MapDone, MapReply, MapRequest, Problem, Progress, Severity, StatusReply, StatusRequest, Timing, TraceSource,
};
use xprof_service::engine::{Engine, MapJob, Mapped, Stage};
use xprof_service::metrics::Held;
use xprof_service::storage::TraceIdentity;

use super::{Calls, deadline, status};
use crate::App;

/// Large enough that headers do not matter, small enough that other calls on the connection get their turn.
const CHUNK_BYTES: usize = 1 << 20;

/// The service.
#[derive(Debug)]
pub struct Service {
    app: App,
    calls: Calls,
    started: Instant,
}

impl Service {
    pub(super) fn new(app: &App, calls: &Calls) -> Self {
        Self { app: app.clone(), calls: calls.clone(), started: Instant::now() }
    }
}

#[tonic::async_trait]
impl Worker for Service {
    type MapStream = Pin<Box<dyn Stream<Item = Result<MapReply, Status>> + Send>>;

    async fn map(&self, request: Request<MapRequest>) -> Result<Response<Self::MapStream>, Status> {
        let call = self.calls.begin();
        let deadline = deadline(request.metadata());
        let (metadata, _, request) = request.into_parts();
        let request_id = request_id(&metadata, &request.request_id);
        let (sender, progress) = mpsc::unbounded_channel();
        let mut job = job_of(request)?;
        job.deadline = deadline;
        job.request_id = request_id;
        job.on_stage = Some(Arc::new(move |stage| {
            // The receiver may be gone with its call.
            let _ = sender.send(stage);
        }));
        let engine = self.app.engine.clone();
        let run = Box::pin(run(engine, job));
        let answer =
            Answer { state: State::Running { run, progress }, worker_id: Arc::clone(&self.app.worker_id), _call: call };
        Ok(Response::new(Box::pin(stream::unfold(answer, |mut answer| async move {
            let part = answer.next().await?;
            Some((part.map(|part| MapReply { part: Some(part) }), answer))
        }))))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        let status = self.app.engine.status();
        Ok(Response::new(StatusReply {
            worker_id: self.app.worker_id.to_string(),
            version: xprof_service::VERSION.into(),
            uptime_s: self.started.elapsed().as_secs(),
            jobs_running: status.jobs_running as u32,
            jobs_waiting: status.jobs_waiting as u32,
            jobs_limit: status.jobs_limit as u32,
            bytes_held: status.bytes_held,
            bytes_limit: status.bytes_limit,
            prepared_traces: status.prepared_traces as u64,
            tools: registry::TOOLS.iter().map(|t| t.name.into()).collect(),
        }))
    }
}

/// Checks a request and translates it.
fn job_of(request: MapRequest) -> Result<MapJob, Status> {
    let trace = request.trace.ok_or_else(|| status::invalid("the request names no trace"))?;
    let tool = registry::find(&request.tool).map_err(|e| status::from_core(&e))?;
    if request.artifact_version != 0 && request.artifact_version != tool.artifact_version {
        return Err(status::wrong_version(tool.artifact_kind, request.artifact_version, tool.artifact_version));
    }
    let host = if request.host.is_empty() { host_of_file(&trace.path) } else { &request.host };
    Ok(MapJob {
        host: host.into(),
        expected: expected(&trace),
        path: PathBuf::from(trace.path),
        tool,
        params: request.parameters.into_iter().collect(),
        deadline: None,
        request_id: "".into(),
        on_stage: None,
    })
}

fn expected(trace: &TraceSource) -> Option<TraceIdentity> {
    (trace.size_bytes != 0 || trace.modified_unix_ns != 0).then(|| TraceIdentity {
        path: PathBuf::from(&trace.path),
        size_bytes: trace.size_bytes,
        modified_unix_ns: trace.modified_unix_ns,
    })
}

/// The job and then the encoding of its artifact, which for a large one takes as long as a small job.
async fn run(engine: Engine, job: MapJob) -> Result<(Mapped, Bytes), Status> {
    let mapped = engine.map(job).await.map_err(|e| status::from_engine(&e))?;
    let artifact = mapped.artifact.clone();
    let encoded = engine.pool().run(tracing::info_span!("encode"), move || artifact.encode()).await;
    let encoded = encoded.map_err(|e| status::internal(e.to_string()))?;
    Ok((mapped, encoded.into()))
}

/// One answer while it is being sent.
struct Answer {
    state: State,
    worker_id: Arc<str>,
    /// Until the last part has been taken, the call counts as running.
    _call: Held,
}

enum State {
    Running { run: BoxFuture<'static, Result<(Mapped, Bytes), Status>>, progress: mpsc::UnboundedReceiver<Stage> },
    Sending { rest: Bytes, done: Box<MapDone> },
    Ended,
}

impl Answer {
    async fn next(&mut self) -> Option<Result<Part, Status>> {
        if let State::Running { run, progress } = &mut self.state {
            // A stage that was reached is told before the result of having reached it.
            let result = tokio::select! {
                biased;
                Some(stage) = progress.recv() => {
                    return Some(Ok(Part::Progress(Progress { stage: stage.as_str().into() })));
                }
                result = run => result,
            };
            match result {
                Ok((mapped, rest)) => {
                    let done = Box::new(done_of(&mapped, rest.len(), &self.worker_id));
                    self.state = State::Sending { rest, done };
                }
                Err(status) => {
                    self.state = State::Ended;
                    return Some(Err(status));
                }
            }
        }
        match &mut self.state {
            State::Sending { rest, .. } if !rest.is_empty() => {
                Some(Ok(Part::Chunk(rest.split_to(rest.len().min(CHUNK_BYTES)))))
            }
            State::Sending { done, .. } => {
                let done = std::mem::take(&mut **done);
                self.state = State::Ended;
                Some(Ok(Part::Done(done)))
            }
            _ => None,
        }
    }
}

fn done_of(mapped: &Mapped, artifact_bytes: usize, worker_id: &str) -> MapDone {
    let us = |d: Duration| d.as_micros() as u64;
    MapDone {
        worker_id: worker_id.into(),
        artifact_bytes: artifact_bytes as u64,
        problems: mapped.problems.iter().map(problem_of).collect(),
        timing: Some(Timing {
            queued_us: us(mapped.timing.queued),
            read_us: us(mapped.timing.read),
            prepare_us: us(mapped.timing.prepare),
            map_us: us(mapped.timing.map),
        }),
        cache_hit: mapped.cache_hit,
    }
}

fn problem_of(problem: &diag::Problem) -> Problem {
    let severity = match problem.kind.severity() {
        diag::Severity::Info => Severity::Info,
        diag::Severity::Warning => Severity::Warning,
        diag::Severity::DataLoss => Severity::DataLoss,
    };
    Problem {
        name: problem.kind.name().into(),
        severity: severity.into(),
        count: problem.count,
        text: problem.kind.text().into(),
        detail: problem.example.clone(),
    }
}

/// The caller's id for logs on both sides, or one of ours.
pub(super) fn request_id(metadata: &MetadataMap, given: &str) -> Arc<str> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let header =
        || metadata.get("x-request-id").and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty() && v.len() <= 128);
    if given.is_empty() {
        header().map_or_else(|| format!("w{}", NEXT.fetch_add(1, Ordering::Relaxed)).into(), Into::into)
    } else {
        given.into()
    }
}
