//! Lists directories for many requests at once, and never answers with a listing that began before the request came.
//!
//! Takes directories, gives their entries. A thousand requests for one session cost a few listings, yet each request sees
//! every file that was written before it was sent. That is what lets answers be cached without ever being stale.
//!
//! A directory that is known to have the same entries as before ([`Listing::holds`]) is not listed again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use xprof_service::storage::{EntryKind, Listing, Storage, StorageError};

use super::hosts::HostFiles;

/// A directory's entries in the order of the file system, and the traces among them.
#[derive(Debug, Default)]
pub struct Directory {
    /// What it holds.
    pub listing: Listing,
    /// Its traces by host.
    pub files: HostFiles,
}

impl Directory {
    fn new(listing: Listing) -> Self {
        let names = listing.entries().iter().filter(|e| e.kind == EntryKind::File).map(|e| e.name.as_str());
        Self { files: HostFiles::among(&names), listing }
    }
}

/// A directory, and whether the sizes and times of its entries are those of now.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The directory.
    pub directory: Arc<Directory>,
    /// Whether it was listed for this request; else only its names are known to hold.
    pub is_fresh: bool,
}

type Entries = Result<Arc<Directory>, StorageError>;

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
    /// Listings that may still hold.
    kept: Mutex<HashMap<PathBuf, Arc<Directory>>>,
}

impl std::fmt::Debug for Listings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listings").finish_non_exhaustive()
    }
}

impl Listings {
    /// Listings of a storage.
    pub fn new(storage: Arc<Storage>) -> Self {
        Self { storage, batches: Mutex::default(), kept: Mutex::default() }
    }

    /// A directory as it was listed at some time, if it can be told cheaply what became of a file in it.
    pub fn kept(&self, directory: &Path) -> Option<Arc<Directory>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(directory).cloned()
    }

    /// The entries of a directory, listed after this call.
    ///
    /// ```text
    /// requests:   1        2 3 4            5
    /// listings:   [ 1's   ][ that of 2 3 4 ][ 5's …
    /// ```
    pub async fn list(&self, directory: &Path) -> Result<Seen, StorageError> {
        if let Some(kept) = self.kept(directory)
            && kept.listing.holds()
        {
            return Ok(Seen { directory: kept, is_fresh: false });
        }
        self.list_anew(directory).boxed().await
    }

    async fn list_anew(&self, directory: &Path) -> Result<Seen, StorageError> {
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
        let listed = entries.await;
        self.keep(directory, &listed);
        Ok(Seen { directory: listed?, is_fresh: true })
    }

    fn keep(&self, path: &Path, listed: &Entries) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match listed {
            Ok(directory) if directory.listing.can_hold() => {
                if kept.len() >= MAX_TRACKED {
                    kept.clear();
                }
                kept.insert(path.to_path_buf(), Arc::clone(directory));
            }
            _ => drop(kept.remove(path)),
        }
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
            storage.list_dir(&directory).await.map(|listing| Arc::new(Directory::new(listing)))
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
                assert_eq!(entries.unwrap().directory.listing.entries().len(), n + 1);
            }
        }
        // A request that is dropped half-way leaves nothing behind that others could hang on. It need not be half-way on
        // a machine that lists faster than it polls.
        for n in 50..60 {
            std::fs::write(dir.path().join(n.to_string()), "").unwrap();
            let mut dropped = Box::pin(listings.list(dir.path()));
            let _ = futures::poll!(&mut dropped);
            drop(dropped);
            assert_eq!(listings.list(dir.path()).await.unwrap().directory.listing.entries().len(), n + 1);
        }
        assert!(listings.list(&dir.path().join("absent")).await.is_err());
    }

    #[tokio::test]
    async fn a_directory_at_rest_is_listed_once_and_its_changes_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.xplane.pb"), "1").unwrap();
        let listings = Listings::new(Arc::new(Storage::new(Roots::everything(), ReadMode::Map)));
        // What was changed a moment ago is listed each time. More than once, for a moment may be long on a busy machine.
        let mut is_listed_again = false;
        for n in 0..20 {
            std::fs::write(dir.path().join(n.to_string()), "1").unwrap();
            listings.list(dir.path()).await.unwrap();
            is_listed_again |= listings.list(dir.path()).await.unwrap().is_fresh;
        }
        assert!(is_listed_again, "a new directory is not at rest");
        // Two seconds later it counts as being at rest.
        let mut n_fresh = 0;
        while listings.list(dir.path()).await.unwrap().is_fresh {
            n_fresh += 1;
            assert!(n_fresh < 2000, "never at rest");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        std::fs::write(dir.path().join("b.xplane.pb"), "1").unwrap();
        let seen = listings.list(dir.path()).await.unwrap();
        assert!(seen.is_fresh && seen.directory.files.get("b").is_some());
    }
}
