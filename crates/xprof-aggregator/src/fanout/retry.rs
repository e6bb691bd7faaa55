//! Which failures of a worker are worth another attempt, where, and how many attempts there are.
//!
//! Takes gRPC statuses, gives verdicts. It waits for nothing and calls nothing.

use std::time::{Duration, Instant};

use tonic::{Code, ConnectError, Status};

use crate::error::{Error, Fault};

/// Attempts that may break off half-way. A trace that brings workers down must not bring down all of them.
const MAX_BROKEN: u32 = 3;

/// The pause before the second round over the workers; it doubles with each round.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a failed call means.
#[derive(Debug)]
pub enum Verdict {
    /// The job did not begin: no connection, or the worker has no room. Another one costs nothing.
    NotBegun {
        /// Whether the worker should rest: it is gone, not just busy.
        gone: bool,
    },
    /// The job began and the worker was lost.
    Broken,
    /// The worker sees another version of the trace, or cannot write the artifact's version.
    Mismatch,
    /// The worker does not know our protocol.
    Unknown,
    /// The same everywhere.
    Final(Error),
}

/// Judges a status. Only UNAVAILABLE, RESOURCE_EXHAUSTED and ABORTED are retried, and calls whose connection broke.
/// The reference also retries INTERNAL, UNKNOWN and NOT_FOUND, which hides defects and makes a missing file take 15 s.
pub fn judge(status: &Status, file: &str, worker: &str) -> Verdict {
    let from_transport = std::error::Error::source(status).is_some();
    if from_transport {
        return if never_connected(status) {
            Verdict::NotBegun { gone: true }
        } else {
            Verdict::Broken
        };
    }
    let job = |code, fault| {
        let message = status.message();
        let message = if message.is_empty() {
            format!("worker {worker} answered {code}")
        } else {
            message.to_owned()
        };
        Verdict::Final(Error::Job {
            file: file.to_owned(),
            code,
            message,
            fault,
        })
    };
    match status.code() {
        Code::Unavailable => Verdict::NotBegun { gone: true },
        Code::ResourceExhausted => Verdict::NotBegun { gone: false },
        Code::Aborted => Verdict::Broken,
        Code::FailedPrecondition => Verdict::Mismatch,
        Code::Unimplemented => Verdict::Unknown,
        Code::DeadlineExceeded => Verdict::Final(Error::TimedOut("the request's deadline".into())),
        Code::Cancelled => Verdict::Final(Error::core(file, xprof_core::Error::Cancelled)),
        Code::InvalidArgument => job("invalid_parameter", Fault::Client),
        Code::NotFound => job("not_found", Fault::Absent),
        Code::DataLoss | Code::OutOfRange => job("malformed_trace", Fault::Trace),
        Code::PermissionDenied | Code::Unauthenticated => job("worker_denied", Fault::Server),
        Code::Ok | Code::AlreadyExists | Code::Internal | Code::Unknown => job("worker_failed", Fault::Server),
    }
}

fn never_connected(status: &Status) -> bool {
    let mut next = std::error::Error::source(status);
    while let Some(error) = next {
        if error.is::<ConnectError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// What a job may still try.
#[derive(Debug)]
pub struct Budget {
    broken: u32,
    attempts: u32,
    rounds: u32,
    give_up: Option<Instant>,
    wait: Duration,
    deadline: Instant,
}

impl Budget {
    /// A fresh budget: jobs that did not begin are tried for `wait` after the first failure.
    pub fn new(wait: Duration, deadline: Instant) -> Self {
        Self {
            broken: 0,
            attempts: 0,
            rounds: 0,
            give_up: None,
            wait,
            deadline,
        }
    }

    /// Counts an attempt.
    pub fn attempt(&mut self) -> u32 {
        self.attempts += 1;
        self.attempts
    }

    /// Attempts so far.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Counts a failure. Says whether there may be another attempt.
    pub fn spend(&mut self, verdict: &Verdict, now: Instant) -> bool {
        match verdict {
            Verdict::Final(_) => return false,
            Verdict::Broken | Verdict::Mismatch => self.broken += 1,
            Verdict::NotBegun { .. } | Verdict::Unknown => {}
        }
        let give_up = *self.give_up.get_or_insert(now + self.wait);
        // A worker that was never asked is asked even late: the wait is for workers that are not there.
        self.broken < MAX_BROKEN && now < self.deadline && (now < give_up || self.rounds == 0)
    }

    /// All workers were tried: how long to pause before they are tried again, if they are.
    pub fn next_round(&mut self, now: Instant) -> Option<Duration> {
        let give_up = *self.give_up.get_or_insert(now + self.wait);
        let pause = FIRST_PAUSE.saturating_mul(1 << self.rounds.min(10)).min(LONGEST_PAUSE);
        self.rounds += 1;
        (now + pause <= give_up.min(self.deadline)).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_statuses() {
        let verdict = |code| format!("{:?}", judge(&Status::new(code, "why"), "h.xplane.pb", "w"));
        for (code, expected) in [
            (Code::Unavailable, "NotBegun { gone: true }"),
            (Code::ResourceExhausted, "NotBegun { gone: false }"),
            (Code::Aborted, "Broken"),
            (Code::FailedPrecondition, "Mismatch"),
            (Code::Unimplemented, "Unknown"),
        ] {
            assert_eq!(verdict(code), expected);
        }
        for (code, expected) in [
            (Code::Internal, "worker_failed"),
            (Code::Unknown, "worker_failed"),
            (Code::NotFound, "not_found"),
            (Code::DataLoss, "malformed_trace"),
            (Code::InvalidArgument, "invalid_parameter"),
        ] {
            let text = verdict(code);
            assert!(
                text.starts_with("Final(") && text.contains(expected) && text.contains("why"),
                "{text}"
            );
        }
    }

    #[test]
    fn transport_failures_are_told_apart() {
        let refused = ConnectError(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into());
        let status = Status::from_error(Box::new(refused));
        assert!(matches!(judge(&status, "f", "w"), Verdict::NotBegun { gone: true }));
        let cut = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert!(matches!(judge(&cut, "f", "w"), Verdict::Broken));
    }

    #[test]
    fn budgets_end() {
        let now = Instant::now();
        let wait = Duration::from_millis(400);
        let mut budget = Budget::new(wait, now + Duration::from_mins(1));
        assert!(budget.spend(&Verdict::Broken, now) && budget.spend(&Verdict::Broken, now));
        assert!(
            !budget.spend(&Verdict::Broken, now),
            "the third broken attempt is the last"
        );

        let mut budget = Budget::new(wait, now + Duration::from_mins(1));
        let gone = Verdict::NotBegun { gone: true };
        assert!(
            (0..100).all(|_| budget.spend(&gone, now)),
            "workers that are not there cost nothing"
        );
        let mut at = now;
        let mut pauses = Vec::new();
        while let Some(pause) = budget.next_round(at) {
            pauses.push(pause.as_millis());
            at += pause;
        }
        assert_eq!(pauses, [50, 100, 200]);
        assert!(!budget.spend(&gone, now + wait));
    }
}
