//! Whether the program waits for its input, and what in the input pipeline takes the time.
//!
//! Takes the statistics of all hosts; gives five tables: the cores that waited longest, the steps, the input ops of the
//! hosts, advice, and messages. The first is exported as CSV; without TPUs it is empty.

mod host_ops;
mod max_infeed;
mod recommendation;

use crate::answer::Answer;
use crate::opstats::step_diagnostics::{self, Messages};
use crate::opstats::{self, EdgeSteps, HostStats, Reducer, RunStats};
use crate::prep::Prepared;
use crate::tools::input_pipeline;
use crate::tools::{Params, Tool};
use crate::{Diag, Result};

/// The tool.
#[derive(Debug)]
pub struct InputPipelineAnalyzer;

impl Tool for InputPipelineAnalyzer {
    const NAME: &'static str = "input_pipeline_analyzer";

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
        let pipeline = input_pipeline::analyze(run);
        // What the run itself reported is told by the overview, not here.
        let messages = Messages { warnings: step_diagnostics::step_warnings(run), ..Messages::default() };
        let tables = [
            max_infeed::table(&pipeline.steps),
            pipeline.steps_table(),
            host_ops::table(&pipeline.input_time),
            recommendation::table(),
            step_diagnostics::table(&messages),
        ];
        out.text("[");
        for (i, table) in tables.iter().enumerate() {
            out.text(if i == 0 { "" } else { "," });
            out.table(table);
        }
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
    use xprof_proto::tensorflow::profiler::{
        Diagnostics, HardwareType, OpStats, PerCoreStepInfo, RunEnvironment, StepDatabaseResult,
    };

    fn run(hardware: HardwareType) -> RunStats {
        let step_sequence = vec![PerCoreStepInfo::default()];
        run_of(OpStats {
            run_environment: Some(RunEnvironment { hardware_type: hardware.into(), ..RunEnvironment::default() }),
            step_db: Some(StepDatabaseResult { step_sequence, num_steps_dropped: 1, ..StepDatabaseResult::default() }),
            diagnostics: Some(Diagnostics { errors: vec!["reported".into()], ..Diagnostics::default() }),
            ..OpStats::default()
        })
    }

    fn answer(hardware: HardwareType, format: Format) -> String {
        let mut answer = Answer::new(format);
        InputPipelineAnalyzer::render(&run(hardware), &(), &mut answer).unwrap();
        String::from_utf8(answer.finish().unwrap().body.to_vec()).unwrap()
    }

    #[test]
    fn writes_five_tables() {
        let check = |hardware, first_ids: [&str; 5], n_rows: [usize; 5]| {
            let tables: Vec<Value> = serde_json::from_str(&answer(hardware, Format::Native)).unwrap();
            let first_id = |table: &Value| table["cols"][0]["id"].as_str().unwrap_or_default().to_owned();
            assert_eq!(tables.iter().map(first_id).collect::<Vec<_>>(), first_ids);
            let rows = |table: &Value| table["rows"].as_array().map_or(0, Vec::len);
            assert_eq!(tables.iter().map(rows).collect::<Vec<_>>(), n_rows);
            assert!(tables[4]["rows"][0]["c"][1]["v"].as_str().unwrap().starts_with("1 steps dropped."));
        };
        check(HardwareType::Tpu, ["index", "stepnum", "opName", "link", "severity"], [2, 1, 0, 5, 1]);
        check(HardwareType::Gpu, ["", "stepnum", "opName", "link", "severity"], [0, 0, 0, 5, 1]);
    }

    #[test]
    fn exports_the_first_table() {
        let expected = "\"Index\",\"0\"\n\"Step number\",\"-1\"\n\"Core name\",\"unknown\"\n";
        assert_eq!(answer(HardwareType::Tpu, Format::Csv), expected);
        assert_eq!(answer(HardwareType::CpuOnly, Format::Csv), "\n");
    }
}
