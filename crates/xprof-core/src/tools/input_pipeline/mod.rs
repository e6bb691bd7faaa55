//! Where the time of steps goes, and whether the program waits for its input.
//!
//! Takes the statistics of the whole run; gives a step table with its properties, and conclusions in words.
//! Shared by the tools that show steps: `overview_page` and `input_pipeline_analyzer`.
//! Must not know how a tool arranges its tables.

pub mod bottleneck;
pub mod generic_steps;
pub mod host_ops;
pub mod tpu_convert;
pub mod tpu_steps;
pub mod tpu_table;

use xprof_proto::tensorflow::profiler::{HardwareType, StepInfoResult};

use crate::answer::datatable::DataTable;
use crate::answer::number::fixed;
use crate::opstats::RunStats;
use crate::opstats::core_ids;
use crate::opstats::numbers::{Stat, ps_to_ms};
use bottleneck::Bottleneck;
use generic_steps::GenericStep;
use host_ops::InputTime;
use tpu_steps::TpuStep;

/// What is known of each step.
#[derive(Debug, Clone, PartialEq)]
pub enum Steps {
    /// On GPUs, CPUs and unknown hardware.
    Generic(Vec<GenericStep>),
    /// On TPUs.
    Tpu(Vec<TpuStep>),
    /// A step holds what its hardware would not say.
    Unreadable,
}

/// The analysis of one run.
#[derive(Debug, Clone)]
pub struct InputPipeline {
    /// Name of the kind of hardware, as its hosts reported it.
    pub hardware: &'static str,
    /// Lengths of the steps, in milliseconds.
    pub step_time: Stat,
    /// The steps.
    pub steps: Steps,
    /// Whether SparseCores took part.
    pub has_sparse_cores: bool,
    /// What hosts did to feed the devices.
    pub input_time: InputTime,
}

/// Analyzes one run.
pub fn analyze(run: &RunStats) -> InputPipeline {
    let hardware = run.run_environment().hardware_type();
    let mut step_time: Stat = run.steps().iter().map(|s| longest_core_ms(s.step_info_per_core.iter())).collect();
    let details = &run.op_stats().core_id_to_details;
    let mut has_sparse_cores = details.values().any(|core| core.is_sparse_core);
    let (steps, fallback_ratio) = if hardware == HardwareType::Tpu {
        let steps: Vec<TpuStep> = run.steps().iter().map(|s| TpuStep::new(s, details)).collect();
        has_sparse_cores |= steps.iter().any(|s| s.sc_step_time_ms > 0.0);
        (Steps::Tpu(steps), 0.0)
    } else if let Some(steps) = generic_steps::steps(run.steps()) {
        let ratio = generic_steps::infeed_ratio(&steps);
        (Steps::Generic(steps), ratio)
    } else {
        step_time = Stat::default();
        (Steps::Unreadable, 0.0)
    };
    let input_time = host_ops::input_time(run.host_ops(), fallback_ratio);
    InputPipeline { hardware: hardware.as_str_name(), step_time, steps, has_sparse_cores, input_time }
}

impl InputPipeline {
    /// The table with a row per step.
    pub fn steps_table(&self) -> DataTable {
        match &self.steps {
            Steps::Generic(steps) => generic_steps::table(self, Some(steps)),
            Steps::Unreadable => generic_steps::table(self, None),
            Steps::Tpu(steps) => tpu_table::table(self, steps),
        }
    }

    /// What limits the program, as far as generic steps tell. `parity:` nothing is concluded from the steps of TPUs.
    pub fn generic_bottleneck(&self) -> Option<Bottleneck> {
        match &self.steps {
            Steps::Generic(steps) => Some(Bottleneck::of_generic(steps, self.input_time.uses_tf_data())),
            Steps::Unreadable => Some(Bottleneck::unknown()),
            Steps::Tpu(steps) if steps.is_empty() => Some(Bottleneck::unknown()),
            Steps::Tpu(_) => None,
        }
    }
}

/// The length of a step: that of the core that took longest, SparseCores aside.
fn longest_core_ms<'a>(cores: impl Iterator<Item = (&'a u32, &'a StepInfoResult)>) -> f64 {
    let durations = cores.filter(|(id, _)| !core_ids::is_sparse(**id)).map(|(_, info)| info.duration_ps);
    durations.max().map_or(0.0, ps_to_ms)
}

/// Sets average, deviation, minimum and maximum as properties.
fn summary_properties(table: &mut DataTable, prefix: &str, stat: &Stat, decimals: usize) {
    for (suffix, value) in [
        ("average", stat.avg()),
        ("standard_deviation", stat.standard_deviation()),
        ("minimum", stat.min()),
        ("maximum", stat.max()),
    ] {
        table.property(format!("{prefix}_{suffix}"), fixed(value, decimals));
    }
}
