//! The timeline: `trace_viewer@`, which answers windows of time with a level of detail, and the plain `trace_viewer`.
//!
//! ```text
//! options   raw parameters           → one query
//! map       store + query            → the window of one host   (store: kept with the prepared trace)
//! reduce    windows, host by host    → the same, side by side
//! render    windows                  → JSON or protocol buffer
//! ```
//! Map depends on the query here, unlike in other tools: a host answers a query, and only what is shown travels.

mod batches;
mod bounds;
pub(super) mod facts;
#[cfg(test)]
mod model;
mod options;
mod plain;
mod query;
mod render;
pub(super) mod store;
mod thinning;
mod window;

pub use options::Options;
pub use plain::TraceViewer;
pub use store::{Ahead, TraceStore};
pub use window::Window;

use crate::answer::Answer;
use crate::prep::Prepared;
use crate::tools::{AllParts, HostPart, Params, Tool};
use crate::{Diag, Error, Result};

/// Content type of binary answers.
const BINARY: &str = "application/octet-stream";

/// `trace_viewer@`: the streaming timeline.
#[derive(Debug)]
pub struct StreamingTraceViewer;

impl Tool for StreamingTraceViewer {
    const NAME: &'static str = "trace_viewer@";
    const PARAMS: &'static [&'static str] = Options::PARAMS;
    const MAP_PARAMS: &'static [&'static str] = Options::MAP_PARAMS;

    type Options = Options;
    type Artifact = Window;
    type Whole = Vec<HostPart<Window>>;
    type Reduction = AllParts<Window>;

    // === options ===

    fn options(params: &Params) -> Result<Options> {
        Options::read(params)
    }

    // === map ===

    fn map(host: &Prepared, options: &Options, diag: &mut Diag) -> Result<Window> {
        query::answer(host, options, diag)
    }

    // === reduce ===

    /// Hosts stay as they are, side by side.
    fn reduce(_options: &Options) -> AllParts<Window> {
        AllParts::default()
    }

    // === render ===

    /// An event that was asked for must be on one of the hosts; the reference wants it on all of them.
    fn render(parts: &Self::Whole, options: &Options, out: &mut Answer) -> Result<()> {
        if let options::Query::Details(query) = &options.query
            && parts.iter().all(|part| part.artifact.not_found)
        {
            return Err(Error::NotFound(format!("Event not found: {:?} at {} ps", query.name, query.begin_ps)));
        }
        if options.binary {
            out.content_type = BINARY;
            return render::pb::write(parts, options.full_dma, out.buffer());
        }
        render::json::write(parts, options.full_dma, out)
    }
}
