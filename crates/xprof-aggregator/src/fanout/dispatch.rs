//! One map job on the workers: choose one, call it, and move to another if it is lost.
//!
//! Takes a job, gives its part. What a failure means is [`super::retry`]'s business, which worker is next [`super::place`]'s,
//! and what one attempt does [`super::call`]'s.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use xprof_service::engine::Engine;
use xprof_service::metrics::{Counter, Metrics};

use super::call::{self, Failure};
use super::hedge::Hedge;
use super::plan::Job;
use super::retry::{Budget, Verdict};
use super::suspects::Suspects;
use super::{Part, local};
use crate::error::{Error, Result};
use crate::workers::report::Report;
use crate::workers::{Pool, Wanted, Worker};

/// Sends jobs to workers.
#[derive(Debug)]
pub struct Dispatch {
    pool: Arc<Pool>,
    wait: Duration,
    hedge: Option<Hedge>,
    suspects: Suspects,
    metrics: Metrics,
    retries: Counter,
    in_process: Counter,
}

/// One job on its way.
struct Errand<'a> {
    engine: &'a Engine,
    job: &'a Job,
    key: String,
    turn: usize,
    /// Who was asked in this round over the workers.
    asked: Mutex<Vec<SocketAddr>>,
}

impl Dispatch {
    /// `wait` is how long a job waits for a worker that has room.
    pub fn new(pool: Arc<Pool>, wait: Duration, hedge: Option<Hedge>, metrics: &Metrics) -> Self {
        Self {
            pool,
            wait,
            hedge,
            suspects: Suspects::new(metrics),
            metrics: metrics.clone(),
            retries: metrics.counter("xprof_fanout_retries_total", "Map jobs sent again to another worker.", &[]),
            in_process: metrics.counter(
                "xprof_fanout_in_process_total",
                "Map jobs done here because the worker speaks only XProf's own protocol.",
                &[],
            ),
        }
    }

    /// The fleet at `now`, for operators.
    pub fn report(&self, now: Instant) -> Report {
        Report { suspects: self.suspects.report(now), ..self.pool.report(now) }
    }

    /// Runs one job, on as many workers as it takes within the budget.
    pub async fn map(&self, engine: &Engine, job: &Job) -> Result<Part> {
        let key = job.trace.identity.path.to_string_lossy().into_owned();
        let errand = Errand { engine, job, key, turn: self.pool.next_turn(), asked: Mutex::default() };
        match &self.hedge {
            None => self.persist(&errand).await,
            Some(hedge) => hedge.race(self.persist(&errand), self.second_chance(&errand)).await,
        }
    }

    /// From worker to worker until there is an answer.
    async fn persist(&self, errand: &Errand<'_>) -> Result<Part> {
        let job = errand.job;
        let mut budget = Budget::new(self.patience(job)?, job.deadline);
        let mut last = self.no_address();
        loop {
            let leave = tokio::time::timeout_at(job.deadline.into(), self.suspects.leave(job)).await;
            let leave = leave.map_err(|_| Error::TimedOut("the request's deadline while its job waited".into()))??;
            let Some((worker, _trial)) = errand.pick(&self.pool, leave.on_trial) else {
                drop(leave);
                self.pool.refresh_soon();
                let Some(pause) = budget.next_round(Instant::now()) else {
                    return Err(Error::NoWorker { file: job.trace.file_name(), attempts: budget.attempts(), last });
                };
                errand.begin_round();
                // News of a worker end the pause: those that just started should not wait for a timer.
                let _ = tokio::time::timeout(pause, self.pool.changed()).await;
                continue;
            };
            budget.attempt();
            let began = Instant::now();
            match self.attempt(errand, &worker).await {
                Ok(part) => return Ok(part),
                Err(failure) => {
                    self.blame(job, &worker, began, &failure);
                    last = self.settle(errand, &worker, &mut budget, failure).await?;
                }
            }
            self.retries.inc();
        }
    }

    /// How long a job may wait for a worker: less while all of them are down, and not at all once that has lasted. Waiting
    /// helps over a restart; in an outage it only keeps people from being told.
    fn patience(&self, job: &Job) -> Result<Duration> {
        let Some(down) = self.pool.down_for(Instant::now()) else {
            return Ok(self.wait);
        };
        if down < self.wait {
            return Ok(self.wait.saturating_sub(down));
        }
        self.pool.refresh_soon();
        let mut last = if self.pool.workers().is_empty() {
            self.no_address()
        } else {
            format!("none has been well for {} s", down.as_secs())
        };
        if let Some(error) = self.pool.last_error() {
            let _ = write!(last, ", the last one said: {error}");
        }
        Err(Error::NoWorker { file: job.trace.file_name(), attempts: 0, last })
    }

    fn no_address(&self) -> String {
        format!("{} leads to no address", self.pool.target_text())
    }

    /// One attempt on a worker that is well and was not asked. A trace under suspicion gets none.
    async fn second_chance(&self, errand: &Errand<'_>) -> Option<Part> {
        let leave = self.suspects.leave(errand.job).now_or_never()?.ok()?;
        let (worker, _) = errand.pick(&self.pool, false)?;
        if leave.is_suspect() || !worker.health.is_usable(Instant::now()) {
            return None;
        }
        let began = Instant::now();
        match self.attempt(errand, &worker).await {
            Ok(part) => Some(part),
            Err(failure) => {
                self.blame(errand.job, &worker, began, &failure);
                None
            }
        }
    }

    async fn attempt(&self, errand: &Errand<'_>, worker: &Arc<Worker>) -> Result<Part, Failure> {
        let result = self.call(errand, worker).await;
        let outcome = result.as_ref().map_or_else(|failure| failure.verdict.code(), |_| "ok");
        let help = "Map jobs sent to workers, retries included, by how they ended.";
        self.metrics.counter("xprof_fanout_attempts_total", help, &[("outcome", outcome)]).inc();
        if let Ok(_) | Err(Failure { verdict: Verdict::Final(Error::Job { .. } | Error::Core { .. }), .. }) = &result {
            // It answered, be it that the job cannot be done.
            worker.succeeded();
            self.suspects.survived(errand.job);
        }
        result
    }

    async fn call(&self, Errand { engine, job, .. }: &Errand<'_>, worker: &Arc<Worker>) -> Result<Part, Failure> {
        if !worker.is_legacy() {
            match call::map(engine, job, worker).await {
                // The same worker is asked again, in the protocol that it knows.
                Err(Failure { verdict: Verdict::Unknown, .. }) => worker.set_legacy(),
                result => return result,
            }
        }
        if let Some(part) = call::legacy(engine, job, worker).await? {
            return Ok(part);
        }
        self.in_process.inc();
        local::map(engine, job).await.map_err(|e| Failure { text: e.to_string(), verdict: Verdict::Final(e) })
    }

    /// After a failed attempt: an error ends the job, a text lets it go on elsewhere.
    async fn settle(
        &self,
        errand: &Errand<'_>,
        worker: &Worker,
        budget: &mut Budget,
        failure: Failure,
    ) -> Result<String> {
        let job = errand.job;
        if matches!(failure.verdict, Verdict::Mismatch | Verdict::Unseen(_)) {
            let storage = errand.engine.storage();
            let now = storage.identity(&job.trace.identity.path).await.map_err(local::storage_error)?;
            if now != job.trace.identity {
                return Err(Error::Changed(job.trace.file_name()));
            }
            // The file is as we know it, so this worker sees an old listing or runs an old release.
        }
        let may_go_on = budget.spend(&failure.verdict, Instant::now());
        let (attempt, host, error) = (budget.attempts(), &*job.trace.host, &failure.text);
        match failure.verdict {
            Verdict::Final(error) => return Err(error),
            // Waiting for a worker to come back is one event for a person who reads the log, not one per round.
            Verdict::NotBegun { .. } if attempt > 1 => {
                tracing::debug!(worker = worker.name, attempt, host, error, "map job failed on a worker");
            }
            _ => {
                let (tool, request_id) = (job.tool.name, &*job.request_id);
                tracing::warn!(
                    worker = worker.name,
                    attempt,
                    host,
                    tool,
                    request_id,
                    error,
                    "map job failed on a worker"
                );
            }
        }
        match failure.verdict {
            _ if may_go_on => Ok(failure.text),
            Verdict::Unseen(error) => Err(error),
            // That the trace brought workers down says more than what the last of them said.
            _ => match self.suspects.leave(job).now_or_never() {
                Some(Err(poison)) => Err(poison),
                _ => Err(Error::NoWorker { file: job.trace.file_name(), attempts: attempt, last: failure.text }),
            },
        }
    }

    /// Tells those who keep books of a failure of an attempt that began then.
    fn blame(&self, job: &Job, worker: &Worker, began: Instant, failure: &Failure) {
        if matches!(failure.verdict, Verdict::Final(_)) {
            return;
        }
        worker.failed(failure.verdict.loss(), &failure.text);
        if failure.verdict.loss().is_some() {
            self.pool.refresh_soon();
        }
        if matches!(failure.verdict, Verdict::Died) {
            self.suspects.died(job, &worker.name, began, Instant::now());
        }
    }
}

impl Errand<'_> {
    /// The next worker for it, which counts as asked from now on.
    fn pick(&self, pool: &Pool, on_trial: bool) -> Option<(Arc<Worker>, Option<crate::workers::Trial>)> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let picked = pool.pick(&Wanted { key: &self.key, turn: self.turn, asked: &asked, on_trial })?;
        asked.push(picked.0.address);
        Some(picked)
    }

    /// Everybody may be asked again.
    fn begin_round(&self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
