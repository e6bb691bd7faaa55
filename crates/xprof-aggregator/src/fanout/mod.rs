//! The work behind a `/data` request: plan → place → dispatch → gather → reduce → render.
//!
//! Takes a [`Request`], gives an [`Outcome`]. Where the map jobs run, in this process or on workers, changes nothing in the
//! answer: the same code maps, and reduce gets the parts in the order of the request.

pub mod dispatch;
pub mod gather;
pub mod legacy;
pub mod local;
pub mod place;
pub mod plan;
pub mod retry;
pub mod single_flight;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tracing::Span;
use xprof_core::Diag;
use xprof_core::answer::Answer;
use xprof_core::artifact::AnyArtifact;
use xprof_core::diag::{CancelHandle, Problem, ProblemKind};
use xprof_service::engine::Engine;
use xprof_service::metrics::{Counter, Metrics};

use crate::error::{Error, Result};
use dispatch::Dispatch;
use gather::{Gathered, gather};
use plan::{Job, plan};
pub use plan::{Request, Trace};

/// What map made of one trace.
#[derive(Debug, Clone)]
pub struct Part {
    /// The artifact, decoded.
    pub artifact: AnyArtifact,
    /// What was odd about the trace.
    pub problems: Vec<Problem>,
}

/// A rendered answer and what is to be said about it.
#[derive(Debug)]
pub struct Outcome {
    /// Content type and body.
    pub answer: Answer,
    /// What was odd about the traces.
    pub problems: Vec<Problem>,
    /// The hosts that the answer covers, in the order in which they were merged.
    pub hosts: Vec<Arc<str>>,
    /// The hosts that the answer does not cover.
    pub failed_hosts: Vec<Arc<str>>,
    /// Why not, for each of those.
    pub causes: Vec<String>,
    /// Whether the same request would fail for the same hosts again, so that the answer may be kept.
    pub lasting: bool,
}

/// Where map jobs run.
#[derive(Debug)]
pub enum Runner {
    /// Here.
    Local,
    /// On workers.
    Workers(Dispatch),
}

/// Runs requests.
#[derive(Debug)]
pub struct Fanout {
    engine: Engine,
    runner: Runner,
    /// Jobs under way over all requests.
    jobs: Semaphore,
    at_once: usize,
    failed_hosts: Counter,
}

impl Fanout {
    /// `max_jobs` bounds the jobs under way, over all requests and so for each.
    pub fn new(engine: Engine, runner: Runner, max_jobs: usize, metrics: &Metrics) -> Self {
        let failed_hosts =
            metrics.counter("xprof_fanout_failed_hosts_total", "Traces that an answer had to leave out.", &[]);
        Self { engine, runner, jobs: Semaphore::new(max_jobs.max(1)), at_once: max_jobs.max(1), failed_hosts }
    }

    /// The engine, whose pool also renders.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Answers one request into an empty answer. Dropping the future stops its work here and on workers.
    pub async fn answer(&self, request: Request, empty: Answer) -> Result<Outcome> {
        let jobs = plan(&request);
        let gathered = gather(jobs, request.traces.len(), self.at_once, |job| self.map(job)).await?;
        self.finish(request, gathered, empty).await
    }

    async fn map(&self, job: Job) -> Result<Part> {
        // The semaphore is never closed.
        let _permit = self.jobs.acquire().await.map_err(|e| Error::Internal(e.to_string()))?;
        match &self.runner {
            Runner::Local => local::map(&self.engine, &job).await,
            Runner::Workers(dispatch) => dispatch.map(&self.engine, &job).await,
        }
    }

    /// Reduce and render, on the CPU pool.
    async fn finish(&self, request: Request, gathered: Gathered, empty: Answer) -> Result<Outcome> {
        let mut diag = Diag::new();
        let mut parts = Vec::with_capacity(gathered.parts.len());
        for (trace, part) in request.traces.iter().zip(gathered.parts) {
            if let Some(part) = part {
                count(&mut diag, &part.problems);
                parts.push((Arc::clone(&trace.host), part.artifact));
            }
        }
        let hosts: Vec<Arc<str>> = parts.iter().map(|(host, _)| Arc::clone(host)).collect();
        let (mut failed_hosts, mut causes) = (Vec::new(), Vec::new());
        let mut lasting = true;
        for (place, error) in &gathered.failed {
            let trace = &request.traces[*place];
            let path = trace.identity.path.display();
            let cause = error.chain();
            let (request_id, tool, n_hosts) = (&*request.request_id, request.tool.name, hosts.len());
            tracing::warn!(request_id, tool, host = %trace.host, file = %path, n_hosts, error = cause, "host left out of the answer");
            diag.count(ProblemKind::HostFailed, || trace.file_name());
            failed_hosts.push(Arc::clone(&trace.host));
            causes.push(cause);
            lasting &= error.lasts();
        }
        self.failed_hosts.add(failed_hosts.len() as u64);

        let file = match &request.traces[..] {
            [one] => one.file_name(),
            _ => String::new(),
        };
        let stop = CancelOnDrop(diag.cancel_handle());
        let span = tracing::debug_span!("finish", tool = request.tool.name, n_hosts = parts.len());
        let finished = self.engine.pool().run(span, move || {
            let answer = request.tool.finish(parts, &request.params, empty, &mut diag);
            (answer, diag)
        });
        let (answer, diag) = finished.await.map_err(|e| Error::Internal(e.to_string()))?;
        drop(stop);
        let answer = answer.map_err(|e| Error::core(file, e))?;
        let problems = diag.problems().cloned().collect();
        Ok(Outcome { answer, problems, hosts, failed_hosts, causes, lasting })
    }
}

fn count(diag: &mut Diag, problems: &[Problem]) {
    for problem in problems {
        diag.count_n(problem.kind, problem.count, || problem.example.clone());
    }
}

/// Runs work on the CPU pool and waits for it; a panic there is a defect of this program.
pub async fn on_pool<T: Send + 'static>(engine: &Engine, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    engine.pool().run(Span::current(), work).await.map_err(|e| Error::Internal(e.to_string()))
}

/// Stops work on the CPU pool when nobody waits for it any more.
struct CancelOnDrop(CancelHandle);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
