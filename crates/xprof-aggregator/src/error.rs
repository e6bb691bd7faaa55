//! Everything that can go wrong between a request and its answer.
//!
//! Which status a client sees is decided in [`crate::http::respond`] and nowhere else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use xprof_core::Retry;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request has no answer. Cheap to clone: requests that share one computation share its failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The run, the host, the session or the file is not there.
    #[error("{0}")]
    NotFound(String),
    /// A parameter is missing or has a value that is not allowed.
    #[error("{0}")]
    BadRequest(String),
    /// The directory is outside of what this server may read.
    #[error("{0}")]
    Forbidden(String),
    /// A file or directory cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file or directory.
        path: String,
        /// What the system said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The work itself failed: a damaged trace, a wrong parameter, something that is not in the trace.
    #[error("{}", core_text(file, source))]
    Core {
        /// The trace at fault, empty where no single one is.
        file: String,
        /// What the stage said.
        source: xprof_core::Error,
    },
    /// A worker refused the job for a reason that another worker would give too.
    #[error("{}", job_text(file, message))]
    Job {
        /// The trace of the job.
        file: String,
        /// The closed label of the failure.
        code: &'static str,
        /// What the worker said.
        message: String,
        /// Whose fault it is.
        fault: Fault,
    },
    /// No worker could take the job.
    #[error("{}", no_worker_text(file, *attempts, last))]
    NoWorker {
        /// The trace of the job.
        file: String,
        /// How many workers were asked.
        attempts: u32,
        /// The last failure, or why none was asked.
        last: String,
    },
    /// The trace brought down one worker after the other.
    #[error("{file} is not sent to any worker: {workers} died while they had it; it will be tried again in {}", minutes(*again))]
    Poison {
        /// The trace.
        file: String,
        /// The workers that died.
        workers: String,
        /// When it may be sent again.
        again: Duration,
    },
    /// The trace changed while it was being read.
    #[error("{0} changed while it was being read")]
    Changed(String),
    /// More requests are in flight than the server admits.
    #[error("the server is busy: {0}")]
    Overloaded(String),
    /// The request took longer than it may.
    #[error("the request took longer than {0}")]
    TimedOut(String),
    /// Some of the hosts failed, and the request wants all or nothing.
    #[error("{}", incomplete_text(*n_hosts, failed))]
    Incomplete {
        /// How many hosts were asked for.
        n_hosts: usize,
        /// Those that failed.
        failed: Arc<[FailedHost]>,
        /// Whether they would fail again.
        lasts: bool,
    },
    /// All of the hosts failed.
    #[error("{}", none_text(failed))]
    EveryHost {
        /// Each host.
        failed: Arc<[FailedHost]>,
        /// The first failure, which decides what kind of failure this is.
        first: Arc<Error>,
    },
    /// A bug.
    #[error("internal error: {0}")]
    Internal(String),
}

/// A host for which there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedHost {
    /// The host's name.
    pub host: Arc<str>,
    /// Why.
    pub cause: String,
}

impl fmt::Display for FailedHost {
    /// `host: cause`, or the cause alone where it names the host's trace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.cause.contains(&format!("{}.xplane.", self.host)) {
            write!(f, "{}: ", self.host)?;
        }
        f.write_str(&self.cause)
    }
}

fn no_worker_text(file: &str, attempts: u32, last: &str) -> String {
    match attempts {
        0 => format!("no worker could be asked for {file}: {last}"),
        n => format!("no worker could answer for {file} after {n} attempts, the last one said: {last}"),
    }
}

/// One line for the request, then one for each host that failed.
fn incomplete_text(n_hosts: usize, failed: &[FailedHost]) -> String {
    with_hosts(format!("strict=true, and {} of {n_hosts} hosts failed", failed.len()), failed)
}

fn none_text(failed: &[FailedHost]) -> String {
    with_hosts(format!("none of the {} hosts can be answered for", failed.len()), failed)
}

fn with_hosts(mut text: String, failed: &[FailedHost]) -> String {
    for host in failed {
        text.push('\n');
        text.push_str(&host.to_string());
    }
    text
}

/// `42 s` or `9 min`, rounded up.
fn minutes(duration: Duration) -> String {
    let s = duration.as_secs() + 1;
    if s < 120 { format!("{s} s") } else { format!("{} min", s.div_ceil(60)) }
}

/// The core names the file where the file is at fault, and most other errors are about the request.
fn core_text(file: &str, source: &xprof_core::Error) -> String {
    match source {
        xprof_core::Error::BadArtifact { .. } | xprof_core::Error::TooLarge { .. } if !file.is_empty() => {
            format!("{file}: {source}")
        }
        _ => source.to_string(),
    }
}

/// A worker's message with the file, unless it names the file itself.
fn job_text(file: &str, message: &str) -> String {
    if message.contains(file) { message.to_owned() } else { format!("{file}: {message}") }
}

/// Whose fault a failed job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request asks for what cannot be.
    Client,
    /// What was asked for is not there.
    Absent,
    /// The trace is damaged.
    Trace,
    /// The worker.
    Server,
    /// This program.
    Defect,
}

impl Error {
    /// A stable label for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::BadRequest(_) => "bad_request",
            Self::Forbidden(_) => "forbidden",
            Self::Unreadable { .. } => "unreadable",
            Self::Core { source, .. } => source.code(),
            Self::Job { code, .. } => code,
            Self::NoWorker { .. } => "no_worker",
            Self::Poison { .. } => "poison_trace",
            Self::EveryHost { first, .. } => first.code(),
            Self::Changed(_) => "trace_changed",
            Self::Overloaded(_) => "overloaded",
            Self::TimedOut(_) => "timed_out",
            Self::Incomplete { .. } => "incomplete",
            Self::Internal(_) => "internal",
        }
    }

    /// Whether the same work may succeed elsewhere or later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Core { source, .. } => source.retry(),
            Self::EveryHost { first, .. } => first.retry(),
            Self::NoWorker { .. }
            | Self::Poison { .. }
            | Self::Overloaded(_)
            | Self::TimedOut(_)
            | Self::Changed(_)
            | Self::Incomplete { lasts: false, .. } => Retry::Later,
            _ => Retry::No,
        }
    }

    /// Whether the failure is that of one trace, damaged, gone or late, so that the other hosts of the session can still be
    /// answered for.
    pub fn spares_other_hosts(&self) -> bool {
        match self {
            Self::Unreadable { .. } | Self::NotFound(_) | Self::TimedOut(_) | Self::Poison { .. } => true,
            Self::Core { source, .. } => {
                matches!(source, xprof_core::Error::Malformed { .. } | xprof_core::Error::TooLarge { .. })
            }
            Self::Job { fault, .. } => matches!(fault, Fault::Trace | Fault::Absent),
            _ => false,
        }
    }

    /// Of a failure that [spares other hosts](Self::spares_other_hosts): whether the same version of the trace would fail again,
    /// so that the answer without it may be kept.
    pub fn lasts(&self) -> bool {
        match self {
            // The file was listed a moment ago: whoever did not find it may look at an old state of a shared file system.
            Self::Unreadable { .. } | Self::NotFound(_) | Self::TimedOut(_) | Self::Poison { .. } => false,
            Self::Job { fault, .. } => *fault != Fault::Absent,
            _ => true,
        }
    }

    /// A failure of the work on one trace.
    pub fn core(file: impl Into<String>, source: xprof_core::Error) -> Self {
        Self::Core { file: file.into(), source }
    }

    /// The message with every cause behind it, in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            let part = error.to_string();
            // Some errors already quote their cause.
            if !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            next = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_causes_once() {
        let e = Error::core("", xprof_core::Error::NotFound("no step".into()));
        assert_eq!(e.chain(), "no step");
        let large = xprof_core::Error::TooLarge { what: "the number of planes".into(), limit: "5".into() };
        assert_eq!(
            Error::core("h.xplane.pb", large).chain(),
            "h.xplane.pb: the number of planes exceeds the limit of 5"
        );
        let io = std::io::Error::other("disk on fire");
        let e = Error::Unreadable { path: "/x".into(), source: Arc::new(io) };
        assert_eq!(e.chain(), "/x cannot be read: disk on fire");
        assert!(e.spares_other_hosts() && !e.lasts());
    }

    #[test]
    fn tells_whom_a_failure_spares_and_whether_it_lasts() {
        let job = |fault| Error::Job { file: "f".into(), code: "c", message: "m".into(), fault };
        for (error, spares, lasts) in [
            (Error::core("f", xprof_core::Error::TooLarge { what: "w".into(), limit: "1".into() }), true, true),
            (Error::core("f", xprof_core::Error::invalid("p", "v", "a")), false, true),
            (job(Fault::Trace), true, true),
            (job(Fault::Absent), true, false),
            (job(Fault::Server), false, true),
            (Error::NotFound("gone".into()), true, false),
            (Error::TimedOut("1s".into()), true, false),
        ] {
            assert_eq!(error.spares_other_hosts(), spares, "{error:?}");
            assert!(!spares || error.lasts() == lasts, "{error:?}");
        }
    }

    #[test]
    fn names_each_failed_host_once() {
        let failed = |host: &str, cause: &str| FailedHost { host: host.into(), cause: cause.into() };
        let failed =
            [failed("b", "b.xplane.pb is not a readable trace"), failed("c", "the request took longer than 1s")];
        let error = Error::Incomplete { n_hosts: 3, failed: failed.into(), lasts: true };
        let text = "strict=true, and 2 of 3 hosts failed\nb.xplane.pb is not a readable trace\nc: the request took longer than 1s";
        assert_eq!(error.chain(), text);
        let failed = |host: &str, cause: &str| FailedHost { host: host.into(), cause: cause.into() };
        let failed = [failed("b", "b.xplane.pb is empty"), failed("c", "nobody knows")];
        let first = Error::core("b.xplane.pb", xprof_core::Error::TooLarge { what: "w".into(), limit: "1".into() });
        let all = Error::EveryHost { failed: failed.into(), first: first.into() };
        assert_eq!(all.chain(), "none of the 2 hosts can be answered for\nb.xplane.pb is empty\nc: nobody knows");
        assert_eq!(all.code(), "too_large");
    }

    #[test]
    fn says_when_a_trace_is_tried_again() {
        for (s, text) in [(0, "1 s"), (118, "119 s"), (119, "2 min"), (599, "10 min")] {
            assert_eq!(minutes(Duration::from_secs(s)), text);
        }
    }
}
