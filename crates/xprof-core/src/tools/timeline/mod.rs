//! The timeline as the web page draws it: windows at the resolution of the screen, search, areas, single events.
//!
//! ```text
//! options   raw parameters        → one query
//! map       rows + query          → the block of one host     (rows: kept with the prepared trace)
//! reduce    blocks, host by host  → the same, one behind the other
//! render    blocks                → bytes
//! ```
//! Map depends on the query, as in `trace_viewer@`: only what is shown travels. Unlike there, every short event is counted in
//! the box that stands for it, and the resolution holds for traces of every size.

mod area;
mod block;
mod event;
mod lanes;
mod merge;
mod names;
mod options;
mod rows;
mod search;
#[cfg(test)]
mod tests;
mod window;

pub use block::Block;
pub use options::Query;

use self::options::Span;
use self::rows::{Rows, Scope};
use super::trace_viewer::{Ahead, TraceStore};
use super::{AllParts, HostPart, Params, Tool};
use crate::answer::Answer;
use crate::answer::json::JsonWriter;
use crate::prep::Prepared;
use crate::{Diag, Result};

/// What an answer begins with: its format and its version.
const MAGIC: &[u8; 8] = b"timelin1";

/// `timeline`.
#[derive(Debug)]
pub struct Timeline;

impl Tool for Timeline {
    const NAME: &'static str = "timeline";
    const PARAMS: &'static [&'static str] = Query::PARAMS;
    const MAP_PARAMS: &'static [&'static str] = Query::PARAMS;

    type Options = Query;
    type Artifact = Block;
    type Whole = Vec<HostPart<Block>>;
    type Reduction = AllParts<Block>;

    // === options ===

    fn options(params: &Params) -> Result<Query> {
        Query::read(params)
    }

    // === map ===

    fn map(host: &Prepared, query: &Query, diag: &mut Diag) -> Result<Block> {
        let store = &*TraceStore::of(host, Ahead::Nothing, diag)?;
        let scope = Scope::new(host, store);
        let rows = &*host.memo.get_or_make(|| Rows::new(&scope, diag))?;
        match query {
            Query::Window(query) => window::answer(&scope, rows, query, diag),
            Query::Search { text, limit } => search::answer(&scope, rows, text, *limit, diag),
            Query::Area { span, rows: wanted } => area::answer(&scope, rows, *span, wanted, diag),
            Query::Event { row, position } => event::answer(&scope, rows, *row, *position),
        }
    }

    // === reduce ===

    fn reduce(_query: &Query) -> AllParts<Block> {
        AllParts::default()
    }

    // === render ===

    fn render(parts: &Self::Whole, _query: &Query, out: &mut Answer) -> Result<()> {
        out.content_type = "application/octet-stream";
        out.append(&[MAGIC.to_vec()])?;
        for part in parts {
            out.append(&[part.artifact.bytes().to_vec()])?;
        }
        Ok(())
    }
}

impl Scope<'_> {
    /// What every header says: which query it answers, whose host it is, and how far the trace reaches.
    fn write_facts(&self, query: &str, json: &mut JsonWriter<'_>) {
        json.key("query").string(query).key("host").string(&self.prepared.host);
        json.key("min_ps").string(&self.store.min_ps.to_string());
        json.key("max_ps").string(&self.store.max_ps.to_string());
    }
}

impl Span {
    /// Begin and end; what is open is that of the trace.
    fn within(self, store: &TraceStore) -> (u64, u64) {
        let begin_ps = self.begin_ps.unwrap_or(store.min_ps);
        (begin_ps, self.end_ps.unwrap_or(store.max_ps).max(begin_ps))
    }
}
