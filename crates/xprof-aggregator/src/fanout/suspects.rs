//! Traces whose workers died: tried with care, and after a few deaths not any more.
//!
//! Takes what became of jobs, says how the next job for the same version of a trace may be sent. It sends nothing itself.
//!
//! ```text
//! deaths  how its jobs are sent
//! 0       like any other
//! 1       one after the other: the first death may have been chance
//! 2       on trial: besides, only to a worker where no other trace is on trial, and not to the last one that is well
//! 3       not at all, until the first of those deaths is forgotten
//! ```
//! Every job that a worker had when it died is suspected, though one alone may be guilty. Most are cleared by their next
//! answer; a trial tells the others apart, for the guilty one is then the only one of them on its worker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;
use xprof_service::metrics::{Counter, Gauge, Metrics};
use xprof_service::storage::TraceIdentity;

use super::plan::Job;
use crate::error::{Error, Result};
use crate::workers::report::{SuspectReport, ago};

/// After so many deaths a trace is sent to nobody.
const MOST_DEATHS: usize = 3;

/// From so many deaths on it is on trial.
const TRIAL_DEATHS: usize = 2;

/// How long a death counts.
const MEMORY: Duration = Duration::from_mins(10);

/// The traces under suspicion.
#[derive(Debug)]
pub struct Suspects {
    traces: Mutex<HashMap<TraceIdentity, Record>>,
    n_suspects: Gauge,
    deaths: Counter,
    refusals: Counter,
}

#[derive(Debug, Default)]
struct Record {
    deaths: Vec<Death>,
    /// Held by the one job of this trace that is under way.
    lane: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Death {
    worker: String,
    /// What was being made of the trace.
    artifact: &'static str,
    at: Instant,
}

/// How a job may be sent.
#[derive(Debug, Default)]
pub struct Leave {
    /// Whether it is on trial.
    pub on_trial: bool,
    lane: Option<OwnedMutexGuard<()>>,
}

impl Leave {
    /// Whether its trace is under suspicion.
    pub fn is_suspect(&self) -> bool {
        self.lane.is_some()
    }
}

impl Suspects {
    /// Nobody is suspected.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            traces: Mutex::default(),
            n_suspects: metrics.gauge("xprof_fanout_suspects_count", "Traces whose workers died a short time ago."),
            deaths: metrics.counter("xprof_fanout_deaths_total", "Workers that died while they had a job.", &[]),
            refusals: metrics.counter(
                "xprof_fanout_refusals_total",
                "Map jobs that were not sent because the trace had brought down several workers.",
                &[],
            ),
        }
    }

    /// Waits until the job may be sent, or says that it may not be. The leave is held while a worker has the job.
    pub async fn leave(&self, job: &Job) -> Result<Leave> {
        let mut waited = None;
        loop {
            let lane = {
                let mut traces = self.lock();
                let Some(record) = traces.get_mut(&job.trace.identity) else {
                    return Ok(Leave::default());
                };
                let now = Instant::now();
                record.forget(now);
                if record.deaths.len() >= MOST_DEATHS {
                    self.refusals.inc();
                    return Err(record.refusal(job, now));
                }
                if record.deaths.is_empty() {
                    traces.remove(&job.trace.identity);
                    self.n_suspects.set(traces.len() as i64);
                    return Ok(Leave::default());
                }
                if waited.is_some() {
                    return Ok(Leave { on_trial: record.deaths.len() >= TRIAL_DEATHS, lane: waited });
                }
                Arc::clone(&record.lane)
            };
            // Whoever was before may have cleared the trace, or not.
            waited = Some(lane.lock_owned().await);
        }
    }

    /// A worker died while it had the job, which it got at `began`.
    pub fn died(&self, job: &Job, worker: &str, began: Instant, now: Instant) {
        let mut traces = self.lock();
        for record in traces.values_mut() {
            record.forget(now);
        }
        // The lane of a record is of no use without deaths, so nobody misses it.
        traces.retain(|_, record| !record.deaths.is_empty());
        let record = traces.entry(job.trace.identity.clone()).or_default();
        // A worker that had several jobs of the trace died once.
        if !record.deaths.iter().any(|d| d.worker == worker && d.at >= began) {
            self.deaths.inc();
            record.deaths.push(Death { worker: worker.to_owned(), artifact: job.tool.artifact_kind, at: now });
        }
        let n = record.deaths.len();
        self.n_suspects.set(traces.len() as i64);
        drop(traces);
        if n >= TRIAL_DEATHS {
            let (file, request_id) = (job.trace.identity.path.display(), &*job.request_id);
            tracing::warn!(%file, request_id, worker, n_deaths = n, "workers died while they had this trace");
        }
    }

    /// A worker lived through the job. What it did not do may still kill.
    pub fn survived(&self, job: &Job) {
        let mut traces = self.lock();
        // Nearly always there is none at all.
        if let Some(record) = traces.get_mut(&job.trace.identity) {
            record.deaths.retain(|d| d.artifact != job.tool.artifact_kind);
            if record.deaths.is_empty() {
                traces.remove(&job.trace.identity);
                self.n_suspects.set(traces.len() as i64);
            }
        }
    }

    /// Those under suspicion at `now`, by name.
    pub fn report(&self, now: Instant) -> Vec<SuspectReport> {
        let traces = self.lock();
        let mut reports: Vec<_> = traces
            .iter()
            .filter_map(|(identity, record)| {
                let deaths: Vec<_> = record.deaths.iter().filter(|d| !d.is_forgotten(now)).collect();
                Some(SuspectReport {
                    file: identity.path.display().to_string(),
                    died: deaths.iter().map(|d| d.worker.clone()).collect(),
                    refused: deaths.len() >= MOST_DEATHS,
                    last_ago_s: ago(deaths.last()?.at, now),
                })
            })
            .collect();
        reports.sort_by(|a, b| a.file.cmp(&b.file));
        reports
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TraceIdentity, Record>> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn forget(&mut self, now: Instant) {
        self.deaths.retain(|d| !d.is_forgotten(now));
    }

    fn refusal(&self, job: &Job, now: Instant) -> Error {
        let again = self.deaths.first().map_or(MEMORY, |d| (d.at + MEMORY).saturating_duration_since(now));
        Error::Poison {
            file: job.trace.file_name(),
            workers: self.deaths.iter().map(|d| d.worker.as_str()).collect::<Vec<_>>().join(", "),
            again,
        }
    }
}

impl Death {
    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= MEMORY
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use xprof_core::tools::{Params, registry};

    use super::super::Trace;
    use super::*;

    fn job(path: &str, tool: &str) -> Job {
        let identity = TraceIdentity { path: path.into(), size_bytes: 1, modified_unix_ns: 1 };
        Job {
            tool: registry::find(tool).unwrap(),
            trace: Trace { host: "h".into(), identity },
            params: Params::new(),
            request_id: "r".into(),
            deadline: Instant::now() + Duration::from_secs(60),
            places: vec![0],
        }
    }

    /// Whether a job may be sent now, and how.
    fn told(suspects: &Suspects, job: &Job) -> &'static str {
        match suspects.leave(job).now_or_never() {
            None => "waits",
            Some(Err(_)) => "refused",
            Some(Ok(Leave { on_trial: true, .. })) => "on trial",
            Some(Ok(leave)) if leave.is_suspect() => "suspect",
            Some(Ok(_)) => "free",
        }
    }

    fn deaths_of(suspects: &Suspects, job: &Job, n: u64) {
        for i in 0..n {
            suspects.died(job, &format!("w{i}"), Instant::now(), Instant::now());
        }
    }

    #[test]
    fn each_death_makes_the_next_job_more_careful() {
        let metrics = Metrics::new();
        for (n, expected) in [(0, "free"), (1, "suspect"), (2, "on trial"), (3, "refused")] {
            let suspects = Suspects::new(&metrics);
            let (bad, other) = (job("/bad", "overview_page"), job("/other", "overview_page"));
            deaths_of(&suspects, &bad, n);
            assert_eq!((told(&suspects, &bad), told(&suspects, &other)), (expected, "free"));
        }
        assert_eq!(metrics.value("xprof_fanout_deaths_total"), Some(6));
    }

    #[test]
    fn the_refusal_names_the_file_and_the_workers() {
        let suspects = Suspects::new(&Metrics::new());
        let bad = job("/runs/r/bad.xplane.pb", "overview_page");
        deaths_of(&suspects, &bad, 3);
        let error = suspects.leave(&bad).now_or_never().unwrap().unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("bad.xplane.pb is not sent to any worker: w0, w1, w2 died while they had it"),
            "{text}"
        );
        assert!(error.spares_other_hosts() && !error.lasts());
        let report = suspects.report(Instant::now());
        assert!(report[0].refused && report[0].died.len() == 3 && report[0].file == "/runs/r/bad.xplane.pb");
    }

    #[test]
    fn a_suspected_trace_is_sent_once_at_a_time() {
        let suspects = Suspects::new(&Metrics::new());
        let bad = job("/bad", "overview_page");
        deaths_of(&suspects, &bad, 1);
        let first = suspects.leave(&bad).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(suspects.leave(&bad));
        assert!(second.as_mut().now_or_never().is_none());
        suspects.survived(&bad);
        drop(first);
        assert!(!second.now_or_never().unwrap().unwrap().is_suspect(), "cleared while it waited");
    }

    #[test]
    fn an_answer_clears_what_it_was_about() {
        let suspects = Suspects::new(&Metrics::new());
        let (stats, timeline) = (job("/bad", "overview_page"), job("/bad", "trace_viewer@"));
        deaths_of(&suspects, &stats, 3);
        suspects.survived(&timeline);
        assert_eq!(told(&suspects, &stats), "refused", "another artifact proves nothing");
        suspects.survived(&job("/bad", "op_profile"));
        assert_eq!(told(&suspects, &stats), "free", "the same artifact was made");
    }

    #[test]
    fn deaths_are_forgotten_and_counted_once() {
        let suspects = Suspects::new(&Metrics::new());
        let bad = job("/bad", "overview_page");
        let now = Instant::now();
        let later = now + MEMORY;
        let moment = Duration::from_millis(1);
        suspects.died(&bad, "w", now, now + moment);
        suspects.died(&bad, "w", now, now + 2 * moment);
        assert_eq!(suspects.report(now)[0].died, ["w"], "both jobs were there when it died");
        suspects.died(&bad, "w", now + 2 * moment, now + 3 * moment);
        assert_eq!(suspects.report(now)[0].died, ["w", "w"], "it came back and died again");
        suspects.died(&bad, "w", later, later + 3 * moment);
        assert_eq!(suspects.report(later + 3 * moment)[0].died, ["w"], "the first ones are forgotten");
        assert!(suspects.report(later + 2 * MEMORY).is_empty());
    }
}
