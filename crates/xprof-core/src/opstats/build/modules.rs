//! The HLO modules that a trace carries: names, training detection, facts about instructions.
//!
//! Takes the metadata planes. A module is built only when an op asks for it; names and training need no build.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rayon::prelude::*;
use xprof_proto::tensorflow::profiler::{OpMetrics, OpMetricsDb, SourceInfo};

use crate::Diag;
use crate::diag::ProblemKind;
use crate::hlo::{FusedChild, HloModuleFacts, InstructionFacts, module_name_of, shows_training};
use crate::prep::programs::programs;
use crate::xspace::XSpace;

/// One module of the trace.
#[derive(Debug)]
struct TraceModule {
    name: String,
    proto: Bytes,
    facts: OnceLock<Option<HloModuleFacts>>,
}

/// The modules of a trace by program id.
#[derive(Debug)]
pub struct TraceModules {
    modules: BTreeMap<u64, TraceModule>,
    want_costs: bool,
    is_training: bool,
    failed: AtomicBool,
}

impl TraceModules {
    /// Finds the modules. Costs are wanted where the trace has no TPU, whose events bring their own.
    pub fn of(space: &XSpace, want_costs: bool, diag: &mut Diag) -> Self {
        let found = programs(space).map(|program| (program.id, program.proto)).collect();
        Self::from_protos(found, want_costs, diag)
    }

    fn from_protos(found: Vec<(u64, Bytes)>, want_costs: bool, diag: &mut Diag) -> Self {
        let scanned: Vec<_> = found
            .into_par_iter()
            .map(|(id, proto)| {
                let name = module_name_of(&proto).map(str::to_owned);
                let training = shows_training(&proto);
                (id, proto, name, training)
            })
            .collect();
        let mut modules = BTreeMap::new();
        let mut is_training = false;
        for (id, proto, name, training) in scanned {
            let Ok(name) = name else {
                diag.count(ProblemKind::UnusableHloModule, || format!("program {id}"));
                continue;
            };
            is_training |= training;
            // Of several modules of one program the first counts.
            modules.entry(id).or_insert_with(|| TraceModule { name, proto, facts: OnceLock::new() });
        }
        Self { modules, want_costs, is_training, failed: AtomicBool::new(false) }
    }

    /// Whether an instruction of any module computes gradients.
    pub fn is_training(&self) -> bool {
        self.is_training
    }

    /// Names of the modules by program id.
    pub fn names(&self) -> BTreeMap<u64, String> {
        self.modules.iter().map(|(&id, module)| (id, module.name.clone())).collect()
    }

    /// The instruction of that name, if the program is known and can be built.
    pub fn find(&self, program_id: u64, name: &str) -> Option<InstructionFacts<'_>> {
        let module = self.modules.get(&program_id)?;
        let build = || {
            let facts = HloModuleFacts::from_proto(&module.proto, self.want_costs).ok();
            if facts.is_none() {
                self.failed.store(true, Ordering::Relaxed);
            }
            facts
        };
        module.facts.get_or_init(build).as_ref()?.find(name)
    }

    /// Builds the modules of these programs in parallel.
    pub fn build(&self, program_ids: impl IntoIterator<Item = u64>) {
        let mut ids: Vec<u64> = program_ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_par_iter().for_each(|id| _ = self.find(id, ""));
    }

    /// Counts modules that could not be built.
    pub fn report(&self, diag: &mut Diag) {
        if self.failed.load(Ordering::Relaxed) {
            for (id, _) in self.modules.iter().filter(|(_, m)| matches!(m.facts.get(), Some(None))) {
                diag.count(ProblemKind::UnusableHloModule, || format!("program {id}"));
            }
        }
    }

    /// The instructions fused into one, as rows to be shown below its row.
    pub fn fused_rows(&self, program_id: u64, name: &str) -> Vec<OpMetrics> {
        self.find(program_id, name).map_or_else(Vec::new, |i| i.fused_children().iter().map(fused_row).collect())
    }
}

fn fused_row(child: &FusedChild<'_>) -> OpMetrics {
    let facts = &child.facts;
    let children: Vec<OpMetrics> = child.children.iter().map(fused_row).collect();
    OpMetrics {
        name: facts.name().to_owned(),
        category: facts.category().to_owned(),
        deduplicated_name: facts.deduplicated_name().to_owned(),
        provenance: facts.full_op_name(),
        long_name: facts.expression(),
        occurrences: 1,
        num_cores: 1,
        children: (!children.is_empty()).then(|| OpMetricsDb { metrics_db: children, ..OpMetricsDb::default() }),
        ..OpMetrics::default()
    }
}

/// Stands for a line number that is not known.
pub const UNKNOWN_LINE: i32 = -1;

/// The place of an instruction in the user's program.
pub fn source_of(instruction: &InstructionFacts<'_>) -> SourceInfo {
    let source = instruction.source();
    // parity: without a file the line is unknown, even where the metadata has a number; with one, 0 stays 0.
    let line_number = if source.file.is_empty() { UNKNOWN_LINE } else { source.line };
    SourceInfo { file_name: source.file, line_number, stack_frame: source.stack }
}
