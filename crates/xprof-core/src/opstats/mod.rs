//! Op statistics: the artifact that most tools share, and how hosts become one.
//!
//! Map turns one prepared host into [`HostStats`]; a [`Reducer`] turns those of all hosts into [`RunStats`].
//! What the tools of the family have in common beyond that lives here too: numbers, orders, regroupings.
//! Must not know any single tool.

pub mod build;
pub mod combine;
mod combine_steps;
pub mod core_ids;
pub mod event_type;
pub mod framework_ops;
pub mod hardware;
mod inference;
pub mod merge;
pub mod numbers;
pub mod op_record;
mod reducer;
pub mod roofline;
pub mod run_environment;
pub mod sort;
pub mod step_diagnostics;
pub mod step_intersection;
mod step_ops;
pub mod tf_functions;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use prost::Message as _;
use xprof_proto::tensorflow::profiler::{
    KernelReport, OpMetricsDb, OpStats, PerCoreStepInfo, PerfEnv, RunEnvironment, StepDatabaseResult,
};
use xprof_proto::xprof::worker::v1::{self, InferenceRequest};

use crate::artifact::Artifact;
use crate::prep::Prepared;
use crate::{Diag, Error, Result};
pub use reducer::{EdgeSteps, Reducer};

/// What map leaves for the tools computed from op statistics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostStats(pub v1::HostStats);

impl Artifact for HostStats {
    const KIND: &'static str = "host_stats";
    const VERSION: u32 = 1;

    fn encode(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    fn decode(bytes: Bytes) -> Result<Self> {
        let bad = |e: prost::DecodeError| Error::BadArtifact { artifact: Self::KIND, reason: e.to_string() };
        v1::HostStats::decode(bytes).map(Self).map_err(bad)
    }

    fn weight(&self) -> usize {
        // A decoded message takes about twice its encoded size.
        2 * self.0.encoded_len()
    }
}

/// Map: one prepared host to its statistics.
pub fn map(host: &Prepared, diag: &mut Diag) -> Result<HostStats> {
    let mut stats = build::host_stats(host, diag)?;
    stats.0.inference =
        Some(inference::requests(host)).filter(|found| !found.requests.is_empty() || found.names_models);
    Ok(stats)
}

/// The op statistics of a whole run.
#[derive(Debug, Clone)]
pub struct RunStats {
    /// All hosts as one; of a single host, its own artifact and no copy.
    stats: Arc<HostStats>,
    n_edge_steps: usize,
}

// What is absent reads as empty.
static NO_STATS: LazyLock<OpStats> = LazyLock::new(OpStats::default);
static NO_OPS: LazyLock<OpMetricsDb> = LazyLock::new(OpMetricsDb::default);
static NO_STEPS: LazyLock<StepDatabaseResult> = LazyLock::new(StepDatabaseResult::default);
static NO_ENVIRONMENT: LazyLock<RunEnvironment> = LazyLock::new(RunEnvironment::default);
static NO_PERF_ENV: LazyLock<PerfEnv> = LazyLock::new(PerfEnv::default);

impl RunStats {
    /// The whole message. Its steps must be read by [`RunStats::steps`].
    pub fn op_stats(&self) -> &OpStats {
        self.stats.0.op_stats.as_ref().unwrap_or(&NO_STATS)
    }

    /// The steps to show, in order.
    pub fn steps(&self) -> &[PerCoreStepInfo] {
        let all = &self.step_db().step_sequence;
        all.get(self.n_edge_steps..all.len().saturating_sub(self.n_edge_steps)).unwrap_or_default()
    }

    /// What is known of the steps beside the steps.
    pub fn step_db(&self) -> &StepDatabaseResult {
        self.op_stats().step_db.as_ref().unwrap_or(&NO_STEPS)
    }

    /// Inference requests of all hosts. Where models are named, a request of none does not count.
    pub fn inference_requests(&self) -> impl Iterator<Item = &InferenceRequest> {
        let of_hosts = self.stats.0.inference.iter();
        of_hosts.flat_map(|i| i.requests.iter().filter(|request| request.has_model || !i.names_models))
    }

    /// Ops on the devices.
    pub fn device_ops(&self) -> &OpMetricsDb {
        self.op_stats().device_op_metrics_db.as_ref().unwrap_or(&NO_OPS)
    }

    /// Ops on the hosts.
    pub fn host_ops(&self) -> &OpMetricsDb {
        self.op_stats().host_op_metrics_db.as_ref().unwrap_or(&NO_OPS)
    }

    /// Kernels on the devices, the longest in total first.
    pub fn kernels(&self) -> &[KernelReport] {
        self.op_stats().kernel_stats_db.as_ref().map_or(&[], |db| &db.reports)
    }

    /// Where the program ran.
    pub fn run_environment(&self) -> &RunEnvironment {
        self.op_stats().run_environment.as_ref().unwrap_or(&NO_ENVIRONMENT)
    }

    /// What the hardware could reach at best.
    pub fn perf_env(&self) -> &PerfEnv {
        self.op_stats().perf_env.as_ref().unwrap_or(&NO_PERF_ENV)
    }

    /// Whether the host was mapped as a TPU host: only these have a table of ops within whole steps.
    fn is_tpu(&self) -> bool {
        self.op_stats().hlo_metrics_db_complete_steps_only.is_some()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The run of a single host with these statistics.
    pub(crate) fn run_of(op_stats: OpStats) -> RunStats {
        let stats = v1::HostStats { op_stats: Some(op_stats), inference: None };
        RunStats { stats: Arc::new(HostStats(stats)), n_edge_steps: 0 }
    }

    /// The run of a single host that served these requests.
    pub(crate) fn run_with_requests(requests: Vec<InferenceRequest>, is_training: bool) -> RunStats {
        let run_environment = Some(RunEnvironment { is_training, ..RunEnvironment::default() });
        let stats = v1::HostStats {
            op_stats: Some(OpStats { run_environment, ..OpStats::default() }),
            inference: Some(v1::InferenceRequests { requests, names_models: false }),
        };
        RunStats { stats: Arc::new(HostStats(stats)), n_edge_steps: 0 }
    }

    #[test]
    fn reads_what_it_writes() {
        let step_db = StepDatabaseResult { use_incomplete_step: true, ..StepDatabaseResult::default() };
        let op_stats = OpStats { step_db: Some(step_db), ..OpStats::default() };
        let stats = HostStats(v1::HostStats { op_stats: Some(op_stats), inference: None });
        assert_eq!(HostStats::decode(stats.encode().into()).unwrap(), stats);
        assert!(HostStats::decode(Bytes::from_static(b"\xff")).is_err());
    }
}
