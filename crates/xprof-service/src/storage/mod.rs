//! Where traces are: open one, know its identity, list a directory, write a file atomically.
//!
//! Takes paths as the user gives them; gives bytes that the reader of `xprof_core` understands.
//! Every path passes [`Roots`] first. It must not know what is inside a file.
//!
//! [`Backend`] is the seam for object stores: paths that begin with a scheme (`gs://`) find no backend yet and say so.

mod identity;
mod listing;
mod local;
mod mmap;
mod roots;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use xprof_core::Retry;
use xprof_core::xspace::TraceBytes;

pub use identity::TraceIdentity;
pub use listing::Listing;
pub use local::{Local, ReadMode};
pub use roots::Roots;

/// Everything that can go wrong with a file. The text names the file; the source says why.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// The file or directory does not exist.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// Which.
        path: PathBuf,
    },
    /// It exists, but not as what it should be.
    #[error("{} is not a {expected}", path.display())]
    WrongKind {
        /// Which.
        path: PathBuf,
        /// `file` or `directory`.
        expected: &'static str,
    },
    /// The operating system does not let this process at it.
    #[error("{} may not be accessed by this process", path.display())]
    Denied {
        /// Which.
        path: PathBuf,
    },
    /// It lies outside the directories of `--allowed_roots`.
    #[error("{} is outside the directories that --allowed_roots permits", path.display())]
    OutsideRoots {
        /// Which.
        path: PathBuf,
    },
    /// The path is not one that this program can use.
    #[error("{} cannot be used: {reason}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// Reading or writing failed.
    #[error("{} cannot be {what}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// `opened`, `read`, `listed`, `written`.
        what: &'static str,
        /// What the operating system says.
        #[source]
        source: Arc<std::io::Error>,
    },
}

impl StorageError {
    /// A stable label for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "file_not_found",
            Self::WrongKind { .. } => "wrong_file_kind",
            Self::Denied { .. } => "access_denied",
            Self::OutsideRoots { .. } => "outside_roots",
            Self::Unusable { .. } => "unusable_path",
            Self::Io { .. } => "io",
        }
    }

    /// Another machine may see other files, or the same ones without the fault.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Io { .. } | Self::Denied { .. } => Retry::Elsewhere,
            _ => Retry::No,
        }
    }

    /// The file or directory.
    pub fn path(&self) -> &Path {
        match self {
            Self::NotFound { path }
            | Self::WrongKind { path, .. }
            | Self::Denied { path }
            | Self::OutsideRoots { path }
            | Self::Unusable { path, .. }
            | Self::Io { path, .. } => path,
        }
    }

    pub(crate) fn io(path: &Path, what: &'static str, error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let path = path.to_path_buf();
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound { path },
            ErrorKind::PermissionDenied => Self::Denied { path },
            ErrorKind::NotADirectory => Self::WrongKind { path, expected: "directory" },
            ErrorKind::IsADirectory => Self::WrongKind { path, expected: "file" },
            _ => Self::Io { path, what, source: Arc::new(error) },
        }
    }
}

/// An open trace and which version of the file it is.
#[derive(Debug, Clone)]
pub struct OpenTrace {
    /// Its bytes.
    pub bytes: TraceBytes,
    /// Its identity when it was opened.
    pub identity: TraceIdentity,
}

/// What a directory entry is, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A pipe, a device, or a link to nothing.
    Other,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name. Entries whose name is not UTF-8 are not listed.
    pub name: String,
    /// What it is; a symbolic link is what it points to.
    pub kind: EntryKind,
    /// Whether it is a symbolic link.
    pub is_link: bool,
    /// Its size.
    pub size_bytes: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub modified_unix_ns: i64,
}

/// One kind of place where files are.
pub trait Backend: Send + Sync + 'static {
    /// Opens a trace for reading.
    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<OpenTrace, StorageError>>;
    /// The identity of a file as it is now.
    fn identity<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<TraceIdentity, StorageError>>;
    /// The entries of a directory, in the order in which the file system lists them.
    fn list_dir<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<Listing, StorageError>>;
    /// A small file as a whole.
    fn read<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<Bytes, StorageError>>;
    /// Writes a file so that readers see the old one or the new one, never a part.
    fn write_atomic<'a>(&'a self, path: &'a Path, bytes: Bytes) -> BoxFuture<'a, Result<(), StorageError>>;
    /// Deletes a file; one that does not exist is deleted already.
    fn remove<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<(), StorageError>>;
}

/// All places together, behind the permitted roots.
pub struct Storage {
    roots: Roots,
    local: Box<dyn Backend>,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("roots", &self.roots).finish_non_exhaustive()
    }
}

impl Storage {
    /// Local files below `roots`.
    pub fn new(roots: Roots, mode: ReadMode) -> Self {
        Self { roots, local: Box::new(Local::new(mode)) }
    }

    /// Opens a trace.
    pub async fn open(&self, path: &Path) -> Result<OpenTrace, StorageError> {
        self.backend(path).await?.open(path).await
    }

    /// The identity of a file as it is now.
    pub async fn identity(&self, path: &Path) -> Result<TraceIdentity, StorageError> {
        self.backend(path).await?.identity(path).await
    }

    /// The entries of a directory, in the order in which the file system lists them: whoever needs another order sorts.
    pub async fn list_dir(&self, path: &Path) -> Result<Listing, StorageError> {
        self.backend(path).await?.list_dir(path).await
    }

    /// A small file as a whole.
    pub async fn read(&self, path: &Path) -> Result<Bytes, StorageError> {
        self.backend(path).await?.read(path).await
    }

    /// Writes a file so that readers see the old one or the new one, never a part. Missing directories are not made.
    pub async fn write_atomic(&self, path: &Path, bytes: Bytes) -> Result<(), StorageError> {
        self.backend(path).await?.write_atomic(path, bytes).await
    }

    /// Deletes a file; one that does not exist is deleted already.
    pub async fn remove(&self, path: &Path) -> Result<(), StorageError> {
        self.backend(path).await?.remove(path).await
    }

    async fn backend(&self, path: &Path) -> Result<&dyn Backend, StorageError> {
        let unusable = |reason| StorageError::Unusable { path: path.to_path_buf(), reason };
        let Some(text) = path.to_str() else {
            return Err(unusable("it is not UTF-8"));
        };
        if text.contains('\0') {
            return Err(unusable("it contains a zero byte"));
        }
        if text.contains("://") {
            return Err(unusable("this build reads local files only"));
        }
        if !path.is_absolute() {
            return Err(unusable("it is not an absolute path"));
        }
        self.roots.check(path).await?;
        Ok(self.local.as_ref())
    }
}
