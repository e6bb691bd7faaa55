//! Named, counted problems of a trace, and the token by which work is cancelled.
//!
//! Odd data is not an error: the stage that meets it counts it here, goes on, and the answer's headers tell the user.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// How bad a problem is for the person who reads the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; the answer is complete.
    Info,
    /// The answer may be less precise.
    Warning,
    /// Something that was recorded is missing from the answer.
    DataLoss,
}

impl Severity {
    /// Lower-case word for logs and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::DataLoss => "data_loss",
        }
    }
}

/// The kinds of problem. One list, so that a user can look each up in the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A name or text is not UTF-8; its bad bytes were replaced.
    InvalidUtf8,
    /// An event refers to metadata that the plane does not have.
    DanglingMetadata,
    /// An event, line or table entry could not be read and was left out.
    MalformedEntry,
    /// Two entries of a table have the same key; the last one counts.
    DuplicateKey,
    /// An HLO module could not be read and was left out.
    UnusableHloModule,
    /// More than 256 events begin at one picosecond; the surplus is not shown on the timeline.
    CrowdedTimestamp,
    /// A line is not sorted by time; it was sorted.
    UnsortedLine,
    /// A host of the session could not be read; the answer covers the others.
    HostFailed,
    /// A limit cut the answer.
    Truncated,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::InvalidUtf8,
        Self::DanglingMetadata,
        Self::MalformedEntry,
        Self::DuplicateKey,
        Self::UnusableHloModule,
        Self::CrowdedTimestamp,
        Self::UnsortedLine,
        Self::HostFailed,
        Self::Truncated,
    ];

    /// The stable name in headers, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidUtf8 => "invalid_utf8",
            Self::DanglingMetadata => "dangling_metadata",
            Self::MalformedEntry => "malformed_entry",
            Self::DuplicateKey => "duplicate_key",
            Self::UnusableHloModule => "unusable_hlo_module",
            Self::CrowdedTimestamp => "crowded_timestamp",
            Self::UnsortedLine => "unsorted_line",
            Self::HostFailed => "host_failed",
            Self::Truncated => "truncated",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::DuplicateKey | Self::UnsortedLine => Severity::Info,
            Self::InvalidUtf8 | Self::DanglingMetadata | Self::Truncated => Severity::Warning,
            Self::MalformedEntry | Self::UnusableHloModule | Self::CrowdedTimestamp | Self::HostFailed => {
                Severity::DataLoss
            }
        }
    }

    /// A sentence for the user.
    pub fn text(self) -> &'static str {
        match self {
            Self::InvalidUtf8 => "some texts are not valid UTF-8; their bad bytes were replaced",
            Self::DanglingMetadata => "some events have no name because their metadata is missing",
            Self::MalformedEntry => "some entries of the trace are damaged and were left out",
            Self::DuplicateKey => "some metadata is defined twice; the last definition counts",
            Self::UnusableHloModule => "some HLO modules cannot be read; facts about their instructions are missing",
            Self::CrowdedTimestamp => "more than 256 events begin at the same picosecond; the surplus is not shown",
            Self::UnsortedLine => "some lines are not sorted by time",
            Self::HostFailed => "some hosts could not be read; the answer covers the others",
            Self::Truncated => "a limit cut the answer",
        }
    }
}

/// How often a kind of problem was met, and the first example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub kind: ProblemKind,
    /// How often.
    pub count: u64,
    /// The first one met: a file, a plane, an offset.
    pub example: String,
}

/// Collects problems and carries the cancellation of one job through the stages.
#[derive(Debug, Clone, Default)]
pub struct Diag {
    problems: BTreeMap<ProblemKind, Problem>,
    cancelled: Arc<AtomicBool>,
}

/// Set from another thread to stop the work that carries the [`Diag`] it came from.
#[derive(Debug, Clone)]
pub struct CancelHandle(Arc<AtomicBool>);

impl CancelHandle {
    /// Asks the work to stop at its next check.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Diag {
    /// Without problems and not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one problem.
    pub fn count(&mut self, kind: ProblemKind, example: impl FnOnce() -> String) {
        self.count_n(kind, 1, example);
    }

    /// Counts `n` problems of a kind; none if `n` is 0.
    pub fn count_n(&mut self, kind: ProblemKind, n: u64, example: impl FnOnce() -> String) {
        if n > 0 {
            self.problems.entry(kind).or_insert_with(|| Problem { kind, count: 0, example: example() }).count += n;
        }
    }

    /// Adds the problems of another part of the work.
    pub fn merge(&mut self, other: &Self) {
        for p in other.problems.values() {
            self.count_n(p.kind, p.count, || p.example.clone());
        }
    }

    /// A collector for a parallel part of the same job: no problems yet, cancelled together with this one.
    pub fn fork(&self) -> Self {
        Self { problems: BTreeMap::new(), cancelled: Arc::clone(&self.cancelled) }
    }

    /// What was counted, in the order of kinds.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.values()
    }

    /// By which another thread stops this job.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle(Arc::clone(&self.cancelled))
    }

    /// To be called between pieces of work of a few milliseconds: [`Error::Cancelled`] once the job was cancelled.
    pub fn check(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_counts_and_shares_cancellation() {
        let mut all = Diag::new();
        let mut part = all.fork();
        part.count_n(ProblemKind::DuplicateKey, 2, || "plane 1".into());
        all.count(ProblemKind::DuplicateKey, || "plane 0".into());
        all.merge(&part);
        let problems: Vec<_> = all.problems().cloned().collect();
        assert_eq!(problems, [Problem { kind: ProblemKind::DuplicateKey, count: 3, example: "plane 0".into() }]);
        assert!(part.check().is_ok());
        all.cancel_handle().cancel();
        assert_eq!(part.check().unwrap_err().code(), "cancelled");
    }
}
