//! The rows of a host's timeline, whatever is asked: threads, asynchronous events by device, series of counters.
//!
//! Takes the store of a prepared trace, gives rows with the lanes of their events. Kept with the trace: a byte per event.
//! It must not depend on a query.

use bytestring::ByteString;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::lanes::Lanes;
use crate::prep::Prepared;
use crate::prep::derived::ShownLine;
use crate::prep::memo::Memoized;
use crate::tools::trace_viewer::facts;
use crate::tools::trace_viewer::store::TraceStore;
use crate::tools::trace_viewer::store::merge::Ascending;
use crate::tools::trace_viewer::store::tracks::{Times, TrackKind};
use crate::xspace::{Event, StatValue};
use crate::{Diag, Result};

/// How many events are looked at between two looks at the cancellation.
pub const CHECK_EVERY: usize = 1 << 16;

/// All rows of a host, by device and then threads by id, asynchronous events, counters.
#[derive(Debug)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Debug)]
pub struct Row {
    /// Index of the device.
    pub device: u32,
    /// Its name.
    pub name: ByteString,
    /// Where its events are.
    pub source: Source,
    /// Where they are drawn.
    pub lanes: Lanes,
}

/// Where the events of a row are.
#[derive(Debug)]
pub enum Source {
    /// A thread of that id: one track.
    Thread {
        /// The thread's id.
        id: u32,
        /// Index of the track.
        track: u32,
    },
    /// All asynchronous events of a device: track and position of each, by begin.
    Async(Vec<(u32, u32)>),
    /// One argument of the samples of a counter.
    Counter(Series),
}

/// Samples by time.
#[derive(Debug, Default)]
pub struct Series {
    /// When.
    pub times_ps: Vec<u64>,
    /// What; never NaN.
    pub values: Vec<f64>,
}

impl Memoized for Rows {
    fn weight(&self) -> usize {
        let of = |row: &Row| {
            row.lanes.weight()
                + match &row.source {
                    Source::Thread { .. } => 0,
                    Source::Async(events) => events.capacity() * 8,
                    Source::Counter(series) => (series.times_ps.capacity() + series.values.capacity()) * 8,
                }
        };
        self.rows.iter().map(|row| size_of::<Row>() + of(row)).sum()
    }
}

impl Row {
    /// Track and position of one of its events; `None` for samples of counters.
    #[inline]
    pub fn locate(&self, position: u32) -> Option<(u32, u32)> {
        match &self.source {
            Source::Thread { track, .. } => Some((*track, position)),
            Source::Async(events) => events.get(position as usize).copied(),
            Source::Counter(_) => None,
        }
    }
}

/// A trace with everything that answers need: what every query looks at.
pub struct Scope<'a> {
    /// The trace.
    pub prepared: &'a Prepared,
    /// Its tracks.
    pub store: &'a TraceStore,
    /// Its lines, to which tracks refer.
    pub lines: Vec<ShownLine<'a>>,
    /// Begins and durations of each track.
    pub times: Vec<Times<'a>>,
}

impl<'a> Scope<'a> {
    /// Everything about a trace whose `store` was made.
    pub fn new(prepared: &'a Prepared, store: &'a TraceStore) -> Self {
        let lines = store.lines(prepared);
        let times = store.tracks.iter().map(|track| track.times(&lines)).collect();
        Self { prepared, store, lines, times }
    }

    /// How many events a row has; samples of counters count.
    pub fn n_events(&self, row: &Row) -> usize {
        match &row.source {
            Source::Thread { track, .. } => self.times[*track as usize].len(),
            Source::Async(events) => events.len(),
            Source::Counter(series) => series.times_ps.len(),
        }
    }

    /// Begin and duration of an event of a row.
    #[inline]
    pub fn at(&self, row: &Row, position: usize) -> (u64, u64) {
        match &row.source {
            Source::Thread { track, .. } => self.times[*track as usize].at(position),
            Source::Async(events) => {
                let (track, position) = events[position];
                self.times[track as usize].at(position as usize)
            }
            Source::Counter(series) => (series.times_ps[position], 0),
        }
    }

    /// The event at a position of a track.
    #[inline]
    pub fn event(&self, (track, position): (u32, u32)) -> Event<'_> {
        let (line, idx) = self.store.tracks[track as usize].locate(position);
        let line = &self.lines[line as usize];
        Event { plane: line.plane, line: line.line, idx: idx as usize }
    }

    /// The first position of a row from which on no event begins before `from_ps`.
    pub fn first_from(&self, row: &Row, from_ps: u64) -> usize {
        let (mut low, mut high) = (0, self.n_events(row));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(row, middle).0 >= from_ps { high = middle } else { low = middle + 1 }
        }
        low
    }

    /// The positions of the events that touch `begin_ps..=end_ps`, ascending: those still running at its begin, and those that
    /// begin within.
    pub fn touching(&self, row: &Row, begin_ps: u64, end_ps: u64) -> impl Iterator<Item = usize> + '_ {
        let first = self.first_from(row, begin_ps);
        let last = end_ps.checked_add(1).map_or_else(|| self.n_events(row), |end| self.first_from(row, end));
        let open = row.lanes.before(first).into_iter().filter(|&i| {
            let (begin, duration) = self.at(row, i);
            begin.saturating_add(duration) > begin_ps
        });
        open.collect::<Vec<_>>().into_iter().chain(first..last.max(first))
    }
}

impl Rows {
    /// The rows of a trace.
    pub fn new(scope: &Scope<'_>, diag: &Diag) -> Result<Self> {
        let store = scope.store;
        let mut rows = Vec::new();
        for device in 0..store.devices.len() as u32 {
            let tracks = || (0u32..).zip(&store.tracks).filter(move |(_, track)| track.device == device);
            let of_device = &store.devices[device as usize];
            for (track, t) in tracks() {
                if let TrackKind::Thread { id } = t.kind {
                    let name = of_device.threads.get(&id).cloned().unwrap_or_default();
                    rows.push(Row { device, name, source: Source::Thread { id, track }, lanes: Lanes::default() });
                }
            }
            let asyncs: Vec<u32> =
                tracks().filter(|(_, t)| matches!(t.kind, TrackKind::Async { .. })).map(|(i, _)| i).collect();
            if !asyncs.is_empty() {
                let name = ByteString::from_static("Asynchronous");
                rows.push(Row {
                    device,
                    name,
                    source: Source::Async(by_begin(scope, &asyncs)),
                    lanes: Lanes::default(),
                });
            }
            for (track, t) in tracks() {
                if let TrackKind::Counter { name } = &t.kind {
                    for (label, series) in series(scope, track, diag)? {
                        let name = if *label == **name { label.into() } else { format!("{name} · {label}").into() };
                        rows.push(Row { device, name, source: Source::Counter(series), lanes: Lanes::default() });
                    }
                }
            }
        }
        let lanes: Vec<Lanes> = rows
            .par_iter()
            .with_max_len(1)
            .map(|row| {
                diag.check()?;
                let is_counter = matches!(row.source, Source::Counter(_));
                let n = if is_counter { 0 } else { scope.n_events(row) };
                Ok(Lanes::of((0..n).map(|i| scope.at(row, i))))
            })
            .collect::<Result<_>>()?;
        rows.iter_mut().zip(lanes).for_each(|(row, lanes)| row.lanes = lanes);
        Ok(Self { rows })
    }
}

/// Track and position of all events of some tracks, by begin, longer ones first.
fn by_begin(scope: &Scope<'_>, tracks: &[u32]) -> Vec<(u32, u32)> {
    let positions = |&track: &u32| (0..scope.times[track as usize].len() as u32).map(move |p| (track, p));
    let mut events: Vec<(u32, u32)> = tracks.iter().flat_map(positions).collect();
    events.par_sort_by_cached_key(|&(track, position)| {
        let (begin_ps, duration_ps) = scope.times[track as usize].at(position as usize);
        (begin_ps, std::cmp::Reverse(duration_ps), track, position)
    });
    events
}

/// The samples of a counter, one series per argument that holds numbers, in the order of their first samples.
fn series<'a>(scope: &'a Scope<'_>, track: u32, diag: &Diag) -> Result<Vec<(&'a str, Series)>> {
    let mut found: Vec<(&str, Series)> = Vec::new();
    let mut by_label: FxHashMap<&str, usize> = FxHashMap::default();
    let times = &scope.times[track as usize];
    for position in 0..times.len() {
        if position % CHECK_EVERY == 0 {
            diag.check()?;
        }
        let event = scope.event((track, position as u32));
        for stat in facts::shown_stats(&event, false).filter(|stat| !facts::is_consumed(stat)) {
            let value = match stat.value {
                StatValue::Int(v) => v as f64,
                StatValue::Uint(v) => v as f64,
                StatValue::Double(v) if v.is_finite() => v,
                _ => continue,
            };
            let at = *by_label.entry(stat.name).or_insert(found.len());
            if at == found.len() {
                found.push((stat.name, Series::default()));
            }
            found[at].1.times_ps.push(times.begin_ps(position));
            found[at].1.values.push(value);
        }
    }
    Ok(found)
}

impl Rows {
    /// Row and position there of the event at a position of a track.
    pub fn find(&self, scope: &Scope<'_>, (track, position): (u32, u32)) -> Option<(u32, u32)> {
        let device = scope.store.tracks[track as usize].device;
        (0u32..).zip(&self.rows).filter(|(_, row)| row.device == device).find_map(|(i, row)| match &row.source {
            Source::Thread { track: of_row, .. } => (*of_row == track).then_some((i, position)),
            Source::Async(events) => {
                let begin_ps = scope.times[track as usize].at(position as usize).0;
                let first = scope.first_from(row, begin_ps);
                let at = events[first..].iter().position(|&event| event == (track, position))?;
                Some((i, (first + at) as u32))
            }
            Source::Counter(_) => None,
        })
    }
}
