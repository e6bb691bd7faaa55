//! gzip by several threads: the chunks of a body are compressed each on its own and joined to one member.
//!
//! ```text
//! header │ chunk, sync flush │ chunk, sync flush │ … │ end │ checksum and length of the whole
//! ```
//! A sync flush ends a chunk at the border of a byte without ending the stream, so every decoder reads the whole as if one thread
//! had written it. Only references from one chunk into the chunk before it are lost, which costs nothing that can be measured.
//!
//! The chunks may come while the body is written: a large answer then never lies in memory as it is.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use rayon::prelude::*;
use xprof_core::answer::Sink;

use super::encode::BodyTag;

/// Large enough that the start of a chunk costs nothing, small enough that all threads have work.
const CHUNK_BYTES: usize = 1 << 20;

/// Room for what becomes of most large bodies: it is not memory before it is written, while a place that grows is copied.
const ROOM_BYTES: usize = 16 << 20;

/// Magic number, deflate, no flags, no time, fastest level, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];

/// One gzip member with that body, by the threads of the rayon pool on which it is called.
pub fn encode(body: &[u8]) -> io::Result<Bytes> {
    encode_chunks(body, CHUNK_BYTES)
}

fn encode_chunks(body: &[u8], chunk_bytes: usize) -> io::Result<Bytes> {
    let chunks: Vec<&[u8]> = body.chunks(chunk_bytes).collect();
    let mut packer = Packer::new(body.len() / 4);
    packer.append(&chunks);
    packer.finish().map(|packed| packed.body)
}

/// A body that was compressed while it was written.
#[derive(Debug)]
pub struct Packed {
    /// The gzip member.
    pub body: Bytes,
    /// Bytes of what is in it.
    pub length: usize,
    /// Tag of what is in it.
    pub tag: BodyTag,
}

/// A gzip member in the making.
#[derive(Debug)]
struct Packer {
    out: Vec<u8>,
    crc: Crc,
    length: usize,
    tag: BodyTag,
    error: Option<io::Error>,
    /// A deflater and a place to write to for each thread that needed one, for many chunks: its tables are a quarter of a
    /// megabyte, and with the place each chunk takes no more memory than it has bytes.
    tools: Mutex<Vec<(Compress, Vec<u8>)>>,
}

impl Packer {
    /// With room for so many bytes.
    fn new(room: usize) -> Self {
        let mut out = Vec::with_capacity(HEADER.len() + room);
        out.extend_from_slice(&HEADER);
        Self { out, crc: Crc::new(), length: 0, tag: BodyTag::default(), error: None, tools: Mutex::default() }
    }

    /// Compresses chunks, each by one thread.
    fn append<C: AsRef<[u8]> + Sync>(&mut self, chunks: &[C]) {
        let tools = || self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        let deflate = |chunk: &C| {
            let mut crc = Crc::new();
            crc.update(chunk.as_ref());
            let known = tools().pop();
            let (mut deflater, mut room) =
                known.unwrap_or_else(|| (Compress::new(Compression::fast(), false), Vec::with_capacity(1 << 16)));
            deflater.reset();
            room.clear();
            deflate(&mut deflater, chunk.as_ref(), FlushCompress::Sync, &mut room)?;
            let packed = Box::<[u8]>::from(room.as_slice());
            tools().push((deflater, room));
            Ok((packed, crc))
        };
        let tag = &mut self.tag;
        let (packed, ()) = rayon::join(
            || chunks.par_iter().with_max_len(1).map(deflate).collect::<io::Result<Vec<_>>>(),
            || chunks.iter().for_each(|chunk| tag.add(chunk.as_ref())),
        );
        match packed {
            Ok(packed) => packed.iter().for_each(|(packed, crc)| {
                self.out.extend_from_slice(packed);
                self.crc.combine(crc);
            }),
            Err(error) => self.error = Some(error),
        }
        self.length += chunks.iter().map(|c| c.as_ref().len()).sum::<usize>();
    }

    fn finish(mut self) -> io::Result<Packed> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut end = Vec::with_capacity(64);
        deflate(&mut Compress::new(Compression::fast(), false), &[], FlushCompress::Finish, &mut end)?;
        self.out.extend_from_slice(&end);
        self.out.extend_from_slice(&self.crc.sum().to_le_bytes());
        // The format keeps the length modulo 2^32.
        self.out.extend_from_slice(&(self.length as u32).to_le_bytes());
        if self.out.len() < self.out.capacity() / 2 {
            self.out.shrink_to_fit();
        }
        Ok(Packed { body: self.out.into(), length: self.length, tag: self.tag })
    }
}

/// Compresses a large answer while it is written. Clones share what they hold.
#[derive(Debug, Clone, Default)]
pub struct GzipSink(Arc<Mutex<Option<Packer>>>);

impl GzipSink {
    /// What came in, if anything did.
    pub fn finish(&self) -> io::Result<Option<Packed>> {
        let packer = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        packer.map(Packer::finish).transpose()
    }
}

impl Sink for GzipSink {
    fn append(&mut self, buffers: &[Vec<u8>]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| Packer::new(ROOM_BYTES))
            .append(buffers);
    }
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
