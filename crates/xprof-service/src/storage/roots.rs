//! Which directories this process may touch: the answer to "workers accept any path".

use std::path::{Component, Path, PathBuf};

use super::StorageError;

/// The permitted directories, links resolved. Empty permits everything.
#[derive(Debug, Clone, Default)]
pub struct Roots(Vec<PathBuf>);

impl Roots {
    /// Every path is permitted.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Only what is inside these directories, which must exist.
    pub fn new(directories: &[String]) -> Result<Self, StorageError> {
        let resolve = |d: &String| {
            let path = Path::new(d);
            let real = path.canonicalize().map_err(|e| StorageError::io(path, "resolved", e))?;
            if real.is_dir() { Ok(real) } else { Err(StorageError::WrongKind { path: real, expected: "directory" }) }
        };
        directories.iter().map(resolve).collect::<Result<_, _>>().map(Self)
    }

    /// Refuses a path outside, also one that gets there through `..` or a link. The file itself need not exist.
    pub async fn check(&self, path: &Path) -> Result<(), StorageError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let (roots, path) = (self.0.clone(), path.to_path_buf());
        let outside = StorageError::OutsideRoots { path: path.clone() };
        let inside = tokio::task::spawn_blocking(move || {
            resolve_existing(&path).is_some_and(|real| roots.iter().any(|root| real.starts_with(root)))
        });
        if inside.await.unwrap_or(false) { Ok(()) } else { Err(outside) }
    }
}

/// Resolves the longest existing ancestor and appends the rest, in which `..` is not allowed.
fn resolve_existing(path: &Path) -> Option<PathBuf> {
    for ancestor in path.ancestors() {
        // A dangling link exists without being resolvable; writing through it could leave the roots.
        if ancestor.symlink_metadata().is_ok() {
            let rest = path.strip_prefix(ancestor).ok()?;
            let plain = rest.components().all(|c| matches!(c, Component::Normal(_)));
            return if plain { ancestor.canonicalize().ok().map(|real| real.join(rest)) } else { None };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn refuses_ways_out() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        std::fs::create_dir_all(inside.join("run")).unwrap();
        std::fs::create_dir_all(dir.path().join("out")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("out"), inside.join("link")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("out/new"), inside.join("dangling")).unwrap();
        let roots = Roots::new(&[inside.to_str().unwrap().into()]).unwrap();
        for (path, allowed) in [
            ("in/run", true),
            ("in/run/new.pb", true),
            ("in/run/../run/x", true),
            ("in", true),
            ("out", false),
            ("in/../out", false),
            ("in/link/x", false),
            ("in/dangling", false),
            ("in/absent/../../out", false),
            ("inside", false),
        ] {
            assert_eq!(roots.check(&dir.path().join(path)).await.is_ok(), allowed, "{path}");
        }
        assert!(Roots::everything().check(Path::new("/etc/passwd")).await.is_ok());
        assert!(Roots::new(&["/does/not/exist".into()]).is_err());
    }
}
