//! Several ascending lists of events as one: cut at the same times into pieces, which are sorted in parallel.
//!
//! Takes lists that each are in the global order (begin up, duration down), gives their events in that order; of equal
//! ones, those of an earlier list come first.
//! It must not hold the events of all pieces at once: what is read in order is used in order, piece by piece.

use std::cmp::Reverse;
use std::ops::Range;

use super::tracks::Times;
use crate::tools::trace_viewer::batches::in_sequence;
use crate::{Diag, Result};

/// Samples of begins per piece, of which every last one becomes a cut.
const SAMPLES_PER_PIECE: usize = 12;
/// Roughly how many events are sorted together: as many as fit the processor's cache.
const PIECE_EVENTS: usize = if cfg!(test) { 24 } else { 1 << 14 };

/// A list of events by begin.
#[allow(clippy::len_without_is_empty, reason = "nobody asks")]
pub trait Ascending: Sync {
    /// How many events.
    fn len(&self) -> usize;

    /// Begin at a position, which must be below the length.
    fn begin_ps(&self, position: usize) -> u64;

    /// The first position from which on all begins satisfy `from`, which must be true for all behind the first.
    fn first(&self, from: impl Fn(u64) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if from(self.begin_ps(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

/// Cuts of the time axis. Events of one begin never lie in two pieces.
pub struct Pieces(Vec<u64>);

impl Pieces {
    /// Pieces of some `n_events` events each, all lists together.
    pub fn of<L: Ascending>(lists: &[L], n_events: usize) -> Self {
        let step = (n_events / SAMPLES_PER_PIECE).max(1);
        let samples_of = |list: &L| (0..list.len()).step_by(step).skip(1).map(|i| list.begin_ps(i)).collect::<Vec<_>>();
        let mut samples: Vec<u64> = lists.iter().flat_map(samples_of).collect();
        samples.sort_unstable();
        // Every list is looked up in every piece, so with very many lists the pieces must be larger.
        let per_piece = SAMPLES_PER_PIECE.max(lists.len() / 64);
        let mut cuts: Vec<u64> = samples.into_iter().step_by(per_piece).skip(1).collect();
        cuts.dedup();
        Self(cuts)
    }

    /// How many pieces, at least one.
    pub fn len(&self) -> usize {
        self.0.len() + 1
    }

    /// The positions of a list's events in a piece.
    pub fn range(&self, piece: usize, list: &impl Ascending) -> Range<usize> {
        let start = piece.checked_sub(1).map_or(0, |cut| list.first(|begin| begin >= self.0[cut]));
        let end = self.0.get(piece).map_or(list.len(), |&to| list.first(|begin| begin >= to));
        start..end.max(start)
    }
}

/// Some events of a track: of those at `positions` all, or the ones that are `picked`.
pub struct Sublist<'a> {
    /// The track's.
    pub times: &'a Times<'a>,
    /// Ascending.
    pub positions: &'a [u32],
    /// Indices of positions, ascending.
    pub picked: Option<&'a [u32]>,
}

impl Sublist<'_> {
    #[inline]
    fn position(&self, i: usize) -> usize {
        self.positions[self.picked.map_or(i, |picked| picked[i] as usize)] as usize
    }
}

impl Ascending for Sublist<'_> {
    fn len(&self) -> usize {
        self.picked.map_or(self.positions.len(), <[u32]>::len)
    }

    fn begin_ps(&self, position: usize) -> u64 {
        self.times.begin_ps(self.position(position))
    }
}

/// One event of a list.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// Begin.
    pub begin_ps: u64,
    /// Duration.
    pub duration_ps: u64,
    /// Index of the list.
    pub list: u32,
    /// Number within the list.
    pub nth: u32,
}

/// Shows the events of all lists in global order. While some are looked at, the next ones are sorted.
pub fn in_order(lists: &[Sublist<'_>], diag: &Diag, mut visit: impl FnMut(Item) + Send) -> Result<()> {
    let pieces = Pieces::of(lists, PIECE_EVENTS);
    let sort = |piece: usize, buffer: &mut Vec<Item>| sort_piece(lists, &pieces, piece, buffer);
    in_sequence(pieces.len(), sort, |piece: &Vec<Item>| {
        diag.check()?;
        piece.iter().for_each(|&item| visit(item));
        Ok(())
    })
}

fn sort_piece(lists: &[Sublist<'_>], pieces: &Pieces, piece: usize, buffer: &mut Vec<Item>) {
    buffer.clear();
    for (list, sublist) in (0u32..).zip(lists) {
        buffer.extend(pieces.range(piece, sublist).map(|nth| {
            let (begin_ps, duration_ps) = sublist.times.at(sublist.position(nth));
            Item { begin_ps, duration_ps, list, nth: nth as u32 }
        }));
    }
    // Each list is one ascending run, and lists are in the order that breaks ties: a stable sort, which merges them.
    buffer.sort_by_key(|item| (item.begin_ps, Reverse(item.duration_ps)));
}
