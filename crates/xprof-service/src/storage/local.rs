//! Files of this machine and of file systems mounted on it.

use std::fs::{self, File, Metadata};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use xprof_core::xspace::TraceBytes;

use super::identity::modified_unix_ns;
use super::{Backend, DirEntry, EntryKind, Listing, OpenTrace, StorageError, TraceIdentity, listing, mmap};

/// Smaller files are read into memory: that costs less than a map, and nothing can happen to them afterwards.
const SMALL_BYTES: u64 = 1 << 20;

/// How traces are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadMode {
    /// Through the page cache, without a copy.
    #[default]
    Map,
    /// Into memory.
    Copy,
}

impl ReadMode {
    /// `map` or `copy`, as in `--trace_read`.
    pub fn from_word(word: &str) -> Self {
        if word == "copy" { Self::Copy } else { Self::Map }
    }
}

/// The local file system.
#[derive(Debug, Clone, Copy)]
pub struct Local {
    mode: ReadMode,
}

impl Local {
    /// Reads traces in that way.
    pub fn new(mode: ReadMode) -> Self {
        Self { mode }
    }
}

impl Backend for Local {
    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<OpenTrace, StorageError>> {
        let mode = self.mode;
        blocking(path, move |path| open(path, mode)).boxed()
    }

    fn identity<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<TraceIdentity, StorageError>> {
        blocking(path, |path| {
            let metadata = fs::metadata(path).map_err(|e| StorageError::io(path, "opened", e))?;
            regular(path, &metadata)?;
            Ok(TraceIdentity::new(path, &metadata))
        })
        .boxed()
    }

    fn list_dir<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<Listing, StorageError>> {
        blocking(path, list_dir).boxed()
    }

    fn read<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<Bytes, StorageError>> {
        blocking(path, |path| fs::read(path).map(Bytes::from).map_err(|e| StorageError::io(path, "read", e))).boxed()
    }

    fn write_atomic<'a>(&'a self, path: &'a Path, bytes: Bytes) -> BoxFuture<'a, Result<(), StorageError>> {
        blocking(path, move |path| write_atomic(path, &bytes).map_err(|e| StorageError::io(path, "written", e))).boxed()
    }

    fn remove<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<(), StorageError>> {
        blocking(path, |path| match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StorageError::io(path, "removed", error)),
            _ => Ok(()),
        })
        .boxed()
    }
}

/// File calls block, on a network file system for seconds: they never run on the threads that serve requests.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let owned = path.to_path_buf();
    let span = tracing::Span::current();
    match tokio::task::spawn_blocking(move || span.in_scope(|| work(&owned))).await {
        Ok(result) => result,
        Err(error) => Err(StorageError::io(path, "reached", std::io::Error::other(error))),
    }
}

/// Opening a pipe would wait for its other end, so the kind is checked on what was opened or before.
fn regular(path: &Path, metadata: &Metadata) -> Result<(), StorageError> {
    if metadata.is_file() {
        Ok(())
    } else {
        Err(StorageError::WrongKind { path: path.to_path_buf(), expected: "file" })
    }
}

fn open(path: &Path, mode: ReadMode) -> Result<OpenTrace, StorageError> {
    let before = fs::metadata(path).map_err(|e| StorageError::io(path, "opened", e))?;
    regular(path, &before)?;
    let file = File::open(path).map_err(|e| StorageError::io(path, "opened", e))?;
    let metadata = file.metadata().map_err(|e| StorageError::io(path, "opened", e))?;
    regular(path, &metadata)?;
    let identity = TraceIdentity::new(path, &metadata);
    let bytes = if mode == ReadMode::Copy || identity.size_bytes < SMALL_BYTES {
        TraceBytes::new(read_all(path, file, identity.size_bytes)?)
    } else {
        mmap::map(&file, identity.size_bytes).map_err(|e| StorageError::io(path, "mapped", e))?
    };
    Ok(OpenTrace { bytes, identity })
}

/// Reads exactly the size that belongs to the identity: a file that is still growing is cut there, one that shrank is an error.
fn read_all(path: &Path, file: File, size: u64) -> Result<Bytes, StorageError> {
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(size as usize).map_err(std::io::Error::other);
    let read = reserved.and_then(|()| file.take(size).read_to_end(&mut bytes));
    match read {
        Ok(n) if n as u64 == size => Ok(bytes.into()),
        Ok(_) => Err(StorageError::io(path, "read", std::io::Error::other("it became shorter while it was read"))),
        Err(error) => Err(StorageError::io(path, "read", error)),
    }
}

fn list_dir(path: &Path) -> Result<Listing, StorageError> {
    // Looked at before the entries are: what changes meanwhile makes the stamp out of date.
    let stamp = listing::Stamp::of(path);
    let entries = fs::read_dir(path).map_err(|e| StorageError::io(path, "listed", e))?;
    let mut out = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| StorageError::io(path, "listed", e))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let is_link = entry.file_type().is_ok_and(|t| t.is_symlink());
        // An entry that vanished since it was listed, or a link to nothing, is listed as `Other`.
        let metadata = fs::metadata(entry.path()).ok();
        let kind = match &metadata {
            Some(m) if m.is_file() => EntryKind::File,
            Some(m) if m.is_dir() => EntryKind::Directory,
            _ => EntryKind::Other,
        };
        let size_bytes = metadata.as_ref().map_or(0, Metadata::len);
        let modified_unix_ns = metadata.as_ref().map_or(0, modified_unix_ns);
        out.push(DirEntry { name, kind, is_link, size_bytes, modified_unix_ns });
    }
    Ok(Listing::new(out, stamp))
}

/// Writes beside the target and renames: both are on one file system, so the rename is atomic.
fn write_atomic(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = temporary_name(path);
    let written = File::create_new(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        // Without this a crash of the machine can leave the new name with old or no bytes.
        file.sync_data()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        // The first error is the one to report.
        drop(fs::remove_file(&temporary));
    }
    written
}

/// Unlike any name that a listing of traces or caches would match, and unlike that of any other writer.
fn temporary_name(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}-{n}-{nanos}.tmp", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::super::{Roots, Storage};
    use super::*;

    fn storage() -> Storage {
        Storage::new(Roots::everything(), ReadMode::Map)
    }

    #[tokio::test]
    async fn small_and_large_files_have_the_same_bytes_either_way() {
        let dir = tempfile::tempdir().unwrap();
        for size in [0, 1, SMALL_BYTES - 1, SMALL_BYTES, 3 * SMALL_BYTES + 17] {
            let content: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let path = dir.path().join(format!("{size}.xplane.pb"));
            fs::write(&path, &content).unwrap();
            for mode in [ReadMode::Map, ReadMode::Copy] {
                let open = Storage::new(Roots::everything(), mode).open(&path).await.unwrap();
                assert_eq!(open.identity, storage().identity(&path).await.unwrap());
                assert!(open.bytes.bytes()[..] == content[..], "{mode:?} {size}");
                // Released pages come back from the file.
                open.bytes.release(0..content.len());
                open.bytes.release(5..5);
                open.bytes.release(0..usize::MAX);
                assert!(open.bytes.bytes()[..] == content[..], "{mode:?} {size} after release");
            }
        }
    }

    #[tokio::test]
    async fn errors_name_the_file_and_the_cause() {
        let dir = tempfile::tempdir().unwrap();
        let show = |e: StorageError| e.to_string().replace(dir.path().to_str().unwrap(), "D");
        let s = storage();
        assert_eq!(show(s.open(&dir.path().join("x")).await.unwrap_err()), "D/x does not exist");
        assert_eq!(show(s.open(dir.path()).await.unwrap_err()), "D is not a file");
        assert_eq!(show(s.list_dir(&dir.path().join("x")).await.unwrap_err()), "D/x does not exist");
        let relative = s.open(Path::new("x")).await.unwrap_err();
        assert_eq!(relative.to_string(), "x cannot be used: it is not an absolute path");
        let remote = s.open(Path::new("gs://b/x")).await.unwrap_err();
        assert_eq!(remote.to_string(), "gs://b/x cannot be used: this build reads local files only");
    }

    #[tokio::test]
    async fn writes_replace_and_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h.op_stats_v2.pb");
        for text in ["one", "two"] {
            storage().write_atomic(&path, Bytes::from_static(text.as_bytes())).await.unwrap();
            assert_eq!(storage().read(&path).await.unwrap(), text);
        }
        fs::create_dir(dir.path().join("d")).unwrap();
        assert!(storage().write_atomic(&dir.path().join("d"), Bytes::new()).await.is_err());
        std::os::unix::fs::symlink("nowhere", dir.path().join("l")).unwrap();
        let mut listed = storage().list_dir(dir.path()).await.unwrap().entries().to_vec();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        let names: Vec<_> = listed.iter().map(|e| (e.name.as_str(), e.kind, e.is_link)).collect();
        assert_eq!(
            names,
            [
                ("d", EntryKind::Directory, false),
                ("h.op_stats_v2.pb", EntryKind::File, false),
                ("l", EntryKind::Other, true),
            ]
        );
        storage().remove(&path).await.unwrap();
        storage().remove(&path).await.unwrap();
    }
}
