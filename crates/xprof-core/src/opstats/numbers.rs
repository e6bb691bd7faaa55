//! Arithmetic shared by the tools that are computed from op statistics: units, safe division, small statistics, texts.
//!
//! Takes and gives plain numbers. The order of operations matters: answers are compared to the last digits, so
//! nothing here may be rewritten into something algebraically equal.

use crate::answer::number;

/// Gigabytes in a gibibyte.
const GIGABYTES_PER_GIBIBYTE: f64 = 1_073_741_824.0 / 1e9;

/// `a / b`, and 0 where `b` is practically 0.
pub fn safe_div(a: f64, b: f64) -> f64 {
    if b.abs() < 1e-10 { 0.0 } else { a / b }
}

/// Picoseconds as nanoseconds.
pub fn ps_to_ns(ps: u64) -> f64 {
    ps as f64 / 1e3
}

/// Picoseconds as microseconds.
pub fn ps_to_us(ps: u64) -> f64 {
    ps as f64 / 1e6
}

/// Picoseconds as milliseconds.
pub fn ps_to_ms(ps: u64) -> f64 {
    ps as f64 / 1e9
}

/// Gigabytes as gibibytes.
pub fn giga_to_gibi(x: f64) -> f64 {
    x / GIGABYTES_PER_GIBIBYTE
}

/// Gibibytes as gigabytes.
pub fn gibi_to_giga(x: f64) -> f64 {
    x * GIGABYTES_PER_GIBIBYTE
}

/// Tera as giga.
pub fn tera_to_giga(x: f64) -> f64 {
    x * 1e3
}

/// Gibibytes per second.
pub fn gibibytes_per_second(bytes: f64, ns: f64) -> f64 {
    giga_to_gibi(safe_div(bytes, ns))
}

/// A share of 1 or of 100 as people read it: one decimal and `%`; negative numbers stand for "unknown".
pub fn percent_text(percent: f64) -> String {
    if percent < 0.0 { "unknown".into() } else { number::fixed(percent, 1) + "%" }
}

/// Six significant digits.
pub fn six_digits(x: f64) -> String {
    number::g(x, 6)
}

/// Count, mean, spread and range of a set of numbers.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    count: u64,
    sum: f64,
    sum_of_squares: f64,
    min: f64,
    max: f64,
}

impl Default for Stat {
    fn default() -> Self {
        // parity: the reference's maximum begins at the smallest positive double, so it stays there if all numbers are 0.
        Self { count: 0, sum: 0.0, sum_of_squares: 0.0, min: f64::MAX, max: f64::MIN_POSITIVE }
    }
}

impl Extend<f64> for Stat {
    fn extend<T: IntoIterator<Item = f64>>(&mut self, iter: T) {
        iter.into_iter().for_each(|x| self.add(x));
    }
}

impl FromIterator<f64> for Stat {
    fn from_iter<T: IntoIterator<Item = f64>>(iter: T) -> Self {
        let mut stat = Self::default();
        stat.extend(iter);
        stat
    }
}

impl Stat {
    /// Adds one number.
    pub fn add(&mut self, x: f64) {
        self.count += 1;
        self.sum += x;
        self.sum_of_squares += x * x;
        self.min = self.min.min(x);
        self.max = self.max.max(x);
    }

    /// Whether there are no numbers.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The mean, 0 of nothing.
    pub fn avg(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.sum / self.count as f64 }
    }

    /// The sample standard deviation, 0 if all numbers are equal or there are none.
    ///
    /// `parity:` of a single 0 it is a negative NaN, for its minimum differs from its maximum.
    pub fn standard_deviation(&self) -> f64 {
        if self.is_empty() || self.min == self.max {
            return 0.0;
        }
        let n = self.count as f64;
        let variance = (self.sum_of_squares - self.sum * self.sum / n) / (n - 1.0);
        let deviation = variance.sqrt();
        // A NaN made by arithmetic is negative on the machines that the reference runs on, and its text shows that.
        if deviation.is_nan() { -f64::NAN.abs() } else { deviation }
    }

    /// The smallest number, 0 of nothing.
    pub fn min(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.min }
    }

    /// The largest number, 0 of nothing.
    pub fn max(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64], expected: [&str; 4]) {
        let stat: Stat = values.iter().copied().collect();
        let got = [stat.avg(), stat.standard_deviation(), stat.min(), stat.max()].map(|x| number::g(x, 17));
        assert_eq!(got, expected, "{values:?}");
    }

    #[test]
    fn summarizes() {
        check(&[], ["0", "0", "0", "0"]);
        check(&[4.0], ["4", "0", "4", "4"]);
        check(&[1.0, 2.0, 3.0], ["2", "1", "1", "3"]);
        check(&[0.0], ["0", "-nan", "0", "2.2250738585072014e-308"]);
        check(&[0.0, 0.0], ["0", "0", "0", "2.2250738585072014e-308"]);
    }

    #[test]
    fn writes_texts() {
        assert_eq!((percent_text(13.36), percent_text(-1.0)), ("13.4%".to_owned(), "unknown".to_owned()));
        assert_eq!(
            [1e6, 2_516_580.0, 1.0 / 600.0, 1000.0, 0.0].map(six_digits),
            ["1e+06", "2.51658e+06", "0.00166667", "1000", "0"]
        );
        assert_eq!((safe_div(1.0, 0.0), safe_div(1.0, 4.0)), (0.0, 0.25));
    }
}
