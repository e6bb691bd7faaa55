//! Equal requests that arrive together share one computation.
//!
//! Takes a key and a way to compute, gives a future that all callers with that key share.
//! The computation is driven by those who wait for it: when the last one leaves, it is dropped and its work is cancelled.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

type Flights<K, V> = HashMap<K, (u64, WeakShared<BoxFuture<'static, V>>)>;

/// The computations under way.
pub struct SingleFlight<K, V: Clone> {
    inner: Arc<Mutex<Inner<K, V>>>,
}

struct Inner<K, V: Clone> {
    flights: Flights<K, V>,
    next_id: u64,
}

impl<K, V: Clone> std::fmt::Debug for SingleFlight<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

impl<K, V: Clone> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { flights: HashMap::new(), next_id: 0 })) }
    }
}

impl<K, V> SingleFlight<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The computation under that key, begun with `start` unless one is under way. Says whether it was.
    pub fn join<F>(&self, key: K, start: impl FnOnce() -> F) -> (Shared<BoxFuture<'static, V>>, bool)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = inner.flights.get(&key).and_then(|(_, weak)| weak.upgrade()) {
            return (flight, true);
        }
        inner.next_id += 1;
        let id = inner.next_id;
        let landing = Landing { key: key.clone(), id, flights: Arc::clone(&self.inner) };
        let work = start();
        let flight = async move {
            let _landing = landing;
            work.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            inner.flights.insert(key, (id, weak));
        }
        (flight, false)
    }

    /// How many computations are under way.
    pub fn len(&self) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).flights.len()
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Removes a computation from the table once it is done or dropped.
struct Landing<K: Hash + Eq, V: Clone> {
    key: K,
    id: u64,
    flights: Arc<Mutex<Inner<K, V>>>,
}

impl<K: Hash + Eq, V: Clone> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let mut inner = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // A newer computation may have taken the place of one that everybody left.
        if inner.flights.get(&self.key).is_some_and(|(id, _)| *id == self.id) {
            inner.flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn equal_keys_compute_once() {
        let flights = SingleFlight::<&str, u32>::default();
        let runs = Arc::new(AtomicU32::new(0));
        let gate = Arc::new(Notify::new());
        let start = || {
            let (runs, gate) = (Arc::clone(&runs), Arc::clone(&gate));
            async move {
                gate.notified().await;
                runs.fetch_add(1, Ordering::SeqCst) + 1
            }
        };
        let (a, joined_a) = flights.join("k", start);
        let (b, joined_b) = flights.join("k", start);
        let (_c, joined_c) = flights.join("other", start);
        assert_eq!((joined_a, joined_b, joined_c), (false, true, false));
        gate.notify_one();
        assert_eq!(futures::join!(a, b), (1, 1));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(flights.len(), 1);
    }

    #[tokio::test]
    async fn work_is_dropped_with_its_last_waiter() {
        struct Dropped(Arc<AtomicU32>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let flights = SingleFlight::<&str, u32>::default();
        let drops = Arc::new(AtomicU32::new(0));
        let start = || {
            let mark = Dropped(Arc::clone(&drops));
            async move {
                let _mark = mark;
                std::future::pending().await
            }
        };
        let (mut a, _) = flights.join("k", start);
        let (b, _) = flights.join("k", start);
        assert!(futures::poll!(&mut a).is_pending());
        drop(a);
        assert_eq!(drops.load(Ordering::SeqCst), 0, "another request still waits");
        drop(b);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        assert!(flights.is_empty());
    }
}
