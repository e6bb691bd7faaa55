//! The worker: takes map jobs over gRPC and answers with artifacts.
//!
//! Read in this order: [`config`] (what may be set) → [`build`] and [`App::serve`] here → [`grpc`] (the services).
//! The work itself is [`xprof_service::engine`], which the aggregator runs in its own process too.
//!
//! Invariants:
//! - Nothing is written except what XProf's worker protocol demands, beside the trace, atomically.
//! - A client that goes away stops its work. A job that cannot be done says why in its status.

pub mod config;
pub mod grpc;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use xprof_service::admin::{Admin, Ready};
use xprof_service::config::ConfigError;
use xprof_service::cpu_pool::CpuPool;
use xprof_service::engine::{Engine, EngineLimits};
use xprof_service::error_chain::chain;
use xprof_service::metrics::Metrics;
use xprof_service::shutdown::{Drained, Shutdown};
use xprof_service::storage::{ReadMode, Roots, Storage};

use config::WorkerConfig;

/// A worker that is ready to serve. Clones are the same.
#[derive(Debug, Clone)]
pub struct App {
    /// Runs the jobs.
    pub engine: Engine,
    /// Counts.
    pub metrics: Metrics,
    /// Ends it.
    pub shutdown: Shutdown,
    /// Whether it serves.
    pub ready: Ready,
    /// Its name.
    pub worker_id: Arc<str>,
    max_connection_age: Option<Duration>,
}

/// Makes a worker; opens no port.
pub fn build(config: &WorkerConfig, shutdown: Shutdown) -> Result<App, ConfigError> {
    let metrics = Metrics::new();
    let pool = CpuPool::new(config.common.cpu_threads, &metrics)
        .map_err(|error| ConfigError(format!("the conversion threads cannot be started: {error}")))?;
    let roots = Roots::new(&config.common.allowed_roots)
        .map_err(|error| ConfigError(format!("--allowed_roots is not valid: {}", chain(&error))))?;
    let storage = Arc::new(Storage::new(roots, ReadMode::from_word(&config.common.trace_read)));
    let limits = EngineLimits {
        max_waiting: config.max_waiting_jobs,
        ..EngineLimits::new(config.max_concurrent_worker_requests.unwrap_or(0), config.common.memory_budget)
    };
    let worker_id = if config.worker_id.is_empty() { host_name() } else { config.worker_id.clone() };
    let age = config.max_connection_age_ms;
    Ok(App {
        engine: Engine::new(limits, pool, storage, &metrics),
        metrics,
        shutdown,
        ready: Ready::default(),
        worker_id: worker_id.into(),
        max_connection_age: (age > 0).then(|| grpc::jittered(Duration::from_millis(age))),
    })
}

impl App {
    /// Serves until draining is over.
    pub async fn serve(&self, listener: TcpListener) -> Result<Drained, tonic::transport::Error> {
        grpc::serve(self, grpc::incoming(listener)).await
    }

    /// The operators' port of this worker.
    pub fn admin(&self, config_page: String) -> Admin {
        Admin {
            about: format!("xprof-worker {}: maps traces over gRPC, has no pages", xprof_service::VERSION).into(),
            config: config_page.into(),
            ready: self.ready.clone(),
            metrics: self.metrics.clone(),
            shutdown: self.shutdown.clone(),
            pages: Vec::new(),
        }
    }
}

/// The host's name as the kernel knows it: in a container the pod's name or the container's id.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "worker".into() } else { name.into() }
}
