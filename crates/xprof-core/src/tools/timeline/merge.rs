//! What of a row can be told apart on a screen: events shorter than a part of the window are merged with their neighbours.
//!
//! Takes events in the order of their begins, gives boxes: single events, and groups of short ones that know how many they
//! are and how long they take together.
//! It must not lose an event: the counts of the boxes add up.

use crate::prep::mix::mix;

/// A group of merged events is at most so many parts long, so that the texture of a busy row stays visible.
const MAX_PARTS: u64 = 2;

/// One event, or several that cannot be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Box {
    /// Lane.
    pub lane: u8,
    /// Begin of the first event.
    pub begin_ps: u64,
    /// End of the last event.
    pub end_ps: u64,
    /// How many events.
    pub count: u32,
    /// How long they take together.
    pub busy_ps: u64,
    /// Place on the row of the event that gives the box its name and colour: the only one, or one of the group.
    pub shown: u32,
}

impl Box {
    /// How much of the box is covered, 255 for all of it.
    pub fn coverage(&self) -> u8 {
        let length_ps = self.end_ps.saturating_sub(self.begin_ps);
        if self.count == 1 || self.busy_ps >= length_ps {
            return u8::MAX;
        }
        (self.busy_ps as f64 / length_ps as f64 * f64::from(u8::MAX)).round().max(1.0) as u8
    }
}

/// Merges the events of one row.
pub struct Merger {
    part_ps: u64,
    /// The group of each lane that may still grow.
    open: Vec<Option<Box>>,
    boxes: Vec<Box>,
}

impl Merger {
    /// Events shorter than `part_ps` are merged; with 0 none are.
    pub fn new(part_ps: u64) -> Self {
        Self { part_ps, open: Vec::new(), boxes: Vec::new() }
    }

    /// Adds the next event.
    #[inline]
    pub fn add(&mut self, position: u32, lane: u8, begin_ps: u64, duration_ps: u64) {
        let end_ps = begin_ps.saturating_add(duration_ps);
        let one = Box { lane, begin_ps, end_ps, count: 1, busy_ps: duration_ps, shown: position };
        let at = usize::from(lane);
        if at >= self.open.len() {
            self.open.resize(at + 1, None);
        }
        if duration_ps >= self.part_ps {
            self.boxes.extend(self.open[at].take());
            self.boxes.push(one);
            return;
        }
        match &mut self.open[at] {
            Some(group)
                if begin_ps.saturating_sub(group.end_ps) < self.part_ps
                    && end_ps.saturating_sub(group.begin_ps) <= MAX_PARTS.saturating_mul(self.part_ps) =>
            {
                group.end_ps = group.end_ps.max(end_ps);
                group.count += 1;
                group.busy_ps += duration_ps;
                if stands_for(position, duration_ps, group.busy_ps) {
                    group.shown = position;
                }
            }
            open => self.boxes.extend(open.replace(one)),
        }
    }

    /// All boxes by begin; of equal begins the lower lane first.
    pub fn finish(mut self) -> Vec<Box> {
        self.boxes.extend(self.open.into_iter().flatten());
        self.boxes.sort_unstable_by_key(|b| (b.begin_ps, b.lane, b.shown));
        self.boxes
    }
}

/// Whether an event takes the place of the one that stood for its group, which is `busy_ps` long with it. Chances are as its
/// share of the time, so that the colours of many groups side by side show where the time goes; equal traces are shown
/// equally.
fn stands_for(position: u32, duration_ps: u64, busy_ps: u64) -> bool {
    let chance = mix(u64::from(position)) >> 32;
    u128::from(chance) * u128::from(busy_ps) < u128::from(duration_ps) << 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn merge(part_ps: u64, events: &[(u8, u64, u64)]) -> Vec<Box> {
        let mut merger = Merger::new(part_ps);
        for (i, &(lane, begin, duration)) in events.iter().enumerate() {
            merger.add(i as u32, lane, begin, duration);
        }
        merger.finish()
    }

    #[test]
    fn merges_only_what_is_short_and_near() {
        let events = [(0, 0, 100), (1, 5, 2), (1, 8, 3), (1, 40, 1), (0, 100, 3), (0, 103, 20), (0, 130, 1)];
        let shown: Vec<_> = merge(10, &events).iter().map(|b| (b.lane, b.begin_ps, b.end_ps, b.count)).collect();
        assert_eq!(
            shown,
            [(0, 0, 100, 1), (1, 5, 11, 2), (1, 40, 41, 1), (0, 100, 103, 1), (0, 103, 123, 1), (0, 130, 131, 1)]
        );
        assert_eq!(merge(0, &events).len(), events.len());
        assert_eq!(merge(10, &events)[1].coverage(), 213);
    }

    #[test]
    fn events_stand_for_groups_as_often_as_they_take_time() {
        // Groups of one event of 3 ps and three of 1 ps.
        let events: Vec<_> =
            (0..8000u64).map(|i| (0, i / 4 * 100 + i % 4 * 4, if i % 4 == 1 { 3 } else { 1 })).collect();
        let boxes = merge(20, &events);
        assert_eq!(boxes.len(), 2000);
        let long = boxes.iter().filter(|b| b.shown % 4 == 1).count();
        assert!((900..1100).contains(&long), "{long} of 2000");
    }

    proptest! {
        #[test]
        fn no_event_is_lost_and_no_box_is_too_long(
            part_ps in 0u64..40, gaps in prop::collection::vec((0u8..3, 0u64..30, 0u64..60), 0..80),
        ) {
            let mut begin = 0;
            let events: Vec<_> = gaps.into_iter().map(|(lane, gap, duration)| { begin += gap; (lane, begin, duration) }).collect();
            let boxes = merge(part_ps, &events);
            prop_assert_eq!(boxes.iter().map(|b| b.count as usize).sum::<usize>(), events.len());
            prop_assert_eq!(boxes.iter().map(|b| b.busy_ps).sum::<u64>(), events.iter().map(|e| e.2).sum::<u64>());
            prop_assert!(boxes.is_sorted_by_key(|b| b.begin_ps));
            for b in boxes {
                prop_assert!(b.count == 1 || b.end_ps - b.begin_ps <= MAX_PARTS * part_ps);
            }
        }
    }
}
