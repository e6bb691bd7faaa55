//! The bytes of an answer that may be very large, put together by all threads.
//!
//! Takes the bytes before and some buffers at a time, gives one piece of memory.
//! It must not look at the bytes.
//!
//! Most of the time that copying takes is the system's, which has to hand out memory for the first time; this is why the
//! threads share it. They fill blocks, because what is filled by several threads must have places known in advance.

use rayon::prelude::*;

const BLOCK_BYTES: usize = 4096;

type Block = [u8; BLOCK_BYTES];

/// A growing body.
pub struct Body {
    blocks: Vec<Block>,
    /// What comes behind the last block.
    rest: Vec<u8>,
}

impl Body {
    /// A body that begins with some bytes, with memory for more.
    pub fn new(start: Vec<u8>, n_more_bytes: usize) -> Self {
        let n_blocks = (start.len() + n_more_bytes) / BLOCK_BYTES + 1;
        Self { blocks: Vec::with_capacity(n_blocks), rest: start }
    }

    /// Appends buffers, one behind the other.
    pub fn append(&mut self, buffers: &[Vec<u8>]) {
        let mut sources: Vec<(usize, &[u8])> = Vec::with_capacity(buffers.len() + 1);
        let mut n_bytes = 0;
        for source in std::iter::once(&self.rest).chain(buffers) {
            sources.push((n_bytes, source));
            n_bytes += source.len();
        }
        let n_blocks = n_bytes / BLOCK_BYTES;
        let block_at = |i: usize| {
            let mut block = [0; BLOCK_BYTES];
            copy_from(&sources, i * BLOCK_BYTES, &mut block);
            block
        };
        self.blocks.par_extend((0..n_blocks).into_par_iter().with_min_len(64).map(block_at));
        let mut rest = vec![0; n_bytes % BLOCK_BYTES];
        copy_from(&sources, n_blocks * BLOCK_BYTES, &mut rest);
        self.rest = rest;
    }

    /// All bytes.
    pub fn finish(mut self) -> Vec<u8> {
        if self.blocks.is_empty() {
            return self.rest;
        }
        let n_bytes = self.blocks.len() * BLOCK_BYTES + self.rest.len();
        let mut last = [0; BLOCK_BYTES];
        // Before the first append, there may be more than a block.
        let chunks = self.rest.chunks(BLOCK_BYTES);
        for chunk in chunks {
            last[..chunk.len()].copy_from_slice(chunk);
            self.blocks.push(last);
        }
        let mut bytes = self.blocks.into_flattened();
        bytes.truncate(n_bytes);
        bytes
    }
}

/// Fills `to` with the bytes from `at` on. Sources are given with the number of bytes before each.
fn copy_from(sources: &[(usize, &[u8])], mut at: usize, mut to: &mut [u8]) {
    let first = sources.partition_point(|&(before, _)| before <= at).saturating_sub(1);
    for (before, source) in &sources[first..] {
        if to.is_empty() {
            break;
        }
        let source = &source[(at - before).min(source.len())..];
        let n = source.len().min(to.len());
        let (now, later) = to.split_at_mut(n);
        now.copy_from_slice(&source[..n]);
        (to, at) = (later, at + n);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_what_was_appended(
            start in 0usize..9000,
            batches in prop::collection::vec(prop::collection::vec(0usize..9000, 0..5), 0..5),
            n_expected in 0usize..100_000,
        ) {
            let mut next = 0u64;
            let mut bytes = |n: usize| -> Vec<u8> {
                (0..n).map(|_| { next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); (next >> 56) as u8 }).collect()
            };
            let mut expect = bytes(start);
            let mut body = Body::new(expect.clone(), n_expected);
            for batch in batches {
                let buffers: Vec<Vec<u8>> = batch.into_iter().map(&mut bytes).collect();
                expect.extend(buffers.concat());
                body.append(&buffers);
            }
            prop_assert_eq!(body.finish(), expect);
        }
    }
}
