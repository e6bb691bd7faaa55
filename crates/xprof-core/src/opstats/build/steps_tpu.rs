//! Steps of TPUs: what each core did during each step that all cores have.

use std::collections::BTreeMap;

use rayon::prelude::*;
use xprof_proto::tensorflow::profiler::{
    AllReduceDbResult, AllReduceInfo, GenericStepBreakdown, OpMetricsDb, PerCoreStepInfo, SparseCoreStepBreakdown,
    StepDatabaseResult,
};

use super::op_table::{NumCores, OpId, OpRow, OpTable, OpText, OpTotals, TableMerger, idle_last, to_message};
use super::step_breakdown::step_result;
use super::step_ops::StepOps;
use super::tpu::WalkedPlane;
use super::tpu_ops::op_row;
use crate::opstats::core_ids;
use crate::prep::Timespan;
use crate::prep::timespan::device_span;
use crate::xspace::schema::line_names;

/// Category of a SparseCore's work in a step of which only the begin and the end were recorded.
const SPARSE_CORE_OPS: &str = "Sparse Core Ops";

/// One step on one core.
#[derive(Debug)]
struct CoreStep<'t> {
    marker: Timespan,
    table: OpTable<'t>,
    collectives: Vec<AllReduceInfo>,
}

/// The steps of one core by group id.
#[derive(Debug)]
pub struct PlaneSteps<'t> {
    core_id: u32,
    is_sparse_core: bool,
    steps: BTreeMap<i64, CoreStep<'t>>,
}

/// The steps that a plane has both a marker and ops of.
pub fn plane_steps<'t>(walked: &'t WalkedPlane<'_, '_>) -> PlaneSteps<'t> {
    let is_sparse_core = walked.is_sparse_core;
    let plane_id = walked.plane().id as u32;
    let core_id = if is_sparse_core { core_ids::sparse(plane_id) } else { plane_id };
    let markers = markers(walked);
    let mut steps: BTreeMap<i64, CoreStep<'t>> = BTreeMap::new();
    for (_, line) in walked.lines.iter().filter(|_| !markers.is_empty()) {
        add_line(walked, &line.steps, &markers, &mut steps);
    }
    if is_sparse_core {
        for (&group_id, &marker) in &markers {
            let core = || CoreStep { marker, table: active_table(walked, marker), collectives: Vec::new() };
            steps.entry(group_id).or_insert_with(core);
        }
    }
    PlaneSteps { core_id, is_sparse_core, steps }
}

/// The longest marker of each group; of equally long ones the first.
fn markers(walked: &WalkedPlane<'_, '_>) -> BTreeMap<i64, Timespan> {
    let name = if walked.is_sparse_core { line_names::SPARSE_CORE_STEPS } else { line_names::STEPS };
    let mut markers: BTreeMap<i64, Timespan> = BTreeMap::new();
    for line in walked.plane().lines.iter().filter(|l| l.name == name) {
        for event in line.events(walked.plane()) {
            let Some(group_id) = event.group_id() else { continue };
            let span = device_span(&event);
            let longest = markers.entry(group_id).or_insert(span);
            if span.duration_ps > longest.duration_ps {
                *longest = span;
            }
        }
    }
    markers
}

fn add_line<'t>(
    walked: &'t WalkedPlane<'_, '_>,
    ops: &StepOps,
    markers: &BTreeMap<i64, Timespan>,
    steps: &mut BTreeMap<i64, CoreStep<'t>>,
) {
    let mut tables: Vec<OpTable<'t>> = vec![OpTable::default(); ops.group_ids.len()];
    for entry in &ops.entries {
        let Some(table) = tables.get_mut(entry.group as usize) else {
            continue;
        };
        let mut row = op_row(walked.facts, &entry.sums, &ops.rare(entry), 0, 0);
        row.children = walked.facts.children(entry.sums.row);
        table.totals.total_op_time_ps = table.totals.total_op_time_ps.wrapping_add(entry.sums.self_time_ps);
        table.rows.push(row);
    }
    for (group, (&group_id, table)) in ops.group_ids.iter().zip(tables).enumerate() {
        let Some(&marker) = markers.get(&group_id) else {
            continue;
        };
        let core = || CoreStep { marker, table: OpTable::default(), collectives: Vec::new() };
        let step = steps.entry(group_id).or_insert_with(core);
        step.table.totals.total_op_time_ps =
            step.table.totals.total_op_time_ps.wrapping_add(table.totals.total_op_time_ps);
        step.table.totals.normalized_total_op_time_ps =
            step.table.totals.normalized_total_op_time_ps.wrapping_add(ops.normalized_self_ps(group) as u64);
        step.table.rows.extend(table.rows);
    }
    for (group, info) in &ops.collectives {
        let group_id = ops.group_ids.get(*group as usize);
        if let Some(step) = group_id.and_then(|id| steps.get_mut(id)) {
            step.collectives.push(info.clone());
        }
    }
}

/// Stands for the ops of a step in which none was grouped: the time at work, if there is any.
fn active_table<'t>(walked: &WalkedPlane<'_, '_>, marker: Timespan) -> OpTable<'t> {
    let mut table = OpTable::default();
    let busy_ps = walked.activity.probable.within_ps(marker.begin_ps, marker.end_ps());
    if busy_ps > 0 {
        table.totals.total_op_time_ps = busy_ps;
        table.rows.push(OpRow {
            op: OpId::IDLE, // never merged with others
            text: OpText { name: SPARSE_CORE_OPS, category: SPARSE_CORE_OPS, ..OpText::default() },
            totals: OpTotals { occurrences: 1, time_ps: busy_ps, self_time_ps: busy_ps, ..OpTotals::default() },
            children: None,
        });
    }
    table
}

/// The steps that all planes with steps have, and the ops of all of them.
pub fn step_db(
    walked: &[WalkedPlane<'_, '_>],
    planes: &[PlaneSteps<'_>],
    n_ops: usize,
) -> (StepDatabaseResult, OpMetricsDb) {
    let common = intersect(planes);
    // SparseCores that worked but have no steps of their own appear in everybody's.
    let unstepped: Vec<&WalkedPlane<'_, '_>> = walked
        .iter()
        .zip(planes)
        .filter(|(w, p)| p.is_sparse_core && p.steps.is_empty() && !w.activity.probable.is_empty())
        .map(|(w, _)| w)
        .collect();
    let common: Vec<_> = common.into_iter().collect();
    let made: Vec<(PerCoreStepInfo, OpTable<'_>)> = common
        .par_iter()
        .map_init(
            || TableMerger::new(n_ops, NumCores::Add),
            |merger, (group_id, members)| one_step(*group_id, members, planes, &unstepped, merger),
        )
        .collect();
    let mut all = TableMerger::new(n_ops, NumCores::Add);
    let mut db = StepDatabaseResult::default();
    for (mut info, table) in made {
        all.merge(&table);
        info.hlo_metrics_db = Some(if table.rows.is_empty() { OpMetricsDb::default() } else { to_message(table) });
        db.step_sequence.push(info);
    }
    let mut all = all.take();
    idle_last(&mut all);
    let ops = if db.step_sequence.is_empty() { OpMetricsDb::default() } else { to_message(all) };
    (db, ops)
}

/// Group ids that all planes with steps have, each with the planes.
///
/// `parity:` should nothing be left at some plane, the next plane's steps are taken as if it were the first.
fn intersect(planes: &[PlaneSteps<'_>]) -> BTreeMap<i64, Vec<usize>> {
    let mut common: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (idx, plane) in planes.iter().enumerate().filter(|(_, plane)| !plane.steps.is_empty()) {
        if common.is_empty() {
            common = plane.steps.keys().map(|&group_id| (group_id, vec![idx])).collect();
            continue;
        }
        common.retain(|group_id, members| {
            let has_step = plane.steps.contains_key(group_id);
            if has_step {
                members.push(idx);
            }
            has_step
        });
    }
    common
}

fn one_step<'t>(
    group_id: i64,
    members: &[usize],
    planes: &[PlaneSteps<'t>],
    unstepped: &[&WalkedPlane<'_, '_>],
    merger: &mut TableMerger<'t>,
) -> (PerCoreStepInfo, OpTable<'t>) {
    let step_num = group_id as u32;
    let cores: Vec<(&PlaneSteps<'t>, &CoreStep<'t>)> = members
        .iter()
        .filter_map(|&idx| planes.get(idx))
        .filter_map(|plane| Some((plane, plane.steps.get(&group_id)?)))
        .collect();
    let mut time = Timespan::default();
    for (_, core) in &cores {
        if core.marker.duration_ps > time.duration_ps {
            time = core.marker;
        }
    }
    let mut info = PerCoreStepInfo { step_num, ..PerCoreStepInfo::default() };
    if time.duration_ps == 0 {
        return (info, OpTable::default());
    }
    for (plane, core) in &cores {
        let core_time = if plane.is_sparse_core { core.marker } else { time };
        let mut table = core.table.clone();
        table.add_idle(table.totals.total_op_time_ps.max(core_time.duration_ps));
        let mut breakdown = GenericStepBreakdown::default();
        for row in &table.rows {
            let sum = breakdown.category_ps.entry(row.text.category.to_owned()).or_default();
            *sum = sum.wrapping_add(row.totals.self_time_ps);
        }
        info.step_info_per_core
            .insert(plane.core_id, step_result(step_num, String::new(), core_time, Some(&breakdown)));
        if !core.collectives.is_empty() {
            let db = AllReduceDbResult { all_reduce_info: core.collectives.clone() };
            info.all_reduce_db_per_core.insert(plane.core_id, db);
        }
        if !plane.is_sparse_core {
            merger.merge(&table);
        }
    }
    for walked in unstepped {
        let busy_ps = walked.activity.probable.within_ps(time.begin_ps, time.end_ps());
        let breakdown = SparseCoreStepBreakdown {
            sc_compute_ps: busy_ps,
            sc_busy_ps: busy_ps,
            sc_idle_ps: time.duration_ps.saturating_sub(busy_ps),
            ..SparseCoreStepBreakdown::default()
        };
        let core_id = core_ids::sparse(walked.plane().id as u32);
        info.step_info_per_core.insert(core_id, step_result(step_num, String::new(), time, Some(&breakdown)));
    }
    let mut table = merger.take();
    idle_last(&mut table);
    (info, table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(group_ids: &[i64]) -> PlaneSteps<'static> {
        let step = || CoreStep { marker: Timespan::new(0, 1), table: OpTable::default(), collectives: Vec::new() };
        PlaneSteps { core_id: 0, is_sparse_core: false, steps: group_ids.iter().map(|&id| (id, step())).collect() }
    }

    fn check(planes: &[&[i64]], expect: &[(i64, &[usize])]) {
        let planes: Vec<_> = planes.iter().map(|ids| plane(ids)).collect();
        let got = intersect(&planes);
        let got: Vec<_> = got.iter().map(|(&id, members)| (id, members.as_slice())).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn only_common_steps_stay() {
        check(&[&[0, 1, 2], &[1, 2, 3]], &[(1, &[0, 1]), (2, &[0, 1])]);
        check(&[&[], &[1, 2]], &[(1, &[1]), (2, &[1])]);
        check(&[&[0], &[1], &[2, 3]], &[(2, &[2]), (3, &[2])]);
    }
}
