//! Content encodings: which one a client wants, and the bytes in it.
//!
//! Takes an `Accept-Encoding` header and a body, gives the compressed body.
//! It keeps nothing: [`crate::answer_cache::CachedAnswer`] keeps what was compressed once.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use http::HeaderValue;
use twox_hash::XxHash3_128;
use xprof_core::answer::LARGE_BYTES;

use super::gzip;

/// A body smaller than this is sent as it is: its headers are larger than what could be saved.
const MIN_BYTES: usize = 512;

/// Tells bodies apart. However a body is cut while it is added, the tag is the same.
#[derive(Clone, Default)]
pub struct BodyTag(XxHash3_128);

impl BodyTag {
    /// Adds the next bytes of the body.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// A weak entity tag: all encodings of a body share it.
    pub fn etag(&self) -> HeaderValue {
        let text = format!("W/\"{:032x}\"", self.0.finish_128());
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("W/\"0\""))
    }
}

impl std::fmt::Debug for BodyTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BodyTag").field(&self.0.finish_128()).finish()
    }
}

/// The entity tag of a whole body.
pub fn etag(body: &[u8]) -> HeaderValue {
    let mut tag = BodyTag::default();
    tag.add(body);
    tag.etag()
}

/// How the body of a response is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// gzip, which every client knows.
    Gzip,
    /// Brotli, for browsers.
    Brotli,
    /// Zstandard: the fastest of the three, and nearly the smallest.
    Zstd,
}

impl Encoding {
    /// Those that compress.
    pub const PACKED: [Self; 3] = [Self::Zstd, Self::Gzip, Self::Brotli];

    /// Those that compress, in the order in which they are preferred where a client likes them equally. Of a large body gzip is
    /// first, because it alone is made by all threads and while the body is written.
    pub fn preferred(is_large: bool) -> [Self; 3] {
        if is_large { [Self::Gzip, Self::Zstd, Self::Brotli] } else { Self::PACKED }
    }

    /// The word in the `Content-Encoding` header, none for identity.
    pub fn header(self) -> Option<HeaderValue> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some(HeaderValue::from_static("gzip")),
            Self::Brotli => Some(HeaderValue::from_static("br")),
            Self::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }

    /// The word by which clients ask for it.
    fn token(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The body in this encoding. A large one is work for the CPU pool, whose threads it uses.
    pub fn encode(self, body: &Bytes) -> std::io::Result<Bytes> {
        let large = body.len() >= LARGE_BYTES;
        let room = body.len() / 8 + 64;
        match self {
            Self::Identity => Ok(body.clone()),
            Self::Gzip if large => gzip::encode(body),
            Self::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::with_capacity(room), flate2::Compression::new(6));
                out.write_all(body)?;
                out.finish().map(Bytes::from)
            }
            Self::Brotli => {
                let mut out =
                    brotli::CompressorWriter::new(Vec::with_capacity(room), 64 << 10, if large { 2 } else { 5 }, 22);
                out.write_all(body)?;
                out.flush()?;
                Ok(out.into_inner().into())
            }
            Self::Zstd => zstd::bulk::compress(body, if large { 1 } else { 3 }).map(Bytes::from),
        }
    }

    /// The body that [`Self::encode`] was given, of that length.
    pub fn decode(self, packed: &Bytes, length: usize) -> std::io::Result<Bytes> {
        let mut plain = Vec::with_capacity(length);
        match self {
            Self::Identity => return Ok(packed.clone()),
            Self::Gzip => flate2::bufread::GzDecoder::new(&packed[..]).read_to_end(&mut plain)?,
            Self::Brotli => brotli::Decompressor::new(&packed[..], 64 << 10).read_to_end(&mut plain)?,
            Self::Zstd => return zstd::bulk::decompress(packed, length).map(Bytes::from),
        };
        Ok(plain.into())
    }
}

/// Whether compressing a body can pay: not when it is small, or when a tool compressed it already.
pub fn worth_encoding(body: &[u8]) -> bool {
    const GZIP: &[u8] = &[0x1f, 0x8b];
    const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
    body.len() >= MIN_BYTES && !body.starts_with(GZIP) && !body.starts_with(ZSTD)
}

/// The encoding that a client likes best. A client that asks for nothing gets the body as it is.
///
/// ```text
/// gzip, deflate, br, zstd    → zstd, of a large body gzip
/// zstd;q=0.5, gzip           → gzip
/// *;q=0, gzip;q=0            → identity
/// ```
pub fn negotiate(accept: Option<&HeaderValue>, is_large: bool) -> Encoding {
    best_of(accept, &Encoding::preferred(is_large))
}

/// The one of these encodings that a client likes best, the first of equals; else identity.
pub fn best_of(accept: Option<&HeaderValue>, offered: &[Encoding]) -> Encoding {
    let Some(accept) = accept.and_then(|v| v.to_str().ok()) else {
        return Encoding::Identity;
    };
    let mut best = (Encoding::Identity, 0);
    for &encoding in offered {
        let quality = quality(accept, encoding.token());
        if quality > best.1 {
            best = (encoding, quality);
        }
    }
    best.0
}

/// How much a client likes a coding, in thousandths: its own entry, else that of `*`, else 0.
fn quality(accept: &str, token: &str) -> u16 {
    let mut star = 0;
    for entry in accept.split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts
            .find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")))
            .map_or(Some(1.0), |q| q.parse::<f32>().ok())
            .map_or(0, |q| (q.clamp(0.0, 1.0) * 1000.0) as u16);
        if name.eq_ignore_ascii_case(token) {
            return weight;
        }
        if name == "*" {
            star = weight;
        }
    }
    star
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiates() {
        for (accept, expected) in [
            (None, Encoding::Identity),
            (Some(""), Encoding::Identity),
            (Some("identity"), Encoding::Identity),
            (Some("gzip"), Encoding::Gzip),
            (Some("GZIP;q=0.1"), Encoding::Gzip),
            (Some("gzip, deflate, br, zstd"), Encoding::Zstd),
            (Some("zstd;q=0.5, gzip"), Encoding::Gzip),
            (Some("br, gzip;q=0.9"), Encoding::Brotli),
            (Some("*"), Encoding::Zstd),
            (Some("*;q=0, gzip;q=0"), Encoding::Identity),
            (Some("zstd;q=0, *"), Encoding::Gzip),
            (Some("gzip;q=x"), Encoding::Identity),
        ] {
            let header = accept.map(HeaderValue::from_static);
            assert_eq!(negotiate(header.as_ref(), false), expected, "{accept:?}");
        }
        let all = HeaderValue::from_static("gzip, deflate, br, zstd");
        assert_eq!(negotiate(Some(&all), true), Encoding::Gzip);
    }

    #[test]
    fn tags_follow_the_body() {
        assert_eq!(etag(b"ab"), etag(b"ab"));
        assert_ne!(etag(b"ab"), etag(b"ba"));
        assert_eq!(etag(b"").len(), 36);
        let mut parts = BodyTag::default();
        b"ab".iter().for_each(|byte| parts.add(&[*byte]));
        assert_eq!(parts.etag(), etag(b"ab"));
    }

    #[test]
    fn each_encoding_can_be_undone() {
        let body = Bytes::from("row,".repeat(1 << 19));
        for encoding in Encoding::PACKED {
            let packed = encoding.encode(&body).unwrap();
            assert!(packed.len() * 20 < body.len(), "{encoding:?}");
            let plain = encoding.decode(&packed, body.len()).unwrap();
            assert_eq!(plain, body, "{encoding:?}");
            assert!(encoding == Encoding::Brotli || !worth_encoding(&packed));
        }
        assert!(worth_encoding(&body) && !worth_encoding(b"[]"));
    }
}
