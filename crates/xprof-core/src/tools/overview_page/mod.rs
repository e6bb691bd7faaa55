//! The first page of a run: what it ran on, where its time went, what to do next.
//!
//! Takes the statistics of all hosts; gives seven tables (one of them unused) of which the first is exported as CSV.

mod analysis;
mod inference_latency;
mod recommendation;
mod run_environment;

use crate::answer::Answer;
use crate::opstats::hardware::hardware;
use crate::opstats::step_diagnostics::{self, Messages};
use crate::opstats::{self, EdgeSteps, HostStats, Reducer, RunStats};
use crate::prep::Prepared;
use crate::tools::input_pipeline;
use crate::tools::{Params, Tool};
use crate::{Diag, Result};

const NO_DEVICE_TRACE: &str = "No TensorCore device trace was collected. This might happen if your job hadn't been \
     run on the device when sampling was turned on. You could try the sampling again later.";

/// The tool.
#[derive(Debug)]
pub struct OverviewPage;

impl Tool for OverviewPage {
    const NAME: &'static str = "overview_page";

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
        let hardware = hardware(run.run_environment());
        let tables = [
            analysis::table(run, hardware, &pipeline),
            pipeline.steps_table(),
            run_environment::table(run.run_environment()),
            recommendation::table(run, hardware, &pipeline),
            inference_latency::table(run),
        ];
        out.text("[");
        for table in &tables {
            out.table(table);
            out.text(",");
        }
        // parity: an unused place, and the only blank in the answer.
        out.text(" {},");
        out.table(&step_diagnostics::table(&messages(run)));
        out.text("]");
        Ok(())
    }
}

fn messages(run: &RunStats) -> Messages {
    let environment = run.run_environment();
    let reported = run.op_stats().diagnostics.clone().unwrap_or_default();
    let mut errors = reported.errors;
    errors.sort();
    if errors.is_empty() && environment.device_type != "CPU" && environment.device_core_count <= 0 {
        errors.push(NO_DEVICE_TRACE.to_owned());
    }
    let mut warnings = reported.warnings;
    warnings.extend(step_diagnostics::step_warnings(run));
    Messages { errors, warnings, infos: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Format;
    use crate::opstats::tests::run_of;
    use xprof_proto::tensorflow::profiler::{Diagnostics, OpStats, RunEnvironment};

    #[test]
    fn writes_seven_elements() {
        let mut answer = Answer::new(Format::Native);
        OverviewPage::render(&run_of(OpStats::default()), &(), &mut answer).unwrap();
        let body = String::from_utf8(answer.finish().unwrap().body.to_vec()).unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(parsed.as_array().map(Vec::len), Some(7));
        assert!(body.contains("]}, {},{"));
    }

    #[test]
    fn reports_errors_and_warnings() {
        let check = |device_type: &str, errors: &[&str], expected: &[&str]| {
            let run = run_of(OpStats {
                run_environment: Some(RunEnvironment { device_type: device_type.into(), ..Default::default() }),
                diagnostics: Some(Diagnostics {
                    errors: errors.iter().map(|e| (*e).to_owned()).collect(),
                    warnings: vec!["w".into()],
                    ..Diagnostics::default()
                }),
                ..OpStats::default()
            });
            let messages = messages(&run);
            assert_eq!(messages.errors, expected);
            assert_eq!((messages.warnings.len(), messages.warnings[0].as_str()), (2, "w"));
        };
        check("TPU", &[], &[NO_DEVICE_TRACE]);
        check("TPU", &["b", "a"], &["a", "b"]);
        check("CPU", &[], &[]);
    }
}
