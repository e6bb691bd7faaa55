//! Which failures of a worker are worth another attempt, where, and how many attempts there are.
//!
//! Takes gRPC statuses, gives verdicts. It waits for nothing and calls nothing.

use std::time::{Duration, Instant};

use tonic::{Code, ConnectError, Status, TimeoutExpired};
use xprof_core::Error as CoreError;

use crate::error::{Error, Fault};
use crate::workers::health::Loss;

/// Attempts that may break off half-way. A trace that brings workers down must not bring down all of them; what is
/// remembered of such a trace beyond one job is in [`super::suspects`].
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
    /// The job began and was not finished.
    Broken {
        /// Whether the worker should rest.
        gone: bool,
    },
    /// The connection broke while the worker had the job: the worker may have died of it.
    Died,
    /// The worker sees another version of the trace, or cannot write the artifact's version.
    Mismatch,
    /// The worker does not see the file. If no other one does, this is what is to be told.
    Unseen(Error),
    /// The worker does not know our protocol.
    Unknown,
    /// The same everywhere.
    Final(Error),
}

impl Verdict {
    /// A stable label for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotBegun { gone: true } => "not_reached",
            Self::NotBegun { gone: false } => "no_room",
            Self::Broken { .. } => "broken",
            Self::Died => "died",
            Self::Mismatch => "mismatch",
            Self::Unseen(_) => "file_unseen",
            Self::Unknown => "unknown_protocol",
            Self::Final(_) => "failed",
        }
    }

    /// What the worker lost, if it is to blame.
    pub fn loss(&self) -> Option<Loss> {
        match self {
            Self::NotBegun { gone: true } => Some(Loss::Connection),
            Self::Broken { gone: true } | Self::Died => Some(Loss::Job),
            _ => None,
        }
    }
}

/// Judges a status. Only UNAVAILABLE, RESOURCE_EXHAUSTED and ABORTED are retried, and calls that broke off.
/// The reference also retries INTERNAL, UNKNOWN and NOT_FOUND, which hides defects and makes a missing file take 15 s.
pub fn judge(status: &Status, file: &str, worker: &str) -> Verdict {
    if std::error::Error::source(status).is_some() {
        return transport(status);
    }
    // Our workers say more than a code can; those of XProf say nothing here.
    let word = status.metadata().get("xprof-error").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let message = message_of(status, worker);
    let failed = |code, fault| Error::Job { file: file.to_owned(), code, message: message.clone(), fault };
    let (job, absent) = (|code, fault| Verdict::Final(failed(code, fault)), || failed("not_found", Fault::Absent));
    match (status.code(), word) {
        // The worker is well, but cannot read the file now.
        (Code::Unavailable, "io") | (Code::Aborted, _) => Verdict::Broken { gone: false },
        (Code::Unavailable, _) => Verdict::NotBegun { gone: true },
        (Code::ResourceExhausted, _) => Verdict::NotBegun { gone: false },
        // Nobody here cancelled the call, so the worker did: it is about to stop.
        (Code::Cancelled, _) => Verdict::Broken { gone: true },
        (Code::FailedPrecondition, "unsupported") => Verdict::Final(Error::core(file, CoreError::Unsupported(message))),
        (Code::FailedPrecondition, "too_large") => job("too_large", Fault::Trace),
        (Code::FailedPrecondition, "wrong_file_kind") => job("wrong_file_kind", Fault::Absent),
        (Code::FailedPrecondition, _) => Verdict::Mismatch,
        (Code::Unimplemented, _) => Verdict::Unknown,
        (Code::DeadlineExceeded, _) => timed_out(),
        (Code::InvalidArgument, _) => job("invalid_parameter", Fault::Client),
        (Code::NotFound, "not_found") => Verdict::Final(Error::core(file, CoreError::NotFound(message))),
        (Code::NotFound, "file_not_found") => Verdict::Unseen(absent()),
        (Code::NotFound, _) => Verdict::Final(absent()),
        (Code::DataLoss | Code::OutOfRange, _) => job("malformed_trace", Fault::Trace),
        (Code::PermissionDenied | Code::Unauthenticated, _) => job("worker_denied", Fault::Server),
        (Code::Ok | Code::AlreadyExists | Code::Internal | Code::Unknown, _) => job("worker_failed", Fault::Server),
    }
}

/// A call that failed on its way, not by the worker's word.
fn transport(status: &Status) -> Verdict {
    let mut next = std::error::Error::source(status);
    while let Some(error) = next {
        if error.is::<ConnectError>() {
            return Verdict::NotBegun { gone: true };
        }
        if error.is::<TimeoutExpired>() {
            return timed_out();
        }
        // The connection was lost before the request had left.
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return Verdict::NotBegun { gone: true };
        }
        next = error.source();
    }
    Verdict::Died
}

fn timed_out() -> Verdict {
    Verdict::Final(Error::TimedOut("the request's deadline".into()))
}

/// What the worker said, without the path that every one of its messages begins with: the same words as in process.
fn message_of(status: &Status, worker: &str) -> String {
    match status.message() {
        "" => format!("worker {worker} answered {:?}", status.code()),
        text => text.split_once(" cannot be converted: ").map_or(text, |(_, cause)| cause).to_owned(),
    }
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
    /// A fresh budget: jobs that did not begin are tried for `wait` after the first failure; not at all if that is nothing.
    pub fn new(wait: Duration, deadline: Instant) -> Self {
        Self { broken: 0, attempts: 0, rounds: 0, give_up: None, wait, deadline }
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
            Verdict::Broken { .. } | Verdict::Died | Verdict::Mismatch | Verdict::Unseen(_) => self.broken += 1,
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
            (Code::Aborted, "Broken { gone: false }"),
            (Code::Cancelled, "Broken { gone: true }"),
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
            assert!(text.starts_with("Final(") && text.contains(expected) && text.contains("why"), "{text}");
        }
    }

    #[test]
    fn our_workers_say_more() {
        let text = |code, word: &'static str| {
            let mut status = Status::new(code, "/logs/r/h.xplane.pb cannot be converted: no such event");
            status.metadata_mut().insert("xprof-error", tonic::metadata::MetadataValue::from_static(word));
            match judge(&status, "h.xplane.pb", "w") {
                Verdict::Final(error) => format!("{}: {}", error.code(), error.chain()),
                Verdict::Unseen(error) => format!("unseen: {}", error.chain()),
                verdict => format!("{verdict:?}"),
            }
        };
        for (code, word, expected) in [
            (Code::NotFound, "not_found", "not_found: no such event"),
            (Code::NotFound, "file_not_found", "unseen: h.xplane.pb: no such event"),
            (Code::FailedPrecondition, "unsupported", "unsupported: no such event"),
            (Code::FailedPrecondition, "trace_changed", "Mismatch"),
            (Code::FailedPrecondition, "artifact_version", "Mismatch"),
            (Code::Unavailable, "io", "Broken { gone: false }"),
        ] {
            assert_eq!(text(code, word), expected, "{word}");
        }
    }

    #[test]
    fn transport_failures_are_told_apart() {
        let refused = ConnectError(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into());
        let status = Status::from_error(Box::new(refused));
        assert!(matches!(judge(&status, "f", "w"), Verdict::NotBegun { gone: true }));
        let cut = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert!(matches!(judge(&cut, "f", "w"), Verdict::Died));
        let late = Status::from_error(Box::new(TimeoutExpired(())));
        assert!(matches!(judge(&late, "f", "w"), Verdict::Final(Error::TimedOut(_))));
    }

    #[test]
    fn budgets_end() {
        let now = Instant::now();
        let wait = Duration::from_millis(400);
        let mut budget = Budget::new(wait, now + Duration::from_mins(1));
        let broken = Verdict::Broken { gone: true };
        assert!(budget.spend(&broken, now) && budget.spend(&Verdict::Died, now));
        assert!(!budget.spend(&broken, now), "the third broken attempt is the last");

        let mut budget = Budget::new(wait, now + Duration::from_mins(1));
        let gone = Verdict::NotBegun { gone: true };
        assert!((0..100).all(|_| budget.spend(&gone, now)), "workers that are not there cost nothing");
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
