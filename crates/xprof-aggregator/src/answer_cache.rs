//! Answers that were rendered before, each with its compressed forms, weighed by bytes.
//!
//! Takes keys that hold the identity of every trace, so an entry can be old but never stale: a changed trace has another
//! key. It computes nothing itself.

use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;

use bytes::Bytes;
use foldhash::quality::FixedState;
use http::HeaderValue;
use moka::future::Cache;
use tokio::sync::OnceCell;
use tracing::Span;
use xprof_core::answer::Format;
use xprof_core::tools::Params;
use xprof_service::cpu_pool::CpuPool;
use xprof_service::storage::TraceIdentity;

use crate::error::{Error, Result};
use crate::http::encode::{Encoding, worth_encoding};

/// Everything on which an answer depends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AnswerKey {
    /// The tool.
    pub tool: &'static str,
    /// As the tool writes it, or as CSV.
    pub format: Format,
    /// The traces in the order of the request.
    pub traces: Arc<[TraceIdentity]>,
    /// The parameters that a tool may look at.
    pub params: Params,
}

/// One rendered answer.
#[derive(Debug)]
pub struct CachedAnswer {
    /// MIME type of the body.
    pub content_type: HeaderValue,
    /// Changes with the body.
    pub etag: HeaderValue,
    /// What was odd about the traces: `name=count; …`.
    pub problems: Option<HeaderValue>,
    /// The hosts that the answer does not cover.
    pub failed_hosts: Option<HeaderValue>,
    plain: Bytes,
    packed: [OnceCell<Bytes>; 3],
}

impl CachedAnswer {
    /// An answer without remarks.
    pub fn new(content_type: &'static str, plain: Bytes) -> Self {
        Self {
            content_type: HeaderValue::from_static(content_type),
            etag: etag(&plain),
            problems: None,
            failed_hosts: None,
            plain,
            packed: Default::default(),
        }
    }

    /// The body in an encoding, or as it is where encoding cannot pay. Compressed on the CPU pool at the first request and
    /// kept, so that a warm request costs no compression.
    pub async fn body(&self, encoding: Encoding, pool: &CpuPool) -> Result<(Encoding, Bytes)> {
        let Some(slot) = Encoding::PREFERRED.iter().position(|e| *e == encoding) else {
            return Ok((Encoding::Identity, self.plain.clone()));
        };
        if !worth_encoding(&self.plain) {
            return Ok((Encoding::Identity, self.plain.clone()));
        }
        let packed = self.packed[slot]
            .get_or_try_init(|| async {
                let plain = self.plain.clone();
                let packed = pool.run(Span::current(), move || encoding.encode(&plain)).await;
                packed
                    .map_err(|e| Error::Internal(e.to_string()))?
                    .map_err(|e| Error::Internal(format!("compression: {e}")))
            })
            .await?;
        Ok((encoding, packed.clone()))
    }

    /// The body as the tool wrote it.
    pub fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// Bytes that an entry may come to hold. The compressed forms of tables are a small part of the plain one.
    fn weight(&self) -> u32 {
        u32::try_from(self.plain.len() / 2 * 3 + 1024).unwrap_or(u32::MAX)
    }
}

/// A weak entity tag: all encodings of a body share it.
pub fn etag(body: &[u8]) -> HeaderValue {
    let half = |seed| FixedState::with_seed(seed).hash_one(body);
    HeaderValue::from_str(&format!("W/\"{:016x}{:016x}\"", half(1), half(2)))
        .unwrap_or(HeaderValue::from_static("W/\"0\""))
}

/// The bounded store.
#[derive(Debug, Clone)]
pub struct AnswerCache(Cache<AnswerKey, Arc<CachedAnswer>>);

impl AnswerCache {
    /// A store of at most that many bytes; none keeps nothing.
    pub fn new(max_bytes: u64) -> Self {
        let cache =
            Cache::builder().max_capacity(max_bytes).weigher(|_, answer: &Arc<CachedAnswer>| answer.weight()).build();
        Self(cache)
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

    /// Keeps an answer.
    pub async fn put(&self, key: AnswerKey, answer: Arc<CachedAnswer>) {
        self.0.insert(key, answer).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_the_body() {
        assert_eq!(etag(b"a"), etag(b"a"));
        assert_ne!(etag(b"a"), etag(b"b"));
        assert_eq!(etag(b"").len(), 36);
    }
}
