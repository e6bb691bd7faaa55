//! Writes floating-point numbers as the reference's programs print them: C's `%g` and `%f`, and shortest digits.
//!
//! Takes a double and a place to append to. Every result is exact: the digits are those of the double's full decimal
//! value, rounded half to even, as a C library prints them.
//! Must not depend on a locale, and must not allocate in the common range, because a timeline holds millions of numbers.

use std::io::Write as _;

/// The largest precision whose digits fit the fast path's 64-bit quotient.
const MAX_FAST_DIGITS: usize = 17;

/// Appends `value` as C's `%.<precision>g` prints it.
pub fn write_g(out: &mut Vec<u8>, value: f64, precision: usize) {
    if write_special(out, value) {
        return;
    }
    let precision = precision.max(1);
    let mut buffer = [0; 20];
    let (digits, exponent) = match fast_digits(value.abs(), precision) {
        Some((number, exponent)) => (decimal_digits(&mut buffer, number), exponent),
        None => return write_g_slowly(out, value, precision),
    };
    write_g_digits(out, digits, exponent, precision);
}

/// Appends `value` as C's `%.<decimals>f` prints it.
pub fn write_fixed(out: &mut Vec<u8>, value: f64, decimals: usize) {
    if write_special_unless_zero(out, value) {
        return;
    }
    let Some(scaled) = scale(value.abs(), decimals as i32) else {
        return write_formatted(out, format_args!("{:.*}", decimals, value.abs()));
    };
    let mut buffer = [0; 20];
    let digits = decimal_digits(&mut buffer, scaled);
    let n_leading = digits.len().saturating_sub(decimals);
    let (leading, trailing) = digits.split_at(n_leading);
    out.extend_from_slice(if leading.is_empty() { b"0" } else { leading });
    if decimals > 0 {
        out.push(b'.');
        out.resize(out.len() + decimals - trailing.len(), b'0');
        out.extend_from_slice(trailing);
    }
}

/// Appends the shortest digits that read back as `value`, as a DataTable's JSON holds them.
///
/// Fixed notation from 1e-4 up to but not including 1e15, always with a fraction; exponents have a sign and two digits.
/// JSON has no other spelling for NaN and the infinities than `null`.
pub fn write_shortest(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        write_shortest_up_to(out, value, 15);
    } else {
        out.extend_from_slice(b"null");
    }
}

/// Appends `value` as Python's `repr` does: as [`write_shortest`], but in fixed notation up to 1e16.
pub fn write_python(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        write_shortest_up_to(out, value, 16);
    } else {
        out.extend_from_slice(if value.is_nan() {
            b"nan"
        } else if value < 0.0 {
            b"-inf"
        } else {
            b"inf"
        });
    }
}

/// Appends `value` as the JSON of protocol buffers does: 15 significant digits if they read back as `value`, else 17.
pub fn write_proto(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        let text: &[u8] = if value.is_nan() {
            b"\"NaN\""
        } else if value < 0.0 {
            b"\"-Infinity\""
        } else {
            b"\"Infinity\""
        };
        return out.extend_from_slice(text);
    }
    if value == 0.0 {
        // A negative zero counts as the field's default.
        return out.push(b'0');
    }
    let start = out.len();
    write_g(out, value, 15);
    let reads_back = std::str::from_utf8(&out[start..]).ok().and_then(|t| t.parse::<f64>().ok()) == Some(value);
    if !reads_back {
        out.truncate(start);
        write_g(out, value, 17);
    }
}

/// `value` as C's `%.<precision>g` prints it.
pub fn g(value: f64, precision: usize) -> String {
    text(|out| write_g(out, value, precision))
}

/// `value` as C's `%.<decimals>f` prints it.
pub fn fixed(value: f64, decimals: usize) -> String {
    text(|out| write_fixed(out, value, decimals))
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::with_capacity(24);
    write(&mut out);
    // Digits, signs and `nan` are ASCII.
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends a whole number.
pub fn write_integer(out: &mut Vec<u8>, value: impl Into<i128>) {
    let value: i128 = value.into();
    if let Ok(magnitude) = u64::try_from(value.unsigned_abs()) {
        if value < 0 {
            out.push(b'-');
        }
        let mut buffer = [0; 20];
        out.extend_from_slice(decimal_digits(&mut buffer, magnitude));
    } else {
        write_formatted(out, format_args!("{value}"));
    }
}

/// Writes the sign, and the whole of zeros, infinities and NaN. True if that was all.
fn write_special(out: &mut Vec<u8>, value: f64) -> bool {
    if write_special_unless_zero(out, value) {
        return true;
    }
    if value == 0.0 {
        out.push(b'0');
    }
    value == 0.0
}

fn write_special_unless_zero(out: &mut Vec<u8>, value: f64) -> bool {
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        out.extend_from_slice(b"inf");
    }
    !value.is_finite()
}

/// The first `precision` digits of a positive double as a whole number, and the decimal exponent of the first one.
fn fast_digits(value: f64, precision: usize) -> Option<(u64, i32)> {
    if precision > MAX_FAST_DIGITS || !(1e-5..1e17).contains(&value) {
        return None;
    }
    let limit = 10_u64.pow(precision as u32);
    let mut exponent = value.log10().floor() as i32;
    // The logarithm may be off by one near powers of ten, and rounding may carry into one more digit.
    for _ in 0..3 {
        let digits = scale(value, precision as i32 - 1 - exponent)?;
        if digits >= limit {
            exponent += 1;
        } else if digits < limit / 10 {
            exponent -= 1;
        } else {
            return Some((digits, exponent));
        }
    }
    None
}

/// `value` times a power of ten, rounded half to even; `None` where 128-bit integers cannot hold the product exactly.
fn scale(value: f64, decimals: i32) -> Option<u64> {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    let bits = value.to_bits();
    let biased = (bits >> MANTISSA_BITS) as i32;
    let fraction = bits & ((1 << MANTISSA_BITS) - 1);
    let (mantissa, shift) =
        if biased == 0 { (fraction, -1074) } else { (fraction | 1 << MANTISSA_BITS, biased - 1075) };
    // 53 bits of mantissa times ten to the 22nd stay below 2 to the 127th.
    let power = 10_u128.pow(u32::try_from(decimals).ok().filter(|d| *d <= 22)?);
    let product = u128::from(mantissa) * power;
    let rounded = if shift >= 0 {
        if product.leading_zeros() <= shift as u32 {
            return None;
        }
        product << shift
    } else if shift <= -128 {
        0
    } else {
        let shift = shift.unsigned_abs();
        let (quotient, rest, half) = (product >> shift, product & ((1 << shift) - 1), 1_u128 << (shift - 1));
        quotient + u128::from(rest > half || (rest == half && quotient & 1 == 1))
    };
    u64::try_from(rounded).ok()
}

fn write_g_slowly(out: &mut Vec<u8>, value: f64, precision: usize) {
    let text = format!("{:.*e}", precision - 1, value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    write_g_digits(out, &digits, exponent.parse().unwrap_or(0), precision);
}

/// Lays out digits as `%g` does: without trailing zeros, with an exponent only for very small and very large numbers.
fn write_g_digits(out: &mut Vec<u8>, digits: &[u8], exponent: i32, precision: usize) {
    let n_significant = digits.iter().rposition(|d| *d != b'0').map_or(1, |i| i + 1);
    let digits = &digits[..n_significant.min(digits.len())];
    if exponent < -4 || exponent >= precision as i32 {
        write_scientific(out, digits, exponent);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        write_positional(out, digits, exponent as usize);
    }
}

fn write_scientific(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    let (first, rest) = digits.split_at(1.min(digits.len()));
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    if exponent.abs() < 10 {
        out.push(b'0');
    }
    write_integer(out, exponent.abs());
}

/// Digits of a number of at least 1, of which `exponent` + 1 stand before the point.
fn write_positional(out: &mut Vec<u8>, digits: &[u8], exponent: usize) {
    let n_whole = exponent + 1;
    if digits.len() <= n_whole {
        out.extend_from_slice(digits);
        out.resize(out.len() + n_whole - digits.len(), b'0');
    } else {
        out.extend_from_slice(&digits[..n_whole]);
        out.push(b'.');
        out.extend_from_slice(&digits[n_whole..]);
    }
}

fn write_shortest_up_to(out: &mut Vec<u8>, value: f64, n_fixed_digits: i32) {
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let value = value.abs();
    // Counts, times and shares are the bulk of all tables, and many of them are whole.
    if value < 1e15 && value.trunc() == value {
        let mut buffer = [0; 20];
        out.extend_from_slice(decimal_digits(&mut buffer, value as u64));
        return out.extend_from_slice(b".0");
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    let (mantissa, written_exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = [0; 40];
    let mut n = 0;
    for digit in whole.bytes().chain(fraction.bytes()).take(digits.len()) {
        digits[n] = digit;
        n += 1;
    }
    let n_zeros = digits[..n].iter().take_while(|d| **d == b'0').count();
    let exponent = written_exponent.parse::<i32>().unwrap_or(0) + whole.len() as i32 - 1 - n_zeros as i32;
    let end = digits[..n].iter().rposition(|d| *d != b'0').map_or(n_zeros, |i| i + 1);
    let digits = &digits[n_zeros..end];
    if exponent < -4 || exponent >= n_fixed_digits {
        write_scientific(out, digits, exponent);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        write_positional(out, digits, exponent as usize);
        if digits.len() <= exponent as usize + 1 {
            out.extend_from_slice(b".0");
        }
    }
}

fn decimal_digits(buffer: &mut [u8; 20], mut number: u64) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[start..];
        }
    }
}

fn write_formatted(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: the bits of a double, then `%.17g`, `%.15g`, `%g`, `%.3f`, `%.0f` and the shortest digits.
    const PRINTED: &str = include_str!("number_tests.txt");

    #[test]
    fn prints_as_a_c_library_does() {
        let mut n_lines = 0;
        for line in PRINTED.lines().filter(|l| !l.starts_with('#')) {
            let fields: Vec<&str> = line.split(' ').collect();
            let value = f64::from_bits(u64::from_str_radix(fields[0], 16).unwrap());
            let got = [g(value, 17), g(value, 15), g(value, 6), fixed(value, 3), fixed(value, 0)];
            assert_eq!(got[..], fields[1..6], "{line}");
            assert_eq!(text(|out| write_shortest(out, value)), fields[6], "{line}");
            assert_eq!(text(|out| write_python(out, value)), fields[7], "{line}");
            n_lines += 1;
        }
        assert!(n_lines > 100);
    }

    #[test]
    fn fast_and_slow_digits_agree() {
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = (state >> 11) as f64 * 10_f64.powi((state % 40) as i32 - 30);
            for precision in [1, 6, 15, 17] {
                let mut slow = Vec::new();
                write_g_slowly(&mut slow, value, precision);
                assert_eq!(g(value, precision).as_bytes(), slow, "{value:e}");
            }
            for decimals in [0, 1, 3, 6] {
                assert_eq!(fixed(value, decimals), format!("{value:.decimals$}"));
            }
            assert_eq!(text(|out| write_shortest(out, value)).parse(), Ok(value));
            assert_eq!(text(|out| write_proto(out, value)).parse(), Ok(value));
        }
    }

    #[test]
    fn spells_what_is_not_finite() {
        let spell = |v| [text(|o| write_g(o, v, 6)), text(|o| write_shortest(o, v)), text(|o| write_proto(o, v))];
        assert_eq!(spell(f64::NAN), ["nan", "null", "\"NaN\""]);
        assert_eq!(spell(-f64::NAN)[0], "-nan");
        assert_eq!(spell(f64::NEG_INFINITY), ["-inf", "null", "\"-Infinity\""]);
        assert_eq!(fixed(f64::INFINITY, 2), "inf");
    }

    #[test]
    fn writes_proto_numbers_with_15_or_17_digits() {
        for (value, expected) in [
            (59_999.999_999_999_99, "59999.999999999993"),
            (12_956_751_000.0, "12956751000"),
            (999_999_999_999_999.0, "999999999999999"),
            (1e15, "1e+15"),
            (1_234_567_890_123_456.0, "1234567890123456"),
            (123_456_789_012_345_678.0, "1.2345678901234568e+17"),
            (0.1, "0.1"),
            (0.0, "0"),
            (-0.0, "0"),
        ] {
            assert_eq!(text(|out| write_proto(out, value)), expected);
        }
    }
}
