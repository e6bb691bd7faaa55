//! The window of one host: rows, boxes, arrows and samples of a span of time, at the resolution of the screen.
//!
//! Takes rows and a span, gives a block. Times are ticks from the begin of the window, so that they fit 32 bits.
//! It must not give more than can be told apart, however long the trace is.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::block::{Block, BlockBuilder};
use super::merge::{Box, Merger};
use super::names::Names;
use super::options::Window;
use super::rows::{CHECK_EVERY, Row, Rows, Scope, Series, Source};
use crate::answer::json::JsonWriter;
use crate::prep::flows::Flow;
use crate::{Diag, Result};

/// Ticks of a window at most. Twice as many would still fit, and events may stick out by one.
const MAX_TICKS: u64 = 1 << 31;

/// The time axis of a window.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_field_names, reason = "units are suffixes")]
struct Axis {
    begin_ps: u64,
    end_ps: u64,
    tick_ps: u64,
    /// What is shorter than this is merged.
    part_ps: u64,
}

impl Axis {
    fn new(scope: &Scope<'_>, window: &Window) -> Self {
        let (begin_ps, end_ps) = window.span.within(scope.store);
        let length_ps = end_ps - begin_ps;
        let tick_ps = length_ps.div_ceil(MAX_TICKS).max(1);
        Self { begin_ps, end_ps, tick_ps, part_ps: length_ps / window.resolution }
    }

    /// A time in ticks; what lies outside comes to the nearest edge.
    fn tick(&self, time_ps: u64) -> u32 {
        ((time_ps.clamp(self.begin_ps, self.end_ps) - self.begin_ps) / self.tick_ps) as u32
    }

    /// A time, which may lie before the begin.
    fn offset_ps(&self, time_ps: u64) -> f64 {
        (i128::from(time_ps) - i128::from(self.begin_ps)) as f64
    }
}

/// What the window shows of one row.
#[derive(Default)]
struct Shown {
    boxes: Vec<Box>,
    /// Index of a box, and the flow of its event.
    flows: Vec<(u32, Flow)>,
    samples: Vec<Sample>,
}

/// Samples of a counter that cannot be told apart.
struct Sample {
    time_ps: u64,
    low: f64,
    high: f64,
}

/// Answers a window query.
pub fn answer(scope: &Scope<'_>, rows: &Rows, window: &Window, diag: &Diag) -> Result<Block> {
    let axis = Axis::new(scope, window);
    let shown: Vec<Shown> = rows
        .rows
        .par_iter()
        .with_max_len(1)
        .map(|row| match &row.source {
            Source::Counter(series) => Ok(Shown { samples: samples(series, axis), ..Shown::default() }),
            _ => events(scope, row, axis, diag),
        })
        .collect::<Result<_>>()?;
    let mut names = Names::default();
    let name_of = |(row, b): (&Row, &Box)| row.locate(b.shown).map_or(0, |place| names.of(&scope.event(place)));
    let boxes = || rows.rows.iter().zip(&shown).flat_map(|(row, shown)| shown.boxes.iter().map(move |b| (row, b)));
    let named: Vec<u32> = boxes().map(name_of).collect();

    let mut block = BlockBuilder::new(|json| {
        scope.write_facts("window", json);
        json.key("begin_ps").string(&axis.begin_ps.to_string());
        json.key("end_ps").string(&axis.end_ps.to_string());
        json.key("tick_ps").int64(axis.tick_ps as i64);
        json.key("part_ps").int64(axis.part_ps as i64);
        write_rows(scope, rows, json);
        names.write(json);
    });
    block.column("name_category", names.categories());
    block.column("row_end", ends(shown.iter().map(|s| s.boxes.len())));
    block.column("start", boxes().map(|(_, b)| axis.tick(b.begin_ps)));
    block.column("duration", boxes().map(|(_, b)| axis.tick(b.end_ps) - axis.tick(b.begin_ps)));
    block.column("name", named);
    block.column("count", boxes().map(|(_, b)| b.count));
    block.column("position", boxes().map(|(_, b)| b.shown));
    block.column("lane", boxes().map(|(_, b)| b.lane));
    block.column("coverage", boxes().map(|(_, b)| b.coverage()));
    write_outside(axis, boxes().map(|(_, b)| b), &mut block);
    write_flows(&shown, &mut block);
    block.column("sample_end", ends(shown.iter().map(|s| s.samples.len())));
    let samples = || shown.iter().flat_map(|s| &s.samples);
    block.column("sample_start", samples().map(|s| axis.tick(s.time_ps)));
    block.column("sample_low", samples().map(|s| s.low));
    block.column("sample_high", samples().map(|s| s.high));
    block.finish()
}

/// The boxes of a row of events.
fn events(scope: &Scope<'_>, row: &Row, axis: Axis, diag: &Diag) -> Result<Shown> {
    let mut merger = Merger::new(axis.part_ps);
    for (n, i) in scope.touching(row, axis.begin_ps, axis.end_ps).enumerate() {
        if n % CHECK_EVERY == 0 {
            diag.check()?;
        }
        let (begin_ps, duration_ps) = scope.at(row, i);
        merger.add(i as u32, row.lanes.at(i), begin_ps, duration_ps);
    }
    let boxes = merger.finish();
    let mut near = (u32::MAX, 0);
    let mut flow_of = |(i, b): (u32, &Box)| {
        let (track, position) = row.locate(b.shown).filter(|_| b.count == 1)?;
        if near.0 != track {
            near = (track, 0);
        }
        scope.store.tracks[track as usize].flow(position, &mut near.1).map(|flow| (i, flow))
    };
    let flows = (0u32..).zip(&boxes).filter_map(&mut flow_of).collect();
    Ok(Shown { boxes, flows, samples: Vec::new() })
}

/// The samples of a counter in the window, and the one before it, which still holds when it begins.
fn samples(series: &Series, axis: Axis) -> Vec<Sample> {
    let first = series.times_ps.partition_point(|&t| t <= axis.begin_ps).saturating_sub(1);
    let last = series.times_ps.partition_point(|&t| t <= axis.end_ps);
    let mut samples: Vec<Sample> = Vec::new();
    let in_window = first..last.max(first);
    for (&time_ps, &value) in series.times_ps[in_window.clone()].iter().zip(&series.values[in_window]) {
        match samples.last_mut() {
            Some(s) if time_ps - s.time_ps < axis.part_ps => (s.low, s.high) = (s.low.min(value), s.high.max(value)),
            _ => samples.push(Sample { time_ps, low: value, high: value }),
        }
    }
    samples
}

/// Where the parts of a list end, from their lengths.
fn ends(lengths: impl Iterator<Item = usize>) -> impl Iterator<Item = u32> {
    lengths.scan(0u32, |end, length| {
        *end += length as u32;
        Some(*end)
    })
}

/// The true times of the boxes that stick out of the window.
fn write_outside<'a>(axis: Axis, boxes: impl Iterator<Item = &'a Box>, block: &mut BlockBuilder) {
    let outside: Vec<(u32, &Box)> =
        (0u32..).zip(boxes).filter(|(_, b)| b.begin_ps < axis.begin_ps || b.end_ps > axis.end_ps).collect();
    block.column("outside", outside.iter().map(|&(i, _)| i));
    block.column("outside_begin_ps", outside.iter().map(|(_, b)| axis.offset_ps(b.begin_ps)));
    block.column("outside_end_ps", outside.iter().map(|(_, b)| axis.offset_ps(b.end_ps)));
}

/// Boxes with a flow; equal ids belong together, and mean nothing outside of the block.
fn write_flows(shown: &[Shown], block: &mut BlockBuilder) {
    let (mut events, mut ids, mut directions) = (Vec::new(), Vec::new(), Vec::new());
    let mut numbers: FxHashMap<u64, u32> = FxHashMap::default();
    let mut before = 0;
    for row in shown {
        for &(i, flow) in &row.flows {
            let next = numbers.len() as u32;
            events.push(before + i);
            ids.push(*numbers.entry(flow.id()).or_insert(next));
            directions.push(flow.direction());
        }
        before += row.boxes.len() as u32;
    }
    block.column("flow_event", events);
    block.column("flow", ids);
    block.column("flow_direction", directions);
}

fn write_rows(scope: &Scope<'_>, rows: &Rows, json: &mut JsonWriter<'_>) {
    json.key("processes").begin_array();
    for device in &scope.store.devices {
        json.begin_object().key("id").int64(device.id).key("name").string(&device.name).end_object();
    }
    json.end_array().key("rows").begin_array();
    for row in &rows.rows {
        let (kind, id) = match &row.source {
            Source::Thread { id, .. } => ("thread", id.to_string()),
            Source::Async(_) => ("async", "a".to_owned()),
            Source::Counter(_) => ("counter", format!("c{}", row.name)),
        };
        json.begin_object().key("process").int64(row.device).key("kind").string(kind).key("id").string(&id);
        json.key("name").string(&row.name).key("lanes").int64(row.lanes.n_lanes());
        json.key("n").int64(scope.n_events(row) as i64);
        if let Source::Counter(series) = &row.source {
            let fold = |pick: fn(f64, f64) -> f64, start| series.values.iter().copied().fold(start, pick);
            json.key("low").double(fold(f64::min, 0.0)).key("high").double(fold(f64::max, 0.0));
        }
        json.end_object();
    }
    json.end_array();
}
