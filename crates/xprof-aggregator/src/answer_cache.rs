//! Answers that were rendered before, each with its compressed forms, weighed by bytes.
//!
//! Takes keys that hold the identity of every trace in the order of its hosts, so an entry can be old but never stale: a changed trace has another
//! key. It computes nothing itself.

use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use foldhash::quality::RandomState;
use futures::FutureExt as _;
use http::HeaderValue;
use moka::future::Cache;
use tokio::sync::OnceCell;
use tracing::Span;
use xprof_core::answer::{Format, LARGE_BYTES};
use xprof_core::tools::Params;
use xprof_service::cpu_pool::CpuPool;
use xprof_service::storage::TraceIdentity;

use crate::error::{Error, Result};
use crate::http::encode::{Encoding, etag, worth_encoding};
use crate::http::gzip::Packed;
use crate::http::partial::Failed;

/// Everything on which an answer depends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AnswerKey {
    /// The tool.
    pub tool: &'static str,
    /// As the tool writes it, or as CSV.
    pub format: Format,
    /// The traces in the order of the request.
    pub traces: Arc<[TraceIdentity]>,
    /// The hosts of the request that have no trace: the answer's headers name them.
    pub missing: Arc<[Arc<str>]>,
    /// The parameters that a tool may look at.
    pub params: Params,
}

/// One rendered answer.
///
/// A small body is kept as it is and in every encoding that was asked for. Of a large one the plain form is given up once it is
/// compressed: it is ten times larger than its compressed form, from which it can be had again.
#[derive(Debug)]
pub struct CachedAnswer {
    /// MIME type of the body.
    pub content_type: HeaderValue,
    /// Changes with the body.
    pub etag: HeaderValue,
    /// What was odd about the traces: `name=count; …`.
    pub problems: Option<HeaderValue>,
    /// The hosts that the answer covers, in the order in which they were merged.
    pub hosts: Option<HeaderValue>,
    /// The hosts that the answer does not cover, and why.
    pub failed: Failed,
    length: usize,
    is_packable: bool,
    plain: Mutex<Option<Bytes>>,
    packed: [OnceCell<Bytes>; 3],
    /// What the cache takes it to weigh.
    weighed: AtomicU32,
}

impl CachedAnswer {
    /// An answer without remarks. Reads the whole body, so that a large one is work for the CPU pool.
    pub fn new(content_type: &'static str, plain: Bytes) -> Self {
        let etag = etag(&plain);
        Self {
            is_packable: worth_encoding(&plain),
            length: plain.len(),
            plain: Mutex::new(Some(plain)),
            ..Self::without_body(content_type, etag)
        }
    }

    /// A large answer without remarks that was compressed while it was written.
    pub fn packed(content_type: &'static str, packed: &Packed) -> Self {
        let body =
            |encoding| if encoding == Encoding::Gzip { OnceCell::from(packed.body.clone()) } else { OnceCell::new() };
        Self {
            is_packable: true,
            length: packed.length,
            packed: Encoding::PACKED.map(body),
            ..Self::without_body(content_type, packed.tag.etag())
        }
    }

    fn without_body(content_type: &'static str, etag: HeaderValue) -> Self {
        Self {
            content_type: HeaderValue::from_static(content_type),
            etag,
            problems: None,
            hosts: None,
            failed: Failed::default(),
            length: 0,
            is_packable: false,
            plain: Mutex::new(None),
            packed: Default::default(),
            weighed: AtomicU32::new(0),
        }
    }

    /// The body in an encoding, or as it is where encoding cannot pay. Compressed on the CPU pool at the first request and
    /// kept, so that a warm request costs no compression.
    pub async fn body(&self, encoding: Encoding, pool: &CpuPool) -> Result<(Encoding, Bytes)> {
        let slot = Encoding::PACKED.iter().position(|e| *e == encoding).filter(|_| self.is_packable);
        let Some(slot) = slot else {
            return Ok((Encoding::Identity, self.plain(pool).await?));
        };
        if let Some(packed) = self.packed[slot].get() {
            return Ok((encoding, packed.clone()));
        }
        self.pack(encoding, slot, pool).boxed().await
    }

    async fn pack(&self, encoding: Encoding, slot: usize, pool: &CpuPool) -> Result<(Encoding, Bytes)> {
        let make = || async {
            let plain = self.plain(pool).await?;
            on_pool(pool, move || encoding.encode(&plain)).await
        };
        let packed = self.packed[slot].get_or_try_init(make).await?.clone();
        if self.is_large() {
            *self.lock() = None;
        }
        Ok((encoding, packed))
    }

    /// The body as the tool wrote it.
    pub async fn plain(&self, pool: &CpuPool) -> Result<Bytes> {
        if let Some(plain) = &*self.lock() {
            return Ok(plain.clone());
        }
        self.unpack(pool).boxed().await
    }

    async fn unpack(&self, pool: &CpuPool) -> Result<Bytes> {
        let mut forms = Encoding::PACKED.iter().zip(&self.packed);
        let form = forms.find_map(|(encoding, packed)| Some((*encoding, packed.get()?.clone())));
        let (encoding, packed) = form.ok_or_else(|| Error::Internal("an answer has no body".into()))?;
        let length = self.length;
        let plain = on_pool(pool, move || encoding.decode(&packed, length)).await?;
        // Clients that ask for it once ask for it again.
        *self.lock() = Some(plain.clone());
        Ok(plain)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Bytes>> {
        self.plain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the body is large, which decides what encodings are preferred.
    pub fn is_large(&self) -> bool {
        self.length >= LARGE_BYTES
    }

    /// Bytes that it holds. Of a small answer, bytes that it may come to hold: the compressed forms of tables are a small part
    /// of the plain one.
    fn weight(&self) -> u32 {
        let packed: usize = self.packed.iter().filter_map(|p| p.get().map(Bytes::len)).sum();
        let plain = self.lock().as_ref().map_or(0, Bytes::len);
        let bytes = if self.is_large() { plain + packed } else { self.length / 2 * 3 } + self.failed.weight();
        u32::try_from(bytes + 1024).unwrap_or(u32::MAX)
    }
}

async fn on_pool(pool: &CpuPool, work: impl FnOnce() -> std::io::Result<Bytes> + Send + 'static) -> Result<Bytes> {
    let done = pool.run(Span::current(), work).await.map_err(|e| Error::Internal(e.to_string()))?;
    done.map_err(|e| Error::Internal(format!("compression: {e}")))
}

/// The bounded store.
#[derive(Debug, Clone)]
pub struct AnswerCache(Cache<AnswerKey, Arc<CachedAnswer>, RandomState>);

impl AnswerCache {
    /// A store of at most that many bytes; none keeps nothing.
    pub fn new(max_bytes: u64) -> Self {
        let weigh = |_: &AnswerKey, answer: &Arc<CachedAnswer>| {
            let weight = answer.weight();
            answer.weighed.store(weight, Ordering::Relaxed);
            weight
        };
        Self(Cache::builder().max_capacity(max_bytes).weigher(weigh).build_with_hasher(RandomState::default()))
    }

    /// The answer, if it was rendered before.
    pub async fn get(&self, key: &AnswerKey) -> Option<Arc<CachedAnswer>> {
        self.0.get(key).await
    }

    /// How many answers are kept, give or take those that come and go.
    pub fn len(&self) -> u64 {
        self.0.iter().count() as u64
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Weighs an answer again that came to hold more or less than when it was put.
    pub async fn weigh(&self, key: &AnswerKey, answer: &Arc<CachedAnswer>) {
        let is_other = answer.is_large() && answer.weight() != answer.weighed.load(Ordering::Relaxed);
        if is_other && self.0.contains_key(key) {
            self.put(key.clone(), Arc::clone(answer)).boxed().await;
        }
    }

    /// Keeps an answer.
    pub async fn put(&self, key: AnswerKey, answer: Arc<CachedAnswer>) {
        self.0.insert(key, answer).await;
    }
}

#[cfg(test)]
mod tests {
    use xprof_core::answer::Sink;

    use super::*;
    use crate::http::gzip::GzipSink;

    fn key() -> AnswerKey {
        let (traces, missing) = (Arc::new([]), Arc::new([]));
        AnswerKey { tool: "t", format: Format::Native, traces, missing, params: Params::new() }
    }

    #[tokio::test]
    async fn a_large_body_is_kept_in_the_forms_that_are_asked_for() {
        let pool = CpuPool::new(2, &xprof_service::metrics::Metrics::new()).unwrap();
        let cache = AnswerCache::new(64 << 20);
        let text = Bytes::from("{\"name\":\"fusion\"},".repeat(100_000));
        let answer = Arc::new(CachedAnswer::new("application/json", text.clone()));
        cache.put(key(), Arc::clone(&answer)).await;
        assert!(answer.weight() as usize > text.len());
        for (encoding, holds_plain) in [
            (Encoding::Gzip, false),
            (Encoding::Zstd, false),
            (Encoding::Identity, true),
            (Encoding::Brotli, false),
            (Encoding::Identity, true),
            (Encoding::Gzip, true),
        ] {
            let (given, body) = answer.body(encoding, &pool).await.unwrap();
            assert_eq!(given, encoding);
            assert!(given.decode(&body, text.len()).unwrap() == text);
            assert_eq!(answer.lock().is_some(), holds_plain, "{encoding:?}");
            cache.weigh(&key(), &answer).await;
            assert_eq!(answer.weighed.load(Ordering::Relaxed) as usize > text.len(), holds_plain, "{encoding:?}");
        }
        // One that was given up meanwhile does not come back by being weighed.
        let empty = AnswerCache::new(64 << 20);
        answer.weighed.store(0, Ordering::Relaxed);
        empty.weigh(&key(), &answer).await;
        assert!(empty.is_empty());
    }

    #[tokio::test]
    async fn a_body_that_was_compressed_while_it_was_written_equals_a_whole_one() {
        let pool = CpuPool::new(2, &xprof_service::metrics::Metrics::new()).unwrap();
        let text = "{\"name\":\"fusion\"},".repeat(100_000);
        let sink = GzipSink::default();
        let mut writer: Box<dyn Sink> = Box::new(sink.clone());
        text.as_bytes().chunks(300_000).for_each(|part| writer.append(&[part.to_vec(), Vec::new()]));
        let answer = CachedAnswer::packed("application/json", &sink.finish().unwrap().unwrap());
        let whole = CachedAnswer::new("application/json", Bytes::from(text.clone()));
        assert_eq!((answer.etag.clone(), answer.length), (whole.etag.clone(), text.len()));
        assert_eq!(answer.plain(&pool).await.unwrap(), text);
        let (encoding, body) = answer.body(Encoding::Zstd, &pool).await.unwrap();
        assert_eq!(encoding.decode(&body, text.len()).unwrap(), text);
        assert!(GzipSink::default().finish().unwrap().is_none());
    }
}
