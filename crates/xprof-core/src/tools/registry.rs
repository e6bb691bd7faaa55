//! Every tool by name, with its types forgotten: the only list of tools.

use std::sync::Arc;

use bytes::Bytes;

use super::event_time_fraction_analyzer::EventTimeFractionAnalyzer;
use super::framework_op_stats::FrameworkOpStats;
use super::graph_viewer::GraphViewer;
use super::hlo_stats::HloStats;
use super::input_pipeline_analyzer::InputPipelineAnalyzer;
use super::kernel_stats::KernelStats;
use super::memory_viewer::MemoryViewer;
use super::op_profile::OpProfile;
use super::overview_page::OverviewPage;
use super::pod_viewer::PodViewer;
use super::roofline_model::RooflineModel;
use super::smart_suggestion::SmartSuggestionTool;
use super::timeline::Timeline;
use super::trace_viewer::{StreamingTraceViewer, TraceViewer};
use super::{Finished, HostPart, Params, Reduction, Tool};
use crate::answer::Answer;
use crate::artifact::{AnyArtifact, Artifact};
use crate::prep::Prepared;
use crate::xspace::TraceBytes;
use crate::{Diag, Error, Result};

/// One line of the table.
#[derive(Debug)]
pub struct Entry {
    /// The tool's name in URLs, logs and metrics.
    pub name: &'static str,
    /// Which parameters the answer depends on.
    pub params: &'static [&'static str],
    /// Which of them map depends on.
    pub map_params: &'static [&'static str],
    /// Whether map looks at events, see [`Tool::NEEDS_EVENTS`].
    pub needs_events: bool,
    /// Whether only workers answer it, see [`Tool::IS_STEP`].
    pub is_step: bool,
    /// The kind of artifact that map makes. Tools of one kind share their artifacts.
    pub artifact_kind: &'static str,
    /// The version of that artifact's encoding.
    pub artifact_version: u32,
    /// Whether it is kept where it was decoded, see [`Artifact::IS_KEPT`].
    pub keeps_artifact: bool,
    check: fn(&Params) -> Result<()>,
    map: fn(&Prepared, &Params, &mut Diag) -> Result<AnyArtifact>,
    reduce: fn(&Params, Answer) -> Result<Box<dyn Erased>>,
    decode: fn(Bytes) -> Result<AnyArtifact>,
}

/// Which hosts of a session with several hosts a client may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// Each by itself.
    Each,
    /// Each by itself, or all together.
    EachOrAll,
    /// Only all together.
    All,
}

impl Hosts {
    /// The rule of a tool by its name, whether or not it is among [`TOOLS`] yet: front ends ask for the hosts of every
    /// tool that XProf has.
    pub fn of_tool(name: &str) -> Self {
        match name {
            "overview_page" | "pod_viewer" | "smart_suggestion" => Self::All,
            "input_pipeline_analyzer" | "framework_op_stats" | "kernel_stats" | "megascale_stats" => Self::EachOrAll,
            _ => Self::Each,
        }
    }
}

impl Entry {
    const fn of<T: Tool>() -> Self {
        Self {
            name: T::NAME,
            params: T::PARAMS,
            map_params: T::MAP_PARAMS,
            needs_events: T::NEEDS_EVENTS,
            is_step: T::IS_STEP,
            artifact_kind: T::Artifact::KIND,
            artifact_version: T::Artifact::VERSION,
            keeps_artifact: T::Artifact::IS_KEPT,
            check: |params| T::options(params).map(drop),
            map: |host, params, diag| T::map(host, &T::options(params)?, diag).map(AnyArtifact::new),
            reduce: |params, out| {
                let options = T::options(&params.only(T::PARAMS))?;
                Ok(Box::new(Typed::<T> { reduction: T::reduce(&options), options, out }))
            },
            decode: |bytes| T::Artifact::decode(bytes).map(AnyArtifact::new),
        }
    }

    /// Whether the parameters of a request are valid, before any work is done.
    pub fn check(&self, params: &Params) -> Result<()> {
        (self.check)(params)
    }

    /// Read and prepare: one trace, as much of it as map needs.
    pub fn prepare(&self, trace: TraceBytes, host: &str, diag: &mut Diag) -> Result<Prepared> {
        if self.needs_events { Prepared::read(trace, host, diag) } else { Prepared::catalog(trace, host, diag) }
    }

    /// Map: one prepared host to its artifact.
    pub fn map(&self, host: &Prepared, params: &Params, diag: &mut Diag) -> Result<AnyArtifact> {
        (self.map)(host, &params.only(self.map_params), diag)
    }

    /// Begins reduce and render: hosts are added one by one. The answer is written into `out`, an empty one or its format.
    pub fn reduce(&self, params: &Params, out: impl Into<Answer>) -> Result<AnyReduction> {
        Ok(AnyReduction { inner: (self.reduce)(params, out.into())?, n_hosts: 0 })
    }

    /// Reduce and render: the artifacts of all hosts, in the order of the request, to the answer, which is written into
    /// `out`, an empty answer or its format.
    pub fn finish(
        &self,
        parts: &[(Arc<str>, AnyArtifact)],
        params: &Params,
        out: impl Into<Answer>,
        diag: &mut Diag,
    ) -> Result<Answer> {
        let mut reduction = self.reduce(params, out)?;
        loop {
            for (host, artifact) in parts {
                reduction.add(Arc::clone(host), artifact, diag)?;
            }
            match reduction.finish(diag)? {
                Finished::Whole(answer) => return Ok(answer),
                Finished::Again(again) => reduction = again,
            }
        }
    }

    /// Reads an artifact that another process encoded.
    pub fn decode(&self, bytes: Bytes) -> Result<AnyArtifact> {
        (self.decode)(bytes)
    }
}

/// Reduce and render of one request, with the tool's types forgotten.
pub struct AnyReduction {
    inner: Box<dyn Erased>,
    n_hosts: usize,
}

impl std::fmt::Debug for AnyReduction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnyReduction").field("n_hosts", &self.n_hosts).finish_non_exhaustive()
    }
}

impl AnyReduction {
    /// Reduce: adds the next host, in the order of the request.
    pub fn add(&mut self, host: Arc<str>, artifact: &AnyArtifact, diag: &mut Diag) -> Result<()> {
        diag.check()?;
        self.n_hosts += 1;
        self.inner.add(host, artifact, diag)
    }

    /// After the last host: renders the answer, unless the hosts are needed once more.
    pub fn finish(self, diag: &mut Diag) -> Result<Finished<Answer, Self>> {
        if self.n_hosts == 0 {
            return Err(Error::NotFound("no host was selected".into()));
        }
        diag.check()?;
        Ok(match self.inner.finish(diag)? {
            Finished::Whole(answer) => Finished::Whole(answer),
            Finished::Again(inner) => Finished::Again(Self { inner, n_hosts: 0 }),
        })
    }
}

/// What [`AnyReduction`] can ask of a tool.
trait Erased: Send {
    fn add(&mut self, host: Arc<str>, artifact: &AnyArtifact, diag: &mut Diag) -> Result<()>;
    fn finish(self: Box<Self>, diag: &mut Diag) -> Result<Finished<Answer, Box<dyn Erased>>>;
}

struct Typed<T: Tool> {
    options: T::Options,
    reduction: T::Reduction,
    out: Answer,
}

impl<T: Tool> Erased for Typed<T> {
    fn add(&mut self, host: Arc<str>, artifact: &AnyArtifact, diag: &mut Diag) -> Result<()> {
        self.reduction.add(HostPart { host, artifact: artifact.downcast()? }, diag)
    }

    fn finish(self: Box<Self>, diag: &mut Diag) -> Result<Finished<Answer, Box<dyn Erased>>> {
        let Self { options, reduction, mut out } = *self;
        let whole = match reduction.finish(diag)? {
            Finished::Whole(whole) => whole,
            Finished::Again(reduction) => return Ok(Finished::Again(Box::new(Self { options, reduction, out }))),
        };
        diag.check()?;
        out = out.of_work(diag);
        T::render(&whole, &options, &mut out)?;
        Ok(Finished::Whole(out.finish()?))
    }
}

/// All tools, sorted by name.
pub static TOOLS: &[Entry] = &[
    Entry::of::<EventTimeFractionAnalyzer>(),
    Entry::of::<FrameworkOpStats>(),
    Entry::of::<GraphViewer>(),
    Entry::of::<HloStats>(),
    Entry::of::<InputPipelineAnalyzer>(),
    Entry::of::<KernelStats>(),
    Entry::of::<MemoryViewer>(),
    Entry::of::<OpProfile>(),
    Entry::of::<OverviewPage>(),
    Entry::of::<PodViewer>(),
    Entry::of::<RooflineModel>(),
    Entry::of::<SmartSuggestionTool>(),
    Entry::of::<StreamingTraceViewer>(),
    Entry::of::<Timeline>(),
    Entry::of::<TraceViewer>(),
];

/// The tool of that name, if clients may ask for it.
pub fn find_for_clients(name: &str) -> Result<&'static Entry> {
    find(name).and_then(|tool| if tool.is_step { Err(Error::UnknownTool(name.into())) } else { Ok(tool) })
}

/// The tool or the step of that name.
pub fn find(name: &str) -> Result<&'static Entry> {
    TOOLS.iter().find(|t| t.name == name).ok_or_else(|| Error::UnknownTool(name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_depends_on_parameters_of_its_tool() {
        for tool in TOOLS {
            assert!(tool.map_params.iter().all(|name| tool.params.contains(name)), "{}", tool.name);
        }
    }
}
