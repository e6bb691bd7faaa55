//! Finds the steps that all hosts have in common.
//!
//! Takes the times of the steps of each host that takes part and gives, for each, where its share of the common steps
//! begins.
//! Hosts number their steps independently, so steps are matched by time; it must not look at step numbers or names.
//!
//! ```text
//! chief   |--0--|--1--|--2--|
//! host  |0|--1--|--2--|--3--|--4--|      offset of the chief's index from the host's: -1; three steps in common
//! ```

use xprof_proto::tensorflow::profiler::PerCoreStepInfo;

/// The steps in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepIntersection {
    /// How many there are.
    pub n_steps: usize,
    /// For each host, the index of its first common step.
    pub first_step_idx: Vec<usize>,
    /// Whether the hosts have steps that exclude each other.
    /// `parity:` false if there is no common step because a host has none at all.
    pub is_contradiction: bool,
}

/// A stretch of time of a step or of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    begin_ps: u64,
    duration_ps: u64,
}

/// Intersects the step sequences of several hosts.
pub fn intersect(hosts: &[&[Span]]) -> StepIntersection {
    // The host that saw the least decides; of equal ones the first (`parity:` the reference leaves that to hashing).
    let Some(chief) = hosts.iter().min_by_key(|steps| hull(steps.iter().copied()).duration_ps) else {
        return StepIntersection::default();
    };
    let alignments: Vec<Alignment> = hosts.iter().map(|steps| Alignment::best(steps, chief)).collect();
    let begin = alignments.iter().map(|a| a.begin_chief).max().unwrap_or(0);
    let end = alignments.iter().map(|a| a.begin_chief + a.count).min().unwrap_or(0);
    if chief.is_empty() || begin >= end {
        let is_contradiction = !chief.is_empty() && begin > end;
        return StepIntersection { n_steps: 0, first_step_idx: vec![0; hosts.len()], is_contradiction };
    }
    StepIntersection {
        n_steps: end - begin,
        first_step_idx: alignments.iter().map(|a| a.begin_host + begin - a.begin_chief).collect(),
        is_contradiction: false,
    }
}

/// Which steps of a host go with which steps of the chief.
#[derive(Debug, Clone, Copy)]
pub struct Alignment {
    /// The host's first step that has a partner.
    pub begin_host: usize,
    /// The chief's.
    pub begin_chief: usize,
    /// How many steps have one.
    pub count: usize,
}

impl Alignment {
    /// The chief's step beside a step of the host, or where it would be.
    pub fn chief_of(self, host_step_idx: usize) -> Option<usize> {
        (host_step_idx + self.begin_chief).checked_sub(self.begin_host)
    }

    /// The alignment under which paired steps overlap the most.
    pub fn best(host: &[Span], chief: &[Span]) -> Self {
        if host.is_empty() || chief.is_empty() {
            return Self { begin_host: 0, begin_chief: 0, count: 0 };
        }
        // overlaps[i] belongs to the offset i - (n - 1) of the chief's index from the host's.
        let n_negative = host.len() - 1;
        let mut overlaps = vec![0_u64; n_negative + chief.len()];
        let (mut i, mut j) = (0, 0);
        while i < chief.len() && j < host.len() {
            let (a, b) = (chief[i], host[j]);
            let overlap = if a.duration_ps == 0 || b.duration_ps == 0 { 0 } else { a.overlap(b) };
            let sum = &mut overlaps[i + n_negative - j];
            *sum = sum.saturating_add(overlap);
            i += usize::from(a.end() <= b.end());
            j += usize::from(b.end() <= a.end());
        }
        // Offsets in this order: 0, 1, …, then -1, -2, …; the first of equally good ones wins.
        let offsets = (n_negative..overlaps.len()).chain((0..n_negative).rev());
        let best = offsets.reduce(|best, i| if overlaps[i] > overlaps[best] { i } else { best }).unwrap_or(n_negative);
        let begin_host = n_negative.saturating_sub(best);
        let begin_chief = best.saturating_sub(n_negative);
        Self { begin_host, begin_chief, count: (host.len() - begin_host).min(chief.len() - begin_chief) }
    }
}

impl Span {
    fn end(self) -> u64 {
        self.begin_ps.saturating_add(self.duration_ps)
    }

    fn overlap(self, other: Self) -> u64 {
        self.end().min(other.end()).saturating_sub(self.begin_ps.max(other.begin_ps))
    }
}

/// The time from the first begin to the last end over all cores.
pub fn step_span(step: &PerCoreStepInfo) -> Span {
    hull(step.step_info_per_core.values().map(|s| Span { begin_ps: s.begin_ps, duration_ps: s.duration_ps }))
}

/// The time that spans cover from end to end. A span at 0 without length counts as absent.
fn hull(spans: impl Iterator<Item = Span>) -> Span {
    spans.filter(|s| *s != Span::default()).fold(Span::default(), |all, span| {
        if all == Span::default() {
            return span;
        }
        let begin_ps = all.begin_ps.min(span.begin_ps);
        Span { begin_ps, duration_ps: all.end().max(span.end()) - begin_ps }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use xprof_proto::tensorflow::profiler::StepInfoResult;

    /// Hosts as lists of `(begin, duration)`; expects the number of steps, the first ones, and the flag.
    fn check(hosts: &[&[(u64, u64)]], n_steps: usize, first_step_idx: &[usize], is_contradiction: bool) {
        let step = |(begin_ps, duration_ps): &(u64, u64)| PerCoreStepInfo {
            step_info_per_core: [(
                1,
                StepInfoResult { begin_ps: *begin_ps, duration_ps: *duration_ps, ..StepInfoResult::default() },
            )]
            .into(),
            ..PerCoreStepInfo::default()
        };
        let hosts: Vec<Vec<Span>> =
            hosts.iter().map(|steps| steps.iter().map(|times| step_span(&step(times))).collect()).collect();
        let hosts: Vec<&[Span]> = hosts.iter().map(Vec::as_slice).collect();
        let first_step_idx = first_step_idx.to_vec();
        assert_eq!(intersect(&hosts), StepIntersection { n_steps, first_step_idx, is_contradiction });
    }

    const FOUR: &[(u64, u64)] = &[(0, 1000), (1000, 1000), (2000, 1000), (3000, 1000)];

    #[test]
    fn aligns_by_time() {
        check(&[FOUR, FOUR], 4, &[0, 0], false);
        check(&[FOUR, &[(1000, 1000), (2000, 1000), (3000, 1000), (4000, 1000)]], 3, &[1, 0], false);
        check(&[&[(1000, 1000), (2000, 1000)], FOUR], 2, &[0, 1], false);
    }

    #[test]
    fn aligns_by_index_without_overlap() {
        check(&[FOUR, &[(9000, 10), (9010, 10)]], 2, &[0, 0], false);
    }

    #[test]
    fn has_no_steps_if_a_host_has_none() {
        check(&[], 0, &[], false);
        check(&[FOUR, &[]], 0, &[0, 0], false);
    }

    #[test]
    fn tells_contradictions() {
        let chief: &[(u64, u64)] = &[(1010, 1), (1020, 1), (1030, 1)];
        let late: &[(u64, u64)] = &[(1030, 1), (1040, 1000)];
        let early: &[(u64, u64)] = &[(1, 5), (1010, 1)];
        check(&[chief, late, early], 0, &[0; 3], true);
        // Merely touching is not a contradiction.
        check(&[&chief[..2], &[(1020, 1), (1040, 1000)], early], 0, &[0; 3], false);
    }

    #[test]
    fn survives_hostile_times() {
        check(&[&[(u64::MAX, u64::MAX), (0, u64::MAX)], FOUR], 2, &[0, 0], false);
    }
}
