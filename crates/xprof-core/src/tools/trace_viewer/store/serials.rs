//! Numbers that tell events apart which begin at the same picosecond.
//!
//! Takes all tracks of a host, gives per track the rank of each event among all events of its begin.
//! It must not keep anything else: ranks are one byte per event, and no byte where all of a track's are 0.
//!
//! Few events share their begin with another one, and only those are sorted. The time axis is cut into pieces of some ten
//! thousand events that are ranked by themselves, in parallel, inside the processor's cache.

use std::cmp::Reverse;
use std::ops::Range;

use rayon::prelude::*;

use super::merge::{Ascending, Pieces};
use super::tracks::Times;
use crate::{Diag, Result};

/// Roughly how many events are ranked together.
const PIECE_EVENTS: usize = if cfg!(test) { 24 } else { 48 << 10 };
/// Bits of a set per begin that it may hold: few begins meet another one there by chance.
const BITS_PER_BEGIN: usize = 8;
/// One byte: `parity:` the reference stores no event of a higher rank.
const MAX_SERIAL: u32 = 255;

/// Ranks of the events of one track.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Serials {
    /// By position; empty if all are 0.
    by_position: Vec<u8>,
    /// Positions of events that are not shown because 256 others of their begin come first; ascending.
    pub left_out: Vec<u32>,
}

impl Serials {
    /// The rank of the event at a position.
    #[inline]
    pub fn of(&self, position: u32) -> u8 {
        self.by_position.get(position as usize).copied().unwrap_or(0)
    }

    /// Whether the event at a position is shown.
    #[inline]
    pub fn shows(&self, position: u32) -> bool {
        self.left_out.is_empty() || self.left_out.binary_search(&position).is_err()
    }

    /// Roughly the bytes of memory held.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.by_position.capacity() + self.left_out.capacity() * 4
    }
}

/// Ranks of all events. Tracks must be sorted, and in the order in which equal events of different tracks follow.
pub fn of(tracks: &[Times<'_>], diag: &Diag) -> Result<Vec<Serials>> {
    let cuts = Pieces::of(tracks, PIECE_EVENTS);
    let pieces: Vec<Piece> = (0..cuts.len())
        .into_par_iter()
        .map_init(Scratch::default, |scratch, i| {
            diag.check()?;
            Ok(piece(tracks, &cuts, i, scratch))
        })
        .collect::<Result<_>>()?;
    Ok((0..tracks.len()).into_par_iter().map(|track| assemble(track, tracks[track].len(), &pieces)).collect())
}

/// Memory that one piece after the other uses.
#[derive(Default)]
struct Scratch {
    once: Begins,
    again: Begins,
    /// Begin, track and position of events whose begin may be that of another one.
    events: Vec<(u64, u32, u32)>,
    same: Vec<(Reverse<u64>, u32, u32)>,
}

/// A set of begins that may hold others than those that were added.
#[derive(Default)]
struct Begins {
    words: Vec<u64>,
    shift: u32,
}

impl Begins {
    /// Makes it an empty set for so many begins.
    fn reset(&mut self, n_begins: usize) {
        let n_words = (n_begins * BITS_PER_BEGIN / 64).next_power_of_two();
        self.words.clear();
        self.words.resize(n_words, 0);
        self.shift = 64 - 6 - n_words.trailing_zeros();
    }

    /// The word and the bit of a begin.
    #[inline]
    fn place(&self, begin_ps: u64) -> (usize, u64) {
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let hash = begin_ps.wrapping_mul(SPREAD) >> self.shift;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }
}

/// The ranks of the events between two cuts.
struct Piece {
    /// Per track: its positions in this piece.
    positions: Vec<Range<u32>>,
    /// Per track: how many of the piece's events come before its own.
    starts: Vec<u32>,
    /// Ranks, one track after the other; empty if all are 0.
    serials: Vec<u8>,
    /// Track and position of events that are left out.
    left_out: Vec<(u32, u32)>,
}

fn piece(tracks: &[Times<'_>], cuts: &Pieces, i: usize, scratch: &mut Scratch) -> Piece {
    let (mut positions, mut starts) = (Vec::with_capacity(tracks.len()), Vec::with_capacity(tracks.len()));
    let mut n_events = 0;
    for track in tracks {
        let range = cuts.range(i, track);
        starts.push(n_events as u32);
        n_events += range.len();
        positions.push(range.start as u32..range.end as u32);
    }
    let mut piece = Piece { positions, starts, serials: Vec::new(), left_out: Vec::new() };
    piece.find_repeated(tracks, n_events, scratch);
    let Scratch { events, same, .. } = scratch;
    // How events of one begin follow each other is decided when they are ranked.
    events.sort_unstable_by_key(|&(begin_ps, ..)| begin_ps);
    for group in events.chunk_by(|a, b| a.0 == b.0) {
        if group.len() > 1 {
            piece.rank(tracks, group, same, n_events);
        }
    }
    piece.left_out.sort_unstable();
    piece
}

impl Piece {
    /// Collects the events whose begin may occur more than once.
    fn find_repeated(&self, tracks: &[Times<'_>], n_events: usize, scratch: &mut Scratch) {
        let Scratch { once, again, events, .. } = scratch;
        once.reset(n_events);
        again.reset(n_events);
        for (track, range) in tracks.iter().zip(&self.positions) {
            for position in range.clone() {
                let (word, bit) = once.place(track.begin_ps(position as usize));
                again.words[word] |= once.words[word] & bit;
                once.words[word] |= bit;
            }
        }
        events.clear();
        for ((idx, track), range) in (0u32..).zip(tracks).zip(&self.positions) {
            for position in range.clone() {
                let begin_ps = track.begin_ps(position as usize);
                let (word, bit) = again.place(begin_ps);
                if again.words[word] & bit != 0 {
                    events.push((begin_ps, idx, position));
                }
            }
        }
    }

    /// Ranks the events of one begin, which are given as begin, track and position.
    fn rank(
        &mut self,
        tracks: &[Times<'_>],
        group: &[(u64, u32, u32)],
        same: &mut Vec<(Reverse<u64>, u32, u32)>,
        n_events: usize,
    ) {
        self.serials.resize(n_events, 0);
        same.clear();
        same.extend(group.iter().map(|&(_, track, position)| {
            let (_, duration_ps) = tracks[track as usize].at(position as usize);
            (Reverse(duration_ps), track, position)
        }));
        same.sort_unstable();
        for (serial, &(_, track, position)) in same.iter().enumerate() {
            if serial as u32 > MAX_SERIAL {
                self.left_out.push((track, position));
            } else {
                let before = position - self.positions[track as usize].start;
                self.serials[(self.starts[track as usize] + before) as usize] = serial as u8;
            }
        }
    }
}

/// The ranks of one track out of all pieces.
fn assemble(track: usize, n_events: usize, pieces: &[Piece]) -> Serials {
    let mut serials = Serials::default();
    let mut by_position = Vec::new();
    for piece in pieces {
        let range = &piece.positions[track];
        if !piece.serials.is_empty() {
            let start = piece.starts[track] as usize;
            let part = &piece.serials[start..start + range.len()];
            if !by_position.is_empty() || part.iter().any(|&s| s != 0) {
                if by_position.is_empty() {
                    by_position.reserve_exact(n_events);
                }
                by_position.resize(range.start as usize, 0);
                by_position.extend_from_slice(part);
            }
        }
        let from = piece.left_out.partition_point(|(t, _)| (*t as usize) < track);
        let of_track = piece.left_out[from..].iter().take_while(|(t, _)| *t as usize == track);
        serials.left_out.extend(of_track.map(|&(_, position)| position));
    }
    if !by_position.is_empty() {
        by_position.resize(n_events, 0);
    }
    serials.by_position = by_position;
    serials.left_out.sort_unstable();
    serials
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::tools::trace_viewer::model::any_tracks;
    use crate::tools::trace_viewer::store::tracks::Track;

    /// Compares with ranks that are counted one event after the other in global order.
    fn check(tracks: &[Track]) -> Result<()> {
        let times: Vec<Times<'_>> = tracks.iter().map(|track| track.times(&[])).collect();
        let got = of(&times, &Diag::new())?;
        let mut by_begin: BTreeMap<u64, Vec<(Reverse<u64>, usize, u32)>> = BTreeMap::new();
        for (i, times) in times.iter().enumerate() {
            for position in 0..times.len() as u32 {
                let (begin_ps, duration_ps) = times.at(position as usize);
                by_begin.entry(begin_ps).or_default().push((Reverse(duration_ps), i, position));
            }
        }
        for mut events in by_begin.into_values() {
            events.sort_unstable();
            for (rank, (_, track, position)) in (0..).zip(events) {
                let is_shown = rank <= MAX_SERIAL;
                assert_eq!(got[track].shows(position), is_shown);
                assert_eq!(u32::from(got[track].of(position)), if is_shown { rank } else { 0 });
            }
        }
        for serials in &got {
            assert!(serials.left_out.is_sorted());
            assert!(serials.by_position.is_empty() || serials.by_position.iter().any(|&serial| serial != 0));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn agree_with_counting(tracks in any_tracks(60)) {
            check(&tracks)?;
        }

        #[test]
        fn agree_with_counting_in_crowds(n in 100usize..300, begins in 1u64..4) {
            let events = |track: u64| (0..n as u64).map(move |i| (i * track % begins, i % 3, None)).collect();
            check(&(1..5).map(|track| Track::of_events(true, events(track))).collect::<Vec<_>>())?;
        }
    }
}
