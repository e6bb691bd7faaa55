//! Duty cycle of TPU chips: how long their cores worked and how long they waited.
//!
//! Takes hull and active spans per plane, gives sums over chips. Cores of one chip count together: the chip works
//! while any of its cores works.

use std::collections::BTreeMap;

use super::active::Spans;
use crate::prep::Timespan;

/// What one core did.
#[derive(Debug, Clone, Default)]
pub struct CoreActivity {
    /// The chip that the core is on; a core that does not say so counts as a chip of its own.
    pub chip: Option<u32>,
    /// From the first to the last event.
    pub hull: Timespan,
    /// When it worked.
    pub probable: Spans,
    /// When it worked for sure.
    pub sure: Spans,
}

/// Sums over all chips.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "units are suffixes")]
pub struct DutyCycle {
    /// Time at work.
    pub busy_ps: u64,
    /// Time waiting.
    pub idle_ps: u64,
    /// Time surely at work.
    pub sure_busy_ps: u64,
    /// Time not surely at work.
    pub sure_idle_ps: u64,
}

/// The duty cycle of a host's cores. Their spans must be normalized.
pub fn duty_cycle<'c>(cores: impl IntoIterator<Item = &'c CoreActivity>) -> DutyCycle {
    let mut sums = DutyCycle::default();
    let mut chips: BTreeMap<u32, Vec<&CoreActivity>> = BTreeMap::new();
    for core in cores {
        match core.chip {
            None => sums.add(core),
            Some(chip) => chips.entry(chip).or_default().push(core),
        }
    }
    for cores in chips.values() {
        match cores.as_slice() {
            [core] => sums.add(core),
            cores => sums.add(&together(cores)),
        }
    }
    sums
}

fn together(cores: &[&CoreActivity]) -> CoreActivity {
    let mut chip = CoreActivity::default();
    for core in cores {
        chip.hull.expand_to_include(core.hull);
        chip.probable.extend(&core.probable);
        chip.sure.extend(&core.sure);
    }
    chip.probable.normalize();
    chip.sure.normalize();
    chip
}

impl DutyCycle {
    fn add(&mut self, chip: &CoreActivity) {
        let (busy_ps, sure_ps) = (chip.probable.duration_ps(), chip.sure.duration_ps());
        for (sum, part) in [
            (&mut self.busy_ps, busy_ps),
            (&mut self.idle_ps, chip.hull.duration_ps.wrapping_sub(busy_ps)),
            (&mut self.sure_busy_ps, sure_ps),
            (&mut self.sure_idle_ps, chip.hull.duration_ps.wrapping_sub(sure_ps)),
        ] {
            *sum = sum.wrapping_add(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(chip: Option<u32>, begin_ps: u64, duration_ps: u64) -> CoreActivity {
        let mut spans = Spans::default();
        spans.add(begin_ps, begin_ps + duration_ps);
        CoreActivity { chip, hull: Timespan::new(0, 100_000), probable: spans, sure: Spans::default() }
    }

    fn check(chips: [Option<u32>; 2], busy_ps: u64, idle_ps: u64) {
        let got = duty_cycle(&[core(chips[0], 1000, 1000), core(chips[1], 1500, 1000)]);
        assert_eq!((got.busy_ps, got.idle_ps), (busy_ps, idle_ps));
        assert_eq!(got.sure_busy_ps, 0);
    }

    #[test]
    fn cores_of_a_chip_count_together() {
        check([None, None], 2000, 198_000);
        check([Some(3), Some(3)], 1500, 98_500);
        check([Some(3), Some(4)], 2000, 198_000);
    }
}
