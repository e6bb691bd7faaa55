//! The whole flow as calls: bytes → prepared host → artifact → answer. Start reading here.
//!
//! ```text
//! entry.prepare(bytes)         read, prepare     one host, on a worker or in process
//! entry.map(&prepared)         map               one host, on the same machine
//! entry.finish(parts)          reduce, render    all hosts, on the aggregator; one after the other: entry.reduce()
//! ```
//! The same three calls run in the aggregator alone, over workers, and in a test: answers are byte-identical.

use std::sync::Arc;

use crate::answer::{Answer, Format};
use crate::tools::{Params, registry};
use crate::xspace::TraceBytes;
use crate::{Diag, Result};

/// Answers one request from the traces of all its hosts, in this process.
pub fn answer(
    tool: &str,
    traces: &[(Arc<str>, TraceBytes)],
    params: &Params,
    format: Format,
    diag: &mut Diag,
) -> Result<Answer> {
    let entry = registry::find(tool)?;
    entry.check(params)?;
    let mut parts = Vec::with_capacity(traces.len());
    for (host, trace) in traces {
        let prepared = entry.prepare(trace.clone(), host, diag)?;
        parts.push((Arc::clone(host), entry.map(&prepared, params, diag)?));
    }
    entry.finish(&parts, params, format, diag)
}
