//! How long the host took to launch the kernels of a step.
//!
//! Takes the grouped launches of the host, gives per device and group their number, times and hull.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::FIRST_ID;
use super::names::Names;
use crate::prep::{Groups, Prepared};
use crate::xspace::schema::{line_names, plane_names};
use crate::xspace::{AddedValue, Event, Line, Plane, StatKind};
use crate::{Diag, Result};

/// Number of the line among derived lines.
const LINE_NUMBER: i64 = 1;

/// The launches of one device in one group.
#[derive(Debug, Clone, Copy)]
struct Launches {
    n: u64,
    sum_ps: u64,
    max_ps: u64,
    begin_ps: u64,
    end_ps: u64,
}

impl Launches {
    fn of(event: &Event<'_>) -> Self {
        let (begin_ps, duration_ps) = (event.begin_ps(), event.duration_ps());
        let end_ps = begin_ps.saturating_add(duration_ps);
        Self { n: 1, sum_ps: duration_ps, max_ps: duration_ps, begin_ps, end_ps }
    }

    fn merge(&mut self, other: Self) {
        self.n += other.n;
        self.sum_ps = self.sum_ps.wrapping_add(other.sum_ps);
        self.max_ps = self.max_ps.max(other.max_ps);
        self.begin_ps = self.begin_ps.min(other.begin_ps);
        self.end_ps = self.end_ps.max(other.end_ps);
    }
}

/// Launches by device and group.
#[derive(Debug, Default)]
pub(super) struct LaunchTable(BTreeMap<(u64, i64), Launches>);

/// Collects the launches of a host.
pub(super) fn collect(prepared: &Prepared, diag: &Diag) -> Result<LaunchTable> {
    let Some(plane) = prepared.space.plane(plane_names::HOST_CPU) else {
        return Ok(LaunchTable::default());
    };
    // Calls of the driver happen inside those of the runtime, which count.
    let is_driver: Vec<bool> = plane.event_metadata.iter().map(|m| m.name.starts_with("cu")).collect();
    let parts: Vec<LaunchTable> = plane
        .lines
        .par_iter()
        .map(|line| {
            diag.check()?;
            Ok(collect_line(plane, line, &is_driver))
        })
        .collect::<Result<_>>()?;
    let mut all = LaunchTable::default();
    for (key, launches) in parts.into_iter().flat_map(|part| part.0) {
        all.add(key, launches);
    }
    Ok(all)
}

fn collect_line(plane: &Plane, line: &Line, is_driver: &[bool]) -> LaunchTable {
    let mut table = LaunchTable::default();
    let kinds = &line.stat_kinds;
    let grouped = line.groups.is_some() || kinds.contains(StatKind::GroupId);
    if !grouped || !kinds.contains(StatKind::DeviceId) || !kinds.contains(StatKind::CorrelationId) {
        return table;
    }
    for event in line.events(plane) {
        if is_driver.get(event.metadata_row() as usize).copied().unwrap_or(false) {
            continue;
        }
        let Some(group) = event.group_id() else { continue };
        let Some(device) = event.stat(StatKind::DeviceId) else {
            continue;
        };
        if event.stat(StatKind::CorrelationId).is_some() {
            table.add((device.int_or_uint(), group), Launches::of(&event));
        }
    }
    table
}

impl LaunchTable {
    fn add(&mut self, key: (u64, i64), launches: Launches) {
        self.0.entry(key).and_modify(|l| l.merge(launches)).or_insert(launches);
    }

    /// The line of a device; without events if it launched nothing in a group.
    pub(super) fn line(&self, device: u64, groups: &Groups, names: &mut Names) -> Line {
        let mut line = Line::new(FIRST_ID + LINE_NUMBER, line_names::LAUNCH_STATS, 0);
        let (mut numbers, mut stats) = (Vec::new(), Vec::new());
        for (&(_, group), launches) in self.0.range((device, i64::MIN)..=(device, i64::MAX)) {
            let Ok(number) = u32::try_from(group) else { continue };
            let event = line.events.len() as u32;
            let row = names.row(format!("Launch Stats for {}", groups.name(group)), "");
            line.events.push(row, launches.begin_ps, launches.end_ps.saturating_sub(launches.begin_ps));
            numbers.push(number);
            let to_us = |ps: u64| ps as f64 / 1e6;
            let average_us = to_us(launches.sum_ps) / launches.n as f64;
            stats.push((event, StatKind::NumLaunches, AddedValue::Uint(launches.n)));
            stats.push((event, StatKind::MaxLaunchTimeUs, AddedValue::Double(to_us(launches.max_ps))));
            stats.push((event, StatKind::AvgLaunchTimeUs, AddedValue::Double(average_us)));
        }
        line.groups = Some(numbers);
        line.add_stats(stats.into_iter().collect());
        line
    }
}
