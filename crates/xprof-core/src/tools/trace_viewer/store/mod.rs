//! The timeline of one host in a form that answers any number of queries: devices, tracks, ranks, levels of detail.
//!
//! Takes a prepared trace and refers to its columns; gives what every query needs and none computes again.
//! It must not hold events: what it adds to a trace is a few bytes per event.
//!
//! The store lives with its [`Prepared`] trace. Levels of detail are made when the first query needs them: below
//! [`STREAMING_THRESHOLD`] events a query of the whole trace returns everything and needs none.

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

use self::flows::ByFlow;
use self::levels::{FlowLevels, Levels};
use self::merge::Ascending;
use self::serials::Serials;
use self::tracks::{Device, Times, Track};
use crate::diag::ProblemKind;
use crate::prep::Prepared;
use crate::prep::derived::{ShownLine, TimelineLine, TimelineLines, timeline};
use crate::prep::flows::PlaneFlows;
use crate::prep::memo::Memoized;
use crate::xspace::Plane;
use crate::{Diag, Result};

/// A trace with fewer events than this is always returned whole (`parity:` the resolution is then ignored).
pub const STREAMING_THRESHOLD: u64 = 500_000;

/// Everything about the timeline of one host that does not depend on the query.
#[derive(Debug)]
pub struct TraceStore {
    /// Sorted by id.
    pub devices: Vec<Device>,
    /// Sorted by device, then as [`tracks::TrackKind`] says.
    pub tracks: Vec<Track>,
    /// Of each track.
    pub serials: Vec<Serials>,
    /// Begin of the first event; 0 without events.
    pub min_ps: u64,
    /// End of the last event.
    pub max_ps: u64,
    /// Number of events that are shown.
    pub n_events: u64,
    timeline: TimelineLines,
    /// Plane, and line of the plane's timeline, of each line that is shown.
    lines: Vec<(u32, u32)>,
    by_flow: OnceLock<ByFlow>,
    levels: OnceLock<Vec<Levels>>,
    long_texts: OnceLock<Vec<ByteString>>,
    problems: Diag,
}

impl Memoized for TraceStore {
    fn weight(&self) -> usize {
        let levels = self.levels.get().map_or(0, |levels| levels.iter().map(Levels::weight).sum());
        self.tracks.iter().map(Track::weight).sum::<usize>()
            + self.serials.iter().map(Serials::weight).sum::<usize>()
            + timeline_weight(&self.timeline)
            + levels
            + self.by_flow.get().map_or(0, ByFlow::weight)
    }
}

impl TraceStore {
    /// The store of a trace, made at the first call.
    pub fn of(prepared: &Prepared, diag: &mut Diag) -> Result<Arc<Self>> {
        let store = prepared.memo.get_or_make(|| Self::build(prepared, diag))?;
        diag.merge(&store.problems);
        Ok(store)
    }

    fn build(prepared: &Prepared, diag: &Diag) -> Result<Self> {
        let mut problems = diag.fork();
        let timeline = timeline(prepared, &mut problems)?;
        let (mut devices, shown_planes) =
            tracks::devices(&prepared.space, |plane| timeline.planes.get(plane).is_some_and(|p| !p.lines.is_empty()));
        let (mut lines, mut device_of) = (Vec::new(), Vec::new());
        for &(plane, device) in &shown_planes {
            let n_lines = timeline.planes.get(plane).map_or(0, |p| p.lines.len());
            lines.extend((0..n_lines).map(|line| (plane as u32, line as u32)));
            device_of.extend(std::iter::repeat_n(device as u32, n_lines));
        }
        let shown = shown_lines(prepared, &timeline, &lines);
        let scans = scan_lines(prepared, &lines, &shown, diag)?;
        for (scan, line) in scans.iter().zip(&shown) {
            let example = || format!("line {:?} of plane {:?}", line.name(), line.plane.name);
            problems.count_n(ProblemKind::UnsortedLine, u64::from(scan.was_unsorted), example);
        }
        tracks::name_threads(&mut devices, &shown, &device_of, |_, line| {
            !line.line.events.is_empty() && !scan::is_counter_line(line)
        });
        let tracks = tracks::tracks(&shown, scans, &device_of);
        let times: Vec<Times<'_>> = tracks.iter().map(|t| t.times(&shown)).collect();
        // What flows decide takes one sequence, so the ranks are made beside it. A trace this large is hardly ever asked
        // for without its levels.
        let n_all: usize = times.iter().map(Times::len).sum();
        let is_large = n_all as u64 >= STREAMING_THRESHOLD;
        let (serials, by_flow) = rayon::join(
            || serials::of(&times, diag),
            || is_large.then(|| ByFlow::new(&tracks, &times, diag)).transpose(),
        );
        let (serials, by_flow) = (serials?, by_flow?.map_or_else(OnceLock::new, OnceLock::from));
        let n_left_out: usize = serials.iter().map(|s| s.left_out.len()).sum();
        problems.count_n(ProblemKind::CrowdedTimestamp, n_left_out as u64, || format!("host {}", prepared.host));
        let n_events = n_all - n_left_out;
        let (min_ps, max_ps) = span(&times);
        drop(times);
        drop(shown);
        Ok(Self {
            devices,
            tracks,
            serials,
            min_ps,
            max_ps,
            n_events: n_events as u64,
            timeline,
            lines,
            by_flow,
            levels: OnceLock::new(),
            long_texts: OnceLock::new(),
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

    /// The levels of detail of each track, made at the first call.
    pub fn levels(&self, prepared: &Prepared, diag: &Diag) -> Result<&[Levels]> {
        if let Some(levels) = self.levels.get() {
            return Ok(levels);
        }
        let lines = self.lines(prepared);
        let times: Vec<Times<'_>> = self.tracks.iter().map(|t| t.times(&lines)).collect();
        // Tracks without flows need not wait for what flows decide.
        let (by_flow, without) = rayon::join(|| self.by_flow(&times, diag), || self.levels_of(&times, None, diag));
        let (by_flow, without) = (by_flow?, without?);
        let with = self.levels_of(&times, Some(&by_flow.levels), diag)?;
        let mut levels: Vec<(usize, Levels)> = without.into_iter().chain(with).collect();
        levels.sort_unstable_by_key(|&(track, _)| track);
        let levels = levels.into_iter().map(|(_, levels)| levels).collect();
        Ok(self.levels.get_or_init(|| levels))
    }

    /// The flows of all tracks and what they decide, made at the first call.
    pub fn by_flow(&self, times: &[Times<'_>], diag: &Diag) -> Result<&ByFlow> {
        if let Some(by_flow) = self.by_flow.get() {
            return Ok(by_flow);
        }
        // No lock is held meanwhile, because a thread of the pool that waits for a lock may be the one that holds it.
        // Two queries at once do the work twice and get the same.
        let made = ByFlow::new(&self.tracks, times, diag)?;
        Ok(self.by_flow.get_or_init(|| made))
    }

    /// Levels of the tracks that have flows, if the levels of flows are given, or of the others.
    fn levels_of(&self, times: &[Times<'_>], by_flow: Option<&[Vec<u8>]>, diag: &Diag) -> Result<Vec<(usize, Levels)>> {
        let of_track = |(i, track): (usize, &Track)| {
            diag.check()?;
            let make = if track.is_row() { levels::of_row } else { levels::of_thread };
            let levels = by_flow.map_or(&[][..], |by_flow| &by_flow[i]);
            let flows = FlowLevels { positions: &track.flows.positions, levels };
            Ok((i, make(&times[i], flows, &self.serials[i].left_out)))
        };
        let tracks = self.tracks.par_iter().enumerate().with_max_len(1);
        tracks.filter(|(_, track)| track.flows.is_empty() == by_flow.is_none()).map(of_track).collect()
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

fn scan_lines(
    prepared: &Prepared,
    lines: &[(u32, u32)],
    shown: &[ShownLine<'_>],
    diag: &Diag,
) -> Result<Vec<scan::LineScan>> {
    // A plane has up to two tables of event metadata: its own, and that of its derived lines.
    let address = |line: &ShownLine<'_>| std::ptr::from_ref(line.plane) as usize;
    let tables: FxHashMap<usize, &Plane> = shown.iter().map(|line| (address(line), line.plane)).collect();
    let internal: FxHashMap<usize, Vec<bool>> =
        tables.into_iter().map(|(address, plane)| (address, scan::internal_rows(plane))).collect();
    shown
        .par_iter()
        .zip(lines)
        .with_max_len(1)
        .map(|(line, &(plane, _))| {
            let flows = PlaneFlows::new(prepared, &prepared.space.planes[plane as usize]);
            scan::scan(line, &flows, internal.get(&address(line)).map_or(&[], |rows| rows), diag)
        })
        .collect()
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
