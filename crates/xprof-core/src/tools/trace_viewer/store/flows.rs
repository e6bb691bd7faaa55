//! Which level of detail each flow has: the only decision that needs the tracks of a host together.
//!
//! Takes the flow events of all tracks in global order, gives for each the level from which on its flow is shown.
//! It must not see events without a flow; they do not change what flows decide.

use rustc_hash::FxHashMap;

use super::filters::{Filters, RowFilters};
use super::tracks::{Times, Track};
use crate::prep::flows::Flow;
use crate::tools::trace_viewer::thinning::{DIRECTION_IN, LAST_LEVEL, N_RESOLUTIONS, level_of_length};
use crate::{Diag, Result};

/// How many events are decided between two looks at the cancellation.
const CHECK_EVERY: usize = 1 << 16;

/// What the filters decided about one flow: one bit per filter.
#[derive(Debug, Clone, Copy)]
struct Decision {
    /// Filters that decided.
    known: u16,
    /// Of these, filters that admit the flow's events.
    admits: u16,
    /// The first filter that admitted the flow's first event, which is the level of all its events.
    /// (The reference remembers for each filter whether it admitted that event. Above its level none did, below all did.)
    level: u8,
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

/// Per track, the levels of its flow events by what their flow alone decides, in the order of their positions.
pub fn levels(tracks: &[Track], times: &[Times<'_>], diag: &Diag) -> Result<Vec<Vec<u8>>> {
    let order = global_order(tracks, times);
    let mut filters: Vec<TrackFilters> = tracks.iter().map(TrackFilters::new).collect();
    let mut decisions: FxHashMap<u64, Decision> = FxHashMap::default();
    for (n, &(begin_ps, track, nth)) in order.iter().enumerate() {
        if n % CHECK_EVERY == 0 {
            diag.check()?;
        }
        let flows = &tracks[track as usize].flows;
        let (_, duration_ps) = times[track as usize].at(flows.positions[nth as usize] as usize);
        filters[track as usize].see(begin_ps, duration_ps, flows.values[nth as usize], &mut decisions);
    }
    let level_of = |flow: &Flow| decisions.get(&flow.id()).map_or(LAST_LEVEL, |decision| decision.level);
    Ok(tracks.iter().map(|track| track.flows.values.iter().map(level_of).collect()).collect())
}

/// Begin, track and number within the track of all flow events.
fn global_order(tracks: &[Track], times: &[Times<'_>]) -> Vec<(u64, u32, u32)> {
    let n_events = tracks.iter().map(|t| t.flows.positions.len()).sum();
    let mut order = Vec::with_capacity(n_events);
    for (track, t) in tracks.iter().enumerate() {
        let begins = t.flows.positions.iter().map(|&position| times[track].begin_ps(position as usize));
        order.extend(begins.zip(0u32..).map(|(begin_ps, nth)| (begin_ps, track as u32, nth)));
    }
    let duration_ps = |track: u32, nth: u32| {
        let position = tracks[track as usize].flows.positions[nth as usize];
        times[track as usize].at(position as usize).1
    };
    // Each track is sorted already, and tracks are in the order that breaks ties: a stable sort, which merges them.
    order.sort_by(|a, b| {
        // Durations matter only where begins are equal, which is rare.
        a.0.cmp(&b.0)
            .then_with(|| if a.1 == b.1 { a.2.cmp(&b.2) } else { duration_ps(b.1, b.2).cmp(&duration_ps(a.1, a.2)) })
    });
    order
}

impl TrackFilters {
    fn new(track: &Track) -> Self {
        if track.is_row() {
            Self::Row(RowFilters::default())
        } else {
            Self::Thread { filters: Filters::new(), last_arrow_ps: [None; N_RESOLUTIONS] }
        }
    }

    /// Shows one event to all filters and keeps what they decide about its flow.
    fn see(&mut self, begin_ps: u64, duration_ps: u64, flow: Flow, decisions: &mut FxHashMap<u64, Decision>) {
        match self {
            Self::Row(filters) => {
                // The filters of a row do not decide about flows, they only admit.
                let level = filters.take(begin_ps, None);
                decisions.entry(flow.id()).or_insert(Decision { known: 0, admits: 0, level });
            }
            Self::Thread { filters, last_arrow_ps } => {
                let is_new = !decisions.contains_key(&flow.id());
                let decision =
                    decisions.entry(flow.id()).or_insert(Decision { known: 0, admits: 0, level: LAST_LEVEL });
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
                if is_new {
                    decision.level = level;
                }
                if let Some(taking) = last_arrow_ps.get_mut(usize::from(level)..) {
                    taking.fill(Some(end_ps));
                }
                if flow.direction() == DIRECTION_IN {
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
