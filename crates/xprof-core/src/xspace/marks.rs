//! One bit per event: whether it has a stat of one of the few kinds that link or group events.
//!
//! Most events of a line have none, so whoever looks for links skips them without decoding their stats.

use std::ops::Range;

use super::schema::StatKind;

/// The kinds that set an event's mark.
const MARKING: [StatKind; 8] = [
    StatKind::Flow,
    StatKind::CorrelationId,
    StatKind::ProducerType,
    StatKind::ProducerId,
    StatKind::ConsumerType,
    StatKind::ConsumerId,
    StatKind::RootLevel,
    StatKind::IsAsync,
];

/// The marks of one line's events.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<u64>);

/// How many events one word holds.
pub(super) const MARKS_PER_WORD: usize = 64;

impl Marks {
    /// Whether stats of that kind set marks.
    #[inline]
    pub(super) fn is_marking(kind: StatKind) -> bool {
        const SET: [bool; 256] = {
            let (mut set, mut i) = ([false; 256], 0);
            while i < MARKING.len() {
                set[MARKING[i] as usize] = true;
                i += 1;
            }
            set
        };
        SET[kind as usize]
    }

    /// No marks on that many events.
    pub(super) fn none(n_events: usize) -> Self {
        Self(vec![0; n_events.div_ceil(MARKS_PER_WORD)])
    }

    /// The words, to be filled in pieces that begin at whole words.
    pub(super) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }

    #[inline]
    pub(super) fn get(&self, event: usize) -> bool {
        self.0.get(event / MARKS_PER_WORD).is_some_and(|word| word >> (event % MARKS_PER_WORD) & 1 == 1)
    }

    /// Sets a mark; events that were pushed later than the words were made get words here.
    pub(super) fn set(&mut self, event: usize) {
        let word = event / MARKS_PER_WORD;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (event % MARKS_PER_WORD);
    }

    /// Rearranges: the new event at place `i` is the old one at `order[i]`.
    pub(super) fn permute(&mut self, order: &[u32]) {
        let mut new = Self::none(order.len());
        for (i, &old) in order.iter().enumerate() {
            if self.get(old as usize) {
                new.set(i);
            }
        }
        *self = new;
    }

    /// The marked events in a range, ascending.
    pub(super) fn iter(&self, range: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let words = range.start / MARKS_PER_WORD..range.end.div_ceil(MARKS_PER_WORD).min(self.0.len());
        let of_word = |word: usize| {
            let bits = self.0[word];
            std::iter::successors((bits != 0).then_some(bits), |bits| Some(bits & (bits - 1)).filter(|&b| b != 0))
                .map(move |bits| word * MARKS_PER_WORD + bits.trailing_zeros() as usize)
        };
        words
            .flat_map(of_word)
            .skip_while(move |&event| event < range.start)
            .take_while(move |&event| event < range.end)
    }

    pub(super) fn weight(&self) -> usize {
        self.0.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_marks_through_growth_and_order() {
        let mut marks = Marks::none(3);
        for event in [0, 2, 63, 64, 130] {
            marks.set(event);
        }
        assert_eq!(marks.iter(0..1000).collect::<Vec<_>>(), [0, 2, 63, 64, 130]);
        assert_eq!(marks.iter(1..64).collect::<Vec<_>>(), [2, 63]);
        assert_eq!(marks.iter(64..130).collect::<Vec<_>>(), [64]);
        assert_eq!(marks.iter(140..900).count() + marks.iter(900..1000).count(), 0);
        assert!(!marks.get(1) && !marks.get(1000));
        marks.permute(&[130, 1, 2]);
        assert_eq!(marks.iter(0..3).collect::<Vec<_>>(), [0, 2]);
        assert!(Marks::is_marking(StatKind::Flow) && !Marks::is_marking(StatKind::GroupId));
    }
}
