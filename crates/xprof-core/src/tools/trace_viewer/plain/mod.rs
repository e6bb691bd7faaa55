//! `trace_viewer`: the timeline of one host in one piece, for clients that cannot ask for windows.
//!
//! Takes one prepared trace, gives every event with all its arguments as text, up to [`MAX_EVENTS`].
//! It must not thin. There is nothing to combine, so the artifact is the answer itself.

mod json;

use bytes::Bytes;

use super::query;
use super::render;
use crate::answer::Answer;
use crate::artifact::Artifact;
use crate::prep::Prepared;
use crate::tools::{Finished, HostPart, Params, Reduction, Tool};
use crate::{Diag, Error, Result};

/// How many events are listed; the earliest ones count.
const MAX_EVENTS: usize = 5_000_000;

/// `trace_viewer`: the whole timeline of one host.
#[derive(Debug)]
pub struct TraceViewer;

/// What a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainOptions {
    /// Whether the answer is binary.
    pub binary: bool,
}

/// The answer of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeTrace {
    body: Bytes,
}

impl Artifact for WholeTrace {
    const KIND: &'static str = "whole_trace";
    const VERSION: u32 = 1;

    fn encode(&self) -> Vec<u8> {
        self.body.to_vec()
    }

    fn decode(bytes: Bytes) -> Result<Self> {
        Ok(Self { body: bytes })
    }

    fn weight(&self) -> usize {
        self.body.len()
    }
}

/// Takes one host and no more.
#[derive(Debug, Default)]
pub struct OnlyHost {
    body: Bytes,
    n_hosts: usize,
}

impl Reduction for OnlyHost {
    type Artifact = WholeTrace;
    type Whole = Bytes;

    fn add(&mut self, part: HostPart<WholeTrace>, _diag: &mut Diag) -> Result<()> {
        self.n_hosts += 1;
        // The bodies of several hosts are of no use: only their number is told.
        self.body = if self.n_hosts == 1 { part.artifact.body.clone() } else { Bytes::new() };
        Ok(())
    }

    fn finish(self, _diag: &mut Diag) -> Result<Finished<Bytes, Self>> {
        match self.n_hosts {
            1 => Ok(Finished::Whole(self.body)),
            n => Err(Error::Unsupported(format!("Trace events tool expects only 1 XSpace path but gets {n}"))),
        }
    }
}

impl Tool for TraceViewer {
    const NAME: &'static str = "trace_viewer";
    const PARAMS: &'static [&'static str] = &["format"];
    const MAP_PARAMS: &'static [&'static str] = Self::PARAMS;

    type Options = PlainOptions;
    type Artifact = WholeTrace;
    type Whole = Bytes;
    type Reduction = OnlyHost;

    // === options ===

    fn options(params: &Params) -> Result<PlainOptions> {
        Ok(PlainOptions { binary: params.get("format") == Some("pb") })
    }

    // === map ===

    fn map(host: &Prepared, options: &PlainOptions, diag: &mut Diag) -> Result<WholeTrace> {
        let mut body = Vec::new();
        if options.binary {
            render::pb::write_whole(&query::whole(host, diag)?, &mut body)?;
        } else {
            json::write(host, MAX_EVENTS, diag, &mut body)?;
        }
        Ok(WholeTrace { body: body.into() })
    }

    // === reduce ===

    fn reduce(_options: &PlainOptions) -> OnlyHost {
        OnlyHost::default()
    }

    // === render ===

    fn render(whole: &Bytes, options: &PlainOptions, out: &mut Answer) -> Result<()> {
        if options.binary {
            out.content_type = super::BINARY;
        }
        out.set_body(whole.clone());
        Ok(())
    }
}
