//! The ops of the framework, such as TensorFlow or JAX, on devices and on hosts.
//!
//! Takes the statistics of all hosts; gives two tables, with and without idle time, of which the first is exported as
//! CSV. `parity:` columns called percents are shares of 1, and bandwidths are GiB/s whatever their label says.

use std::collections::HashMap;

use xprof_proto::tensorflow::profiler::{OpMetrics, OpMetricsDb};

use crate::answer::Answer;
use crate::answer::datatable::{ColumnType, DataTable, Value};
use crate::op_name::is_gradient;
use crate::opstats::framework_ops::{IDLE, Idle, regroup};
use crate::opstats::numbers::safe_div;
use crate::opstats::op_record::{OpTimes, Rank, Ranking};
use crate::opstats::roofline::{Peaks, Roofline};
use crate::opstats::sort::by_self_time;
use crate::opstats::{self, EdgeSteps, HostStats, Reducer, RunStats};
use crate::prep::Prepared;
use crate::tools::{Params, Tool};
use crate::{Diag, Result};

/// Ops beyond these are not shown; idle time counts as one.
const MAX_OPS: usize = 500;

/// The tool.
#[derive(Debug)]
pub struct FrameworkOpStats;

impl Tool for FrameworkOpStats {
    const NAME: &'static str = "framework_op_stats";

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
        let device = regroup(run.device_ops(), Idle::Include);
        let tables = Tables {
            is_gpu: run.run_environment().device_type.contains("GPU"),
            peaks: Peaks::of_run(run),
            tensor_core_use: tensor_core_use(run),
            sections: [
                Section { side: Side::Device, db: &device, ops: by_self_time(&device.metrics_db) },
                Section { side: Side::Host, db: run.host_ops(), ops: by_self_time(&run.host_ops().metrics_db) },
            ],
        };
        out.text("[");
        out.table(&tables.table(Idle::Include));
        out.text(",");
        out.table(&tables.table(Idle::Exclude));
        out.text("]");
        Ok(())
    }
}

/// Where ops ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Device,
    Host,
}

/// The ops of one side in the order of the table.
#[derive(Debug)]
struct Section<'a> {
    side: Side,
    db: &'a OpMetricsDb,
    ops: Vec<&'a OpMetrics>,
}

/// What both tables are made of.
#[derive(Debug)]
struct Tables<'a> {
    is_gpu: bool,
    peaks: Peaks<'a>,
    tensor_core_use: HashMap<&'a str, f64>,
    sections: [Section<'a>; 2],
}

impl Tables<'_> {
    fn table(&self, idle: Idle) -> DataTable {
        let mut table = DataTable::new();
        set_columns(&mut table, self.is_gpu);
        let mut is_training = false;
        let mut last_rank = 0.0;
        for section in &self.sections {
            let total_ps = match idle {
                Idle::Include => section.db.total_time_ps,
                Idle::Exclude => section.db.total_op_time_ps,
            };
            let mut ranking = Ranking::after(last_rank, total_ps);
            // parity: idle time is left out after the limit has been applied.
            let shown = section.ops.iter().take(MAX_OPS);
            for op in shown.filter(|op| idle == Idle::Include || op.category != IDLE) {
                is_training |= is_gradient(&op.name, &op.category);
                let times = OpTimes::of(op);
                let rank = ranking.place(&times);
                table.row(self.cells(section.side, op, &times, rank));
            }
            last_rank = ranking.last_rank();
        }
        table.property("task_type", if is_training { "Training" } else { "Inference" });
        // parity: the reference never finds out.
        table.property("architecture_type", "Unknown");
        table
    }

    fn cells(&self, side: Side, op: &OpMetrics, times: &OpTimes, rank: Rank) -> Vec<Value> {
        let rates = Roofline::new(op, &self.peaks);
        let (on_device, on_host) = match side {
            Side::Device => (rank, Rank::default()),
            Side::Host => (Rank::default(), rank),
        };
        let mut cells: Vec<Value> = vec![
            rank.rank.into(),
            (if side == Side::Device { "Device" } else { "Host" }).into(),
            op.category.clone().into(),
            op.name.clone().into(),
            f64::from(op.occurrences).into(),
            times.total_us.into(),
            times.avg_us.into(),
            times.total_self_us.into(),
            times.avg_self_us.into(),
            on_device.fraction.into(),
            on_device.cumulative.into(),
            on_host.fraction.into(),
            on_host.cumulative.into(),
            rates.flop_rate.into(),
            rates.model_flop_rate.into(),
            rates.all.bandwidth.into(),
            rates.all.intensity.into(),
        ];
        if self.is_gpu {
            let utilization = self.tensor_core_use.get(op.name.as_str()).filter(|_| side == Side::Device);
            cells.push(utilization.copied().unwrap_or(0.0).into());
        }
        cells.push(rates.bound_by.into());
        cells.push((if op.is_eager { "Eager" } else { "Function" }).into());
        cells
    }
}

fn set_columns(table: &mut DataTable, is_gpu: bool) {
    use ColumnType::{Number, String};
    for (id, kind, label) in [
        ("rank", Number, "Rank"),
        ("host_or_device", String, "Host/device"),
        ("type", String, "Operation Type"),
        ("operation", String, "Operation Name"),
        ("occurrences", Number, "#Occurrences"),
        ("total_time", Number, "Total time (us)"),
        ("avg_time", Number, "Avg. time (us)"),
        ("total_self_time", Number, "Total self-time (us)"),
        ("avg_self_time", Number, "Avg. self-time (us)"),
        ("device_total_self_time_percent", Number, "Total self-time on Device (%)"),
        ("device_cumulative_total_self_time_percent", Number, "Cumulative total-self time on Device (%)"),
        ("host_total_self_time_percent", Number, "Total self-time on Host (%)"),
        ("Host_cumulative_total_self_time_percent", Number, "Cumulative total-self time on Host (%)"),
        ("measured_flop_rate", Number, "Normalized FLOP Rate (FLOPs/s)"),
        ("model_flop_rate", Number, "Model FLOP Rate (GFLOP/s)"),
        ("measured_memory_bw", Number, "Measured Memory BW (GBytes/Sec)"),
        ("operational_intensity", Number, "Operational Intensity (FLOPs/Byte)"),
    ] {
        table.column(id, kind, label);
    }
    if is_gpu {
        table.column("gpu_tensorcore_utilization", Number, "GPU TensorCore utilization");
    }
    table.column("bound_by", String, "Bound by").column("eager", String, "Execution mode");
}

/// By op: the share of its kernels' time that TensorCores were in use, of 1.
fn tensor_core_use(run: &RunStats) -> HashMap<&str, f64> {
    let mut durations: HashMap<&str, (u64, u64)> = HashMap::new();
    for kernel in run.kernels() {
        let (used_ns, total_ns) = durations.entry(kernel.op_name.as_str()).or_default();
        *total_ns = total_ns.wrapping_add(kernel.total_duration_ns);
        if kernel.is_kernel_using_tensor_core {
            *used_ns = used_ns.wrapping_add(kernel.total_duration_ns);
        }
    }
    durations.into_iter().map(|(op, (used, total))| (op, safe_div(used as f64, total as f64))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Format;
    use crate::opstats::tests::run_of;
    use serde_json::{Value, json};
    use xprof_proto::tensorflow::profiler::{KernelReport, KernelStatsDb, OpStats, PerfEnv, RunEnvironment};

    fn op(name: &str, category: &str, self_us: u64) -> OpMetrics {
        OpMetrics {
            name: name.into(),
            category: category.into(),
            occurrences: 2,
            time_ps: 10_000_000,
            self_time_ps: self_us * 1_000_000,
            ..OpMetrics::default()
        }
    }

    fn db(ops: Vec<OpMetrics>, total_us: u64, total_op_us: u64) -> Option<OpMetricsDb> {
        Some(OpMetricsDb {
            metrics_db: ops,
            total_time_ps: total_us * 1_000_000,
            total_op_time_ps: total_op_us * 1_000_000,
            ..OpMetricsDb::default()
        })
    }

    fn tables(op_stats: OpStats) -> [Value; 2] {
        let mut answer = Answer::new(Format::Native);
        FrameworkOpStats::render(&run_of(op_stats), &(), &mut answer).unwrap();
        serde_json::from_slice(&answer.finish().unwrap().body).unwrap()
    }

    /// The cells of some columns, row by row.
    fn cells(table: &Value, columns: &[&str]) -> Vec<Vec<Value>> {
        let ids: Vec<&str> = table["cols"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap()).collect();
        let at = |id: &&str| ids.iter().position(|i| i == id).unwrap();
        let rows = table["rows"].as_array().unwrap().iter();
        rows.map(|row| columns.iter().map(|id| row["c"][at(id)]["v"].clone()).collect()).collect()
    }

    fn check(table: &Value, columns: &[&str], expected: &Value) {
        assert_eq!(json!(cells(table, columns)), *expected);
    }

    #[test]
    fn ranks_devices_before_hosts() {
        let [with_idle, without_idle] = tables(OpStats {
            device_op_metrics_db: db(vec![op("IDLE", IDLE, 12), op("copy", "copy", 4)], 16, 4),
            host_op_metrics_db: db(vec![op("b", "Mul", 1), op("IDLE", IDLE, 6), op("a", "Mul", 1)], 8, 2),
            ..OpStats::default()
        });
        let columns = [
            "rank",
            "host_or_device",
            "type",
            "operation",
            "device_total_self_time_percent",
            "device_cumulative_total_self_time_percent",
            "host_total_self_time_percent",
            "Host_cumulative_total_self_time_percent",
        ];
        check(
            &with_idle,
            &columns,
            &json!([
                [1.0, "Device", "IDLE", "IDLE", 0.75, 0.75, 0.0, 0.0],
                [2.0, "Device", "Unknown", "copy", 0.25, 1.0, 0.0, 0.0],
                [3.0, "Host", "IDLE", "IDLE", 0.0, 0.0, 0.75, 0.75],
                [4.0, "Host", "Mul", "a", 0.0, 0.0, 0.125, 0.875],
                [5.0, "Host", "Mul", "b", 0.0, 0.0, 0.125, 1.0],
            ]),
        );
        check(
            &without_idle,
            &columns,
            &json!([
                [1.0, "Device", "Unknown", "copy", 1.0, 1.0, 0.0, 0.0],
                [2.0, "Host", "Mul", "a", 0.0, 0.0, 0.5, 0.5],
                [3.0, "Host", "Mul", "b", 0.0, 0.0, 0.5, 1.0],
            ]),
        );
        check(&tables(OpStats::default())[0], &["rank"], &json!([]));
    }

    #[test]
    fn limits_rows_before_idle_time_is_left_out() {
        let ops = (0..MAX_OPS as u64).map(|i| op(&format!("op{i:03}"), "", i)).chain([op("IDLE", IDLE, 1000)]);
        let [with_idle, without_idle] =
            tables(OpStats { device_op_metrics_db: db(ops.collect(), 1, 1), ..OpStats::default() });
        assert_eq!(cells(&with_idle, &["operation"]).last(), Some(&vec![json!("op001")]));
        assert_eq!(cells(&without_idle, &["operation"]).last(), Some(&vec![json!("op001")]));
        assert_eq!([&with_idle, &without_idle].map(|t| cells(t, &[]).len()), [500, 499]);
    }

    #[test]
    fn shows_rates_and_tensor_cores() {
        let kernel = |is_kernel_using_tensor_core, total_duration_ns| KernelReport {
            op_name: "x".into(),
            is_kernel_using_tensor_core,
            total_duration_ns,
            ..KernelReport::default()
        };
        let x = OpMetrics { flops_v2: 20_000.0, model_flops_v2: 10_000.0, is_eager: true, ..op("x", "", 1) };
        let stats = |device_type: &str| OpStats {
            device_op_metrics_db: db(vec![x.clone()], 1, 1),
            host_op_metrics_db: db(vec![op("x", "", 1)], 1, 1),
            kernel_stats_db: Some(KernelStatsDb { reports: vec![kernel(true, 3), kernel(false, 1)] }),
            perf_env: Some(PerfEnv { peak_tera_flops_per_second: 1.0, ..PerfEnv::default() }),
            run_environment: Some(RunEnvironment { device_type: device_type.into(), ..RunEnvironment::default() }),
            ..OpStats::default()
        };
        let mut columns = vec!["measured_flop_rate", "model_flop_rate", "bound_by", "eager"];
        let [with_idle, _] = tables(stats("TPU v5"));
        check(&with_idle, &columns, &json!([[2.0, 1.0, "Compute", "Eager"], [0.0, 0.0, "Unknown", "Function"]]));
        assert_eq!(with_idle["cols"].as_array().map(Vec::len), Some(19));
        columns.push("gpu_tensorcore_utilization");
        check(
            &tables(stats("Nvidia GPU"))[0],
            &columns,
            &json!([[2.0, 1.0, "Compute", "Eager", 0.75], [0.0, 0.0, "Unknown", "Function", 0.0]]),
        );
    }

    #[test]
    fn tells_training_from_inference() {
        for (provenance, expected) in [
            ("jit(f)/transpose(jvp(x))/dot_general:", "Training"),
            ("gradient_tape/m/MatMul:MatMul", "Training"),
            ("gradients_1/m/MatMul:MatMul", "Training"),
            ("gradient/m/MatMul:MatMul", "Inference"),
            ("jit(f)/transpose[permutation=(1,0)]:", "Inference"),
        ] {
            let x = OpMetrics { provenance: provenance.into(), ..op("x", "", 1) };
            for table in tables(OpStats { device_op_metrics_db: db(vec![x], 1, 1), ..OpStats::default() }) {
                assert_eq!(table["p"], json!({"architecture_type": "Unknown", "task_type": expected}), "{provenance}");
            }
        }
    }
}
