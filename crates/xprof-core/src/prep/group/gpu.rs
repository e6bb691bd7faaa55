//! Groups of a GPU plane: what ran without a known cause, and the line of steps.
//!
//! Takes a plane whose kernels were grouped through their launches.
//! Gives the other events the group that was running, and adds a `Steps` line from which op statistics take the steps.

use rayon::prelude::*;

use super::Groups;
use crate::prep::planes;
use crate::prep::time_order::{Timed, in_time_order};
use crate::xspace::schema::line_names;
use crate::xspace::{AddedStats, AddedValue, Line, NO_GROUP, Plane, StatKind, XSpace};
use crate::{Diag, Result};

/// Id of the derived `Steps` line: 0xdeadbeef as a signed number of 32 bits.
pub(in crate::prep) const STEPS_LINE_ID: i64 = 0xdead_beef_u32 as i32 as i64;

/// Finishes all GPU planes.
pub(super) fn run(space: &mut XSpace, groups: &Groups, diag: &Diag) -> Result<()> {
    space.planes.par_iter_mut().filter(|p| planes::is_gpu(&p.name)).try_for_each(|plane| {
        diag.check()?;
        let order = grouped_in_time_order(plane);
        if order.is_empty() {
            return Ok(());
        }
        inherit(plane, &order);
        diag.check()?;
        add_steps(plane, &order, groups);
        Ok(())
    })
}

/// All events of lines that are not derived, in the order of time; none if nothing is grouped.
fn grouped_in_time_order(plane: &Plane) -> Vec<Timed> {
    let has_groups = |l: &Line| l.groups.is_some() || l.stat_kinds.contains(StatKind::GroupId);
    let lines: Vec<usize> = (0..plane.lines.len()).filter(|&l| !plane.lines[l].is_derived()).collect();
    if !lines.iter().any(|&l| has_groups(&plane.lines[l])) {
        return Vec::new();
    }
    let group = |e: &Timed| plane.lines[e.line as usize].event(plane, e.idx as usize).and_then(|e| e.group_id());
    in_time_order(plane, &lines, &lines, |run| run.iter().any(|e| group(e) != group(&run[0])))
}

/// An event without a group takes the last one that was seen.
fn inherit(plane: &mut Plane, order: &[Timed]) {
    let mut columns: Vec<Vec<u32>> = plane
        .lines
        .iter()
        .map(|line| match &line.groups {
            _ if line.is_derived() => Vec::new(),
            Some(groups) => groups.clone(),
            None => line
                .events(plane)
                .map(|e| e.group_id().and_then(|g| u32::try_from(g).ok()).unwrap_or(NO_GROUP))
                .collect(),
        })
        .collect();
    let mut last = NO_GROUP;
    for event in order {
        let group = &mut columns[event.line as usize][event.idx as usize];
        if *group == NO_GROUP {
            *group = last;
        } else {
            last = *group;
        }
    }
    for (line, column) in plane.lines.iter_mut().zip(columns) {
        if column.iter().any(|&g| g != NO_GROUP) {
            line.groups = Some(column);
        }
    }
}

/// Adds the line of steps: one event for each run of events of one group in the order of time.
/// `parity:` groups that interleave have several step events.
fn add_steps(plane: &mut Plane, order: &[Timed], groups: &Groups) {
    let mut steps: Vec<(u32, u64, u64)> = Vec::new();
    for event in order {
        let groups = &plane.lines[event.line as usize].groups;
        let group = groups.as_ref().map_or(NO_GROUP, |g| g[event.idx as usize]);
        if group == NO_GROUP {
            continue;
        }
        let end_ps = event.begin_ps.wrapping_add(event.duration_ps(plane));
        match steps.last_mut() {
            Some((last, _, last_end_ps)) if *last == group => *last_end_ps = end_ps.max(*last_end_ps),
            _ => steps.push((group, event.begin_ps, end_ps)),
        }
    }
    if steps.is_empty() {
        return;
    }
    let timestamp_ns = plane.lines.iter().filter(|l| !l.is_derived()).map(|l| l.timestamp_ns).min().unwrap_or(0);
    let mut rows = rustc_hash::FxHashMap::default();
    let (mut numbers, mut stats) = (Vec::with_capacity(steps.len()), AddedStats::default());
    let mut line = Line::new(STEPS_LINE_ID, line_names::STEPS, timestamp_ns);
    for (i, (group, begin_ps, end_ps)) in steps.into_iter().enumerate() {
        let row = *rows.entry(group).or_insert_with(|| plane.add_event_metadata(group.to_string()));
        line.events.push(row, begin_ps, end_ps.saturating_sub(begin_ps));
        numbers.push(group);
        if let Some(name) = groups.shared_name(i64::from(group)) {
            stats.push(i as u32, StatKind::StepName, AddedValue::Str(name.clone()));
        }
    }
    line.groups = Some(numbers);
    line.add_stats(stats);
    plane.lines.push(line);
}
