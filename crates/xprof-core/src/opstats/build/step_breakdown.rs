//! Steps of hosts and GPUs: markers, typed spans, and what a step's time was spent on.
//!
//! Takes spans with a type each, gives durations per type: where spans overlap the highest type wins.

use std::collections::BTreeMap;

use prost::{Message, Name};
use rayon::prelude::*;
use xprof_proto::tensorflow::profiler::{
    AllReduceDbResult, AllReduceInfo, DeviceMemoryTransfer, GenericStepBreakdown, PerCoreStepInfo, PrecisionStats,
    StepDatabaseResult, StepInfoResult,
};

use super::core_details::HOST_CORE_ID;
use crate::opstats::event_type::EventType;
use crate::prep::Timespan;

/// What is collected about one step.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// The longest marker of the host.
    pub host_marker: Timespan,
    /// The longest marker of a device.
    pub device_marker: Timespan,
    /// Whether there is any marker, even one without duration.
    pub is_marked: bool,
    /// Name, empty if it has none.
    pub name: String,
    /// Spans with their types, overlapping and in no particular order.
    pub spans: Vec<(Timespan, EventType)>,
    /// Collectives by plane id.
    pub collectives: BTreeMap<u32, Vec<AllReduceInfo>>,
    /// Copies: host to device, device to host, device to device.
    pub transfers: [DeviceMemoryTransfer; 3],
}

impl Step {
    /// Takes a marker of the host; of equally long ones the first counts.
    pub fn mark_host(&mut self, span: Timespan) {
        self.is_marked = true;
        if span.duration_ps > self.host_marker.duration_ps {
            self.host_marker = span;
        }
    }

    /// Takes a marker of a device; of equally long ones the first counts.
    pub fn mark_device(&mut self, span: Timespan) {
        self.is_marked = true;
        if span.duration_ps > self.device_marker.duration_ps {
            self.device_marker = span;
        }
    }

    /// Adds what another line or plane knows about the same step.
    pub fn combine(&mut self, other: Self) {
        self.is_marked |= other.is_marked;
        if other.host_marker.duration_ps > self.host_marker.duration_ps {
            self.host_marker = other.host_marker;
        }
        if other.device_marker.duration_ps > self.device_marker.duration_ps {
            self.device_marker = other.device_marker;
        }
        self.spans.extend(other.spans);
        for (core, infos) in other.collectives {
            self.collectives.entry(core).or_insert(infos);
        }
        for (sum, part) in self.transfers.iter_mut().zip(other.transfers) {
            sum.occurrence = sum.occurrence.wrapping_add(part.occurrence);
            sum.time_us += part.time_us;
            sum.bytes_transferred = sum.bytes_transferred.wrapping_add(part.bytes_transferred);
        }
        if self.name.is_empty() {
            self.name = other.name;
        }
    }

    /// The step's time: the longest marker of a device, unless a marker of the host includes it or it has none.
    pub fn time(&self) -> Timespan {
        if self.device_marker.duration_ps == 0 || self.host_marker.includes(self.device_marker) {
            self.host_marker
        } else {
            self.device_marker
        }
    }
}

/// Steps by group id.
pub type Steps = BTreeMap<i64, Step>;

/// Adds all steps of `other` to `all`.
pub fn combine_steps(all: &mut Steps, other: Steps) {
    for (group_id, step) in other {
        match all.entry(group_id) {
            std::collections::btree_map::Entry::Vacant(place) => _ = place.insert(step),
            std::collections::btree_map::Entry::Occupied(mut found) => found.get_mut().combine(step),
        }
    }
}

/// Cuts overlapping spans into disjoint ones, each with the highest type of those it was in.
///
/// ```text
/// 140  ──────────            140 ──────────
/// 150      ──────────    →   150     ──────────
///           in                      140 │ 150        out
/// ```
pub fn flatten(spans: &[(Timespan, EventType)]) -> Vec<(Timespan, EventType)> {
    // Time, whether it begins, type; at equal times ends come before begins, and high types before low ones.
    let mut bounds: Vec<(u64, bool, std::cmp::Reverse<EventType>)> = Vec::with_capacity(spans.len() * 2);
    for &(span, event_type) in spans {
        bounds.push((span.begin_ps, true, std::cmp::Reverse(event_type)));
        bounds.push((span.end_ps(), false, std::cmp::Reverse(event_type)));
    }
    bounds.sort_unstable();
    let mut open = [0u32; EventType::N_SLOTS];
    let mut flat = Vec::with_capacity(bounds.len());
    let mut last_ps = None;
    for (time_ps, begins, std::cmp::Reverse(event_type)) in bounds {
        if let Some(last_ps) = last_ps {
            let highest = open.iter().rposition(|&n| n > 0).unwrap_or(0);
            flat.push((Timespan::between(last_ps, time_ps), EventType::of_slot(highest)));
        }
        last_ps = Some(time_ps);
        // `parity:` a span without duration ends before it begins: where no other of its type is open it stays open to the end.
        if let Some(n) = open.get_mut(event_type.slot()) {
            *n = if begins { *n + 1 } else { n.saturating_sub(1) };
        }
    }
    flat
}

/// Which types make a step worth showing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WellFormed {
    /// It has work on the host.
    Host,
    /// It has kernels.
    Gpu,
}

impl WellFormed {
    fn accepts(self, type_ps: &BTreeMap<i32, u64>) -> bool {
        let has = |event_type: EventType| type_ps.contains_key(&event_type.0);
        match self {
            Self::Host => has(EventType::HOST_COMPUTE),
            Self::Gpu => has(EventType::DEVICE_COMPUTE_32) || has(EventType::DEVICE_COMPUTE_16),
        }
    }
}

/// The step database of a host without TPUs, and how long kernels of either precision ran.
pub fn step_db(steps: &Steps, well_formed: WellFormed) -> (StepDatabaseResult, PrecisionStats) {
    let steps: Vec<_> = steps.iter().collect();
    let made: Vec<_> = steps.par_iter().map(|(group_id, step)| step_info(**group_id, step, well_formed)).collect();
    let mut db = StepDatabaseResult::default();
    let mut precision = PrecisionStats::default();
    for (info, part) in made {
        precision.compute_16bit_ps = precision.compute_16bit_ps.wrapping_add(part.compute_16bit_ps);
        precision.compute_32bit_ps = precision.compute_32bit_ps.wrapping_add(part.compute_32bit_ps);
        db.step_sequence.extend(info);
    }
    (db, precision)
}

fn step_info(group_id: i64, step: &Step, well_formed: WellFormed) -> (Option<PerCoreStepInfo>, PrecisionStats) {
    let time = step.time();
    let mut precision = PrecisionStats::default();
    let mut type_ps: BTreeMap<i32, u64> = BTreeMap::new();
    let mut known_ps = 0u64;
    for (span, event_type) in flatten(&step.spans) {
        // The precision counts kernels even where they are outside of the step.
        match event_type {
            EventType::DEVICE_COMPUTE_16 => {
                precision.compute_16bit_ps = precision.compute_16bit_ps.wrapping_add(span.duration_ps);
            }
            EventType::DEVICE_COMPUTE_32 => {
                precision.compute_32bit_ps = precision.compute_32bit_ps.wrapping_add(span.duration_ps);
            }
            _ => {}
        }
        let inside_ps = time.overlapped_ps(span);
        let sum = type_ps.entry(event_type.0).or_default();
        *sum = sum.wrapping_add(inside_ps);
        known_ps = known_ps.wrapping_add(inside_ps);
    }
    if time.duration_ps == 0 || !well_formed.accepts(&type_ps) {
        return (None, precision);
    }
    let unknown = type_ps.entry(EventType::UNKNOWN.0).or_default();
    *unknown = unknown.wrapping_add(time.duration_ps.saturating_sub(known_ps));
    let breakdown = GenericStepBreakdown { type_ps, ..GenericStepBreakdown::default() };
    let result = step_result(group_id as u32, step.name.clone(), time, Some(&breakdown));
    let info = PerCoreStepInfo {
        step_num: group_id as u32,
        step_info_per_core: BTreeMap::from([(HOST_CORE_ID, result)]),
        all_reduce_db_per_core: step
            .collectives
            .iter()
            .map(|(&core, infos)| (core, AllReduceDbResult { all_reduce_info: infos.clone() }))
            .collect(),
        device_memory_transfers: step.transfers.to_vec(),
        ..PerCoreStepInfo::default()
    };
    (Some(info), precision)
}

/// A step on one core, with what its time was spent on.
pub fn step_result<M: Message + Name>(
    step_num: u32,
    step_name: String,
    time: Timespan,
    breakdown: Option<&M>,
) -> StepInfoResult {
    let mut result = StepInfoResult {
        step_num,
        step_name,
        begin_ps: time.begin_ps,
        duration_ps: time.duration_ps,
        ..StepInfoResult::default()
    };
    if let Some(breakdown) = breakdown {
        let any = result.step_breakdown.get_or_insert_default();
        any.type_url = M::type_url();
        any.value = breakdown.encode_to_vec();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spans: &[(u64, u64, EventType)], expect: &[(u64, u64, i32)]) {
        let spans: Vec<_> = spans.iter().map(|&(begin, end, t)| (Timespan::between(begin, end), t)).collect();
        let got: Vec<_> = flatten(&spans)
            .iter()
            .filter(|(span, _)| span.duration_ps > 0)
            .map(|(span, t)| (span.begin_ps, span.end_ps(), t.0))
            .collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn the_highest_type_wins() {
        use EventType as T;
        check(
            &[(0, 10, T::DEVICE_COMPUTE_32), (4, 14, T::DEVICE_COMPUTE_16)],
            &[(0, 4, 140), (4, 10, 150), (10, 14, 150)],
        );
        check(&[(0, 4, T::HOST_COMPUTE), (6, 8, T::HOST_WAIT_INPUT)], &[(0, 4, 10), (4, 6, 0), (6, 8, 110)]);
        check(&[(0, 4, T::HOST_COMPUTE), (4, 8, T::HOST_WAIT_INPUT)], &[(0, 4, 10), (4, 8, 110)]);
        check(
            &[(0, 4, T::HOST_COMPUTE), (2, 2, T::HOST_COMPUTE), (6, 8, T::HOST_TO_HOST)],
            &[(0, 2, 10), (2, 4, 10), (4, 6, 0), (6, 8, 70)],
        );
        check(&[(2, 2, T::HOST_COMPUTE), (6, 8, T::HOST_TO_HOST)], &[(2, 6, 10), (6, 8, 70)]);
        check(
            &[(0, 9, T::HOST_COMPUTE), (0, 9, T::HOST_COMPUTE), (3, 5, T::HOST_TO_DEVICE)],
            &[(0, 3, 10), (3, 5, 80), (5, 9, 10)],
        );
    }

    #[test]
    fn a_marker_of_the_host_counts_if_it_includes_the_device() {
        let mut step = Step::default();
        step.mark_host(Timespan::new(0, 10));
        assert_eq!(step.time(), Timespan::new(0, 10));
        step.mark_device(Timespan::new(2, 4));
        assert_eq!(step.time(), Timespan::new(0, 10));
        step.mark_device(Timespan::new(8, 5));
        assert_eq!(step.time(), Timespan::new(8, 5));
        step.mark_device(Timespan::new(20, 5));
        assert_eq!(step.time(), Timespan::new(8, 5));
    }

    #[test]
    fn a_step_needs_work() {
        let mut step = Step::default();
        step.mark_host(Timespan::new(100, 50));
        assert_eq!(step_info(3, &step, WellFormed::Host).0, None);
        step.spans.push((Timespan::new(110, 10), EventType::HOST_COMPUTE));
        let info = step_info(3, &step, WellFormed::Host).0.unwrap();
        let result = &info.step_info_per_core[&HOST_CORE_ID];
        let breakdown = GenericStepBreakdown::decode(result.step_breakdown.as_ref().unwrap().value.as_slice()).unwrap();
        assert_eq!(breakdown.type_ps, BTreeMap::from([(0, 40), (10, 10)]));
        assert_eq!((info.step_num, info.device_memory_transfers.len()), (3, 3));
        assert_eq!(step_info(3, &step, WellFormed::Gpu).0, None);
    }
}
