//! Which level of detail each event of one track belongs to.
//!
//! Takes the begins and durations of one sorted track and the levels of its flow events, gives the positions by level.
//! It must not look at other tracks: the only link between tracks are flows, and [`super::flows`] has decided those.
//!
//! The rule is twelve thinning filters per track, from 1 s to 10 ps: an event's level is the first filter that admits it,
//! and every finer filter is made to take it as well.

use super::filters::{Filters, RowFilters};
use super::tracks::Times;
use crate::tools::trace_viewer::thinning::{LAST_LEVEL, N_LEVELS, level_of_length};

/// The positions of a track's events, by level and sorted within each level.
#[derive(Debug, Default)]
pub struct Levels {
    positions: Vec<u32>,
    starts: [u32; N_LEVELS + 1],
}

impl Levels {
    /// The positions of one level, ascending.
    pub fn of(&self, level: u8) -> &[u32] {
        let level = usize::from(level.min(LAST_LEVEL));
        &self.positions[self.starts[level] as usize..self.starts[level + 1] as usize]
    }

    /// Roughly the bytes of memory held.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.positions.capacity() * 4
    }

    /// Sorts positions into levels. `left_out` are ascending positions of events that are not stored at all.
    fn bucket(levels: &[u8], left_out: &[u32]) -> Self {
        let mut starts = [0u32; N_LEVELS + 1];
        for &level in levels {
            starts[usize::from(level) + 1] += 1;
        }
        for i in 0..N_LEVELS {
            starts[i + 1] += starts[i];
        }
        let mut next = starts;
        let mut positions = vec![0; levels.len()];
        for (position, &level) in levels.iter().enumerate() {
            let slot = &mut next[usize::from(level)];
            positions[*slot as usize] = position as u32;
            *slot += 1;
        }
        let mut all = Self { positions, starts };
        if !left_out.is_empty() {
            all.remove(left_out);
        }
        all
    }

    fn remove(&mut self, left_out: &[u32]) {
        let mut kept = Vec::with_capacity(self.positions.len());
        let mut starts = [0; N_LEVELS + 1];
        for level in 0..N_LEVELS {
            kept.extend(self.of(level as u8).iter().copied().filter(|p| left_out.binary_search(p).is_err()));
            starts[level + 1] = kept.len() as u32;
        }
        *self = Self { positions: kept, starts };
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
pub fn of_thread(times: &Times<'_>, mut flows: FlowLevels<'_>, left_out: &[u32]) -> Levels {
    let mut filters = Filters::new();
    let level_at = |position: usize| {
        let (begin_ps, duration_ps) = times.at(position);
        match flows.next_at(position) {
            Some(level) => filters.force(begin_ps, duration_ps, level.min(level_of_length(duration_ps))),
            None => filters.admit(begin_ps, duration_ps),
        }
    };
    Levels::bucket(&(0..times.len()).map(level_at).collect::<Vec<u8>>(), left_out)
}

/// Levels of the samples of a counter or of the async events of a name.
pub fn of_row(times: &Times<'_>, mut flows: FlowLevels<'_>, left_out: &[u32]) -> Levels {
    let mut filters = RowFilters::default();
    let level_at = |position: usize| {
        let (begin_ps, duration_ps) = times.at(position);
        let level = flows.next_at(position).map(|level| level.min(level_of_length(duration_ps)));
        filters.take(begin_ps, level)
    };
    Levels::bucket(&(0..times.len()).map(level_at).collect::<Vec<u8>>(), left_out)
}
