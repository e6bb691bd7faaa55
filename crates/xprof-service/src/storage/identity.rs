//! Which version of which file: what caches are keyed by.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A file and the version of it. Two equal identities are taken to have equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceIdentity {
    /// The path as it was asked for.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub modified_unix_ns: i64,
}

impl TraceIdentity {
    /// From what the file system says.
    pub fn new(path: &Path, metadata: &Metadata) -> Self {
        Self { path: path.to_path_buf(), size_bytes: metadata.len(), modified_unix_ns: modified_unix_ns(metadata) }
    }

    /// 32 hexadecimal digits that are the same in every process and every release: for names of cached files.
    pub fn key(&self) -> String {
        let mut hash = Fnv128::new();
        hash.write(self.path.as_os_str().as_encoded_bytes());
        hash.write(b"\0");
        hash.write(&self.size_bytes.to_le_bytes());
        hash.write(&self.modified_unix_ns.to_le_bytes());
        format!("{:032x}", hash.0)
    }

    /// Whether `other` is the same version. Zeros of `self` are "not known" and match everything.
    pub fn accepts(&self, other: &Self) -> bool {
        (self.size_bytes == 0 || self.size_bytes == other.size_bytes)
            && (self.modified_unix_ns == 0 || self.modified_unix_ns == other.modified_unix_ns)
    }
}

/// Before 1970 counts down; a file system without times gives 0.
pub(super) fn modified_unix_ns(metadata: &Metadata) -> i64 {
    let Ok(time) = metadata.modified() else { return 0 };
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

/// FNV-1a with 128 bits: short, and its values never change with a library's version.
struct Fnv128(u128);

impl Fnv128 {
    fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_stable_and_differ_by_version() {
        let one = TraceIdentity { path: "/logs/h0.xplane.pb".into(), size_bytes: 10, modified_unix_ns: 7 };
        assert_eq!(one.key(), one.clone().key());
        assert_eq!(one.key().len(), 32);
        for other in [
            TraceIdentity { size_bytes: 11, ..one.clone() },
            TraceIdentity { modified_unix_ns: 8, ..one.clone() },
            TraceIdentity { path: "/logs/h1.xplane.pb".into(), ..one.clone() },
        ] {
            assert_ne!(one.key(), other.key());
        }
        assert!(TraceIdentity { size_bytes: 0, modified_unix_ns: 0, ..one.clone() }.accepts(&one));
        assert!(!TraceIdentity { size_bytes: 9, ..one.clone() }.accepts(&one));
    }
}
