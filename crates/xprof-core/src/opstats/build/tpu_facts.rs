//! What all events of one name share on a TPU plane, computed once per metadata row and not once per event.
//!
//! Takes a plane's metadata, gives a dense vector of [`RowFacts`]. It must not look at events.

use std::borrow::Cow;

use prost::Message as _;
use xprof_proto::tensorflow::profiler::op_metrics::MemoryAccessed;
use xprof_proto::tensorflow::profiler::{MemoryAccessBreakdown, OpMetrics, OpMetricsDb, SourceInfo};

use super::op_table::{OpId, OpIds, OpText};
use crate::xspace::{EventMetadata, NO_METADATA, Plane, StatKind, StatValue};

/// Number of an op within its plane: rows of equal program and symbol have the same.
pub const NO_KEY: u32 = u32::MAX;

/// Whether an event of this row means that the core works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duty {
    /// It does.
    #[default]
    On,
    /// It waits or moves data.
    Off,
    /// It does, but not for sure: a custom call of unknown cost, unless the event itself has a cost.
    Unsure,
}

/// Categories in which a core waits for something else.
const OFF_DUTY: [&str; 8] = [
    "infeed",
    "outfeed",
    "host send",
    "host send-done",
    "host recv",
    "host recv-done",
    "async-done",
    "megacore fusion",
];

/// Facts of one metadata row.
#[derive(Debug, Default)]
pub struct RowFacts<'a> {
    /// Number of the op within the plane, [`NO_KEY`] if events of this row are no ops.
    pub key: u32,
    /// Number of the op within the host.
    pub op: OpId,
    /// Program.
    pub module_id: u64,
    /// Short name.
    pub name: &'a str,
    /// Expression.
    pub long_name: &'a str,
    /// HLO category.
    pub category: Cow<'a, str>,
    /// Whether its events are work.
    pub duty: Duty,
    /// Full name of the framework op; if it is not empty, events of the row appear on the line of framework ops.
    pub provenance: Cow<'a, str>,
    /// Name of the op that this one is a copy of.
    pub deduplicated_name: Cow<'a, str>,
    /// Place in the user's program.
    pub source: Option<SourceInfo>,
    /// Operations of one execution.
    pub flops: u64,
    /// Operations of one execution that the model needs.
    pub model_flops: u64,
    /// Bytes that one execution moves.
    pub bytes_accessed: u64,
    /// The same by memory and direction.
    pub breakdown: Vec<MemoryAccessed>,
}

impl Default for OpId {
    fn default() -> Self {
        Self::IDLE
    }
}

impl RowFacts<'_> {
    /// Whether events of the row are ops.
    pub fn is_op(&self) -> bool {
        self.key != NO_KEY
    }

    /// What describes the op.
    pub fn text(&self, core_type: i32) -> OpText<'_> {
        OpText {
            module_id: self.module_id,
            name: self.name,
            category: &self.category,
            provenance: &self.provenance,
            deduplicated_name: &self.deduplicated_name,
            long_name: self.long_name,
            source: self.source.as_ref(),
            core_type,
        }
    }
}

/// Facts of a plane.
#[derive(Debug)]
pub struct PlaneFacts<'a> {
    /// The plane.
    pub plane: &'a Plane,
    /// One per metadata row, and a last one for events without metadata.
    pub rows: Vec<RowFacts<'a>>,
    /// How many keys there are.
    pub n_keys: usize,
    /// [`RowFacts::key`] by row: what the walk over events reads lies close together.
    pub keys: Vec<u32>,
    /// [`RowFacts::duty`] by row.
    pub duties: Vec<Duty>,
    /// Whether [`RowFacts::provenance`] is not empty, by row.
    pub has_tf_op: Vec<bool>,
}

impl<'a> PlaneFacts<'a> {
    /// Reads the metadata of a plane.
    pub fn of(plane: &'a Plane) -> Self {
        let mut keys = rustc_hash::FxHashMap::default();
        let mut rows: Vec<_> = plane
            .event_metadata
            .iter()
            .map(|metadata| {
                let (mut row, symbol) = row_facts(plane, metadata);
                row.key = symbol.map_or(NO_KEY, |symbol_id| {
                    let next = keys.len() as u32;
                    *keys.entry((row.module_id, symbol_id)).or_insert(next)
                });
                row
            })
            .collect();
        rows.push(RowFacts { key: NO_KEY, ..RowFacts::default() });
        Self {
            plane,
            n_keys: keys.len(),
            keys: rows.iter().map(|row| row.key).collect(),
            duties: rows.iter().map(|row| row.duty).collect(),
            has_tf_op: rows.iter().map(|row| !row.provenance.is_empty()).collect(),
            rows,
        }
    }

    /// Numbers the plane's ops within the host.
    pub fn number_ops(&mut self, ids: &mut OpIds<'a>) {
        for row in self.rows.iter_mut().filter(|row| row.key != NO_KEY) {
            row.op = ids.id(row.module_id, row.name);
        }
    }

    /// Index of [`PlaneFacts::rows`] for an event's metadata row.
    #[inline]
    pub fn index(&self, metadata_row: u32) -> usize {
        (metadata_row as usize).min(self.rows.len() - 1)
    }

    /// The ops that an op's metadata names as its children, with theirs, if there are any.
    pub fn children(&self, metadata_row: u32) -> Option<Box<OpMetricsDb>> {
        let mut budget = self.rows.len().saturating_mul(4).max(MIN_CHILD_BUDGET);
        self.children_within(metadata_row, MAX_CHILD_DEPTH, &mut budget).map(Box::new)
    }

    fn children_within(&self, metadata_row: u32, depth: usize, budget: &mut usize) -> Option<OpMetricsDb> {
        let ids = &self.plane.metadata(metadata_row).child_ids;
        if ids.is_empty() || depth == 0 {
            return None;
        }
        let mut db = OpMetricsDb::default();
        for &id in ids {
            let Some(left) = budget.checked_sub(1) else { break };
            *budget = left;
            let row = self.plane.event_row(id).unwrap_or(NO_METADATA);
            let facts = &self.rows[self.index(row)];
            let mut child = child_metrics(facts);
            child.children = self.children_within(row, depth - 1, budget);
            db.metrics_db.push(child);
        }
        Some(db)
    }
}

/// Children may name each other in a circle; real programs nest a few levels.
const MAX_CHILD_DEPTH: usize = 32;
const MIN_CHILD_BUDGET: usize = 1024;

/// A child was not run on its own, so it has no core, and its model's operations are only what the metadata says.
fn child_metrics(facts: &RowFacts<'_>) -> OpMetrics {
    OpMetrics {
        name: facts.name.to_owned(),
        long_name: facts.long_name.to_owned(),
        hlo_module_id: facts.module_id,
        category: facts.category.clone().into_owned(),
        provenance: facts.provenance.clone().into_owned(),
        deduplicated_name: facts.deduplicated_name.clone().into_owned(),
        source_info: facts.source.clone(),
        flops: facts.flops,
        flops_v2: facts.flops as f64,
        model_flops: facts.model_flops,
        model_flops_v2: facts.model_flops as f64,
        bytes_accessed: facts.bytes_accessed,
        memory_accessed_breakdown: facts.breakdown.clone(),
        occurrences: 1,
        ..OpMetrics::default()
    }
}

/// The facts of a row without its key, and its symbol if it is an op.
fn row_facts<'a>(plane: &'a Plane, metadata: &'a EventMetadata) -> (RowFacts<'a>, Option<u64>) {
    let mut row = RowFacts { key: NO_KEY, name: metadata.shown_name(), ..RowFacts::default() };
    if !metadata.display_name.is_empty() {
        row.long_name = &metadata.name;
    }
    let (mut program, mut symbol) = (None, None);
    let (mut source, mut stack): (Option<StatValue<'_>>, Option<StatValue<'_>>) = (None, None);
    let mut seen = crate::xspace::StatKindSet::default();
    for stat in plane.metadata_stats(metadata) {
        let Some(kind) = stat.kind else { continue };
        // Of several stats of one kind the first one counts.
        if seen.contains(kind) {
            continue;
        }
        seen.insert(kind);
        match kind {
            StatKind::ProgramId => program = Some(stat.value.int_or_uint()),
            StatKind::SymbolId => symbol = Some(stat.value.int_or_uint()),
            StatKind::HloCategory => row.category = stat.value.text(),
            StatKind::TfOp => row.provenance = stat.value.text(),
            StatKind::DeduplicatedName => row.deduplicated_name = stat.value.text(),
            StatKind::Flops => row.flops = stat.value.int_or_uint(),
            StatKind::ModelFlops => row.model_flops = stat.value.int_or_uint(),
            StatKind::BytesAccessed => row.bytes_accessed = stat.value.int_or_uint(),
            StatKind::MemoryAccessBreakdown => row.breakdown = breakdown(stat.value.bytes()),
            StatKind::Source => source = Some(stat.value),
            StatKind::SourceStack => stack = Some(stat.value),
            _ => {}
        }
    }
    row.duty = duty(&row.category, row.flops, row.model_flops);
    if source.is_some() || stack.is_some() {
        row.source = Some(source_info(
            &source.map(StatValue::text).unwrap_or_default(),
            stack.map_or_else(String::new, |v| v.text().into_owned()),
        ));
    }
    row.module_id = program.unwrap_or_default();
    // An op needs both, and symbol 0 stands for none.
    let symbol = program.and(symbol).filter(|&s| s != 0);
    (row, symbol)
}

fn duty(category: &str, flops: u64, model_flops: u64) -> Duty {
    if OFF_DUTY.contains(&category) {
        Duty::Off
    } else if category == "custom-call" && flops == 0 && model_flops == 0 {
        Duty::Unsure
    } else {
        Duty::On
    }
}

/// A damaged breakdown counts as none.
fn breakdown(bytes: &[u8]) -> Vec<MemoryAccessed> {
    MemoryAccessBreakdown::decode(bytes).map(|b| b.memory_accessed).unwrap_or_default()
}

/// `<file>:<line>`, split at the first colon; a text of another form leaves file and line empty.
fn source_info(source: &str, stack_frame: String) -> SourceInfo {
    let place = source.split_once(':').and_then(|(file, line)| Some((file, line.trim().parse::<i32>().ok()?)));
    let (file_name, line_number) = place.map_or((String::new(), 0), |(file, line)| (file.to_owned(), line));
    SourceInfo { file_name, line_number, stack_frame }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_sources_at_the_first_colon() {
        for (source, file, line) in [
            ("model.py:12", "model.py", 12),
            ("C:\\model.py:12", "", 0),
            ("model.py", "", 0),
            ("", "", 0),
            (":7", "", 7),
        ] {
            let info = source_info(source, "s".into());
            assert_eq!((info.file_name.as_str(), info.line_number, info.stack_frame.as_str()), (file, line, "s"));
        }
    }

    #[test]
    fn custom_calls_without_cost_are_unsure() {
        for (category, flops, model_flops, expect) in [
            ("", 0, 0, Duty::On),
            ("loop fusion", 0, 0, Duty::On),
            ("custom-call", 0, 0, Duty::Unsure),
            ("custom-call", 10, 0, Duty::On),
            ("custom-call", 0, 10, Duty::On),
            ("infeed", 10, 10, Duty::Off),
            ("async-done", 0, 0, Duty::Off),
        ] {
            assert_eq!(duty(category, flops, model_flops), expect, "{category}");
        }
    }
}
