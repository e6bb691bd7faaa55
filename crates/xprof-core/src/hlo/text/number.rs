//! Floating-point numbers as HLO text shows them.

use super::writer::Writer;
use crate::hlo::shape::PrimitiveType;

/// Appends a number with so many significant digits, like C's `%.{digits}g`.
pub(crate) fn general(out: &mut Writer, value: f64, digits: usize) {
    if value.is_nan() {
        return out.push(if value.is_sign_negative() { "-nan" } else { "nan" });
    }
    if value.is_infinite() {
        return out.push(if value < 0.0 { "-inf" } else { "inf" });
    }
    let digits = digits.max(1);
    // The exponent after rounding decides between the two notations.
    let scientific = format!("{:.*e}", digits - 1, value);
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        out.format(format_args!("{}e{sign}{:02}", trim(mantissa), exponent.abs()));
    } else {
        let fixed = format!("{:.*}", (digits as i32 - 1 - exponent).max(0) as usize, value);
        out.push(trim(&fixed));
    }
}

/// Without trailing zeros of the fraction.
fn trim(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// Appends an `f32`: six digits if they are enough to read the same number back, else nine.
pub(crate) fn float32(out: &mut Writer, value: f32) {
    shortest(out, f64::from(value), [6, 9], |text| text.parse::<f32>().is_ok_and(|back| back == value));
}

/// Appends an `f64`: fifteen digits if they are enough to read the same number back, else seventeen.
pub(crate) fn float64(out: &mut Writer, value: f64) {
    shortest(out, value, [15, 17], |text| text.parse::<f64>().is_ok_and(|back| back == value));
}

fn shortest(out: &mut Writer, value: f64, digits: [usize; 2], reads_back: impl Fn(&str) -> bool) {
    let mut short = Writer::new(64);
    general(&mut short, value, digits[0]);
    let short = short.finish();
    if value.is_nan() || reads_back(&short) {
        out.push(&short);
    } else {
        general(out, value, digits[1]);
    }
}

/// What is special about the numbers of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Specials {
    /// Infinities and NaNs as in IEEE 754.
    Ieee,
    /// No infinity; NaN has all bits set.
    Finite,
    /// No infinity, no negative zero; its bits mean NaN.
    Unsigned,
    /// Neither infinity nor NaN.
    None,
}

/// Exponent bits, mantissa bits, exponent bias, specials and significant digits of a format below 32 bits.
fn format_of(element: PrimitiveType) -> Option<(u32, u32, i32, Specials, usize)> {
    use PrimitiveType as P;
    Some(match element {
        P::F16 => (5, 10, 15, Specials::Ieee, 5),
        P::Bf16 => (8, 7, 127, Specials::Ieee, 4),
        P::F8E5M2 => (5, 2, 15, Specials::Ieee, 2),
        P::F8E4M3 => (4, 3, 7, Specials::Ieee, 3),
        P::F8E3M4 => (3, 4, 3, Specials::Ieee, 3),
        P::F8E4M3Fn => (4, 3, 7, Specials::Finite, 3),
        P::F8E4M3B11Fnuz => (4, 3, 11, Specials::Unsigned, 3),
        P::F8E5M2Fnuz => (5, 2, 16, Specials::Unsigned, 2),
        P::F8E4M3Fnuz => (4, 3, 8, Specials::Unsigned, 3),
        P::F4E2M1Fn => (2, 1, 1, Specials::None, 2),
        P::F6E3M2Fn => (3, 2, 3, Specials::None, 2),
        P::F6E2M3Fn => (2, 3, 1, Specials::None, 3),
        _ => return None,
    })
}

/// Appends the number whose bits these are.
pub(crate) fn element(out: &mut Writer, element: PrimitiveType, bits: u64) {
    match element {
        PrimitiveType::F32 | PrimitiveType::C64 => {
            let value = f32::from_bits(bits as u32);
            float32(out, value);
            payload(out, value.is_nan(), bits & 0x7f_ffff, 1 << 22);
        }
        PrimitiveType::F64 | PrimitiveType::C128 => {
            let value = f64::from_bits(bits);
            float64(out, value);
            payload(out, value.is_nan(), bits & ((1 << 52) - 1), 1 << 51);
        }
        PrimitiveType::F8E8M0Fnu => {
            let value = if bits == 0xff { f64::NAN } else { ((bits as f64) - 127.0).exp2() };
            general(out, value, 2);
        }
        other => {
            if let Some(format) = format_of(other) {
                small(out, format, bits);
            }
        }
    }
}

/// A NaN other than the usual quiet one shows its mantissa.
fn payload(out: &mut Writer, is_nan: bool, mantissa: u64, quiet: u64) {
    if is_nan && mantissa != quiet {
        out.format(format_args!("(0x{mantissa:x})"));
    }
}

fn small(out: &mut Writer, format: (u32, u32, i32, Specials, usize), bits: u64) {
    let (exponent_bits, mantissa_bits, bias, specials, digits) = format;
    let mantissa = bits & ((1 << mantissa_bits) - 1);
    let top = (1 << exponent_bits) - 1;
    let exponent = (bits >> mantissa_bits) & top;
    let negative = bits >> (mantissa_bits + exponent_bits) & 1 == 1;
    let full_mantissa = mantissa == (1 << mantissa_bits) - 1;
    let is_nan = match specials {
        Specials::Ieee => exponent == top && mantissa != 0,
        Specials::Finite => exponent == top && full_mantissa,
        Specials::Unsigned => negative && exponent == 0 && mantissa == 0,
        Specials::None => false,
    };
    if is_nan {
        out.push(if negative { "-nan" } else { "nan" });
        return payload(out, specials == Specials::Ieee, mantissa, 1 << (mantissa_bits - 1));
    }
    let magnitude = if specials == Specials::Ieee && exponent == top {
        f64::INFINITY
    } else {
        let fraction = mantissa as f64 / f64::from(1 << mantissa_bits);
        if exponent == 0 {
            fraction * f64::from(1 - bias).exp2()
        } else {
            (1.0 + fraction) * f64::from(exponent as i32 - bias).exp2()
        }
    };
    general(out, if negative { -magnitude } else { magnitude }, digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ty: PrimitiveType, bits: u64, expect: &str) {
        let mut out = Writer::new(100);
        element(&mut out, ty, bits);
        assert_eq!(out.finish(), expect, "{ty:?} {bits:x}");
    }

    #[test]
    fn shows_enough_digits() {
        use PrimitiveType as P;
        check(P::F32, u64::from(1f32.to_bits()), "1");
        check(P::F32, u64::from(0.1f32.to_bits()), "0.1");
        check(P::F32, u64::from((-0.0f32).to_bits()), "-0");
        check(P::F32, u64::from(1e10f32.to_bits()), "1e+10");
        check(P::F32, u64::from((1.0f32 / 3.0).to_bits()), "0.333333343");
        check(P::F32, u64::from(123_456.0f32.to_bits()), "123456");
        check(P::F32, u64::from(1e-5f32.to_bits()), "1e-05");
        check(P::F32, 0x7fc0_0000, "nan");
        check(P::F32, 0xffc0_0000, "-nan");
        check(P::F32, 0x7fc0_0001, "nan(0x400001)");
        check(P::F64, 0.1f64.to_bits(), "0.1");
        check(P::F64, (1.0f64 / 3.0).to_bits(), "0.33333333333333331");
        check(P::F64, f64::INFINITY.to_bits(), "inf");
        check(P::F16, 0x3555, "0.33325");
        check(P::Bf16, 0x3eab, "0.334");
        check(P::F16, 0xfc00, "-inf");
        check(P::F16, 1, "5.9605e-08");
        check(P::F8E4M3Fn, 0x7e, "448");
        check(P::F8E4M3Fn, 0x7f, "nan");
        check(P::F8E5M2Fnuz, 0x80, "-nan");
        check(P::F4E2M1Fn, 0x7, "6");
        check(P::F8E8M0Fnu, 127, "1");
    }
}
