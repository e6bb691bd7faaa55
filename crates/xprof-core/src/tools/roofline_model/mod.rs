//! How close each op comes to the hardware's roofline: the rate that compute and memory allow.
//!
//! Takes the statistics of all hosts; gives the table of records, first with and then without infeeds and outfeeds,
//! and the table of messages.

mod records;
mod table;

use crate::answer::Answer;
use crate::opstats::roofline::Peaks;
use crate::opstats::step_diagnostics::{self, Messages};
use crate::opstats::{self, EdgeSteps, HostStats, Reducer, RunStats};
use crate::prep::Prepared;
use crate::tools::{Params, Tool};
use crate::{Diag, Result};

/// The tool.
#[derive(Debug)]
pub struct RooflineModel;

impl Tool for RooflineModel {
    const NAME: &'static str = "roofline_model";

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
        Reducer::new(EdgeSteps::Drop)
    }

    // === render ===

    fn render(run: &RunStats, (): &(), out: &mut Answer) -> Result<()> {
        let device = table::Device::of(run);
        let mut messages = Messages::default();
        let mut records = Vec::new();
        if device.has_roofline() {
            messages.warnings = step_diagnostics::step_warnings(run);
            records = records::all(run, &Peaks::of_run(run));
        }
        out.text("[");
        out.table(&table::table(&records, &device));
        out.text(",");
        out.table(&step_diagnostics::table(&messages));
        out.text("]");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Format;
    use crate::opstats::tests::run_of;
    use serde_json::Value;
    use xprof_proto::tensorflow::profiler::op_metrics::TpuCoreType;
    use xprof_proto::tensorflow::profiler::{
        HardwareType, OpMetrics, OpMetricsDb, OpStats, PerCoreStepInfo, PerfEnv, RunEnvironment, StepDatabaseResult,
    };

    fn op(name: &str, category: &str, self_time_ps: u64) -> OpMetrics {
        OpMetrics {
            name: name.into(),
            category: category.into(),
            occurrences: 2,
            time_ps: self_time_ps,
            self_time_ps,
            flops_v2: self_time_ps as f64,
            bytes_accessed: self_time_ps,
            ..OpMetrics::default()
        }
    }

    fn db(ops: Vec<OpMetrics>, total_time_ps: u64) -> OpMetricsDb {
        OpMetricsDb { metrics_db: ops, total_time_ps, ..OpMetricsDb::default() }
    }

    fn run(device_type: &str, hardware: HardwareType) -> RunStats {
        let step = |step_num| PerCoreStepInfo {
            step_num,
            hlo_metrics_db: Some(db(vec![op("add", "fusion", 1_000_000)], 2_000_000)),
            ..PerCoreStepInfo::default()
        };
        run_of(OpStats {
            device_op_metrics_db: Some(db(
                vec![
                    op("add", "fusion", 1_000_000),
                    op("in", "infeed", 3_000_000),
                    op("while.1", "while", 2_000_000),
                    OpMetrics { occurrences: 0, ..op("IDLE", "IDLE", 4_000_000) },
                    OpMetrics { core_type: TpuCoreType::SparseCore as i32, ..op("sc", "infeed", 500_000) },
                ],
                10_000_000,
            )),
            hlo_metrics_db_complete_steps_only: Some(db(vec![op("add", "fusion", 2_000_000)], 4_000_000)),
            step_db: Some(StepDatabaseResult {
                step_sequence: vec![step(7), step(8)],
                num_steps_dropped: 1,
                ..StepDatabaseResult::default()
            }),
            perf_env: Some(PerfEnv { peak_tera_flops_per_second: 1.0, ..PerfEnv::default() }),
            run_environment: Some(RunEnvironment {
                device_type: device_type.into(),
                hardware_type: hardware as i32,
                device_core_count: 2,
                ..RunEnvironment::default()
            }),
            ..OpStats::default()
        })
    }

    fn answer(run: &RunStats) -> Value {
        let mut answer = Answer::new(Format::Native);
        RooflineModel::render(run, &(), &mut answer).unwrap();
        serde_json::from_slice(&answer.finish().unwrap().body).unwrap()
    }

    /// Each row of these columns as one line.
    fn lines(answer: &Value, ids: &[&str]) -> Vec<String> {
        let columns = answer[0]["cols"].as_array().unwrap();
        let places: Vec<usize> = ids.iter().map(|id| columns.iter().position(|c| c["id"] == *id).unwrap()).collect();
        let cell = |row: &Value, i: &usize| row["c"][i]["v"].to_string().replace('"', "");
        let line = |row: &Value| places.iter().map(|i| cell(row, i)).collect::<Vec<_>>().join(" ");
        answer[0]["rows"].as_array().unwrap().iter().map(line).collect()
    }

    #[test]
    fn repeats_all_without_infeeds() {
        let ids =
            ["include_infeed_outfeed", "step", "rank", "operation", "occurrences", "total_time", "total_self_time"];
        assert_eq!(
            lines(&answer(&run("TPU v5", HardwareType::Tpu)), &ids),
            [
                "true Total 0.0 Program 1.0 10.0 0.0",
                "true Total 1.0 in 2.0 3.0 3.0",
                "true Total 2.0 while.1 2.0 2.0 2.0",
                "true Total 3.0 add 2.0 1.0 1.0",
                "true Total 4.0 sc 2.0 0.5 0.5",
                "true Average 0.0 Program 1.0 2.0 0.0",
                "true 7 0.0 Program 1.0 2.0 0.0",
                "true 8 0.0 Program 1.0 2.0 0.0",
                "false Total 0.0 Program 1.0 7.0 0.0",
                "false Total 1.0 while.1 2.0 2.0 2.0",
                "false Total 2.0 add 2.0 1.0 1.0",
                "false Average 0.0 Program 1.0 2.0 0.0",
                "false 7 0.0 Program 1.0 2.0 0.0",
                "false 8 0.0 Program 1.0 2.0 0.0",
            ]
        );
    }

    #[test]
    fn adds_up_the_program() {
        let ids = ["measured_flop_rate", "operational_intensity", "total_self_time_percent", "total_time_per_core"];
        let lines = lines(&answer(&run("TPU v5", HardwareType::Tpu)), &ids);
        // 8e6 FLOP in 1e4 ns, for neither the loop nor what runs in it counts twice; then 5e6 less the infeed's 3e6.
        assert_eq!(lines[0], "800.0 1.0 0.0 5.0");
        assert_eq!(lines[1], "1000.0 1.0 0.3 1.5");
        assert_eq!(lines[8].split(' ').next(), Some("714.2857142857143"));
    }

    #[test]
    fn finds_feeds_and_loops_by_name() {
        let mut stats = run("TPU v5", HardwareType::Tpu).op_stats().clone();
        let unnamed = vec![op("infeed", "", 1_000_000), op("while", "Unknown", 2_000_000), op("add", "", 1_000_000)];
        stats.device_op_metrics_db = Some(db(unnamed, 4_000_000));
        let ids = ["step", "category", "total_time", "measured_flop_rate", "total_time_in_percentage"];
        let lines = lines(&answer(&run_of(stats)), &ids);
        let totals: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("Total ")).collect();
        assert_eq!(
            totals,
            [
                "Program 4.0 500.0 1.0",
                "while 2.0 1000.0 0.5",
                "add 1.0 1000.0 0.25",
                "infeed 1.0 1000.0 0.25",
                "Program 3.0 333.3333333333333 1.0",
                "while 2.0 1000.0 0.5",
                "add 1.0 1000.0 0.25",
            ]
        );
    }

    #[test]
    fn shows_what_the_hardware_has() {
        let check = |device_type: &str, hardware, n_columns: usize, n_rows: usize, device: &str, n_messages: usize| {
            let answer = answer(&run(device_type, hardware));
            assert_eq!(answer[0]["cols"].as_array().map(Vec::len), Some(n_columns));
            assert_eq!(answer[0]["rows"].as_array().map(Vec::len), Some(n_rows));
            assert_eq!(answer[0]["p"]["device_type"], device);
            assert_eq!(answer[1]["rows"].as_array().map(Vec::len), Some(n_messages));
        };
        check("TPU v5", HardwareType::Tpu, 37, 14, "TPU v5", 1);
        check("Nvidia GPU (Hopper)", HardwareType::Gpu, 30, 14, "Nvidia GPU (Hopper)", 1);
        check("gfx950", HardwareType::Gpu, 37, 14, "gfx950", 1);
        check("Nvidia GPU (Hopper)", HardwareType::CpuOnly, 37, 0, "", 0);
        check("TPU v5", HardwareType::UnknownHardware, 37, 0, "", 0);
    }
}
