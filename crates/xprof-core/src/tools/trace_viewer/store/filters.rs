//! The thinning filters of all levels over one track, from 1 s to 10 ps.
//!
//! Takes events in order, says which is the first filter that admits each; every finer filter is made to take it as well.
//! It must not know flows: who decides by flows asks with a closure.
//!
//! Filters do not depend on finer ones, so there may be fewer: those of the levels below some `end`. What none of them admits
//! has the last level.
//!
//! Most neighbouring filters have taken the same events and so are in the same state, so the filters of a thread are kept
//! as groups of equal state: an event costs as many looks as there are different states above its own level, not twelve.
//! Most events pass them all: for those one look is enough, because the filters say in advance when none will admit.

use std::ops::Range;

use crate::tools::trace_viewer::thinning::{Ends, LAST_LEVEL, N_RESOLUTIONS, level_of_length, resolution_ps};

/// All filters of one counter or of one name of async events: the begin that each has taken last.
#[derive(Debug)]
pub struct RowFilters {
    last_ps: [Option<u64>; N_RESOLUTIONS],
    end: u8,
}

impl RowFilters {
    /// Filters of the levels below `end` that have seen nothing.
    pub fn new(end: u8) -> Self {
        Self { last_ps: [None; N_RESOLUTIONS], end }
    }

    /// The first filter that admits an event of that begin, or `forced` if that is given; it and all finer ones take it.
    #[inline]
    pub fn take(&mut self, begin_ps: u64, forced: Option<u8>) -> u8 {
        let admits = |(level, last): (usize, &Option<u64>)| {
            last.is_none_or(|last| level_of_length(begin_ps.wrapping_sub(last)) <= level as u8)
        };
        let level = forced.unwrap_or_else(|| {
            let filters = self.last_ps.iter().take(self.end.into());
            filters.enumerate().position(admits).map_or(LAST_LEVEL, |level| level as u8)
        });
        if let Some(taking) = self.last_ps.get_mut(usize::from(level)..) {
            taking.fill(Some(begin_ps));
        }
        level
    }
}

/// All filters of one thread, coarse to fine, as groups of neighbours in equal state.
#[derive(Debug)]
pub struct Filters {
    groups: [Group; N_RESOLUTIONS],
    n_groups: usize,
    end: u8,
    /// Events that begin in it are admitted by their length or not at all.
    quiet: Range<u64>,
    /// Events that are shorter are not admitted for their length.
    short_ps: u64,
}

/// Filters in equal state: those from `first` to the next group's first.
#[derive(Debug, Default)]
struct Group {
    first: u8,
    ends: Ends,
}

impl Filters {
    /// Filters of the levels below `end` that have seen nothing.
    pub fn new(end: u8) -> Self {
        let short_ps = end.checked_sub(1).map_or(u64::MAX, resolution_ps);
        Self { groups: Default::default(), n_groups: 1, end, quiet: 0..0, short_ps }
    }

    /// The first filter that admits an event without flow; it and all finer ones take it.
    #[inline]
    pub fn admit(&mut self, begin_ps: u64, duration_ps: u64) -> u8 {
        if duration_ps < self.short_ps && self.quiet.contains(&begin_ps) {
            return LAST_LEVEL;
        }
        let level = self.admit_if(begin_ps, duration_ps, |_| false);
        self.find_quiet();
        level
    }

    /// As [`Filters::admit`], but where neither length nor gap is enough, `or_else` is asked with the level.
    /// It is asked coarse to fine, and no more once it said yes.
    #[inline]
    pub fn admit_if(&mut self, begin_ps: u64, duration_ps: u64, mut or_else: impl FnMut(u8) -> bool) -> u8 {
        let by_length = level_of_length(duration_ps);
        for i in 0..self.n_groups {
            let next_first = self.next_first(i);
            let group = &mut self.groups[i];
            let by_gap = group.ends.gap(begin_ps).map_or(0, level_of_length);
            let far_or_long = by_gap.min(by_length).clamp(group.first, next_first);
            let level = (group.first..far_or_long).find(|&level| or_else(level)).unwrap_or(far_or_long);
            if level < next_first {
                self.take(i, level, begin_ps, begin_ps.wrapping_add(duration_ps));
                return level;
            }
        }
        LAST_LEVEL
    }

    /// Makes all filters from `level` on take an event.
    pub fn force(&mut self, begin_ps: u64, duration_ps: u64, level: u8) -> u8 {
        if level < self.end {
            let group = (0..self.n_groups).rfind(|&i| self.groups[i].first <= level).unwrap_or(0);
            self.take(group, level, begin_ps, begin_ps.wrapping_add(duration_ps));
            self.find_quiet();
        }
        level
    }

    fn next_first(&self, group: usize) -> u8 {
        if group + 1 < self.n_groups { self.groups[group + 1].first } else { self.end }
    }

    /// The filters from `level` on, the first of which is in group `i`, take an event.
    #[inline]
    fn take(&mut self, mut i: usize, level: u8, begin_ps: u64, end_ps: u64) {
        if self.groups[i].first < level {
            self.split(i, level);
            i += 1;
        }
        self.groups[i].ends.push(begin_ps, end_ps);
        // A coarser filter that took the same event last may still remember other parents, so states are compared.
        let mut kept = i;
        for j in i + 1..self.n_groups {
            self.groups[j].ends.push(begin_ps, end_ps);
            if self.groups[j].ends != self.groups[kept].ends {
                kept += 1;
                self.groups.swap(kept, j);
            }
        }
        self.n_groups = kept + 1;
    }

    /// Finds when no filter admits a short event: as long as each has a sibling that is too near.
    fn find_quiet(&mut self) {
        let near = |i: usize| {
            let finest = self.next_first(i).checked_sub(1)?;
            Some(self.groups[i].ends.near(resolution_ps(finest)))
        };
        let both = |a: Range<u64>, b: Range<u64>| a.start.max(b.start)..a.end.min(b.end);
        self.quiet = (0..self.n_groups).filter_map(near).fold(0..u64::MAX, both);
    }

    /// Parts group `i` in two; the second begins at `level`.
    fn split(&mut self, i: usize, level: u8) {
        // There are at most as many groups as filters, so there is an unused one behind the last.
        self.groups[i + 1..=self.n_groups].rotate_right(1);
        self.n_groups += 1;
        let (before, after) = self.groups.split_at_mut(i + 1);
        after[0].first = level;
        after[0].ends.copy_from(&before[i].ends);
    }
}
