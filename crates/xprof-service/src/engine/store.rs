//! Prepared traces and artifacts that may be asked for again, least recently used first out.
//!
//! Each entry carries its reservation of the [`super::ledger`]; dropping the entry gives the bytes back,
//! but not before the last job that uses it is done.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use xprof_core::Diag;
use xprof_core::artifact::AnyArtifact;
use xprof_core::prep::Prepared;
use xprof_core::tools::{Params, registry};

use super::ledger::Reserved;
use crate::storage::TraceIdentity;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// With its events, or as a catalog.
    Prepared {
        identity: TraceIdentity,
        host: Arc<str>,
        with_events: bool,
    },
    Artifact {
        identity: TraceIdentity,
        host: Arc<str>,
        kind: &'static str,
        version: u32,
        params: Params,
    },
}

impl Key {
    /// That of what a tool's map makes of a host.
    pub(super) fn artifact(tool: &registry::Entry, identity: &TraceIdentity, host: &Arc<str>, params: &Params) -> Self {
        Self::Artifact {
            identity: identity.clone(),
            host: Arc::clone(host),
            kind: tool.artifact_kind,
            version: tool.artifact_version,
            params: params.only(tool.map_params),
        }
    }
}

/// A thing with what was odd about its trace, and its share of the budget.
#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) value: T,
    pub(super) diag: Diag,
    /// `None` if it did not fit: such a thing serves those who wait for it and is not cached.
    pub(super) reserved: Option<Reserved>,
}

#[derive(Debug, Clone)]
pub(super) enum Entry {
    Prepared(Arc<Kept<Prepared>>),
    Artifact(Arc<Kept<AnyArtifact>>),
}

impl Entry {
    fn is_used(&self) -> bool {
        match self {
            Self::Prepared(kept) => Arc::strong_count(kept) > 1,
            Self::Artifact(kept) => Arc::strong_count(kept) > 1,
        }
    }
}

/// The cache.
#[derive(Debug, Default)]
pub(super) struct Store {
    inner: Mutex<Lru>,
    /// Tells those who wait for bytes that there is something to evict.
    pub(super) cached: Notify,
}

#[derive(Debug, Default)]
struct Lru {
    entries: HashMap<Key, (u64, Entry)>,
    order: BTreeMap<u64, Key>,
    tick: u64,
}

impl Lru {
    fn touch(&mut self, key: &Key) -> Option<Entry> {
        self.tick += 1;
        let tick = self.tick;
        let (last, entry) = self.entries.get_mut(key)?;
        self.order.remove(last);
        *last = tick;
        let entry = entry.clone();
        self.order.insert(tick, key.clone());
        Some(entry)
    }

    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let (tick, entry) = self.entries.remove(key)?;
        self.order.remove(&tick);
        Some(entry)
    }
}

impl Store {
    fn with<T>(&self, f: impl FnOnce(&mut Lru) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn prepared(&self, key: &Key) -> Option<Arc<Kept<Prepared>>> {
        match self.with(|lru| lru.touch(key)) {
            Some(Entry::Prepared(kept)) => Some(kept),
            _ => None,
        }
    }

    pub(super) fn artifact(&self, key: &Key) -> Option<Arc<Kept<AnyArtifact>>> {
        match self.with(|lru| lru.touch(key)) {
            Some(Entry::Artifact(kept)) => Some(kept),
            _ => None,
        }
    }

    /// Keeps an entry and drops those of older versions of the same file, which nobody will ask for.
    pub(super) fn insert(&self, key: Key, entry: Entry) {
        let dropped = self.with(|lru| {
            let (Key::Prepared { identity, .. } | Key::Artifact { identity, .. }) = &key;
            let is_old = |other: &Key| {
                let (Key::Prepared { identity: o, .. } | Key::Artifact { identity: o, .. }) = other;
                o.path == identity.path && o != identity
            };
            let old: Vec<Key> = lru.entries.keys().filter(|k| is_old(k)).cloned().collect();
            let mut dropped: Vec<_> = old.iter().filter_map(|k| lru.remove(k)).collect();
            dropped.extend(lru.remove(&key));
            lru.tick += 1;
            let tick = lru.tick;
            lru.order.insert(tick, key.clone());
            lru.entries.insert(key, (tick, entry));
            dropped
        });
        // Freeing a large trace takes a while, so it happens outside the lock.
        drop(dropped);
        self.cached.notify_waiters();
    }

    pub(super) fn remove(&self, key: &Key) {
        drop(self.with(|lru| lru.remove(key)));
    }

    /// Drops the entry that was not used for longest, of those that no job uses if there is one. False if there is none at all.
    pub(super) fn evict_one(&self) -> bool {
        let evicted = self.with(|lru| {
            let unused = lru.order.values().find(|k| lru.entries.get(k).is_some_and(|(_, e)| !e.is_used()));
            let key = unused.or_else(|| lru.order.values().next()).cloned()?;
            lru.remove(&key)
        });
        evicted.is_some()
    }

    /// How many prepared traces and how many artifacts.
    pub(super) fn counts(&self) -> (usize, usize) {
        self.with(|lru| {
            let prepared = lru.entries.keys().filter(|k| matches!(k, Key::Prepared { .. })).count();
            (prepared, lru.entries.len() - prepared)
        })
    }
}
