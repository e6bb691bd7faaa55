//! Lists directories for many requests at once, and never answers with a listing that began before the request came.
//!
//! Takes directories, gives their entries. A thousand requests for one session cost a few listings, yet each request sees
//! every file that was written before it was sent. That is what lets answers be cached without ever being stale.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use xprof_service::storage::{DirEntry, Storage, StorageError};

/// A directory's entries, sorted by name.
pub type Entries = Result<Arc<Vec<DirEntry>>, StorageError>;

/// Directories that are kept track of. There is nothing of value in an entry.
const MAX_TRACKED: usize = 1024;

#[derive(Clone)]
struct Batch {
    began: Arc<AtomicBool>,
    entries: Shared<BoxFuture<'static, Entries>>,
}

/// Directory listings shared by the requests that wait for them.
pub struct Listings {
    storage: Arc<Storage>,
    batches: Mutex<HashMap<PathBuf, Batch>>,
}

impl std::fmt::Debug for Listings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listings").finish_non_exhaustive()
    }
}

impl Listings {
    /// Listings of a storage.
    pub fn new(storage: Arc<Storage>) -> Self {
        Self { storage, batches: Mutex::new(HashMap::new()) }
    }

    /// The entries of a directory, listed after this call.
    ///
    /// ```text
    /// requests:   1        2 3 4            5
    /// listings:   [ 1's   ][ that of 2 3 4 ][ 5's …
    /// ```
    pub async fn list(&self, directory: &Path) -> Entries {
        let entries = {
            let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
            let last = batches.get(directory).cloned();
            match last {
                Some(batch) if !batch.began.load(Ordering::SeqCst) => batch.entries,
                last => {
                    let batch = self.begin(directory, last);
                    if batches.len() >= MAX_TRACKED {
                        batches.clear();
                    }
                    batches.insert(directory.to_path_buf(), batch.clone());
                    batch.entries
                }
            }
        };
        entries.await
    }

    fn begin(&self, directory: &Path, before: Option<Batch>) -> Batch {
        let began = Arc::new(AtomicBool::new(false));
        let (mark, storage, directory) = (Arc::clone(&began), Arc::clone(&self.storage), directory.to_path_buf());
        let entries = async move {
            // Those who wait for this listing also drive the one before it, should its own requests be gone.
            if let Some(before) = before {
                let _ = before.entries.await;
            }
            mark.store(true, Ordering::SeqCst);
            storage.list_dir(&directory).await.map(Arc::new)
        };
        Batch { began, entries: entries.boxed().shared() }
    }
}

#[cfg(test)]
mod tests {
    use xprof_service::storage::{ReadMode, Roots};

    use super::*;

    #[tokio::test]
    async fn each_request_sees_what_was_written_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let listings = Listings::new(Arc::new(Storage::new(Roots::everything(), ReadMode::Map)));
        for n in 0..50 {
            std::fs::write(dir.path().join(n.to_string()), "").unwrap();
            let asks = (0..8).map(|_| listings.list(dir.path()));
            for entries in futures::future::join_all(asks).await {
                assert_eq!(entries.unwrap().len(), n + 1);
            }
        }
        // A request that is dropped half-way leaves nothing behind that others could hang on.
        let mut dropped = Box::pin(listings.list(dir.path()));
        assert!(futures::poll!(&mut dropped).is_pending());
        drop(dropped);
        assert_eq!(listings.list(dir.path()).await.unwrap().len(), 50);
        assert!(listings.list(&dir.path().join("absent")).await.is_err());
    }
}
