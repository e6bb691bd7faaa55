//! The analysis tools: what a client may ask for, how one host is mapped, how hosts are reduced, how the answer is written.
//!
//! One tool is one module with four parts, always in this order: options, map, reduce, render.
//! A new tool is one file here and one line in [`registry`].

pub mod event_time_fraction_analyzer;
pub mod framework_op_stats;
pub mod graph_viewer;
pub mod hlo_module;
pub mod hlo_stats;
pub mod input_pipeline;
pub mod input_pipeline_analyzer;
pub mod kernel_stats;
pub mod memory_viewer;
pub mod op_profile;
pub mod overview_page;
mod params;
pub mod pod_viewer;
pub mod registry;
pub mod roofline_model;
mod run_facts;
pub mod smart_suggestion;
pub mod timeline;
pub mod trace_viewer;

pub use params::Params;
pub use run_facts::{RunFacts, run_facts};

use crate::answer::Answer;
use crate::artifact::Artifact;
pub use crate::artifact::HostPart;
use crate::prep::Prepared;
pub use crate::reduction::{AllParts, Finished, Reduction};
use crate::{Diag, Result};

/// One analysis tool.
pub trait Tool: 'static {
    /// The tool's name: the same word in the URL, in logs and metrics, and in the module's file name.
    const NAME: &'static str;
    /// The parameters that [`Tool::options`] reads. No answer depends on any other, so none makes an answer another one.
    const PARAMS: &'static [&'static str] = &[];
    /// The parameters on which map depends. Only these reach a worker, and they are part of the artifact's cache key.
    /// Empty for nearly every tool: its artifacts then serve every request and every tool of the family.
    const MAP_PARAMS: &'static [&'static str] = &[];

    /// Whether map looks at events. A tool that needs only names and metadata gets a [`Prepared::catalog`], which is read
    /// in no time however long the trace is.
    const NEEDS_EVENTS: bool = true;

    /// Whether it is a step of another tool, which aggregators ask of workers, and no answer of its own.
    const IS_STEP: bool = false;

    /// What the client may ask for.
    type Options: Send;
    /// What map leaves for reduce.
    type Artifact: Artifact;
    /// All hosts together.
    type Whole;
    /// What makes the whole of the artifacts.
    type Reduction: Reduction<Artifact = Self::Artifact, Whole = Self::Whole>;

    /// 1 — Reads the options from the request; a bad value is [`crate::Error::InvalidParameter`].
    fn options(params: &Params) -> Result<Self::Options>;

    /// 2 — One host's trace to its artifact. `options` holds only what [`Tool::MAP_PARAMS`] names, the rest are defaults.
    fn map(host: &Prepared, options: &Self::Options, diag: &mut Diag) -> Result<Self::Artifact>;

    /// 3 — Begins to make one whole of all hosts, to which each is added when its turn comes.
    fn reduce(options: &Self::Options) -> Self::Reduction;

    /// 4 — Writes the answer.
    fn render(whole: &Self::Whole, options: &Self::Options, out: &mut Answer) -> Result<()>;
}
