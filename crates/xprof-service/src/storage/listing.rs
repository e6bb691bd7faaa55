//! A directory as it was listed, and a cheap way to tell that it still is so.
//!
//! ```text
//! list:   stamp of the directory → its entries → the stamp is kept if nothing can change behind it
//! later:  stamp the same? → the entries still hold; only the sizes and times of the files that matter are asked for anew
//! ```
//! The later questions are single system calls of microseconds, so they may be asked on threads that serve requests. On a file
//! system that can hang, or that sees changes of other machines late, no stamp is kept and the directory is listed each time.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{DirEntry, EntryKind, TraceIdentity};

/// A directory's times move in steps of some milliseconds, on some file systems of two seconds: a stamp tells changes apart only
/// if the directory was at rest for this long before it was listed.
const REST: Duration = Duration::from_secs(2);

/// File systems of this machine alone, by the numbers of statfs(2): the calls of their stat never wait for a network.
const LOCAL: [i64; 7] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0x0102_1994, // tmpfs
    0x794c_7630, // overlay, as in containers
    0x2fc1_2fc1, // zfs
    0xf2f5_2010, // f2fs
];

/// The entries of a directory in the order in which the file system lists them.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    entries: Vec<DirEntry>,
    stamp: Option<Stamp>,
}

/// What changes whenever an entry of the directory comes, goes or gets another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    directory: PathBuf,
    marks: [i64; 6],
}

impl Listing {
    /// A stamp is kept only if the entries alone decide what the directory is: what a link leads to changes without a trace
    /// in the directory.
    pub(super) fn new(entries: Vec<DirEntry>, stamp: Option<Stamp>) -> Self {
        let plain = entries.iter().all(|e| !e.is_link && e.kind != EntryKind::Other);
        Self { entries, stamp: stamp.filter(|_| plain) }
    }

    /// The entries.
    pub fn entries(&self) -> &[DirEntry] {
        &self.entries
    }

    /// Whether [`Self::holds`] can ever be true: only then it is worth keeping.
    pub fn can_hold(&self) -> bool {
        self.stamp.is_some()
    }

    /// Whether the directory has the same entries now. False where that cannot be told cheaply.
    pub fn holds(&self) -> bool {
        let Some(stamp) = &self.stamp else {
            return false;
        };
        fs::metadata(&stamp.directory).is_ok_and(|now| marks(&now) == stamp.marks)
    }

    /// The identity of one of the files as it is now, for a listing that [holds](Self::holds). Nothing if it is gone.
    pub fn identity(&self, name: &str) -> Option<TraceIdentity> {
        let path = self.stamp.as_ref()?.directory.join(name);
        let metadata = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
        Some(TraceIdentity::new(&path, &metadata))
    }
}

impl Stamp {
    /// The stamp of a directory that is at rest on a local file system.
    pub(super) fn of(directory: &Path) -> Option<Self> {
        let metadata = fs::metadata(directory).ok()?;
        let now = SystemTime::now();
        let age = |at: SystemTime| now.duration_since(at).unwrap_or_default();
        let changed =
            SystemTime::UNIX_EPOCH + Duration::new(u64::try_from(metadata.ctime()).ok()?, metadata.ctime_nsec() as u32);
        let rests = age(metadata.modified().ok()?) >= REST && age(changed) >= REST;
        let kind = rustix::fs::statfs(directory).ok()?.f_type;
        let is_local = LOCAL.contains(&(kind as i64));
        (rests && is_local).then(|| Self { directory: directory.to_path_buf(), marks: marks(&metadata) })
    }
}

/// Which directory it is, and when it was last changed. The time of the last change cannot be set by hand.
fn marks(metadata: &fs::Metadata) -> [i64; 6] {
    [
        metadata.dev() as i64,
        metadata.ino() as i64,
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{ReadMode, Roots, Storage};
    use super::*;

    /// A stamp as if the directory had been at rest.
    fn rested(path: &Path, entries: Vec<DirEntry>) -> Listing {
        let marks = marks(&fs::metadata(path).unwrap());
        Listing::new(entries, Some(Stamp { directory: path.to_path_buf(), marks }))
    }

    /// Waits until the times of files have moved on: they go in steps of a few milliseconds.
    fn tick() {
        let other = tempfile::tempdir().unwrap();
        let time = |name: &str| {
            let path = other.path().join(name);
            fs::write(&path, "").unwrap();
            fs::metadata(&path).unwrap().modified().unwrap()
        };
        let before = time("before");
        assert!((0..2000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            time("after") > before
        }));
    }

    async fn entries(path: &Path) -> Vec<DirEntry> {
        Storage::new(Roots::everything(), ReadMode::Map).list_dir(path).await.unwrap().entries().to_vec()
    }

    #[tokio::test]
    async fn tells_every_change_of_the_entries() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "1").unwrap();
        for (change, what) in [
            ((|a, b| fs::copy(a, b).map(drop)) as fn(&Path, &Path) -> std::io::Result<()>, "a new file"),
            (|a, b| fs::rename(b, a), "a file in the place of another"),
            (|a, b| fs::rename(a, b), "another name"),
            (|_, b| fs::remove_file(b), "a file less"),
        ] {
            let listing = rested(dir.path(), entries(dir.path()).await);
            assert!(listing.can_hold() && listing.holds());
            tick();
            change(&a, &b).unwrap();
            assert!(!listing.holds(), "{what}");
        }
    }

    #[tokio::test]
    async fn asks_for_the_version_of_a_file_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let a = dir.path().join("a");
        fs::write(&a, "1").unwrap();
        let listing = rested(dir.path(), entries(dir.path()).await);
        let before = listing.identity("a").unwrap();
        assert_eq!(before.size_bytes, 1);
        // Written in place: the directory does not change, the file does.
        fs::File::options().append(true).open(&a).and_then(|mut f| std::io::Write::write_all(&mut f, b"23")).unwrap();
        assert!(listing.holds());
        assert_eq!(listing.identity("a").unwrap().size_bytes, 3);
        assert_eq!(listing.identity("absent"), None);
    }

    #[tokio::test]
    async fn keeps_no_stamp_of_what_can_change_unseen() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "1").unwrap();
        // More than once, for a moment may be long on a busy machine.
        let changed_now = |n: usize| {
            fs::write(dir.path().join(n.to_string()), "1").unwrap();
            Stamp::of(dir.path()).is_none()
        };
        assert!((0..20).any(changed_now), "it was changed a moment ago");
        assert!(!Listing::new(entries(dir.path()).await, None).holds());
        std::os::unix::fs::symlink("a", dir.path().join("l")).unwrap();
        assert!(!rested(dir.path(), entries(dir.path()).await).can_hold(), "the link may lead elsewhere tomorrow");
        assert_eq!(Stamp::of(Path::new("/proc/self")), None, "not a file system of files");
        assert_eq!(Stamp::of(Path::new("/absent")), None);
    }
}
