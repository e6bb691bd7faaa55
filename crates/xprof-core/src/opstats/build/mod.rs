//! Map of the tools that are computed from op statistics: one prepared host becomes one `OpStats`.
//!
//! Takes a [`Prepared`], gives the host's [`HostStats`]. Every long line is walked once, in parallel with the others;
//! what events of one name share is computed before, once per name.
//! It must not know other hosts, nor what a tool makes of the numbers.
//!
//! ```text
//! tpu_facts ─► tpu_events ─► tpu_walk ─► tpu_ops, sparse_core, duty_cycle, steps_tpu ─► idle_to_input
//!                gpu_ops, kernels, steps_gpu ─┐
//!                host_ops, steps_host ────────┴─► step_breakdown
//! ```

mod active;
mod ancestors;
mod core_details;
mod duty_cycle;
mod gpu_ops;
mod host_facts;
mod host_ops;
mod idle_to_input;
mod kernels;
mod modules;
mod op_table;
mod run_env;
mod sparse_core;
mod step_breakdown;
mod step_ops;
mod steps_gpu;
mod steps_host;
mod steps_tpu;
mod tensor_cores;
mod tf_functions;
mod tpu;
mod tpu_events;
mod tpu_facts;
mod tpu_ops;
mod tpu_walk;

pub use run_env::devices;
use xprof_proto::tensorflow::profiler::{FlatOpMetricsDb, KernelStatsDb, OpMetricsDb, OpStats, StepDatabaseResult};
use xprof_proto::xprof::worker::v1;

use self::modules::TraceModules;
use self::step_breakdown::WellFormed;
use self::steps_host::HostActivity;
use super::HostStats;
use crate::hw::DevicePlanes;
use crate::prep::Prepared;
use crate::xspace::Plane;
use crate::xspace::schema::plane_names;
use crate::{Diag, Result};

/// Everything that the tools of the family want to know of one host.
pub fn host_stats(prepared: &Prepared, diag: &mut Diag) -> Result<HostStats> {
    let op_stats = op_stats(prepared, diag)?;
    Ok(HostStats(v1::HostStats { op_stats: Some(op_stats), inference: None }))
}

/// What depends on the kind of device.
#[derive(Debug, Default)]
struct DeviceStats {
    ops: OpMetricsDb,
    steps: StepDatabaseResult,
    step_ops: Option<OpMetricsDb>,
    kernels: KernelStatsDb,
}

/// The op statistics of one host.
pub fn op_stats(prepared: &Prepared, diag: &mut Diag) -> Result<OpStats> {
    diag.check()?;
    let space = &prepared.space;
    let devices = DevicePlanes::of(space);
    let host = space.plane(plane_names::HOST_CPU);
    let is_tpu = matches!(devices, DevicePlanes::Tpu(_));
    let modules = TraceModules::of(space, !is_tpu, diag);

    let shared = &*diag;
    let (device_stats, (host_ops, tf_functions)) = rayon::join(
        || device_stats(prepared, &devices, host, &modules, shared),
        || {
            let ops = host.map(|host| host_ops::host_op_metrics(host, shared)).transpose();
            let functions = host.map(|host| tf_functions::tf_functions(host, shared)).transpose();
            (ops, functions)
        },
    );
    let device_stats = device_stats?;
    modules.report(diag);

    let is_training = modules.is_training();
    let serving = host.filter(|_| !is_training).and_then(|host| host_facts::serving_latency(host, devices.all()));
    Ok(OpStats {
        host_op_metrics_db: host_ops?,
        device_op_metrics_db: Some(device_stats.ops),
        perf_env: run_env::perf_env(&devices),
        step_db: Some(device_stats.steps),
        run_environment: Some(run_env::run_environment(space, is_training)),
        kernel_stats_db: Some(device_stats.kernels),
        tf_function_db: tf_functions?,
        diagnostics: host_facts::diagnostics(space),
        hlo_metrics_db_complete_steps_only: device_stats.step_ops,
        core_id_to_details: core_details::core_details(&devices, run_env::hostname(space)),
        program_id_to_name_map: modules.names(),
        performance_counter_result: host.and_then(host_facts::performance_counters),
        disaggregated_serving_latency: serving,
        // Nothing fills it, but readers of this version expect it.
        flat_device_op_metrics_db: Some(FlatOpMetricsDb::default()),
        ..OpStats::default()
    })
}

fn device_stats(
    prepared: &Prepared,
    devices: &DevicePlanes<'_>,
    host: Option<&Plane>,
    modules: &TraceModules,
    diag: &Diag,
) -> Result<DeviceStats> {
    let host_steps = |wanted| host.map(|host| steps_host::host_steps(host, wanted, diag)).transpose();
    match devices {
        DevicePlanes::Tpu(planes) => {
            let host_steps = host_steps(HostActivity::Input)?;
            let stats = tpu::tpu_stats(prepared, planes, host_steps.as_ref(), modules, diag)?;
            Ok(DeviceStats {
                ops: stats.device_ops,
                steps: stats.steps,
                step_ops: Some(stats.step_ops),
                kernels: KernelStatsDb::default(),
            })
        }
        DevicePlanes::Gpu(planes) => {
            let steps = steps_gpu::gpu_steps(planes, diag)?;
            let (steps, precision) = step_breakdown::step_db(&steps, WellFormed::Gpu);
            let ops = gpu_ops::gpu_op_metrics(planes, modules, precision, diag)?;
            let kernels = kernels::kernel_stats(planes, modules, diag)?;
            Ok(DeviceStats { ops, steps, step_ops: None, kernels })
        }
        DevicePlanes::None => {
            let steps = host_steps(HostActivity::All)?.unwrap_or_default();
            let (steps, precision) = step_breakdown::step_db(&steps, WellFormed::Host);
            let ops = OpMetricsDb { precision_stats: Some(precision), ..OpMetricsDb::default() };
            Ok(DeviceStats { ops, steps, step_ops: None, kernels: KernelStatsDb::default() })
        }
    }
}

#[cfg(test)]
mod tests;
