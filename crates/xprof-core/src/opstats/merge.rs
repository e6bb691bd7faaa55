//! Merges tables of op metrics: of the planes of a host, of hosts, and of steps.
//!
//! Takes tables one after the other and gives one with a row per program and name, in order of first appearance.
//! Sums wrap instead of failing: a hostile table gives a wrong number, never a panic.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use xprof_proto::tensorflow::profiler::op_metrics::MemoryAccessed;
use xprof_proto::tensorflow::profiler::{OpMetrics, OpMetricsDb, PrecisionStats};

/// Whether merging counts the cores that ran an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumCores {
    /// Adds them up: tables of devices.
    Add,
    /// Leaves them alone: tables of hosts.
    Ignore,
}

/// Builds one table from several.
#[derive(Debug, Clone, Default)]
pub struct OpMetricsDbCombiner {
    db: OpMetricsDb,
    /// Rows by program and name. The keys stay in the rows.
    rows: HashTable<usize>,
    hasher: FixedState,
}

impl OpMetricsDbCombiner {
    /// Begins with an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Merges one table, totals and rows.
    pub fn merge(&mut self, source: &OpMetricsDb, num_cores: NumCores) {
        self.merge_totals(source);
        for row in &source.metrics_db {
            self.merge_row(row, num_cores);
        }
    }

    /// Merges the totals of a table.
    pub fn merge_totals(&mut self, source: &OpMetricsDb) {
        let db = &mut self.db;
        for (sum, part) in [
            (&mut db.total_host_infeed_enq_duration_ps, source.total_host_infeed_enq_duration_ps),
            (
                &mut db.total_host_infeed_enq_start_timestamp_ps_diff,
                source.total_host_infeed_enq_start_timestamp_ps_diff,
            ),
            (&mut db.total_time_ps, source.total_time_ps),
            (&mut db.total_op_time_ps, source.total_op_time_ps),
            (&mut db.idle_time_ps, source.idle_time_ps),
            (&mut db.busy_time_ps, source.busy_time_ps),
            (&mut db.normalized_total_op_time_ps, source.normalized_total_op_time_ps),
            (&mut db.busy_time_high_confidence_ps, source.busy_time_high_confidence_ps),
            (&mut db.idle_time_high_confidence_ps, source.idle_time_high_confidence_ps),
        ] {
            *sum = sum.wrapping_add(part);
        }
        // The message is there after any merge, even if it is empty.
        let precision = db.precision_stats.get_or_insert_default();
        let PrecisionStats { compute_16bit_ps, compute_32bit_ps } = source.precision_stats.unwrap_or_default();
        precision.compute_16bit_ps = precision.compute_16bit_ps.wrapping_add(compute_16bit_ps);
        precision.compute_32bit_ps = precision.compute_32bit_ps.wrapping_add(compute_32bit_ps);
    }

    /// Merges one row.
    pub fn merge_row(&mut self, source: &OpMetrics, num_cores: NumCores) -> Merged {
        let row_idx = self.row_idx(source.hlo_module_id, &source.name);
        let row = &mut self.db.metrics_db[row_idx];
        let facts = copy_absent_facts(row, source);
        add_numbers(row, source);
        if num_cores == NumCores::Add {
            row.num_cores = row.num_cores.wrapping_add(source.num_cores);
        }
        add_breakdown(&mut row.memory_accessed_breakdown, &source.memory_accessed_breakdown);
        Merged { row_idx, facts }
    }

    /// The row of a program and name; a new one has only these two.
    pub fn row(&mut self, hlo_module_id: u64, name: &str) -> &mut OpMetrics {
        let idx = self.row_idx(hlo_module_id, name);
        &mut self.db.metrics_db[idx]
    }

    /// The rows as they are, to change anything but their keys.
    pub fn rows_mut(&mut self) -> &mut [OpMetrics] {
        &mut self.db.metrics_db
    }

    fn row_idx(&mut self, hlo_module_id: u64, name: &str) -> usize {
        let rows = &mut self.db.metrics_db;
        let hash = self.hasher.hash_one((hlo_module_id, name));
        let entry = self.rows.entry(
            hash,
            |idx| rows[*idx].hlo_module_id == hlo_module_id && rows[*idx].name == name,
            |idx| self.hasher.hash_one((rows[*idx].hlo_module_id, rows[*idx].name.as_str())),
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(found) => *found.get(),
            hashbrown::hash_table::Entry::Vacant(place) => {
                let idx = *place.insert(rows.len()).get();
                rows.push(OpMetrics { hlo_module_id, name: name.to_owned(), ..OpMetrics::default() });
                idx
            }
        }
    }

    /// The table so far.
    pub fn db(&self) -> &OpMetricsDb {
        &self.db
    }

    /// The table's totals, to be set by who builds it. Rows are reached by [`OpMetricsDbCombiner::row`] only.
    pub fn finish(self) -> OpMetricsDb {
        self.db
    }
}

/// One fact of what describes an op, as opposed to what is counted of it.
pub struct Fact {
    /// Whether a row does not say it.
    pub is_absent: fn(&OpMetrics) -> bool,
    /// Copies it from the second row to the first.
    pub copy: fn(&mut OpMetrics, &OpMetrics),
}

macro_rules! facts {
    ($($field:ident $is_absent:expr;)*) => {
        [$(Fact {
            is_absent: |row| $is_absent(&row.$field),
            copy: |to, from| to.$field.clone_from(&from.$field),
        }),*]
    };
}

/// Number of [`FACTS`].
pub const N_FACTS: usize = 9;

/// Each is taken from the first table that says it.
pub static FACTS: [Fact; N_FACTS] = facts! {
    long_name String::is_empty;
    category String::is_empty;
    provenance String::is_empty;
    deduplicated_name String::is_empty;
    fingerprint |v: &u64| *v == 0;
    core_type |v: &i32| *v == 0;
    layout Option::is_none;
    // parity: the children of the first table stand for all; the counts of later ones are not added.
    children Option::is_none;
    source_info Option::is_none;
};

/// Where a row was merged, and which facts it brought: bit n for the nth of [`FACTS`].
#[derive(Debug, Clone, Copy)]
pub struct Merged {
    /// The row's place in the table.
    pub row_idx: usize,
    facts: u16,
}

impl Merged {
    /// Whether the row brought this fact.
    pub fn brought(self, fact_idx: usize) -> bool {
        self.facts >> fact_idx & 1 == 1
    }
}

fn copy_absent_facts(row: &mut OpMetrics, source: &OpMetrics) -> u16 {
    let mut brought = 0;
    for (i, fact) in FACTS.iter().enumerate() {
        if (fact.is_absent)(row) && !(fact.is_absent)(source) {
            (fact.copy)(row, source);
            brought |= 1 << i;
        }
    }
    brought
}

fn add_numbers(row: &mut OpMetrics, source: &OpMetrics) {
    row.min_time_ps = if row.occurrences == 0 { source.min_time_ps } else { row.min_time_ps.min(source.min_time_ps) };
    row.occurrences = row.occurrences.wrapping_add(source.occurrences);
    row.is_eager |= source.is_eager;
    row.autotuned |= source.autotuned;
    for (sum, part) in [
        (&mut row.time_ps, source.time_ps),
        (&mut row.self_time_ps, source.self_time_ps),
        (&mut row.normalized_time_ps, source.normalized_time_ps),
        (&mut row.flops, source.flops),
        (&mut row.model_flops, source.model_flops),
        (&mut row.bytes_accessed, source.bytes_accessed),
        (&mut row.dma_stall_ps, source.dma_stall_ps),
    ] {
        *sum = sum.wrapping_add(part);
    }
    row.flops_v2 += source.flops_v2;
    row.model_flops_v2 += source.model_flops_v2;
    row.estimated_flops += source.estimated_flops;
    row.estimated_bytes_accessed += source.estimated_bytes_accessed;
    if let Some(energy) = source.vdd_energy_j {
        *row.vdd_energy_j.get_or_insert(0.0) += energy;
    }
}

/// Adds up accesses by memory and direction.
pub fn add_breakdown(sums: &mut Vec<MemoryAccessed>, parts: &[MemoryAccessed]) {
    for part in parts {
        let same =
            |a: &&mut MemoryAccessed| a.memory_space == part.memory_space && a.operation_type == part.operation_type;
        match sums.iter_mut().find(same) {
            Some(sum) => sum.bytes_accessed = sum.bytes_accessed.wrapping_add(part.bytes_accessed),
            None => sums.push(*part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(program: u64, name: &str, time_ps: u64) -> OpMetrics {
        OpMetrics {
            hlo_module_id: program,
            name: name.into(),
            occurrences: 1,
            time_ps,
            min_time_ps: time_ps,
            num_cores: 1,
            computation_primitive_size: 8,
            memory_accessed_breakdown: vec![MemoryAccessed { operation_type: 1, memory_space: 1, bytes_accessed: 4 }],
            ..OpMetrics::default()
        }
    }

    fn check(tables: &[Vec<OpMetrics>], num_cores: NumCores, expected: &[(u64, &str, u64, u64, u32)]) -> OpMetricsDb {
        let mut combiner = OpMetricsDbCombiner::new();
        for rows in tables {
            combiner.merge(&OpMetricsDb { metrics_db: rows.clone(), ..OpMetricsDb::default() }, num_cores);
        }
        let db = combiner.finish();
        let got: Vec<_> = db
            .metrics_db
            .iter()
            .map(|r| (r.hlo_module_id, r.name.as_str(), r.time_ps, r.min_time_ps, r.num_cores))
            .collect();
        assert_eq!(got, expected);
        db
    }

    #[test]
    fn matches_rows_by_program_and_name() {
        let tables = [vec![row(1, "b", 5), row(1, "a", 7)], vec![row(2, "b", 1), row(1, "b", 3)]];
        let db = check(&tables, NumCores::Add, &[(1, "b", 8, 3, 2), (1, "a", 7, 7, 1), (2, "b", 1, 1, 1)]);
        assert_eq!(db.metrics_db[0].memory_accessed_breakdown[0].bytes_accessed, 8);
        assert_eq!(db.metrics_db[0].computation_primitive_size, 0);
        assert_eq!(db.precision_stats, Some(PrecisionStats::default()));
        check(&tables, NumCores::Ignore, &[(1, "b", 8, 3, 0), (1, "a", 7, 7, 0), (2, "b", 1, 1, 0)]);
    }

    #[test]
    fn wraps_hostile_sums() {
        check(&[vec![row(1, "a", u64::MAX)], vec![row(1, "a", 2)]], NumCores::Add, &[(1, "a", 1, 2, 2)]);
    }
}
