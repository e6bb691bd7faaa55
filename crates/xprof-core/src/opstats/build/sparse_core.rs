//! Work that TensorCores hand to SparseCores.
//!
//! Takes the SparseCore planes, gives a table per hand-over, to be shown below the TensorCore op that made it.

use std::collections::BTreeMap;

use xprof_proto::tensorflow::profiler::OpMetricsDb;
use xprof_proto::tensorflow::profiler::op_metrics::TpuCoreType;

use super::modules::TraceModules;
use super::op_table::{OpTable, to_message};
use super::step_ops::StepOps;
use super::tpu_events::{RareFacts, decode_facts};
use super::tpu_facts::PlaneFacts;
use super::tpu_ops::op_row;
use crate::opstats::merge::{NumCores, OpMetricsDbCombiner};
use crate::prep::Timespan;
use crate::prep::timespan::device_span;
use crate::xspace::schema::line_names;
use crate::xspace::{Line, StatKind};

/// Ids of the core and of the hand-over.
type OffloadId = (u64, u64);

/// Finished tables by hand-over.
#[derive(Debug, Default)]
pub struct Offloads {
    tables: BTreeMap<OffloadId, Offload>,
}

/// The table of one hand-over.
#[derive(Debug)]
pub struct Offload {
    db: OpMetricsDb,
}

impl Offload {
    /// This table merged into the children that an op has already.
    pub fn merged_into(&self, children: Option<OpMetricsDb>) -> OpMetricsDb {
        let mut combiner = OpMetricsDbCombiner::new();
        if let Some(children) = children {
            combiner.merge(&children, NumCores::Add);
        }
        combiner.merge(&self.db, NumCores::Ignore);
        combiner.finish()
    }
}

impl Offloads {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The table of a hand-over.
    pub fn get(&self, core_id: u64, start_id: u64) -> Option<&Offload> {
        self.tables.get(&(core_id, start_id))
    }

    /// Adds the hand-overs of a SparseCore plane.
    pub fn add_plane(&mut self, facts: &PlaneFacts<'_>, modules: &TraceModules) {
        let offloads = offload_modules(facts);
        if offloads.is_empty() {
            return;
        }
        // Hand-overs take the place of steps: each has its sums and its own stack of open ops.
        let mut sums: BTreeMap<OffloadId, StepOps> = BTreeMap::new();
        for line in facts.plane.lines.iter().filter(|l| l.name == line_names::SPARSE_CORE_OPS) {
            assign(facts, line, &offloads, &mut sums);
        }
        let mut durations: BTreeMap<OffloadId, u64> = BTreeMap::new();
        for (span, id) in &offloads {
            let sum = durations.entry(*id).or_default();
            *sum = sum.wrapping_add(span.duration_ps);
        }
        for (id, total_ps) in durations {
            let ops = sums.remove(&id).unwrap_or_default();
            let offload = Offload { db: finish(facts, &ops, total_ps, modules) };
            // A hand-over that two planes claim belongs to the first one.
            self.tables.entry(id).or_insert(offload);
        }
    }
}

/// Modules that ran for a TensorCore, by the device's clock; of modules with equal spans the first stays.
fn offload_modules(facts: &PlaneFacts<'_>) -> Vec<(Timespan, OffloadId)> {
    let mut found = Vec::new();
    for line in facts.plane.lines.iter().filter(|l| l.name == line_names::SPARSE_CORE_MODULES) {
        if !line.stat_kinds.contains(StatKind::OffloadCoreId) {
            continue;
        }
        for event in line.events(facts.plane) {
            let ids = (event.stat(StatKind::OffloadCoreId), event.stat(StatKind::TcOffloadStartId));
            if let (Some(core), Some(start)) = ids {
                found.push((device_span(&event), (core.uint(), start.uint())));
            }
        }
    }
    found.sort_by_key(|(span, _)| span.order());
    found.dedup_by_key(|(span, _)| *span);
    found
}

/// Gives each op to the module that includes it; the cursor never goes back.
fn assign(
    facts: &PlaneFacts<'_>,
    line: &Line,
    offloads: &[(Timespan, OffloadId)],
    sums: &mut BTreeMap<OffloadId, StepOps>,
) {
    let mut cursor = 0;
    let mut rare = RareFacts::default();
    for idx in 0..line.events.len() {
        let event = decode_facts(facts, line, idx, &mut rare);
        while offloads.get(cursor).is_some_and(|(span, _)| span.end_ps() < event.device.begin_ps) {
            cursor += 1;
        }
        if let Some((span, id)) = offloads.get(cursor)
            && span.includes(event.device)
        {
            sums.entry(*id).or_default().event(0, &event, &rare, facts);
        }
    }
}

fn finish(facts: &PlaneFacts<'_>, ops: &StepOps, total_ps: u64, modules: &TraceModules) -> OpMetricsDb {
    let core_type = TpuCoreType::SparseCore as i32;
    let mut table = OpTable::default();
    for entry in &ops.entries {
        let mut row = op_row(facts, &entry.sums, &ops.rare(entry), 0, core_type);
        row.children = facts.children(entry.sums.row);
        table.totals.total_op_time_ps = table.totals.total_op_time_ps.wrapping_add(entry.sums.self_time_ps);
        table.rows.push(row);
    }
    table.add_idle(total_ps.max(table.totals.total_op_time_ps));
    let mut db = to_message(table);
    for row in &mut db.metrics_db {
        let fused = modules.fused_rows(row.hlo_module_id, &row.name);
        if !fused.is_empty() {
            row.children.get_or_insert_default().metrics_db.extend(fused);
        }
    }
    db
}
