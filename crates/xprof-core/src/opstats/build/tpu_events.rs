//! What a TPU event says about itself, decoded in one walk over its stats.
//!
//! Takes an event and the facts of its metadata row; nearly every event has the few facts of [`EventFacts`] and no other.

use super::tpu_facts::PlaneFacts;
use crate::prep::Timespan;
use crate::xspace::{Event, Line, StatKind, StatValue};

/// What nearly every event tells.
#[derive(Debug, Clone, Copy)]
pub struct EventFacts {
    /// Place in the line.
    pub event: u32,
    /// Metadata row.
    pub row: u32,
    /// Key of the op, [`NO_KEY`] if it is none.
    pub key: u32,
    /// Executions.
    pub occurrences: u32,
    /// Span by the device's clock, where that is known.
    pub device: Timespan,
    /// Begin by the host's clock.
    pub host_begin_ps: u64,
    /// End by the host's clock.
    pub host_end_ps: u64,
    /// Duration to be considered for the shortest execution.
    pub min_time_ps: u64,
}

/// What few events tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct RareFacts {
    /// Whether the event tells anything of this.
    pub any: bool,
    /// How the clock ran.
    pub time_scale: Option<f64>,
    /// Shortest of the executions that the event stands for.
    pub min_duration_ps: Option<u64>,
    /// Time waiting for copies.
    pub dma_stall_ps: Option<u64>,
    /// Energy.
    pub vdd_energy_j: Option<f64>,
    /// Estimated operations.
    pub estimated_flops: Option<f64>,
    /// Estimated bytes.
    pub estimated_bytes: Option<f64>,
    /// Whether the event has operations of its own.
    pub has_cost: bool,
    /// Whether the event is asynchronous.
    pub is_async: bool,
    /// Whether the event names its framework op.
    pub has_tf_op: bool,
    /// Id of the collective that the event takes part in.
    pub collective: Option<u64>,
    /// The other id of it.
    pub all_reduce_id: Option<u64>,
    /// Begin by the device's clock, even if the duration is not known by it.
    pub device_offset_ps: Option<u64>,
    /// Duration by the device's clock, even if the begin is not known by it.
    pub device_duration_ps: Option<u64>,
}

/// Stats that make a line one with rare facts.
pub const RARE: [StatKind; 12] = [
    StatKind::TimeScaleMultiplier,
    StatKind::MinDurationPs,
    StatKind::DmaStallDurationPs,
    StatKind::VddEnergyJ,
    StatKind::EstimatedFlops,
    StatKind::EstimatedBytesAccessed,
    StatKind::Flops,
    StatKind::ModelFlops,
    StatKind::IsAsync,
    StatKind::TfOp,
    StatKind::AllReduceUniqueId,
    StatKind::AllReduceId,
];

impl RareFacts {
    /// The event's time at nominal clock rate, if it says how its clock ran.
    pub fn scaled(&self, time_ps: u64) -> Option<u64> {
        self.time_scale.map(|scale| (time_ps as f64 * scale) as u64)
    }

    /// Time at nominal clock rate by time, if the event says how its clock ran.
    pub fn rate(&self, time_ps: u64) -> Option<f64> {
        self.scaled(time_ps).map(|scaled_ps| if time_ps == 0 { 0.0 } else { scaled_ps as f64 / time_ps as f64 })
    }

    #[inline(never)]
    fn take(&mut self, kind: StatKind, value: StatValue<'_>) {
        match kind {
            StatKind::TimeScaleMultiplier => _ = self.time_scale.get_or_insert_with(|| value.double()),
            StatKind::MinDurationPs => _ = self.min_duration_ps.get_or_insert_with(|| value.int_or_uint()),
            StatKind::DmaStallDurationPs => _ = self.dma_stall_ps.get_or_insert_with(|| value.int_or_uint()),
            // Energy is matched by name only, and every stat of that name counts.
            StatKind::VddEnergyJ => *self.vdd_energy_j.get_or_insert(0.0) += value.double(),
            StatKind::EstimatedFlops => {
                _ = self.estimated_flops.get_or_insert_with(|| value.int_or_uint() as f64);
            }
            StatKind::EstimatedBytesAccessed => {
                _ = self.estimated_bytes.get_or_insert_with(|| value.int_or_uint() as f64);
            }
            StatKind::Flops | StatKind::ModelFlops => self.has_cost |= value.int_or_uint() != 0,
            StatKind::IsAsync => self.is_async |= value.int_or_uint() != 0,
            StatKind::TfOp => self.has_tf_op |= !value.text_bytes().is_empty(),
            StatKind::AllReduceUniqueId => _ = self.collective.get_or_insert_with(|| value.int_or_uint()),
            StatKind::AllReduceId => _ = self.all_reduce_id.get_or_insert_with(|| value.int_or_uint()),
            _ => return,
        }
        self.any = true;
    }
}

/// Decodes what an event says about itself, in one walk over its stats. `rare` gets what few events tell.
#[inline]
pub fn decode_facts(facts: &PlaneFacts<'_>, line: &Line, idx: usize, rare: &mut RareFacts) -> EventFacts {
    let events = &line.events;
    let (mut offset_ps, mut duration_ps) = (None, None);
    if rare.any {
        *rare = RareFacts::default();
    }
    let event = Event { plane: facts.plane, line, idx };
    let occurrences = event.each_stat(|kind, value| match kind {
        StatKind::DeviceOffsetPs if offset_ps.is_none() => offset_ps = Some(value.int_or_uint()),
        StatKind::DeviceDurationPs if duration_ps.is_none() => duration_ps = Some(value.int_or_uint()),
        StatKind::DeviceOffsetPs | StatKind::DeviceDurationPs => {}
        _ => rare.take(kind, value),
    });
    if rare.any {
        (rare.device_offset_ps, rare.device_duration_ps) = (offset_ps, duration_ps);
    }
    let host_duration_ps = events.duration_ps(idx);
    let device = match (offset_ps, duration_ps) {
        (Some(offset), Some(duration)) => Timespan::new(offset, duration),
        _ => Timespan::new(events.begin_ps[idx], host_duration_ps),
    };
    let row = events.row(idx);
    EventFacts {
        event: idx as u32,
        row,
        key: facts.keys[facts.index(row)],
        occurrences: occurrences.max(1) as u32,
        device,
        host_begin_ps: events.begin_ps[idx],
        host_end_ps: events.end_ps(idx),
        // parity: the host's duration, even where the time is the device's.
        min_time_ps: rare.min_duration_ps.unwrap_or(host_duration_ps),
    }
}
