//! When a core works: spans of events that are on duty, without the spans of events within.

use super::ancestors::Ancestors;

/// A set of points in time, as spans in no particular order until [`Spans::normalize`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans {
    /// Begin and end of each.
    parts: Vec<(u64, u64)>,
}

impl Spans {
    /// Adds a span; one that does not end after its begin is ignored.
    #[inline]
    pub fn add(&mut self, begin_ps: u64, end_ps: u64) {
        if end_ps <= begin_ps {
            return;
        }
        // Events come nearly sorted, so most spans continue the last one and the list stays short.
        if let Some(last) = self.parts.last_mut()
            && last.0 <= begin_ps
            && begin_ps <= last.1
        {
            last.1 = last.1.max(end_ps);
            return;
        }
        self.parts.push((begin_ps, end_ps));
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: &Self) {
        for &(begin, end) in &other.parts {
            self.add(begin, end);
        }
    }

    /// Adds all of another set, which is not needed any more.
    pub fn append(&mut self, other: Self) {
        if self.parts.is_empty() {
            *self = other;
        } else {
            self.extend(&other);
        }
    }

    /// Sorts the spans and unites those that overlap or touch.
    pub fn normalize(&mut self) {
        if !self.parts.is_sorted() {
            self.parts.sort_unstable();
        }
        self.parts.dedup_by(|part, before| {
            let touches = part.0 <= before.1;
            if touches {
                before.1 = before.1.max(part.1);
            }
            touches
        });
    }

    /// How long the spans of a normalized set are.
    pub fn duration_ps(&self) -> u64 {
        self.parts.iter().fold(0, |sum, (begin, end)| sum.wrapping_add(end - begin))
    }

    /// How long the spans of a normalized set are within a window.
    pub fn within_ps(&self, begin_ps: u64, end_ps: u64) -> u64 {
        let from = self.parts.partition_point(|part| part.1 <= begin_ps);
        let inside = self.parts.iter().skip(from).take_while(|part| part.0 < end_ps);
        inside.fold(0, |sum, part| sum.wrapping_add(part.1.min(end_ps) - part.0.max(begin_ps)))
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// Whether an event is work, and whether that is sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnDuty {
    /// It is.
    pub probably: bool,
    /// It is for sure.
    pub surely: bool,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    /// Up to where the event's time is accounted for.
    done_ps: u64,
    duty: OnDuty,
}

/// Collects the exclusive spans of a line's events.
#[derive(Debug, Default)]
pub struct ActiveSpans {
    open: Ancestors<Open>,
    /// Time of events that are on duty.
    pub probable: Spans,
    /// Time of events that are on duty for sure.
    pub sure: Spans,
}

impl ActiveSpans {
    /// Takes the next event of the line, which must be sorted.
    #[inline]
    pub fn event(&mut self, begin_ps: u64, end_ps: u64, duty: OnDuty) {
        let Self { open, probable, sure } = self;
        let parent = open.enter(begin_ps, end_ps, |item| {
            account(probable, sure, &item.payload, item.end_ps);
        });
        if let Some(parent) = parent {
            account(probable, sure, &parent.payload, begin_ps);
            parent.payload.done_ps = parent.payload.done_ps.max(end_ps);
        }
        open.push(begin_ps, end_ps, Open { done_ps: begin_ps, duty });
    }

    /// Accounts for what is left at the end of the line.
    pub fn finish(&mut self) {
        let Self { open, probable, sure } = self;
        open.flush(|item| account(probable, sure, &item.payload, item.end_ps));
    }

    /// Whether an event would be within an earlier one.
    pub fn would_nest(&self, begin_ps: u64, end_ps: u64) -> bool {
        self.open.would_nest(begin_ps, end_ps)
    }
}

#[inline]
fn account(probable: &mut Spans, sure: &mut Spans, open: &Open, until_ps: u64) {
    if open.duty.probably {
        probable.add(open.done_ps, until_ps);
    }
    if open.duty.surely {
        sure.add(open.done_ps, until_ps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: OnDuty = OnDuty { probably: true, surely: true };
    const OFF: OnDuty = OnDuty { probably: false, surely: false };
    const UNSURE: OnDuty = OnDuty { probably: true, surely: false };

    fn check(events: &[(u64, u64, OnDuty)], probable_ps: u64, sure_ps: u64) {
        let mut spans = ActiveSpans::default();
        for &(begin, duration, duty) in events {
            spans.event(begin, begin + duration, duty);
        }
        spans.finish();
        spans.probable.normalize();
        spans.sure.normalize();
        assert_eq!((spans.probable.duration_ps(), spans.sure.duration_ps()), (probable_ps, sure_ps), "{events:?}");
    }

    #[test]
    fn duty_cycle_examples() {
        check(&[(1000, 1000, UNSURE)], 1000, 0);
        check(&[(1000, 1000, ON)], 1000, 1000);
        check(&[(1000, 1000, UNSURE), (1100, 100, OFF)], 900, 0);
        check(&[(1000, 1000, ON), (1100, 100, UNSURE)], 1000, 900);
        check(&[(1000, 1000, OFF), (1100, 100, ON)], 100, 100);
    }

    #[test]
    fn overlapping_siblings_count_once() {
        check(&[(0, 10, ON), (5, 10, ON)], 15, 15);
        check(&[(0, 10, OFF), (2, 6, ON), (5, 10, ON)], 13, 13);
    }

    #[test]
    fn windows_cut_spans() {
        let mut spans = Spans::default();
        for (begin, end) in [(50, 60), (0, 10), (8, 20)] {
            spans.add(begin, end);
        }
        spans.normalize();
        for (begin, end, expect) in [(0, 100, 30), (5, 55, 20), (20, 50, 0), (15, 15, 0), (60, 70, 0)] {
            assert_eq!(spans.within_ps(begin, end), expect, "{begin}..{end}");
        }
    }
}
