//! The workers as they are now, kept up to date by resolving and probing all the time.
//!
//! Takes targets, gives [`Worker`]s in order of preference for a job. Sending jobs is [`crate::fanout::dispatch`]'s part.
//! Read in this order: [`resolve`] (what the command line says) → [`lookup`] (addresses) → [`worker`] and [`health`] →
//! [`report`] (what operators see).

pub mod health;
pub mod lookup;
pub mod report;
pub mod resolve;
pub mod worker;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;
use xprof_service::metrics::{Counter, Gauge, Metrics};

use crate::fanout::place::{Candidate, Policy, order};
use lookup::{LEAST_REFRESH, Lookup};
use resolve::{DnsName, Target};
pub use worker::{Trial, Worker};

/// How the set of workers is kept.
#[derive(Clone)]
pub struct PoolOptions {
    /// The command line's list.
    pub targets: Vec<Target>,
    /// How jobs are spread.
    pub policy: Policy,
    /// How often names are resolved.
    pub refresh: Duration,
    /// How names are resolved.
    pub lookup: Lookup,
}

impl std::fmt::Debug for PoolOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolOptions")
            .field("targets", &self.targets)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// What a job asks of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The trace's path.
    pub key: &'a str,
    /// The job's turn.
    pub turn: usize,
    /// Who had it already.
    pub asked: &'a [SocketAddr],
    /// Whether its trace may bring the worker down: then no other such trace is tried there, and the last worker that is
    /// well is spared.
    pub on_trial: bool,
}

/// All workers.
#[derive(Debug)]
pub struct Pool {
    options: PoolOptions,
    known: Mutex<Known>,
    turn: AtomicUsize,
    /// Names are resolved again when this changes.
    stale: watch::Sender<()>,
    /// Workers came or went, or are well or unwell.
    news: Arc<Notify>,
    n_known: Gauge,
    n_serving: Gauge,
    following: Mutex<Vec<AbortOnDropHandle<()>>>,
}

#[derive(Debug)]
struct Known {
    workers: Arc<Vec<Arc<Worker>>>,
    /// The addresses behind each target.
    targets: Vec<Resolved>,
    /// When there was no worker any more, or not yet.
    empty_since: Instant,
}

/// What is known of one target.
#[derive(Debug, Clone, Default)]
struct Resolved {
    addresses: Vec<SocketAddr>,
    /// When its addresses were told last.
    at: Option<Instant>,
    /// Why the last attempt failed.
    error: Option<String>,
}

impl Pool {
    /// Resolves the targets in the background and keeps doing so until the pool is dropped.
    pub fn start(options: PoolOptions, metrics: &Metrics) -> Arc<Self> {
        let fixed = |target: &Target| match target {
            Target::Fixed(address) => Resolved { addresses: vec![*address], at: Some(Instant::now()), error: None },
            Target::Name { .. } => Resolved::default(),
        };
        let targets = options.targets.iter().map(fixed).collect();
        let pool = Arc::new(Self {
            known: Mutex::new(Known { workers: Arc::default(), targets, empty_since: Instant::now() }),
            turn: AtomicUsize::new(0),
            stale: watch::Sender::new(()),
            news: Arc::default(),
            n_known: metrics.gauge("xprof_workers_known_count", "Addresses of workers."),
            n_serving: metrics.gauge("xprof_workers_serving_count", "Workers that get jobs."),
            following: Mutex::default(),
            options,
        });
        pool.update(|_| {});
        let mut tasks = vec![tokio::spawn(watch_over(Arc::downgrade(&pool), Arc::clone(&pool.news)))];
        for (i, target) in pool.options.targets.iter().enumerate() {
            if let Target::Name { name, port } = target {
                let lookups = Lookups::new(metrics);
                tasks.push(tokio::spawn(follow(Arc::downgrade(&pool), i, name.clone(), *port, lookups)));
            }
        }
        *pool.following.lock().unwrap_or_else(PoisonError::into_inner) =
            tasks.into_iter().map(AbortOnDropHandle::new).collect();
        pool
    }

    /// The workers now.
    pub fn workers(&self) -> Arc<Vec<Arc<Worker>>> {
        Arc::clone(&self.known().workers)
    }

    /// The turn of a new job.
    pub fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The best worker for a job among those that are well, and the right to try a suspected trace there if that is wanted.
    ///
    /// The others are left to the probes, which find out within half a second that one is back: a job would pay for it.
    pub fn pick(&self, wanted: &Wanted<'_>) -> Option<(Arc<Worker>, Option<Trial>)> {
        let all = self.workers();
        let now = Instant::now();
        let well: Vec<_> = all.iter().filter(|w| w.health.is_usable(now)).collect();
        let candidates: Vec<_> = well.iter().map(|w| Candidate { address: &w.name, load: w.load() }).collect();
        let order = order(self.options.policy, &candidates, wanted.key, wanted.turn);
        let mut free = order.into_iter().map(|i| well[i]).filter(|w| !wanted.asked.contains(&w.address));
        if !wanted.on_trial {
            return free.next().map(|worker| (Arc::clone(worker), None));
        }
        if well.len() < 2 && all.len() > 1 {
            return None;
        }
        free.find_map(|w| w.try_trial().map(|trial| (Arc::clone(w), Some(trial))))
    }

    /// For how long no worker has been well; none if one is.
    pub fn down_for(&self, now: Instant) -> Option<Duration> {
        let known = self.known();
        let mut shortest = now.saturating_duration_since(known.empty_since);
        for (i, worker) in known.workers.iter().enumerate() {
            if worker.health.is_usable(now) {
                return None;
            }
            let down = worker.health.for_how_long(now);
            shortest = if i == 0 { down } else { shortest.min(down) };
        }
        Some(shortest)
    }

    /// What the worker said that failed last.
    pub fn last_error(&self) -> Option<String> {
        let errors = self.workers().iter().filter_map(|w| w.past().last_error).collect::<Vec<_>>();
        errors.into_iter().max_by_key(|(_, at)| *at).map(|(error, _)| error)
    }

    /// Asks for fresh addresses soon: a call failed.
    pub fn refresh_soon(&self) {
        self.stale.send_replace(());
    }

    /// Ends when workers come or go, or one of them is well again.
    pub async fn changed(&self) {
        self.news.notified().await;
    }

    /// The targets as the user wrote them, for messages.
    pub fn target_text(&self) -> String {
        self.options.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of targets, and with it the set of workers.
    fn update(&self, change: impl FnOnce(&mut [Resolved])) {
        let mut known = self.known();
        change(&mut known.targets);
        let now: BTreeSet<_> = known.targets.iter().flat_map(|t| &t.addresses).copied().collect();
        let before = Arc::clone(&known.workers);
        if before.iter().map(|w| w.address).eq(now.iter().copied()) {
            return;
        }
        // A worker that stays keeps its channel, its health and its load. One that went is held by the jobs that it still has.
        let keep = |address: &SocketAddr| before.iter().find(|w| w.address == *address).cloned();
        let after: Vec<_> = now.iter().map(|a| keep(a).unwrap_or_else(|| Worker::start(*a, &self.news))).collect();
        tracing::info!(n_workers = after.len(), before = before.len(), "workers changed");
        if after.is_empty() {
            known.empty_since = Instant::now();
        }
        known.workers = Arc::new(after);
        drop(known);
        self.count();
        self.news.notify_waiters();
    }

    /// Counts the workers. Says how many of them are unwell, and whether all are.
    fn count(&self) -> (usize, bool) {
        let (workers, now) = (self.workers(), Instant::now());
        let n_well = workers.iter().filter(|w| w.health.is_usable(now)).count();
        self.n_known.set(workers.len() as i64);
        self.n_serving.set(n_well as i64);
        (workers.len() - n_well, n_well == 0)
    }
}

/// Keeps the gauges up to date, also when a rest ends by time alone, and asks for fresh addresses when workers are lost: theirs
/// may have changed.
async fn watch_over(pool: Weak<Pool>, news: Arc<Notify>) {
    loop {
        let is_news = tokio::time::timeout(LEAST_REFRESH, news.notified()).await.is_ok();
        let Some(pool) = pool.upgrade() else { return };
        let (n_unwell, is_down) = pool.count();
        if is_down || is_news && n_unwell > 0 {
            pool.refresh_soon();
        }
    }
}

/// How lookups of names end.
struct Lookups {
    ok: Counter,
    failed: Counter,
}

impl Lookups {
    fn new(metrics: &Metrics) -> Self {
        let count = |outcome| {
            metrics.counter("xprof_workers_lookups_total", "Lookups of workers' names.", &[("outcome", outcome)])
        };
        Self { ok: count("ok"), failed: count("failed") }
    }
}

/// Asks for the addresses of one name as long as the pool lives. A name that does not resolve keeps those it had.
async fn follow(pool: Weak<Pool>, target: usize, name: DnsName, port: u16, lookups: Lookups) {
    let Some(mut stale) = pool.upgrade().map(|p| p.stale.subscribe()) else {
        return;
    };
    loop {
        let Some(options) = pool.upgrade().map(|p| p.options.clone()) else {
            return;
        };
        stale.mark_unchanged();
        let found = lookup::ask(&options.lookup, &name).await;
        let Some(this) = pool.upgrade() else { return };
        if found.is_ok() {
            lookups.ok.inc()
        } else {
            lookups.failed.inc()
        }
        let knows_any = !this.known().targets[target].addresses.is_empty();
        let pause = lookup::pause(&found, knows_any, options.refresh);
        this.update(|targets| match found {
            Ok(found) => {
                let addresses = found.ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
                targets[target] = Resolved { addresses, at: Some(Instant::now()), error: None };
            }
            Err(error) => {
                let before = targets[target].error.replace(error.clone());
                if before.is_none() {
                    tracing::warn!(name = name.host, error, "name of workers cannot be resolved");
                }
            }
        });
        // The task must not keep the pool alive while it sleeps.
        drop(this);
        tokio::time::sleep(LEAST_REFRESH).await;
        if let Ok(Err(_)) = tokio::time::timeout(pause.saturating_sub(LEAST_REFRESH), stale.changed()).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
