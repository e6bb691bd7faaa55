//! `graph_viewer`: one HLO module as text, as a proto, as the neighbourhood of a node.
//!
//! ```text
//! options   raw parameters           → which module, what of it
//! map       metadata of one host     → the module's proto
//! reduce    protos, host by host     → the first one
//! render    module and options       → text, proto, JSON, DOT or a page
//! ```

mod adjacent;
mod custom_call;
mod graph;
mod layout;
mod options;
mod page;
mod proto;
mod svg;

use std::sync::Arc;

pub use options::{GraphFormat, Kind, Options};

use super::hlo_module::{self, FirstModule, HostModules, ModuleQuery, TraceModule};
use crate::answer::Answer;
use crate::hlo::text::{PrintOptions, module_text};
use crate::hlo::{HloError, HloModule};
use crate::prep::Prepared;
use crate::tools::{Params, Tool};
use crate::{Diag, Error, Result};

/// Texts end here; what is longer is refused.
const MAX_TEXT_BYTES: usize = 1 << 29;

/// The tool.
#[derive(Debug)]
pub struct GraphViewer;

impl Tool for GraphViewer {
    const NAME: &'static str = "graph_viewer";
    const PARAMS: &'static [&'static str] = Options::PARAMS;
    const MAP_PARAMS: &'static [&'static str] = &ModuleQuery::PARAMS;
    const NEEDS_EVENTS: bool = false;

    type Options = Options;
    type Artifact = HostModules;
    type Whole = Arc<TraceModule>;
    type Reduction = FirstModule;

    // === options ===

    fn options(params: &Params) -> Result<Options> {
        Options::read(params)
    }

    // === map ===

    fn map(host: &Prepared, options: &Options, _diag: &mut Diag) -> Result<HostModules> {
        hlo_module::map(host, &options.module)
    }

    // === reduce ===

    fn reduce(options: &Options) -> FirstModule {
        FirstModule::new(&options.module)
    }

    // === render ===

    fn render(whole: &Self::Whole, options: &Options, out: &mut Answer) -> Result<()> {
        let kind = options.kind.map_or_else(|| options::kind(""), Ok)?;
        out.content_type = kind.content_type();
        match kind {
            Kind::ShortText => out.text(&text(whole, PrintOptions::short(options.show_metadata))?),
            Kind::LongText => out.text(&text(whole, PrintOptions::long(options.show_metadata))?),
            Kind::Proto => proto::write_binary(&whole.proto, out.buffer())?,
            Kind::ProtoText => proto::write_text(&whole.proto, out.buffer())?,
            Kind::Json => proto::write_json(&whole.proto, out.buffer())?,
            Kind::AdjacentNodes => adjacent::write(built(whole)?, &options.node, out.buffer())?,
            Kind::CustomCall => out.text(&custom_call::body(built(whole)?, &options.node)?),
            Kind::Graph => {
                let drawing = graph::draw(built(whole)?, options)?;
                match options.format {
                    GraphFormat::Dot => out.text(&drawing.dot()),
                    GraphFormat::Html => out.text(&page::write(&drawing)),
                }
            }
        }
        Ok(())
    }
}

/// The module, which must be usable.
fn built(module: &TraceModule) -> Result<&HloModule> {
    module.built().map_err(unusable)
}

fn text(module: &TraceModule, options: PrintOptions) -> Result<String> {
    module_text(built(module)?, options, MAX_TEXT_BYTES).map_err(|e| unusable(&e))
}

/// A module that cannot be used is the trace's fault, but other parts of the trace are well.
fn unusable(error: &HloError) -> Error {
    match error {
        HloError::TextTooLarge(limit) => {
            Error::TooLarge { what: "the text of the module".into(), limit: format!("{} MiB", limit >> 20) }
        }
        other => Error::Unsupported(other.to_string()),
    }
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
