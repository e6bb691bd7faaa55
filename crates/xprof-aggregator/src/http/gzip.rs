//! gzip by several threads: the chunks of a body are compressed each on its own and joined to one member.
//!
//! ```text
//! header │ chunk, sync flush │ chunk, sync flush │ … │ chunk, end │ checksum and length of the whole
//! ```
//! A sync flush ends a chunk at the border of a byte without ending the stream, so every decoder reads the whole as if one thread
//! had written it. Only references from one chunk into the chunk before it are lost, which costs nothing that can be measured.

use std::io;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use rayon::prelude::*;

/// Large enough that the start of a chunk costs nothing, small enough that all threads have work.
const CHUNK_BYTES: usize = 1 << 20;

/// Magic number, deflate, no flags, no time, fastest level, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];

struct Chunk {
    packed: Box<[u8]>,
    crc: Crc,
}

/// One gzip member with that body, by the threads of the rayon pool on which it is called.
pub fn encode(body: &[u8]) -> io::Result<Vec<u8>> {
    encode_chunks(body, CHUNK_BYTES)
}

fn encode_chunks(body: &[u8], chunk_bytes: usize) -> io::Result<Vec<u8>> {
    // An empty body is one empty chunk: the stream still has to end.
    let n_chunks = body.len().div_ceil(chunk_bytes).max(1);
    let chunk = |i: usize| &body[i * chunk_bytes..body.len().min((i + 1) * chunk_bytes)];
    let deflate = |(deflater, room): &mut (Compress, Vec<u8>), i: usize| {
        let flush = if i + 1 == n_chunks { FlushCompress::Finish } else { FlushCompress::Sync };
        let mut crc = Crc::new();
        crc.update(chunk(i));
        deflater.reset();
        room.clear();
        deflate(deflater, chunk(i), flush, room)?;
        Ok(Chunk { packed: room.as_slice().into(), crc })
    };
    // One deflater for many chunks, because its tables are a quarter of a megabyte, and one place to write to, so that each chunk
    // takes no more memory than it has bytes.
    let tools =
        || (Compress::new(Compression::fast(), false), Vec::with_capacity(chunk_bytes.min(body.len()) / 4 + 64));
    let chunks: Vec<Chunk> = (0..n_chunks).into_par_iter().map_init(tools, deflate).collect::<io::Result<_>>()?;

    let length: usize = chunks.iter().map(|c| c.packed.len()).sum();
    let mut out = Vec::with_capacity(HEADER.len() + length + 8);
    out.extend_from_slice(&HEADER);
    let mut crc = Crc::new();
    for chunk in chunks {
        out.extend_from_slice(&chunk.packed);
        crc.combine(&chunk.crc);
    }
    out.extend_from_slice(&crc.sum().to_le_bytes());
    // The format keeps the length modulo 2^32.
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    Ok(out)
}

/// Appends the chunk to `packed`, which grows as it must.
fn deflate(deflater: &mut Compress, chunk: &[u8], flush: FlushCompress, packed: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let n_read = deflater.total_in() as usize;
        let status = deflater.compress_vec(&chunk[n_read..], packed, flush).map_err(io::Error::other)?;
        let is_read = deflater.total_in() as usize == chunk.len();
        // With room left over, everything that was asked for is written.
        let is_flushed = flush != FlushCompress::Finish && is_read && packed.len() < packed.capacity();
        if status == Status::StreamEnd || is_flushed {
            return Ok(());
        }
        packed.reserve(packed.capacity().max(64));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Text with repetitions, and noise that no compressor makes smaller.
    fn bodies(n: usize) -> [Vec<u8>; 2] {
        let text =
            (0..).flat_map(|i: u32| format!("{{\"ts\":{},\"name\":\"fusion.{}\"}},", i * 37, i % 91).into_bytes());
        let mut seed = 1_u64;
        let noise = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        });
        [text.take(n).collect(), noise.take(n).collect()]
    }

    #[test]
    fn a_plain_decoder_reads_one_member() {
        const N: usize = 4096;
        for n in [0, 1, N - 1, N, N + 1, 2 * N - 1, 2 * N, 2 * N + 1, 7 * N + 13] {
            for body in bodies(n) {
                let packed = encode_chunks(&body, N).unwrap();
                // Not a decoder of several members: what follows the first one would be left over.
                let mut decoder = flate2::bufread::GzDecoder::new(&packed[..]);
                let mut plain = Vec::new();
                decoder.read_to_end(&mut plain).unwrap();
                assert!(plain == body, "{n} bytes");
                assert!(decoder.into_inner().is_empty(), "{n} bytes: something follows the member");
            }
        }
    }

    #[test]
    fn chunks_cost_next_to_nothing() {
        let [body, _] = bodies(3 * CHUNK_BYTES + 5);
        let packed = encode(&body).unwrap();
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
        assert!(plain == body);
        let whole = encode_chunks(&body, usize::MAX / 2).unwrap();
        assert!(packed.len() < whole.len() + whole.len() / 100, "{} against {}", packed.len(), whole.len());
    }
}
