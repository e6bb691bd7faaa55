//! The rules of thinning as the specification words them, without any regard to speed, for tests to compare with.
//!
//! Takes whole tracks, gives levels of detail and what a window shows; also makes tracks for tests.
//! It must not share code with what it is compared with, except for the tracks.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::query::Selected;
use super::store::merge::Ascending;
use super::store::tracks::Track;
use crate::prep::flows::Flow;

const N_FILTERS: usize = 12;
const DIRECTION_IN: u8 = 1;

/// Some threads and rows with flows, ties, nesting and gaps of all magnitudes.
pub fn any_tracks(max_events: usize) -> impl Strategy<Value = Vec<Track>> {
    let time = || (0u64..12, prop_oneof![Just(1u64), Just(100), Just(1_000_000), Just(100_000_000_000)]);
    let flow = prop_oneof![Just(None), (0u64..9, 0u64..4).prop_map(|(id, direction)| Some(Flow(id << 2 | direction)))];
    let event =
        (time(), time(), flow).prop_map(|(begin, duration, flow)| (begin.0 * begin.1, duration.0 * duration.1, flow));
    let track = (prop::bool::weighted(0.8), prop::collection::vec(event, 1..max_events));
    prop::collection::vec(track.prop_map(|(is_thread, events)| Track::of_events(is_thread, events)), 1..6)
}

#[derive(Debug, Clone, Copy)]
struct ModelEvent {
    track: usize,
    position: u32,
    begin_ps: u64,
    duration_ps: u64,
    flow: Option<Flow>,
    is_row: bool,
}

/// All events in global order.
fn events(tracks: &[Track]) -> Vec<ModelEvent> {
    let mut events = Vec::new();
    for (track, t) in tracks.iter().enumerate() {
        let times = t.times(&[]);
        let flows: BTreeMap<u32, Flow> = t.flows.iter().collect();
        for position in 0..times.len() as u32 {
            let (begin_ps, duration_ps) = times.at(position as usize);
            let flow = flows.get(&position).copied();
            events.push(ModelEvent { track, position, begin_ps, duration_ps, flow, is_row: t.is_row() });
        }
    }
    events.sort_by_key(|e| (e.begin_ps, Reverse(e.duration_ps), e.track, e.position));
    events
}

/// The filter V(r).
#[derive(Debug, Default)]
struct Filter {
    resolution_ps: u64,
    ends: BTreeMap<usize, Vec<u64>>,
    last_arrow_ps: BTreeMap<usize, u64>,
    decisions: BTreeMap<u64, bool>,
    last_in_row: BTreeMap<usize, u64>,
}

impl Filter {
    fn new(resolution_ps: u64) -> Self {
        Self { resolution_ps, ..Self::default() }
    }

    fn depth(&self, e: &ModelEvent) -> usize {
        let ends = self.ends.get(&e.track).map_or(&[][..], |ends| ends);
        ends.iter().position(|&end| end <= e.begin_ps).unwrap_or(ends.len())
    }

    fn push(&mut self, e: &ModelEvent, depth: usize) {
        let ends = self.ends.entry(e.track).or_default();
        ends.truncate(depth);
        ends.push(e.begin_ps + e.duration_ps);
    }

    fn admit(&mut self, e: &ModelEvent) -> bool {
        if e.is_row {
            let ok = self.last_in_row.get(&e.track).is_none_or(|last| e.begin_ps - last >= self.resolution_ps);
            if ok {
                self.last_in_row.insert(e.track, e.begin_ps);
            }
            return ok;
        }
        let depth = self.depth(e);
        let sibling = self.ends.get(&e.track).and_then(|ends| ends.get(depth));
        let mut ok =
            e.duration_ps >= self.resolution_ps || sibling.is_none_or(|end| e.begin_ps - end >= self.resolution_ps);
        if let Some(flow) = e.flow {
            let end_ps = e.begin_ps + e.duration_ps;
            let last_arrow = self.last_arrow_ps.get(&e.track);
            let far = last_arrow.is_none_or(|&last| end_ps.wrapping_sub(last) >= self.resolution_ps);
            ok = *self.decisions.entry(flow.id()).or_insert(ok || far) || ok;
            if flow.direction() == DIRECTION_IN {
                self.decisions.remove(&flow.id());
            }
            if ok {
                self.last_arrow_ps.insert(e.track, end_ps);
            }
        }
        if ok {
            self.push(e, depth);
        }
        ok
    }

    fn force(&mut self, e: &ModelEvent) {
        if e.is_row {
            self.last_in_row.insert(e.track, e.begin_ps);
            return;
        }
        if let Some(flow) = e.flow {
            if flow.direction() == DIRECTION_IN {
                self.decisions.remove(&flow.id());
            } else {
                self.decisions.entry(flow.id()).or_insert(true);
            }
            self.last_arrow_ps.insert(e.track, e.begin_ps + e.duration_ps);
        }
        let depth = self.depth(e);
        self.push(e, depth);
    }
}

fn filters() -> Vec<Filter> {
    (0..N_FILTERS as u32).map(|z| Filter::new(10u64.pow(12 - z))).collect()
}

/// Shows an event to filters: the first that admits it, and all behind are made to.
fn first_admitting(filters: &mut [Filter], e: &ModelEvent) -> usize {
    let level = filters.iter_mut().position(|filter| filter.admit(e)).unwrap_or(N_FILTERS);
    filters.iter_mut().skip(level + 1).for_each(|filter| filter.force(e));
    level
}

/// The level of each event by track and position.
pub fn levels(tracks: &[Track]) -> BTreeMap<(usize, u32), u8> {
    let events = events(tracks);
    let mut of_flow: BTreeMap<u64, [Option<bool>; N_FILTERS]> = BTreeMap::new();
    let mut together = filters();
    for e in &events {
        let Some(flow) = e.flow else { continue };
        let level = first_admitting(&mut together, e);
        for (z, admits) in of_flow.entry(flow.id()).or_default().iter_mut().enumerate() {
            admits.get_or_insert(z >= level);
        }
    }
    let mut alone = filters();
    let mut levels = BTreeMap::new();
    for e in &events {
        let level = match e.flow {
            None => first_admitting(&mut alone, e),
            Some(flow) => {
                let is_shown =
                    |&z: &usize| of_flow[&flow.id()][z] == Some(true) || e.duration_ps >= 10u64.pow(12 - z as u32);
                let level = (0..N_FILTERS).find(is_shown).unwrap_or(N_FILTERS);
                alone.iter_mut().skip(level).for_each(|filter| filter.force(&ModelEvent { flow: None, ..*e }));
                level
            }
        };
        levels.insert((e.track, e.position), level as u8);
    }
    levels
}

/// What a filter of that resolution leaves of some selected events.
pub fn thin(
    tracks: &[Track],
    selected: &[Selected],
    resolution_ps: u64,
    is_dma: &dyn Fn(Flow) -> bool,
) -> Vec<Selected> {
    let mut filter = Filter::new(resolution_ps);
    let mut kept: Vec<Selected> = selected.iter().map(|s| Selected { track: s.track, positions: Vec::new() }).collect();
    for e in events(tracks) {
        let Some(i) = selected.iter().position(|s| s.track == e.track) else { continue };
        if selected[i].positions.contains(&e.position) && (e.flow.is_some_and(is_dma) || filter.admit(&e)) {
            kept[i].positions.push(e.position);
        }
    }
    kept
}
