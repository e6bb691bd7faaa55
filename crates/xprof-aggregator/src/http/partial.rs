//! Sessions of which some hosts cannot be answered for: what an answer says about them, and requests that want all or nothing.
//!
//! Takes the hosts that failed, gives headers or a refusal. Which failures spare the other hosts is decided in
//! [`crate::error`].

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use xprof_core::Error as CoreError;
use xprof_core::diag::{Problem, ProblemKind};
use xprof_core::tools::Params;

use super::respond::{REASON, listed, names};
use crate::error::{Error, FailedHost, Result};
use crate::fanout::Outcome;

/// The parameter that refuses partial answers. It is no part of an answer's key: the answer is the same, only not given.
pub const STRICT: &str = "strict";

static PARTIAL: HeaderName = HeaderName::from_static("x-xprof-partial");
static FAILED_HOSTS: HeaderName = HeaderName::from_static("x-xprof-failed-hosts");

/// The hosts that an answer does not cover.
#[derive(Debug, Default)]
pub struct Failed {
    /// How many hosts were asked for, those that failed included.
    n_hosts: usize,
    hosts: Arc<[FailedHost]>,
    why: Why,
    headers: Option<[Option<HeaderValue>; 3]>,
}

/// What the failed hosts of one answer have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Why {
    /// None of them has a trace.
    #[default]
    Missing,
    /// They would fail again.
    Lasting,
    /// One at least may not fail again.
    Passing,
}

impl Failed {
    /// The failed hosts of an outcome, `n_missing` of which have no trace.
    pub fn new(outcome: Outcome, n_missing: usize) -> Self {
        let (n_ok, n_failed) = (outcome.hosts.len(), outcome.failed_hosts.len());
        if n_failed == 0 {
            return Self::default();
        }
        let why = match outcome.lasting {
            _ if n_failed == n_missing => Why::Missing,
            true => Why::Lasting,
            false => Why::Passing,
        };
        let n_hosts = n_ok + n_failed;
        let names = names(&outcome.failed_hosts);
        let hosts = outcome.failed_hosts.into_iter().zip(outcome.causes);
        let hosts: Arc<[FailedHost]> = hosts.map(|(host, cause)| FailedHost { host, cause }).collect();
        let reasons: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let headers = [HeaderValue::try_from(format!("{n_ok}/{n_hosts}")).ok(), names, listed(&reasons, "; ")];
        Self { n_hosts, hosts, why, headers: Some(headers) }
    }

    /// Tells the client.
    pub fn tell(&self, headers: &mut HeaderMap) {
        for (name, value) in [&PARTIAL, &FAILED_HOSTS, &REASON].into_iter().zip(self.headers.iter().flatten()) {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }

    /// Whether the answer may be given to a request.
    pub fn admit(&self, is_strict: bool) -> Result<()> {
        if !is_strict || self.hosts.is_empty() {
            return Ok(());
        }
        let lasts = self.why != Why::Passing;
        let error = Error::Incomplete { n_hosts: self.n_hosts, failed: Arc::clone(&self.hosts), lasts };
        // As if the missing hosts had been asked for alone.
        Err(if self.why == Why::Missing { Error::NotFound(error.to_string()) } else { error })
    }

    /// Bytes that it holds.
    pub fn weight(&self) -> usize {
        self.hosts.iter().map(|h| size_of::<FailedHost>() + h.host.len() + h.cause.len()).sum()
    }
}

/// Whether a request wants every host or no answer.
pub fn is_strict(params: &Params) -> xprof_core::Result<bool> {
    match params.non_empty(STRICT) {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) if params.is_true(STRICT) => Ok(true),
        Some(text) => Err(CoreError::invalid(STRICT, text, "it must be true or false")),
    }
}

/// The time that reduce and render may need at least, if that is not most of what there is.
const LEAST_REST: Duration = Duration::from_secs(5);

/// How long hosts may take of a request's time. Several leave some of it, so that the answer for those that are done can be
/// made while somebody waits for it; a single host has no other to spare.
///
/// ```text
/// 10min → 9min    20s → 15s    4s → 2s
/// ```
pub fn time_for_hosts(request_timeout: Duration, n_hosts: usize) -> Duration {
    let rest = (request_timeout / 10).max(LEAST_REST.min(request_timeout / 2));
    if n_hosts > 1 { request_timeout.saturating_sub(rest) } else { request_timeout }
}

/// Adds the hosts that have no trace to those that an outcome does not cover.
pub fn leave_out(outcome: &mut Outcome, missing: &[FailedHost], request_id: &str, tool: &str) {
    for FailedHost { host, cause } in missing {
        let n_hosts = outcome.hosts.len();
        tracing::warn!(request_id, tool, %host, n_hosts, error = cause, "host left out of the answer");
        outcome.failed_hosts.push(Arc::clone(host));
        outcome.causes.push(cause.clone());
        match outcome.problems.iter_mut().find(|p| p.kind == ProblemKind::HostFailed) {
            Some(problem) => problem.count += 1,
            None => {
                let example = host.to_string();
                outcome.problems.push(Problem { kind: ProblemKind::HostFailed, count: 1, example });
            }
        }
    }
}

/// A failure of all hosts that have a trace, with those that have none. `host` is the one with a trace if there is only one.
pub fn with_missing(error: Error, host: Option<Arc<str>>, missing: Vec<FailedHost>) -> Error {
    let (mut failed, first) = match (error, host) {
        (error, _) if missing.is_empty() => return error,
        (Error::EveryHost { failed, first }, _) => (failed.to_vec(), first),
        (error, Some(host)) if error.spares_other_hosts() => {
            (vec![FailedHost { host, cause: error.chain() }], Arc::new(error))
        }
        (error, _) => return error,
    };
    failed.extend(missing);
    Error::EveryHost { failed: failed.into(), first }
}

#[cfg(test)]
mod tests {
    use xprof_core::answer::{Answer, Format};

    use super::*;

    fn outcome(hosts: &[&str], failed: &[(&str, &str)], lasting: bool) -> Outcome {
        Outcome {
            answer: Answer::new(Format::Native),
            problems: Vec::new(),
            hosts: hosts.iter().map(|h| Arc::from(*h)).collect(),
            failed_hosts: failed.iter().map(|(host, _)| Arc::from(*host)).collect(),
            causes: failed.iter().map(|(_, cause)| (*cause).to_owned()).collect(),
            lasting,
        }
    }

    #[test]
    fn tells_which_hosts_failed_and_refuses_if_asked_to() {
        let late = ("b", "too late");
        let missing = FailedHost { host: "c".into(), cause: "no trace".into() };
        for (failed, missing, lasting, partial, strict) in [
            (&[][..], &[][..], true, "", None),
            (&[late], &[], true, "1/2 b b: too late", Some(("incomplete", true))),
            (&[late], &[], false, "1/2 b b: too late", Some(("incomplete", false))),
            (
                &[late],
                std::slice::from_ref(&missing),
                false,
                "1/3 b,c b: too late; c: no trace",
                Some(("incomplete", false)),
            ),
            (&[], std::slice::from_ref(&missing), true, "1/2 c c: no trace", Some(("not_found", true))),
        ] {
            let mut outcome = outcome(&["a"], failed, lasting);
            leave_out(&mut outcome, missing, "r", "t");
            assert_eq!(outcome.problems.len(), missing.len());
            let failed = Failed::new(outcome, missing.len());
            let mut headers = HeaderMap::new();
            failed.tell(&mut headers);
            let told: Vec<_> = [&PARTIAL, &FAILED_HOSTS, &REASON].into_iter().filter_map(|n| headers.get(n)).collect();
            let told: Vec<_> = told.iter().map(|v| v.to_str().unwrap()).collect();
            assert_eq!(told.join(" "), partial);
            assert!(failed.admit(false).is_ok());
            let refusal = failed.admit(true).err();
            assert_eq!(refusal.as_ref().map(Error::code), strict.map(|(code, _)| code), "{partial}");
            assert!(!matches!(refusal, Some(Error::Incomplete { lasts, .. }) if Some(lasts) != strict.map(|(_, l)| l)));
        }
    }

    #[test]
    fn hosts_without_a_trace_are_named_with_those_that_failed() {
        let host = |name: &str| FailedHost { host: name.into(), cause: format!("{name} failed") };
        let late = || Error::TimedOut("1s".into());
        let every = Error::EveryHost { failed: [host("a"), host("b")].into(), first: late().into() };
        let text = |error: Error, only: Option<&str>, missing: &[&str]| {
            with_missing(error, only.map(Arc::from), missing.iter().map(|m| host(m)).collect()).chain()
        };
        assert_eq!(text(late(), Some("a"), &[]), "the request took longer than 1s");
        assert_eq!(
            text(late(), Some("a"), &["c"]),
            "none of the 2 hosts can be answered for\na: the request took longer than 1s\nc: c failed"
        );
        assert_eq!(text(every, None, &["c"]).lines().count(), 4);
        assert_eq!(text(Error::Internal("x".into()), Some("a"), &["c"]), "internal error: x");
    }

    #[test]
    fn several_hosts_leave_time_for_the_answer() {
        for (timeout, n_hosts, time) in [(600, 2, 540), (600, 1, 600), (20, 3, 15), (4, 2, 2), (4, 1, 4), (0, 2, 0)] {
            assert_eq!(time_for_hosts(Duration::from_secs(timeout), n_hosts), Duration::from_secs(time), "{timeout}");
        }
    }

    #[test]
    fn strict_is_true_or_false() {
        let of = |value: &str| is_strict(&[(STRICT, value)].into_iter().collect());
        assert!(
            !is_strict(&Params::new()).unwrap() && !of("False").unwrap() && of("true").unwrap() && of("TRUE").unwrap()
        );
        assert!(!of("").unwrap(), "as if it were not there");
        for bad in ["1", "yes"] {
            assert!(of(bad).unwrap_err().to_string().ends_with("it must be true or false"), "{bad}");
        }
    }
}
