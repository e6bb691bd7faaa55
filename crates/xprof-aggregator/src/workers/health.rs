//! What is known of one worker's health: failures, rest after a failure, and probes.
//!
//! Takes the outcomes of calls, says whether the worker is passed over for now. It calls nothing itself.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// After its first failure a worker rests this long, and twice as long after each further one.
const FIRST_REST: Duration = Duration::from_millis(500);

/// A worker is asked again at least this often: it may have come back.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// So many probes without any answer mean that a worker hangs.
const STRIKES: u32 = 2;

/// The health of one worker.
#[derive(Debug)]
pub struct Health {
    state: Mutex<State>,
    hangs: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    rests_until: Option<Instant>,
    strikes: u32,
    unwilling: bool,
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

impl Default for Health {
    fn default() -> Self {
        Self { state: Mutex::default(), hangs: watch::Sender::new(false) }
    }
}

impl Health {
    /// Whether jobs pass the worker over while there is another one.
    pub fn resting(&self, now: Instant) -> bool {
        let state = self.lock();
        state.unwilling || state.strikes >= STRIKES || state.rests_until.is_some_and(|until| until > now)
    }

    /// A call was answered.
    pub fn succeeded(&self) {
        let mut state = self.lock();
        *state = State { unwilling: state.unwilling, ..State::default() };
        drop(state);
        self.hangs.send_replace(false);
    }

    /// A call could not be made, or broke off. Gives the rest that follows.
    pub fn failed(&self, now: Instant) -> Duration {
        let mut state = self.lock();
        // Calls that were under way together fail together: that is one failure, not many.
        if state.rests_until.is_none_or(|until| until <= now) {
            let rest = FIRST_REST.saturating_mul(1 << state.failures.min(10)).min(LONGEST_REST);
            state.failures += 1;
            state.rests_until = Some(now + rest);
        }
        state.rests_until.map_or(Duration::ZERO, |until| until - now)
    }

    /// Takes the result of a probe. Says whether the worker changed between resting and not resting.
    pub fn probed(&self, probe: Probe, now: Instant) -> bool {
        let before = self.resting(now);
        let mut state = self.lock();
        match probe {
            Probe::Serving => *state = State::default(),
            Probe::Draining | Probe::Gone => {
                state.strikes = 0;
                state.unwilling = true;
            }
            Probe::Silent => state.strikes += 1,
        }
        let hangs = state.strikes >= STRIKES;
        drop(state);
        self.hangs.send_if_modified(|h| std::mem::replace(h, hangs) != hangs);
        before != self.resting(now)
    }

    /// Ends once the worker is found to hang: calls that wait for it should then go elsewhere.
    pub async fn hung(&self) {
        let mut hangs = self.hangs.subscribe();
        if hangs.wait_for(|h| *h).await.is_err() {
            // The sender lives as long as `self`.
            std::future::pending::<()>().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn rests_longer_after_each_failure() {
        let health = Health::default();
        let mut now = Instant::now();
        assert!(!health.resting(now));
        for expected in [500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            let rest = health.failed(now);
            assert_eq!(rest.as_millis(), expected);
            assert!(health.resting(now));
            assert_eq!(health.failed(now), rest, "a second failure at once adds nothing");
            now += rest;
            assert!(!health.resting(now));
        }
        health.succeeded();
        assert_eq!(health.failed(now), FIRST_REST);
    }

    #[test]
    fn probes_eject_and_return() {
        let health = Health::default();
        let now = Instant::now();
        assert!(!health.probed(Probe::Silent, now));
        assert!(health.hung().now_or_never().is_none());
        assert!(health.probed(Probe::Silent, now), "the second strike ejects");
        assert!(health.hung().now_or_never().is_some());
        assert!(health.resting(now));
        assert!(health.probed(Probe::Serving, now));
        assert!(health.hung().now_or_never().is_none());
        assert!(health.probed(Probe::Draining, now));
        assert!(health.hung().now_or_never().is_none(), "a draining worker finishes what it has");
        assert!(health.probed(Probe::Serving, now));
        assert!(health.probed(Probe::Gone, now));
        assert!(health.hung().now_or_never().is_none(), "a worker that stops finishes what it has");
        assert!(!health.probed(Probe::Gone, now));
    }
}
