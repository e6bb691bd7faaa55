//! What the page of the timeline may ask of one host.
//!
//! Takes raw parameters, gives one typed query. A value that cannot be read is an invalid parameter.
//! It must not look at a trace.

use crate::tools::Params;
use crate::{Error, Result};

/// How many things side by side a window shows if the client does not say.
const DEFAULT_RESOLUTION: u64 = 4096;
/// More than any screen has, so that no answer grows without bound.
const MAX_RESOLUTION: u64 = 1 << 17;
/// How many events a search lists if the client does not say.
const DEFAULT_HITS: u64 = 10_000;
const MAX_HITS: u64 = 1_000_000;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The events of a window of time, at the resolution of the screen.
    Window(Window),
    /// Events whose name holds a text.
    Search {
        /// The text in lower case; never empty.
        text: String,
        /// How many events are listed at most; all are counted.
        limit: usize,
    },
    /// What an area holds, by name.
    Area {
        /// The span of time.
        span: Span,
        /// Indices of rows, ascending.
        rows: Vec<u32>,
    },
    /// Everything about one event.
    Event {
        /// Index of its row.
        row: u32,
        /// Its place on the row.
        position: u32,
    },
}

/// A span of time in absolute picoseconds; without an end, that of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Begin; `None` is that of the trace.
    pub begin_ps: Option<u64>,
    /// End; `None` is that of the trace.
    pub end_ps: Option<u64>,
}

/// A window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The span of time.
    pub span: Span,
    /// Into how many parts it is divided: what is shorter than a part is merged with its like.
    pub resolution: u64,
}

impl Query {
    /// All parameters; events are chosen by all of them.
    pub const PARAMS: &'static [&'static str] =
        &["area", "begin_ps", "end_ps", "event", "limit", "resolution", "search"];

    /// Reads a request: of `event`, `area` and `search` the first that is there decides; without any it is a window.
    pub fn read(params: &Params) -> Result<Self> {
        if let Some(text) = params.non_empty("event") {
            let wrong = || Error::invalid("event", text, "it must be row and place of an event, such as 3.1500");
            let (row, position) = text.split_once('.').ok_or_else(wrong)?;
            let (row, position) = (row.parse().map_err(|_| wrong())?, position.parse().map_err(|_| wrong())?);
            return Ok(Self::Event { row, position });
        }
        let span = Span { begin_ps: whole(params, "begin_ps")?, end_ps: whole(params, "end_ps")? };
        if let (Some(begin), Some(end)) = (span.begin_ps, span.end_ps)
            && begin > end
        {
            return Err(Error::invalid("end_ps", &end.to_string(), "it must not lie before begin_ps"));
        }
        if let Some(text) = params.non_empty("area") {
            return Ok(Self::Area { span, rows: rows(text)? });
        }
        if let Some(text) = params.non_empty("search") {
            let limit = whole(params, "limit")?.unwrap_or(DEFAULT_HITS).min(MAX_HITS) as usize;
            return Ok(Self::Search { text: text.to_lowercase(), limit });
        }
        let resolution = whole(params, "resolution")?.unwrap_or(DEFAULT_RESOLUTION).clamp(1, MAX_RESOLUTION);
        Ok(Self::Window(Window { span, resolution }))
    }
}

fn whole(params: &Params, name: &str) -> Result<Option<u64>> {
    let read = |text: &str| text.parse().map_err(|_| Error::invalid(name, text, "it must be a whole number"));
    params.non_empty(name).map(read).transpose()
}

/// `0-3,7` → 0, 1, 2, 3, 7. Rows that no host has are harmless, but the list must not be made longer than any trace's.
fn rows(text: &str) -> Result<Vec<u32>> {
    const MAX_ROWS: usize = 1 << 20;
    let wrong = || Error::invalid("area", text, "it must list rows, such as 0-3,7");
    let mut rows = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
        if (last.saturating_sub(first)) as usize >= MAX_ROWS - rows.len().min(MAX_ROWS) {
            return Err(wrong());
        }
        rows.extend(first..=last);
    }
    rows.sort_unstable();
    rows.dedup();
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(params: &[(&str, &str)]) -> Result<Query> {
        Query::read(&params.iter().copied().collect())
    }

    #[test]
    fn reads_requests() {
        let all = Span { begin_ps: None, end_ps: None };
        let some = Span { begin_ps: Some(5), end_ps: Some(7) };
        for (params, expected) in [
            (&[][..], Query::Window(Window { span: all, resolution: DEFAULT_RESOLUTION })),
            (
                &[("begin_ps", "5"), ("end_ps", "7"), ("resolution", "0")],
                Query::Window(Window { span: some, resolution: 1 }),
            ),
            (&[("search", "ÄB"), ("limit", "3")], Query::Search { text: "äb".into(), limit: 3 }),
            (
                &[("area", "2,0-1,1"), ("search", "x"), ("begin_ps", "5"), ("end_ps", "7")],
                Query::Area { span: some, rows: vec![0, 1, 2] },
            ),
            (&[("event", "3.1500"), ("area", "x")], Query::Event { row: 3, position: 1500 }),
        ] {
            assert_eq!(read(params).unwrap(), expected, "{params:?}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for (params, reason) in [
            (&[("begin_ps", "1.5")][..], "whole number"),
            (&[("begin_ps", "2"), ("end_ps", "1")], "before begin_ps"),
            (&[("area", "1,x")], "list rows"),
            (&[("area", "0-4294967295")], "list rows"),
            (&[("event", "3")], "row and place"),
            (&[("event", "-1.2")], "row and place"),
            (&[("resolution", "all")], "whole number"),
        ] {
            let error = read(params).unwrap_err();
            assert_eq!(error.code(), "invalid_parameter");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
