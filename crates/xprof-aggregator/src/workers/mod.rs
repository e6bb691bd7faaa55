//! The workers as they are now: one channel per address, kept up to date by resolving and probing all the time.
//!
//! Takes targets, gives [`Worker`]s in order of preference for a job. Sending jobs is [`crate::fanout::dispatch`]'s part.

pub mod health;
pub mod resolve;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use xprof_service::metrics::Metrics;

use crate::fanout::place::{Candidate, Policy, order};
use health::{Health, Probe};
use resolve::{Lookup, Target, addresses};

/// `parity:` the reference's channel settings, so that its workers see the pings they expect.
const KEEPALIVE: Duration = Duration::from_secs(45);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(25);

/// A worker on the same network answers a SYN in milliseconds; one that does not is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often each worker is probed, and how long it may take to answer. A worker that hangs is found after two probes,
/// long before the keepalive would tell.
const PROBE_EVERY: Duration = Duration::from_secs(3);

/// A worker that is lost is asked more often: it should get work again soon after it is back.
const PROBE_LOST_EVERY: Duration = Duration::from_millis(500);

/// Failures ask for fresh addresses, but a name server is not asked more often than this.
const LEAST_REFRESH: Duration = Duration::from_millis(500);

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

/// One worker.
#[derive(Debug)]
pub struct Worker {
    /// Its address as text, for logs and for placing.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Connects at the first call and again after each loss.
    pub channel: Channel,
    /// Whether it can take work.
    pub health: Health,
    load: AtomicUsize,
    legacy: AtomicBool,
    probe: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// One job's place on a worker; gives it back when dropped.
#[derive(Debug)]
pub struct Slot(pub Arc<Worker>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    /// A worker that has not been called yet. It is probed as long as somebody holds it.
    fn start(address: SocketAddr) -> Arc<Self> {
        let endpoint = Endpoint::from(
            http::Uri::builder()
                .scheme("http")
                .authority(address.to_string())
                .path_and_query("/")
                .build()
                .unwrap_or_default(),
        )
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        // An artifact of some hundred megabytes must not wait for a window update every 64 KiB.
        .http2_adaptive_window(true)
        .tcp_nodelay(true);
        let worker = Arc::new(Self {
            name: address.to_string(),
            address,
            channel: endpoint.connect_lazy(),
            health: Health::default(),
            load: AtomicUsize::new(0),
            legacy: AtomicBool::new(false),
            probe: Mutex::new(None),
        });
        let task = tokio::spawn(probe(Arc::downgrade(&worker)));
        *worker.probe.lock().unwrap_or_else(PoisonError::into_inner) = Some(AbortOnDropHandle::new(task));
        worker
    }

    /// Counts a job in until the slot is dropped.
    pub fn occupy(self: &Arc<Self>) -> Slot {
        self.load.fetch_add(1, Ordering::Relaxed);
        Slot(Arc::clone(self))
    }

    /// Whether it speaks only XProf's own protocol.
    pub fn is_legacy(&self) -> bool {
        self.legacy.load(Ordering::Relaxed)
    }

    /// Remembers that it speaks only XProf's own protocol.
    pub fn set_legacy(&self) {
        if !self.legacy.swap(true, Ordering::Relaxed) {
            tracing::info!(worker = self.name, "worker speaks xprof's own protocol only");
        }
    }
}

async fn probe(worker: Weak<Worker>) {
    loop {
        let Some(channel) = worker.upgrade().map(|w| w.channel.clone()) else {
            return;
        };
        let asked = Instant::now();
        let answer =
            tokio::time::timeout(PROBE_EVERY, HealthClient::new(channel).check(HealthCheckRequest::default())).await;
        let found = match answer {
            Ok(Ok(reply)) if reply.get_ref().status() == ServingStatus::NotServing => Probe::Draining,
            Ok(Ok(_)) => Probe::Serving,
            Ok(Err(status)) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => Probe::Serving,
            Ok(Err(_)) => Probe::Gone,
            Err(_) => Probe::Silent,
        };
        let Some(worker) = worker.upgrade() else { return };
        if worker.health.probed(found, Instant::now()) {
            tracing::info!(worker = worker.name, probe = ?found, "worker health changed");
        }
        drop(worker);
        let pause = if matches!(found, Probe::Gone | Probe::Silent) { PROBE_LOST_EVERY } else { PROBE_EVERY };
        tokio::time::sleep(pause.saturating_sub(asked.elapsed())).await;
    }
}

/// All workers.
#[derive(Debug)]
pub struct Pool {
    options: PoolOptions,
    workers: Mutex<Arc<Vec<Arc<Worker>>>>,
    turn: AtomicUsize,
    stale: Arc<Notify>,
    changed: Notify,
    refresher: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Pool {
    /// Resolves the targets in the background and keeps doing so until the pool is dropped.
    pub fn start(options: PoolOptions, metrics: &Metrics) -> Arc<Self> {
        let fixed = options.targets.iter().filter_map(|t| match t {
            Target::Fixed(address) => Some(*address),
            Target::Name { .. } => None,
        });
        let pool = Arc::new(Self {
            workers: Mutex::new(Arc::new(fixed.map(Worker::start).collect())),
            turn: AtomicUsize::new(0),
            stale: Arc::default(),
            changed: Notify::new(),
            refresher: Mutex::new(None),
            options,
        });
        let gauge = metrics.gauge("xprof_workers_known_count", "Addresses of workers.");
        let task = tokio::spawn(refresh(Arc::downgrade(&pool), gauge));
        *pool.refresher.lock().unwrap_or_else(PoisonError::into_inner) = Some(AbortOnDropHandle::new(task));
        pool
    }

    /// The workers now.
    pub fn workers(&self) -> Arc<Vec<Arc<Worker>>> {
        Arc::clone(&self.workers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The turn of a new job.
    pub fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The best worker for a job among those that were not tried. Resting ones come last.
    pub fn pick(&self, key: &str, turn: usize, tried: &[SocketAddr]) -> Option<Arc<Worker>> {
        let workers = self.workers();
        let now = Instant::now();
        let candidates: Vec<_> = workers
            .iter()
            .map(|w| Candidate {
                address: &w.name,
                load: w.load.load(Ordering::Relaxed),
                resting: w.health.resting(now),
            })
            .collect();
        let order = order(self.options.policy, &candidates, key, turn);
        order.into_iter().map(|i| &workers[i]).find(|w| !tried.contains(&w.address)).cloned()
    }

    /// Asks for fresh addresses soon: a call failed.
    pub fn refresh_soon(&self) {
        self.stale.notify_one();
    }

    /// Ends when the set of addresses changes.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The targets as the user wrote them, for messages.
    pub fn target_text(&self) -> String {
        self.options.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    fn replace(&self, now: &[SocketAddr]) {
        let before = self.workers();
        if before.iter().map(|w| w.address).eq(now.iter().copied()) {
            return;
        }
        // A worker that stays keeps its channel, its health and its load.
        let keep = |address: &SocketAddr| before.iter().find(|w| w.address == *address).cloned();
        let after: Vec<_> = now.iter().map(|a| keep(a).unwrap_or_else(|| Worker::start(*a))).collect();
        tracing::info!(n_workers = after.len(), before = before.len(), "workers changed");
        *self.workers.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
        self.changed.notify_waiters();
    }
}

async fn refresh(pool: Weak<Pool>, gauge: xprof_service::metrics::Gauge) {
    loop {
        let Some(options) = pool.upgrade().map(|p| p.options.clone()) else {
            return;
        };
        let before: Vec<_> =
            pool.upgrade().map(|p| p.workers().iter().map(|w| w.address).collect()).unwrap_or_default();
        let now = addresses(&options.targets, &options.lookup, &before).await;
        let Some(this) = pool.upgrade() else { return };
        this.replace(&now);
        gauge.set(now.len() as i64);
        // Until a name has addresses it is asked for often: workers and aggregator usually start together.
        let pause = if now.is_empty() { LEAST_REFRESH } else { options.refresh };
        let stale = Arc::clone(&this.stale);
        // The task must not keep the pool alive while it sleeps.
        drop(this);
        tokio::time::sleep(LEAST_REFRESH.min(pause)).await;
        tokio::select! {
            () = stale.notified() => {}
            () = tokio::time::sleep(pause.saturating_sub(LEAST_REFRESH)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU8;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn follows_the_addresses_of_a_name() {
        // Somebody listens and says nothing: the first probes find nothing wrong within the time of this test.
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let _others = ["127.0.0.2", "127.0.0.3"].map(|ip| std::net::TcpListener::bind((ip, port)).unwrap());
        let last = Arc::new(AtomicU8::new(1));
        let seen = Arc::clone(&last);
        let lookup: Lookup = Arc::new(move |_| {
            let n = seen.load(Ordering::SeqCst);
            async move { Ok((1..=n).map(|i| [127, 0, 0, i].into()).collect()) }.boxed()
        });
        let options = PoolOptions {
            targets: resolve::parse(&format!("dns:///w:{port}")).unwrap(),
            policy: Policy::RoundRobin,
            refresh: Duration::from_mins(1),
            lookup,
        };
        let pool = Pool::start(options, &Metrics::new());
        pool.changed().await;
        assert_eq!(pool.workers().len(), 1);
        let first = Arc::clone(&pool.workers()[0]);
        last.store(3, Ordering::SeqCst);
        pool.refresh_soon();
        pool.changed().await;
        let workers = pool.workers();
        assert_eq!(workers.len(), 3);
        assert!(Arc::ptr_eq(&workers[0], &first), "a worker that stays keeps its channel");
        let mut got = [0; 3];
        for _ in 0..9 {
            let turn = pool.next_turn();
            let worker = pool.pick("k", turn, &[]).unwrap();
            got[workers.iter().position(|w| Arc::ptr_eq(w, &worker)).unwrap()] += 1;
        }
        assert_eq!(got, [3, 3, 3]);
        let tried: Vec<_> = workers.iter().map(|w| w.address).collect();
        assert!(pool.pick("k", 0, &tried).is_none());
        first.health.failed(Instant::now());
        assert!(!Arc::ptr_eq(&pool.pick("k", 0, &[]).unwrap(), &first));
    }
}
