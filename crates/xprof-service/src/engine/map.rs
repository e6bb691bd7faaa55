//! One map job from admission to artifact.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, Span, info_span};
use xprof_core::Diag;
use xprof_core::artifact::AnyArtifact;
use xprof_core::diag::Problem;
use xprof_core::prep::Prepared;
use xprof_core::tools::registry;

use super::flight::{Flights, Role};
use super::ledger::{Ledger, Reserved};
use super::store::{Entry, Kept, Key, Store};
use super::{EngineError, EngineLimits, EngineStatus, MapJob, Mapped, Stage, Timing};
use crate::cpu_pool::{Abandoned, CpuPool};
use crate::error_chain::Chain;
use crate::metrics::{Gauge, Metrics};
use crate::storage::{Storage, TraceIdentity};

/// The least that a job costs, whatever the size of its file.
const LEAST_COST_BYTES: u64 = 1 << 20;

/// Runs map jobs. Clones are the same.
#[derive(Debug, Clone)]
pub struct Engine(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    limits: EngineLimits,
    pool: CpuPool,
    storage: Arc<Storage>,
    metrics: Metrics,
    jobs: Arc<Semaphore>,
    waiting: Gauge,
    running: Gauge,
    pub(super) ledger: Ledger,
    pub(super) store: Store,
    preparing: Flights<Key, Arc<Kept<Prepared>>>,
    mapping: Flights<Key, Arc<Made>>,
}

/// What one run of map left, for everyone who waited for it.
#[derive(Debug)]
struct Made {
    kept: Arc<Kept<AnyArtifact>>,
    read: Duration,
    prepare: Duration,
    map: Duration,
    was_prepared: bool,
}

/// A running job's place among the jobs, with the gauge that shows it.
struct JobPermit {
    _permit: OwnedSemaphorePermit,
    _running: crate::metrics::Held,
}

impl Engine {
    /// An engine with empty caches.
    pub fn new(limits: EngineLimits, pool: CpuPool, storage: Arc<Storage>, metrics: &Metrics) -> Self {
        let held = metrics
            .gauge("xprof_map_held_bytes", "Bytes reserved by running map jobs and by cached traces and artifacts.");
        metrics.gauge("xprof_map_limit_bytes", "The budget of those bytes.").set(limits.memory_budget as i64);
        metrics.gauge("xprof_map_limit_jobs", "Map jobs that may run at once.").set(limits.jobs as i64);
        Self(Arc::new(Inner {
            pool,
            storage,
            metrics: metrics.clone(),
            jobs: Arc::new(Semaphore::new(limits.jobs.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: metrics.gauge("xprof_map_waiting_jobs", "Map jobs that wait for their turn."),
            running: metrics.gauge("xprof_map_running_jobs", "Map jobs that run."),
            ledger: Ledger::new(limits.memory_budget, held),
            store: Store::default(),
            preparing: Flights::new(),
            mapping: Flights::new(),
            limits,
        }))
    }

    /// Where traces are.
    pub fn storage(&self) -> &Arc<Storage> {
        &self.0.storage
    }

    /// The pool, for reduce and render.
    pub fn pool(&self) -> &CpuPool {
        &self.0.pool
    }

    /// The engine as it is now.
    pub fn status(&self) -> EngineStatus {
        let (prepared_traces, artifacts) = self.0.store.counts();
        EngineStatus {
            jobs_running: self.0.running.get().max(0) as usize,
            jobs_waiting: self.0.waiting.get().max(0) as usize,
            jobs_limit: self.0.limits.jobs,
            bytes_held: self.0.ledger.held_bytes(),
            bytes_limit: self.0.limits.memory_budget,
            prepared_traces,
            artifacts,
        }
    }

    /// Runs one job. Dropping the future stops it.
    pub async fn map(&self, job: MapJob) -> Result<Mapped, EngineError> {
        let span = info_span!("map_job", request_id = %job.request_id, host = %job.host, tool = job.tool.name);
        let mut line = OutcomeLine::new(self, job.tool.name, span.clone());
        let result = self.within_deadline(&job).instrument(span).await;
        line.write(&result);
        result
    }

    async fn within_deadline(&self, job: &MapJob) -> Result<Mapped, EngineError> {
        let Some(deadline) = job.deadline else {
            return self.run(job).await;
        };
        if deadline <= Instant::now() {
            return Err(EngineError::DeadlineExceeded { stage: "waiting to begin" });
        }
        match tokio::time::timeout_at(deadline.into(), self.run(job)).await {
            Ok(result) => result,
            Err(_) => Err(EngineError::DeadlineExceeded { stage: "running" }),
        }
    }

    async fn run(&self, job: &MapJob) -> Result<Mapped, EngineError> {
        let started = Instant::now();
        job.tool.check(&job.params).map_err(|source| convert_error(job, source))?;
        let identity = self.0.storage.identity(&job.path).await.map_err(EngineError::Storage)?;
        if job.expected.as_ref().is_some_and(|expected| !expected.accepts(&identity)) {
            return Err(EngineError::TraceChanged { found: identity });
        }
        let key = Key::artifact(job.tool, &identity, &job.host, &job.params);
        if let Some(kept) = self.0.store.artifact(&key) {
            let timing = Timing { queued: started.elapsed(), ..Timing::default() };
            return Ok(mapped(&kept, timing, true, identity));
        }
        let start = |diag| self.clone().make(job.clone(), key.clone(), identity.clone(), diag);
        let (made, role) = self.0.mapping.join(key.clone(), start).await;
        let made = made?;
        let timing = match role {
            // Whoever joined late did nothing but wait.
            Role::Follower => Timing { queued: started.elapsed(), ..Timing::default() },
            Role::Leader => {
                let busy = made.read + made.prepare + made.map;
                Timing {
                    queued: started.elapsed().saturating_sub(busy),
                    read: made.read,
                    prepare: made.prepare,
                    map: made.map,
                }
            }
        };
        Ok(mapped(&made.kept, timing, made.was_prepared, identity))
    }

    /// The work of a job whose artifact nobody has.
    async fn make(self, job: MapJob, key: Key, identity: TraceIdentity, diag: Diag) -> Result<Arc<Made>, EngineError> {
        observe(&job, Stage::Queued);
        let permit = Arc::new(self.admit().await?);
        let prepared_key = Key::Prepared {
            identity: identity.clone(),
            host: Arc::clone(&job.host),
            with_events: job.tool.needs_events,
        };
        let started = Instant::now();
        let cached = self.0.store.prepared(&prepared_key);
        let was_prepared = cached.is_some();
        let (prepared, read) = match cached {
            Some(prepared) => (prepared, Duration::ZERO),
            None => self.prepared(&job, prepared_key.clone(), &identity).await?,
        };
        let prepare = if was_prepared { Duration::ZERO } else { started.elapsed().saturating_sub(read) };
        observe(&job, Stage::Map);
        let started = Instant::now();
        let kept = self.map_prepared(&job, Arc::clone(&prepared), permit, diag).await?;
        let map = started.elapsed();
        // Only if the file is still the one that was opened, its bytes were the same from begin to end.
        let now = self.0.storage.identity(&job.path).await.map_err(EngineError::Storage)?;
        if now != identity {
            self.0.store.remove(&prepared_key);
            return Err(EngineError::TraceChanged { found: now });
        }
        let kept = Arc::new(kept);
        if kept.reserved.is_some() {
            self.0.store.insert(key, Entry::Artifact(Arc::clone(&kept)));
        }
        for (stage, elapsed) in [(Stage::Read, read), (Stage::Prepare, prepare), (Stage::Map, map)] {
            if elapsed > Duration::ZERO {
                let help = "Time of map jobs by stage.";
                self.0.metrics.times("xprof_map_stage_seconds", help, &[("stage", stage.as_str())]).observe(elapsed);
            }
        }
        Ok(Arc::new(Made { kept, read, prepare, map, was_prepared }))
    }

    async fn admit(&self) -> Result<JobPermit, EngineError> {
        let waiting = self.0.waiting.get().max(0) as usize;
        if waiting >= self.0.limits.max_waiting {
            return Err(EngineError::Overloaded { waiting });
        }
        let _waiting = self.0.waiting.hold(1);
        let permit = Arc::clone(&self.0.jobs).acquire_owned().await;
        // The semaphore is never closed.
        let permit = permit.map_err(|_| EngineError::Internal(Abandoned::Stopped))?;
        Ok(JobPermit { _permit: permit, _running: self.0.running.hold(1) })
    }

    /// The prepared trace and the time that opening it took.
    async fn prepared(
        &self,
        job: &MapJob,
        key: Key,
        identity: &TraceIdentity,
    ) -> Result<(Arc<Kept<Prepared>>, Duration), EngineError> {
        let opened = Arc::new(std::sync::OnceLock::new());
        let start = |diag| {
            let prepare =
                Prepare { engine: self.clone(), job: job.clone(), key: key.clone(), opened: Arc::clone(&opened) };
            prepare.run(identity.clone(), diag)
        };
        let (prepared, _) = self.0.preparing.join(key.clone(), start).await;
        Ok((prepared?, opened.get().copied().unwrap_or_default()))
    }

    async fn map_prepared(
        &self,
        job: &MapJob,
        prepared: Arc<Kept<Prepared>>,
        permit: Arc<JobPermit>,
        mut diag: Diag,
    ) -> Result<Kept<AnyArtifact>, EngineError> {
        let (tool, params): (&'static registry::Entry, _) = (job.tool, job.params.clone());
        let work = move || {
            // The permit is free when the work has really stopped, which may be later than its caller stops waiting.
            let _permit = permit;
            diag.check()?;
            diag.merge(&prepared.diag);
            let artifact = tool.map(&prepared.value, &params, &mut diag)?;
            diag.check()?;
            Ok((artifact, diag))
        };
        let (value, diag) = self.on_pool(job, info_span!("map"), work).await?;
        let reserved = self.0.ledger.try_reserve(value.weight() as u64, || self.0.store.evict_one());
        Ok(Kept { value, diag, reserved })
    }

    async fn on_pool<T: Send + 'static>(
        &self,
        job: &MapJob,
        span: Span,
        work: impl FnOnce() -> xprof_core::Result<T> + Send + 'static,
    ) -> Result<T, EngineError> {
        let result = self.0.pool.run(span, work).await.map_err(EngineError::Internal)?;
        result.map_err(|source| convert_error(job, source))
    }
}

/// The work of preparing a trace that nobody holds.
struct Prepare {
    engine: Engine,
    job: MapJob,
    key: Key,
    opened: Arc<std::sync::OnceLock<Duration>>,
}

impl Prepare {
    async fn run(self, identity: TraceIdentity, diag: Diag) -> Result<Arc<Kept<Prepared>>, EngineError> {
        let Inner { ledger, store, limits, storage, waiting, .. } = &*self.engine.0;
        let for_events = if self.job.tool.needs_events { identity.size_bytes as f64 * limits.cost_factor } else { 0.0 };
        let cost = for_events as u64 + LEAST_COST_BYTES;
        let reserved = {
            let _waiting = waiting.hold(1);
            ledger.reserve(cost, || store.evict_one(), &store.cached).await
        };
        observe(&self.job, Stage::Read);
        let started = Instant::now();
        let trace = storage.open(&self.job.path).await.map_err(EngineError::Storage)?;
        // Nobody may have watched: then the time is not told to anybody.
        let _ = self.opened.set(started.elapsed());
        if trace.identity != identity {
            return Err(EngineError::TraceChanged { found: trace.identity });
        }
        observe(&self.job, Stage::Prepare);
        let (tool, host) = (self.job.tool, Arc::clone(&self.job.host));
        let mut diag = diag;
        let work = move || {
            // The reservation travels with the work, so that it is held until the work has really stopped.
            diag.check()?;
            let value = tool.prepare(trace.bytes, &host, &mut diag)?;
            diag.check()?;
            Ok((value, diag, reserved))
        };
        let (value, diag, mut reserved) = self.engine.on_pool(&self.job, info_span!("prepare"), work).await?;
        let fits = settle(&mut reserved, value.weight() as u64, ledger, store);
        let kept = Arc::new(Kept { value, diag, reserved: Some(reserved) });
        if fits {
            store.insert(self.key, Entry::Prepared(Arc::clone(&kept)));
        }
        Ok(kept)
    }
}

/// Makes the reservation what is really held. False if the budget does not allow it: then the trace is not cached.
fn settle(reserved: &mut Reserved, weight: u64, ledger: &Ledger, store: &Store) -> bool {
    if weight <= reserved.bytes() {
        reserved.shrink_to(weight);
        return true;
    }
    match ledger.try_reserve(weight - reserved.bytes(), || store.evict_one()) {
        Some(more) => {
            reserved.merge(more);
            true
        }
        None => false,
    }
}

fn observe(job: &MapJob, stage: Stage) {
    if let Some(on_stage) = &job.on_stage {
        on_stage(stage);
    }
}

fn convert_error(job: &MapJob, source: xprof_core::Error) -> EngineError {
    EngineError::Convert { path: job.path.to_string_lossy().into(), source }
}

fn mapped(kept: &Kept<AnyArtifact>, timing: Timing, cache_hit: bool, identity: TraceIdentity) -> Mapped {
    let problems: Vec<Problem> = kept.diag.problems().cloned().collect();
    Mapped { artifact: kept.value.clone(), problems, timing, cache_hit, identity }
}

/// One log line and one count for every way in which a job can end, also when its caller goes away.
struct OutcomeLine {
    metrics: Metrics,
    tool: &'static str,
    /// The job's, so that the line of a job that was given up says whose it was.
    span: Span,
    started: Instant,
    written: bool,
}

impl OutcomeLine {
    fn new(engine: &Engine, tool: &'static str, span: Span) -> Self {
        Self { metrics: engine.0.metrics.clone(), tool, span, started: Instant::now(), written: false }
    }

    fn count(&mut self, outcome: &'static str) {
        self.written = true;
        let labels = [("tool", self.tool), ("outcome", outcome)];
        self.metrics.counter("xprof_map_jobs_total", "Map jobs by tool and how they ended.", &labels).inc();
    }

    fn write(&mut self, result: &Result<Mapped, EngineError>) {
        let elapsed_ms = self.started.elapsed().as_secs_f64() * 1e3;
        let _inside = self.span.clone().entered();
        match result {
            Ok(mapped) => {
                self.count("ok");
                tracing::info!(
                    outcome = "ok",
                    cache = if mapped.cache_hit { "hit" } else { "miss" },
                    bytes_in = mapped.identity.size_bytes,
                    n_problems = mapped.problems.len(),
                    elapsed_ms,
                    "map job"
                );
            }
            Err(error) => {
                self.count(error.code());
                tracing::info!(outcome = error.code(), error = %Chain(error), elapsed_ms, "map job");
            }
        }
    }
}

impl Drop for OutcomeLine {
    fn drop(&mut self) {
        if !self.written {
            self.count("cancelled");
            self.span.in_scope(|| tracing::info!(outcome = "cancelled", "map job"));
        }
    }
}
