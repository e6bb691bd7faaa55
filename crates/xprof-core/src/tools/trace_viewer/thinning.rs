//! The thinning filter: which events of a row can be told apart at a resolution.
//!
//! Takes events in the global order (begin up, duration down, then row) one by one, answers whether each is admitted.
//! The same rules serve two masters: which level of detail an event belongs to, and what a window query returns.
//! It must not know where events come from.
//!
//! An event is admitted when it is long enough to be seen, when it is the first inside its parent, or when it begins far
//! enough behind the sibling admitted before it. The two ends of a flow stand or fall together.

use std::ops::Range;

/// How many levels have a resolution; one level more holds the rest.
pub const N_RESOLUTIONS: usize = 12;

/// The level of the events that no resolution admits.
pub const LAST_LEVEL: u8 = N_RESOLUTIONS as u8;

/// The direction of a flow's last event.
pub const DIRECTION_IN: u8 = 1;

/// The resolution of a level in picoseconds: 1 s, 100 ms, … down to 1 ps, which is also that of the last level.
#[inline]
pub fn resolution_ps(level: u8) -> u64 {
    const RESOLUTIONS: [u64; N_RESOLUTIONS + 1] = {
        let (mut all, mut level) = ([1; N_RESOLUTIONS + 1], N_RESOLUTIONS);
        while level > 0 {
            all[level - 1] = all[level] * 10;
            level -= 1;
        }
        all
    };
    RESOLUTIONS[usize::from(level.min(LAST_LEVEL))]
}

/// The coarsest level whose resolution is not above `length_ps`; the last level if none with a filter is.
#[inline]
pub fn level_of_length(length_ps: u64) -> u8 {
    LAST_LEVEL - length_ps.checked_ilog10().unwrap_or(0).min(N_RESOLUTIONS as u32) as u8
}

/// The ends of the admitted events that may still enclose the next one.
///
/// The reference keeps a stack of ends and looks for the least depth whose end is not after the next begin. Only the
/// minimum of the ends up to each depth matters for that, and whatever lies above the depth found is never looked at
/// again because begins do not go back. So this stack holds those minima, and looking may shorten it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends(Vec<u64>);

impl Ends {
    /// How far `begin_ps` is behind the sibling admitted before it; `None` if there is no sibling.
    #[inline]
    pub fn gap(&mut self, begin_ps: u64) -> Option<u64> {
        let mut n = self.0.len();
        while n >= 2 && self.0[n - 2] <= begin_ps {
            n -= 1;
        }
        self.0.truncate(n);
        self.0.last().filter(|&&end| end <= begin_ps).map(|end| begin_ps - end)
    }

    /// Takes an admitted event, which must not begin before the last one asked about.
    #[inline]
    pub fn push(&mut self, begin_ps: u64, end_ps: u64) {
        if self.gap(begin_ps).is_some() {
            self.0.pop();
        }
        let end = self.0.last().map_or(end_ps, |&below| end_ps.min(below));
        self.0.push(end);
    }

    /// The begins that are less than `length_ps` behind the sibling admitted before them.
    pub fn near(&self, length_ps: u64) -> Range<u64> {
        match self.0[..] {
            [] => 0..0,
            [end] => end..end.saturating_add(length_ps),
            [.., parent, end] => end..end.saturating_add(length_ps).min(parent),
        }
    }

    /// Becomes equal to `other`, in the memory it has.
    pub fn copy_from(&mut self, other: &Self) {
        self.0.clone_from(&other.0);
    }
}

/// What a filter remembers of one thread.
#[derive(Debug, Clone, Default)]
pub struct Thread {
    ends: Ends,
    last_arrow_ps: Option<u64>,
}

/// What a filter remembers of one row of counter samples or async events: the begin of the last admitted one.
pub type Row = Option<u64>;

impl Thread {
    /// Whether the filter of that resolution admits a slice without a flow; if so, it is remembered.
    #[inline]
    pub fn admit(&mut self, begin_ps: u64, duration_ps: u64, resolution_ps: u64) -> bool {
        let ok = self.is_visible(begin_ps, duration_ps, resolution_ps);
        if ok {
            self.ends.push(begin_ps, begin_ps.wrapping_add(duration_ps));
        }
        ok
    }

    /// As [`Thread::admit`], for a slice (begin, duration) with a flow: it is also admitted if the filter decided so about
    /// the flow. The first slice of a flow makes the decision; after the last one, the caller is to forget it.
    #[inline]
    pub fn admit_flow(
        &mut self,
        (begin_ps, duration_ps): (u64, u64),
        resolution_ps: u64,
        decision: &mut Option<bool>,
    ) -> bool {
        let end_ps = begin_ps.wrapping_add(duration_ps);
        let last_arrow_ps = self.last_arrow_ps;
        let far = || last_arrow_ps.is_none_or(|last| end_ps.wrapping_sub(last) >= resolution_ps);
        let visible = self.is_visible(begin_ps, duration_ps, resolution_ps);
        let ok = *decision.get_or_insert_with(|| visible || far()) || visible;
        if ok {
            self.last_arrow_ps = Some(end_ps);
            self.ends.push(begin_ps, end_ps);
        }
        ok
    }

    #[inline]
    fn is_visible(&mut self, begin_ps: u64, duration_ps: u64, resolution_ps: u64) -> bool {
        duration_ps >= resolution_ps || self.ends.gap(begin_ps).is_none_or(|gap_ps| gap_ps >= resolution_ps)
    }
}

/// Whether the filter of that resolution admits a counter sample or an async event; if so, it is remembered.
#[inline]
pub fn admit_in_row(row: &mut Row, begin_ps: u64, resolution_ps: u64) -> bool {
    let ok = row.is_none_or(|last| begin_ps.wrapping_sub(last) >= resolution_ps);
    if ok {
        *row = Some(begin_ps);
    }
    ok
}
