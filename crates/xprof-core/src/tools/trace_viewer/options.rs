//! What a client may ask of the timeline.
//!
//! Takes raw parameters, gives one typed query. A value that cannot be read is an invalid parameter, with the words of the
//! reference first.
//! It must not look at a trace.

use crate::tools::Params;
use crate::{Error, Result};

/// How many events a row of the window should be able to show if the client does not say.
const DEFAULT_RESOLUTION: u64 = 8000;
const PS_PER_MS: f64 = 1e9;

/// One request to `trace_viewer@`.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Which events.
    pub query: Query,
    /// Whether intermediate DMA events of TPUs are shown.
    pub full_dma: bool,
    /// Whether the answer is binary.
    pub binary: bool,
}

/// Which events a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// Those of a window of time, thinned to what can be told apart.
    Window(WindowQuery),
    /// Those whose name begins with a prefix.
    Search {
        /// The prefix; never empty.
        prefix: String,
        /// Whether events carry all their arguments.
        with_args: bool,
    },
    /// One event with all its arguments.
    Details(DetailsQuery),
}

/// A window of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowQuery {
    /// Begin in ms; may lie outside of the trace.
    pub start_ms: f64,
    /// End in ms; if begin and end are both 0, the window is the whole trace.
    pub end_ms: f64,
    /// Wanted number of distinguishable events per row; 0 is all of them.
    pub resolution: u64,
}

/// What identifies one event.
#[derive(Debug, Clone, PartialEq)]
pub struct DetailsQuery {
    /// The visible name.
    pub name: String,
    /// Begin.
    pub begin_ps: u64,
    /// Duration.
    pub duration_ps: u64,
    /// Rank among the events of its begin.
    pub serial: u64,
}

impl Options {
    /// All parameters; the first one decides about the form of the answer alone.
    pub const PARAMS: &'static [&'static str] = &[
        "format",
        "duration_ms",
        "end_time_ms",
        "event_name",
        "full_dma",
        "resolution",
        "search_metadata",
        "search_prefix",
        "start_time_ms",
        "unique_id",
    ];

    /// The parameters that decide which events are in the answer.
    pub const MAP_PARAMS: &'static [&'static str] = Self::PARAMS.split_at(1).1;

    /// Reads a request. parity: every number is checked, also those that the kind of query does not use.
    pub fn read(params: &Params) -> Result<Self> {
        let window = WindowQuery {
            start_ms: time(params, "start_time_ms")?,
            end_ms: time(params, "end_time_ms")?,
            resolution: count(params, "resolution", DEFAULT_RESOLUTION)?,
        };
        let duration_ms = time(params, "duration_ms")?;
        let serial = count(params, "unique_id", 0)?;
        let query = if let Some(name) = params.non_empty("event_name") {
            let (begin_ps, duration_ps) = (nearest_ps(window.start_ms), nearest_ps(duration_ms));
            Query::Details(DetailsQuery { name: name.into(), begin_ps, duration_ps, serial })
        } else if let Some(prefix) = params.non_empty("search_prefix") {
            Query::Search { prefix: prefix.into(), with_args: params.is_true("search_metadata") }
        } else {
            Query::Window(window)
        };
        Ok(Self {
            query,
            full_dma: params.is_true("full_dma"),
            // parity: naming the parameter is enough to get JSON, even if its value is empty.
            binary: params.get("format") == Some("pb") && params.get("event_name").is_none(),
        })
    }
}

/// A time in ms.
fn time(params: &Params, name: &str) -> Result<f64> {
    match params.get(name) {
        None => Ok(0.0),
        Some(text) => number(text).ok_or_else(|| {
            Error::invalid(name, text, "wrong arguments: it must be a number of milliseconds, such as 12.5")
        }),
    }
}

/// A whole number; a fraction is cut off. parity: a negative resolution means everything, as 0 does.
fn count(params: &Params, name: &str, default: u64) -> Result<u64> {
    match params.get(name) {
        None => Ok(default),
        Some(text) => match text.trim().parse::<u64>() {
            Ok(value) => Ok(value),
            Err(_) => number(text)
                .map(|v| v as u64)
                .ok_or_else(|| Error::invalid(name, text, &format!("{name} must be a number"))),
        },
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|v| v.is_finite())
}

/// The nearest picosecond. (A window's ends are cut off instead, see the window query.)
fn nearest_ps(ms: f64) -> u64 {
    (ms * PS_PER_MS).round() as u64
}

/// A time of a window in picoseconds, the fraction cut off. parity: what lies before the profile wraps around and so lies
/// far behind its end.
pub fn truncated_ps(ms: f64) -> u64 {
    let ps = ms * PS_PER_MS;
    if ps < 0.0 { ps as i64 as u64 } else { ps as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(params: &[(&str, &str)], expect: std::result::Result<&str, &str>) {
        let got = Options::read(&params.iter().copied().collect());
        match (got, expect) {
            (Ok(options), Ok(text)) => assert_eq!(format!("{options:?}"), text),
            (Err(error), Err(text)) => {
                assert_eq!(error.code(), "invalid_parameter");
                assert!(error.to_string().contains(text), "{error}");
            }
            (got, expect) => panic!("{params:?}: {got:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn reads_requests() {
        let window = |text: &str| {
            format!("Options {{ query: Window(WindowQuery {{ {text} }}), full_dma: false, binary: false }}")
        };
        check(&[], Ok(&window("start_ms: 0.0, end_ms: 0.0, resolution: 8000")));
        check(
            &[("resolution", "1e2"), ("end_time_ms", "1.5")],
            Ok(&window("start_ms: 0.0, end_ms: 1.5, resolution: 100")),
        );
        check(
            &[("resolution", "99.9"), ("start_time_ms", "-3")],
            Ok(&window("start_ms: -3.0, end_ms: 0.0, resolution: 99")),
        );
        check(
            &[("resolution", "-5"), ("unknown", "x"), ("full_dma", "1")],
            Ok(&window("start_ms: 0.0, end_ms: 0.0, resolution: 0")),
        );
        check(&[("resolution", "")], Err("resolution must be a number"));
        check(&[("unique_id", "x")], Err("unique_id must be a number"));
        check(&[("start_time_ms", "soon")], Err("wrong arguments"));
        check(&[("duration_ms", "nan")], Err("wrong arguments"));
    }

    #[test]
    fn details_come_before_search_and_window() {
        let all = [
            ("event_name", "e"),
            ("search_prefix", "p"),
            ("start_time_ms", "1e-9"),
            ("duration_ms", "9.999999999999999e-10"),
            ("format", "pb"),
        ];
        check(
            &all,
            Ok(
                "Options { query: Details(DetailsQuery { name: \"e\", begin_ps: 1, duration_ps: 1, serial: 0 }), full_dma: false, binary: false }",
            ),
        );
        check(
            &[("event_name", ""), ("search_prefix", "p"), ("full_dma", "TRUE"), ("search_metadata", "true")],
            Ok("Options { query: Search { prefix: \"p\", with_args: true }, full_dma: true, binary: false }"),
        );
    }
}
