//! Combines the op statistics of several hosts into those of the whole run.
//!
//! Takes the statistics of at least two hosts, one after the other in the order of the request, and gives one message; a
//! single host needs no combining. Core ids become unique by adding 1000 per host.
//! Must not fail: hosts disagree in odd ways, and each field has a rule for that.

use xprof_proto::tensorflow::profiler::{
    Diagnostics, DisaggregatedServingLatency, FlatOpMetricsDb, KernelReport, KernelStatsDb, OpMetricsDb, OpStats,
    PerfEnv, PerformanceCounterResult, SourceStats, TfFunctionDb,
};
use xprof_proto::xprof::worker::v1;

use super::NO_STATS;
use super::combine_steps::StepCombiner;
use super::core_ids;
use super::merge::{NumCores, OpMetricsDbCombiner};
use super::run_environment::RunEnvironmentCombiner;
use super::tf_functions;
use crate::reduction::Finished;

/// Kernels beyond these are not kept.
const MAX_KERNELS: usize = 1000;

/// So many kernels may wait until the longest of them are chosen.
const MAX_WAITING_KERNELS: usize = 4 * MAX_KERNELS;

/// Builds one message for all hosts.
#[derive(Debug, Default)]
pub struct Combiner {
    /// Hosts so far, in this pass.
    n_hosts: usize,
    /// Everything but the steps is there already.
    is_second_pass: bool,
    steps: StepCombiner,
    host_ops: OpMetricsDbCombiner,
    device_ops: OpMetricsDbCombiner,
    run_environment: RunEnvironmentCombiner,
    perf_env: PerfEnv,
    kernels: Vec<KernelReport>,
    tf_functions: TfFunctionDb,
    diagnostics: Diagnostics,
    counters: PerformanceCounterResult,
    source_stats: SourceStats,
    serving: ServingLatency,
    inference: v1::InferenceRequests,
    /// The fields that need no more than one host's.
    whole: OpStats,
}

impl Combiner {
    /// Adds the next host.
    pub fn add(&mut self, host: &v1::HostStats) {
        let op_stats = host.op_stats.as_ref().unwrap_or(&NO_STATS);
        if !self.is_second_pass {
            self.add_tables(op_stats);
            self.add_facts(op_stats);
            self.add_texts(op_stats);
            if let Some(inference) = &host.inference {
                self.inference.requests.extend_from_slice(&inference.requests);
                self.inference.names_models |= inference.names_models;
            }
        }
        self.steps.add(self.n_hosts, op_stats);
        self.n_hosts += 1;
    }

    fn add_tables(&mut self, host: &OpStats) {
        let no_ops = OpMetricsDb::default();
        self.host_ops.merge(host.host_op_metrics_db.as_ref().unwrap_or(&no_ops), NumCores::Ignore);
        self.device_ops.merge(host.device_op_metrics_db.as_ref().unwrap_or(&no_ops), NumCores::Add);
        if let Some(from) = &host.kernel_stats_db {
            self.kernels.extend_from_slice(&from.reports);
            if self.kernels.len() > MAX_WAITING_KERNELS {
                keep_longest(&mut self.kernels);
            }
        }
        if let Some(from) = &host.tf_function_db {
            tf_functions::merge(&mut self.tf_functions, from);
        }
    }

    fn add_facts(&mut self, host: &OpStats) {
        for (id, details) in &host.core_id_to_details {
            let id = core_ids::in_run(self.n_hosts, *id);
            self.whole.core_id_to_details.entry(id).or_insert_with(|| details.clone());
        }
        for (id, name) in &host.program_id_to_name_map {
            self.whole.program_id_to_name_map.entry(*id).or_insert_with(|| name.clone());
        }
        if let Some(environment) = &host.run_environment {
            self.run_environment.add(environment);
        }
        if let Some(env) = &host.perf_env {
            add_perf_env(&mut self.perf_env, env);
        }
        if let Some(counters) = &host.performance_counter_result {
            self.counters.matrix_unit_utilization_percent += counters.matrix_unit_utilization_percent;
            self.counters.hbm_utilization_percent += counters.hbm_utilization_percent;
        }
        if let Some(latency) = &host.disaggregated_serving_latency {
            self.serving.add(latency);
        }
    }

    fn add_texts(&mut self, host: &OpStats) {
        if let Some(from) = &host.diagnostics {
            self.diagnostics.info.extend_from_slice(&from.info);
            self.diagnostics.warnings.extend_from_slice(&from.warnings);
            self.diagnostics.errors.extend_from_slice(&from.errors);
        }
        if let Some(from) = &host.source_stats {
            let files = from.file_name_to_metrics.iter().map(|(file, metrics)| (file.clone(), metrics.clone()));
            self.source_stats.file_name_to_metrics.extend(files);
        }
    }

    /// The whole, or a request to see the hosts again: then only their steps will be looked at.
    pub fn finish(self) -> Finished<v1::HostStats, Self> {
        let (step_db, hlo_metrics_db) = match self.steps.finish() {
            Finished::Whole(steps) => steps,
            Finished::Again(steps) => {
                return Finished::Again(Self { steps, n_hosts: 0, is_second_pass: true, ..self });
            }
        };
        let mut counters = self.counters;
        // parity: hosts without counters count as hosts whose counters say 0.
        counters.matrix_unit_utilization_percent /= self.n_hosts as f64;
        counters.hbm_utilization_percent /= self.n_hosts as f64;
        let mut kernels = self.kernels;
        keep_longest(&mut kernels);
        let op_stats = OpStats {
            host_op_metrics_db: Some(self.host_ops.finish()),
            device_op_metrics_db: Some(self.device_ops.finish()),
            hlo_metrics_db_complete_steps_only: Some(hlo_metrics_db),
            step_db: Some(step_db),
            perf_env: Some(self.perf_env),
            run_environment: Some(self.run_environment.finish()),
            kernel_stats_db: Some(KernelStatsDb { reports: kernels }),
            tf_function_db: Some(self.tf_functions),
            diagnostics: Some(self.diagnostics),
            performance_counter_result: Some(counters),
            source_stats: Some(self.source_stats),
            flat_device_op_metrics_db: Some(FlatOpMetricsDb::default()),
            disaggregated_serving_latency: self.serving.finish(),
            ..self.whole
        };
        Finished::Whole(v1::HostStats { op_stats: Some(op_stats), inference: Some(self.inference) })
    }
}

/// `parity:` only these three facts of the hardware survive.
fn add_perf_env(whole: &mut PerfEnv, env: &PerfEnv) {
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

/// The mean decode step over hosts. `parity:` prefill steps are ignored.
#[derive(Debug, Default)]
struct ServingLatency {
    n_steps: i64,
    total_us: f64,
}

impl ServingLatency {
    fn add(&mut self, latency: &DisaggregatedServingLatency) {
        self.n_steps = self.n_steps.wrapping_add(latency.num_decode_steps);
        self.total_us += latency.decode_step_time_us.unwrap_or_default().avg * latency.num_decode_steps as f64;
    }

    fn finish(self) -> Option<DisaggregatedServingLatency> {
        if self.n_steps <= 0 {
            return None;
        }
        let mut whole = DisaggregatedServingLatency { num_decode_steps: self.n_steps, ..Default::default() };
        whole.decode_step_time_us.get_or_insert_default().avg = self.total_us / self.n_steps as f64;
        Some(whole)
    }
}

/// The sort is stable: what is cut now would be cut after more hosts too.
fn keep_longest(kernels: &mut Vec<KernelReport>) {
    sort_kernels(kernels);
    kernels.truncate(MAX_KERNELS);
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

#[cfg(test)]
mod tests {
    use super::*;
    use xprof_proto::tensorflow::profiler::{
        CoreDetails, PerCoreStepInfo, RunEnvironment, StepDatabaseResult, StepInfoResult,
    };

    /// All hosts, in as many passes as it takes.
    fn combine(hosts: &[OpStats]) -> v1::HostStats {
        let mut combiner = Combiner::default();
        loop {
            for host in hosts {
                combiner.add(&v1::HostStats { op_stats: Some(host.clone()), inference: None });
            }
            match combiner.finish() {
                Finished::Whole(whole) => return whole,
                Finished::Again(again) => combiner = again,
            }
        }
    }

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
        let whole = combine(hosts).op_stats.unwrap_or_default();
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
            let whole = combine(&hosts).op_stats.unwrap_or_default();
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
