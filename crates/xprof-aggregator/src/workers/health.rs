//! What is known of one worker's health: probes, failures, and rest after a failure.
//!
//! Takes what probes found and how calls ended, says whether the worker gets jobs. It calls nothing itself.
//!
//! ```text
//! new ──answers──▶ serving ──a job breaks off──▶ resting ──time, or a job that is answered──▶ serving
//!                     │  ▲
//!                     ▼  └── answers a probe
//!        draining, gone (not reached), hung (reached, says nothing)
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// After its first failure a worker rests this long, and twice as long after each further one.
const FIRST_REST: Duration = Duration::from_millis(500);

/// A worker is tried again at least this often: what was wrong may have passed.
const LONGEST_REST: Duration = Duration::from_secs(10);

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
    /// Whether the last failure was that of a job, not of the connection: a probe does not prove such a worker well.
    broke: bool,
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
    /// It is reached and does not answer in time.
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
    /// A job or a connection was lost a moment ago.
    Resting,
    /// It is about to stop.
    Draining,
    /// It cannot be reached.
    Gone,
    /// It is reached and says nothing.
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
        let facts = Facts { probe: None, strikes: 0, failures: 0, rests_until: None, broke: false, since: now };
        Self { facts: Mutex::new(facts), hangs: watch::Sender::new(false) }
    }

    /// How it stands.
    pub fn state(&self, now: Instant) -> State {
        self.lock().state(now)
    }

    /// Whether it gets jobs. One that does not is still asked if there is no other.
    pub fn is_usable(&self, now: Instant) -> bool {
        self.state(now) == State::Serving
    }

    /// For how long it has been usable, or has not been.
    pub fn for_how_long(&self, now: Instant) -> Duration {
        let facts = self.lock();
        let since = match facts.rests_until {
            Some(until) if until <= now && facts.state(now) == State::Serving => until,
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
            facts.strikes = 0;
        })
    }

    /// A call could not be made, or broke off. Says whether its state changed.
    pub fn failed(&self, loss: Loss, now: Instant) -> bool {
        self.change(now, |facts| {
            facts.broke |= loss == Loss::Job;
            // Calls that were under way together fail together: that is one failure, not many.
            if facts.rests_until.is_none_or(|until| until <= now) {
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
                facts.strikes += 1;
                return;
            }
            facts.probe = Some(probe);
            facts.strikes = 0;
            if probe == Probe::Serving && !facts.broke {
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
            _ if self.rests_until.is_some_and(|until| until > now) => State::Resting,
            None => State::New,
            Some(Probe::Serving | Probe::Silent) => State::Serving,
        }
    }

    fn recover(&mut self) {
        self.failures = 0;
        self.rests_until = None;
        self.broke = false;
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
    fn rests_longer_after_each_failure() {
        let mut now = Instant::now();
        let health = serving(now);
        for expected in [500, 1000, 2000, 4000, 8000, 10_000, 10_000].map(Duration::from_millis) {
            assert!(health.failed(Loss::Job, now));
            assert!(!health.failed(Loss::Job, now), "a second failure at once adds nothing");
            let just_before = now + expected.checked_sub(Duration::from_millis(1)).unwrap();
            assert_eq!(health.state(just_before), State::Resting);
            assert_eq!(health.for_how_long(just_before), expected.checked_sub(Duration::from_millis(1)).unwrap());
            // Probes find nothing wrong with a worker that loses jobs, and so they prove nothing.
            assert!(!health.probed(Probe::Serving, now) && !health.is_usable(now));
            now += expected;
            assert!(health.is_usable(now));
            assert_eq!(health.for_how_long(now + FIRST_REST), FIRST_REST, "usable since the rest is over");
        }
        health.succeeded(now);
        health.failed(Loss::Job, now);
        assert!(health.is_usable(now + FIRST_REST), "an answered job makes up for all");
    }

    #[test]
    fn a_probe_proves_that_the_way_is_free_again() {
        let now = Instant::now();
        let health = serving(now);
        health.failed(Loss::Connection, now);
        assert_eq!(health.state(now), State::Resting);
        assert!(health.probed(Probe::Gone, now));
        let later = now + Duration::from_secs(60);
        assert_eq!((health.state(later), health.for_how_long(later)), (State::Gone, Duration::from_secs(60)));
        assert!(health.probed(Probe::Serving, later));
        assert_eq!((health.state(later), health.for_how_long(later)), (State::Serving, Duration::ZERO));
    }

    #[test]
    fn probes_eject_and_return() {
        let now = Instant::now();
        let health = serving(now);
        assert!(!health.probed(Probe::Silent, now), "one may be lost on its way");
        assert!(health.hung().now_or_never().is_none());
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
