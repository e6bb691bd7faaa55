//! Devices, threads and rows of the timeline, and which events lie on which.
//!
//! Takes the timeline lines of a prepared trace, gives devices and sorted tracks. Events are not copied: a track is a line
//! as it is, or a list of positions in one or more lines.
//! It must not decide which of the events a query returns.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use bytestring::ByteString;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::merge::Ascending;
use super::scan::{LineScan, Pick};
use crate::prep::derived::ShownLine;
use crate::prep::flows::Flow;
use crate::xspace::schema::plane_names;
use crate::xspace::{EventColumns, Plane, XSpace};

/// The first id of host planes.
const FIRST_HOST_ID: u32 = 701;
/// Accelerators have the ids below this one; `parity:` whatever is above becomes the first of them.
const FIRST_CUSTOM_ID: u32 = 501;

/// Asynchronous events whose name is longer have no row of their own.
const MAX_ROW_NAME_BYTES: usize = 32;

/// What becomes a process of the timeline.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its number among the devices of its host.
    pub id: u32,
    /// The plane's name.
    pub name: ByteString,
    /// Threads by id, with their names; also those all of whose events are asynchronous.
    pub threads: BTreeMap<u32, ByteString>,
}

impl Device {
    /// Whether the filter for intermediate DMA events applies (`parity:` a matter of the name alone).
    pub fn is_tpu(&self) -> bool {
        let has = |part| self.name.contains(part);
        has("/device:TPU:")
            || has("TensorNode")
            || has("TPU Core")
            || (has("#Chip") && (has("Host Interface") || has("HBM") || has("ICI Router")))
    }
}

/// What a track shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackKind {
    /// Slices of a thread.
    Thread {
        /// The thread's id.
        id: u32,
    },
    /// Samples of one counter.
    Counter {
        /// The counter's name.
        name: ByteString,
    },
    /// Asynchronous events of one name, of whatever thread.
    Async {
        /// Their name.
        name: ByteString,
    },
}

impl TrackKind {
    /// Place among the tracks of a device: threads by id, then the rest by name.
    fn order(&self) -> (bool, u32, &str, bool) {
        match self {
            Self::Thread { id } => (false, *id, "", false),
            Self::Counter { name } => (true, 0, name, false),
            Self::Async { name } => (true, 0, name, true),
        }
    }
}

impl PartialOrd for TrackKind {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TrackKind {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// A thread, a counter, or the asynchronous events of one name.
#[derive(Debug)]
pub struct Track {
    /// Index of the device.
    pub device: u32,
    /// What it shows.
    pub kind: TrackKind,
    /// Where its events are: indices of lines, and how many events come before each.
    lines: SmallVec<[(u32, u32); 1]>,
    /// For each position the place among the events of all lines; `None` if the track is one line as it is.
    order: Option<Vec<u32>>,
    /// Begin and duration by position, if the events come from several lines.
    times: Option<EventColumns>,
    /// Its flow events.
    pub flows: TrackFlows,
}

/// The flow events of a track.
#[derive(Debug, Default)]
pub struct TrackFlows {
    /// Positions, ascending.
    pub positions: Vec<u32>,
    /// Their flows.
    pub values: Vec<Flow>,
}

impl TrackFlows {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Position and flow of each.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Flow)> + '_ {
        self.positions.iter().copied().zip(self.values.iter().copied())
    }

    /// Adds one behind the last.
    pub fn push(&mut self, position: u32, flow: Flow) {
        self.positions.push(position);
        self.values.push(flow);
    }

    /// From flows by place to flows by position.
    fn in_order(self, order: &[u32]) -> Self {
        if self.is_empty() {
            return self;
        }
        if order.is_sorted() {
            // The usual case: some events were left out, and both lists ascend.
            let mut positions = order.iter().zip(0u32..).peekable();
            let mut position_of = |place: u32| {
                while positions.next_if(|&(&before, _)| before < place).is_some() {}
                positions.peek().filter(|&&(&at, _)| at == place).map(|&(_, position)| position)
            };
            return self.iter().filter_map(|(place, flow)| Some((position_of(place)?, flow))).collect();
        }
        let by_place: FxHashMap<u32, Flow> = self.iter().collect();
        let positions = order.iter().zip(0u32..);
        positions.filter_map(|(place, position)| by_place.get(place).map(|&flow| (position, flow))).collect()
    }
}

impl FromIterator<(u32, Flow)> for TrackFlows {
    fn from_iter<I: IntoIterator<Item = (u32, Flow)>>(iter: I) -> Self {
        let (positions, values) = iter.into_iter().unzip();
        Self { positions, values }
    }
}

/// Begin and duration of the events of one track.
#[derive(Debug)]
pub struct Times<'a> {
    events: &'a EventColumns,
    order: Option<&'a [u32]>,
}

impl Ascending for Times<'_> {
    #[inline]
    fn len(&self) -> usize {
        self.order.map_or(self.events.len(), <[u32]>::len)
    }

    #[inline]
    fn begin_ps(&self, position: usize) -> u64 {
        self.events.begin_ps[self.order.map_or(position, |order| order[position] as usize)]
    }
}

impl Times<'_> {
    /// Begin and duration at a position, which must be below the length.
    #[inline]
    pub fn at(&self, position: usize) -> (u64, u64) {
        let place = self.order.map_or(position, |order| order[position] as usize);
        (self.events.begin_ps[place], self.events.duration_ps(place))
    }
}

impl Track {
    /// Whether its events belong to no thread.
    pub fn is_row(&self) -> bool {
        !matches!(self.kind, TrackKind::Thread { .. })
    }

    /// Whether its events lie on one row with those of other names: `parity:` asynchronous events with long names do.
    pub fn shares_row(&self) -> bool {
        matches!(&self.kind, TrackKind::Async { name } if name.len() > MAX_ROW_NAME_BYTES)
    }

    /// A track that holds its own events: begin, duration and flow of each, in any order.
    #[cfg(test)]
    pub fn of_events(is_thread: bool, mut events: Vec<(u64, u64, Option<Flow>)>) -> Self {
        events.sort_by_key(|&(begin_ps, duration_ps, _)| (begin_ps, Reverse(duration_ps)));
        let name = ByteString::from_static("row");
        let kind = if is_thread { TrackKind::Thread { id: 1 } } else { TrackKind::Async { name } };
        let flows = (0u32..).zip(&events).filter_map(|(position, &(.., flow))| flow.map(|flow| (position, flow)));
        let flows = flows.collect();
        let mut times = EventColumns::new();
        events.into_iter().for_each(|(begin_ps, duration_ps, _)| times.push(0, begin_ps, duration_ps));
        Self { device: 0, kind, lines: SmallVec::new(), order: None, times: Some(times), flows }
    }

    /// Begins and durations.
    pub fn times<'a>(&'a self, lines: &[ShownLine<'a>]) -> Times<'a> {
        static NO_EVENTS: EventColumns = EventColumns::new();
        if let Some(events) = &self.times {
            return Times { events, order: None };
        }
        let line = self.lines.first().and_then(|&(line, _)| lines.get(line as usize));
        Times { events: line.map_or(&NO_EVENTS, |line| &line.line.events), order: self.order.as_deref() }
    }

    /// Line and place in that line of the event at a position.
    #[inline]
    pub fn locate(&self, position: u32) -> (u32, u32) {
        let place = self.order.as_ref().map_or(position, |order| order[position as usize]);
        let after = self.lines.partition_point(|&(_, before)| before <= place);
        let (line, before) = self.lines[after.saturating_sub(1)];
        (line, place - before)
    }

    /// The flow of the event at a position. `near` is where the last flow was looked for, from which ascending positions
    /// are found in a few steps; 0 at first.
    #[inline]
    pub fn flow(&self, position: u32, near: &mut usize) -> Option<Flow> {
        let TrackFlows { positions, values } = &self.flows;
        let (mut from, mut step) = (*near, 1);
        if from > 0 && positions[from - 1] >= position {
            from = 0;
        }
        while positions.get(from + step - 1).is_some_and(|&p| p < position) {
            from += step;
            step *= 2;
        }
        let to = positions.len().min(from + step);
        *near = from + positions[from..to].partition_point(|&p| p < position);
        positions.get(*near).filter(|&&p| p == position).and_then(|_| values.get(*near).copied())
    }

    /// Roughly the bytes of memory held.
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + self.order.as_ref().map_or(0, |o| o.capacity() * 4)
            + self.times.as_ref().map_or(0, EventColumns::weight)
            + self.flows.positions.capacity() * 4
            + self.flows.values.capacity() * size_of::<Flow>()
    }
}

/// Devices of one host by id, and for each plane that is shown (its index, the index of its device).
/// A plane of whose lines the timeline shows none is no device; one whose lines are all empty is.
pub fn devices(space: &XSpace, has_lines: impl Fn(usize) -> bool) -> (Vec<Device>, Vec<(usize, usize)>) {
    let mut ids: Vec<(u32, usize)> = Vec::new();
    let mut hosts: Vec<usize> = planes_with(space, plane_names::HOST_CPU);
    hosts.sort_by(|&a, &b| space.planes[a].name.cmp(&space.planes[b].name));
    ids.extend(hosts.iter().zip(FIRST_HOST_ID..).map(|(&plane, id)| (id, plane)));
    let mut accelerators = planes_with(space, plane_names::GPU_PREFIX);
    if accelerators.is_empty() {
        accelerators = planes_with(space, plane_names::TPU_PREFIX);
    }
    ids.extend(accelerators.iter().map(|&plane| (accelerator_id(space.planes[plane].id), plane)));
    ids.extend(
        planes_with(space, plane_names::CUSTOM_PREFIX)
            .iter()
            .map(|&plane| (FIRST_CUSTOM_ID.wrapping_add(space.planes[plane].id as u32), plane)),
    );
    ids.retain(|&(_, plane)| has_lines(plane));
    ids.sort_by_key(|&(id, _)| id);
    let mut devices: Vec<Device> = Vec::new();
    let mut shown = Vec::new();
    for (id, plane) in ids {
        let name = space.planes[plane].name.clone();
        match devices.last_mut().filter(|d| d.id == id) {
            // parity: two planes of one id become one process under the later name.
            Some(device) => device.name = name,
            None => devices.push(Device { id, name, threads: BTreeMap::new() }),
        }
        shown.push((plane, devices.len() - 1));
    }
    (devices, shown)
}

fn planes_with(space: &XSpace, prefix: &str) -> Vec<usize> {
    (0..space.planes.len()).filter(|&i| space.planes[i].name.starts_with(prefix)).collect()
}

fn accelerator_id(plane_id: i64) -> u32 {
    match u32::try_from(plane_id.saturating_add(1)) {
        Ok(id) if id < FIRST_CUSTOM_ID => id,
        _ => 1,
    }
}

/// The thread id of a line: the low 32 bits of its id.
pub fn thread_id(line: &ShownLine<'_>) -> u32 {
    line.id as u32
}

/// Part of a track that comes from one line.
struct Part {
    line: u32,
    pick: Pick,
    flows: TrackFlows,
}

/// Puts the scanned lines together to tracks. `scans` are in the order of `lines`; `device_of` says whose a line is.
pub fn tracks(lines: &[ShownLine<'_>], scans: Vec<LineScan>, device_of: &[u32]) -> Vec<Track> {
    let mut parts: BTreeMap<(u32, TrackKind), Vec<Part>> = BTreeMap::new();
    for (line, (scan, &device)) in scans.into_iter().zip(device_of).enumerate() {
        for (kind, pick, flows) in scan.tracks {
            parts.entry((device, kind)).or_default().push(Part { line: line as u32, pick, flows });
        }
    }
    let parts: Vec<_> = parts.into_iter().collect();
    parts.into_par_iter().with_max_len(1).map(|((device, kind), parts)| track(lines, device, kind, parts)).collect()
}

fn track(lines: &[ShownLine<'_>], device: u32, kind: TrackKind, mut parts: Vec<Part>) -> Track {
    if parts.len() == 1
        && let Some(Part { line, pick, flows }) = parts.pop()
    {
        let order = match pick {
            Pick::All => None,
            Pick::Some(order) => Some(order),
        };
        let flows = if let Some(order) = &order { flows.in_order(order) } else { flows };
        return Track { device, kind, lines: SmallVec::from_buf([(line, 0)]), order, times: None, flows };
    }
    merged(lines, device, kind, parts)
}

/// A track of several lines; the events of a later line come behind equal ones of an earlier line.
fn merged(lines: &[ShownLine<'_>], device: u32, kind: TrackKind, parts: Vec<Part>) -> Track {
    let (mut starts, mut events, mut flows) = (SmallVec::new(), Vec::new(), TrackFlows::default());
    let mut before = 0u32;
    for part in parts {
        let columns = &lines[part.line as usize].line.events;
        let picked: Cow<'_, [u32]> = match part.pick {
            Pick::All => (0..columns.len() as u32).collect(),
            Pick::Some(order) => order.into(),
        };
        for &idx in picked.iter() {
            events.push((columns.begin_ps[idx as usize], Reverse(columns.duration_ps(idx as usize)), before + idx));
        }
        flows.positions.extend(part.flows.positions.iter().map(|&idx| before + idx));
        flows.values.extend(part.flows.values);
        starts.push((part.line, before));
        before = before.saturating_add(columns.len() as u32);
    }
    events.sort_by_key(|&(begin_ps, duration_ps, _)| (begin_ps, duration_ps));
    let order: Vec<u32> = events.iter().map(|&(_, _, place)| place).collect();
    let mut times = EventColumns::new();
    events.iter().for_each(|&(begin_ps, duration_ps, _)| times.push(0, begin_ps, duration_ps.0));
    let flows = flows.in_order(&order);
    Track { device, kind, lines: starts, order: Some(order), times: Some(times), flows }
}

/// Names the threads of a device after its lines; of two lines with one id, the later one counts.
pub fn name_threads(
    devices: &mut [Device],
    lines: &[ShownLine<'_>],
    device_of: &[u32],
    is_thread: impl Fn(&Plane, &ShownLine<'_>) -> bool,
) {
    for (line, &device) in lines.iter().zip(device_of) {
        if let Some(device) = devices.get_mut(device as usize)
            && is_thread(line.plane, line)
        {
            device.threads.insert(thread_id(line), line.name().clone());
        }
    }
}
