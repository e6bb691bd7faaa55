//! Makes a thing once for everyone who asks for it at the same time.
//!
//! The work runs in a task of its own. Whoever asked waits for it; when the last one goes away the work is cancelled.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::Instrument;
use xprof_core::Diag;
use xprof_core::diag::CancelHandle;

use super::EngineError;
use crate::cpu_pool::Abandoned;

type Outcome<V> = Option<Result<V, EngineError>>;

/// Work in progress by key. Clones are the same.
pub(super) struct Flights<K, V>(Arc<Mutex<Table<K, V>>>);

/// Each flight with its number: a cancelled flight may have a successor under the same key.
struct Table<K, V> {
    flights: HashMap<K, (u64, Weak<Flight<V>>)>,
    next: u64,
}

/// Held by everyone who waits.
struct Flight<V> {
    outcome: watch::Receiver<Outcome<V>>,
    cancel: CancelHandle,
    task: AbortHandle,
}

impl<V> Drop for Flight<V> {
    fn drop(&mut self) {
        // Two ways to stop, for the two places where the work can be: the pool looks at the flag, an await ends.
        self.cancel.cancel();
        self.task.abort();
    }
}

/// Whether this caller started the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Leader,
    Follower,
}

impl<K, V> Clone for Flights<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> std::fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Flights")
    }
}

impl<K: Eq + Hash + Clone + Send + 'static, V: Clone + Send + Sync + 'static> Flights<K, V> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Table { flights: HashMap::new(), next: 0 })))
    }

    /// Joins the work for `key`, or starts it. `start` gets the `Diag` by which the work is cancelled.
    pub(super) async fn join<F>(&self, key: K, start: impl FnOnce(Diag) -> F) -> (Result<V, EngineError>, Role)
    where
        F: Future<Output = Result<V, EngineError>> + Send + 'static,
    {
        let (flight, role) = self.board(key, start);
        let mut outcome = flight.outcome.clone();
        let result = match outcome.wait_for(Option::is_some).await {
            Ok(value) => value.clone().unwrap_or(Err(EngineError::Internal(Abandoned::Stopped))),
            // The task ended without a result: it panicked outside the pool.
            Err(_) => Err(EngineError::Internal(Abandoned::Stopped)),
        };
        (result, role)
    }

    fn board<F>(&self, key: K, start: impl FnOnce(Diag) -> F) -> (Arc<Flight<V>>, Role)
    where
        F: Future<Output = Result<V, EngineError>> + Send + 'static,
    {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = table.flights.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return (flight, Role::Follower);
        }
        table.next += 1;
        let number = table.next;
        let diag = Diag::new();
        let cancel = diag.cancel_handle();
        let (sender, outcome) = watch::channel(None);
        let landing = Landing { flights: self.clone(), key: key.clone(), number };
        let work = start(diag);
        let task = tokio::spawn(
            async move {
                let result = work.await;
                // Whoever asks from now on finds the cache, not this flight.
                drop(landing);
                sender.send_replace(Some(result));
            }
            .in_current_span(),
        );
        let flight = Arc::new(Flight { outcome, cancel, task: task.abort_handle() });
        table.flights.insert(key, (number, Arc::downgrade(&flight)));
        (flight, Role::Leader)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flights.len()
    }
}

/// Removes a flight from the table however its task ends.
struct Landing<K: Eq + Hash, V> {
    flights: Flights<K, V>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let mut table = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.flights.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            table.flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn makes_once_and_tells_who_began() {
        let flights = Flights::<&str, usize>::new();
        let made = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Notify::new());
        let join = || {
            let (made, gate) = (Arc::clone(&made), Arc::clone(&gate));
            flights.join("k", move |_| async move {
                gate.notified().await;
                Ok(made.fetch_add(1, Ordering::SeqCst))
            })
        };
        let open = async { gate.notify_one() };
        let (one, two, ()) = tokio::join!(join(), join(), open);
        assert_eq!((one.0.unwrap(), one.1), (0, Role::Leader));
        assert_eq!((two.0.unwrap(), two.1), (0, Role::Follower));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn is_cancelled_by_the_last_to_leave() {
        let flights = Flights::<&str, ()>::new();
        let seen = Arc::new(Mutex::new(None));
        let start = |diag: Diag| {
            *seen.lock().unwrap() = Some(diag);
            std::future::pending()
        };
        let mut one = Box::pin(flights.join("k", start));
        let mut two = Box::pin(flights.join("k", |_| std::future::pending()));
        assert!(futures::poll!(&mut one).is_pending());
        assert!(futures::poll!(&mut two).is_pending());
        let diag = seen.lock().unwrap().clone().unwrap();
        drop(one);
        assert!(diag.check().is_ok(), "another one still waits");
        drop(two);
        assert!(diag.check().is_err());
        while flights.len() > 0 {
            tokio::task::yield_now().await;
        }
        let (again, role) = flights.join("k", |_| async { Ok(()) }).await;
        assert!(again.is_ok() && role == Role::Leader);
    }
}
