//! Everything about one event: times, arguments, what it lies in, and what its flow links it with.
//!
//! Takes a row and a place on it, gives a block that is all header.
//! It must not guess: an event that is not there is not found.

use std::borrow::Cow;

use super::block::{Block, BlockBuilder};
use super::names::category;
use super::rows::{Row, Rows, Scope};
use crate::answer::json::JsonWriter;
use crate::tools::trace_viewer::facts;
use crate::xspace::StatValue;
use crate::{Error, Result};

/// How many events of a flow are listed at most.
const MAX_LINKED: usize = 64;
/// Whole numbers up to here are exact in a browser.
const MAX_EXACT: u64 = 1 << 53;

/// Answers for one event.
pub fn answer(scope: &Scope<'_>, rows: &Rows, row: u32, position: u32) -> Result<Block> {
    let found = rows.rows.get(row as usize).filter(|r| (position as usize) < scope.n_events(r));
    let found = found.and_then(|r| r.locate(position).map(|place| (r, place)));
    let Some((r, place)) = found else {
        return Err(Error::NotFound(format!("row {row} of {} has no event {position}", scope.prepared.host)));
    };
    let event = scope.event(place);
    BlockBuilder::new(|json| {
        scope.write_facts("event", json);
        write_place(scope, r, (row, position), json);
        if let Some(category) = category(&event) {
            json.key("category").string(&category);
        }
        if let Some(module) = module(scope, rows, r, scope.at(r, position as usize).0) {
            json.key("module").string(&module);
        }
        if let Some(group) = event.group_id() {
            json.key("group").int64(group);
        }
        json.key("args").begin_array();
        if let Some(name) = facts::long_name(&event) {
            json.begin_array().string("long_name").string(&name).end_array();
        }
        for stat in facts::shown_stats(&event, false).filter(|stat| !facts::is_consumed(stat)) {
            json.begin_array().string(stat.name);
            write_value(stat.value, json);
            json.end_array();
        }
        json.end_array().key("parents").begin_array();
        for parent in parents(scope, r, position) {
            json.begin_object();
            write_place(scope, r, (row, parent), json);
            json.end_object();
        }
        json.end_array().key("linked").begin_array();
        for (direction, linked) in linked(scope, rows, place) {
            json.begin_object();
            write_place(scope, &rows.rows[linked.0 as usize], linked, json);
            json.key("direction").int64(direction).end_object();
        }
        json.end_array();
    })
    .finish()
}

/// Which event, and when.
fn write_place(scope: &Scope<'_>, row: &Row, (row_idx, position): (u32, u32), json: &mut JsonWriter<'_>) {
    let (begin_ps, duration_ps) = scope.at(row, position as usize);
    let name = row.locate(position).map(|place| facts::visible_name(&scope.event(place)));
    json.key("row").int64(row_idx).key("position").int64(position);
    json.key("name").string(&name.unwrap_or_default());
    json.key("begin_ps").string(&begin_ps.to_string());
    json.key("duration_ps").string(&duration_ps.to_string());
    json.key("lane").int64(row.lanes.at(position as usize));
}

fn write_value(value: StatValue<'_>, json: &mut JsonWriter<'_>) {
    match value {
        StatValue::Int(v) if v.unsigned_abs() <= MAX_EXACT => json.int64(v),
        StatValue::Int(v) => json.string(&v.to_string()),
        StatValue::Uint(v) if v <= MAX_EXACT => json.int64(v as i64),
        StatValue::Uint(v) => json.string(&v.to_string()),
        StatValue::Double(v) if v.is_finite() => json.double(v),
        StatValue::Double(v) => json.string(&v.to_string()),
        text => json.string(&text.text()),
    };
}

/// The program that runs on the event's device when it begins, as `name(id)`.
fn module<'a>(scope: &'a Scope<'_>, rows: &Rows, row: &Row, begin_ps: u64) -> Option<Cow<'a, str>> {
    let modules = rows.rows.iter().filter(|r| r.device == row.device && r.name.starts_with("XLA Modules"));
    modules.into_iter().find_map(|r| {
        let running = r.lanes.before(scope.first_from(r, begin_ps.saturating_add(1)));
        let runs = |&i: &usize| {
            let (begin, duration) = scope.at(r, i);
            begin.saturating_add(duration) > begin_ps
        };
        let at = running.into_iter().rfind(runs)?;
        r.locate(at as u32).map(|place| facts::visible_name(&scope.event(place)))
    })
}

/// The events in which one lies, outermost first.
fn parents(scope: &Scope<'_>, row: &Row, position: u32) -> Vec<u32> {
    let (begin_ps, duration_ps) = scope.at(row, position as usize);
    let end_ps = begin_ps.saturating_add(duration_ps);
    let lane = row.lanes.at(position as usize);
    let encloses = |&i: &usize| {
        let (begin, duration) = scope.at(row, i);
        row.lanes.at(i) < lane && begin.saturating_add(duration) >= end_ps
    };
    row.lanes.before(position as usize).into_iter().filter(encloses).map(|i| i as u32).collect()
}

/// Row and position of the other events of the same flow, with their directions, by begin.
fn linked(scope: &Scope<'_>, rows: &Rows, (track, position): (u32, u32)) -> Vec<(u8, (u32, u32))> {
    let Some(flow) = scope.store.tracks[track as usize].flow(position, &mut 0) else { return Vec::new() };
    let mut found = Vec::new();
    for (other_track, other) in (0u32..).zip(&scope.store.tracks) {
        for (at, f) in other.flows.iter().filter(|(_, f)| f.id() == flow.id()) {
            if (other_track, at) == (track, position) || found.len() >= MAX_LINKED {
                continue;
            }
            if let Some(place) = rows.find(scope, (other_track, at)) {
                found.push((f.direction(), place));
            }
        }
    }
    found.sort_by_key(|&(_, (row, position))| scope.at(&rows.rows[row as usize], position as usize));
    found
}
