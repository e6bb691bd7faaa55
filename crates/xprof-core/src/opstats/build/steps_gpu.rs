//! Steps of GPUs: the derived step line, and what kernels and copies did in between.

use rayon::prelude::*;
use xprof_proto::tensorflow::profiler::{AllReduceInfo, DeviceMemoryTransfer};

use super::step_breakdown::{Steps, combine_steps};
use super::steps_host::starts_with_any_case;
use crate::op_name::{self, OpCategory};
use crate::opstats::event_type::EventType;
use crate::prep::timespan::device_span;
use crate::xspace::{Event, Line, Plane, StatKind, StatValue};
use crate::{Diag, Result};

/// Id of the step line that preparation derives, or that a grouped trace brings along.
const STEP_LINE_ID: i64 = -559_038_737;

/// Steps of all planes by group id.
pub fn gpu_steps(planes: &[&Plane], diag: &Diag) -> Result<Steps> {
    let parts: Vec<Steps> = planes
        .par_iter()
        .map(|plane| {
            diag.check()?;
            Ok(plane_steps(plane))
        })
        .collect::<Result<_>>()?;
    let mut steps = Steps::new();
    for part in parts {
        combine_steps(&mut steps, part);
    }
    Ok(steps)
}

fn plane_steps(plane: &Plane) -> Steps {
    let mut steps = Steps::new();
    // A prefix of the name decides what a device event is; computed once per name.
    let mut kinds: Vec<NameKind> = plane.event_metadata.iter().map(|metadata| name_kind(&metadata.name)).collect();
    kinds.push(name_kind(""));
    for line in &plane.lines {
        if line.id == STEP_LINE_ID {
            for event in line.events(plane) {
                if let Some(group_id) = event.group_id() {
                    steps.entry(group_id).or_default().mark_device(device_span(&event));
                }
            }
        } else if !line.is_derived() && line.stat_kinds.contains(StatKind::CorrelationId) {
            let parts = line_steps(plane, line, &kinds);
            combine_steps(&mut steps, parts);
        }
    }
    if steps.values().all(|step| step.spans.is_empty()) {
        return Steps::new();
    }
    steps.retain(|_, step| step.is_marked);
    steps
}

fn line_steps(plane: &Plane, line: &Line, kinds: &[NameKind]) -> Steps {
    let mut steps = Steps::new();
    for event in line.events(plane) {
        let Some(group_id) = event.group_id().filter(|&g| g >= 0) else {
            continue;
        };
        if event.stat(StatKind::CorrelationId).is_none() {
            continue;
        }
        let kind = &kinds[(event.metadata_row() as usize).min(kinds.len() - 1)];
        let event_type = kind.event_type(&event);
        let step = steps.entry(group_id).or_default();
        let span = device_span(&event);
        step.spans.push((span, event_type));
        if event_type == EventType::DEVICE_COLLECTIVES {
            step.collectives.entry(plane.id as u32).or_default().push(AllReduceInfo {
                start_time_ps: event.begin_ps(),
                // parity: an offset, without the origin of the line, although the start is a timestamp.
                end_time_ps: (event.offset_ps() as u64).wrapping_add(event.duration_ps()),
                ..AllReduceInfo::default()
            });
        }
        if let Some(transfer) = transfer_slot(event_type).and_then(|slot| step.transfers.get_mut(slot)) {
            add_transfer(transfer, &event);
        }
    }
    steps
}

fn transfer_slot(event_type: EventType) -> Option<usize> {
    match event_type {
        EventType::HOST_TO_DEVICE => Some(0),
        EventType::DEVICE_TO_HOST => Some(1),
        EventType::DEVICE_TO_DEVICE => Some(2),
        _ => None,
    }
}

fn add_transfer(transfer: &mut DeviceMemoryTransfer, event: &Event<'_>) {
    transfer.occurrence = transfer.occurrence.wrapping_add(1);
    transfer.time_us += event.duration_ps() as f64 / 1e6;
    if let Some(details) = event.stat(StatKind::MemcpyDetails) {
        let bytes = transferred_bytes(&details.text());
        transfer.bytes_transferred = transfer.bytes_transferred.wrapping_add(bytes);
    }
}

/// The value behind `num_bytes`. `parity:` only the old form with one pair per line is understood.
fn transferred_bytes(details: &str) -> u64 {
    let mut parts = details.split([':', '\n']);
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        if key == "num_bytes" {
            return value.trim().parse().unwrap_or(0);
        }
    }
    0
}

/// What a name says about a device event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameKind {
    Known(EventType),
    /// A kernel; the marks are `half` and `fp16` in its name.
    Kernel {
        has_half: bool,
        has_fp16: bool,
    },
}

fn name_kind(name: &str) -> NameKind {
    match op_name::parse(name).category {
        OpCategory::MemcpyHToD => NameKind::Known(EventType::HOST_TO_DEVICE),
        OpCategory::MemcpyDToH => NameKind::Known(EventType::DEVICE_TO_HOST),
        OpCategory::MemcpyDToD => NameKind::Known(EventType::DEVICE_TO_DEVICE),
        _ if starts_with_any_case(name, "nccl") => NameKind::Known(EventType::DEVICE_COLLECTIVES),
        _ => NameKind::Kernel { has_half: name.contains("half"), has_fp16: name.contains("fp16") },
    }
}

impl NameKind {
    fn event_type(self, event: &Event<'_>) -> EventType {
        let (has_half, has_fp16) = match self {
            Self::Known(event_type) => return event_type,
            Self::Kernel { has_half, has_fp16 } => (has_half, has_fp16),
        };
        let shape = event.stat(StatKind::Shape).map(StatValue::text).unwrap_or_default();
        let is_16_bit = if shape.is_empty() { has_half || has_fp16 } else { shape.contains("half") };
        if is_16_bit { EventType::DEVICE_COMPUTE_16 } else { EventType::DEVICE_COMPUTE_32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_copies_from_kernels() {
        for (name, expect) in [
            ("MemcpyHToD", NameKind::Known(EventType::HOST_TO_DEVICE)),
            ("MemcpyDToH 7", NameKind::Known(EventType::DEVICE_TO_HOST)),
            ("ncclKernel_AllReduce", NameKind::Known(EventType::DEVICE_COLLECTIVES)),
            ("NcclX", NameKind::Known(EventType::DEVICE_COLLECTIVES)),
            ("rcclX", NameKind::Kernel { has_half: false, has_fp16: false }),
            ("MemcpyH2D", NameKind::Kernel { has_half: false, has_fp16: false }),
            ("gemm_fp16", NameKind::Kernel { has_half: false, has_fp16: true }),
        ] {
            assert_eq!(name_kind(name), expect, "{name}");
        }
    }

    #[test]
    fn only_old_copy_details_tell_bytes() {
        for (details, expect) in
            [("num_bytes:12\nkind:x", 12), ("kind:x\nnum_bytes:7", 7), ("kind:x size:4096 dest:0", 0), ("", 0)]
        {
            assert_eq!(transferred_bytes(details), expect, "{details}");
        }
    }
}
