//! A fixed 64-bit hash for ids that never leave the program's own answers.

/// Finalizer of splitmix64: every input bit changes every output bit with a chance of a half.
#[inline]
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Hash of a few numbers, order included.
#[inline]
pub(super) fn mix_all(values: &[u64]) -> u64 {
    values.iter().fold(values.len() as u64, |hash, &v| mix(hash ^ mix(v)))
}

/// Hash of a text.
pub(super) fn mix_text(text: &str) -> u64 {
    let whole = text.as_bytes().chunks(8).fold(text.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(hash ^ u64::from_le_bytes(word))
    });
    mix(whole)
}
