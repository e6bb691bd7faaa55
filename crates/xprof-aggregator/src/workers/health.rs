//! What is known of one worker's health: probes, failures, and rest after a failure.
//!
//! Takes what probes found and how calls ended, says whether the worker gets jobs. It calls nothing itself.
//!
//! ```text
//! new ──answers──▶ serving ──a call fails, a probe is not answered──▶ resting ──a probe, and time if a job was lost──▶ serving
//!                     │  ▲
//!                     ▼  └── answers a probe
//!        draining, gone (not reached), hung (says nothing)
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// After its first failure a worker rests this long, and twice as long after each further one.
const FIRST_REST: Duration = Duration::from_millis(500);

/// A worker is tried again at least this often: what was wrong may have passed. Less than jobs wait for a worker.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// So many probes without any answer mean that a worker hangs.
const STRIKES: u32 = 2;

/// The health of one worker.
#[derive(Debug)]
pub struct Health {
    facts: Mutex<Facts>,
    hangs: watch::Sender<bool>,
}

#[derive(Debug)]
struct Facts {
    /// What the last probe with a result found; none before the first one.
    probe: Option<Probe>,
    /// Probes without an answer, one after the other.
    strikes: u32,
    /// Failed calls, one after the other.
    failures: u32,
    rests_until: Option<Instant>,
    /// Whether the next probe must show first that it is well.
    doubted: bool,
    /// When it began to be usable, or not to be.
    since: Instant,
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// It answers and takes work. A worker without a health service counts as healthy.
    Serving,
    /// It answers and wants no work: it is about to stop.
    Draining,
    /// It cannot be reached. Calls that it already has may still be answered: a worker that stops refuses new connections
    /// and finishes its work.
    Gone,
    /// It does not answer in time.
    Silent,
}

/// What a failed call lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The way to the worker: it had not begun.
    Connection,
    /// A job that the worker had.
    Job,
}

/// How a worker stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has not answered anything yet.
    New,
    /// It gets jobs.
    Serving,
    /// A job, its connection or a probe was lost a moment ago.
    Resting,
    /// It is about to stop.
    Draining,
    /// It cannot be reached.
    Gone,
    /// It says nothing.
    Hung,
}

impl State {
    /// Lower-case word for logs and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Serving => "serving",
            Self::Resting => "resting",
            Self::Draining => "draining",
            Self::Gone => "gone",
            Self::Hung => "hung",
        }
    }
}

impl Health {
    /// Of a worker that has not been heard of before `now`.
    pub fn new(now: Instant) -> Self {
        let facts = Facts { probe: None, strikes: 0, failures: 0, rests_until: None, doubted: false, since: now };
        Self { facts: Mutex::new(facts), hangs: watch::Sender::new(false) }
    }

    /// How it stands.
    pub fn state(&self, now: Instant) -> State {
        self.lock().state(now)
    }

    /// Whether it gets jobs.
    pub fn is_usable(&self, now: Instant) -> bool {
        self.state(now) == State::Serving
    }

    /// For how long it has been usable, or has not been.
    pub fn for_how_long(&self, now: Instant) -> Duration {
        let facts = self.lock();
        let since = match facts.rests_until {
            Some(until) if facts.state(now) == State::Serving => facts.since.max(until),
            _ => facts.since,
        };
        now.saturating_duration_since(since)
    }

    /// A call was answered. Says whether its state changed.
    pub fn succeeded(&self, now: Instant) -> bool {
        self.change(now, |facts| {
            // One that is about to stop finishes its jobs: that does not mean that it wants new ones.
            if facts.probe != Some(Probe::Draining) {
                facts.probe = Some(Probe::Serving);
            }
            facts.recover();
        })
    }

    /// A call could not be made, or broke off. Says whether its state changed.
    pub fn failed(&self, loss: Loss, now: Instant) -> bool {
        self.change(now, |facts| {
            facts.doubted = true;
            // Calls that were under way together fail together: that is one failure, not many.
            if loss == Loss::Job && facts.rests_until.is_none_or(|until| until <= now) {
                let rest = FIRST_REST.saturating_mul(1 << facts.failures.min(10)).min(LONGEST_REST);
                facts.failures += 1;
                facts.rests_until = Some(now + rest);
            }
        })
    }

    /// Takes the result of a probe. Says whether its state changed.
    pub fn probed(&self, probe: Probe, now: Instant) -> bool {
        self.change(now, |facts| {
            if probe == Probe::Silent {
                facts.doubted = true;
                facts.strikes += 1;
                return;
            }
            let before = facts.probe.replace(probe);
            facts.strikes = 0;
            facts.doubted = false;
            // Probes do not prove a worker well that loses jobs, but one that is back was started anew.
            if probe == Probe::Serving && before == Some(Probe::Gone) {
                facts.recover();
            }
        })
    }

    /// Ends once the worker is found to hang: calls that wait for it should then go elsewhere.
    pub async fn hung(&self) {
        let mut hangs = self.hangs.subscribe();
        if hangs.wait_for(|h| *h).await.is_err() {
            // The sender lives as long as `self`.
            std::future::pending::<()>().await;
        }
    }

    fn change(&self, now: Instant, change: impl FnOnce(&mut Facts)) -> bool {
        let mut facts = self.lock();
        let before = facts.state(now);
        change(&mut facts);
        let after = facts.state(now);
        if (before == State::Serving) != (after == State::Serving) {
            facts.since = now;
        }
        drop(facts);
        self.hangs.send_if_modified(|h| std::mem::replace(h, after == State::Hung) != (after == State::Hung));
        before != after
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn state(&self, now: Instant) -> State {
        match self.probe {
            _ if self.strikes >= STRIKES => State::Hung,
            Some(Probe::Draining) => State::Draining,
            Some(Probe::Gone) => State::Gone,
            None => State::New,
            _ if self.doubted || self.rests_until.is_some_and(|until| until > now) => State::Resting,
            Some(Probe::Serving | Probe::Silent) => State::Serving,
        }
    }

    fn recover(&mut self) {
        self.failures = 0;
        self.rests_until = None;
        self.doubted = false;
        self.strikes = 0;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn serving(now: Instant) -> Health {
        let health = Health::new(now);
        assert_eq!(health.state(now), State::New);
        assert!(health.probed(Probe::Serving, now));
        assert!(health.is_usable(now));
        health
    }

    #[test]
    fn rests_longer_after_each_lost_job() {
        let mut now = Instant::now();
        let health = serving(now);
        for expected in [500, 1000, 2000, 2000].map(Duration::from_millis) {
            assert!(health.failed(Loss::Job, now));
            assert!(!health.failed(Loss::Job, now), "a second failure at once adds nothing");
            assert_eq!(health.state(now + expected), State::Resting, "nobody has heard of it since");
            assert!(!health.probed(Probe::Serving, now), "a probe alone proves little of one that loses jobs");
            let just_before = now + expected.checked_sub(Duration::from_millis(1)).unwrap();
            assert_eq!(health.state(just_before), State::Resting);
            assert_eq!(health.for_how_long(just_before), expected.checked_sub(Duration::from_millis(1)).unwrap());
            now += expected;
            assert!(health.is_usable(now));
            assert_eq!(health.for_how_long(now + FIRST_REST), FIRST_REST, "usable since the rest is over");
        }
        health.succeeded(now);
        health.failed(Loss::Job, now);
        health.probed(Probe::Serving, now);
        assert!(health.is_usable(now + FIRST_REST), "an answered job makes up for all");
        health.failed(Loss::Job, now);
        health.probed(Probe::Gone, now);
        health.probed(Probe::Serving, now);
        assert!(health.is_usable(now), "it was started anew");
    }

    #[test]
    fn a_lost_connection_is_made_up_for_by_a_probe() {
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let health = serving(now);
        health.failed(Loss::Connection, now);
        assert_eq!((health.state(later), health.for_how_long(later)), (State::Resting, Duration::from_secs(60)));
        assert!(health.probed(Probe::Gone, now));
        assert_eq!((health.state(later), health.for_how_long(later)), (State::Gone, Duration::from_secs(60)));
        assert!(health.probed(Probe::Serving, later));
        assert_eq!((health.state(later), health.for_how_long(later)), (State::Serving, Duration::ZERO));
    }

    #[test]
    fn probes_eject_and_return() {
        let now = Instant::now();
        let health = serving(now);
        assert!(health.probed(Probe::Silent, now));
        assert_eq!(health.state(now), State::Resting, "it gets no new jobs");
        assert!(health.hung().now_or_never().is_none(), "and keeps those that it has: a probe may be lost on its way");
        assert!(health.probed(Probe::Silent, now), "the second strike ejects");
        assert!(health.hung().now_or_never().is_some());
        assert_eq!(health.state(now), State::Hung);
        assert!(health.probed(Probe::Serving, now));
        assert!(health.hung().now_or_never().is_none());
        assert!(health.probed(Probe::Draining, now));
        assert!(!health.succeeded(now), "a draining worker finishes what it has and gets no more");
        assert_eq!(health.state(now), State::Draining);
        assert!(health.hung().now_or_never().is_none());
        assert!(health.probed(Probe::Serving, now));
        assert!(health.probed(Probe::Gone, now));
        assert!(health.hung().now_or_never().is_none(), "a worker that stops finishes what it has");
        assert!(!health.probed(Probe::Gone, now));
    }
}
