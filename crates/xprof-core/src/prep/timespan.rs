//! Spans of time in picoseconds.

use crate::xspace::{Event, StatKind, StatValue};

/// A begin and a duration. The empty span is the one with both zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Timespan {
    /// Begin.
    pub begin_ps: u64,
    /// Duration.
    pub duration_ps: u64,
}

impl Timespan {
    /// A span of that begin and duration.
    pub fn new(begin_ps: u64, duration_ps: u64) -> Self {
        Self { begin_ps, duration_ps }
    }

    /// A span between two points; of duration 0 if they are in the wrong order.
    pub fn between(begin_ps: u64, end_ps: u64) -> Self {
        Self { begin_ps, duration_ps: end_ps.saturating_sub(begin_ps) }
    }

    /// The end, with 64-bit wrap-around.
    pub fn end_ps(self) -> u64 {
        self.begin_ps.wrapping_add(self.duration_ps)
    }

    /// Whether begin and duration are 0.
    pub fn is_empty(self) -> bool {
        self.begin_ps == 0 && self.duration_ps == 0
    }

    /// Whether `other` lies inside, touching ends included.
    pub fn includes(self, other: Self) -> bool {
        self.begin_ps <= other.begin_ps && other.end_ps() <= self.end_ps()
    }

    /// Whether the point lies inside, ends included.
    pub fn includes_point(self, ps: u64) -> bool {
        self.begin_ps <= ps && ps <= self.end_ps()
    }

    /// Whether the two share a point; touching spans do (`parity:` both ends count).
    pub fn overlaps(self, other: Self) -> bool {
        self.begin_ps <= other.end_ps() && other.begin_ps <= self.end_ps()
    }

    /// How long the two overlap, 0 if they do not.
    pub fn overlapped_ps(self, other: Self) -> u64 {
        if self.overlaps(other) { self.end_ps().min(other.end_ps()) - self.begin_ps.max(other.begin_ps) } else { 0 }
    }

    /// Grows to include `other`; an empty `other` changes nothing, an empty self becomes `other`.
    pub fn expand_to_include(&mut self, other: Self) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = other;
            return;
        }
        *self = Self::between(self.begin_ps.min(other.begin_ps), self.end_ps().max(other.end_ps()));
    }

    /// Sort key: begin ascending, then duration descending.
    pub fn order(self) -> (u64, std::cmp::Reverse<u64>) {
        (self.begin_ps, std::cmp::Reverse(self.duration_ps))
    }
}

/// The span of an event by the device's clock, where that is known.
pub fn device_span(event: &Event<'_>) -> Timespan {
    let stat = |kind| event.stat(kind).map(StatValue::int_or_uint);
    match (stat(StatKind::DeviceOffsetPs), stat(StatKind::DeviceDurationPs)) {
        (Some(offset_ps), Some(duration_ps)) => Timespan::new(offset_ps, duration_ps),
        _ => Timespan::new(event.begin_ps(), event.duration_ps()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_spans_overlap_by_nothing() {
        let (a, b) = (Timespan::new(0, 10), Timespan::new(10, 5));
        assert!(a.overlaps(b) && a.overlapped_ps(b) == 0);
        assert!(!a.overlaps(Timespan::new(11, 1)));
        let mut hull = Timespan::default();
        hull.expand_to_include(b);
        hull.expand_to_include(Timespan::default());
        assert_eq!(hull, b);
        hull.expand_to_include(a);
        assert_eq!(hull, Timespan::new(0, 15));
        assert!(hull.includes(a) && hull.includes(b) && !a.includes(b));
    }
}
