//! One worker: its connection, its health, what it has to do, and the probes that keep its health up to date.
//!
//! Takes an address. Jobs are sent by [`crate::fanout::dispatch`]; which worker gets one is decided in [`super`].

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::health::{Health, Loss, Probe, State};

/// `parity:` the reference's channel settings, so that its workers see the pings they expect.
const KEEPALIVE: Duration = Duration::from_secs(45);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(25);

/// A worker on the same network answers a SYN in milliseconds; one that does not is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often each worker is probed, and how long it may take to answer: a worker that hangs is found within seconds, long
/// before the keepalive would tell.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A worker that is lost is asked more often: it should get work again soon after it is back.
const PROBE_LOST_EVERY: Duration = Duration::from_millis(500);

/// Whatever happens, a worker is not probed more often.
const LEAST_PROBE_PAUSE: Duration = Duration::from_millis(50);

/// A stream of health is opened anew after this time: it would hold a connection that the worker wants to end for its age.
const WATCH_FOR: Duration = Duration::from_secs(30);

/// Shares of the work are those of about the last so many seconds.
const SHARE_S: f64 = 10.0;

/// One worker.
#[derive(Debug)]
pub struct Worker {
    /// Its address as text, for logs and for placing.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Whether it can take work.
    pub health: Health,
    channel: Mutex<Channel>,
    load: AtomicUsize,
    on_trial: AtomicBool,
    legacy: AtomicBool,
    past: Mutex<Past>,
    suspicion: Arc<Notify>,
    news: Arc<Notify>,
    probing: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What a worker did so far.
#[derive(Debug, Clone)]
pub struct Past {
    /// Jobs that it was given.
    pub n_jobs: u64,
    /// Jobs that it lost or sent back.
    pub n_failed: u64,
    /// The last failure, and when it was.
    pub last_error: Option<(String, Instant)>,
    /// Jobs of the last seconds, each weighing less the longer ago it began.
    recent: f64,
    recent_at: Instant,
}

/// One job's place on a worker; gives it back when dropped.
#[derive(Debug)]
pub struct Slot(Arc<Worker>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to try a suspected trace on a worker, where no other one is tried meanwhile.
#[derive(Debug)]
pub struct Trial(Arc<Worker>);

impl Drop for Trial {
    fn drop(&mut self) {
        self.0.on_trial.store(false, Ordering::Release);
        self.0.news.notify_waiters();
    }
}

impl Worker {
    /// A worker that has not been called yet. It is probed as long as somebody holds it; `news` hears of each change.
    pub(super) fn start(address: SocketAddr, news: &Arc<Notify>) -> Arc<Self> {
        let now = Instant::now();
        let worker = Arc::new(Self {
            name: address.to_string(),
            address,
            health: Health::new(now),
            channel: Mutex::new(connect(address)),
            load: AtomicUsize::new(0),
            on_trial: AtomicBool::new(false),
            legacy: AtomicBool::new(false),
            past: Mutex::new(Past { n_jobs: 0, n_failed: 0, last_error: None, recent: 0.0, recent_at: now }),
            suspicion: Arc::default(),
            news: Arc::clone(news),
            probing: Mutex::new(None),
        });
        let task = tokio::spawn(probe(Arc::downgrade(&worker), Arc::clone(&worker.suspicion)));
        *lock(&worker.probing) = Some(AbortOnDropHandle::new(task));
        worker
    }

    /// Connects at the first call and again after each loss.
    pub fn channel(&self) -> Channel {
        lock(&self.channel).clone()
    }

    /// Jobs under way there.
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// What it did until `now`.
    pub fn past(&self) -> Past {
        lock(&self.past).clone()
    }

    /// Counts a job in until the slot is dropped.
    pub fn occupy(self: &Arc<Self>) -> Slot {
        self.load.fetch_add(1, Ordering::Relaxed);
        lock(&self.past).begin(Instant::now());
        Slot(Arc::clone(self))
    }

    /// The right to try a suspected trace here, unless another one is being tried.
    pub fn try_trial(self: &Arc<Self>) -> Option<Trial> {
        (!self.on_trial.swap(true, Ordering::AcqRel)).then(|| Trial(Arc::clone(self)))
    }

    /// A call was answered.
    pub fn succeeded(&self) {
        let now = Instant::now();
        let changed = self.health.succeeded(now);
        self.tell(changed, now);
    }

    /// A call was not answered. `loss` says what was lost, if that is the worker's fault; it is then probed at once.
    pub fn failed(&self, loss: Option<Loss>, error: &str) {
        let now = Instant::now();
        {
            let mut past = lock(&self.past);
            past.n_failed += 1;
            past.last_error = Some((error.to_owned(), now));
        }
        if let Some(loss) = loss {
            let changed = self.health.failed(loss, now);
            self.tell(changed, now);
            self.suspicion.notify_one();
        }
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

    /// Its connection is lost, and nobody knows yet whether it is.
    fn doubt(&self) {
        let now = Instant::now();
        let changed = self.health.failed(Loss::Connection, now);
        self.tell(changed, now);
    }

    fn probed(&self, probe: Probe) {
        let now = Instant::now();
        let changed = self.health.probed(probe, now);
        self.tell(changed, now);
        if changed && self.health.state(now) == State::Hung {
            // Its connection may lead nowhere, and would for minutes after the network is back: a new one tells sooner.
            *lock(&self.channel) = connect(self.address);
        }
    }

    fn tell(&self, changed: bool, now: Instant) {
        if changed {
            tracing::info!(worker = self.name, state = self.health.state(now).as_str(), "worker health changed");
            self.news.notify_waiters();
        }
    }
}

impl Past {
    /// Its part of the work of the last seconds, to be compared to that of other workers.
    pub fn weight(&self, now: Instant) -> f64 {
        self.recent * (-now.saturating_duration_since(self.recent_at).as_secs_f64() / SHARE_S).exp()
    }

    fn begin(&mut self, now: Instant) {
        self.recent = self.weight(now) + 1.0;
        self.recent_at = now;
        self.n_jobs += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(address: SocketAddr) -> Channel {
    let uri = http::Uri::builder().scheme("http").authority(address.to_string()).path_and_query("/").build();
    Endpoint::from(uri.unwrap_or_default())
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        // An artifact of some hundred megabytes must not wait for a window update every 64 KiB.
        .http2_adaptive_window(true)
        .tcp_nodelay(true)
        .connect_lazy()
}

/// Keeps a worker's health up to date. Asking it again and again finds those that hang; a stream tells at once that one is
/// about to stop or has lost its connection, so that no job has to find out.
async fn probe(worker: Weak<Worker>, suspicion: Arc<Notify>) {
    let mut watch = None;
    loop {
        let Some(channel) = worker.upgrade().map(|w| w.channel()) else {
            return;
        };
        let asked = Instant::now();
        let found = ask(channel.clone()).await;
        let Some(this) = worker.upgrade() else { return };
        this.probed(found);
        drop(this);
        let pause = match found {
            // It had its time already.
            Probe::Silent => LEAST_PROBE_PAUSE,
            Probe::Gone => PROBE_LOST_EVERY,
            Probe::Serving | Probe::Draining => PROBE_EVERY,
        };
        if found != Probe::Serving {
            watch = None;
        } else if watch.as_ref().is_none_or(Watch::is_old) {
            watch = Watch::open(channel).await;
        }
        tokio::time::sleep(LEAST_PROBE_PAUSE.saturating_sub(asked.elapsed())).await;
        tokio::select! {
            () = tokio::time::sleep(pause.saturating_sub(asked.elapsed())) => {}
            // A call failed.
            () = suspicion.notified() => {}
            is_open = news(watch.as_mut()) => {
                if !is_open {
                    watch = None;
                    let Some(this) = worker.upgrade() else { return };
                    this.doubt();
                }
            }
        }
    }
}

async fn ask(channel: Channel) -> Probe {
    let mut client = HealthClient::new(channel);
    match tokio::time::timeout(PROBE_TIMEOUT, client.check(HealthCheckRequest::default())).await {
        Ok(Ok(reply)) if reply.get_ref().status() == ServingStatus::NotServing => Probe::Draining,
        Ok(Ok(_)) => Probe::Serving,
        Ok(Err(status)) if matches!(status.code(), Code::Unimplemented | Code::NotFound) => Probe::Serving,
        Ok(Err(_)) => Probe::Gone,
        Err(_) => Probe::Silent,
    }
}

/// A stream of a worker's health.
struct Watch {
    stream: Streaming<HealthCheckResponse>,
    opened: Instant,
}

impl Watch {
    /// None if the worker has no such stream, or does not answer now.
    async fn open(channel: Channel) -> Option<Self> {
        let mut client = HealthClient::new(channel);
        let open = async {
            let mut stream = client.watch(HealthCheckRequest::default()).await.ok()?.into_inner();
            // The first message says what is known already.
            stream.message().await.ok()??;
            Some(Self { stream, opened: Instant::now() })
        };
        tokio::time::timeout(PROBE_TIMEOUT, open).await.ok()?
    }

    fn is_old(&self) -> bool {
        self.opened.elapsed() >= WATCH_FOR
    }
}

/// Ends when the health changes: true, or when the connection is lost: false.
async fn news(watch: Option<&mut Watch>) -> bool {
    match watch {
        Some(watch) => matches!(watch.stream.message().await, Ok(Some(_))),
        None => std::future::pending().await,
    }
}
