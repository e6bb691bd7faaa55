//! The step table of a TPU run.
//!
//! Takes the steps and gives the table with its properties and conclusions.

use crate::answer::datatable::{ColumnType, DataTable};
use crate::answer::number::fixed;
use crate::opstats::numbers::Stat;

use super::bottleneck::{self, next_step, output_statement, unknown_input};
use super::tpu_steps::TpuStep;
use super::{InputPipeline, summary_properties};

/// A property with the mean over all steps of some time.
type Average = (&'static str, fn(&TpuStep) -> f64);

const AVERAGES: [Average; 7] = [
    ("tc_compute_ms_average", |s| s.tc_compute_time_ms),
    ("tc_infeed_ms_average", |s| s.tc_infeed_time_ms),
    ("tc_outfeed_ms_average", |s| s.tc_outfeed_time_ms),
    ("tc_idle_ms_average", |s| s.tc_idle_time_ms),
    ("host_transfer_ms_average", |s| s.host_transfer_ms),
    ("tc_active_ms_average", |s| s.tc_active_time_ms),
    ("active_steptime_ms_average", |s| s.active_step_time_ms),
];

const SPARSE_CORE_AVERAGES: [Average; 5] = [
    ("sc_compute_ms_average", |s| s.sc_compute_time_ms),
    ("sc_infeed_ms_average", |s| s.sc_infeed_time_ms),
    ("sc_outfeed_ms_average", |s| s.sc_outfeed_time_ms),
    ("sc_idle_ms_average", |s| s.sc_idle_time_ms),
    ("sc_active_ms_average", |s| s.sc_active_time_ms),
];

/// The table with a row per step.
pub fn table(analysis: &InputPipeline, steps: &[TpuStep]) -> DataTable {
    let mut table = DataTable::new();
    table.column("stepnum", ColumnType::String, "stepnum");
    table.column("tcComputeTimeMs", ColumnType::Number, "TensorCore compute (in ms)");
    // The first generation of SparseCores reported through the TensorCore; later ones are not part of this table.
    let shows_scv0 = !analysis.has_sparse_cores;
    if shows_scv0 {
        table.column("scv0ComputeTimeMs", ColumnType::Number, "SparseCoreV0 compute (in ms)");
        table.column("scv0InfeedTimeMs", ColumnType::Number, "SparseCoreV0 input (in ms)");
    }
    table.column("tcInfeedTimeMs", ColumnType::Number, "TensorCore input (in ms)");
    table.column("tcOutfeedTimeMs", ColumnType::Number, "TensorCore output (in ms)");
    table.column("tcIdleTimeMs", ColumnType::Number, "TensorCore idle (in ms)");
    table.column("hostTransferTimeMs", ColumnType::Number, "Host transfer (in ms)");
    table.column_with_role("tooltip", ColumnType::String, "tooltip", "tooltip");
    let shown: Vec<&str> = table.columns().iter().map(|c| c.id.as_ref()).collect();
    let shown = shown.join(",");
    table.property("step_time_graph_column_ids", shown);
    table.column("infeedPercentAverage", ColumnType::Number, "% step time waiting for input data");
    table.column_with_role("infeedPercentMin", ColumnType::Number, "Infeed percent min", "interval");
    table.column_with_role("infeedPercentMax", ColumnType::Number, "Infeed percent max", "interval");
    for step in steps {
        let scv0 = shows_scv0.then_some([step.scv0_compute_time_ms, step.scv0_infeed_time_ms]);
        let times = [step.tc_compute_time_ms].into_iter().chain(scv0.into_iter().flatten()).chain([
            step.tc_infeed_time_ms,
            step.tc_outfeed_time_ms,
            step.tc_idle_time_ms,
            step.host_transfer_ms,
        ]);
        let percents = [step.infeed_percent_average, step.infeed_percent_minimum, step.infeed_percent_maximum];
        table.row(
            [step.step_number.to_string().into()]
                .into_iter()
                .chain(times.map(Into::into))
                .chain([tooltip(step).into()])
                .chain(percents.map(Into::into)),
        );
    }
    set_properties(&mut table, analysis, steps);
    table
}

fn set_properties(table: &mut DataTable, analysis: &InputPipeline, steps: &[TpuStep]) {
    table.property("hardware_type", analysis.hardware);
    summary_properties(table, "steptime_ms", &analysis.step_time, 2);
    let infeed_percents: Stat = steps.iter().map(|s| s.infeed_percent_maximum).collect();
    summary_properties(table, "infeed_percent", &infeed_percents, 1);
    for (name, time) in AVERAGES {
        table.property(name, fixed(average(steps, time), 2));
    }
    if !analysis.has_sparse_cores {
        table.property("scv0_compute_ms_average", fixed(average(steps, |s| s.scv0_compute_time_ms), 2));
        table.property("scv0_infeed_ms_average", fixed(average(steps, |s| s.scv0_infeed_time_ms), 2));
    }
    let sc_step_time = average(steps, |s| s.sc_step_time_ms);
    if sc_step_time > 0.0 {
        table.property("sc_step_time_ms_average", fixed(sc_step_time, 1));
        for (name, time) in SPARSE_CORE_AVERAGES {
            table.property(name, fixed(average(steps, time), 2));
        }
    }
    set_conclusions(table, analysis, steps);
}

fn set_conclusions(table: &mut DataTable, analysis: &InputPipeline, steps: &[TpuStep]) {
    let sum = |time: fn(&TpuStep) -> f64| steps.iter().map(time).sum::<f64>();
    let total = sum(TpuStep::step_ms);
    let (input, output) = if total == 0.0 {
        (unknown_input(), String::new())
    } else {
        let (input, _) = bottleneck::input_conclusion(100.0 * sum(TpuStep::infeed_ms) / total, 0.0);
        (input, output_statement(100.0 * sum(|s| s.tc_outfeed_time_ms) / total))
    };
    table.property("summary_nextstep", next_step(&input, analysis.input_time.uses_tf_data()));
    table.property("input_conclusion", input.statement);
    table.property("output_conclusion", output);
}

/// The mean of a time over all steps.
pub fn average(steps: &[TpuStep], time: fn(&TpuStep) -> f64) -> f64 {
    steps.iter().map(time).collect::<Stat>().avg()
}

fn tooltip(step: &TpuStep) -> String {
    format!(
        "step {}:\nTime waiting for input data = {} ms, Step time = {} ms",
        step.step_number,
        fixed(step.infeed_ms(), 3),
        fixed(step.step_ms() - step.all_reduce_ms(), 3)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opstats::numbers::Stat;
    use crate::tools::input_pipeline::Steps;
    use crate::tools::input_pipeline::host_ops::InputTime;

    fn check(steps: &[TpuStep], has_sparse_cores: bool, n_columns: usize, properties: &[(&str, Option<&str>)]) {
        let analysis = InputPipeline {
            hardware: "TPU",
            step_time: Stat::default(),
            steps: Steps::Tpu(steps.to_vec()),
            has_sparse_cores,
            input_time: InputTime::default(),
        };
        let table = table(&analysis, steps);
        assert_eq!(table.columns().len(), n_columns);
        assert!(table.rows().all(|row| row.len() == n_columns));
        for (name, value) in properties {
            assert_eq!(table.properties().get(*name).map(AsRef::as_ref), *value, "{name}");
        }
    }

    #[test]
    fn shows_sparse_cores_or_their_first_generation() {
        let step =
            TpuStep { tc_compute_time_ms: 75.0, tc_infeed_time_ms: 25.0, sc_step_time_ms: 100.0, ..TpuStep::default() };
        let tooltip = "step 0:\nTime waiting for input data = 25.000 ms, Step time = 100.000 ms";
        assert_eq!(super::tooltip(&step), tooltip);
        check(
            std::slice::from_ref(&step),
            true,
            10,
            &[("sc_step_time_ms_average", Some("100.0")), ("scv0_infeed_ms_average", None)],
        );
        check(
            &[TpuStep { sc_step_time_ms: 0.0, ..step }],
            false,
            12,
            &[("sc_step_time_ms_average", None), ("scv0_infeed_ms_average", Some("0.00"))],
        );
        check(&[], false, 12, &[("steptime_ms_average", Some("0.00")), ("output_conclusion", Some(""))]);
    }
}
