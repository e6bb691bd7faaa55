//! The kernels of GPUs: how they were launched, which op they stem from, and what they cost.
//!
//! Takes the statistics of all hosts; gives one table, the longest kernels in total first.
//! Equal kernels of several hosts keep a row each.

use xprof_proto::tensorflow::profiler::KernelReport;

use crate::answer::Answer;
use crate::answer::datatable::{ColumnType, DataTable};
use crate::opstats::{self, EdgeSteps, HostStats, Reducer, RunStats};
use crate::prep::Prepared;
use crate::tools::{Params, Tool};
use crate::{Diag, Result};

/// The tool.
#[derive(Debug)]
pub struct KernelStats;

impl Tool for KernelStats {
    const NAME: &'static str = "kernel_stats";

    type Options = ();
    type Artifact = HostStats;
    type Whole = RunStats;
    type Reduction = Reducer;

    // === options ===

    fn options(_params: &Params) -> Result<()> {
        Ok(())
    }

    // === map ===

    fn map(host: &Prepared, (): &(), diag: &mut Diag) -> Result<HostStats> {
        opstats::map(host, diag)
    }

    // === reduce ===

    fn reduce((): &()) -> Reducer {
        Reducer::new(EdgeSteps::Keep)
    }

    // === render ===

    fn render(run: &RunStats, (): &(), out: &mut Answer) -> Result<()> {
        out.table(&table(run.kernels()));
        Ok(())
    }
}

fn table(kernels: &[KernelReport]) -> DataTable {
    use ColumnType::{Boolean, Number, String};
    let mut table = DataTable::new();
    for (id, kind, label) in [
        ("rank", Number, "Rank"),
        ("kernel_name", String, "Kernel Name"),
        ("registers_per_thread", Number, "Registers per thread"),
        ("shmem_bytes", Number, "Shared Mem bytes"),
        ("block_dim", String, "Block dim"),
        ("grid_dim", String, "Grid dim"),
        ("occupancy_pct", Number, "Theoretical Occupancy %"),
        ("is_op_tensor_core_eligible", Boolean, "Op is TensorCore eligible"),
        ("is_kernel_using_tensor_core", Boolean, "Kernel uses TensorCore"),
        ("op_name", String, "Op Name"),
        ("occurrences", Number, "Occurrences"),
        ("total_duration_us", Number, "Total Duration (μs)"),
        ("avg_duration_us", Number, "Avg Duration (μs)"),
        ("min_duration_us", Number, "Min Duration (μs)"),
        ("max_duration_us", Number, "Max Duration (μs)"),
    ] {
        table.column(id, kind, label);
    }
    for (rank, kernel) in (1_u32..).zip(kernels) {
        let shmem_bytes = kernel.static_shmem_bytes.wrapping_add(kernel.dynamic_shmem_bytes);
        // parity: whole nanoseconds. The reference dies of a kernel that never ran.
        let avg_ns = kernel.total_duration_ns.checked_div(u64::from(kernel.occurrences)).unwrap_or(0);
        table.row([
            f64::from(rank).into(),
            kernel.name.clone().into(),
            f64::from(kernel.registers_per_thread).into(),
            f64::from(shmem_bytes).into(),
            dims(&kernel.block_dim).into(),
            dims(&kernel.grid_dim).into(),
            f64::from(kernel.occupancy_pct).into(),
            kernel.is_op_tensor_core_eligible.into(),
            kernel.is_kernel_using_tensor_core.into(),
            kernel.op_name.clone().into(),
            f64::from(kernel.occurrences).into(),
            ns_to_us(kernel.total_duration_ns).into(),
            ns_to_us(avg_ns).into(),
            ns_to_us(kernel.min_duration_ns).into(),
            ns_to_us(kernel.max_duration_ns).into(),
        ]);
    }
    table
}

/// `x,y,z`
fn dims(dims: &[u32]) -> String {
    let dims: Vec<String> = dims.iter().map(u32::to_string).collect();
    dims.join(",")
}

fn ns_to_us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::answer::csv;
    use xprof_proto::tensorflow::profiler::{KernelStatsDb, OpStats};
    use xprof_proto::xprof::worker::v1;

    use crate::reduction::reduce_all;
    use crate::tools::HostPart;

    fn check(kernels: &[KernelReport], rows: &str) {
        let csv = csv::write(&table(kernels));
        assert_eq!(csv.split_once('\n').map(|(_, rows)| rows), Some(rows));
    }

    #[test]
    fn keeps_a_row_per_host_longest_first() {
        let part = |host: &str, total_ns: &[u64]| {
            let report =
                |ns: &u64| KernelReport { name: "k".into(), total_duration_ns: *ns, ..KernelReport::default() };
            let kernels = KernelStatsDb { reports: total_ns.iter().map(report).collect() };
            let op_stats = OpStats { kernel_stats_db: Some(kernels), ..OpStats::default() };
            let stats = v1::HostStats { op_stats: Some(op_stats), inference: None };
            HostPart { host: host.into(), artifact: Arc::new(HostStats(stats)) }
        };
        let totals = |parts: Vec<HostPart<HostStats>>| {
            let run = reduce_all(KernelStats::reduce(&()), &parts, &mut Diag::new()).unwrap();
            run.kernels().iter().map(|k| k.total_duration_ns).collect::<Vec<_>>()
        };
        assert_eq!(totals(vec![part("a", &[5, 2]), part("b", &[9, 5])]), [9, 5, 5, 2]);
        assert_eq!(totals(vec![part("b", &[9, 5])]), [9, 5], "a single host's own");
    }

    #[test]
    fn shows_kernels_in_their_order() {
        check(&[], "");
        let kernel = KernelReport {
            name: "k".into(),
            registers_per_thread: 7,
            static_shmem_bytes: 1,
            dynamic_shmem_bytes: 2,
            block_dim: vec![64, 1, 1],
            grid_dim: vec![3, 2, 1],
            occupancy_pct: 33.3333,
            is_op_tensor_core_eligible: true,
            op_name: "op".into(),
            occurrences: 3,
            total_duration_ns: 10_000,
            min_duration_ns: 1,
            max_duration_ns: 9_998,
            ..KernelReport::default()
        };
        let never_ran = KernelReport { occurrences: 0, is_kernel_using_tensor_core: true, ..kernel.clone() };
        check(
            &[kernel, never_ran],
            "\"1.0\",\"k\",\"7.0\",\"3.0\",\"64,1,1\",\"3,2,1\",\"33.33330154418945\",\"True\",\"False\",\"op\",\"3.0\",\
             \"10.0\",\"3.333\",\"0.001\",\"9.998\"\n\
             \"2.0\",\"k\",\"7.0\",\"3.0\",\"64,1,1\",\"3,2,1\",\"33.33330154418945\",\"True\",\"True\",\"op\",\"0.0\",\
             \"10.0\",\"0.0\",\"0.001\",\"9.998\"\n",
        );
    }
}
