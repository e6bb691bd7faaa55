//! The fleet as this program sees it, for operators: `/debug/workers`.
//!
//! Takes a [`Pool`], gives a [`Report`] that serializes to JSON. It changes nothing.

use std::time::Instant;

use serde::Serialize;

use super::resolve::Target;
use super::{Pool, Worker};

/// Who works, who does not and why, and whose traces are under suspicion. Times are in seconds before now.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// How jobs are spread.
    pub policy: &'static str,
    /// For how long no worker has been well, if none is.
    pub down_for_s: Option<f64>,
    /// Each worker, by address.
    pub workers: Vec<WorkerReport>,
    /// Each entry of `--worker_service_address`.
    pub targets: Vec<TargetReport>,
    /// Traces whose workers died.
    pub suspects: Vec<SuspectReport>,
}

/// One worker.
#[derive(Debug, Serialize)]
pub struct WorkerReport {
    /// Where it is.
    pub address: String,
    /// `new`, `serving`, `resting`, `draining`, `gone` or `hung`; only `serving` gets jobs while there is one.
    pub state: &'static str,
    /// For how long it has been getting jobs, or has not.
    pub for_s: f64,
    /// Jobs under way there.
    pub load: usize,
    /// Its part of the jobs of about the last ten seconds, from 0 to 1.
    pub share: f64,
    /// Jobs that it was given, retries included.
    pub jobs: u64,
    /// Jobs that it lost or sent back.
    pub failed: u64,
    /// `xprof.worker.v1`, or XProf's own.
    pub protocol: &'static str,
    /// The last of those failures.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_ago_s: Option<f64>,
}

/// One entry of the list of workers.
#[derive(Debug, Serialize)]
pub struct TargetReport {
    /// As the user wrote it.
    pub target: String,
    /// How many addresses it has.
    pub addresses: usize,
    /// When they were told last, if ever.
    pub resolved_ago_s: Option<f64>,
    /// Why the last attempt failed; the addresses are then those of before.
    pub error: Option<String>,
}

/// One trace whose workers died.
#[derive(Debug, Serialize)]
pub struct SuspectReport {
    /// The file.
    pub file: String,
    /// The workers that died while they had it, the last one last.
    pub died: Vec<String>,
    /// Whether it is sent to no worker for now.
    pub refused: bool,
    /// When the last of them died.
    pub last_ago_s: f64,
}

impl Pool {
    /// The fleet at `now`, without suspects.
    pub fn report(&self, now: Instant) -> Report {
        let workers = self.workers();
        let total: f64 = workers.iter().map(|w| w.past().weight(now)).sum();
        let known = self.known().targets.clone();
        let targets = self.options.targets.iter().zip(known);
        Report {
            policy: self.options.policy.name(),
            down_for_s: self.down_for(now).map(|d| rounded(d.as_secs_f64())),
            workers: workers.iter().map(|w| worker(w, now, total)).collect(),
            targets: targets
                .map(|(target, known)| TargetReport {
                    target: target.to_string(),
                    addresses: known.addresses.len(),
                    resolved_ago_s: known.at.filter(|_| matches!(target, Target::Name { .. })).map(|at| ago(at, now)),
                    error: known.error,
                })
                .collect(),
            suspects: Vec::new(),
        }
    }
}

fn worker(worker: &Worker, now: Instant, total: f64) -> WorkerReport {
    let past = worker.past();
    WorkerReport {
        address: worker.name.clone(),
        state: worker.health.state(now).as_str(),
        for_s: rounded(worker.health.for_how_long(now).as_secs_f64()),
        load: worker.load(),
        share: rounded(if total > 0.0 { past.weight(now) / total } else { 0.0 }),
        jobs: past.n_jobs,
        failed: past.n_failed,
        protocol: if worker.is_legacy() { "xprof.pywrap" } else { "xprof.worker.v1" },
        last_error_ago_s: past.last_error.as_ref().map(|(_, at)| ago(*at, now)),
        last_error: past.last_error.map(|(error, _)| error),
    }
}

/// Seconds from `at` to `now`.
pub fn ago(at: Instant, now: Instant) -> f64 {
    rounded(now.saturating_duration_since(at).as_secs_f64())
}

/// To three digits after the point: people read it.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
