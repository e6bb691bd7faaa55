//! The memory of one HLO module: the heap over time, what fills it at the peak, and what lives as long as the program.
//!
//! Takes the module's proto with the compiler's buffer assignment, replays how arrays were packed into one memory space, and gives
//! a message in JSON or a page with the arrays over time and addresses. A module that cannot run is shown all the same:
//! nothing but its instructions' names and shapes matters.

mod blocks;
mod palette;
pub(super) mod program;
mod render;
mod report;
mod scoped;
mod simulation;
mod timeline;

use std::sync::Arc;

use crate::answer::Answer;
use crate::hlo::HloError;
use crate::prep::Prepared;
use crate::tools::hlo_module::{self, FirstModule, HostModules, ModuleQuery};
use crate::tools::{Finished, HostPart, Params, Reduction, Tool};
use crate::{Diag, Error, Result};
use blocks::Blocks;
use program::Program;
use report::Report;
use scoped::ScopedVmem;

/// The tool.
#[derive(Debug)]
pub struct MemoryViewer;

/// What the client may ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    query: ModuleQuery,
    /// The kind of memory: 0 is a device's main memory, 1 VMEM, 5 the host's, and so on.
    memory_space: i32,
    /// The page instead of JSON.
    timeline: bool,
}

/// One module's use of one memory space.
#[derive(Debug)]
pub struct Usage {
    program: Arc<Program>,
    report: Report,
    scoped: ScopedVmem,
}

/// What the module of the first host that has it uses.
#[derive(Debug)]
pub struct FirstUsage {
    module: FirstModule,
    options: Options,
}

impl Reduction for FirstUsage {
    type Artifact = HostModules;
    type Whole = Usage;

    fn add(&mut self, part: HostPart<HostModules>, diag: &mut Diag) -> Result<()> {
        self.module.add(part, diag)
    }

    fn finish(self, diag: &mut Diag) -> Result<Finished<Usage, Self>> {
        let Self { module, options } = self;
        let unusable = |e: &HloError| Error::Unsupported(format!("the HLO proto cannot be read: {e}"));
        let program = module.found()?.memory(diag).map_err(unusable)?;
        let report = Report::of(&program, options.memory_space.into(), diag)?;
        let has_scoped = i64::from(options.memory_space) == scoped::VMEM && !options.timeline;
        let scoped = if has_scoped { scoped::largest(&program.outline) } else { ScopedVmem::default() };
        Ok(Finished::Whole(Usage { program, report, scoped }))
    }
}

impl Tool for MemoryViewer {
    const NAME: &'static str = "memory_viewer";
    const PARAMS: &'static [&'static str] =
        &["memory_space", "module_name", "program_id", "view_memory_allocation_timeline"];
    const MAP_PARAMS: &'static [&'static str] = &ModuleQuery::PARAMS;
    const NEEDS_EVENTS: bool = false;

    type Options = Options;
    type Artifact = HostModules;
    type Whole = Usage;
    type Reduction = FirstUsage;

    // === options ===

    fn options(params: &Params) -> Result<Options> {
        let space = params.get("memory_space").unwrap_or_default();
        Ok(Options {
            query: ModuleQuery::read(params),
            // parity: what is no number is 0.
            memory_space: space.trim_ascii().parse().unwrap_or(0),
            // parity: any value counts, even `false`.
            timeline: params.non_empty("view_memory_allocation_timeline").is_some(),
        })
    }

    // === map ===

    fn map(host: &Prepared, options: &Options, _diag: &mut Diag) -> Result<HostModules> {
        hlo_module::map(host, &options.query)
    }

    // === reduce ===

    fn reduce(options: &Options) -> FirstUsage {
        FirstUsage { module: FirstModule::new(&options.query), options: options.clone() }
    }

    // === render ===

    fn render(usage: &Usage, options: &Options, out: &mut Answer) -> Result<()> {
        let Usage { program, report, scoped } = usage;
        if options.timeline {
            out.content_type = "text/html";
            out.text(&timeline::page(program, &Blocks::of(program, report)));
            return Ok(());
        }
        render::write(out.buffer(), program, report, *scoped)
    }
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
