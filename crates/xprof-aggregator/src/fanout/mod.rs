//! The work behind a `/data` request: plan → place → dispatch → gather → reduce → render.
//!
//! Takes a [`Request`], gives an [`Outcome`]. Where the map jobs run, in this process or on workers, changes nothing in the
//! answer: the same code maps, and reduce gets the parts in the order of the request, one after the other.

pub mod call;
pub mod dispatch;
pub mod gather;
pub mod hedge;
pub mod legacy;
pub mod local;
pub mod place;
pub mod plan;
pub mod recall;
pub mod retry;
pub mod single_flight;
pub mod suspects;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tracing::{Instrument as _, Span};
use xprof_core::Diag;
use xprof_core::answer::Answer;
use xprof_core::artifact::AnyArtifact;
use xprof_core::diag::{CancelHandle, Problem, ProblemKind};
use xprof_core::tools::Finished;
use xprof_core::tools::registry::AnyReduction;
use xprof_service::engine::Engine;
use xprof_service::metrics::{Counter, Metrics};

use crate::error::{Error, FailedHost, Result};
use dispatch::Dispatch;
use gather::{Batch, gather};
use plan::{Job, plan};
pub use plan::{Request, Trace};
use recall::Recalls;

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
    Workers(Arc<Dispatch>),
}

/// Runs requests.
#[derive(Debug)]
pub struct Fanout {
    engine: Engine,
    runner: Runner,
    recalls: Recalls,
    /// Jobs under way over all requests.
    jobs: Semaphore,
    /// Jobs of one request that are under way or done before their turn.
    window: usize,
    failed_hosts: Counter,
}

impl Fanout {
    /// `max_jobs` bounds the jobs under way over all requests, and the parts that one request holds.
    pub fn new(engine: Engine, runner: Runner, max_jobs: usize, metrics: &Metrics) -> Self {
        let failed_hosts =
            metrics.counter("xprof_fanout_failed_hosts_total", "Traces that an answer had to leave out.", &[]);
        let recalls = Recalls::new(engine.clone());
        Self { engine, runner, recalls, jobs: Semaphore::new(max_jobs.max(1)), window: max_jobs.max(1), failed_hosts }
    }

    /// Who sends the jobs to workers, if there are any.
    pub fn dispatch(&self) -> Option<&Dispatch> {
        match &self.runner {
            Runner::Local => None,
            Runner::Workers(dispatch) => Some(dispatch),
        }
    }

    /// The engine, whose pool also renders.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Answers one request into an empty answer. Dropping the future stops its work here and on workers.
    pub async fn answer(&self, mut request: Request, empty: Answer) -> Result<Outcome> {
        let file = match &request.traces[..] {
            [one] => one.file_name(),
            _ => String::new(),
        };
        let begin = request.tool.reduce(&request.params, empty).map_err(|e| Error::core(&*file, e))?;
        let begin = Reduce { reduction: begin, diag: Diag::new(), is_again: false };
        let _stop = CancelOnDrop(begin.diag.cancel_handle());
        let (mut reduce, failed) = self.reduce(&request, &file, begin).await?;
        if failed.len() == request.traces.len() {
            return Err(nothing_left(&request, failed));
        }
        let left_out = self.leave_out(&mut request, &failed, &mut reduce.diag);
        loop {
            match self.finish(&request, &file, reduce).await? {
                (Finished::Whole(answer), diag) => {
                    let problems = diag.problems().cloned().collect();
                    let hosts = request.traces.into_iter().map(|trace| trace.host).collect();
                    let LeftOut { failed_hosts, causes, lasting } = left_out;
                    return Ok(Outcome { answer, problems, hosts, failed_hosts, causes, lasting });
                }
                (Finished::Again(reduction), diag) => {
                    tracing::debug!(request_id = %request.request_id, tool = request.tool.name, "hosts are needed again");
                    let again = Reduce { reduction, diag, is_again: true };
                    let failed;
                    (reduce, failed) = self.reduce(&request, &file, again).await?;
                    // The answer is half about these hosts by now.
                    if let Some((_, error)) = failed.into_iter().next() {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn map(&self, job: Job) -> Result<Part> {
        let permit = tokio::time::timeout_at(job.deadline.into(), self.jobs.acquire()).await;
        let permit = permit.map_err(|_| Error::TimedOut("the request's deadline while its job waited".into()))?;
        // The semaphore is never closed.
        let _permit = permit.map_err(|e| Error::Internal(e.to_string()))?;
        match &self.runner {
            Runner::Local => local::map(&self.engine, &job).await,
            Runner::Workers(dispatch) if job.tool.keeps_artifact => {
                let (dispatch, engine) = (Arc::clone(dispatch), self.engine.clone());
                self.recalls.part(job, |job| async move { dispatch.map(&engine, &job).await }).await
            }
            Runner::Workers(dispatch) => dispatch.map(&self.engine, &job).await,
        }
    }

    /// One pass over all traces of a request, and what failed by place.
    async fn reduce(&self, request: &Request, file: &str, begin: Reduce) -> Result<(Reduce, Vec<(usize, Error)>)> {
        let fold = |mut reduce: Reduce, batch: Batch| {
            let hosts: Vec<Arc<str>> =
                batch.iter().map(|(place, _)| Arc::clone(&request.traces[*place].host)).collect();
            async move {
                let span = tracing::debug_span!("reduce", tool = request.tool.name, n_hosts = hosts.len());
                let work = move || {
                    for (host, (_, part)) in hosts.into_iter().zip(batch) {
                        reduce.add(host, &part)?;
                    }
                    Ok(reduce)
                };
                on_pool(&self.engine, work).instrument(span).await?.map_err(|e| Error::core(file, e))
            }
        };
        gather(plan(request, self.window), self.window, |job| self.map(job), begin, fold).await
    }

    /// Takes the traces that failed out of the request, and says so.
    fn leave_out(&self, request: &mut Request, failed: &[(usize, Error)], diag: &mut Diag) -> LeftOut {
        let mut left_out = LeftOut { failed_hosts: Vec::new(), causes: Vec::new(), lasting: true };
        let n_hosts = request.traces.len() - failed.len();
        let (request_id, tool) = (&*request.request_id, request.tool.name);
        for (place, error) in failed {
            let trace = &request.traces[*place];
            let path = trace.identity.path.display();
            let cause = error.chain();
            tracing::warn!(request_id, tool, host = %trace.host, file = %path, n_hosts, error = cause, "host left out of the answer");
            diag.count(ProblemKind::HostFailed, || trace.file_name());
            left_out.failed_hosts.push(Arc::clone(&trace.host));
            left_out.causes.push(cause);
            left_out.lasting &= error.lasts();
        }
        self.failed_hosts.add(failed.len() as u64);
        let mut failed = failed.iter().map(|(place, _)| *place).peekable();
        let traces = std::mem::take(&mut request.traces).into_iter().enumerate();
        request.traces =
            traces.filter(|(place, _)| failed.next_if_eq(place).is_none()).map(|(_, trace)| trace).collect();
        left_out
    }

    /// Render, on the CPU pool.
    async fn finish(
        &self,
        request: &Request,
        file: &str,
        reduce: Reduce,
    ) -> Result<(Finished<Answer, AnyReduction>, Diag)> {
        let span = tracing::debug_span!("finish", tool = request.tool.name, n_hosts = request.traces.len());
        let Reduce { reduction, mut diag, .. } = reduce;
        let work = move || reduction.finish(&mut diag).map(|finished| (finished, diag));
        on_pool(&self.engine, work).instrument(span).await?.map_err(|e| Error::core(file, e))
    }
}

/// A reduction under way.
struct Reduce {
    reduction: AnyReduction,
    diag: Diag,
    /// Whether this is a further pass: the problems of the traces are counted already.
    is_again: bool,
}

impl Reduce {
    fn add(&mut self, host: Arc<str>, part: &Part) -> xprof_core::Result<()> {
        if self.is_again {
            return self.reduction.add(host, &part.artifact, &mut self.diag.fork());
        }
        count(&mut self.diag, &part.problems);
        self.reduction.add(host, &part.artifact, &mut self.diag)
    }
}

/// Why there is no answer at all: one host alone says so itself, of several each is named.
fn nothing_left(request: &Request, failed: Vec<(usize, Error)>) -> Error {
    let named = |(place, error): &(usize, Error)| {
        let host = Arc::clone(&request.traces[*place].host);
        FailedHost { host, cause: error.chain() }
    };
    let hosts: Arc<[FailedHost]> = failed.iter().map(named).collect();
    match failed.into_iter().next() {
        Some((_, first)) if hosts.len() > 1 => Error::EveryHost { failed: hosts, first: Arc::new(first) },
        Some((_, first)) => first,
        None => Error::BadRequest("no host is chosen".into()),
    }
}

/// The hosts that an answer does not cover.
struct LeftOut {
    failed_hosts: Vec<Arc<str>>,
    causes: Vec<String>,
    lasting: bool,
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
