//! Lanes: where within its row an event is drawn, so that none covers another.
//!
//! Takes the events of a row by begin, gives each the first lane that is free. Of nested events that is the depth.
//! It must not change with the window: an event stays where it is however one zooms.

/// Lanes of a row at most; what finds none free goes to the last one.
pub const MAX_LANES: usize = 64;
/// Events per block of [`Lanes::before`].
const BLOCK: usize = if cfg!(test) { 4 } else { 256 };

/// The lanes of the events of one row.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lanes {
    by_event: Vec<u8>,
    /// Per block of events, which lanes occur in it, one bit each.
    in_block: Vec<u64>,
}

impl Lanes {
    /// Places events, given as (begin, duration) by begin.
    pub fn of(events: impl ExactSizeIterator<Item = (u64, u64)>) -> Self {
        let mut lanes = Self { by_event: Vec::with_capacity(events.len()), in_block: Vec::new() };
        let mut ends: Vec<u64> = Vec::new();
        for (i, (begin_ps, duration_ps)) in events.enumerate() {
            let free = ends.iter().position(|&end| end <= begin_ps).unwrap_or(ends.len());
            let lane = free.min(MAX_LANES - 1);
            let end_ps = begin_ps.saturating_add(duration_ps);
            match ends.get_mut(lane) {
                Some(end) => *end = end_ps,
                None => ends.push(end_ps),
            }
            lanes.by_event.push(lane as u8);
            match lanes.in_block.last_mut() {
                Some(mask) if i % BLOCK != 0 => *mask |= 1 << lane,
                _ => lanes.in_block.push(1 << lane),
            }
        }
        lanes
    }

    /// The lane of an event.
    #[inline]
    pub fn at(&self, event: usize) -> u8 {
        self.by_event.get(event).copied().unwrap_or(0)
    }

    /// How many lanes the row has, whatever the window.
    pub fn n_lanes(&self) -> u32 {
        u64::BITS - self.in_block.iter().fold(0, |all, mask| all | mask).leading_zeros()
    }

    /// Of the events before `first`, the last one of each lane, ascending: what may still be running when `first` begins.
    pub fn before(&self, first: usize) -> Vec<usize> {
        let first = first.min(self.by_event.len());
        let mut missing = self.in_block[..first.div_ceil(BLOCK)].iter().fold(0, |all, mask| all | mask);
        let mut found = Vec::new();
        for block in (0..first.div_ceil(BLOCK)).rev() {
            if missing == 0 {
                break;
            }
            if self.in_block[block] & missing == 0 {
                continue;
            }
            for event in (block * BLOCK..first.min((block + 1) * BLOCK)).rev() {
                let bit = 1 << self.by_event[event];
                if missing & bit != 0 {
                    missing &= !bit;
                    found.push(event);
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// Bytes of memory held.
    pub fn weight(&self) -> usize {
        self.by_event.capacity() + self.in_block.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nested_events_lie_at_their_depth() {
        // 0 ████████████████ then 0 again; a child, its child, a second child.
        let events = [(0, 100), (0, 40), (10, 20), (40, 60), (100, 5)];
        let lanes = Lanes::of(events.into_iter());
        assert_eq!(lanes.by_event, [0, 1, 2, 1, 0]);
        assert_eq!((lanes.n_lanes(), Lanes::default().n_lanes()), (3, 0));
        assert_eq!(lanes.before(4), [0, 2, 3]);
        assert_eq!((lanes.before(1), lanes.before(0), lanes.before(99)), (vec![0], vec![], vec![2, 3, 4]));
    }

    #[test]
    fn too_many_at_once_share_the_last_lane() {
        let lanes = Lanes::of((0..100u32).map(|i| (u64::from(i), 1000)));
        assert_eq!((lanes.n_lanes() as usize, lanes.at(99) as usize), (MAX_LANES, MAX_LANES - 1));
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_all_open_events_are_found(
            mut events in prop::collection::vec((0u64..200, 0u64..50), 0..60), first in 0usize..60,
        ) {
            events.sort_by_key(|&(begin, duration)| (begin, std::cmp::Reverse(duration)));
            let lanes = Lanes::of(events.iter().copied());
            for (i, &(begin, _)) in events.iter().enumerate() {
                for (j, &(earlier, duration)) in events[..i].iter().enumerate() {
                    prop_assert!(lanes.at(i) != lanes.at(j) || earlier + duration <= begin, "{i} covers {j}");
                }
            }
            let first = first.min(events.len());
            let from = events.get(first).map_or(u64::MAX, |&(begin, _)| begin);
            let open = lanes.before(first);
            for (i, &(begin, duration)) in events[..first].iter().enumerate() {
                prop_assert!(begin + duration <= from || open.contains(&i));
            }
        }
    }
}
