//! Steps on TPUs: what the slowest, the busiest and the average core did.
//!
//! Takes one step of all cores and gives one row of numbers in milliseconds.

use std::collections::BTreeMap;

use xprof_proto::tensorflow::profiler::{
    AllReduceInfo, CoreDetails, PerCoreStepInfo, SparseCoreStepBreakdown, TpuStepBreakdown,
};

use crate::opstats::numbers::{Stat, ps_to_ms, safe_div};

use super::tpu_convert::CoreStep;

/// One step over all cores, in milliseconds.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the fields are the reference's own names")]
pub struct TpuStep {
    /// The step's number, -1 if it has no cores.
    pub step_number: i64,
    pub tc_compute_time_ms: f64,
    pub tc_infeed_time_ms: f64,
    pub tc_outfeed_time_ms: f64,
    pub tc_idle_time_ms: f64,
    pub tc_active_time_ms: f64,
    pub scv0_compute_time_ms: f64,
    pub scv0_infeed_time_ms: f64,
    pub host_transfer_ms: f64,
    pub all_reduce_compute_time_ms: f64,
    pub all_reduce_sync_time_ms: f64,
    pub infeed_percent_average: f64,
    pub infeed_percent_minimum: f64,
    pub infeed_percent_maximum: f64,
    /// The core that waited longest for input; empty if none did or it is not known.
    pub max_infeed_time_core_name: String,
    pub sc_compute_time_ms: f64,
    pub sc_infeed_time_ms: f64,
    pub sc_outfeed_time_ms: f64,
    pub sc_idle_time_ms: f64,
    pub sc_step_time_ms: f64,
    pub sc_active_time_ms: f64,
    pub active_step_time_ms: f64,
}

/// A TensorCore in a step.
struct TensorCore {
    id: u32,
    duration_ps: u64,
    breakdown: TpuStepBreakdown,
}

impl TpuStep {
    /// Summarizes a step. A core whose breakdown is of no known type empties the row.
    pub fn new(step: &PerCoreStepInfo, details: &BTreeMap<u32, CoreDetails>) -> Self {
        let first = step.step_info_per_core.values().next();
        let mut row = Self { step_number: first.map_or(-1, |info| i64::from(info.step_num as i32)), ..Self::default() };
        let mut tensor_cores = Vec::new();
        let mut sparse_cores = Vec::new();
        for (id, info) in &step.step_info_per_core {
            match CoreStep::new(*id, info) {
                Some(CoreStep::Tensor(breakdown)) => {
                    tensor_cores.push(TensorCore { id: *id, duration_ps: info.duration_ps, breakdown });
                }
                Some(CoreStep::Sparse(breakdown)) => sparse_cores.push((info.duration_ps, breakdown)),
                None => return row,
            }
        }
        let all_reduces = tensor_cores.iter().filter_map(|core| step.all_reduce_db_per_core.get(&core.id));
        row.set_all_reduce(all_reduces.map(|db| db.all_reduce_info.as_slice()));
        row.set_tensor_cores(&tensor_cores, details);
        row.set_sparse_cores(&sparse_cores);
        row.active_step_time_ms = row.tc_active_time_ms.max(row.sc_active_time_ms);
        row
    }

    /// Time waiting for input.
    pub fn infeed_ms(&self) -> f64 {
        self.tc_infeed_time_ms + self.scv0_infeed_time_ms
    }

    /// Time in all-reduces.
    pub fn all_reduce_ms(&self) -> f64 {
        self.all_reduce_compute_time_ms + self.all_reduce_sync_time_ms
    }

    /// The step's length, added up from its parts.
    pub fn step_ms(&self) -> f64 {
        self.tc_compute_time_ms
            + self.scv0_compute_time_ms
            + self.infeed_ms()
            + self.all_reduce_ms()
            + self.tc_outfeed_time_ms
            + self.tc_idle_time_ms
    }

    fn set_tensor_cores(&mut self, cores: &[TensorCore], details: &BTreeMap<u32, CoreDetails>) {
        let mut infeed_percents = Stat::default();
        let mut max_infeed: Option<&TensorCore> = None;
        let mut max_wait: Option<&TensorCore> = None;
        for core in cores {
            let b = &core.breakdown;
            if b.infeed_duration_ps > max_infeed.map_or(0, |c| c.breakdown.infeed_duration_ps) {
                max_infeed = Some(core);
            }
            if b.wait_for_scv0_duration_ps > max_wait.map_or(0, |c| c.breakdown.wait_for_scv0_duration_ps) {
                max_wait = Some(core);
            }
            let waiting = b.infeed_duration_ps.saturating_add(core.scv0_wait_for_infeed_ps());
            infeed_percents.add(100.0 * safe_div(waiting as f64, core.duration_ps as f64));
        }
        let average_ms = |ps: fn(&TensorCore) -> u64| mean_ms(cores.iter().map(ps));
        self.tc_outfeed_time_ms = average_ms(|c| c.breakdown.host_outfeed_ps);
        self.tc_active_time_ms = average_ms(|c| c.breakdown.tc_busy_ps);
        self.tc_compute_time_ms = min_ms(cores.iter().map(TensorCore::compute_ps));
        let transfer =
            |c: &TensorCore| c.breakdown.host_send_duration_ps.saturating_add(c.breakdown.host_recv_duration_ps);
        self.host_transfer_ms = ps_to_ms(cores.iter().map(transfer).max().unwrap_or(0));
        if let Some(core) = max_infeed {
            self.tc_infeed_time_ms = ps_to_ms(core.breakdown.infeed_duration_ps);
            let name = |d: &CoreDetails| format!("{}:{}", d.hostname, d.device_ordinal);
            self.max_infeed_time_core_name = details.get(&core.id).map(name).unwrap_or_default();
        }
        if let Some(core) = max_wait {
            let infeed_ps = core.scv0_wait_for_infeed_ps();
            self.scv0_infeed_time_ms = ps_to_ms(infeed_ps);
            self.scv0_compute_time_ms = ps_to_ms(core.breakdown.wait_for_scv0_duration_ps.saturating_sub(infeed_ps));
        }
        let explained = self.tc_compute_time_ms
            + self.scv0_compute_time_ms
            + self.tc_infeed_time_ms
            + self.scv0_infeed_time_ms
            + self.tc_outfeed_time_ms;
        self.tc_idle_time_ms = (min_ms(cores.iter().map(|c| c.duration_ps)) - explained).max(0.0);
        self.infeed_percent_average = infeed_percents.avg();
        self.infeed_percent_minimum = infeed_percents.min();
        self.infeed_percent_maximum = infeed_percents.max();
    }

    fn set_sparse_cores(&mut self, cores: &[(u64, SparseCoreStepBreakdown)]) {
        let average_ms = |ps: fn(&SparseCoreStepBreakdown) -> u64| mean_ms(cores.iter().map(|(_, b)| ps(b)));
        self.sc_step_time_ms = mean_ms(cores.iter().map(|(duration_ps, _)| *duration_ps));
        self.sc_infeed_time_ms = average_ms(|b| b.sc_infeed_ps);
        self.sc_outfeed_time_ms = average_ms(|b| b.sc_outfeed_ps);
        self.sc_idle_time_ms = average_ms(|b| b.sc_idle_ps);
        self.sc_active_time_ms = average_ms(|b| b.sc_busy_ps);
        self.sc_compute_time_ms = min_ms(cores.iter().map(|(duration_ps, b)| {
            duration_ps.saturating_sub(b.sc_infeed_ps).saturating_sub(b.sc_outfeed_ps).saturating_sub(b.sc_idle_ps)
        }));
    }

    /// The fastest core's time of an all-reduce is computing, the rest is waiting for others.
    fn set_all_reduce<'a>(&mut self, cores: impl Iterator<Item = &'a [AllReduceInfo]> + Clone) {
        let duration_ps = |info: &AllReduceInfo| info.end_time_ps.saturating_sub(info.start_time_ps);
        let mut fastest: BTreeMap<u64, u64> = BTreeMap::new();
        for info in cores.clone().flatten() {
            let ps = fastest.entry(info.id).or_insert(u64::MAX);
            *ps = (*ps).min(duration_ps(info));
        }
        let mut longest = (0, 0);
        for core in cores {
            let total = core.iter().fold(0_u64, |sum, info| sum.saturating_add(duration_ps(info)));
            let compute = core.iter().filter_map(|info| fastest.get(&info.id));
            if total > longest.0 {
                longest = (total, compute.fold(0_u64, |sum, ps| sum.saturating_add(*ps)));
            }
        }
        self.all_reduce_compute_time_ms = ps_to_ms(longest.1);
        self.all_reduce_sync_time_ms = ps_to_ms(longest.0.saturating_sub(longest.1));
    }
}

impl TensorCore {
    /// The part of the time waiting for SparseCoreV0 in which that one waited for input.
    fn scv0_wait_for_infeed_ps(&self) -> u64 {
        (self.breakdown.wait_for_scv0_duration_ps as f64 * self.breakdown.scv0_infeed_percent / 100.0) as u64
    }

    fn compute_ps(&self) -> u64 {
        let b = &self.breakdown;
        [
            b.infeed_duration_ps,
            b.host_outfeed_ps,
            b.host_send_duration_ps,
            b.host_recv_duration_ps,
            b.tc_idle_ps,
            b.wait_for_scv0_duration_ps,
        ]
        .iter()
        .fold(self.duration_ps, |rest, ps| rest.saturating_sub(*ps))
    }
}

/// The mean, cut to whole picoseconds.
fn mean_ms(ps: impl ExactSizeIterator<Item = u64>) -> f64 {
    let n = ps.len() as f64;
    let sum = ps.fold(0_u64, u64::saturating_add);
    if n == 0.0 { 0.0 } else { ps_to_ms((sum as f64 / n) as u64) }
}

fn min_ms(ps: impl Iterator<Item = u64>) -> f64 {
    ps_to_ms(ps.min().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Any;
    use xprof_proto::tensorflow::profiler::{AllReduceDbResult, StepInfoResult};

    const MS: u64 = 1_000_000_000;

    fn core(duration_ms: u64, breakdown: &TpuStepBreakdown) -> StepInfoResult {
        StepInfoResult {
            step_num: 5,
            duration_ps: duration_ms * MS,
            step_breakdown: Any::from_msg(breakdown).ok(),
            ..StepInfoResult::default()
        }
    }

    fn check(cores: Vec<(u32, StepInfoResult)>, expected: &TpuStep) {
        let info = |id, ms| AllReduceInfo { id, end_time_ps: ms * MS, ..AllReduceInfo::default() };
        let all_reduce = |ms| AllReduceDbResult { all_reduce_info: vec![info(1, ms), info(2, 1)] };
        let step = PerCoreStepInfo {
            step_info_per_core: cores.into_iter().collect(),
            all_reduce_db_per_core: [(3, all_reduce(2)), (4, all_reduce(5))].into(),
            ..PerCoreStepInfo::default()
        };
        let details = CoreDetails { hostname: "h".into(), device_ordinal: 1, ..CoreDetails::default() };
        assert_eq!(TpuStep::new(&step, &[(4, details)].into()), *expected);
    }

    #[test]
    fn summarizes_tensor_cores() {
        let breakdown = |infeed_ms, wait_ms| TpuStepBreakdown {
            infeed_duration_ps: infeed_ms * MS,
            wait_for_scv0_duration_ps: wait_ms * MS,
            scv0_infeed_percent: 25.0,
            tc_busy_ps: 10 * MS,
            ..TpuStepBreakdown::default()
        };
        let expected = TpuStep {
            step_number: 5,
            tc_compute_time_ms: 50.0,
            tc_infeed_time_ms: 50.0,
            tc_idle_time_ms: 0.0,
            tc_active_time_ms: 10.0,
            scv0_compute_time_ms: 15.0,
            scv0_infeed_time_ms: 5.0,
            all_reduce_compute_time_ms: 3.0,
            all_reduce_sync_time_ms: 3.0,
            infeed_percent_average: 35.0,
            infeed_percent_minimum: 20.0,
            infeed_percent_maximum: 50.0,
            max_infeed_time_core_name: "h:1".into(),
            active_step_time_ms: 10.0,
            ..TpuStep::default()
        };
        check(vec![(3, core(100, &breakdown(15, 20))), (4, core(100, &breakdown(50, 0)))], &expected);
    }

    #[test]
    fn empties_rows_with_unknown_breakdowns() {
        let unknown = StepInfoResult { step_num: 5, ..StepInfoResult::default() };
        check(vec![(3, unknown)], &TpuStep { step_number: 5, ..TpuStep::default() });
    }
}
