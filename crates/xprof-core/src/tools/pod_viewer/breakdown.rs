//! What one core did in one step, by the nine kinds of activity in which cores of a pod are compared.
//!
//! Takes a core's step and gives picoseconds per kind, whether the step is told by kinds of events (GPUs, hosts) or by
//! categories of ops (TPUs). `parity:` any other breakdown reads as zeros.
//! Sums stay at the largest number instead of wrapping.

use xprof_proto::tensorflow::profiler::{GenericStepBreakdown, StepInfoResult};

use crate::opstats::event_type::EventType;
use crate::opstats::framework_ops::IDLE;

/// SparseCoreV0's infeeds as a whole. Some programs tell their parts instead: the wait and the transformation.
const SPARSE_CORE_INFEED: &str = "sparsecorev0 infeed";

/// A kind of activity: its number is its key in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    DeviceCompute = 1,
    DeviceToDevice,
    DeviceCollectives,
    HostCompute,
    KernelLaunch,
    Input,
    Output,
    Compilation,
    AllOthers,
}

impl Activity {
    /// All of them, by number.
    pub const ALL: [Self; 9] = [
        Self::DeviceCompute,
        Self::DeviceToDevice,
        Self::DeviceCollectives,
        Self::HostCompute,
        Self::KernelLaunch,
        Self::Input,
        Self::Output,
        Self::Compilation,
        Self::AllOthers,
    ];

    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeviceCompute => "Device compute",
            Self::DeviceToDevice => "Device to device",
            Self::DeviceCollectives => "Device collective communication",
            Self::HostCompute => "Host compute",
            Self::KernelLaunch => "Kernel launch",
            Self::Input => "Input",
            Self::Output => "Output",
            Self::Compilation => "Compilation",
            Self::AllOthers => "All others",
        }
    }

    /// The kind that a kind of event counts as, if any.
    fn of_event(event_type: EventType) -> Option<Self> {
        use EventType as E;
        Some(match event_type {
            E::DEVICE_COMPUTE_32 | E::DEVICE_COMPUTE_16 => Self::DeviceCompute,
            E::DEVICE_TO_DEVICE | E::DEVICE_WAIT_DEVICE => Self::DeviceToDevice,
            E::DEVICE_COLLECTIVES => Self::DeviceCollectives,
            E::HOST_COMPUTE => Self::HostCompute,
            E::HOST_PREPARE => Self::KernelLaunch,
            E::HOST_WAIT_INPUT | E::HOST_TO_DEVICE | E::DEVICE_WAIT_HOST => Self::Input,
            E::DEVICE_TO_HOST => Self::Output,
            E::HOST_COMPILE => Self::Compilation,
            E::UNKNOWN => Self::AllOthers,
            _ => return None,
        })
    }

    /// The kind that a category of ops counts as; `None` for idle time.
    /// `parity:` collectives other than all-reduce and all-to-all count as computing.
    /// So do the parts of SparseCoreV0's infeeds where their whole is told too.
    fn of_category(category: &str, has_whole_infeed: bool) -> Option<Self> {
        Some(match category {
            IDLE => return None,
            "sparsecorev0 infeed wait" | "sparsecorev0 infeed transform" if has_whole_infeed => Self::DeviceCompute,
            "infeed"
            | "host recv"
            | "host recv-done"
            | SPARSE_CORE_INFEED
            | "sparsecorev0 infeed wait"
            | "sparsecorev0 infeed transform" => Self::Input,
            "outfeed" | "host send" | "host send-done" | "sparsecorev0 outfeed" => Self::Output,
            "all-reduce" | "all-reduce fusion" | "all-to-all" => Self::DeviceCollectives,
            "send" | "send-done" | "recv" | "recv-done" | "megacore fusion" | "async-done" => Self::DeviceToDevice,
            _ => Self::DeviceCompute,
        })
    }
}

/// Picoseconds by kind of activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Breakdown([u64; Activity::ALL.len()]);

impl Breakdown {
    /// What a core did in a step.
    pub fn new(info: &StepInfoResult) -> Self {
        let mut breakdown = Self::default();
        let message = info.step_breakdown.as_ref().and_then(|any| any.to_msg::<GenericStepBreakdown>().ok());
        let Some(generic) = message else { return breakdown };
        if generic.type_ps.is_empty() {
            let has_whole_infeed = generic.category_ps.get(SPARSE_CORE_INFEED).is_some_and(|ps| *ps > 0);
            for (category, ps) in &generic.category_ps {
                breakdown.add(Activity::of_category(category, has_whole_infeed), *ps);
            }
            let known_ps = breakdown.0.iter().fold(0, |sum: u64, ps| sum.saturating_add(*ps));
            breakdown.add(Some(Activity::AllOthers), info.duration_ps.saturating_sub(known_ps));
        } else {
            for (event_type, ps) in &generic.type_ps {
                breakdown.add(Activity::of_event(EventType(*event_type)), *ps);
            }
        }
        breakdown
    }

    fn add(&mut self, activity: Option<Activity>, ps: u64) {
        if let Some(activity) = activity {
            let sum = &mut self.0[activity as usize - 1];
            *sum = sum.saturating_add(ps);
        }
    }

    /// The kinds with their picoseconds, by number.
    pub fn iter(&self) -> impl Iterator<Item = (Activity, u64)> {
        Activity::ALL.into_iter().zip(self.0)
    }

    /// The kind that took longest. `parity:` of equally long ones, the last by name.
    pub fn bottleneck(&self) -> Activity {
        self.iter()
            .max_by_key(|(activity, ps)| (*ps, activity.name()))
            .map_or(Activity::Output, |(activity, _)| activity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Any;
    use xprof_proto::tensorflow::profiler::TpuStepBreakdown;

    fn check(any: Option<Any>, duration_ps: u64, expected: [u64; 9], bottleneck: &str) {
        let info = StepInfoResult { duration_ps, step_breakdown: any, ..StepInfoResult::default() };
        let breakdown = Breakdown::new(&info);
        assert_eq!((breakdown.0, breakdown.bottleneck().name()), (expected, bottleneck));
    }

    fn generic(types: &[(i32, u64)], categories: &[(&str, u64)]) -> Option<Any> {
        let breakdown = GenericStepBreakdown {
            type_ps: types.iter().copied().collect(),
            category_ps: categories.iter().map(|(name, ps)| ((*name).to_owned(), *ps)).collect(),
        };
        Any::from_msg(&breakdown).ok()
    }

    #[test]
    fn sorts_kinds_of_events() {
        let types = [
            (0, 1),
            (10, 2),
            (20, 1000),
            (60, 4),
            (80, 8),
            (90, 16),
            (100, 32),
            (110, 64),
            (120, 128),
            (130, 256),
            (140, 512),
            (150, 1024),
            (160, 2048),
            (170, 4096),
        ];
        check(
            generic(&types, &[("infeed", 7)]),
            1,
            [512 + 1024, 128 + 2048, 32, 2, 16, 8 + 64 + 4096, 256, 4, 1],
            "Input",
        );
    }

    #[test]
    fn sorts_categories_of_ops() {
        let categories = [
            ("IDLE", 5000),
            ("loop fusion", 1),
            ("all-gather", 2),
            ("send-done", 4),
            ("async-done", 8),
            ("all-to-all", 16),
            ("infeed", 32),
            ("host recv", 64),
            ("sparsecorev0 outfeed", 128),
            ("host send", 256),
        ];
        check(generic(&[], &categories), 1000, [3, 12, 16, 0, 0, 96, 384, 0, 489], "All others");
        check(generic(&[], &categories), 100, [3, 12, 16, 0, 0, 96, 384, 0, 0], "Output");
        check(generic(&[], &[]), 7, [0, 0, 0, 0, 0, 0, 0, 0, 7], "All others");
    }

    #[test]
    fn counts_sparse_core_infeeds_once() {
        let parts = [("sparsecorev0 infeed wait", 1), ("sparsecorev0 infeed transform", 2)];
        check(generic(&[], &parts), 3, [0, 0, 0, 0, 0, 3, 0, 0, 0], "Input");
        let with_whole = |ps| generic(&[], &[parts[0], parts[1], ("sparsecorev0 infeed", ps)]);
        check(with_whole(0), 3, [0, 0, 0, 0, 0, 3, 0, 0, 0], "Input");
        check(with_whole(4), 7, [3, 0, 0, 0, 0, 4, 0, 0, 0], "Input");
    }

    #[test]
    fn reads_other_breakdowns_as_zeros() {
        check(None, 7, [0; 9], "Output");
        check(
            Any::from_msg(&TpuStepBreakdown { tc_busy_ps: 7, ..TpuStepBreakdown::default() }).ok(),
            7,
            [0; 9],
            "Output",
        );
    }

    #[test]
    fn breaks_ties_by_name() {
        check(generic(&[(10, 5), (80, 5), (0, 5)], &[]), 15, [0, 0, 0, 5, 0, 5, 0, 0, 5], "Input");
    }

    #[test]
    fn survives_hostile_sums() {
        check(generic(&[(140, u64::MAX), (150, 1)], &[]), 1, [u64::MAX, 0, 0, 0, 0, 0, 0, 0, 0], "Device compute");
    }
}
