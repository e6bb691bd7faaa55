//! A steady load: so many requests a second, whatever becomes of them, and a watch on how the workers share the jobs.
//!
//! Takes questions and an address, gives what happened in any window of time. It stops nothing and mends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::net::TcpStream;

use super::questions::{Question, Questions, hash};
use crate::load::http;

/// A user does not wait longer than this.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the workers are asked how many jobs they did.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// A running load; dropping it ends it.
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    questions: Questions,
    rate: u32,
    stop: AtomicBool,
    target: Mutex<SocketAddr>,
    under_way: Mutex<BTreeSet<(Instant, usize)>>,
    seen: Mutex<Vec<Seen>>,
    watched: Mutex<BTreeMap<String, SocketAddr>>,
    samples: Mutex<Vec<Sample>>,
}

/// One request.
struct Seen {
    began: Instant,
    took: Duration,
    failure: Option<String>,
}

/// How many jobs a worker had done at some time.
struct Sample {
    at: Instant,
    worker: String,
    jobs: u64,
}

/// What happened between two moments.
#[derive(Debug, Default)]
pub struct Window {
    pub requests: usize,
    /// How many failed, by reason.
    pub failures: BTreeMap<String, usize>,
    pub p50: Duration,
    pub p99: Duration,
    /// The longest time after which a failed request had its answer.
    pub slowest_failure: Duration,
    /// Jobs of each worker.
    pub jobs: BTreeMap<String, u64>,
}

impl Load {
    /// Asks `rate` questions a second from now on.
    pub fn start(questions: Questions, rate: u32, target: SocketAddr) -> Result<Self> {
        let shared = Arc::new(Shared {
            questions,
            rate,
            stop: AtomicBool::new(false),
            target: Mutex::new(target),
            under_way: Mutex::default(),
            seen: Mutex::default(),
            watched: Mutex::default(),
            samples: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let own = Arc::clone(&shared);
        let thread =
            std::thread::spawn(move || runtime.block_on(async { tokio::join!(ask_all(&own), sample(&own)) }).0);
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What it asks.
    pub fn questions(&self) -> &Questions {
        &self.shared.questions
    }

    /// Asks another aggregator from now on.
    pub fn aim(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// Watches these workers, given by name and operators' port. Those that were watched before keep their figures.
    pub fn watch(&self, workers: BTreeMap<String, SocketAddr>) {
        *lock(&self.shared.watched) = workers;
    }

    /// What became of the requests that began between two moments, once all of them have ended.
    pub fn window(&self, from: Instant, to: Instant) -> Window {
        while lock(&self.shared.under_way).first().is_some_and(|(began, _)| *began < to) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let seen = lock(&self.shared.seen);
        let mut window = Window::default();
        let mut times = Vec::new();
        for one in seen.iter().filter(|s| s.began >= from && s.began < to) {
            times.push(one.took);
            if let Some(why) = &one.failure {
                *window.failures.entry(why.clone()).or_default() += 1;
                window.slowest_failure = window.slowest_failure.max(one.took);
            }
        }
        times.sort_unstable();
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).or(times.last());
        window.requests = times.len();
        window.p50 = at(0.5).copied().unwrap_or_default();
        window.p99 = at(0.99).copied().unwrap_or_default();
        window.jobs = jobs(&lock(&self.shared.samples), from, to);
        window
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Window {
    pub fn n_failures(&self) -> usize {
        self.failures.values().sum()
    }
}

/// Jobs that each worker did in a window. Its first figure ever is that of a start; one that falls is that of a restart.
fn jobs(samples: &[Sample], from: Instant, to: Instant) -> BTreeMap<String, u64> {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut done: BTreeMap<String, u64> = BTreeMap::new();
    for Sample { at, worker, jobs } in samples.iter().filter(|s| s.at < to) {
        let before = last.insert(worker, *jobs).unwrap_or_default();
        if *at > from {
            *done.entry(worker.clone()).or_default() += if *jobs < before { *jobs } else { jobs - before };
        }
    }
    done
}

async fn ask_all(shared: &Arc<Shared>) {
    // Each request has its own moment, whether the ones before it are answered or not.
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / shared.rate);
    let mut n = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let (began, shared) = (Instant::now(), Arc::clone(shared));
        lock(&shared.under_way).insert((began, n));
        tokio::spawn(async move {
            let question = shared.questions.nth(n % shared.questions.n_questions());
            let target = *lock(&shared.target);
            let failure = match tokio::time::timeout(PATIENCE, ask(target, &question)).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(_) => Some(format!("no answer after {} s", PATIENCE.as_secs())),
            };
            lock(&shared.seen).push(Seen { began, took: began.elapsed(), failure });
            lock(&shared.under_way).remove(&(began, n));
        });
        n += 1;
    }
}

/// A whole answer, with status 200 and the body that it must have.
async fn ask(target: SocketAddr, question: &Question) -> Result<()> {
    let mut stream = TcpStream::connect(target).await.context("no connection")?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(1 << 14);
    let answer = http::exchange(&mut stream, &http::request(&question.path, ""), &mut buffer).await?;
    let head = String::from_utf8_lossy(&buffer[..answer.head]).to_ascii_lowercase();
    ensure!(answer.status == 200, "status {}", answer.status);
    ensure!(!head.contains("\r\nx-xprof-partial:"), "a partial answer");
    let is_right = question.expected.is_none_or(|expected| hash(&answer.body(&buffer)) == expected);
    ensure!(is_right, "another body than without workers");
    Ok(())
}

async fn sample(shared: &Arc<Shared>) {
    let mut ticks = tokio::time::interval(SAMPLE_EVERY);
    while !shared.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        for (worker, address) in lock(&shared.watched).clone() {
            let shared = Arc::clone(shared);
            // A worker that is paused or cut off does not answer; the others must not wait for it.
            tokio::spawn(tokio::time::timeout(SAMPLE_EVERY, async move {
                if let Ok(jobs) = jobs_of(address).await {
                    lock(&shared.samples).push(Sample { at: Instant::now(), worker, jobs });
                }
            }));
        }
    }
}

async fn jobs_of(address: SocketAddr) -> Result<u64> {
    let mut stream = TcpStream::connect(address).await?;
    let mut buffer = Vec::new();
    let answer = http::exchange(&mut stream, &http::request("/metrics", ""), &mut buffer).await?;
    let body = answer.body(&buffer);
    let text = String::from_utf8_lossy(&body);
    let counts = text.lines().filter(|l| l.starts_with("xprof_map_jobs_total"));
    Ok(counts.filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_counted_within_the_window() {
        let t = Instant::now();
        let at = |s| t + Duration::from_secs(s);
        let samples: Vec<_> =
            [(1, "a", 5), (3, "a", 9), (6, "a", 20), (4, "new", 2), (5, "new", 7), (1, "again", 8), (5, "again", 3)]
                .map(|(s, worker, jobs)| Sample { at: at(s), worker: worker.into(), jobs })
                .into();
        let got: Vec<_> = jobs(&samples, at(2), at(7)).into_iter().collect();
        assert_eq!(got, [("a".to_owned(), 15), ("again".to_owned(), 3), ("new".to_owned(), 7)]);
    }
}
