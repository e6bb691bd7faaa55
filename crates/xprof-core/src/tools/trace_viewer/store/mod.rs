//! The timeline of one host in a form that answers any number of queries: devices, tracks, ranks, levels of detail.
//!
//! Takes a prepared trace and refers to its columns; gives what every query needs and none computes again.
//! It must not hold events: what it adds to a trace is a few bytes per event.
//!
//! The store lives with its [`Prepared`] trace. Levels of detail are made when a query needs them. A window that comes first
//! gets no finer ones than it needs: to find out about the fine ones is most of the work, and people begin with a large window.

mod filters;
pub mod flows;
pub mod frames;
pub mod levels;
pub mod merge;
pub mod scan;
pub mod serials;
pub mod tracks;

use std::sync::{Arc, OnceLock};

use bytestring::ByteString;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use self::flows::FlowNumbers;
use self::levels::{FlowLevels, Levels};
use self::merge::Ascending;
use self::scan::LineScan;
use self::tracks::{Device, Times, Track};
use crate::diag::ProblemKind;
use crate::parallel::largest_first;
use crate::prep::Prepared;
use crate::prep::derived::{ShownLine, TimelineLine, TimelineLines, TimelinePlane, timeline};
use crate::prep::flows::PlaneFlows;
use crate::prep::memo::Memoized;
use crate::tools::trace_viewer::bounds::Bounds;
use crate::tools::trace_viewer::options::WindowQuery;
use crate::tools::trace_viewer::thinning::LAST_LEVEL;
use crate::xspace::Plane;
use crate::{Diag, Result};

/// Everything about the timeline of one host that does not depend on the query.
#[derive(Debug)]
pub struct TraceStore {
    /// Sorted by id.
    pub devices: Vec<Device>,
    /// Sorted by device, then as [`tracks::TrackKind`] says.
    pub tracks: Vec<Track>,
    /// Of each track, the ascending positions of events that are not shown.
    pub left_out: Vec<Vec<u32>>,
    /// Begin of the first event; 0 without events.
    pub min_ps: u64,
    /// End of the last event.
    pub max_ps: u64,
    /// Number of events that are shown.
    pub n_events: u64,
    timeline: TimelineLines,
    /// Plane, and line of the plane's timeline, of each line that is shown.
    lines: Vec<(u32, u32)>,
    flow_numbers: OnceLock<FlowNumbers>,
    /// Of each track; only the levels below the one given are told apart.
    coarse_levels: Option<(u8, Vec<Levels>)>,
    /// Of each track.
    levels: OnceLock<Vec<Levels>>,
    long_texts: OnceLock<Vec<ByteString>>,
    problems: Diag,
}

/// What is made together with the store because the query needs it anyway: it is done sooner than one after the other.
#[derive(Debug, Clone, Copy)]
pub enum Ahead {
    /// Nothing.
    Nothing,
    /// The levels of detail that this window needs and long texts, without which there is no window of a large trace.
    OfWindow(WindowQuery),
}

impl Ahead {
    fn window(self, min_ps: u64, max_ps: u64, n_events: u64) -> Option<Bounds> {
        match self {
            Self::Nothing => None,
            Self::OfWindow(query) => Some(Bounds::new(&query, min_ps, max_ps, n_events)),
        }
    }
}

impl Memoized for TraceStore {
    fn weight(&self) -> usize {
        let levels = self.coarse_levels.iter().map(|(_, levels)| levels).chain(self.levels.get()).flatten();
        self.tracks.iter().map(Track::weight).sum::<usize>()
            + self.left_out.iter().map(|positions| positions.capacity() * 4).sum::<usize>()
            + timeline_weight(&self.timeline)
            + levels.map(Levels::weight).sum::<usize>()
            + self.flow_numbers.get().map_or(0, FlowNumbers::weight)
            + self.long_texts.get().map_or(0, |texts| texts.capacity() * size_of::<ByteString>())
    }
}

impl TraceStore {
    /// The store of a trace, made at the first call.
    pub fn of(prepared: &Prepared, ahead: Ahead, diag: &mut Diag) -> Result<Arc<Self>> {
        let store = prepared.memo.get_or_make(|| Self::build(prepared, ahead, diag))?;
        diag.merge(&store.problems);
        Ok(store)
    }

    fn build(prepared: &Prepared, ahead: Ahead, diag: &Diag) -> Result<Self> {
        let mut problems = diag.fork();
        let scan = |plane: &Plane, timeline: &TimelinePlane| {
            let lines: Vec<ShownLine<'_>> = timeline.shown(plane).collect();
            scan_plane(prepared, plane, &lines, diag)
        };
        let (timeline, mut scans) = timeline(prepared, scan, diag)?;
        let (mut devices, shown_planes) =
            tracks::devices(&prepared.space, |plane| timeline.planes.get(plane).is_some_and(|p| !p.lines.is_empty()));
        let (mut lines, mut device_of) = (Vec::new(), Vec::new());
        for &(plane, device) in &shown_planes {
            let n_lines = timeline.planes.get(plane).map_or(0, |p| p.lines.len());
            lines.extend((0..n_lines).map(|line| (plane as u32, line as u32)));
            device_of.extend(std::iter::repeat_n(device as u32, n_lines));
        }
        let shown = shown_lines(prepared, &timeline, &lines);
        let scans: Vec<LineScan> =
            shown_planes.iter().flat_map(|&(plane, _)| std::mem::take(&mut scans[plane])).collect();
        count_unsorted(&scans, &shown, &mut problems);
        tracks::name_threads(&mut devices, &shown, &device_of, |_, line| {
            !line.line.events.is_empty() && !scan::is_counter_line(line)
        });
        let tracks = tracks::tracks(&shown, scans, &device_of);
        let times: Vec<Times<'_>> = tracks.iter().map(|t| t.times(&shown)).collect();
        let n_all: usize = times.iter().map(Times::len).sum();
        let (min_ps, max_ps) = span(&times);
        let left_out = serials::left_out(&times, diag)?;
        let n_left_out: usize = left_out.iter().map(Vec::len).sum();
        let n_events = (n_all - n_left_out) as u64;
        problems.count_n(ProblemKind::CrowdedTimestamp, n_left_out as u64, || format!("host {}", prepared.host));
        let first = ahead.window(min_ps, max_ps, n_events).filter(Bounds::thins);
        let end = first.map(|bounds| (bounds.last_level() + 1).min(LAST_LEVEL));
        let made = end.map(|end| {
            let levels = || coarse_levels(&tracks, &times, &left_out, end, diag);
            let (levels, texts) = rayon::join(levels, || frames::all_long_texts(&shown, diag));
            let (numbers, levels) = levels?;
            Ok((numbers, (end, levels), texts?))
        });
        let (flow_numbers, coarse_levels, long_texts) = match made.transpose()? {
            Some((numbers, levels, texts)) => (Some(numbers), Some(levels), Some(texts)),
            None => (None, None, None),
        };
        drop(times);
        drop(shown);
        Ok(Self {
            devices,
            tracks,
            left_out,
            min_ps,
            max_ps,
            n_events,
            timeline,
            lines,
            flow_numbers: once(flow_numbers),
            coarse_levels,
            levels: OnceLock::new(),
            long_texts: once(long_texts),
            problems,
        })
    }

    /// The lines that tracks refer to by index.
    pub fn lines<'a>(&'a self, prepared: &'a Prepared) -> Vec<ShownLine<'a>> {
        shown_lines(prepared, &self.timeline, &self.lines)
    }

    /// Whether some device is a TPU, so that a client may ask for intermediate DMA events.
    pub fn has_tpu(&self) -> bool {
        self.devices.iter().any(Device::is_tpu)
    }

    /// The levels of detail of each track, made at the first call. Those behind `last` need not be told apart.
    pub fn levels(&self, prepared: &Prepared, last: u8, diag: &Diag) -> Result<&[Levels]> {
        if let Some(levels) = self.levels.get() {
            return Ok(levels);
        }
        // Where all filters were asked, everything is told apart.
        let is_enough = |&&(end, _): &&(u8, Vec<Levels>)| last < end || end == LAST_LEVEL;
        if let Some((_, levels)) = self.coarse_levels.as_ref().filter(is_enough) {
            return Ok(levels);
        }
        // No lock is held meanwhile, because a thread of the pool that waits for a lock may be the one that holds it.
        // Two queries at once do the work twice and get the same.
        let lines = self.lines(prepared);
        let times: Vec<Times<'_>> = self.tracks.iter().map(|t| t.times(&lines)).collect();
        let of = |by_flow| levels_of(&self.tracks, &times, &self.left_out, by_flow, LAST_LEVEL, diag);
        // Tracks without flows need not wait for what flows decide.
        let (by_flow, without) =
            rayon::join(|| flows::levels(&self.tracks, &times, self.flow_numbers(), LAST_LEVEL, diag), || of(None));
        let levels = in_order(without?, of(Some(&by_flow?))?);
        Ok(self.levels.get_or_init(|| levels))
    }

    /// The flows of all tracks, numbered at the first call.
    pub fn flow_numbers(&self) -> &FlowNumbers {
        if let Some(numbers) = self.flow_numbers.get() {
            return numbers;
        }
        let numbers = FlowNumbers::new(&self.tracks);
        self.flow_numbers.get_or_init(|| numbers)
    }

    /// Long texts of the whole trace, which a client gets once and not once per event; made at the first call.
    pub fn long_texts(&self, prepared: &Prepared, diag: &Diag) -> Result<&[ByteString]> {
        if let Some(texts) = self.long_texts.get() {
            return Ok(texts);
        }
        let texts = frames::all_long_texts(&self.lines(prepared), diag)?;
        Ok(self.long_texts.get_or_init(|| texts))
    }
}

/// Levels below `end` of all tracks, and the flows that they took.
fn coarse_levels(
    tracks: &[Track],
    times: &[Times<'_>],
    left_out: &[Vec<u32>],
    end: u8,
    diag: &Diag,
) -> Result<(FlowNumbers, Vec<Levels>)> {
    let by_flow = || {
        let numbers = FlowNumbers::new(tracks);
        let levels = flows::levels(tracks, times, &numbers, end, diag)?;
        Ok((numbers, levels))
    };
    // What flows decide takes one sequence, so tracks without flows are looked at beside it.
    let (by_flow, without) = rayon::join(by_flow, || levels_of(tracks, times, left_out, None, end, diag));
    let (numbers, by_flow) = by_flow?;
    let with = levels_of(tracks, times, left_out, Some(&by_flow), end, diag)?;
    Ok((numbers, in_order(without?, with)))
}

/// Levels below `end` of the tracks that have flows, if the levels of flows are given, or of the others; each with its track.
fn levels_of(
    tracks: &[Track],
    times: &[Times<'_>],
    left_out: &[Vec<u32>],
    by_flow: Option<&[Vec<u8>]>,
    end: u8,
    diag: &Diag,
) -> Result<Vec<(usize, Levels)>> {
    let of_track = |&i: &usize| {
        diag.check()?;
        let track = &tracks[i];
        let make = if track.is_row() { levels::of_row } else { levels::of_thread };
        let levels = by_flow.map_or(&[][..], |by_flow| &by_flow[i]);
        let flows = FlowLevels { positions: &track.flows.positions, levels };
        Ok((i, make(&times[i], flows, &left_out[i], end)))
    };
    let concerned: Vec<usize> =
        (0..tracks.len()).filter(|&i| tracks[i].flows.is_empty() == by_flow.is_none()).collect();
    largest_first(&concerned, |&i| times[i].len(), of_track)
}

/// The levels of all tracks in their order.
fn in_order(without_flows: Vec<(usize, Levels)>, with_flows: Vec<(usize, Levels)>) -> Vec<Levels> {
    let mut levels: Vec<(usize, Levels)> = without_flows.into_iter().chain(with_flows).collect();
    levels.sort_unstable_by_key(|&(track, _)| track);
    levels.into_iter().map(|(_, levels)| levels).collect()
}

fn once<T>(made: Option<T>) -> OnceLock<T> {
    made.map_or_else(OnceLock::new, OnceLock::from)
}

fn count_unsorted(scans: &[LineScan], shown: &[ShownLine<'_>], problems: &mut Diag) {
    for (scan, line) in scans.iter().zip(shown) {
        let example = || format!("line {:?} of plane {:?}", line.name(), line.plane.name);
        problems.count_n(ProblemKind::UnsortedLine, u64::from(scan.was_unsorted), example);
    }
}

fn shown_lines<'a>(prepared: &'a Prepared, timeline: &'a TimelineLines, lines: &[(u32, u32)]) -> Vec<ShownLine<'a>> {
    let mut shown = Vec::with_capacity(lines.len());
    for group in lines.chunk_by(|a, b| a.0 == b.0) {
        let plane = group[0].0 as usize;
        if let (Some(plane), Some(entry)) = (prepared.space.planes.get(plane), timeline.planes.get(plane)) {
            shown.extend(entry.shown(plane));
        }
    }
    shown
}

fn scan_plane(prepared: &Prepared, plane: &Plane, lines: &[ShownLine<'_>], diag: &Diag) -> Result<Vec<LineScan>> {
    let flows = PlaneFlows::new(prepared, plane);
    // A plane has up to two tables of event metadata: its own, and that of its derived lines.
    let address = |line: &ShownLine<'_>| std::ptr::from_ref(line.plane) as usize;
    let tables: FxHashMap<usize, &Plane> = lines.iter().map(|line| (address(line), line.plane)).collect();
    let internal: FxHashMap<usize, Vec<bool>> =
        tables.into_iter().map(|(address, plane)| (address, scan::internal_rows(plane))).collect();
    let scan = |line: &ShownLine<'_>| scan::scan(line, &flows, &internal[&address(line)], diag);
    largest_first(lines, |line| line.line.events.len(), scan)
}

/// Bytes of memory that derived lines hold.
fn timeline_weight(timeline: &TimelineLines) -> usize {
    let lines = timeline.planes.iter().flat_map(|plane| &plane.lines);
    lines.map(|line| if let TimelineLine::Derived(line) = line { line.weight() } else { 0 }).sum()
}

/// Begin of the first event and end of the last.
fn span(times: &[Times<'_>]) -> (u64, u64) {
    times
        .par_iter()
        .filter(|t| t.len() > 0)
        .map(|t| {
            let last_end = (0..t.len()).map(|i| t.at(i)).map(|(b, d)| b.wrapping_add(d)).max();
            (t.begin_ps(0), last_end.unwrap_or(0))
        })
        .reduce_with(|a, b| (a.0.min(b.0), a.1.max(b.1)))
        .unwrap_or((0, 0))
}
