//! Bounds-checked base-128 varints.

use super::WireError;

/// Reads the varint at `*pos` and moves `*pos` behind it.
#[inline(always)]
pub fn read_varint(data: &[u8], pos: &mut usize) -> Result<u64, WireError> {
    let Some(&first) = data.get(*pos) else {
        return Err(WireError::Truncated);
    };
    if first < 0x80 {
        *pos += 1;
        return Ok(u64::from(first));
    }
    read_long(data, pos)
}

/// The rest of [`read_varint`]: two bytes and more.
/// Events are full of 4 to 6 byte varints, so ten readable bytes are taken as one array without further bounds checks.
#[inline]
fn read_long(data: &[u8], pos: &mut usize) -> Result<u64, WireError> {
    let rest = &data[*pos..];
    if let Some(bytes) = rest.first_chunk::<10>() {
        let mut value = 0u64;
        for (i, &byte) in bytes.iter().enumerate() {
            // Tenth byte: only its lowest bit fits.
            if i == 9 && byte > 1 {
                return Err(WireError::VarintOverflow);
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                *pos += i + 1;
                return Ok(value);
            }
        }
        return Err(WireError::VarintOverflow);
    }
    let mut value = 0u64;
    for (i, &byte) in rest.iter().enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *pos += i + 1;
            return Ok(value);
        }
    }
    Err(WireError::Truncated)
}

/// Moves `*pos` behind the varint at `*pos` without decoding it.
#[inline]
pub fn skip_varint(data: &[u8], pos: &mut usize) -> Result<(), WireError> {
    for (i, &byte) in data.get(*pos..).unwrap_or_default().iter().take(10).enumerate() {
        if byte < 0x80 {
            *pos += i + 1;
            return Ok(());
        }
    }
    Err(if data.len().saturating_sub(*pos) < 10 { WireError::Truncated } else { WireError::VarintOverflow })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: Result<u64, WireError>) {
        let mut pos = 0;
        assert_eq!(read_varint(bytes, &mut pos), expect, "{bytes:?}");
        if expect.is_ok() {
            assert_eq!(pos, bytes.len());
            let mut skipped = 0;
            assert_eq!(skip_varint(bytes, &mut skipped), Ok(()));
            assert_eq!(skipped, pos);
        }
    }

    #[test]
    fn reads_short_long_and_damaged_varints() {
        check(&[0], Ok(0));
        check(&[0x7f], Ok(127));
        check(&[0x80, 1], Ok(128));
        check(&[0xff; 0], Err(WireError::Truncated));
        check(&[0xff, 0xff], Err(WireError::Truncated));
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Ok(u64::MAX));
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], Err(WireError::VarintOverflow));
        check(&[0xff; 12], Err(WireError::VarintOverflow));
    }
}
