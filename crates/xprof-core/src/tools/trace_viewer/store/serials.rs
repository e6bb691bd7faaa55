//! Numbers that tell events apart which begin at the same picosecond.
//!
//! Takes all tracks of a host, gives the rank of some events among all events of their begin, and which events are left out
//! because too many of their begin come first.
//! It must not keep ranks: few events are asked for theirs.
//!
//! The time axis is cut into pieces of some ten thousand events that are looked at by themselves, in parallel, inside the
//! processor's cache. Of those, few share their begin with an event that is asked for, and only they are sorted.

use std::cmp::Reverse;
use std::ops::Range;

use rayon::prelude::*;

use super::merge::{Ascending, Pieces};
use super::tracks::Times;
use crate::{Diag, Result};

/// Roughly how many events are looked at together.
const PIECE_EVENTS: usize = if cfg!(test) { 24 } else { 48 << 10 };
/// Bits of a set per event of a piece: few begins meet another one there by chance.
const BITS_PER_EVENT: usize = 8;
/// Ranks are one byte: `parity:` the reference stores no event of a higher one.
const N_RANKS: usize = 256;

/// An event: index of its track and position.
type Place = (u32, u32);

/// Ranks of some events, those of rank 0 not among them.
#[derive(Debug, Default)]
pub struct Serials {
    /// Per track: positions ascending, and their ranks.
    by_track: Vec<Vec<(u32, u8)>>,
}

impl Serials {
    /// The rank of an event that was asked for.
    #[inline]
    pub fn of(&self, track: usize, position: u32) -> u8 {
        let Some(ranks) = self.by_track.get(track).filter(|ranks| !ranks.is_empty()) else { return 0 };
        ranks.binary_search_by_key(&position, |&(position, _)| position).map_or(0, |at| ranks[at].1)
    }
}

/// The ranks of the events that are asked for: ascending positions on each track. Tracks must be sorted, and in the order
/// in which equal events of different tracks follow.
pub fn of(tracks: &[Times<'_>], asked: &[Vec<u32>], diag: &Diag) -> Result<Serials> {
    let ranks = |piece: &Piece, scratch: &mut Scratch| {
        let asked = |track: usize, range: &Range<usize>| {
            let first = |at: usize| asked[track].partition_point(|&position| (position as usize) < at);
            asked[track][first(range.start)..first(range.end)].iter().map(|&position| position as usize)
        };
        let mut ranks = Vec::new();
        piece.shared_begins(tracks, asked, scratch, |places| {
            let ranked = (0..=u8::MAX).zip(places).skip(1);
            ranks.extend(ranked.map(|(rank, &(track, position))| (track, position, rank)));
        });
        ranks.sort_unstable();
        ranks
    };
    let pieces: Vec<Vec<(u32, u32, u8)>> = pieces(tracks, ranks, diag)?;
    let of_track = |track: usize| {
        let of_piece = |piece: &Vec<(u32, u32, u8)>| {
            let first = |track: usize| piece.partition_point(|&(t, ..)| (t as usize) < track);
            first(track)..first(track + 1)
        };
        let ranges: Vec<Range<usize>> = pieces.iter().map(of_piece).collect();
        let mut ranks = Vec::with_capacity(ranges.iter().map(Range::len).sum());
        for (piece, range) in pieces.iter().zip(ranges) {
            ranks.extend(piece[range].iter().map(|&(_, position, rank)| (position, rank)));
        }
        ranks
    };
    Ok(Serials { by_track: (0..tracks.len()).into_par_iter().map(of_track).collect() })
}

/// The events of one begin in the order of their ranks.
pub fn at(tracks: &[Times<'_>], begin_ps: u64) -> Vec<(usize, u32)> {
    let mut events = Vec::new();
    for (idx, track) in tracks.iter().enumerate() {
        let same = (track.first(|begin| begin >= begin_ps)..track.len()).map(|position| (position, track.at(position)));
        let same = same.take_while(|&(_, (begin, _))| begin == begin_ps);
        events.extend(same.map(|(position, (_, duration_ps))| (Reverse(duration_ps), idx, position as u32)));
    }
    events.sort_unstable();
    events.into_iter().map(|(_, track, position)| (track, position)).collect()
}

/// Per track, the ascending positions of events that are not shown, because enough others of their begin come first.
pub fn left_out(tracks: &[Times<'_>], diag: &Diag) -> Result<Vec<Vec<u32>>> {
    let crowds = |piece: &Piece, scratch: &mut Scratch| {
        let mut left_out = Vec::new();
        if piece.may_have_crowd(tracks) {
            let all = |_: usize, range: &Range<usize>| range.clone();
            piece.shared_begins(tracks, all, scratch, |places| left_out.extend(places.iter().skip(N_RANKS)));
        }
        left_out
    };
    let pieces: Vec<Vec<Place>> = pieces(tracks, crowds, diag)?;
    let mut by_track = vec![Vec::new(); tracks.len()];
    for (track, position) in pieces.into_iter().flatten() {
        by_track[track as usize].push(position);
    }
    by_track.iter_mut().for_each(|positions: &mut Vec<u32>| positions.sort_unstable());
    Ok(by_track)
}

/// Looks at all pieces of the time axis.
fn pieces<R: Send>(
    tracks: &[Times<'_>],
    look: impl Fn(&Piece, &mut Scratch) -> R + Sync,
    diag: &Diag,
) -> Result<Vec<R>> {
    let cuts = Pieces::of(tracks, PIECE_EVENTS);
    (0..cuts.len())
        .into_par_iter()
        .map_init(Scratch::default, |scratch, i| {
            diag.check()?;
            Ok(look(&Piece(tracks.iter().map(|track| cuts.range(i, track)).collect()), scratch))
        })
        .collect()
}

/// Memory that one piece after the other uses.
#[derive(Default)]
struct Scratch {
    asked: Begins,
    once: Begins,
    again: Begins,
    /// Begin and place of events that may share their begin with one that is asked for.
    events: Vec<(u64, Place)>,
    same: Vec<(Reverse<u64>, Place)>,
    places: Vec<Place>,
}

/// A set of begins that may hold others than those that were added.
#[derive(Default)]
struct Begins {
    words: Vec<u64>,
    shift: u32,
}

impl Begins {
    /// Makes it an empty set for a piece of so many events.
    fn reset(&mut self, n_events: usize) {
        let n_words = (n_events * BITS_PER_EVENT / 64).next_power_of_two();
        self.words.clear();
        self.words.resize(n_words, 0);
        self.shift = 64 - 6 - n_words.trailing_zeros();
    }

    /// The word and the bit of a begin: the same in all sets for as many events.
    #[inline]
    fn place(&self, begin_ps: u64) -> (usize, u64) {
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let hash = begin_ps.wrapping_mul(SPREAD) >> self.shift;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }
}

/// The events between two cuts: per track, its positions there.
struct Piece(Vec<Range<usize>>);

impl Piece {
    /// Whether so many events may share a begin that some are left out: no, if the most that do so on each track are few.
    fn may_have_crowd(&self, tracks: &[Times<'_>]) -> bool {
        let most_on = |(track, range): (&Times<'_>, &Range<usize>)| {
            let (mut most, mut run, mut last) = (0, 0, None);
            for position in range.clone() {
                let begin_ps = Some(track.begin_ps(position));
                run = if begin_ps == last { run + 1 } else { 1 };
                (most, last) = (run.max(most), begin_ps);
            }
            most
        };
        tracks.iter().zip(&self.0).map(most_on).sum::<usize>() > N_RANKS
    }

    /// Shows the events of every begin that several have and that an event has for which `asked` says so, in the order of
    /// their ranks. `asked` is given a track and its positions in this piece.
    fn shared_begins<I: Iterator<Item = usize>>(
        &self,
        tracks: &[Times<'_>],
        asked: impl Fn(usize, &Range<usize>) -> I,
        scratch: &mut Scratch,
        mut each: impl FnMut(&[Place]),
    ) {
        let n_events = self.0.iter().map(Range::len).sum();
        let Scratch { asked: of_asked, once, again, events, same, places } = scratch;
        of_asked.reset(n_events);
        let mut n_asked = 0;
        for (idx, (track, range)) in tracks.iter().zip(&self.0).enumerate() {
            for position in asked(idx, range) {
                let (word, bit) = of_asked.place(track.begin_ps(position));
                of_asked.words[word] |= bit;
                n_asked += 1;
            }
        }
        if n_asked == 0 {
            return;
        }
        once.reset(n_events);
        again.reset(n_events);
        events.clear();
        for ((idx, track), range) in (0u32..).zip(tracks).zip(&self.0) {
            for position in range.clone() {
                let begin_ps = track.begin_ps(position);
                let (word, bit) = of_asked.place(begin_ps);
                if of_asked.words[word] & bit != 0 {
                    again.words[word] |= once.words[word] & bit;
                    once.words[word] |= bit;
                    events.push((begin_ps, (idx, position as u32)));
                }
            }
        }
        events.retain(|&(begin_ps, _)| {
            let (word, bit) = again.place(begin_ps);
            again.words[word] & bit != 0
        });
        // How events of one begin follow each other is decided when they are ranked.
        events.sort_unstable_by_key(|&(begin_ps, _)| begin_ps);
        for group in events.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
            let duration_ps = |(track, position): Place| tracks[track as usize].at(position as usize).1;
            same.clear();
            same.extend(group.iter().map(|&(_, place)| (Reverse(duration_ps(place)), place)));
            same.sort_unstable();
            places.clear();
            places.extend(same.iter().map(|&(_, place)| place));
            each(places);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::tools::trace_viewer::model::any_tracks;
    use crate::tools::trace_viewer::store::tracks::Track;

    /// Compares with ranks that are counted one event after the other in global order.
    fn check(tracks: &[Track], is_asked: impl Fn(u32) -> bool) -> Result<()> {
        let times: Vec<Times<'_>> = tracks.iter().map(|track| track.times(&[])).collect();
        let positions = |times: &Times<'_>| 0..times.len() as u32;
        let asked: Vec<Vec<u32>> = times.iter().map(|t| positions(t).filter(|&p| is_asked(p)).collect()).collect();
        let got = of(&times, &asked, &Diag::new())?;
        let left_out = left_out(&times, &Diag::new())?;
        let mut by_begin: BTreeMap<u64, Vec<(Reverse<u64>, usize, u32)>> = BTreeMap::new();
        for (i, times) in times.iter().enumerate() {
            for position in positions(times) {
                let (begin_ps, duration_ps) = times.at(position as usize);
                by_begin.entry(begin_ps).or_default().push((Reverse(duration_ps), i, position));
            }
        }
        for (begin_ps, mut events) in by_begin {
            events.sort_unstable();
            let of_begin = at(&times, begin_ps);
            assert_eq!(of_begin.len(), events.len());
            for (rank, (_, track, position)) in events.into_iter().enumerate() {
                assert_eq!(of_begin[rank], (track, position));
                assert_eq!(left_out[track].contains(&position), rank >= N_RANKS);
                if is_asked(position) && rank < N_RANKS {
                    assert_eq!(usize::from(got.of(track, position)), rank);
                }
            }
        }
        assert!(left_out.iter().all(|positions| positions.is_sorted()));
        Ok(())
    }

    proptest! {
        #[test]
        fn agree_with_counting(tracks in any_tracks(60), every in 1u32..9) {
            check(&tracks, |position| position % every == 0)?;
        }

        #[test]
        fn agree_with_counting_in_crowds(n in 100usize..300, begins in 1u64..4, every in 1u32..50) {
            let events = |track: u64| (0..n as u64).map(move |i| (i * track % begins, i % 3, None)).collect();
            let tracks: Vec<Track> = (1..5).map(|track| Track::of_events(true, events(track))).collect();
            check(&tracks, |position| position % every == 0)?;
        }
    }
}
