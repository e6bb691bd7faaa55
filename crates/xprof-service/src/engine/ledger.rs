//! The budget of bytes that running jobs and caches share.
//!
//! A job reserves before it works and keeps a smaller reservation for what it leaves in the cache.
//! A reservation that does not fit makes the cache give up entries, oldest first, until it does.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::metrics::Gauge;

/// Bytes per permit: a semaphore counts in 32 bits, and 4 TiB are enough.
const UNIT_BYTES: u64 = 1024;

/// The budget. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    free: Arc<Semaphore>,
    total: u32,
    held: Gauge,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    permit: OwnedSemaphorePermit,
    ledger: Ledger,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.ledger.held.add(-bytes_of(self.permit.num_permits()));
    }
}

fn bytes_of(units: usize) -> i64 {
    (units as u64 * UNIT_BYTES) as i64
}

impl Ledger {
    /// A budget of that many bytes; the gauge shows what is held.
    pub(super) fn new(budget: u64, held: Gauge) -> Self {
        let total = u32::try_from(budget / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        Self { free: Arc::new(Semaphore::new(total as usize)), total, held }
    }

    /// A request above the whole budget becomes the whole budget: such a job runs, and runs alone.
    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).clamp(1, self.total)
    }

    fn reserved(&self, permit: OwnedSemaphorePermit) -> Reserved {
        self.held.add(bytes_of(permit.num_permits()));
        Reserved { permit, ledger: self.clone() }
    }

    /// Bytes held now.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held.get().max(0) as u64
    }

    /// Reserves what fits at once, after evicting; `None` if that is not enough.
    pub(super) fn try_reserve(&self, bytes: u64, mut evict: impl FnMut() -> bool) -> Option<Reserved> {
        // Above the budget there is nothing that evicting could do.
        if bytes.div_ceil(UNIT_BYTES) > u64::from(self.total) {
            return None;
        }
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_many_owned(self.units(bytes)) {
                return Some(self.reserved(permit));
            }
            if !evict() {
                return None;
            }
        }
    }

    /// Waits for its turn. `evict` drops one cached entry and says whether there was one;
    /// `cached` tells that there may be one again.
    pub(super) async fn reserve(&self, bytes: u64, mut evict: impl FnMut() -> bool, cached: &Notify) -> Reserved {
        let acquire = Arc::clone(&self.free).acquire_many_owned(self.units(bytes));
        let mut acquire = std::pin::pin!(acquire);
        loop {
            // Registered before evicting, so that an entry that is cached in between is not missed.
            let again = cached.notified();
            let mut again = std::pin::pin!(again);
            again.as_mut().enable();
            // What eviction frees goes to the oldest waiter, which keeps its place in the queue all the time.
            let permit = tokio::select! {
                biased;
                permit = &mut acquire => permit,
                () = std::future::ready(()) => {
                    if evict() {
                        continue;
                    }
                    tokio::select! {
                        permit = &mut acquire => permit,
                        () = again => continue,
                    }
                }
            };
            match permit {
                Ok(permit) => return self.reserved(permit),
                // The semaphore is never closed.
                Err(_) => std::future::pending().await,
            }
        }
    }
}

impl Reserved {
    /// Gives back what is more than `bytes`.
    pub(super) fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.permit.num_permits().saturating_sub(self.ledger.units(bytes) as usize);
        if let Some(permit) = self.permit.split(surplus) {
            self.ledger.held.add(-bytes_of(permit.num_permits()));
        }
    }

    /// Adds another reservation to this one.
    pub(super) fn merge(&mut self, mut other: Self) {
        // What is left of the other one holds nothing, so its drop gives nothing back.
        if let Some(permit) = other.permit.split(other.permit.num_permits()) {
            self.permit.merge(permit);
        }
    }

    /// How many bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.permit.num_permits() as u64 * UNIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    const KIB: u64 = 1024;

    fn ledger(kib: u64) -> Ledger {
        Ledger::new(kib * KIB, Gauge::default())
    }

    #[tokio::test]
    async fn admits_a_giant_alone() {
        let ledger = ledger(100);
        let small = ledger.try_reserve(10 * KIB, || false).unwrap();
        let cached = Notify::new();
        let giant = ledger.reserve(5000 * KIB, || false, &cached);
        let mut giant = std::pin::pin!(giant);
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut giant).await.is_err());
        drop(small);
        let giant = giant.await;
        assert_eq!(giant.bytes(), 100 * KIB);
        assert!(ledger.try_reserve(1, || false).is_none());
        drop(giant);
        assert_eq!(ledger.held_bytes(), 0);
    }

    #[tokio::test]
    async fn waiting_evicts_what_is_cached_later() {
        let ledger = ledger(100);
        let cache = Mutex::new(vec![ledger.try_reserve(60 * KIB, || false).unwrap()]);
        let running = ledger.try_reserve(40 * KIB, || false).unwrap();
        let cached = Notify::new();
        let evict = || cache.lock().unwrap().pop().is_some();
        let waiting = ledger.reserve(80 * KIB, evict, &cached);
        let mut waiting = std::pin::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut waiting).await.is_err());
        assert!(cache.lock().unwrap().is_empty(), "evicted as soon as it had to wait");
        cache.lock().unwrap().push(running);
        cached.notify_waiters();
        assert_eq!(waiting.await.bytes(), 80 * KIB);
    }

    #[test]
    fn shrinks_and_grows() {
        let ledger = ledger(100);
        let mut one = ledger.try_reserve(50 * KIB, || false).unwrap();
        one.shrink_to(20 * KIB);
        assert_eq!((one.bytes(), ledger.held_bytes()), (20 * KIB, 20 * KIB));
        one.merge(ledger.try_reserve(70 * KIB, || false).unwrap());
        assert_eq!((one.bytes(), ledger.held_bytes()), (90 * KIB, 90 * KIB));
        assert!(ledger.try_reserve(101 * KIB, || true).is_none());
        drop(one);
        assert_eq!(ledger.held_bytes(), 0);
    }
}
