//! What map leaves behind for one host, and how it travels to where it is reduced.
//!
//! An artifact is shared by every tool of a family: eight tools read one `HostStats`.
//! It is kept in memory as it is, and encoded only where it leaves the process.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Error, Result};

/// The result of map for one host.
pub trait Artifact: Any + Send + Sync + Sized {
    /// Name of the kind: equal for all tools that share it.
    const KIND: &'static str;
    /// Raised with each change of the encoding. A reader refuses what it does not know.
    const VERSION: u32;
    /// Whether questions share work that begins only after it is decoded, so that a process which got it from another one
    /// keeps it.
    const IS_KEPT: bool = false;

    /// The bytes that [`Artifact::decode`] reads. Equal artifacts have equal bytes.
    fn encode(&self) -> Vec<u8>;

    /// Reads what [`Artifact::encode`] wrote.
    fn decode(bytes: Bytes) -> Result<Self>;

    /// Roughly the bytes of memory held, for caches.
    fn weight(&self) -> usize;
}

/// The artifact of one host, on its way to reduce.
#[derive(Debug)]
pub struct HostPart<A> {
    /// The host's name: the trace file's base name without `.xplane.pb`.
    pub host: Arc<str>,
    /// What map made of its trace.
    pub artifact: Arc<A>,
}

impl<A> Clone for HostPart<A> {
    fn clone(&self) -> Self {
        Self { host: Arc::clone(&self.host), artifact: Arc::clone(&self.artifact) }
    }
}

/// An artifact whose type is known only to its tool.
#[derive(Clone)]
pub struct AnyArtifact {
    inner: Arc<dyn Any + Send + Sync>,
    kind: &'static str,
    weight: usize,
    encode: fn(&(dyn Any + Send + Sync)) -> Vec<u8>,
}

impl std::fmt::Debug for AnyArtifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnyArtifact").field("kind", &self.kind).field("weight", &self.weight).finish_non_exhaustive()
    }
}

impl AnyArtifact {
    /// Forgets the type.
    pub fn new<A: Artifact>(artifact: A) -> Self {
        fn encode<A: Artifact>(any: &(dyn Any + Send + Sync)) -> Vec<u8> {
            any.downcast_ref::<A>().map(Artifact::encode).unwrap_or_default()
        }
        Self { weight: artifact.weight(), inner: Arc::new(artifact), kind: A::KIND, encode: encode::<A> }
    }

    /// Remembers the type.
    pub fn downcast<A: Artifact>(&self) -> Result<Arc<A>> {
        Arc::clone(&self.inner)
            .downcast::<A>()
            .map_err(|_| Error::BadArtifact { artifact: A::KIND, reason: format!("it is a {} artifact", self.kind) })
    }

    /// The artifact's bytes.
    pub fn encode(&self) -> Vec<u8> {
        (self.encode)(self.inner.as_ref())
    }

    /// The kind of artifact.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Roughly the bytes of memory held.
    pub fn weight(&self) -> usize {
        self.weight
    }
}
