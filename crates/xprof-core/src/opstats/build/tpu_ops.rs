//! Op metrics of a TPU plane: the sums of its walk, turned into the rows of a table.

use xprof_proto::tensorflow::profiler::OpMetricsDb;
use xprof_proto::tensorflow::profiler::op_metrics::TpuCoreType;

use super::op_table::{OpRow, OpTable, OpTotals};
use super::sparse_core::Offloads;
use super::tpu_facts::PlaneFacts;
use super::tpu_walk::{LineSums, OpSums, RareSums, Window};
use crate::xspace::{Line, StatKind};

/// The table of a TensorCore plane, with its idle row.
///
/// `lines` are the op lines with what the walk gave for each, in the order of the file.
pub fn plane_table<'t>(
    facts: &'t PlaneFacts<'_>,
    lines: &[(&Line, &LineSums)],
    window: Window,
    offloads: &Offloads,
) -> OpTable<'t> {
    let core_type = TpuCoreType::TensorCore as i32;
    let mut table = OpTable::default();
    for (key, first) in keys_in_order(facts, lines) {
        let (mut sums, mut rare) = (OpSums::default(), RareSums::default());
        for (_, line) in lines {
            let Some(part) = line.ops.get(key).filter(|part| part.occurrences > 0) else {
                continue;
            };
            sums.add(part);
            if let Some(part) = line.rare.get(key) {
                rare.add(part);
            }
        }
        table.totals.total_op_time_ps = table.totals.total_op_time_ps.wrapping_add(sums.self_time_ps);
        // Where an event does not say how its clock ran, it ran at the nominal rate.
        let unscaled_ps = sums.time_ps.wrapping_sub(rare.scalable_time_ps);
        let mut row = op_row(facts, &sums, &rare, unscaled_ps, core_type);
        row.children = children_of(facts, &sums, lines[first].0, offloads);
        table.rows.push(row);
    }
    table.totals.normalized_total_op_time_ps = normalized_op_time_ps(lines);
    table.add_idle(table.totals.total_op_time_ps.max(window.duration_ps()));
    table
}

/// Keys that have events, with the index of the first line that has one, in order of their first event.
fn keys_in_order(facts: &PlaneFacts<'_>, lines: &[(&Line, &LineSums)]) -> Vec<(usize, usize)> {
    let mut keys = Vec::new();
    let mut seen = vec![false; facts.n_keys];
    for (l, (_, line)) in lines.iter().enumerate() {
        let mut new: Vec<_> = line
            .ops
            .iter()
            .enumerate()
            .filter(|(key, sums)| sums.occurrences > 0 && !seen.get(*key).copied().unwrap_or(true))
            .map(|(key, sums)| (sums.event, key))
            .collect();
        new.sort_unstable();
        for (_, key) in new {
            seen[key] = true;
            keys.push((key, l));
        }
    }
    keys
}

/// Without a scaled clock this is the sum of self times, exactly.
fn normalized_op_time_ps(lines: &[(&Line, &LineSums)]) -> u64 {
    let (mut exact_ps, mut scaled_ps) = (0u64, 0.0);
    for (_, line) in lines {
        if let Some(part_ps) = line.normalized_self_ps {
            scaled_ps += part_ps;
        } else {
            let counted = line.ops.iter().filter(|sums| sums.occurrences > 0);
            exact_ps = counted.fold(exact_ps, |sum, sums| sum.wrapping_add(sums.self_time_ps));
        }
    }
    exact_ps.wrapping_add(scaled_ps as u64)
}

/// A row without children. `unscaled_ps` is the time to be counted as it is as time at nominal clock rate.
pub fn op_row<'t>(
    facts: &'t PlaneFacts<'_>,
    sums: &OpSums,
    rare: &RareSums,
    unscaled_ps: u64,
    core_type: i32,
) -> OpRow<'t> {
    let row = &facts.rows[facts.index(sums.row)];
    let mut totals = OpTotals {
        occurrences: sums.occurrences,
        num_cores: 1,
        time_ps: sums.time_ps,
        self_time_ps: sums.self_time_ps,
        min_time_ps: sums.min_time_ps,
        normalized_time_ps: rare.scaled_time_ps.wrapping_add(unscaled_ps),
        dma_stall_ps: rare.dma_stall_ps,
        vdd_energy_j: rare.vdd_energy_j,
        estimated_flops: rare.estimated_flops,
        estimated_bytes: rare.estimated_bytes,
        ..OpTotals::default()
    };
    totals.set_costs(row.flops, row.model_flops, row.bytes_accessed);
    totals.breakdown.extend(row.breakdown.iter().copied());
    for part in &mut totals.breakdown {
        part.bytes_accessed = part.bytes_accessed.wrapping_mul(u64::from(sums.occurrences));
    }
    OpRow { op: row.op, text: row.text(core_type), totals, children: None }
}

/// What the first event of an op has inside it: children by metadata, and work that it handed to a SparseCore.
fn children_of(facts: &PlaneFacts<'_>, sums: &OpSums, line: &Line, offloads: &Offloads) -> Option<Box<OpMetricsDb>> {
    let children = facts.children(sums.row);
    if offloads.is_empty() || !line.stat_kinds.contains(StatKind::OffloadCoreId) {
        return children;
    }
    let Some(event) = line.event(facts.plane, sums.event as usize) else {
        return children;
    };
    let (Some(core), Some(start)) = (event.stat(StatKind::OffloadCoreId), event.stat(StatKind::TcOffloadStartId))
    else {
        return children;
    };
    // parity: one id is read as unsigned and the other as signed, so the link works only where they are stored so.
    match offloads.get(core.uint(), start.int() as u64) {
        Some(offload) => Some(Box::new(offload.merged_into(children.map(|c| *c)))),
        None => children,
    }
}
