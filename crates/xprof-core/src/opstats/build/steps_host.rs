//! Steps as the host sees them: markers, and what the host did in between.
//!
//! Takes the grouped events of the host's threads, gives steps by group id. Used for the step database where there is
//! no device, and on TPU hosts to find out how long a step waited for input.

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::ancestors::Ancestors;
use super::step_breakdown::{Step, Steps, combine_steps};
use crate::op_name::{self, OpCategory};
use crate::opstats::event_type::EventType;
use crate::prep::Timespan;
use crate::xspace::{Event, Line, Plane, StatKind, StatValue};
use crate::{Diag, Result};

/// What an event's name says about its role in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It marks a step by its name alone.
    Marker,
    /// It wraps others and has no time of its own.
    Wrapper,
    /// It is activity of this type.
    Activity(EventType),
}

/// Names of steps that frameworks mark.
const MARKERS: [&str; 3] = ["train", "test", "TraceContext"];
/// Names of events that only wrap others.
const WRAPPERS: [&str; 4] = ["EagerExecute", "EagerLocalExecute", "EagerKernelExecute", "FunctionRun"];
const WAITS_FOR_INPUT: &str = "IteratorGetNext";

fn role(name: &str) -> Role {
    if MARKERS.iter().any(|prefix| name.starts_with(prefix)) && !name.contains('/') {
        return Role::Marker;
    }
    if WRAPPERS.iter().any(|prefix| name.starts_with(prefix)) {
        return Role::Wrapper;
    }
    let op = op_name::parse(name);
    let is_infeed = op.category == OpCategory::TensorFlow && op.op_type.starts_with("InfeedEnqueue");
    Role::Activity(match op.category {
        OpCategory::MemcpyHToD => EventType::HOST_TO_DEVICE,
        OpCategory::MemcpyHToH => EventType::HOST_TO_HOST,
        _ if is_infeed => EventType::HOST_TO_DEVICE,
        _ if starts_with_any_case(name, WAITS_FOR_INPUT) => EventType::HOST_WAIT_INPUT,
        _ => EventType::HOST_COMPUTE,
    })
}

/// Whether a text begins with a prefix, in upper or lower case.
pub fn starts_with_any_case(text: &str, prefix: &str) -> bool {
    text.as_bytes().get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Which activity of the host is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostActivity {
    /// All of it: the host is what the steps are about.
    All,
    /// Only copies to devices and waiting for input: the steps are those of a device.
    Input,
}

/// Steps of the host plane by group id; steps without a marker are among them.
pub fn host_steps(plane: &Plane, wanted: HostActivity, diag: &Diag) -> Result<Steps> {
    let mut roles: Vec<Role> = plane.event_metadata.par_iter().map(|metadata| role(&metadata.name)).collect();
    roles.push(role(""));
    let producers = stage_producers(plane);
    let parts: Vec<Steps> = plane
        .lines
        .par_iter()
        .map(|line| {
            diag.check()?;
            let steps = line_steps(plane, line, &roles, &producers, wanted);
            line.release();
            Ok(steps)
        })
        .collect::<Result<_>>()?;
    let mut steps = Steps::new();
    for part in parts {
        combine_steps(&mut steps, part);
    }
    Ok(steps)
}

/// Links that an input-pipeline stage may be the receiving end of.
fn stage_producers(plane: &Plane) -> FxHashSet<(u64, u64)> {
    let has = |line: &&Line, kind| line.stat_kinds.contains(kind);
    if !plane.lines.iter().any(|line| has(&line, StatKind::InputPipelineStageName)) {
        return FxHashSet::default();
    }
    plane
        .lines
        .iter()
        .filter(|line| has(line, StatKind::ProducerId) && has(line, StatKind::ProducerType))
        .flat_map(|line| line.events(plane))
        .filter_map(|event| link(&event, StatKind::ProducerType, StatKind::ProducerId))
        .collect()
}

fn link(event: &Event<'_>, kind: StatKind, id: StatKind) -> Option<(u64, u64)> {
    Some((event.stat(kind)?.int_or_uint(), event.stat(id)?.int_or_uint()))
}

fn line_steps(
    plane: &Plane,
    line: &Line,
    roles: &[Role],
    producers: &FxHashSet<(u64, u64)>,
    wanted: HostActivity,
) -> Steps {
    let mut steps = Steps::new();
    let is_grouped = line.groups.is_some() || line.stat_kinds.contains(StatKind::GroupId);
    if !is_grouped {
        return steps;
    }
    let has_names = line.stat_kinds.contains(StatKind::StepName);
    let has_stages = line.stat_kinds.contains(StatKind::InputPipelineStageName);
    let mut stages = Ancestors::default();
    // Events of a step follow each other: look a step up only where the group changes.
    let mut current: Option<(i64, Step)> = None;
    for event in line.events(plane) {
        let role = roles[(event.metadata_row() as usize).min(roles.len() - 1)];
        let is_other = matches!(role, Role::Wrapper | Role::Activity(EventType::HOST_COMPUTE));
        if wanted == HostActivity::Input && is_other && !has_names && !has_stages {
            continue;
        }
        let is_root_stage = has_stages && enter_stage(&mut stages, &event, producers);
        let Some(group_id) = event.group_id().filter(|&g| g >= 0) else {
            continue;
        };
        let step = match &mut current {
            Some((current_id, step)) if *current_id == group_id => step,
            _ => {
                if let Some((id, step)) = current.take() {
                    steps.insert(id, step);
                }
                &mut current.insert((group_id, steps.remove(&group_id).unwrap_or_default())).1
            }
        };
        let name = if has_names { event.stat(StatKind::StepName).map(StatValue::text) } else { None };
        let name = name.filter(|name| !name.is_empty());
        let span = Timespan::new(event.begin_ps(), event.duration_ps());
        match role {
            Role::Marker => step.mark_host(span),
            _ if name.is_some() => step.mark_host(span),
            Role::Wrapper => {}
            // What copies to a device or waits is that, even as a stage of the input pipeline.
            Role::Activity(EventType::HOST_COMPUTE) if is_root_stage => {
                step.spans.push((span, EventType::HOST_WAIT_INPUT));
            }
            Role::Activity(EventType::HOST_COMPUTE) if wanted == HostActivity::Input => {}
            Role::Activity(event_type) => step.spans.push((span, event_type)),
        }
        if let Some(name) = name {
            step.name = name.into_owned();
        }
    }
    if let Some((id, step)) = current {
        steps.insert(id, step);
    }
    steps
}

/// Nests the event and tells whether it is a stage of the input pipeline that no other stage asked for.
fn enter_stage(stages: &mut Ancestors<bool>, event: &Event<'_>, producers: &FxHashSet<(u64, u64)>) -> bool {
    let (begin, end) = (event.begin_ps(), event.end_ps());
    let below_stage = stages.enter(begin, end, |_| ()).is_some_and(|parent| parent.payload);
    let is_stage = event.stat(StatKind::InputPipelineStageName).is_some_and(|v| !v.text_bytes().is_empty());
    stages.push(begin, end, below_stage || is_stage);
    let is_fed = || {
        link(event, StatKind::ConsumerType, StatKind::ConsumerId).is_some_and(|consumer| producers.contains(&consumer))
    };
    is_stage && !below_stage && !is_fed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_roles() {
        use Role::{Activity, Marker, Wrapper};
        for (name, expect) in [
            ("train 7", Marker),
            ("training/x", Activity(EventType::HOST_COMPUTE)),
            ("TraceContext", Marker),
            ("EagerExecute: Add", Wrapper),
            ("FunctionRun", Wrapper),
            ("a/b:InfeedEnqueueTuple", Activity(EventType::HOST_TO_DEVICE)),
            ("MemcpyHToD", Activity(EventType::HOST_TO_DEVICE)),
            ("MemcpyHToH", Activity(EventType::HOST_TO_HOST)),
            ("iteratorgetnextOp::DoCompute", Activity(EventType::HOST_WAIT_INPUT)),
            ("", Activity(EventType::HOST_COMPUTE)),
        ] {
            assert_eq!(role(name), expect, "{name}");
        }
    }
}
