//! Hands the groups of a TPU plane's steps to everything that ran during them.
//!
//! Takes the numbers of the grouping line's events. Merges step events of one group, drops step events of none, and
//! gives every event of the other lines the group of the step it overlaps.

use rayon::prelude::*;

use super::scan::NodeLine;
use super::{Groups, NONE};
use crate::prep::{Timespan, planes};
use crate::xspace::schema::line_names;
use crate::xspace::{AddedStats, AddedValue, Event, EventColumns, Line, NO_GROUP, Plane, StatKind, StatValue, XSpace};
use crate::{Diag, Result};

/// Finishes all TPU planes.
pub(super) fn run(space: &mut XSpace, lines: &[NodeLine], numbers: &[u32], groups: &Groups, diag: &Diag) -> Result<()> {
    let places: Vec<&NodeLine> = lines.iter().filter(|l| l.groups_tpu).collect();
    space.planes.par_iter_mut().enumerate().try_for_each(|(p, plane)| {
        diag.check()?;
        if let Some(place) = places.iter().find(|l| l.plane == p) {
            let numbers = &numbers[place.base as usize..(place.base + place.len) as usize];
            plane.lines[place.line].groups = Some(numbers.to_vec());
            merge_steps(plane, place.line, groups);
            group_others(plane, place.line);
        }
        // `parity:` the lines of a core are sorted only after they were grouped.
        if planes::tensor_core(&plane.name).is_some() {
            plane.lines.par_iter_mut().for_each(Line::sort_events);
        }
        diag.check()
    })
}

fn is_step_line(name: &str) -> bool {
    name == line_names::STEPS || name == line_names::SPARSE_CORE_STEPS
}

/// Merges consecutive step events of one group into the first of them, and drops those of none.
fn merge_steps(plane: &mut Plane, line_idx: usize, groups: &Groups) {
    let line = &plane.lines[line_idx];
    let numbers = line.groups.clone().unwrap_or_default();
    if !is_step_line(&line.name) || numbers.iter().all(|&n| n == NONE) {
        return;
    }
    let all: Vec<usize> = (0..numbers.len()).collect();
    let (mut keep, mut stats, mut durations) = (vec![false; numbers.len()], AddedStats::default(), Vec::new());
    let mut idle_ps = 0u64;
    for run in all.chunk_by(|&a, &b| numbers[a] == numbers[b]) {
        let (Some(&first), Some(&last)) = (run.first(), run.last()) else {
            continue;
        };
        if numbers[first] == NONE {
            idle_ps = 0;
            continue;
        }
        keep[first] = true;
        if let Some(name) = groups.shared_name(i64::from(numbers[first])) {
            stats.push(first as u32, StatKind::StepName, AddedValue::Str(name.clone()));
        }
        idle_ps = add_idle(plane, line_idx, run, idle_ps);
        stats.push(first as u32, StatKind::StepIdleTimePs, AddedValue::Int(idle_ps as i64));
        if first != last {
            durations.push((first, line.events.end_ps(last).saturating_sub(line.events.begin_ps[first])));
            merge_device_spans(plane, line_idx, run, &mut stats);
        }
    }
    let line = &mut plane.lines[line_idx];
    for (idx, duration_ps) in durations {
        line.events.set_duration_ps(idx, duration_ps);
    }
    line.add_stats(stats);
    line.retain_events(|i| keep[i]);
}

/// The idle time of a run of step events.
/// `parity:` if its first event does not say how long it idled, that of the run before is where adding begins.
fn add_idle(plane: &Plane, line_idx: usize, run: &[usize], before_ps: u64) -> u64 {
    let line = &plane.lines[line_idx];
    let idle = |&i: &usize| line.event(plane, i)?.stat(StatKind::StepIdleTimePs).map(StatValue::int_or_uint);
    let (first, others) = run.split_at(1);
    let start_ps = first.first().and_then(idle).unwrap_or(before_ps);
    others.iter().filter_map(idle).fold(start_ps, u64::wrapping_add)
}

/// The device's clock gets the hull, if it is known of the first.
fn merge_device_spans(plane: &Plane, line_idx: usize, run: &[usize], stats: &mut AddedStats) {
    let line = &plane.lines[line_idx];
    let span = |e: Event<'_>| {
        let begin_ps = e.stat(StatKind::DeviceOffsetPs)?.int_or_uint();
        Some(Timespan::new(begin_ps, e.stat(StatKind::DeviceDurationPs)?.int_or_uint()))
    };
    let mut spans = run.iter().filter_map(|&i| line.event(plane, i)).map(span);
    let (Some(&first), Some(Some(mut hull))) = (run.first(), spans.next()) else {
        return;
    };
    spans.flatten().for_each(|s| hull.expand_to_include(s));
    stats.push(first as u32, StatKind::DeviceOffsetPs, AddedValue::Uint(hull.begin_ps));
    stats.push(first as u32, StatKind::DeviceDurationPs, AddedValue::Uint(hull.duration_ps));
}

/// Gives the events of all lines but that of steps and that of counters the group of the step that they overlap.
/// `parity:` where modules stand in for steps, they are regrouped too: one that overlaps its predecessor joins it.
fn group_others(plane: &mut Plane, line_idx: usize) {
    let steps = &plane.lines[line_idx];
    let numbers: &[u32] = steps.groups.as_deref().unwrap_or_default();
    let found: Vec<Option<Vec<u32>>> = plane
        .lines
        .par_iter()
        .enumerate()
        .map(|(l, line)| {
            let keeps_own = (l == line_idx && is_step_line(&line.name)) || *line.name == *line_names::COUNTERS;
            (!keeps_own).then(|| groups_of(&line.events, &steps.events, numbers))
        })
        .collect();
    for (line, found) in plane.lines.iter_mut().zip(found) {
        if found.is_some() && !line.events.is_empty() {
            line.groups = found;
        }
    }
}

/// The group of the step that each event overlaps.
///
/// `parity:` touching counts, and the current step is left only for a later one that the event overlaps: an event that
/// begins where a step ends belongs to that step, and one that jumps back to an earlier step belongs to none.
fn groups_of(events: &EventColumns, steps: &EventColumns, numbers: &[u32]) -> Vec<u32> {
    // Ends that grow with the index: the first step that ends behind a point is found by bisection.
    let mut latest_ps = 0;
    let reach_ps: Vec<u64> = (0..steps.len())
        .map(|s| {
            latest_ps = steps.end_ps(s).max(latest_ps);
            latest_ps
        })
        .collect();
    let mut current = 0;
    (0..events.len())
        .map(|i| {
            let (begin_ps, end_ps) = (events.begin_ps[i], events.end_ps(i));
            let mut found = current;
            if found < steps.len() && steps.end_ps(found) < begin_ps {
                // The current step ends later than all before it, so what ends behind the event comes after it.
                found = reach_ps.partition_point(|&reach| reach < begin_ps).max(current);
            }
            if found == steps.len() || steps.begin_ps[found] > end_ps {
                return NO_GROUP;
            }
            current = found;
            numbers[found]
        })
        .collect()
}
