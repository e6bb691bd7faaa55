//! Attributes idle time of TensorCores to the input pipeline, as far as the host waited for input or copied it.
//!
//! Takes the steps of the devices and of the host, changes the breakdowns of the former.
//! `parity:` device steps are matched with host steps by number, which are equal only because both count from 0, and
//! overlapping spans of the host count twice.

use prost::{Message, Name};
use xprof_proto::tensorflow::profiler::{GenericStepBreakdown, OpMetricsDb, PerCoreStepInfo, StepDatabaseResult};

use super::op_table::IDLE;
use super::step_breakdown::Steps;
use crate::opstats::core_ids;
use crate::opstats::event_type::EventType;
use crate::opstats::numbers::ps_to_ms;

const INFEED: &str = "infeed";
const OUTFEED: &str = "outfeed";
/// Categories by which the device itself says that it waited for input.
const INFEEDS: [&str; 2] = [INFEED, "sparsecorev0 infeed"];
/// Copies from and to the host.
const HOST_TRANSFERS: [&str; 4] = ["host send", "host send-done", "host recv", "host recv-done"];
/// Waiting for a SparseCore of the first generation.
const SPARSE_CORE_WAIT: &str = "sparsecorev0 infeed wait";

/// Whether the device itself says how long it waited for input.
pub fn has_infeed(device_ops: &OpMetricsDb) -> bool {
    device_ops.metrics_db.iter().any(|row| INFEEDS.contains(&row.category.as_str()))
}

/// Moves idle time to the category of input, in every step of which the host knows that it waited for input.
pub fn attribute(steps: &mut StepDatabaseResult, host_steps: &Steps) {
    for step in &mut steps.step_sequence {
        let Some(host) = host_steps.get(&i64::from(step.step_num)) else {
            continue;
        };
        let input_ps = host
            .spans
            .iter()
            .filter(|(_, t)| [EventType::HOST_TO_DEVICE, EventType::HOST_WAIT_INPUT].contains(t))
            .fold(0u64, |sum, (span, _)| sum.wrapping_add(span.duration_ps));
        if input_ps > 0 {
            attribute_step(step, input_ps);
        }
    }
}

fn attribute_step(step: &mut PerCoreStepInfo, input_ps: u64) {
    let mut cores: Vec<(u32, u64, GenericStepBreakdown)> = step
        .step_info_per_core
        .iter()
        .filter(|(core_id, _)| !core_ids::is_sparse(**core_id))
        .filter_map(|(&core_id, info)| {
            let any = info.step_breakdown.as_ref()?;
            let breakdown = GenericStepBreakdown::decode(any.value.as_slice()).ok()?;
            Some((core_id, info.duration_ps, breakdown))
        })
        .collect();
    let idle_ms = common_idle_ms(&cores);
    let share = if idle_ms > 0.0 {
        (ps_to_ms(input_ps) / idle_ms).min(1.0)
    } else {
        return;
    };
    for (core_id, _, breakdown) in &mut cores {
        let Some(idle) = breakdown.category_ps.get_mut(IDLE) else {
            continue;
        };
        let moved_ps = (*idle as f64 * share) as u64;
        *idle = idle.saturating_sub(moved_ps);
        let infeed = breakdown.category_ps.entry(INFEED.to_owned()).or_default();
        *infeed = infeed.wrapping_add(moved_ps);
        if let Some(info) = step.step_info_per_core.get_mut(core_id) {
            let any = info.step_breakdown.get_or_insert_default();
            any.type_url = GenericStepBreakdown::type_url();
            any.value = breakdown.encode_to_vec();
        }
    }
}

/// The time in which all TensorCores were idle at least, by the same arithmetic in milliseconds as the page of steps:
/// what it rounds decides about single picoseconds.
fn common_idle_ms(cores: &[(u32, u64, GenericStepBreakdown)]) -> f64 {
    let of = |breakdown: &GenericStepBreakdown, categories: &[&str]| -> u64 {
        let found = categories.iter().filter_map(|c| breakdown.category_ps.get(*c));
        found.fold(0, |sum, &ps| sum.wrapping_add(ps))
    };
    let compute_ps = |(_, time_ps, b): &(u32, u64, GenericStepBreakdown)| {
        let known = b.category_ps.iter().filter(|(category, _)| *category != IDLE);
        let idle_ps = time_ps.saturating_sub(known.fold(0, |sum, (_, &ps)| sum.wrapping_add(ps)));
        let other_ps = of(b, &[INFEED, OUTFEED, SPARSE_CORE_WAIT]).wrapping_add(of(b, &HOST_TRANSFERS));
        time_ps.saturating_sub(idle_ps.wrapping_add(other_ps))
    };
    let (Some(time_ps), Some(compute_ps)) =
        (cores.iter().map(|(_, time_ps, _)| *time_ps).min(), cores.iter().map(compute_ps).min())
    else {
        return 0.0;
    };
    let largest = |category: &str| cores.iter().map(|(_, _, b)| of(b, &[category])).max().unwrap_or(0);
    let outfeed_ps = cores.iter().map(|(_, _, b)| of(b, &[OUTFEED]) as f64).sum::<f64>() / cores.len() as f64;
    let used_ms =
        ps_to_ms(compute_ps) + ps_to_ms(largest(SPARSE_CORE_WAIT)) + ps_to_ms(largest(INFEED)) + outfeed_ps / PS_PER_MS;
    (ps_to_ms(time_ps) - used_ms).max(0.0)
}

const PS_PER_MS: f64 = 1e9;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::step_breakdown::{Step, step_result};
    use super::*;
    use crate::prep::Timespan;

    fn check(categories: &[(&str, u64)], input_ps: u64, expect: &[(&str, u64)]) {
        let map = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
            pairs.iter().map(|&(name, ps)| (name.to_owned(), ps)).collect()
        };
        let breakdown = GenericStepBreakdown { category_ps: map(categories), ..GenericStepBreakdown::default() };
        let result = step_result(3, String::new(), Timespan::new(0, 1000), Some(&breakdown));
        let info = PerCoreStepInfo {
            step_num: 3,
            step_info_per_core: BTreeMap::from([(0, result)]),
            ..PerCoreStepInfo::default()
        };
        let mut db = StepDatabaseResult { step_sequence: vec![info], ..StepDatabaseResult::default() };
        let mut host = Step::default();
        host.spans.push((Timespan::new(0, input_ps), EventType::HOST_WAIT_INPUT));
        attribute(&mut db, &Steps::from([(3, host)]));
        let any = db.step_sequence[0].step_info_per_core[&0].step_breakdown.clone().unwrap();
        let got = GenericStepBreakdown::decode(any.value.as_slice()).unwrap();
        assert_eq!(got.category_ps, map(expect));
    }

    #[test]
    fn idle_time_becomes_infeed() {
        check(&[("IDLE", 800), ("fusion", 200)], 300, &[("IDLE", 500), ("fusion", 200), ("infeed", 300)]);
        check(&[("IDLE", 800), ("fusion", 200)], 2000, &[("IDLE", 0), ("fusion", 200), ("infeed", 800)]);
        check(&[("IDLE", 800), ("fusion", 200)], 0, &[("IDLE", 800), ("fusion", 200)]);
    }
}
