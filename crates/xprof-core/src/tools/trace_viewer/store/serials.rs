//! Numbers that tell events apart which begin at the same picosecond.
//!
//! Takes all tracks of a host, gives per track the rank of each event among all events of its begin.
//! It must not keep anything else: ranks are one byte per event, and no byte where all of a track's are 0.
//!
//! Most of the work is merging the tracks by time. The time axis is cut into pieces of some ten thousand events that are
//! sorted by themselves, in parallel, inside the processor's cache; events of one begin never lie in two pieces.

use std::cmp::Reverse;
use std::ops::Range;

use rayon::prelude::*;

use super::tracks::Times;
use crate::{Diag, Result};

/// Every so many events of a track one begin is taken as a sample, from which the cuts are chosen.
const SAMPLE_EVERY: usize = 4096;
/// Samples per piece.
const SAMPLES_PER_PIECE: usize = 12;
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
    let cuts = cuts(tracks);
    let n_pieces = cuts.len() + 1;
    let pieces: Vec<Piece> = (0..n_pieces)
        .into_par_iter()
        .map(|i| {
            diag.check()?;
            let from = i.checked_sub(1).map(|i| cuts[i]);
            Ok(piece(tracks, from, cuts.get(i).copied()))
        })
        .collect::<Result<_>>()?;
    Ok((0..tracks.len()).into_par_iter().map(|track| assemble(track, tracks[track].len(), &pieces)).collect())
}

/// Begins at which the time axis is cut.
fn cuts(tracks: &[Times<'_>]) -> Vec<u64> {
    let mut samples: Vec<u64> =
        tracks.iter().flat_map(|t| (0..t.len()).step_by(SAMPLE_EVERY).skip(1).map(|i| t.begin_ps(i))).collect();
    samples.sort_unstable();
    // Every track is looked up in every piece, so with very many tracks the pieces must be larger.
    let per_piece = SAMPLES_PER_PIECE.max(tracks.len() / 64);
    let mut cuts: Vec<u64> = samples.into_iter().step_by(per_piece).skip(1).collect();
    cuts.dedup();
    cuts
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

fn piece(tracks: &[Times<'_>], from: Option<u64>, to: Option<u64>) -> Piece {
    let positions: Vec<Range<u32>> = tracks
        .iter()
        .map(|t| {
            let start = from.map_or(0, |from| t.first(|begin| begin >= from));
            let end = to.map_or(t.len(), |to| t.first(|begin| begin >= to));
            start as u32..end.max(start) as u32
        })
        .collect();
    let mut events: Vec<(u64, u32)> = Vec::with_capacity(positions.iter().map(ExactSizeIterator::len).sum());
    let mut starts = Vec::with_capacity(tracks.len());
    for (track, range) in tracks.iter().zip(&positions) {
        starts.push(events.len() as u32);
        for position in range.clone() {
            events.push((track.begin_ps(position as usize), events.len() as u32));
        }
    }
    let mut piece = Piece { positions, starts, serials: Vec::new(), left_out: Vec::new() };
    // Each track is one ascending run, which this sort merges.
    events.sort_by_key(|&(begin_ps, _)| begin_ps);
    let mut same = Vec::new();
    for group in events.chunk_by(|a, b| a.0 == b.0) {
        if group.len() > 1 {
            piece.rank(tracks, group, &mut same, events.len());
        }
    }
    piece.left_out.sort_unstable();
    piece
}

impl Piece {
    /// Ranks the events of one begin. They are given by place among the piece's events, track by track.
    fn rank(
        &mut self,
        tracks: &[Times<'_>],
        group: &[(u64, u32)],
        same: &mut Vec<(Reverse<u64>, u32, u32, u32)>,
        n: usize,
    ) {
        self.serials.resize(n, 0);
        same.clear();
        for &(_, place) in group {
            let track = self.starts.partition_point(|&start| start <= place) - 1;
            let position = self.positions[track].start + (place - self.starts[track]);
            let (_, duration_ps) = tracks[track].at(position as usize);
            same.push((Reverse(duration_ps), place, track as u32, position));
        }
        same.sort_unstable();
        for (serial, &(_, place, track, position)) in same.iter().enumerate() {
            if serial as u32 > MAX_SERIAL {
                self.left_out.push((track, position));
            } else {
                self.serials[place as usize] = serial as u8;
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
