//! What of a window can be told apart at its resolution.
//!
//! Takes the selected events of all tracks, leaves those that the thinning filter admits.
//! It must not read names or stats.
//!
//! Only flows and asynchronous events of long names couple tracks. Of coupled threads just the flow events are looked at in
//! global order; what lies between two of them on a thread is nobody else's concern.

use std::cmp::Reverse;
use std::iter::Peekable;

use rayon::prelude::*;

use super::{Scope, Selected, comes_to};
use crate::tools::trace_viewer::store::flows::FlowNumbers;
use crate::tools::trace_viewer::store::merge::{Sublist, in_order};
use crate::tools::trace_viewer::store::tracks::{Times, Track};
use crate::tools::trace_viewer::thinning::{DIRECTION_IN, Row, Thread, admit_in_row};
use crate::{Diag, Result};

/// How many events are thinned between two looks at the cancellation.
const CHECK_EVERY: usize = 1 << 16;

/// Thins all tracks. `times` are those of all tracks, `selected` has one entry per track.
pub fn thin(
    scope: &Scope<'_>,
    times: &[Times<'_>],
    selected: &mut [Selected],
    resolution_ps: u64,
    diag: &Diag,
) -> Result<()> {
    let tracks = &scope.store.tracks;
    let (mut alone, mut linked, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    for s in selected.iter_mut().filter(|s| !s.positions.is_empty()) {
        let track = &tracks[s.track];
        if track.shares_row() {
            shared.push(s);
        } else if track.is_row() || track.flows.is_empty() {
            alone.push(s);
        } else {
            linked.push(s);
        }
    }
    let thin_linked = || {
        let numbers = scope.store.flow_numbers();
        Linked { tracks, times, numbers, resolution_ps }.thin(linked, |track| scope.intermediate_dma(track), diag)
    };
    let others = || {
        alone.into_par_iter().with_max_len(1).try_for_each(|s| {
            diag.check()?;
            thin_alone(scope, &times[s.track], s, resolution_ps);
            Ok(())
        })?;
        shared
            .chunk_by_mut(|a, b| tracks[a.track].device == tracks[b.track].device)
            .try_for_each(|of_device| thin_shared(scope, times, of_device, resolution_ps, diag))
    };
    let (linked, others) = rayon::join(thin_linked, others);
    linked.and(others)
}

/// Thins a track that has nothing to do with others.
fn thin_alone(scope: &Scope<'_>, times: &Times<'_>, selected: &mut Selected, resolution_ps: u64) {
    let (mut thread, mut row) = (Thread::default(), Row::default());
    let is_row = scope.store.tracks[selected.track].is_row();
    let mut dma = scope.intermediate_dma(selected.track).peekable();
    selected.positions.retain(|&position| {
        let (begin_ps, duration_ps) = times.at(position as usize);
        comes_to(&mut dma, position)
            || if is_row {
                admit_in_row(&mut row, begin_ps, resolution_ps)
            } else {
                thread.admit(begin_ps, duration_ps, resolution_ps)
            }
    });
}

/// Thins the tracks of one device that share a row, in global order.
fn thin_shared(
    scope: &Scope<'_>,
    times: &[Times<'_>],
    of_device: &mut [&mut Selected],
    resolution_ps: u64,
    diag: &Diag,
) -> Result<()> {
    let mut events = Vec::with_capacity(of_device.iter().map(|s| s.positions.len()).sum());
    for (member, selected) in of_device.iter_mut().enumerate() {
        let mut dma = scope.intermediate_dma(selected.track).peekable();
        for position in selected.positions.drain(..) {
            let (begin_ps, duration_ps) = times[selected.track].at(position as usize);
            events.push((begin_ps, Reverse(duration_ps), member, position, comes_to(&mut dma, position)));
        }
    }
    // Tracks are in the order that breaks ties.
    events.sort_unstable();
    let mut row = Row::default();
    for (n, &(begin_ps, _, member, position, is_dma)) in events.iter().enumerate() {
        if n % CHECK_EVERY == 0 {
            diag.check()?;
        }
        if is_dma || admit_in_row(&mut row, begin_ps, resolution_ps) {
            of_device[member].positions.push(position);
        }
    }
    Ok(())
}

/// Threads that flows link, and what their thinning looks at.
struct Linked<'a> {
    tracks: &'a [Track],
    times: &'a [Times<'a>],
    numbers: &'a FlowNumbers,
    resolution_ps: u64,
}

impl Linked<'_> {
    /// Thins the threads; `dma_of` tells the positions of events on a track that are kept whatever lies near them.
    fn thin<D: Iterator<Item = u32> + Send>(
        &self,
        selected: Vec<&mut Selected>,
        dma_of: impl Fn(usize) -> D + Sync,
        diag: &Diag,
    ) -> Result<()> {
        let track_of: Vec<usize> = selected.iter().map(|s| s.track).collect();
        let picked: Vec<Vec<u32>> =
            selected.par_iter().map(|s| deciding(&self.tracks[s.track], &s.positions, dma_of(s.track))).collect();
        let lists: Vec<Sublist<'_>> = (track_of.iter().zip(&picked))
            .map(|(&track, picked)| {
                let positions = &self.tracks[track].flows.positions;
                Sublist { times: &self.times[track], positions, picked: Some(picked) }
            })
            .collect();
        let mut members: Vec<Member<'_, D>> = selected
            .into_iter()
            .map(|s| Member::new(&self.times[s.track], dma_of(s.track), &mut s.positions, self.resolution_ps))
            .collect();
        let mut decisions: Vec<Option<bool>> = vec![None; self.numbers.end()];
        in_order(&lists, diag, |event| {
            let list = event.list as usize;
            let (track, nth) = (track_of[list], picked[list][event.nth as usize]);
            let flows = &self.tracks[track].flows;
            let decision = &mut decisions[self.numbers.of(track, nth)];
            let is_last = flows.values[nth as usize].direction() == DIRECTION_IN;
            members[list].admit_until(flows.positions[nth as usize]);
            members[list].decide(event.begin_ps, event.duration_ps, is_last, decision);
        })?;
        members.into_par_iter().with_max_len(1).for_each(Member::finish);
        diag.check()
    }
}

/// Which of a track's flow events are selected and subject to thinning.
fn deciding(track: &Track, positions: &[u32], dma: impl Iterator<Item = u32>) -> Vec<u32> {
    let (mut selected, mut dma) = (positions.iter().copied().peekable(), dma.peekable());
    let is_deciding = |&(position, _): &(u32, u32)| comes_to(&mut selected, position) && !comes_to(&mut dma, position);
    track.flows.positions.iter().copied().zip(0..).filter(is_deciding).map(|(_, nth)| nth).collect()
}

/// One of the linked threads, thinned up to some event. What is kept moves to the front of the list it came from.
struct Member<'a, D: Iterator<Item = u32>> {
    times: &'a Times<'a>,
    dma: Peekable<D>,
    positions: &'a mut Vec<u32>,
    n_seen: usize,
    n_kept: usize,
    thread: Thread,
    resolution_ps: u64,
}

impl<'a, D: Iterator<Item = u32>> Member<'a, D> {
    fn new(times: &'a Times<'a>, dma: D, positions: &'a mut Vec<u32>, resolution_ps: u64) -> Self {
        Self { times, dma: dma.peekable(), positions, n_seen: 0, n_kept: 0, thread: Thread::default(), resolution_ps }
    }

    /// Admits the thread's own events up to the one at `position`, which decides about its flow.
    #[inline]
    fn admit_until(&mut self, position: u32) {
        while let Some(&own) = self.positions.get(self.n_seen).filter(|&&own| own < position) {
            let (begin_ps, duration_ps) = self.times.at(own as usize);
            let kept = comes_to(&mut self.dma, own) || self.thread.admit(begin_ps, duration_ps, self.resolution_ps);
            self.pass(kept);
        }
    }

    /// Admits the next event, which belongs to the flow with that decision.
    #[inline]
    fn decide(&mut self, begin_ps: u64, duration_ps: u64, is_last: bool, decision: &mut Option<bool>) {
        let kept = self.thread.admit_flow((begin_ps, duration_ps), self.resolution_ps, decision);
        if is_last {
            *decision = None;
        }
        self.pass(kept);
    }

    #[inline]
    fn pass(&mut self, kept: bool) {
        self.positions[self.n_kept] = self.positions[self.n_seen];
        self.n_kept += usize::from(kept);
        self.n_seen += 1;
    }

    fn finish(mut self) {
        self.admit_until(u32::MAX);
        self.positions.truncate(self.n_kept);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::prep::flows::Flow;
    use crate::tools::trace_viewer::model::{self, any_tracks};
    use crate::tools::trace_viewer::store::merge::Ascending;

    /// Thins the events of which `selects` says so, with those that `is_dma` kept unconditionally.
    fn check(
        tracks: &[Track],
        resolution_ps: u64,
        selects: impl Fn(u32) -> bool,
        is_dma: impl Fn(Flow) -> bool + Sync,
    ) -> Result<()> {
        let tracks_with_flows = || (0..tracks.len()).filter(|&i| !tracks[i].is_row() && !tracks[i].flows.is_empty());
        let times: Vec<Times<'_>> = tracks.iter().map(|track| track.times(&[])).collect();
        let n_of = |track: usize| times[track].len() as u32;
        let select = |track| Selected { track, positions: (0..n_of(track)).filter(|&p| selects(p)).collect() };
        let mut selected: Vec<Selected> = tracks_with_flows().map(select).filter(|s| !s.positions.is_empty()).collect();
        let expect = model::thin(tracks, &selected, resolution_ps, &is_dma);
        let dma_of = |track: usize| tracks[track].flows.iter().filter(|&(_, flow)| is_dma(flow)).map(|(at, _)| at);
        let numbers = FlowNumbers::new(tracks);
        Linked { tracks, times: &times, numbers: &numbers, resolution_ps }.thin(
            selected.iter_mut().collect(),
            dma_of,
            &Diag::new(),
        )?;
        assert_eq!(selected, expect, "{tracks:?}");
        Ok(())
    }

    proptest! {
        #[test]
        fn agrees_with_the_model(
            tracks in any_tracks(40), exponent in 0u32..13, factor in 1u64..10, skip in 2u32..9, with_dma in any::<bool>(),
        ) {
            let is_dma = |flow: Flow| with_dma && flow.direction() == 3;
            check(&tracks, factor * 10u64.pow(exponent), |position| position % skip != 1, is_dma)?;
        }
    }
}
