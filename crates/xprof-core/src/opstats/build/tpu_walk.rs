//! The one walk over the events of a TPU line, which serves op metrics, the time window, duty cycle and steps together.
//!
//! Takes facts per metadata row and the columns of a line, gives sums per op; it must not allocate or hash per event.
//! A long line is cut where no event is open, so that its pieces are walked in parallel and added up in order.

use rayon::prelude::*;

use super::active::{ActiveSpans, OnDuty, Spans};
use super::ancestors::Ancestors;
use super::step_ops::StepOps;
use super::tpu_events::{EventFacts, RARE, RareFacts, decode_facts};
use super::tpu_facts::{Duty, PlaneFacts};
use crate::prep::Timespan;
use crate::xspace::schema::line_names;
use crate::xspace::{Event, Line, StatKind};
use crate::{Diag, Result};

/// What one key's events add up to.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpSums {
    /// Executions; 0 means that the key has no event.
    pub occurrences: u32,
    /// Metadata row of the first event.
    pub row: u32,
    /// Place of the first event in its line.
    pub event: u32,
    /// Time including events within.
    pub time_ps: u64,
    /// Time without events within.
    pub self_time_ps: u64,
    /// Shortest event.
    pub min_time_ps: u64,
}

/// What few producers record, kept apart so that the sums of all others stay small.
#[derive(Debug, Clone, Copy, Default)]
pub struct RareSums {
    /// Time of the events that say how their clock ran.
    pub scalable_time_ps: u64,
    /// The same at nominal clock rate.
    pub scaled_time_ps: u64,
    /// Time waiting for copies.
    pub dma_stall_ps: u64,
    /// Energy, if measured.
    pub vdd_energy_j: Option<f64>,
    /// Estimated operations.
    pub estimated_flops: f64,
    /// Estimated bytes.
    pub estimated_bytes: f64,
}

/// Which results a line is walked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Times of ops, and their window.
    pub ops: bool,
    /// Times on duty.
    pub duty: bool,
    /// Times of ops by step.
    pub steps: bool,
    /// Whether events of framework ops widen the window by the host's clock.
    pub framework_window: bool,
}

/// What the walk of one line, or of a piece of one, gives.
#[derive(Debug, Default)]
pub struct LineSums {
    /// Sums by key, empty if ops were not wanted.
    pub ops: Vec<OpSums>,
    /// Rare sums by key, empty if the line has no rare facts.
    pub rare: Vec<RareSums>,
    /// Σ self time × normalized time / time, if any event says how its clock ran.
    pub normalized_self_ps: Option<f64>,
    /// Earliest begin and latest end by the device's clock.
    pub window: Window,
    /// Hull of the events by the host's clock.
    pub hull: Timespan,
    /// Time on duty.
    pub probable: Spans,
    /// Time on duty for sure.
    pub sure: Spans,
    /// Sums by step.
    pub steps: StepOps,
}

/// Earliest begin and latest end. `parity:` without any event the two are the ends of the number range, in wrong order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Earliest begin.
    pub first_ps: u64,
    /// Latest end.
    pub last_ps: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { first_ps: u64::MAX, last_ps: 0 }
    }
}

impl Window {
    /// Widens the window to include a span.
    #[inline]
    pub fn include(&mut self, begin_ps: u64, end_ps: u64) {
        self.first_ps = self.first_ps.min(begin_ps);
        self.last_ps = self.last_ps.max(end_ps);
    }

    /// Widens the window to include another.
    pub fn include_window(&mut self, other: Self) {
        self.include(other.first_ps, other.last_ps);
    }

    /// Length of the window, with 64-bit wrap-around.
    pub fn duration_ps(self) -> u64 {
        self.last_ps.wrapping_sub(self.first_ps)
    }
}

/// Lines of fewer events are walked in one piece.
const PIECE: usize = 1 << 18;

/// Walks one line.
pub fn walk(facts: &PlaneFacts<'_>, line: &Line, wanted: Wanted, diag: &Diag) -> Result<LineSums> {
    diag.check()?;
    let cuts = cuts(line);
    if cuts.len() > 2 {
        let pieces: Vec<_> = cuts
            .par_windows(2)
            .map(|cut| {
                diag.check()?;
                Ok(Walk::new(facts, line, wanted).run(cut[0]..cut[1], cut[1] < line.events.len()))
            })
            .collect::<Result<_>>()?;
        // A cut is chosen by the host's clock. Should an event be open there by the device's clock, the line is walked
        // again as a whole.
        if pieces.iter().all(|(_, cut_is_clean)| *cut_is_clean) {
            return Ok(add_up(pieces.into_iter().map(|(sums, _)| sums)));
        }
    }
    diag.check()?;
    Ok(Walk::new(facts, line, wanted).run(0..line.events.len(), false).0)
}

/// Places at which the line may be cut, its begin and end included.
fn cuts(line: &Line) -> Vec<usize> {
    let events = &line.events;
    let mut cuts = vec![0];
    if events.len() > PIECE {
        let (mut last_end_ps, mut next) = (0, PIECE);
        for (i, &begin) in events.begin_ps.iter().enumerate() {
            if i >= next && begin > last_end_ps {
                cuts.push(i);
                next = i + PIECE;
            }
            last_end_ps = last_end_ps.max(events.end_ps(i));
        }
    }
    cuts.push(events.len());
    cuts
}

/// Adds up the pieces of a line in order.
fn add_up(mut pieces: impl Iterator<Item = LineSums>) -> LineSums {
    let mut sums = pieces.next().unwrap_or_default();
    for piece in pieces {
        for (sum, part) in sums.ops.iter_mut().zip(&piece.ops) {
            sum.add(part);
        }
        for (sum, part) in sums.rare.iter_mut().zip(&piece.rare) {
            sum.add(part);
        }
        if let (Some(sum), Some(part)) = (&mut sums.normalized_self_ps, piece.normalized_self_ps) {
            *sum += part;
        }
        sums.window.include_window(piece.window);
        sums.hull.expand_to_include(piece.hull);
        sums.probable.extend(&piece.probable);
        sums.sure.extend(&piece.sure);
        sums.steps.add(piece.steps);
    }
    sums
}

impl OpSums {
    /// Adds a later part.
    pub fn add(&mut self, part: &Self) {
        if part.occurrences == 0 {
            // A key that has only been a parent of events of another piece does not exist: parents and children share one.
            return;
        }
        if self.occurrences == 0 {
            *self = *part;
            return;
        }
        self.occurrences = self.occurrences.wrapping_add(part.occurrences);
        self.time_ps = self.time_ps.wrapping_add(part.time_ps);
        self.self_time_ps = self.self_time_ps.wrapping_add(part.self_time_ps);
        self.min_time_ps = self.min_time_ps.min(part.min_time_ps);
    }

    /// Counts one event.
    #[inline]
    pub fn count(&mut self, event: &EventFacts) {
        if self.occurrences == 0 {
            (self.row, self.event, self.min_time_ps) = (event.row, event.event, event.min_time_ps);
        }
        self.occurrences = self.occurrences.wrapping_add(event.occurrences);
        self.time_ps = self.time_ps.wrapping_add(event.device.duration_ps);
        self.self_time_ps = self.self_time_ps.wrapping_add(event.device.duration_ps);
        self.min_time_ps = self.min_time_ps.min(event.min_time_ps);
    }
}

impl RareSums {
    /// Adds a later part.
    pub fn add(&mut self, part: &Self) {
        self.scalable_time_ps = self.scalable_time_ps.wrapping_add(part.scalable_time_ps);
        self.scaled_time_ps = self.scaled_time_ps.wrapping_add(part.scaled_time_ps);
        self.dma_stall_ps = self.dma_stall_ps.wrapping_add(part.dma_stall_ps);
        if let Some(energy) = part.vdd_energy_j {
            *self.vdd_energy_j.get_or_insert(0.0) += energy;
        }
        self.estimated_flops += part.estimated_flops;
        self.estimated_bytes += part.estimated_bytes;
    }

    /// Counts one event.
    pub fn count(&mut self, event: &RareFacts, time_ps: u64) {
        if let Some(scaled_ps) = event.scaled(time_ps) {
            self.scalable_time_ps = self.scalable_time_ps.wrapping_add(time_ps);
            self.scaled_time_ps = self.scaled_time_ps.wrapping_add(scaled_ps);
        }
        self.dma_stall_ps = self.dma_stall_ps.wrapping_add(event.dma_stall_ps.unwrap_or(0));
        if let Some(energy) = event.vdd_energy_j {
            *self.vdd_energy_j.get_or_insert(0.0) += energy;
        }
        self.estimated_flops += event.estimated_flops.unwrap_or(0.0);
        self.estimated_bytes += event.estimated_bytes.unwrap_or(0.0);
    }
}

/// An open event whose sums its children reduce.
#[derive(Debug, Clone, Copy)]
struct OpenOp {
    key: u32,
    /// Time without events within.
    self_time_ps: u64,
    /// Time at nominal clock rate by time, 0 for what is no op.
    rate: f64,
}

/// The walk over one piece.
struct Walk<'w, 'a> {
    facts: &'w PlaneFacts<'a>,
    line: &'w Line,
    wanted: Wanted,
    has_groups: bool,
    open: Ancestors<OpenOp>,
    active: ActiveSpans,
    hull: Window,
    rare: RareFacts,
    sums: LineSums,
}

impl<'w, 'a> Walk<'w, 'a> {
    fn new(facts: &'w PlaneFacts<'a>, line: &'w Line, wanted: Wanted) -> Self {
        let n_keys = if wanted.ops { facts.n_keys } else { 0 };
        let is_rare = line.stat_kinds.contains_any(&RARE);
        let sums = LineSums {
            ops: vec![OpSums::default(); n_keys],
            rare: vec![RareSums::default(); if is_rare { n_keys } else { 0 }],
            normalized_self_ps: line.stat_kinds.contains(StatKind::TimeScaleMultiplier).then_some(0.0),
            ..LineSums::default()
        };
        Self {
            facts,
            line,
            wanted,
            has_groups: line.groups.is_some() || line.stat_kinds.contains(StatKind::GroupId),
            open: Ancestors::default(),
            active: ActiveSpans::default(),
            hull: Window::default(),
            rare: RareFacts::default(),
            sums,
        }
    }

    /// Walks the events of a range. If more follow, also tells whether the next one begins with nothing open.
    fn run(mut self, range: std::ops::Range<usize>, more: bool) -> (LineSums, bool) {
        let next = range.end;
        for idx in range {
            self.event(idx);
        }
        let mut is_clean = true;
        if more {
            let event = decode_facts(self.facts, self.line, next, &mut self.rare);
            let (begin, end) = (event.device.begin_ps, event.device.end_ps());
            is_clean = !self.open.would_nest(begin, end)
                && !self.sums.steps.would_nest(begin, end)
                && !self.active.would_nest(event.host_begin_ps, event.host_end_ps);
        }
        self.active.finish();
        self.sums.steps.finish();
        let normalized = &mut self.sums.normalized_self_ps;
        self.open.flush(|op| op.payload.add_normalized(normalized));
        self.sums.probable = std::mem::take(&mut self.active.probable);
        self.sums.sure = std::mem::take(&mut self.active.sure);
        if self.hull.last_ps > 0 {
            self.sums.hull = Timespan::between(self.hull.first_ps, self.hull.last_ps);
        }
        (self.sums, is_clean)
    }

    #[inline]
    fn event(&mut self, idx: usize) {
        let event = decode_facts(self.facts, self.line, idx, &mut self.rare);
        let (begin, end) = (event.host_begin_ps, event.host_end_ps);
        let row = self.facts.index(event.row);
        // A span of zero length at time zero counts as none.
        if end > 0 {
            self.hull.include(begin, end);
        }
        if self.wanted.framework_window && (self.facts.has_tf_op[row] || self.rare.has_tf_op) && !self.rare.is_async {
            self.sums.window.include(begin, end);
        }
        if self.wanted.ops {
            self.op(&event);
        }
        if self.wanted.duty {
            let duty = self.facts.duties[row];
            let on_duty = OnDuty {
                probably: duty != Duty::Off,
                surely: duty == Duty::On || (duty == Duty::Unsure && self.rare.has_cost),
            };
            self.active.event(begin, end, on_duty);
        }
        if self.wanted.steps
            && self.has_groups
            && let Some(group_id) = (Event { plane: self.facts.plane, line: self.line, idx }).group_id()
        {
            self.sums.steps.event(group_id, &event, &self.rare, self.facts);
        }
    }

    #[inline]
    fn op(&mut self, event: &EventFacts) {
        let Self { open, sums, rare, .. } = self;
        let (begin, end, time_ps) = (event.device.begin_ps, event.device.end_ps(), event.device.duration_ps);
        sums.window.include(begin, end);
        let normalized = &mut sums.normalized_self_ps;
        if let Some(parent) = open.enter(begin, end, |op| op.payload.add_normalized(normalized)) {
            parent.payload.self_time_ps = parent.payload.self_time_ps.wrapping_sub(time_ps);
            if let Some(sum) = sums.ops.get_mut(parent.payload.key as usize) {
                sum.self_time_ps = sum.self_time_ps.wrapping_sub(time_ps);
            }
        }
        let mut rate = 0.0;
        if let Some(sum) = sums.ops.get_mut(event.key as usize) {
            sum.count(event);
            rate = 1.0;
            if rare.any
                && let Some(sum) = sums.rare.get_mut(event.key as usize)
            {
                sum.count(rare, time_ps);
                rate = rare.rate(time_ps).unwrap_or(rate);
            }
        }
        open.push(begin, end, OpenOp { key: event.key, self_time_ps: time_ps, rate });
    }
}

impl OpenOp {
    #[inline]
    fn add_normalized(&self, sum: &mut Option<f64>) {
        if let Some(sum) = sum {
            *sum += self.self_time_ps as f64 * self.rate;
        }
    }
}

/// Whether ops are on a line of this name.
pub fn is_op_line(name: &str) -> bool {
    [line_names::XLA_OPS, line_names::FRAMEWORK_OPS, line_names::SPARSE_CORE_OPS].contains(&name)
}

/// Whether the events of a line of this name are on or off duty.
pub fn is_duty_line(name: &str) -> bool {
    [line_names::XLA_OPS, line_names::SPARSE_CORE_OPS].contains(&name)
}
