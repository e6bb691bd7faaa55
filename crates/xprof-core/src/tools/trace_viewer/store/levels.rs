//! Which level of detail each event of one track belongs to.
//!
//! Takes the begins and durations of one sorted track and the levels of its flow events, gives the level of each position.
//! It must not look at other tracks: the only link between tracks are flows, and [`super::flows`] has decided those.
//!
//! The rule is twelve thinning filters per track, from 1 s to 10 ps: an event's level is the first filter that admits it,
//! and every finer filter is made to take it as well. Where only the levels below some `end` are asked for, finer ones are not
//! told apart: most events pass the coarse filters at once, and finding out about the fine ones is most of the work.

use std::ops::Range;

use super::filters::{Filters, RowFilters};
use super::merge::Ascending;
use super::tracks::Times;
use crate::tools::trace_viewer::thinning::level_of_length;

/// Stands for the level of an event that is not stored at all; deeper than any.
const NOT_STORED: u8 = u8::MAX;
/// So many events share one entry that says whether it is worth looking at them.
const BLOCK: usize = 32;

/// The levels of a track's events: one byte per event. A query reads all levels down to some depth, so what it wants is a
/// part of the positions in their order, which a list per level would have to be merged for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Levels {
    by_position: Vec<u8>,
    /// The coarsest level in each block of positions.
    coarsest: Vec<u8>,
}

impl Levels {
    /// From a level per position. `left_out` are ascending positions of events that are not stored at all.
    fn new(mut by_position: Vec<u8>, left_out: &[u32]) -> Self {
        for &position in left_out {
            by_position[position as usize] = NOT_STORED;
        }
        let coarsest =
            by_position.chunks(BLOCK).map(|block| block.iter().copied().min().unwrap_or(NOT_STORED)).collect();
        Self { by_position, coarsest }
    }

    /// The level of the event at a position, if it is stored.
    #[inline]
    pub fn at(&self, position: u32) -> Option<u8> {
        self.by_position.get(position as usize).copied().filter(|&level| level != NOT_STORED)
    }

    /// Appends those of the positions whose level is not deeper than `level`, ascending.
    pub fn append_down_to(&self, level: u8, range: Range<usize>, positions: &mut Vec<u32>) {
        let mut start = range.start;
        while start < range.end {
            let block = start / BLOCK;
            let end = range.end.min((block + 1) * BLOCK);
            if self.coarsest[block] <= level {
                let levels = self.by_position[start..end].iter();
                positions.extend((start as u32..).zip(levels).filter(|&(_, &of)| of <= level).map(|(at, _)| at));
            }
            start = end;
        }
    }

    /// Roughly the bytes of memory held.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.by_position.capacity() + self.coarsest.capacity()
    }
}

/// The flow events of a track and the level that their flow has: positions ascending, one level per position.
pub struct FlowLevels<'a> {
    /// Positions.
    pub positions: &'a [u32],
    /// Levels.
    pub levels: &'a [u8],
}

impl FlowLevels<'_> {
    /// The level of the flow of the event at `position`, if it has one. To be asked in ascending order.
    #[inline]
    fn next_at(&mut self, position: usize) -> Option<u8> {
        match (self.positions, self.levels) {
            ([at, positions @ ..], [level, levels @ ..]) if *at as usize == position => {
                (self.positions, self.levels) = (positions, levels);
                Some(*level)
            }
            _ => None,
        }
    }
}

/// Levels of the events of a thread. `left_out` are not stored, but count among those that others are compared with.
pub fn of_thread(times: &Times<'_>, mut flows: FlowLevels<'_>, left_out: &[u32], end: u8) -> Levels {
    let mut filters = Filters::new(end);
    let level_at = |position: usize| {
        let (begin_ps, duration_ps) = times.at(position);
        match flows.next_at(position) {
            Some(level) => filters.force(begin_ps, duration_ps, level.min(level_of_length(duration_ps))),
            None => filters.admit(begin_ps, duration_ps),
        }
    };
    Levels::new((0..times.len()).map(level_at).collect(), left_out)
}

/// Levels of the samples of a counter or of the async events of a name.
pub fn of_row(times: &Times<'_>, mut flows: FlowLevels<'_>, left_out: &[u32], end: u8) -> Levels {
    let mut filters = RowFilters::new(end);
    let level_at = |position: usize| {
        let (begin_ps, duration_ps) = times.at(position);
        let level = flows.next_at(position).map(|level| level.min(level_of_length(duration_ps)));
        filters.take(begin_ps, level)
    };
    Levels::new((0..times.len()).map(level_at).collect(), left_out)
}
