//! The TPU branch: walks every line of interest once and turns the sums into tables, duty cycle and steps.

use rayon::prelude::*;
use xprof_proto::tensorflow::profiler::{OpMetricsDb, StepDatabaseResult};

use super::duty_cycle::{CoreActivity, duty_cycle};
use super::modules::TraceModules;
use super::op_table::{NumCores, OpIds, TableMerger, idle_last, to_message};
use super::sparse_core::Offloads;
use super::step_breakdown::Steps;
use super::steps_tpu::{self, PlaneSteps};
use super::tpu_facts::PlaneFacts;
use super::tpu_ops::plane_table;
use super::tpu_walk::{LineSums, Wanted, Window, is_duty_line, is_op_line, walk};
use super::{core_details, idle_to_input};
use crate::prep::timespan::device_span;
use crate::prep::{Prepared, Timespan, planes};
use crate::xspace::schema::line_names;
use crate::xspace::{Line, Plane, StatKind};
use crate::{Diag, Result};

/// What the TPU planes of a host give.
#[derive(Debug)]
pub struct TpuStats {
    /// Ops of all cores.
    pub device_ops: OpMetricsDb,
    /// Steps.
    pub steps: StepDatabaseResult,
    /// Ops of all steps.
    pub step_ops: OpMetricsDb,
}

/// A plane with what was found on its lines.
#[derive(Debug)]
pub struct WalkedPlane<'w, 'a> {
    /// Its metadata.
    pub facts: &'w PlaneFacts<'a>,
    /// Whether it is a SparseCore.
    pub is_sparse_core: bool,
    /// Op lines by index, with their sums.
    pub lines: Vec<(usize, LineSums)>,
    /// Earliest begin and latest end by the device's clock.
    pub window: Window,
    /// When it worked.
    pub activity: CoreActivity,
}

impl<'a> WalkedPlane<'_, 'a> {
    /// The plane.
    pub fn plane(&self) -> &'a Plane {
        self.facts.plane
    }
}

/// Op metrics and steps of the TPU planes.
pub fn tpu_stats(
    prepared: &Prepared,
    planes: &[&Plane],
    host_steps: Option<&Steps>,
    modules: &TraceModules,
    diag: &Diag,
) -> Result<TpuStats> {
    let mut facts: Vec<PlaneFacts<'_>> = planes.par_iter().map(|plane| PlaneFacts::of(plane)).collect();
    let mut ids = OpIds::new();
    for plane in &mut facts {
        plane.number_ops(&mut ids);
    }
    modules.build(facts.iter().flat_map(|p| p.rows.iter().filter(|r| r.is_op()).map(|r| r.module_id)));
    let walked: Vec<WalkedPlane<'_, '_>> =
        facts.par_iter().map(|facts| walk_plane(prepared, facts, diag)).collect::<Result<_>>()?;

    let mut offloads = Offloads::default();
    for plane in walked.iter().filter(|p| p.is_sparse_core) {
        offloads.add_plane(plane.facts, modules);
    }
    let device_ops = device_ops(&walked, &offloads, modules, ids.len());
    diag.check()?;
    let plane_steps: Vec<PlaneSteps<'_>> = walked.par_iter().map(steps_tpu::plane_steps).collect();
    let (mut steps, step_ops) = steps_tpu::step_db(&walked, &plane_steps, ids.len());
    if let Some(host_steps) = host_steps
        && !idle_to_input::has_infeed(&device_ops)
    {
        idle_to_input::attribute(&mut steps, host_steps);
    }
    Ok(TpuStats { device_ops, steps, step_ops })
}

fn walk_plane<'w, 'a>(prepared: &Prepared, facts: &'w PlaneFacts<'a>, diag: &Diag) -> Result<WalkedPlane<'w, 'a>> {
    let plane = facts.plane;
    let is_sparse_core = planes::sparse_core(&plane.name).is_some();
    let framework_window = !prepared.already_grouped && planes::tensor_core(&plane.name).is_some();
    let step_line = if is_sparse_core { line_names::SPARSE_CORE_STEPS } else { line_names::STEPS };
    let has_steps = plane.lines.iter().any(|l| l.name == step_line && !l.events.is_empty());
    let walks: Vec<Option<LineSums>> = plane
        .lines
        .par_iter()
        .map(|line| {
            let wanted = Wanted {
                ops: is_op_line(&line.name) && !is_sparse_core,
                duty: is_duty_line(&line.name),
                steps: has_steps && has_step_ops(line, is_sparse_core),
                framework_window,
            };
            let sums = is_op_line(&line.name).then(|| walk(facts, line, wanted, diag)).transpose();
            line.release();
            sums
        })
        .collect::<Result<_>>()?;

    let mut window = Window::default();
    let mut activity = CoreActivity { chip: core_details::chip_of(plane), ..CoreActivity::default() };
    let mut lines = Vec::new();
    for (idx, (line, sums)) in plane.lines.iter().zip(walks).enumerate() {
        match sums {
            Some(mut sums) => {
                window.include_window(sums.window);
                if is_duty_line(&line.name) {
                    activity.hull.expand_to_include(sums.hull);
                    activity.probable.append(std::mem::take(&mut sums.probable));
                    activity.sure.append(std::mem::take(&mut sums.sure));
                }
                lines.push((idx, sums));
            }
            None => other_line(facts, line, framework_window, &mut window, &mut activity.hull),
        }
    }
    activity.probable.normalize();
    activity.sure.normalize();
    Ok(WalkedPlane { facts, is_sparse_core, lines, window, activity })
}

/// Whether the ops of a line count for steps.
fn has_step_ops(line: &Line, is_sparse_core: bool) -> bool {
    if is_sparse_core { line.name == line_names::SPARSE_CORE_OPS } else { is_op_line(&line.name) && !line.is_derived() }
}

/// What a line without ops contributes: steps widen the window, modules the hull, framework ops the window.
fn other_line(facts: &PlaneFacts<'_>, line: &Line, framework_window: bool, window: &mut Window, hull: &mut Timespan) {
    if [line_names::STEPS, line_names::SPARSE_CORE_STEPS].contains(&&*line.name) {
        for event in line.events(facts.plane) {
            let span = device_span(&event);
            window.include(span.begin_ps, span.end_ps());
        }
    }
    if [line_names::XLA_MODULES, line_names::SPARSE_CORE_MODULES].contains(&&*line.name) {
        for event in line.events(facts.plane) {
            hull.expand_to_include(Timespan::new(event.begin_ps(), event.duration_ps()));
        }
    }
    if framework_window {
        include_framework_ops(facts, line, window);
    }
}

/// `parity:` the original derives a line of framework ops from all lines and counts it among the op lines, so the host's
/// clock enters the window wherever an event names its framework op.
fn include_framework_ops(facts: &PlaneFacts<'_>, line: &Line, window: &mut Window) {
    let by_event = line.stat_kinds.contains_any(&[StatKind::TfOp, StatKind::IsAsync]);
    for (idx, row) in line.events.rows().enumerate() {
        let mut included = facts.has_tf_op[facts.index(row)];
        if by_event && let Some(event) = line.event(facts.plane, idx) {
            let has_own = event.stat(StatKind::TfOp).is_some_and(|v| !v.text_bytes().is_empty());
            let is_async = event.stat(StatKind::IsAsync).is_some_and(|v| v.int_or_uint() != 0);
            included = (included || has_own) && !is_async;
        }
        if included {
            window.include(line.events.begin_ps[idx], line.events.end_ps(idx));
        }
    }
}

fn device_ops(
    walked: &[WalkedPlane<'_, '_>],
    offloads: &Offloads,
    modules: &TraceModules,
    n_ops: usize,
) -> OpMetricsDb {
    let mut merger = TableMerger::new(n_ops, NumCores::Add);
    for plane in walked.iter().filter(|p| !p.is_sparse_core) {
        let lines: Vec<_> =
            plane.lines.iter().filter_map(|(idx, sums)| Some((plane.plane().lines.get(*idx)?, sums))).collect();
        merger.merge(&plane_table(plane.facts, &lines, plane.window, offloads));
    }
    let mut table = merger.take();
    idle_last(&mut table);
    let mut db = to_message(table);
    // The reference adds these per plane, where the first plane's children are kept: the same rows, made once.
    db.metrics_db.par_iter_mut().for_each(|row| {
        let fused = modules.fused_rows(row.hlo_module_id, &row.name);
        if !fused.is_empty() {
            row.children.get_or_insert_default().metrics_db.extend(fused);
        }
    });
    let duty = duty_cycle(walked.iter().map(|plane| &plane.activity));
    db.busy_time_ps = duty.busy_ps;
    db.idle_time_ps = duty.idle_ps;
    db.busy_time_high_confidence_ps = duty.sure_busy_ps;
    db.idle_time_high_confidence_ps = duty.sure_idle_ps;
    db
}
