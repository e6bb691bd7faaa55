//! Numbers and strings as the timeline's JSON has them, written fast: an answer holds millions.
//!
//! Takes values and a buffer, appends bytes; nothing here allocates.
//! It must not decide what is written.

use crate::answer::number;

const PS_PER_US: f64 = 1e6;

/// Two digits at a time.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

/// Powers of ten that fit 128 bits and may be needed to bring a time to 17 digits.
static POWERS: [u128; 23] = {
    let mut powers = [1; 23];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// The decimal digits of a number, right-aligned in a buffer; gives the index of the first.
#[inline]
fn digits(buffer: &mut [u8; 20], mut value: u64) -> usize {
    let mut start = buffer.len();
    while value >= 100 {
        start -= 2;
        buffer[start..start + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if value >= 10 {
        start -= 2;
        buffer[start..start + 2].copy_from_slice(&PAIRS[value as usize]);
    } else {
        start -= 1;
        buffer[start] = b'0' + value as u8;
    }
    start
}

/// Appends a whole number.
#[inline]
pub fn write_u64(out: &mut Vec<u8>, value: u64) {
    let mut buffer = [0; 20];
    let start = digits(&mut buffer, value);
    out.extend_from_slice(&buffer[start..]);
}

/// Appends a whole number with its sign.
pub fn write_i64(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    write_u64(out, value.unsigned_abs());
}

/// Appends a time in microseconds: the double that is nearest to it, with 17 significant digits as C's `%.17g` prints it.
///
/// Whole microseconds below 2^53 and the like are most times of most traces, and exact. For the others the digits are those
/// of the double and not of the time; they come from one 128-bit product.
#[inline]
pub fn write_us(out: &mut Vec<u8>, ps: u64) {
    const EXACT_PS: u64 = 1 << 53;
    if ps < EXACT_PS && ps.is_multiple_of(1_000_000) {
        return write_u64(out, ps / 1_000_000);
    }
    let us = ps as f64 / PS_PER_US;
    // Below 1e-4 us there is an exponent to write; 100 ps are that.
    let Some(number) = (ps >= 1000).then(|| seventeen_digits(us, ps)).flatten() else {
        return number::write_g(out, us, 17);
    };
    write_positional(out, number.0, number.1);
}

/// The first 17 digits as a whole number, and how many of them stand before the point (negative: zeros behind it).
#[inline]
fn seventeen_digits(us: f64, ps: u64) -> Option<(u64, i32)> {
    const LIMIT: u64 = 10u64.pow(17);
    // 1000 ps are 1e-3 us, whose first digit stands two places behind the point.
    let n_whole = ps.checked_ilog10()? as i32 - 5;
    let bits = us.to_bits();
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let shift = 1075 - (bits >> 52) as i32;
    let power = POWERS.get(usize::try_from(17 - n_whole).ok()?)?;
    if !(1..128).contains(&shift) {
        return None;
    }
    let product = u128::from(mantissa) * power;
    let (quotient, rest, half) = ((product >> shift) as u64, product & ((1 << shift) - 1), 1u128 << (shift - 1));
    let rounded = quotient + u64::from(rest > half || (rest == half && quotient & 1 == 1));
    // The double may have been rounded up to the next power of ten; that is rare enough for the slow way.
    (LIMIT / 10..LIMIT).contains(&rounded).then_some((rounded, n_whole))
}

/// Lays out 17 digits without trailing zeros.
#[inline]
fn write_positional(out: &mut Vec<u8>, number: u64, n_whole: i32) {
    let mut buffer = [0; 20];
    let start = digits(&mut buffer, number);
    let digits = &buffer[start..];
    let end = digits.iter().rposition(|&d| d != b'0').map_or(0, |last| last + 1);
    if n_whole <= 0 {
        out.extend_from_slice(&b"0.0000000"[..2 + n_whole.unsigned_abs() as usize]);
        out.extend_from_slice(&digits[..end]);
        return;
    }
    let n_whole = n_whole as usize;
    out.extend_from_slice(&digits[..n_whole.min(digits.len())]);
    if end > n_whole {
        out.push(b'.');
        out.extend_from_slice(&digits[n_whole..end]);
    }
}

/// Appends a string in quotes. Markup characters are escaped, so that the answer can stand inside a page.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => Some(byte),
            0x08 => Some(b'b'),
            0x09 => Some(b't'),
            0x0a => Some(b'n'),
            0x0c => Some(b'f'),
            0x0d => Some(b'r'),
            b'<' | b'>' | b'&' | 0..0x20 => None,
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..i]);
        match short {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digits[0], digits[1]]);
            }
        }
        start = i + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn check(ps: u64, expect: &str) {
        assert_eq!(written(|out| write_us(out, ps)), expect, "{ps} ps");
    }

    #[test]
    fn writes_times_with_17_digits() {
        check(0, "0");
        check(1, "9.9999999999999995e-07");
        check(5, "5.0000000000000004e-06");
        check(100, "0.0001");
        check(99, "9.8999999999999994e-05");
        check(999, "0.0009990000000000001");
        check(1000, "0.001");
        check(1_000_000, "1");
        check(2_899_545_218_721_251_500, "2899545218721.2515");
        check(19_500_046_276, "19500.046276000001");
        check(u64::MAX, "18446744073709.551");
        check(9_999_999_999_999_999_999, "10000000000000");
    }

    #[test]
    fn escapes_strings() {
        let text = "a\"b\\c\n\t\r\u{8}\u{c}\u{1}\u{1f}<i>&é\u{2028}\u{7f}";
        let expect = "\"a\\\"b\\\\c\\n\\t\\r\\b\\f\\u0001\\u001f\\u003ci\\u003e\\u0026é\u{2028}\u{7f}\"";
        assert_eq!(written(|out| write_string(out, text)), expect);
        assert_eq!(written(|out| write_i64(out, i64::MIN)), i64::MIN.to_string());
    }

    proptest! {
        #[test]
        fn agrees_with_the_general_writer(ps in any::<u64>(), shift in 0u32..64) {
            let ps = ps >> shift;
            let general = written(|out| number::write_g(out, ps as f64 / PS_PER_US, 17));
            prop_assert_eq!(written(|out| write_us(out, ps)), general);
            prop_assert_eq!(written(|out| write_u64(out, ps)), ps.to_string());
        }

        #[test]
        fn strings_are_json(text in any::<String>()) {
            let json = written(|out| write_string(out, &text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
