//! Reads what a TPU core did in a step, whichever of three messages says it.
//!
//! Takes a step of one core and gives the breakdown of a TensorCore or of a SparseCore.
//! Sums of categories that exceed the step leave the rest at 0 instead of wrapping.

use std::collections::BTreeMap;

use prost_types::Any;
use xprof_proto::tensorflow::profiler::{
    GenericStepBreakdown, SparseCoreStepBreakdown, StepInfoResult, TpuStepBreakdown,
};

use crate::opstats::framework_ops::IDLE;

use crate::opstats::core_ids;

/// What one core did in one step.
#[derive(Debug, Clone, PartialEq)]
pub enum CoreStep {
    /// A TensorCore.
    Tensor(TpuStepBreakdown),
    /// A SparseCore.
    Sparse(SparseCoreStepBreakdown),
}

impl CoreStep {
    /// The breakdown of a core; `None` if it is of no known type.
    pub fn new(core_id: u32, info: &StepInfoResult) -> Option<Self> {
        let any: &Any = info.step_breakdown.as_ref()?;
        if let Ok(breakdown) = any.to_msg::<TpuStepBreakdown>() {
            return Some(Self::Tensor(breakdown));
        }
        if let Ok(breakdown) = any.to_msg::<SparseCoreStepBreakdown>() {
            return Some(Self::Sparse(breakdown));
        }
        let generic = any.to_msg::<GenericStepBreakdown>().ok()?;
        Some(if core_ids::is_sparse(core_id) {
            Self::Sparse(sparse_core(&generic, info.duration_ps))
        } else {
            Self::Tensor(tensor_core(&generic, info.duration_ps))
        })
    }
}

/// Categories of ops during which a core neither computes nor exchanges data with its host's queues.
const WAITING: [&str; 6] =
    ["host send", "host send-done", "host recv", "host recv-done", "megacore fusion", "async-done"];

/// A SparseCore by the categories of the ops that it ran.
fn sparse_core(generic: &GenericStepBreakdown, duration_ps: u64) -> SparseCoreStepBreakdown {
    let ps = |names: &[&str]| sum(&generic.category_ps, names);
    let (infeed, outfeed) = (ps(&["infeed"]), ps(&["outfeed"]));
    let idle = ps(&[IDLE]).saturating_add(ps(&WAITING));
    SparseCoreStepBreakdown {
        sc_infeed_ps: infeed,
        sc_outfeed_ps: outfeed,
        sc_idle_ps: idle,
        sc_busy_ps: duration_ps.saturating_sub(infeed).saturating_sub(outfeed).saturating_sub(idle),
        ..SparseCoreStepBreakdown::default()
    }
}

/// A TensorCore by the categories of the ops that it ran.
fn tensor_core(generic: &GenericStepBreakdown, duration_ps: u64) -> TpuStepBreakdown {
    let categories = &generic.category_ps;
    let ps = |names: &[&str]| sum(categories, names);
    let (sc_infeed, sc_outfeed) = (ps(&["sparsecorev0 infeed"]), ps(&["sparsecorev0 outfeed"]));
    let (transform, wait) = if sc_infeed > 0 {
        let transform = sc_infeed.min(sc_outfeed);
        (transform, sc_infeed - transform)
    } else {
        (ps(&["sparsecorev0 infeed transform"]), ps(&["sparsecorev0 infeed wait"]))
    };
    let used = categories.iter().filter(|(name, _)| *name != IDLE).fold(0_u64, |sum, (_, ps)| sum.saturating_add(*ps));
    let tc_idle_ps = duration_ps.checked_sub(used).unwrap_or(duration_ps);
    let off_duty = ps(&["infeed", "outfeed"]).saturating_add(ps(&WAITING));
    let busy = duration_ps - tc_idle_ps;
    TpuStepBreakdown {
        infeed_duration_ps: ps(&["infeed"]),
        host_outfeed_ps: ps(&["outfeed"]),
        wait_for_scv0_duration_ps: wait,
        scv0_infeed_transform_ps: transform,
        scv0_outfeed_ps: sc_outfeed,
        crs_duration_ps: ps(&["all-reduce", "all-reduce fusion", "all-to-all"]),
        send_duration_ps: ps(&["send", "send-done"]),
        recv_duration_ps: ps(&["recv", "recv-done"]),
        host_send_duration_ps: ps(&["host send", "host send-done"]),
        host_recv_duration_ps: ps(&["host recv", "host recv-done"]),
        wait_for_megacore_fusion_peer_duration_ps: ps(&["megacore fusion"]),
        high_flops_compute_ps: ps(&[
            "convolution",
            "convolution base-dilated",
            "convolution window-dilated",
            "convolution fusion",
            "output fusion",
        ]),
        tc_idle_ps,
        tc_busy_ps: busy.saturating_sub(off_duty).saturating_sub(wait),
        ..TpuStepBreakdown::default()
    }
}

fn sum(categories: &BTreeMap<String, u64>, names: &[&str]) -> u64 {
    names.iter().filter_map(|name| categories.get(*name)).fold(0, |sum, ps| sum.saturating_add(*ps))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(core_id: u32, categories: &[(&str, u64)], expected: &CoreStep) {
        let generic = GenericStepBreakdown {
            category_ps: categories.iter().map(|(name, ps)| ((*name).to_owned(), *ps)).collect(),
            ..GenericStepBreakdown::default()
        };
        let info = StepInfoResult {
            duration_ps: 1000,
            step_breakdown: Any::from_msg(&generic).ok(),
            ..StepInfoResult::default()
        };
        assert_eq!(CoreStep::new(core_id, &info).as_ref(), Some(expected));
    }

    #[test]
    fn converts_categories() {
        let tensor = TpuStepBreakdown {
            infeed_duration_ps: 300,
            wait_for_scv0_duration_ps: 60,
            scv0_infeed_transform_ps: 40,
            scv0_outfeed_ps: 40,
            tc_idle_ps: 360,
            tc_busy_ps: 280,
            ..TpuStepBreakdown::default()
        };
        let categories = [
            ("IDLE", 5),
            ("loop fusion", 200),
            ("infeed", 300),
            ("sparsecorev0 infeed", 100),
            ("sparsecorev0 outfeed", 40),
        ];
        check(3, &categories, &CoreStep::Tensor(tensor));
        let sparse = SparseCoreStepBreakdown {
            sc_infeed_ps: 300,
            sc_idle_ps: 5,
            sc_busy_ps: 695,
            ..SparseCoreStepBreakdown::default()
        };
        check(core_ids::sparse(0), &categories, &CoreStep::Sparse(sparse));
    }

    #[test]
    fn survives_hostile_sums() {
        let tensor = TpuStepBreakdown { tc_idle_ps: 1000, ..TpuStepBreakdown::default() };
        check(3, &[("a", u64::MAX), ("b", u64::MAX)], &CoreStep::Tensor(tensor));
    }
}
