//! What each core of a pod did in each step, to find the ones that keep the others waiting.
//!
//! Takes the statistics of all hosts; gives a `PodViewerDatabase` message as JSON: per step and core the time by kind of
//! activity, in microseconds.

mod breakdown;

use xprof_proto::tensorflow::profiler::{CoreDetails, PerCoreStepInfo, StepInfoResult};

use crate::answer::Answer;
use crate::answer::json::{Dialect, JsonWriter};
use crate::opstats::numbers::ps_to_us;
use crate::opstats::step_diagnostics;
use crate::opstats::{self, EdgeSteps, HostStats, Reducer, RunStats};
use crate::prep::Prepared;
use crate::tools::{Params, Tool};
use crate::{Diag, Result};
use breakdown::{Activity, Breakdown};

/// The tool.
#[derive(Debug)]
pub struct PodViewer;

impl Tool for PodViewer {
    const NAME: &'static str = "pod_viewer";

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
        // parity: the reference keeps all steps if this tool is the first that a session is asked for, and else shows those
        // that the first one left in its cache. The order of requests must not matter here, so it is as after the overview.
        Reducer::new(EdgeSteps::Drop)
    }

    // === render ===

    fn render(run: &RunStats, (): &(), out: &mut Answer) -> Result<()> {
        let mut json = JsonWriter::new(out.buffer(), Dialect::Proto);
        json.begin_object().key("podStatsSequence").begin_object().key("podStatsMap").begin_array();
        for step in run.steps() {
            write_step(&mut json, step, run);
        }
        json.end_array().end_object();
        write_diagnostics(&mut json, &step_diagnostics::step_warnings(run));
        json.key("stepBreakdownEvents").begin_array();
        for activity in Activity::ALL {
            json.begin_object().key("id").int(activity as i32).key("name").string(activity.name()).end_object();
        }
        json.end_array().key("deviceType").string(&run.run_environment().device_type).end_object();
        Ok(())
    }
}

/// One step of all cores. `parity:` cores of which no details are known are left out.
fn write_step(json: &mut JsonWriter<'_>, step: &PerCoreStepInfo, run: &RunStats) {
    json.begin_object().key("stepNum").int(step.step_num).key("podStatsPerCore").begin_object();
    for (core_id, info) in &step.step_info_per_core {
        if let Some(details) = run.op_stats().core_id_to_details.get(core_id) {
            json.key(&core_id.to_string());
            write_core(json, info, details);
        }
    }
    json.end_object();
    // Fields of the message that are never filled.
    json.key("channelDb").begin_array().end_array();
    json.key("coreIdToReplicaIdMap").begin_object().end_object();
    json.key("allReduceOpDb").begin_array().end_array().end_object();
}

/// One core in one step. `parity:` chips and nodes are not told apart.
fn write_core(json: &mut JsonWriter<'_>, info: &StepInfoResult, details: &CoreDetails) {
    let breakdown = Breakdown::new(info);
    json.begin_object().key("hostName").string(&details.hostname).key("chipId").int(0).key("nodeId").int(0);
    json.key("stepNum").int(info.step_num).key("totalDurationUs").double(ps_to_us(info.duration_ps));
    json.key("bottleneck").string(breakdown.bottleneck().name()).key("stepBreakdownUs").begin_object();
    for (activity, ps) in breakdown.iter() {
        json.key(&(activity as i32).to_string()).double(ps_to_us(ps));
    }
    json.end_object().end_object();
}

fn write_diagnostics(json: &mut JsonWriter<'_>, warnings: &[String]) {
    json.key("diagnostics").begin_object().key("info").begin_array().end_array().key("warnings").begin_array();
    for warning in warnings {
        json.string(warning);
    }
    json.end_array().key("errors").begin_array().end_array().end_object();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Format;
    use crate::opstats::tests::run_of;
    use prost_types::Any;
    use xprof_proto::tensorflow::profiler::{GenericStepBreakdown, OpStats, RunEnvironment, StepDatabaseResult};

    const KINDS: &str = "\"stepBreakdownEvents\":[{\"id\":1,\"name\":\"Device compute\"},\
         {\"id\":2,\"name\":\"Device to device\"},{\"id\":3,\"name\":\"Device collective communication\"},\
         {\"id\":4,\"name\":\"Host compute\"},{\"id\":5,\"name\":\"Kernel launch\"},{\"id\":6,\"name\":\"Input\"},\
         {\"id\":7,\"name\":\"Output\"},{\"id\":8,\"name\":\"Compilation\"},{\"id\":9,\"name\":\"All others\"}]";

    fn check(step_sequence: Vec<PerCoreStepInfo>, expected: &str, warning: &str) {
        let details = CoreDetails { hostname: "a<b".into(), local_chip_id: 5, ..CoreDetails::default() };
        let run = run_of(OpStats {
            step_db: Some(StepDatabaseResult { step_sequence, ..StepDatabaseResult::default() }),
            core_id_to_details: [(1, details.clone()), (1003, details)].into(),
            run_environment: Some(RunEnvironment { device_type: "TPU v5".into(), ..RunEnvironment::default() }),
            ..OpStats::default()
        });
        let mut answer = Answer::new(Format::Native);
        PodViewer::render(&run, &(), &mut answer).unwrap();
        let body = String::from_utf8(answer.finish().unwrap().body.to_vec()).unwrap();
        let (steps, rest) = body.split_once(",\"diagnostics\":").unwrap();
        assert_eq!(steps, format!("{{\"podStatsSequence\":{{\"podStatsMap\":[{expected}]}}"));
        assert!(rest.starts_with(&format!("{{\"info\":[],\"warnings\":[{warning}")), "{rest}");
        assert!(rest.ends_with(&format!("],\"errors\":[]}},{KINDS},\"deviceType\":\"TPU v5\"}}")), "{rest}");
    }

    #[test]
    fn writes_cores_with_details() {
        let breakdown =
            GenericStepBreakdown { type_ps: [(10, 2_500_000), (80, 1)].into(), ..GenericStepBreakdown::default() };
        let core = StepInfoResult {
            step_num: 8,
            duration_ps: 3_000_000,
            step_breakdown: Any::from_msg(&breakdown).ok(),
            ..StepInfoResult::default()
        };
        let step = PerCoreStepInfo {
            step_num: 7,
            step_info_per_core: [(1003, core.clone()), (2, core)].into(),
            ..PerCoreStepInfo::default()
        };
        check(
            vec![step],
            "{\"stepNum\":7,\"podStatsPerCore\":{\"1003\":{\"hostName\":\"a\\u003cb\",\"chipId\":0,\"nodeId\":0,\
             \"stepNum\":8,\"totalDurationUs\":3,\"bottleneck\":\"Host compute\",\"stepBreakdownUs\":{\"1\":0,\"2\":0,\
             \"3\":0,\"4\":2.5,\"5\":0,\"6\":1e-06,\"7\":0,\"8\":0,\"9\":0}}},\"channelDb\":[],\
             \"coreIdToReplicaIdMap\":{},\"allReduceOpDb\":[]}",
            "]",
        );
    }

    #[test]
    fn warns_without_steps() {
        check(Vec::new(), "", "\"No step marker observed");
    }

    #[test]
    fn is_no_table() {
        let answer = |format| {
            let mut answer = Answer::new(format);
            PodViewer::render(&run_of(OpStats::default()), &(), &mut answer).unwrap();
            answer.finish()
        };
        assert!(answer(Format::Native).is_ok() && answer(Format::Csv).is_err());
    }
}
