//! The overview's first table: the ops that cost most, and how well the hardware was used.
//!
//! Takes the whole run's statistics, gives the table. Cells called percents are shares of 1, properties are percents.

use std::collections::HashMap;

use xprof_proto::tensorflow::profiler::{HardwareType, OpMetrics, OpMetricsDb};

use crate::answer::datatable::{ColumnType, DataTable, Value};
use crate::answer::number::fixed;
use crate::opstats::RunStats;
use crate::opstats::framework_ops::{IDLE, Idle, regroup};
use crate::opstats::numbers::{percent_text, ps_to_ns, safe_div, six_digits};
use crate::opstats::sort::by_self_time;
use crate::tools::input_pipeline::tpu_table::average;
use crate::tools::input_pipeline::{InputPipeline, Steps};

const MAX_OPS: usize = 10;

/// The table.
pub fn table(run: &RunStats, hardware: HardwareType, pipeline: &InputPipeline) -> DataTable {
    let ops = regroup(run.device_ops(), Idle::Exclude);
    let mut table = DataTable::new();
    // The text decides what the table looks like, the kind of hardware what is known about idle time.
    let is_gpu = run.run_environment().device_type.contains("GPU");
    let is_tpu = hardware == HardwareType::Tpu;
    set_columns(&mut table, is_gpu);
    let kernels = if is_gpu { tensor_core_use(run) } else { HashMap::new() };
    let mut cumulative = 0.0;
    for op in by_self_time(&ops.metrics_db).into_iter().take(MAX_OPS) {
        let share = safe_div(op.self_time_ps as f64, ops.total_op_time_ps as f64);
        cumulative += share;
        let flop_rate = safe_div(op.flops_v2, ps_to_ns(op.time_ps));
        let (is_eligible, is_used) = kernels.get(op.name.as_str()).copied().unwrap_or_default();
        let mut cells: Vec<Value> =
            vec![share.into(), cumulative.into(), op.category.clone().into(), op.name.clone().into(), flop_rate.into()];
        if is_gpu {
            cells.extend([is_eligible.into(), is_used.into()]);
        }
        table.row(cells);
    }
    set_common_properties(&mut table, run, &ops);
    if is_gpu {
        set_precision_properties(&mut table, run.device_ops());
    } else {
        set_idle_properties(&mut table, run, is_tpu);
    }
    let trusted_idle_ps = run.device_ops().idle_time_high_confidence_ps;
    if is_tpu && trusted_idle_ps != 0 {
        table.property("idle_time_high_confidence_ps", six_digits(trusted_idle_ps as f64));
    }
    set_step_properties(&mut table, pipeline);
    table
}

fn set_columns(table: &mut DataTable, is_gpu: bool) {
    table.column("selfTimePercent", ColumnType::Number, "Time (%)");
    table.column("cumulativeTimePercent", ColumnType::Number, "Cumulative time (%)");
    table.column("category", ColumnType::String, "Category");
    table.column("operation", ColumnType::String, "Operation");
    if is_gpu {
        table.column("flopRate", ColumnType::Number, "GFLOPs/Sec");
        table.column("tcEligibility", ColumnType::Boolean, "TensorCore eligibility");
        table.column("tcUtilization", ColumnType::Boolean, "Op is using TensorCore");
    } else {
        table.column("flopRate", ColumnType::Number, "Bf16 Normalized Flop Rate(GFLOPs/Sec)");
    }
}

/// By op: whether any of its kernels could use TensorCores, and whether any does.
fn tensor_core_use(run: &RunStats) -> HashMap<&str, (bool, bool)> {
    let mut ops = HashMap::new();
    for report in run.kernels() {
        let (is_eligible, is_used) = ops.entry(report.op_name.as_str()).or_insert((false, false));
        *is_eligible |= report.is_op_tensor_core_eligible;
        *is_used |= report.is_kernel_using_tensor_core && report.total_duration_ns != 0;
    }
    ops
}

fn set_common_properties(table: &mut DataTable, run: &RunStats, device_ops: &OpMetricsDb) {
    let counters = run.op_stats().performance_counter_result.unwrap_or_default();
    let occurrences = |rows: &[OpMetrics]| rows.iter().map(|op| u64::from(op.occurrences)).sum::<u64>() as f64;
    let n_host = occurrences(&run.host_ops().metrics_db);
    let n_device = occurrences(&device_ops.metrics_db);
    let n = n_host + n_device;
    table.property("host_trace_level", run.run_environment().host_trace_level.to_string());
    table.property("remark_text", "").property("remark_color", "");
    for (name, percent) in [
        ("host_tf_op_percent", 100.0 * safe_div(n_host, n)),
        ("device_tf_op_percent", 100.0 * safe_div(n_device, n)),
        ("host_op_time_eager_percent", eager_percent(run.host_ops())),
        ("device_op_time_eager_percent", eager_percent(device_ops)),
        ("mxu_utilization_percent", counters.matrix_unit_utilization_percent),
        ("hbm_utilization_percent", counters.hbm_utilization_percent),
    ] {
        table.property(name, percent_text(percent));
    }
}

/// The share of eager ops in the time that was not idle.
fn eager_percent(db: &OpMetricsDb) -> f64 {
    let (mut eager, mut total) = (0_u64, 0_u64);
    for op in db.metrics_db.iter().filter(|op| op.category != IDLE) {
        total = total.wrapping_add(op.self_time_ps);
        if op.is_eager {
            eager = eager.wrapping_add(op.self_time_ps);
        }
    }
    100.0 * safe_div(eager as f64, total as f64)
}

fn set_precision_properties(table: &mut DataTable, device: &OpMetricsDb) {
    let precision = device.precision_stats.unwrap_or_default();
    let (half, full) = (precision.compute_16bit_ps, precision.compute_32bit_ps);
    let total = half.wrapping_add(full) as f64;
    table.property("device_compute_16bit_percent", percent_text(100.0 * safe_div(half as f64, total)));
    table.property("device_compute_32bit_percent", percent_text(100.0 * safe_div(full as f64, total)));
}

fn set_idle_properties(table: &mut DataTable, run: &RunStats, is_tpu: bool) {
    let device = run.device_ops();
    // On other hardware none of this is measured.
    let if_measured = |percent: f64| percent_text(if is_tpu { percent } else { 0.0 });
    let idle_percent = |db: &OpMetricsDb| 100.0 * (1.0 - safe_div(db.total_op_time_ps as f64, db.total_time_ps as f64));
    let duty_percent = |busy: u64, idle: u64| 100.0 * safe_div(busy as f64, busy.wrapping_add(idle) as f64);
    // parity: these two are never measured.
    table.property("flop_rate_utilization_relative_to_roofline", "0.0%");
    table.property("memory_bw_utilization_relative_to_hw_limit", "0.0%");
    table.property("device_idle_time_percent", if_measured(idle_percent(device)));
    table.property("host_idle_time_percent", if_measured(idle_percent(run.host_ops())));
    let duty = duty_percent(device.busy_time_ps, device.idle_time_ps);
    let trusted_duty = duty_percent(device.busy_time_high_confidence_ps, device.idle_time_high_confidence_ps);
    table.property("device_duty_cycle_percent", if_measured(duty));
    table.property("device_duty_cycle_high_confidence_percent", if_measured(trusted_duty));
}

fn set_step_properties(table: &mut DataTable, pipeline: &InputPipeline) {
    let Steps::Tpu(steps) = &pipeline.steps else { return };
    let mut set = |name: &'static str, value: f64, decimals| {
        if value != 0.0 {
            table.property(name, fixed(value, decimals));
        }
    };
    set("active_steptime_ms_average", average(steps, |s| s.active_step_time_ms), 2);
    set("tc_active_ms_average", average(steps, |s| s.tc_active_time_ms), 2);
    set("sc_active_ms_average", average(steps, |s| s.sc_active_time_ms), 2);
    let sc_step_time = average(steps, |s| s.sc_step_time_ms);
    if sc_step_time != 0.0 {
        for (name, value) in [
            ("sc_steptime_average", sc_step_time),
            ("sc_infeed_time_avg", average(steps, |s| s.sc_infeed_time_ms)),
            ("sc_outfeed_time_avg", average(steps, |s| s.sc_outfeed_time_ms)),
            ("sc_idle_time_avg", average(steps, |s| s.sc_idle_time_ms)),
        ] {
            table.property(name, fixed(value, 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opstats::hardware::hardware;
    use crate::opstats::tests::run_of;
    use crate::tools::input_pipeline::analyze;
    use xprof_proto::tensorflow::profiler::{KernelReport, KernelStatsDb, OpStats, RunEnvironment};

    fn check(device_type: &str, op_stats: OpStats, csv: &str, properties: &[(&str, &str)]) {
        let run_environment = Some(RunEnvironment { device_type: device_type.into(), ..RunEnvironment::default() });
        let run = run_of(OpStats { run_environment, ..op_stats });
        let hardware = hardware(run.run_environment());
        let table = table(&run, hardware, &analyze(&run));
        assert_eq!(crate::answer::csv::write(&table).split_once('\n').map(|(_, rows)| rows), Some(csv));
        for (name, value) in properties {
            assert_eq!(table.properties().get(*name).map(AsRef::as_ref), Some(*value), "{name}");
        }
    }

    #[test]
    fn shows_shares_of_ops() {
        let op = |name: &str, self_time_ps| OpMetrics {
            name: name.into(),
            category: "fusion".into(),
            self_time_ps,
            time_ps: self_time_ps,
            flops_v2: 2000.0,
            occurrences: 1,
            ..OpMetrics::default()
        };
        let device = OpMetricsDb {
            metrics_db: vec![op("a", 1000), op("b", 3000)],
            total_op_time_ps: 4000,
            total_time_ps: 8000,
            busy_time_ps: 1,
            idle_time_ps: 3,
            ..OpMetricsDb::default()
        };
        let kernel = |is_eligible, is_kernel_using_tensor_core| KernelReport {
            op_name: "a".into(),
            is_op_tensor_core_eligible: is_eligible,
            is_kernel_using_tensor_core,
            total_duration_ns: 1,
            ..KernelReport::default()
        };
        let stats = OpStats {
            device_op_metrics_db: Some(device),
            kernel_stats_db: Some(KernelStatsDb { reports: vec![kernel(false, false), kernel(true, true)] }),
            ..OpStats::default()
        };
        check(
            "Nvidia GPU (Hopper)",
            stats.clone(),
            "\"0.75\",\"0.75\",\"Unknown\",\"b\",\"666.6666666666666\",\"False\",\"False\"\n\
             \"0.25\",\"1.0\",\"Unknown\",\"a\",\"2000.0\",\"True\",\"True\"\n",
            &[("device_compute_16bit_percent", "0.0%"), ("device_tf_op_percent", "100.0%")],
        );
        check(
            "TPU v5",
            stats,
            "\"0.75\",\"0.75\",\"Unknown\",\"b\",\"666.6666666666666\"\n\"0.25\",\"1.0\",\"Unknown\",\"a\",\"2000.0\"\n",
            &[
                ("device_idle_time_percent", "50.0%"),
                ("host_idle_time_percent", "100.0%"),
                ("device_duty_cycle_percent", "25.0%"),
            ],
        );
    }
}
