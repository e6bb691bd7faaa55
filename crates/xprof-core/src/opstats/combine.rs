//! Combines the op statistics of several hosts into those of the whole run.
//!
//! Takes the statistics of at least two hosts in the order of the request and gives one message; a single host needs
//! no combining. Core ids become unique by adding 1000 per host.
//! Must not fail: hosts disagree in odd ways, and each field has a rule for that.

use xprof_proto::tensorflow::profiler::{
    Diagnostics, DisaggregatedServingLatency, FlatOpMetricsDb, KernelReport, KernelStatsDb, OpMetricsDb, OpStats,
    PerCoreStepInfo, PerfEnv, PerformanceCounterResult, SourceStats, StepDatabaseResult, TfFunctionDb,
};

use super::hardware::has_device;
use super::merge::{NumCores, OpMetricsDbCombiner};
use super::run_environment;
use super::step_intersection::intersect;
use super::tf_functions;

/// How far apart the core ids of two hosts are.
const CORE_IDS_PER_HOST: u32 = 1000;

/// Kernels beyond these are not kept.
const MAX_KERNELS: usize = 1000;

/// One message for all hosts.
pub fn combine(hosts: &[&OpStats]) -> OpStats {
    let (step_db, hlo_metrics_db) = combine_steps(hosts);
    let mut whole = OpStats {
        host_op_metrics_db: Some(merge_dbs(hosts, |h| h.host_op_metrics_db.as_ref(), NumCores::Ignore)),
        device_op_metrics_db: Some(merge_dbs(hosts, |h| h.device_op_metrics_db.as_ref(), NumCores::Add)),
        hlo_metrics_db_complete_steps_only: Some(hlo_metrics_db),
        step_db: Some(step_db),
        perf_env: Some(combine_perf_envs(hosts)),
        run_environment: Some(run_environment::combine(hosts)),
        kernel_stats_db: Some(KernelStatsDb::default()),
        tf_function_db: Some(TfFunctionDb::default()),
        diagnostics: Some(Diagnostics::default()),
        performance_counter_result: Some(average_counters(hosts)),
        source_stats: Some(SourceStats::default()),
        flat_device_op_metrics_db: Some(FlatOpMetricsDb::default()),
        disaggregated_serving_latency: combine_serving_latencies(hosts),
        ..OpStats::default()
    };
    for (host_idx, host) in hosts.iter().enumerate() {
        append_host(&mut whole, host_idx, host);
    }
    if let Some(kernels) = &mut whole.kernel_stats_db {
        sort_kernels(&mut kernels.reports);
        kernels.reports.truncate(MAX_KERNELS);
    }
    whole
}

/// Adds what needs no more than the fields of one host.
fn append_host(whole: &mut OpStats, host_idx: usize, host: &OpStats) {
    for (id, details) in &host.core_id_to_details {
        whole.core_id_to_details.entry(global_core_id(host_idx, *id)).or_insert_with(|| details.clone());
    }
    for (id, name) in &host.program_id_to_name_map {
        whole.program_id_to_name_map.entry(*id).or_insert_with(|| name.clone());
    }
    if let (Some(to), Some(from)) = (&mut whole.kernel_stats_db, &host.kernel_stats_db) {
        to.reports.extend_from_slice(&from.reports);
    }
    if let (Some(to), Some(from)) = (&mut whole.tf_function_db, &host.tf_function_db) {
        tf_functions::merge(to, from);
    }
    if let (Some(to), Some(from)) = (&mut whole.diagnostics, &host.diagnostics) {
        to.info.extend_from_slice(&from.info);
        to.warnings.extend_from_slice(&from.warnings);
        to.errors.extend_from_slice(&from.errors);
    }
    if let (Some(to), Some(from)) = (&mut whole.source_stats, &host.source_stats) {
        let files = from.file_name_to_metrics.iter().map(|(file, metrics)| (file.clone(), metrics.clone()));
        to.file_name_to_metrics.extend(files);
    }
}

fn merge_dbs<'a>(
    hosts: &[&'a OpStats],
    table: impl Fn(&'a OpStats) -> Option<&'a OpMetricsDb>,
    num_cores: NumCores,
) -> OpMetricsDb {
    let mut combiner = OpMetricsDbCombiner::new();
    let no_ops = OpMetricsDb::default();
    for host in hosts {
        combiner.merge(table(host).unwrap_or(&no_ops), num_cores);
    }
    combiner.finish()
}

/// The steps that all hosts have in common, and the ops of these steps.
fn combine_steps(hosts: &[&OpStats]) -> (StepDatabaseResult, OpMetricsDb) {
    let any_has_device = hosts.iter().any(|h| has_device(device_type(h)));
    // A host without a device beside others that have one only coordinates them.
    let takes_part = |h: &OpStats| !any_has_device || has_device(device_type(h));
    let members: Vec<(usize, &[PerCoreStepInfo])> = hosts
        .iter()
        .enumerate()
        .filter(|(_, h)| takes_part(h))
        .map(|(i, h)| (i, h.step_db.as_ref().map_or(&[][..], |db| &db.step_sequence)))
        .collect();
    let sequences: Vec<&[PerCoreStepInfo]> = members.iter().map(|(_, steps)| *steps).collect();
    let common = intersect(&sequences);
    let mut step_db = StepDatabaseResult {
        empty_intersect: common.is_contradiction,
        use_incomplete_step: hosts.iter().any(|h| has_incomplete_steps(h)),
        ..StepDatabaseResult::default()
    };
    for i in 0..common.n_steps {
        let parts = members.iter().zip(&common.first_step_idx);
        let parts = parts.filter_map(|((host_idx, steps), first)| Some((*host_idx, steps.get(first + i)?)));
        step_db.step_sequence.push(combine_step(i as u32, parts));
    }
    let parts = members.iter().zip(&common.first_step_idx);
    let whole_steps = parts
        .filter(|((host_idx, _), _)| !has_incomplete_steps(hosts[*host_idx]))
        .filter_map(|((_, steps), first)| steps.get(*first..*first + common.n_steps));
    (step_db, ops_of_steps(whole_steps.flatten()))
}

fn has_incomplete_steps(host: &OpStats) -> bool {
    host.step_db.as_ref().is_some_and(|db| db.use_incomplete_step)
}

/// The ops of steps. Where steps disagree on what an op is, the first one of the first host decides.
fn ops_of_steps<'a>(steps: impl Iterator<Item = &'a PerCoreStepInfo>) -> OpMetricsDb {
    let mut combiner = OpMetricsDbCombiner::new();
    let no_ops = OpMetricsDb::default();
    for step in steps {
        combiner.merge(step.hlo_metrics_db.as_ref().unwrap_or(&no_ops), NumCores::Add);
    }
    combiner.finish()
}

/// One common step. `parity:` transfers between host and devices are not carried over.
fn combine_step<'a>(step_num: u32, parts: impl Iterator<Item = (usize, &'a PerCoreStepInfo)>) -> PerCoreStepInfo {
    let mut step = PerCoreStepInfo { step_num, ..PerCoreStepInfo::default() };
    let mut step_db = OpMetricsDbCombiner::new();
    let no_ops = OpMetricsDb::default();
    for (host_idx, part) in parts {
        for (core, info) in &part.step_info_per_core {
            let entry = step.step_info_per_core.entry(global_core_id(host_idx, *core));
            entry.or_insert_with(|| info.clone()).step_num = step_num;
        }
        for (core, db) in &part.all_reduce_db_per_core {
            step.all_reduce_db_per_core.entry(global_core_id(host_idx, *core)).or_insert_with(|| db.clone());
        }
        for (core, replica) in &part.core_id_to_replica_id_map {
            step.core_id_to_replica_id_map.entry(global_core_id(host_idx, *core)).or_insert(*replica);
        }
        // An absent table is merged like an empty one, for merging leaves a trace of itself.
        step_db.merge(part.hlo_metrics_db.as_ref().unwrap_or(&no_ops), NumCores::Add);
    }
    step.hlo_metrics_db = Some(step_db.finish());
    step
}

/// `parity:` only these three facts of the hardware survive.
fn combine_perf_envs(hosts: &[&OpStats]) -> PerfEnv {
    let mut whole = PerfEnv::default();
    for env in hosts.iter().filter_map(|h| h.perf_env.as_ref()) {
        if env.peak_tera_flops_per_second > 0.0 {
            whole.peak_tera_flops_per_second = env.peak_tera_flops_per_second;
        }
        if env.ridge_point > 0.0 {
            whole.ridge_point = env.ridge_point;
        }
        if whole.peak_bws_giga_bytes_per_second.is_empty() {
            whole.peak_bws_giga_bytes_per_second.clone_from(&env.peak_bws_giga_bytes_per_second);
        }
    }
    whole
}

/// `parity:` hosts without counters count as hosts whose counters say 0.
fn average_counters(hosts: &[&OpStats]) -> PerformanceCounterResult {
    let mut whole = PerformanceCounterResult::default();
    for counters in hosts.iter().filter_map(|h| h.performance_counter_result.as_ref()) {
        whole.matrix_unit_utilization_percent += counters.matrix_unit_utilization_percent;
        whole.hbm_utilization_percent += counters.hbm_utilization_percent;
    }
    whole.matrix_unit_utilization_percent /= hosts.len() as f64;
    whole.hbm_utilization_percent /= hosts.len() as f64;
    whole
}

/// The mean decode step over hosts. `parity:` prefill steps are ignored.
fn combine_serving_latencies(hosts: &[&OpStats]) -> Option<DisaggregatedServingLatency> {
    let mut n_steps = 0_i64;
    let mut total_us = 0.0;
    for latency in hosts.iter().filter_map(|h| h.disaggregated_serving_latency.as_ref()) {
        n_steps = n_steps.wrapping_add(latency.num_decode_steps);
        total_us += latency.decode_step_time_us.unwrap_or_default().avg * latency.num_decode_steps as f64;
    }
    if n_steps <= 0 {
        return None;
    }
    let mut whole = DisaggregatedServingLatency { num_decode_steps: n_steps, ..Default::default() };
    whole.decode_step_time_us.get_or_insert_default().avg = total_us / n_steps as f64;
    Some(whole)
}

/// The longest first; of equal ones, by all that tells kernels apart.
pub fn sort_kernels(reports: &mut [KernelReport]) {
    reports.sort_by(|a, b| {
        let key = |r: &KernelReport| {
            (
                r.registers_per_thread,
                r.static_shmem_bytes,
                r.dynamic_shmem_bytes,
                r.is_kernel_using_tensor_core,
                r.is_op_tensor_core_eligible,
            )
        };
        (b.total_duration_ns.cmp(&a.total_duration_ns))
            .then_with(|| a.name.cmp(&b.name))
            .then_with(|| a.grid_dim.cmp(&b.grid_dim))
            .then_with(|| a.block_dim.cmp(&b.block_dim))
            .then_with(|| key(a).cmp(&key(b)))
            .then_with(|| a.op_name.cmp(&b.op_name))
    });
}

fn device_type(host: &OpStats) -> &str {
    host.run_environment.as_ref().map_or("", |e| &e.device_type)
}

fn global_core_id(host_idx: usize, core_id: u32) -> u32 {
    (host_idx as u32).wrapping_mul(CORE_IDS_PER_HOST).wrapping_add(core_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xprof_proto::tensorflow::profiler::{CoreDetails, RunEnvironment, StepInfoResult};

    fn host(name: &str, device_type: &str, steps: &[u64], matrix_percent: f64) -> OpStats {
        let step = |begin_ps: &u64| PerCoreStepInfo {
            step_num: 40,
            step_info_per_core: [3, 4]
                .map(|core| {
                    (
                        core,
                        StepInfoResult { step_num: 40, begin_ps: *begin_ps, duration_ps: 1000, ..Default::default() },
                    )
                })
                .into(),
            ..PerCoreStepInfo::default()
        };
        OpStats {
            step_db: Some(StepDatabaseResult { step_sequence: steps.iter().map(step).collect(), ..Default::default() }),
            run_environment: Some(RunEnvironment {
                hostnames: [(name.to_owned(), true)].into(),
                device_type: device_type.into(),
                device_core_count: 2,
                ..RunEnvironment::default()
            }),
            core_id_to_details: [(3, CoreDetails::default())].into(),
            performance_counter_result: Some(PerformanceCounterResult {
                matrix_unit_utilization_percent: matrix_percent,
                ..Default::default()
            }),
            ..OpStats::default()
        }
    }

    fn check(hosts: &[OpStats], steps: &[&[u32]], details: &[u32], device_type: &str, n_cores: i32) -> OpStats {
        let whole = combine(&hosts.iter().collect::<Vec<_>>());
        let got: Vec<Vec<u32>> = whole
            .step_db
            .iter()
            .flat_map(|db| &db.step_sequence)
            .map(|s| s.step_info_per_core.keys().copied().collect())
            .collect();
        assert_eq!(got, steps);
        assert_eq!(whole.core_id_to_details.keys().copied().collect::<Vec<_>>(), details);
        let environment = whole.run_environment.clone().unwrap_or_default();
        assert_eq!((environment.device_type.as_str(), environment.device_core_count), (device_type, n_cores));
        whole
    }

    #[test]
    fn combines_two_devices_and_a_coordinator() {
        let a = host("A", "TPU v5", &[0, 1000, 2000, 3000], 10.0);
        let b = host("B", "TPU v5", &[1000, 2000, 3000, 4000], 12.0);
        let c = host("C", "CPU", &[], 0.0);
        let cores: &[u32] = &[3, 4, 1003, 1004];
        let whole = check(&[a, b, c], &[cores; 3], &[3, 1003, 2003], "TPU v5", 4);
        let counters = whole.performance_counter_result.unwrap_or_default();
        assert_eq!(counters.matrix_unit_utilization_percent, 22.0 / 3.0);
        let steps = whole.step_db.unwrap_or_default().step_sequence;
        assert!(steps.iter().zip(0..).all(|(s, i)| s.step_num == i && s.step_info_per_core[&3].step_num == i));
    }

    #[test]
    fn the_first_host_describes_the_ops_of_whole_steps() {
        use xprof_proto::tensorflow::profiler::OpMetrics;
        let category_of = |a: [&str; 2], b: [&str; 2], is_first_incomplete| {
            let mut hosts = [a, b].map(|categories| {
                let mut host = host("A", "TPU v5", &[0, 1000], 0.0);
                let steps = host.step_db.iter_mut().flat_map(|db| &mut db.step_sequence);
                for (step, category) in steps.zip(categories) {
                    let op = OpMetrics { name: "x".into(), category: category.into(), ..OpMetrics::default() };
                    step.hlo_metrics_db = Some(OpMetricsDb { metrics_db: vec![op], ..OpMetricsDb::default() });
                }
                host
            });
            hosts[0].step_db.get_or_insert_default().use_incomplete_step = is_first_incomplete;
            let whole = combine(&hosts.iter().collect::<Vec<_>>());
            whole.hlo_metrics_db_complete_steps_only.map(|db| db.metrics_db[0].category.clone())
        };
        assert_eq!(category_of(["", "late"], ["early", ""], false).as_deref(), Some("late"));
        assert_eq!(category_of(["", ""], ["early", "x"], false).as_deref(), Some("early"));
        assert_eq!(category_of(["", "late"], ["early", ""], true).as_deref(), Some("early"));
    }

    #[test]
    fn combines_hosts_that_say_nothing() {
        check(&[OpStats::default(), OpStats::default()], &[], &[], "", 0);
    }
}
