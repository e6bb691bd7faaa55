//! Tables of op metrics in the making: dense rows that borrow their texts, turned into messages once, at the end.
//!
//! A trace mentions the same op in several planes and in every step. Texts are therefore borrowed from the trace, ops
//! are numbered once per host, and tables are merged by that number: no text is compared, hashed or copied per merge.
//! Sums wrap instead of failing: a hostile trace gives a wrong number, never a panic.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use xprof_proto::tensorflow::profiler::op_metrics::MemoryAccessed;
use xprof_proto::tensorflow::profiler::{OpMetrics, OpMetricsDb, PrecisionStats, SourceInfo};

use crate::opstats::merge::add_breakdown;

/// Name and category of the row that stands for the time in which no op ran.
pub const IDLE: &str = "IDLE";

/// Number of an op within its host: ops of equal program and name have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u32);

impl OpId {
    /// The idle row, which every table may have.
    pub const IDLE: Self = Self(0);
}

/// Numbers ops by program and name.
#[derive(Debug, Default)]
pub struct OpIds<'a> {
    ids: FxHashMap<(u64, &'a str), OpId>,
}

impl<'a> OpIds<'a> {
    /// With the idle row as its only op.
    pub fn new() -> Self {
        let mut ids = FxHashMap::default();
        ids.insert((0, IDLE), OpId::IDLE);
        Self { ids }
    }

    /// The number of an op, a new one if it was not seen before.
    pub fn id(&mut self, module_id: u64, name: &'a str) -> OpId {
        let next = OpId(self.ids.len() as u32);
        *self.ids.entry((module_id, name)).or_insert(next)
    }

    /// How many ops were seen.
    pub fn len(&self) -> usize {
        self.ids.len()
    }
}

/// What describes an op.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpText<'a> {
    /// Program, 0 for a framework op.
    pub module_id: u64,
    /// Name.
    pub name: &'a str,
    /// HLO category or op type.
    pub category: &'a str,
    /// Full name of the framework op.
    pub provenance: &'a str,
    /// Name of the op that this one is a copy of.
    pub deduplicated_name: &'a str,
    /// Expression.
    pub long_name: &'a str,
    /// Place in the user's program.
    pub source: Option<&'a SourceInfo>,
    /// Which part of a TPU ran it, as in `OpMetrics.TpuCoreType`.
    pub core_type: i32,
}

impl OpText<'_> {
    /// The row of idle time.
    pub fn idle() -> Self {
        Self { name: IDLE, category: IDLE, ..Self::default() }
    }

    /// Takes from `other` what is missing here: the first table that says something counts.
    fn complete_from(&mut self, other: &Self) {
        for (to, from) in [
            (&mut self.category, other.category),
            (&mut self.provenance, other.provenance),
            (&mut self.deduplicated_name, other.deduplicated_name),
            (&mut self.long_name, other.long_name),
        ] {
            if to.is_empty() {
                *to = from;
            }
        }
        self.source = self.source.or(other.source);
        if self.core_type == 0 {
            self.core_type = other.core_type;
        }
    }
}

/// What is counted of an op.
#[derive(Debug, Clone, Default)]
pub struct OpTotals {
    /// Executions.
    pub occurrences: u32,
    /// Cores that ran it.
    pub num_cores: u32,
    /// Time including ops within.
    pub time_ps: u64,
    /// Time without ops within.
    pub self_time_ps: u64,
    /// Time at nominal clock rate.
    pub normalized_time_ps: u64,
    /// Shortest execution.
    pub min_time_ps: u64,
    /// Time waiting for copies.
    pub dma_stall_ps: u64,
    /// Operations.
    pub flops: u64,
    /// Operations that the model needs.
    pub model_flops: u64,
    /// Operations as double, which does not wrap.
    pub flops_v2: f64,
    /// Operations that the model needs, as double.
    pub model_flops_v2: f64,
    /// Bytes moved.
    pub bytes_accessed: u64,
    /// Bytes by memory and direction.
    pub breakdown: SmallVec<[MemoryAccessed; 2]>,
    /// Energy, if any execution had it measured.
    pub vdd_energy_j: Option<f64>,
    /// Operations as estimated when it ran.
    pub estimated_flops: f64,
    /// Bytes as estimated when it ran.
    pub estimated_bytes: f64,
    /// Whether any execution was eager.
    pub is_eager: bool,
}

impl OpTotals {
    /// Idle time.
    pub fn idle(time_ps: u64) -> Self {
        Self { time_ps, self_time_ps: time_ps, ..Self::default() }
    }

    /// Sets operations and bytes from those of one execution.
    pub fn set_costs(&mut self, flops: u64, model_flops: u64, bytes: u64) {
        let n = u64::from(self.occurrences);
        self.flops = flops.wrapping_mul(n);
        self.flops_v2 = flops as f64 * n as f64;
        self.bytes_accessed = bytes.wrapping_mul(n);
        (self.model_flops, self.model_flops_v2) = if model_flops > 0 {
            (model_flops.wrapping_mul(n), model_flops as f64 * n as f64)
        } else {
            (self.flops, self.flops_v2)
        };
    }

    fn add(&mut self, other: &Self) {
        self.min_time_ps =
            if self.occurrences == 0 { other.min_time_ps } else { self.min_time_ps.min(other.min_time_ps) };
        self.occurrences = self.occurrences.wrapping_add(other.occurrences);
        for (sum, part) in [
            (&mut self.time_ps, other.time_ps),
            (&mut self.self_time_ps, other.self_time_ps),
            (&mut self.normalized_time_ps, other.normalized_time_ps),
            (&mut self.dma_stall_ps, other.dma_stall_ps),
            (&mut self.flops, other.flops),
            (&mut self.model_flops, other.model_flops),
            (&mut self.bytes_accessed, other.bytes_accessed),
        ] {
            *sum = sum.wrapping_add(part);
        }
        self.flops_v2 += other.flops_v2;
        self.model_flops_v2 += other.model_flops_v2;
        self.estimated_flops += other.estimated_flops;
        self.estimated_bytes += other.estimated_bytes;
        if let Some(energy) = other.vdd_energy_j {
            *self.vdd_energy_j.get_or_insert(0.0) += energy;
        }
        self.is_eager |= other.is_eager;
        self.add_breakdown(&other.breakdown);
    }

    fn add_breakdown(&mut self, parts: &[MemoryAccessed]) {
        if self.breakdown.is_empty() {
            // The usual case; parts of one table are distinct unless the producer repeated one.
            self.breakdown.extend(parts.iter().copied());
            return;
        }
        let mut sums = self.breakdown.to_vec();
        add_breakdown(&mut sums, parts);
        self.breakdown = sums.into();
    }
}

/// One row.
#[derive(Debug, Clone)]
pub struct OpRow<'a> {
    /// Number of the op.
    pub op: OpId,
    /// What describes it.
    pub text: OpText<'a>,
    /// What is counted.
    pub totals: OpTotals,
    /// Ops within, as far as they are known before merging.
    pub children: Option<Box<OpMetricsDb>>,
}

/// Sums over all rows and what is not in any row.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_field_names, reason = "units are suffixes")]
pub struct TableTotals {
    /// Time observed.
    pub total_time_ps: u64,
    /// Time in which ops ran.
    pub total_op_time_ps: u64,
    /// Time in which ops ran, at nominal clock rate.
    pub normalized_total_op_time_ps: u64,
    /// Sum of the durations of infeed enqueue ops but the last one of each thread.
    pub infeed_duration_ps: u64,
    /// Sum of the distances between infeed enqueue ops of a thread.
    pub infeed_start_diff_ps: u64,
}

impl TableTotals {
    fn add(&mut self, other: &Self) {
        for (sum, part) in [
            (&mut self.total_time_ps, other.total_time_ps),
            (&mut self.total_op_time_ps, other.total_op_time_ps),
            (&mut self.normalized_total_op_time_ps, other.normalized_total_op_time_ps),
            (&mut self.infeed_duration_ps, other.infeed_duration_ps),
            (&mut self.infeed_start_diff_ps, other.infeed_start_diff_ps),
        ] {
            *sum = sum.wrapping_add(part);
        }
    }
}

/// A table: of a plane, a thread or a step.
#[derive(Debug, Clone, Default)]
pub struct OpTable<'a> {
    /// Rows in order of first appearance. Before merging an op may have several.
    pub rows: Vec<OpRow<'a>>,
    /// Sums.
    pub totals: TableTotals,
}

impl OpTable<'_> {
    /// Sets the time observed and appends the row for what of it no op used.
    pub fn add_idle(&mut self, total_time_ps: u64) {
        self.totals.total_time_ps = total_time_ps;
        let idle_ps = total_time_ps.saturating_sub(self.totals.total_op_time_ps);
        self.rows.push(OpRow { op: OpId::IDLE, text: OpText::idle(), totals: OpTotals::idle(idle_ps), children: None });
    }
}

/// Whether merging counts the cores that ran an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumCores {
    /// Adds them up: tables of devices.
    Add,
    /// Sets them to 0: tables of host threads and of offloaded work.
    Ignore,
}

/// Merges tables of one host.
#[derive(Debug)]
pub struct TableMerger<'a> {
    table: OpTable<'a>,
    /// Place of each op's row, [`NO_ROW`] for none.
    places: Vec<u32>,
    num_cores: NumCores,
}

const NO_ROW: u32 = u32::MAX;

impl<'a> TableMerger<'a> {
    /// Begins with an empty table. `n_ops` is how many ops the host has.
    pub fn new(n_ops: usize, num_cores: NumCores) -> Self {
        Self { table: OpTable::default(), places: vec![NO_ROW; n_ops], num_cores }
    }

    /// Merges one table.
    pub fn merge(&mut self, source: &OpTable<'a>) {
        self.table.totals.add(&source.totals);
        for row in &source.rows {
            self.merge_row(row);
        }
    }

    fn merge_row(&mut self, row: &OpRow<'a>) {
        let idx = row.op.0 as usize;
        if idx >= self.places.len() {
            self.places.resize(idx + 1, NO_ROW);
        }
        let num_cores = if self.num_cores == NumCores::Add { row.totals.num_cores } else { 0 };
        if let Some(sum) = self.table.rows.get_mut(self.places[idx] as usize) {
            sum.text.complete_from(&row.text);
            sum.totals.add(&row.totals);
            sum.totals.num_cores = sum.totals.num_cores.wrapping_add(num_cores);
            // parity: the children of the first table stand for all; those of later ones are not added.
            if sum.children.is_none() {
                sum.children.clone_from(&row.children);
            }
            return;
        }
        self.places[idx] = self.table.rows.len() as u32;
        let mut row = row.clone();
        row.totals.num_cores = num_cores;
        self.table.rows.push(row);
    }

    /// The merged table; this merger begins anew.
    pub fn take(&mut self) -> OpTable<'a> {
        for row in &self.table.rows {
            if let Some(place) = self.places.get_mut(row.op.0 as usize) {
                *place = NO_ROW;
            }
        }
        std::mem::take(&mut self.table)
    }
}

/// Moves the idle row behind all others, where readers expect it.
pub fn idle_last(table: &mut OpTable<'_>) {
    if let Some(at) = table.rows.iter().position(|row| row.op == OpId::IDLE) {
        table.rows[at..].rotate_left(1);
    }
}

/// The message of a merged table.
pub fn to_message(table: OpTable<'_>) -> OpMetricsDb {
    let TableTotals {
        total_time_ps,
        total_op_time_ps,
        normalized_total_op_time_ps,
        infeed_duration_ps,
        infeed_start_diff_ps,
    } = table.totals;
    OpMetricsDb {
        total_host_infeed_enq_duration_ps: infeed_duration_ps,
        total_host_infeed_enq_start_timestamp_ps_diff: infeed_start_diff_ps,
        metrics_db: table.rows.into_iter().map(row_to_message).collect(),
        total_time_ps,
        total_op_time_ps,
        normalized_total_op_time_ps,
        // Merging leaves this message behind, even an empty one.
        precision_stats: Some(PrecisionStats::default()),
        ..OpMetricsDb::default()
    }
}

fn row_to_message(row: OpRow<'_>) -> OpMetrics {
    let OpRow { text, totals, children, .. } = row;
    OpMetrics {
        name: text.name.to_owned(),
        hlo_module_id: text.module_id,
        category: text.category.to_owned(),
        provenance: text.provenance.to_owned(),
        deduplicated_name: text.deduplicated_name.to_owned(),
        long_name: text.long_name.to_owned(),
        source_info: text.source.cloned(),
        core_type: text.core_type,
        occurrences: totals.occurrences,
        num_cores: totals.num_cores,
        time_ps: totals.time_ps,
        self_time_ps: totals.self_time_ps,
        normalized_time_ps: totals.normalized_time_ps,
        min_time_ps: totals.min_time_ps,
        dma_stall_ps: totals.dma_stall_ps,
        flops: totals.flops,
        model_flops: totals.model_flops,
        flops_v2: totals.flops_v2,
        model_flops_v2: totals.model_flops_v2,
        bytes_accessed: totals.bytes_accessed,
        memory_accessed_breakdown: totals.breakdown.into_vec(),
        vdd_energy_j: totals.vdd_energy_j,
        estimated_flops: totals.estimated_flops,
        estimated_bytes_accessed: totals.estimated_bytes,
        is_eager: totals.is_eager,
        children: children.map(|children| *children),
        ..OpMetrics::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table<'a>(rows: &[(OpId, &'a str, u64, &'a str)]) -> OpTable<'a> {
        let row = |&(op, name, time_ps, category)| OpRow {
            op,
            text: OpText { name, category, ..OpText::default() },
            totals: OpTotals { occurrences: 1, num_cores: 1, time_ps, min_time_ps: time_ps, ..OpTotals::default() },
            children: None,
        };
        OpTable { rows: rows.iter().map(row).collect(), totals: TableTotals::default() }
    }

    fn check(num_cores: NumCores, expect: &[(&str, u64, u64, &str, u32)]) {
        let mut ids = OpIds::new();
        let (a, b) = (ids.id(1, "a"), ids.id(1, "b"));
        let mut merger = TableMerger::new(ids.len(), num_cores);
        merger.merge(&table(&[(b, "b", 5, ""), (OpId::IDLE, IDLE, 1, IDLE)]));
        merger.merge(&table(&[(a, "a", 7, "x"), (b, "b", 3, "y")]));
        let mut merged = merger.take();
        idle_last(&mut merged);
        let db = to_message(merged);
        let got: Vec<_> = db
            .metrics_db
            .iter()
            .map(|r| (r.name.as_str(), r.time_ps, r.min_time_ps, r.category.as_str(), r.num_cores))
            .collect();
        assert_eq!(got, expect);
        merger.merge(&table(&[(a, "a", 7, "x")]));
        assert_eq!(merger.take().rows.len(), 1);
    }

    #[test]
    fn merges_by_number_and_completes_texts() {
        check(NumCores::Add, &[("b", 8, 3, "y", 2), ("a", 7, 7, "x", 1), (IDLE, 1, 1, IDLE, 1)]);
        check(NumCores::Ignore, &[("b", 8, 3, "y", 0), ("a", 7, 7, "x", 0), (IDLE, 1, 1, IDLE, 0)]);
    }
}
