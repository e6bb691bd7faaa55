//! Steps on GPUs, CPUs and unknown hardware.
//!
//! Takes the step database and gives a row per step with its time by kind of event.
//! `parity:` only core 1 counts, which is the first host's: other hosts' breakdowns are not shown.

use xprof_proto::tensorflow::profiler::{GenericStepBreakdown, PerCoreStepInfo, StepInfoResult};

use crate::answer::datatable::{ColumnType, DataTable};
use crate::answer::number::fixed;
use crate::opstats::event_type::EventType;
use crate::opstats::numbers::{Stat, ps_to_ms, safe_div};

use super::bottleneck::{Bottleneck, next_step};
use super::{InputPipeline, summary_properties};

/// The core under which a host without TPUs reports its steps.
const GENERIC_CORE_ID: u32 = 1;

/// One step by kind of event, in milliseconds.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the fields are the kinds of event")]
pub struct GenericStep {
    /// The step's name, or its number.
    pub name: String,
    pub step_time_ms: f64,
    pub unknown_ms: f64,
    pub host_wait_input_ms: f64,
    pub host_to_device_ms: f64,
    pub output_ms: f64,
    pub device_compute_ms: f64,
    pub device_to_device_ms: f64,
    pub device_collectives_ms: f64,
    pub host_compute_ms: f64,
    pub host_prepare_ms: f64,
    pub host_compile_ms: f64,
}

impl GenericStep {
    fn new(info: &StepInfoResult, breakdown: &GenericStepBreakdown) -> Self {
        use EventType as E;
        let ms = |types: &[EventType]| {
            let times = types.iter().filter_map(|t| breakdown.type_ps.get(&t.0));
            ps_to_ms(times.fold(0, |sum, ps| sum.wrapping_add(*ps)))
        };
        Self {
            name: if info.step_name.is_empty() { info.step_num.to_string() } else { info.step_name.clone() },
            step_time_ms: ps_to_ms(info.duration_ps),
            unknown_ms: ms(&[E::UNKNOWN]),
            host_wait_input_ms: ms(&[E::HOST_WAIT_INPUT]),
            host_to_device_ms: ms(&[E::HOST_TO_DEVICE, E::DEVICE_WAIT_HOST]),
            output_ms: ms(&[E::DEVICE_TO_HOST]),
            device_compute_ms: ms(&[E::DEVICE_COMPUTE_16, E::DEVICE_COMPUTE_32]),
            device_to_device_ms: ms(&[E::DEVICE_TO_DEVICE, E::DEVICE_WAIT_DEVICE]),
            device_collectives_ms: ms(&[E::DEVICE_COLLECTIVES]),
            host_compute_ms: ms(&[E::HOST_COMPUTE]),
            host_prepare_ms: ms(&[E::HOST_PREPARE]),
            host_compile_ms: ms(&[E::HOST_COMPILE]),
        }
    }

    /// Waiting for input, and moving it to the device.
    pub fn input_ms(&self) -> f64 {
        self.host_wait_input_ms + self.host_to_device_ms
    }
}

/// The steps; `None` if one has a breakdown of another type.
pub fn steps(sequence: &[PerCoreStepInfo]) -> Option<Vec<GenericStep>> {
    let infos = sequence.iter().filter_map(|step| step.step_info_per_core.get(&GENERIC_CORE_ID));
    let step = |info: &StepInfoResult| {
        let breakdown = info.step_breakdown.as_ref()?.to_msg::<GenericStepBreakdown>().ok()?;
        Some(GenericStep::new(info, &breakdown))
    };
    infos.map(step).collect()
}

/// The share of step time spent moving input to the device.
pub fn infeed_ratio(steps: &[GenericStep]) -> f64 {
    let transfer: Stat = steps.iter().map(|s| s.host_to_device_ms).collect();
    let step: Stat = steps.iter().map(|s| s.step_time_ms).collect();
    if step.avg() > 0.0 { safe_div(transfer.avg(), step.avg()) } else { 0.0 }
}

/// A kind of event as the table shows it: column, label, stem of the properties' names, value.
type Shown = (&'static str, &'static str, &'static str, fn(&GenericStep) -> f64);

const SHOWN: [Shown; 9] = [
    ("deviceComputeTimeMs", "Device compute", "device_compute_time", |s| s.device_compute_ms),
    ("deviceToDeviceTimeMs", "Device to device", "device_to_device_time", |s| s.device_to_device_ms),
    ("deviceCollectivesTimeMs", "Device collective communication", "device_collectives_time", |s| {
        s.device_collectives_ms
    }),
    ("hostComputeTimeMs", "Host compute", "host_compute_time", |s| s.host_compute_ms),
    ("kernelLaunchTimeMs", "Kernel launch", "kernel_launch_time", |s| s.host_prepare_ms),
    ("infeedTimeMs", "Input", "infeed_time", GenericStep::input_ms),
    ("outfeedTimeMs", "Output", "outfeed_time", |s| s.output_ms),
    ("compileTimeMs", "Compilation", "compile_time", |s| s.host_compile_ms),
    ("otherTimeMs", "All others", "other_time", |s| s.unknown_ms),
];

/// The table with a row per step; `None` if the steps cannot be read.
pub fn table(analysis: &InputPipeline, steps: Option<&[GenericStep]>) -> DataTable {
    let mut table = DataTable::new();
    table.column("stepnum", ColumnType::String, "Step number");
    for (id, label, ..) in SHOWN {
        table.column(id, ColumnType::Number, label);
    }
    table.column_with_role("tooltip", ColumnType::String, "tooltip", "tooltip");
    table.column("stepTimeMs", ColumnType::Number, "Step time");
    for step in steps.unwrap_or_default() {
        let times = SHOWN.map(|(.., value)| value(step).into());
        let ends = [tooltip(step).into(), step.step_time_ms.into()];
        table.row([step.name.clone().into()].into_iter().chain(times).chain(ends));
    }
    set_properties(&mut table, analysis, steps);
    table
}

fn set_properties(table: &mut DataTable, analysis: &InputPipeline, steps: Option<&[GenericStep]>) {
    table.property("hardware_type", analysis.hardware);
    summary_properties(table, "steptime_ms", &analysis.step_time, 1);
    let ids = SHOWN.map(|(id, ..)| id).join(",");
    // parity: the blank before the last id is in the reference's answer.
    table.property("step_time_graph_column_ids", format!("stepnum,{ids}, tooltip"));
    for (_, _, stem, value) in SHOWN.into_iter().filter(|_| steps.is_some()) {
        let stat: Stat = steps.into_iter().flatten().map(value).collect();
        table.property(format!("{stem}_ms_avg"), fixed(stat.avg(), 1));
        table.property(format!("{stem}_ms_sdv"), fixed(stat.standard_deviation(), 1));
    }
    let uses_tf_data = analysis.input_time.uses_tf_data();
    let bottleneck = Bottleneck::of_generic(steps.unwrap_or_default(), uses_tf_data);
    table.property("summary_nextstep", next_step(&bottleneck.input, uses_tf_data));
    table.property("input_conclusion", bottleneck.input.statement);
    // parity: both members of each pair hold the statement.
    for (stem, conclusion) in [
        ("device_collectives", bottleneck.device_collectives),
        ("kernel_launch", bottleneck.kernel_launch),
        ("all_other", bottleneck.all_other),
    ] {
        table.property(format!("{stem}_bottleneck"), conclusion.statement.clone());
        table.property(format!("{stem}_statement"), conclusion.statement);
    }
}

fn tooltip(step: &GenericStep) -> String {
    let mut lines = vec![format!("Step {}, duration: {} ms", step.name, fixed(step.step_time_ms, 2))];
    lines.extend(SHOWN.iter().rev().map(|(_, label, _, value)| {
        let label = if *label == "Device collective communication" { "Device collectives" } else { label };
        format!("-{label}: {} ms", fixed(value(step), 2))
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Any;
    use xprof_proto::tensorflow::profiler::SparseCoreStepBreakdown;

    fn step(core: u32, breakdown: Option<Any>) -> PerCoreStepInfo {
        let info = StepInfoResult {
            step_num: 7,
            duration_ps: 10_000_000_000,
            step_breakdown: breakdown,
            ..StepInfoResult::default()
        };
        PerCoreStepInfo { step_info_per_core: [(core, info)].into(), ..PerCoreStepInfo::default() }
    }

    fn check(sequence: &[PerCoreStepInfo], expected: Option<&[(&str, f64, f64)]>) {
        let steps = steps(sequence);
        let row = |s: &GenericStep| (s.name.clone(), s.step_time_ms, s.input_ms());
        let got: Option<Vec<_>> = steps.map(|steps| steps.iter().map(row).collect());
        let expected = expected.map(|rows| rows.iter().map(|(name, a, b)| ((*name).to_owned(), *a, *b)).collect());
        assert_eq!(got, expected);
    }

    #[test]
    fn reads_core_1() {
        let generic = GenericStepBreakdown {
            type_ps: [(110, 1_000_000_000), (80, 2_000_000_000), (170, 3_000_000_000)].into(),
            ..GenericStepBreakdown::default()
        };
        let generic = Any::from_msg(&generic).ok();
        let sparse = Any::from_msg(&SparseCoreStepBreakdown::default()).ok();
        check(&[step(1, generic.clone()), step(1001, None)], Some(&[("7", 10.0, 6.0)]));
        check(&[step(1, generic.clone()), step(1, sparse)], None);
        check(&[step(1, generic), step(1, None)], None);
    }

    #[test]
    fn writes_tooltips() {
        let step =
            GenericStep { name: "train 1".into(), step_time_ms: 1.0, unknown_ms: 0.125, ..GenericStep::default() };
        assert_eq!(
            tooltip(&step),
            "Step train 1, duration: 1.00 ms\n-All others: 0.12 ms\n-Compilation: 0.00 ms\n-Output: 0.00 ms\n\
             -Input: 0.00 ms\n-Kernel launch: 0.00 ms\n-Host compute: 0.00 ms\n-Device collectives: 0.00 ms\n\
             -Device to device: 0.00 ms\n-Device compute: 0.00 ms"
        );
    }
}
