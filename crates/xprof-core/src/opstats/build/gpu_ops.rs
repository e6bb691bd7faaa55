//! Op metrics of GPUs: kernels, told by the HLO instruction or framework op that launched them.

use rayon::prelude::*;
use rustc_hash::FxHashMap;
use xprof_proto::tensorflow::profiler::op_metrics::MemoryAccessed;
use xprof_proto::tensorflow::profiler::op_metrics::memory_accessed::OperationType;
use xprof_proto::tensorflow::profiler::{MemorySpace, OpMetrics, OpMetricsDb, PrecisionStats, SourceInfo};

use super::modules::{TraceModules, UNKNOWN_LINE, source_of};
use super::op_table::IDLE;
use crate::hlo::InstructionFacts;
use crate::op_name;
use crate::opstats::merge::{NumCores, OpMetricsDbCombiner, add_breakdown};
use crate::xspace::{Event, Line, Plane, StatKind, StatValue};
use crate::{Diag, Result};

/// Op type of a framework op that does not tell its own.
const UNKNOWN_TYPE: &str = "unknown";

/// The table of all GPU planes.
pub fn gpu_op_metrics(
    planes: &[&Plane],
    modules: &TraceModules,
    precision: PrecisionStats,
    diag: &Diag,
) -> Result<OpMetricsDb> {
    let tables: Vec<OpMetricsDb> = planes
        .par_iter()
        .map(|plane| {
            diag.check()?;
            Ok(PlaneOps::new(plane, modules).table())
        })
        .collect::<Result<_>>()?;
    let mut combiner = OpMetricsDbCombiner::new();
    for table in &tables {
        combiner.merge(table, NumCores::Add);
    }
    let mut db = combiner.finish();
    if let Some(at) = db.metrics_db.iter().position(|row| row.name == IDLE && row.hlo_module_id == 0) {
        db.metrics_db[at..].rotate_left(1);
    }
    db.precision_stats = Some(precision);
    Ok(db)
}

/// Consecutive kernels of one instruction and group.
#[derive(Debug, Clone, Copy)]
struct Pool<'a> {
    program_id: u64,
    op: &'a str,
    group_id: i64,
    occurrences: u32,
    duration_ps: u64,
    flops: u64,
    bytes: u64,
    vdd_energy_j: Option<f64>,
    is_eager: bool,
}

/// The rows of a plane in the making.
struct PlaneOps<'a> {
    plane: &'a Plane,
    modules: &'a TraceModules,
    combiner: OpMetricsDbCombiner,
    costs: FxHashMap<(u64, &'a str), OpCosts>,
    first_ps: u64,
    last_ps: u64,
}

/// What one execution of an instruction costs; 0 where the event may know better.
#[derive(Debug, Clone, Copy, Default)]
struct OpCosts {
    flops: u64,
    model_flops: u64,
    bytes: u64,
    read_bytes: u64,
    written_bytes: u64,
}

impl<'a> PlaneOps<'a> {
    fn new(plane: &'a Plane, modules: &'a TraceModules) -> Self {
        Self {
            plane,
            modules,
            combiner: OpMetricsDbCombiner::new(),
            costs: FxHashMap::default(),
            first_ps: u64::MAX,
            last_ps: 0,
        }
    }

    fn table(mut self) -> OpMetricsDb {
        let plane = self.plane;
        for line in plane.lines.iter().filter(|line| !line.is_derived()) {
            self.line(line);
        }
        let mut db = self.combiner.finish();
        db.precision_stats = None;
        let total_op_time_ps = db.metrics_db.iter().fold(0u64, |sum, row| sum.wrapping_add(row.self_time_ps));
        let window_ps = if self.last_ps == 0 { 0 } else { self.last_ps.wrapping_sub(self.first_ps) };
        let total_time_ps = total_op_time_ps.max(window_ps);
        let idle_ps = total_time_ps - total_op_time_ps;
        db.total_time_ps = total_time_ps;
        db.total_op_time_ps = total_op_time_ps;
        db.metrics_db.push(OpMetrics {
            name: IDLE.to_owned(),
            category: IDLE.to_owned(),
            time_ps: idle_ps,
            self_time_ps: idle_ps,
            ..OpMetrics::default()
        });
        db
    }

    fn line(&mut self, line: &'a Line) {
        let mut pool: Option<Pool<'a>> = None;
        for event in line.events(self.plane) {
            // parity: offsets, without the origin of the line, so lines of different origin give a wrong window.
            let begin_ps = event.offset_ps() as u64;
            self.first_ps = self.first_ps.min(begin_ps);
            self.last_ps = self.last_ps.max(begin_ps.wrapping_add(event.duration_ps()));
            let stats = EventStats::of(&event);
            if !stats.hlo_op.is_empty() {
                self.kernel(&event, &stats, &mut pool);
            } else if !stats.tf_op.is_empty() {
                self.flush(&mut pool);
                self.framework_op(&event, &stats);
            }
        }
        self.flush(&mut pool);
    }

    /// Adds a kernel of an HLO instruction to the pool, which is flushed if it is of another instruction or group.
    fn kernel(&mut self, event: &Event<'a>, stats: &EventStats<'a>, pool: &mut Option<Pool<'a>>) {
        let op = stats.hlo_op.rsplit("::").next().unwrap_or(stats.hlo_op);
        let group_id = event.group_id();
        let continues = pool
            .as_ref()
            .is_some_and(|p| p.op == op && p.program_id == stats.program_id && Some(p.group_id) == group_id);
        if !continues {
            self.flush(pool);
            if self.modules.find(stats.program_id, op).is_none() {
                return;
            }
            *pool = Some(Pool {
                program_id: stats.program_id,
                op,
                group_id: group_id.unwrap_or(-1),
                occurrences: 0,
                duration_ps: 0,
                flops: 0,
                bytes: 0,
                vdd_energy_j: None,
                is_eager: false,
            });
        }
        if let Some(pool) = pool {
            pool.occurrences = pool.occurrences.wrapping_add(1);
            pool.duration_ps = pool.duration_ps.wrapping_add(event.duration_ps());
            (pool.flops, pool.bytes) = (stats.flops, stats.bytes);
            pool.is_eager |= stats.is_eager;
            if let Some(energy) = stats.vdd_energy_j {
                *pool.vdd_energy_j.get_or_insert(0.0) += energy;
            }
        }
        if group_id.is_none() {
            self.flush(pool);
        }
    }

    fn flush(&mut self, pool: &mut Option<Pool<'a>>) {
        let Some(pool) = pool.take() else { return };
        let key = (pool.program_id, pool.op);
        let modules = self.modules;
        let instruction = || modules.find(pool.program_id, pool.op);
        let costs = *self.costs.entry(key).or_insert_with(|| instruction().map_or_else(OpCosts::default, costs_of));
        let row = self.combiner.row(pool.program_id, pool.op);
        if row.occurrences == 0
            && let Some(instruction) = instruction()
        {
            describe(row, &instruction, pool.is_eager);
        }
        row.num_cores = 1;
        row.occurrences = row.occurrences.wrapping_add(pool.occurrences);
        row.time_ps = row.time_ps.wrapping_add(pool.duration_ps);
        row.self_time_ps = row.time_ps;
        let n = u64::from(pool.occurrences);
        let or = |cost: u64, of_event: u64| if cost > 0 { cost } else { of_event };
        let flops = or(costs.flops, pool.flops);
        let model_flops = or(costs.model_flops, pool.flops);
        row.flops = row.flops.wrapping_add(flops.wrapping_mul(n));
        row.flops_v2 += flops as f64 * n as f64;
        row.model_flops = row.model_flops.wrapping_add(model_flops.wrapping_mul(n));
        row.model_flops_v2 += model_flops as f64 * n as f64;
        row.bytes_accessed = row.bytes_accessed.wrapping_add(or(costs.bytes, pool.bytes).wrapping_mul(n));
        if let Some(energy) = pool.vdd_energy_j {
            *row.vdd_energy_j.get_or_insert(0.0) += energy;
        }
        let access = |operation: OperationType, bytes: u64| MemoryAccessed {
            operation_type: operation as i32,
            memory_space: MemorySpace::Hbm as u64,
            bytes_accessed: bytes.wrapping_mul(n),
        };
        let parts = [access(OperationType::Read, costs.read_bytes), access(OperationType::Write, costs.written_bytes)];
        for part in parts.iter().filter(|part| part.bytes_accessed > 0) {
            add_breakdown(&mut row.memory_accessed_breakdown, std::slice::from_ref(part));
        }
    }

    fn framework_op(&mut self, event: &Event<'a>, stats: &EventStats<'a>) {
        let op = op_name::parse(stats.tf_op);
        let op_type = if op.op_type.is_empty() { UNKNOWN_TYPE } else { op.op_type };
        let row = self.combiner.row(0, &format!("{}/{}", op.op_name, event.name()));
        if row.occurrences == 0 {
            op_type.clone_into(&mut row.category);
            stats.tf_op.clone_into(&mut row.provenance);
            row.source_info = Some(SourceInfo { line_number: UNKNOWN_LINE, ..SourceInfo::default() });
            row.is_eager = stats.is_eager;
        }
        row.num_cores = 1;
        row.occurrences = row.occurrences.wrapping_add(1);
        row.time_ps = row.time_ps.wrapping_add(event.duration_ps());
        row.self_time_ps = row.time_ps;
        if let Some(energy) = stats.vdd_energy_j {
            *row.vdd_energy_j.get_or_insert(0.0) += energy;
        }
    }
}

fn describe(row: &mut OpMetrics, instruction: &InstructionFacts<'_>, is_eager: bool) {
    instruction.category().clone_into(&mut row.category);
    row.provenance = instruction.tf_op_name();
    instruction.deduplicated_name().clone_into(&mut row.deduplicated_name);
    row.long_name = instruction.expression();
    row.source_info = Some(source_of(instruction));
    row.is_eager = is_eager;
}

fn costs_of(instruction: InstructionFacts<'_>) -> OpCosts {
    let Some(costs) = instruction.costs() else {
        return OpCosts::default();
    };
    // A cost that is not known, and a negative one, count as 0.
    let known = |cost: Option<i64>| cost.and_then(|c| u64::try_from(c).ok()).unwrap_or(0);
    OpCosts {
        flops: known(costs.device_flops),
        model_flops: known(costs.model_flops),
        bytes: known(costs.bytes_accessed),
        read_bytes: known(costs.hbm_read_bytes),
        written_bytes: known(costs.hbm_written_bytes),
    }
}

/// What an event says about itself, of several stats of one kind the first.
#[derive(Debug, Default)]
struct EventStats<'a> {
    hlo_op: &'a str,
    tf_op: &'a str,
    program_id: u64,
    flops: u64,
    bytes: u64,
    vdd_energy_j: Option<f64>,
    is_eager: bool,
}

impl<'a> EventStats<'a> {
    fn of(event: &Event<'a>) -> Self {
        let mut stats = Self::default();
        let mut seen = crate::xspace::StatKindSet::default();
        event.each_stat(|kind, value| {
            if kind == StatKind::VddEnergyJ {
                *stats.vdd_energy_j.get_or_insert(0.0) += value.double();
            }
            if seen.contains(kind) {
                return;
            }
            seen.insert(kind);
            match kind {
                StatKind::HloOp => stats.hlo_op = text(value),
                StatKind::TfOp => stats.tf_op = text(value),
                StatKind::ProgramId => stats.program_id = value.int_or_uint(),
                StatKind::Flops => stats.flops = value.int_or_uint(),
                StatKind::BytesAccessed => stats.bytes = value.int_or_uint(),
                StatKind::IsEager => stats.is_eager = value.int() != 0,
                _ => {}
            }
        });
        stats
    }
}

/// Borrowed text; one that is not UTF-8 names nothing that could be found.
fn text(value: StatValue<'_>) -> &str {
    std::str::from_utf8(value.text_bytes()).unwrap_or_default()
}
