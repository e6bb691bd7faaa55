//! What the HLO modules of a trace say about an instruction: its framework op and its source line.
//!
//! Takes the metadata planes; reads a module when the first of its instructions is asked for.

use std::sync::OnceLock;

use rustc_hash::FxHashMap;

use crate::hlo::HloModuleFacts;
use crate::xspace::schema::plane_names;
use crate::xspace::{Plane, StatKind, XSpace};

/// The modules of a trace by program id.
#[derive(Debug)]
pub(super) struct Symbols<'a> {
    modules: FxHashMap<u64, Module<'a>>,
}

#[derive(Debug)]
struct Module<'a> {
    plane: &'a Plane,
    row: u32,
    facts: OnceLock<Option<HloModuleFacts>>,
}

/// What is known of one instruction; empty where nothing is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Symbol {
    /// `name:type` of the framework op; `:` if the instruction is known but has neither.
    pub op: String,
    /// `file:line`, without folders.
    pub source: String,
}

impl<'a> Symbols<'a> {
    pub(super) fn new(space: &'a XSpace) -> Self {
        let mut modules = FxHashMap::default();
        for plane in space.planes.iter().filter(|p| *p.name == *plane_names::METADATA) {
            for (row, metadata) in plane.event_metadata.iter().enumerate() {
                let module = Module { plane, row: row as u32, facts: OnceLock::new() };
                modules.insert(metadata.id as u64, module);
            }
        }
        Self { modules }
    }

    /// The symbol of an instruction of a program.
    pub(super) fn find(&self, program_id: u64, instruction: &str) -> Option<Symbol> {
        let module = self.modules.get(&program_id)?;
        // A module that cannot be read is reported by op statistics; here its instructions are just unknown.
        let facts = module.facts.get_or_init(|| {
            let proto = module.plane.metadata_stat(module.plane.metadata(module.row), StatKind::HloProto)?;
            HloModuleFacts::from_proto(&module.plane.share(proto.bytes()), false).ok()
        });
        let found = facts.as_ref()?.find(instruction)?;
        // `parity:` call stacks are not asked, only the instruction's own place.
        let metadata = facts.as_ref()?.module().metadata(found.instruction());
        let file = facts.as_ref()?.module().text(metadata.source_file).rsplit('/').next().unwrap_or_default();
        let source = if file.is_empty() { String::new() } else { format!("{file}:{}", metadata.source_line) };
        Some(Symbol { op: found.full_op_name(), source })
    }
}
