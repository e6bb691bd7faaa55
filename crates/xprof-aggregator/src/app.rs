//! The application: everything that requests share, built from a configuration.
//!
//! Takes a checked [`Config`], gives an [`App`] whose service can be called without a socket.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use xprof_service::cpu_pool::CpuPool;
use xprof_service::engine::{Engine, EngineLimits};
use xprof_service::metrics::Metrics;
use xprof_service::storage::{ReadMode, Roots, Storage};

use crate::answer_cache::{AnswerCache, AnswerKey, CachedAnswer};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::error::Result;
use crate::fanout::dispatch::Dispatch;
use crate::fanout::hedge::Hedge;
use crate::fanout::single_flight::SingleFlight;
use crate::fanout::{Fanout, Runner};
use crate::http::warm::MAX_WAITING;
use crate::http::{Stack, stack};
use crate::workers::lookup::{Lookup, system_lookup};
use crate::workers::{Pool, PoolOptions};

/// Map jobs under way for each worker, if nobody sets it: one is worked on while others travel.
const JOBS_PER_WORKER: usize = 4;

/// The least number of jobs under way with workers: names can have any number of addresses.
const LEAST_REMOTE_JOBS: usize = 64;

/// What all requests share.
#[derive(Debug)]
pub struct State {
    /// The configuration.
    pub config: Config,
    /// What there is to look at.
    pub catalog: Catalog,
    /// Who does the work.
    pub fanout: Fanout,
    /// Finished answers.
    pub answers: AnswerCache,
    /// Answers that are being made.
    pub flights: SingleFlight<AnswerKey, Result<Arc<CachedAnswer>>>,
    /// Sessions that are warmed at once.
    pub warming: Semaphore,
    /// Places for sessions that are warmed or wait for it.
    pub warm_places: Arc<Semaphore>,
    /// What is counted.
    pub metrics: Metrics,
}

/// The application.
#[derive(Debug, Clone)]
pub struct App {
    /// What all requests share.
    pub state: Arc<State>,
    /// Answers requests.
    pub service: Stack,
}

/// Builds the application. It has to be called inside a runtime: workers are looked for from now on.
pub fn build(config: Config, metrics: Metrics) -> anyhow::Result<App> {
    build_with(config, metrics, None)
}

/// Builds the application with another way to resolve the names of workers.
pub fn build_with(config: Config, metrics: Metrics, lookup: Option<Lookup>) -> anyhow::Result<App> {
    let roots = Roots::new(&allowed_roots(&config))?;
    let storage = Arc::new(Storage::new(roots, ReadMode::from_word(&config.common.trace_read)));
    let pool = CpuPool::new(config.common.cpu_threads, &metrics)?;
    let local_jobs = if config.workers.is_empty() { config.max_jobs } else { 0 };
    let limits = EngineLimits::new(local_jobs, config.common.memory_budget);
    let n_cpus = limits.jobs;
    let engine = Engine::new(limits, pool, storage, &metrics);

    let automatic = match config.workers.len() {
        // The engine admits by itself; a few jobs in its queue keep it busy between two of them.
        0 => n_cpus * 2,
        n => (n * JOBS_PER_WORKER).max(LEAST_REMOTE_JOBS),
    };
    let max_jobs = if config.max_jobs == 0 { automatic } else { config.max_jobs };
    let runner = if config.workers.is_empty() {
        Runner::Local
    } else {
        let options = PoolOptions {
            targets: config.workers.clone(),
            policy: config.policy,
            refresh: config.dns_refresh,
            lookup: lookup.unwrap_or_else(system_lookup),
        };
        let hedge = Hedge::new(config.hedge_after, max_jobs, &metrics);
        let workers = Pool::start(options, &metrics);
        Runner::Workers(Arc::new(Dispatch::new(workers, config.worker_wait, hedge, &metrics)))
    };
    let state = Arc::new(State {
        catalog: Catalog::new(config.logdir.clone(), &engine),
        fanout: Fanout::new(engine, runner, max_jobs, &metrics),
        answers: AnswerCache::new(config.answer_cache_bytes),
        flights: SingleFlight::default(),
        warming: Semaphore::new(1),
        warm_places: Arc::new(Semaphore::new(MAX_WAITING)),
        metrics,
        config,
    });
    Ok(App { service: stack(Arc::clone(&state)), state })
}

/// A log directory is what may be read, unless more is permitted by name. Without one every path is, as in the reference's
/// deployments, where requests name their sessions by path.
fn allowed_roots(config: &Config) -> Vec<String> {
    let logdir = config.logdir.as_ref().map(|dir: &PathBuf| dir.to_string_lossy().into_owned());
    logdir.into_iter().chain(config.common.allowed_roots.iter().cloned()).collect()
}
