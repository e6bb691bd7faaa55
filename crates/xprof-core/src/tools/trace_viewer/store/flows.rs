//! Flows across the tracks of a host: which events belong together, and which level of detail each flow has, the only
//! decision that needs all tracks at once.
//!
//! Takes the flow events of all tracks in global order, gives for each the level from which on its flow is shown.
//! It must not see events without a flow; they do not change what flows decide.

use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::filters::{Filters, RowFilters};
use super::merge::{Sublist, in_order};
use super::tracks::{Times, Track};
use crate::tools::trace_viewer::thinning::{DIRECTION_IN, LAST_LEVEL, N_RESOLUTIONS, level_of_length};
use crate::{Diag, Result};

/// Into how many parts ids are divided, so that the table of a part fits the processor's cache.
const N_PARTS: usize = 16;

/// The part of an id. The factor is another one than that of the tables, lest all ids of a part have like places there.
#[inline]
fn part_of(id: u64) -> usize {
    (id.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 60) as usize
}

/// Small numbers for the flows of all tracks, so that what is known about a flow can be kept in a plain list.
/// A flow's number is that of its first event, all flow events counted track by track: what happens at about the same time
/// is close together in such a list, too.
#[derive(Debug, Default)]
pub struct FlowNumbers {
    numbers: Vec<u32>,
    /// Per track, how many flow events come before its own.
    starts: Vec<u32>,
}

impl FlowNumbers {
    /// Numbers the flows of all tracks. Each of the parallel parts reads all ids and numbers some: to sort the ids out first
    /// would take more memory than they have, and fresh memory takes more time than reading them again.
    pub fn new(tracks: &[Track]) -> Self {
        let mut n_events = 0;
        let start_of = |track: &Track| {
            n_events += track.flows.values.len();
            (n_events - track.flows.values.len()) as u32
        };
        let starts: Vec<u32> = tracks.iter().map(start_of).collect();
        let numbers: Vec<AtomicU32> = (0..n_events).map(|_| AtomicU32::new(0)).collect();
        (0..N_PARTS).into_par_iter().with_max_len(1).for_each(|part| {
            // Most flows have two events.
            let mut firsts = FxHashMap::with_capacity_and_hasher(n_events / N_PARTS / 2, FxBuildHasher);
            for (track, &start) in tracks.iter().zip(&starts) {
                for (flow, place) in track.flows.values.iter().zip(start..) {
                    if part_of(flow.id()) == part {
                        let first: u32 = *firsts.entry(flow.id()).or_insert(place);
                        numbers[place as usize].store(first, Ordering::Relaxed);
                    }
                }
            }
        });
        Self { numbers: numbers.into_iter().map(AtomicU32::into_inner).collect(), starts }
    }

    /// One more than the highest number that a flow may have.
    pub fn end(&self) -> usize {
        self.numbers.len()
    }

    /// The number of the flow of the `nth` flow event of a track.
    #[inline]
    pub fn of(&self, track: usize, nth: u32) -> usize {
        self.numbers[(self.starts[track] + nth) as usize] as usize
    }

    /// Roughly the bytes of memory held.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + (self.numbers.capacity() + self.starts.capacity()) * 4
    }
}

/// What the filters decided about one flow: one bit per filter.
#[derive(Debug, Clone, Copy, Default)]
struct Decision {
    /// Filters that decided.
    known: u16,
    /// Of these, filters that admit the flow's events.
    admits: u16,
    /// The first filter that admitted the flow's first event, which is the level of all its events; `None` before that.
    /// (The reference remembers for each filter whether it admitted that event. Above its level none did, below all did.)
    level: Option<u8>,
}

/// The filters over one track's flow events: one per track, so their size does not matter.
#[allow(clippy::large_enum_variant)]
enum TrackFilters {
    Thread {
        filters: Filters,
        /// End of the last flow event that each filter admitted.
        last_arrow_ps: [Option<u64>; N_RESOLUTIONS],
    },
    Row(RowFilters),
}

/// Per track, the levels below `end` of its flow events by what their flow alone decides, in the order of their positions.
pub fn levels(
    tracks: &[Track],
    times: &[Times<'_>],
    numbers: &FlowNumbers,
    end: u8,
    diag: &Diag,
) -> Result<Vec<Vec<u8>>> {
    let lists: Vec<Sublist<'_>> = (tracks.iter().zip(times))
        .map(|(track, times)| Sublist { times, positions: &track.flows.positions, picked: None })
        .collect();
    let mut filters: Vec<TrackFilters> = tracks.iter().map(|track| TrackFilters::new(track, end)).collect();
    let mut decisions = vec![Decision::default(); numbers.end()];
    in_order(&lists, diag, |event| {
        let track = event.list as usize;
        let direction = tracks[track].flows.values[event.nth as usize].direction();
        let decision = &mut decisions[numbers.of(track, event.nth)];
        filters[track].see(event.begin_ps, event.duration_ps, direction, decision);
    })?;
    let level_of = |track, nth| decisions[numbers.of(track, nth)].level.unwrap_or(LAST_LEVEL);
    let n_of = |track: usize| tracks[track].flows.positions.len() as u32;
    let of_track = |track| (0..n_of(track)).map(|nth| level_of(track, nth)).collect();
    Ok((0..tracks.len()).into_par_iter().map(of_track).collect())
}

impl TrackFilters {
    fn new(track: &Track, end: u8) -> Self {
        if track.is_row() {
            Self::Row(RowFilters::new(end))
        } else {
            Self::Thread { filters: Filters::new(end), last_arrow_ps: [None; N_RESOLUTIONS] }
        }
    }

    /// Shows one event to all filters and keeps what they decide about its flow.
    fn see(&mut self, begin_ps: u64, duration_ps: u64, direction: u8, decision: &mut Decision) {
        match self {
            Self::Row(filters) => {
                // The filters of a row do not decide about flows, they only admit.
                let level = filters.take(begin_ps, None);
                decision.level.get_or_insert(level);
            }
            Self::Thread { filters, last_arrow_ps } => {
                let end_ps = begin_ps.wrapping_add(duration_ps);
                let level = filters.admit_if(begin_ps, duration_ps, |level| {
                    let bit = 1 << level;
                    if decision.known & bit == 0 {
                        let is_far = last_arrow_ps[usize::from(level)]
                            .is_none_or(|last| level_of_length(end_ps.wrapping_sub(last)) <= level);
                        decision.known |= bit;
                        decision.admits = decision.admits & !bit | if is_far { bit } else { 0 };
                    }
                    decision.admits & bit != 0
                });
                decision.level.get_or_insert(level);
                if let Some(taking) = last_arrow_ps.get_mut(usize::from(level)..) {
                    taking.fill(Some(end_ps));
                }
                if direction == DIRECTION_IN {
                    // The last event of a flow: what comes later under its id is another flow.
                    decision.known = 0;
                } else {
                    let undecided = !decision.known & (u16::MAX << level);
                    decision.known |= undecided;
                    decision.admits |= undecided;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tools::trace_viewer::model::{self, any_tracks};
    use crate::tools::trace_viewer::store::levels::{FlowLevels, Levels, of_row, of_thread};
    use crate::tools::trace_viewer::store::merge::Ascending;

    fn check(tracks: &[Track], end: u8) -> Result<()> {
        let times: Vec<Times<'_>> = tracks.iter().map(|track| track.times(&[])).collect();
        let by_flow = levels(tracks, &times, &FlowNumbers::new(tracks), end, &Diag::new())?;
        let expect = model::levels(tracks);
        for (i, track) in tracks.iter().enumerate() {
            let flows = FlowLevels { positions: &track.flows.positions, levels: &by_flow[i] };
            let make = if track.is_row() { of_row } else { of_thread };
            // One event that is not stored, but counts all the same.
            let left_out = if times[i].len() > 1 { &[1][..] } else { &[] };
            let got: Levels = make(&times[i], flows, left_out, end);
            let told_apart = |level: u8| if level < end { level } else { LAST_LEVEL };
            for position in 0..times[i].len() as u32 {
                let expect = (position != 1).then(|| told_apart(expect[&(i, position)]));
                assert_eq!(got.at(position).map(told_apart), expect, "track {i}, event {position} of {tracks:?}");
            }
            for level in 0..=LAST_LEVEL {
                let mut down_to = Vec::new();
                got.append_down_to(level, 0..times[i].len(), &mut down_to);
                let is_coarse = |position: &u32| got.at(*position).is_some_and(|of| of <= level);
                assert!(down_to.into_iter().eq((0..times[i].len() as u32).filter(is_coarse)));
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn agree_with_the_model(tracks in any_tracks(40), end in 0..=LAST_LEVEL) {
            check(&tracks, end)?;
            check(&tracks, LAST_LEVEL)?;
        }

        #[test]
        fn numbers_tell_ids_apart(tracks in any_tracks(40)) {
            let numbers = FlowNumbers::new(&tracks);
            let mut by_id = FxHashMap::default();
            let mut place = 0;
            for (track, of) in tracks.iter().enumerate() {
                for (nth, flow) in (0..).zip(&of.flows.values) {
                    prop_assert_eq!(numbers.of(track, nth), *by_id.entry(flow.id()).or_insert(place));
                    place += 1;
                }
            }
            prop_assert_eq!(numbers.end(), place);
        }
    }
}
