//! Finds the runs below a log directory, and the directory of a run.
//!
//! Takes a directory of the local file system, gives run names. It reads directories and nothing else.
//!
//! ```text
//! LOGDIR/plugins/profile/RUN/…         → "RUN"
//! LOGDIR/train/plugins/profile/RUN/…   → "train/RUN"
//! ```

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The path of a profile root below the directory that owns it.
const PROFILE_ROOT: &str = "plugins/profile";

/// A directory's time stamp moves in steps of some milliseconds, on some file systems of two seconds: a listing counts as
/// complete only if the directory was at rest for this long before it was listed.
const REST: Duration = Duration::from_secs(2);

/// Directories that a walk remembers; beyond this it forgets and lists again.
const MAX_REMEMBERED: usize = 100_000;

/// A listing of sub-directories and when it was valid.
#[derive(Debug, Clone)]
struct Listing {
    modified: SystemTime,
    /// Names, and whether each is a symbolic link.
    directories: Vec<(String, bool)>,
}

/// Walks a log directory. What it learnt is kept, so that the next walk asks each directory only for its time stamp.
#[derive(Debug, Default)]
pub struct Walker {
    remembered: HashMap<PathBuf, Listing>,
}

impl Walker {
    /// The names of all runs, the newest first where names are time stamps.
    pub fn runs(&mut self, logdir: &Path) -> Vec<String> {
        if self.remembered.len() > MAX_REMEMBERED {
            self.remembered.clear();
        }
        let mut names = BTreeSet::new();
        let mut pending = vec![(logdir.to_path_buf(), String::new())];
        while let Some((directory, name)) = pending.pop() {
            // The root may be a link; only the search for roots does not follow links.
            let root = directory.join(PROFILE_ROOT);
            for (run, _) in self.directories(&root) {
                names.insert(if name.is_empty() { run } else { format!("{name}/{run}") });
            }
            for (child, is_link) in self.directories(&directory) {
                if !is_link {
                    let below = if name.is_empty() { child.clone() } else { format!("{name}/{child}") };
                    pending.push((directory.join(child), below));
                }
            }
        }
        names.into_iter().rev().collect()
    }

    /// The directories inside a directory, links to directories included; none if it cannot be listed.
    fn directories(&mut self, directory: &Path) -> Vec<(String, bool)> {
        let modified =
            std::fs::metadata(directory).ok().filter(std::fs::Metadata::is_dir).and_then(|m| m.modified().ok());
        let Some(modified) = modified else {
            self.remembered.remove(directory);
            return Vec::new();
        };
        if let Some(listing) = self.remembered.get(directory)
            && listing.modified == modified
        {
            return listing.directories.clone();
        }
        let directories = list(directory);
        // A link's target can change without a trace in this directory.
        let has_links = directories.iter().any(|(_, is_link)| *is_link);
        if !has_links && SystemTime::now().duration_since(modified).is_ok_and(|age| age >= REST) {
            self.remembered.insert(directory.to_path_buf(), Listing { modified, directories: directories.clone() });
        }
        directories
    }
}

fn list(directory: &Path) -> Vec<(String, bool)> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let directories = entries.filter_map(Result::ok).filter_map(|entry| {
        let kind = entry.file_type().ok()?;
        let is_link = kind.is_symlink();
        let is_directory = kind.is_dir() || (is_link && entry.path().is_dir());
        // A name that is not UTF-8 cannot be asked for.
        is_directory.then(|| entry.file_name().into_string().ok()).flatten().map(|name| (name, is_link))
    });
    directories.collect()
}

/// The directory that a run's name stands for. It need not exist.
pub fn directory_of_run(logdir: &Path, run: &str) -> PathBuf {
    let run = run.trim_end_matches('/');
    let (parent, child) = run.rsplit_once('/').unwrap_or(("", run));
    let root = logdir.join(parent.trim_start_matches('/')).join(PROFILE_ROOT);
    // `join` with an empty name would leave a slash at the end, and with an absolute one would leave the log directory.
    if child.is_empty() { root } else { root.join(child) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(directories: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for path in directories {
            std::fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        dir
    }

    #[test]
    fn finds_runs_by_the_rules_of_the_layout() {
        let dir = make(&[
            "plugins/profile/2024_01_01",
            "plugins/profile/2025_01_01",
            "plugins/profile/.hidden",
            "plugins/profile/a b é~[1]",
            "plugins/profile/nest/plugins/profile/inner",
            "train/plugins/profile/run1",
            "a/b/plugins/profile/run2",
            ".hid/plugins/profile/run3",
            "x/profile/not_a_run",
            "plugins/other/not_a_run",
            "outside/target",
        ]);
        std::fs::write(dir.path().join("plugins/profile/file.txt"), "").unwrap();
        let link =
            |target: &str, name: &str| std::os::unix::fs::symlink(dir.path().join(target), dir.path().join(name));
        link("outside/target", "plugins/profile/linked").unwrap();
        link("train", "link_to_train").unwrap();
        let expected = [
            "train/run1",
            "plugins/profile/nest/inner",
            "nest",
            "linked",
            "a/b/run2",
            "a b é~[1]",
            "2025_01_01",
            "2024_01_01",
            ".hidden",
            ".hid/run3",
        ];
        let mut walker = Walker::default();
        assert_eq!(walker.runs(dir.path()), expected);
        assert_eq!(walker.runs(dir.path()), expected, "the second walk sees the same");
        std::fs::create_dir(dir.path().join("plugins/profile/new")).unwrap();
        assert!(walker.runs(dir.path()).contains(&"new".to_owned()));
        for run in expected {
            assert!(directory_of_run(dir.path(), run).is_dir(), "{run}");
        }
    }

    #[test]
    fn a_log_directory_without_runs_lists_nothing() {
        let dir = make(&["plugins/profile/r"]);
        assert!(Walker::default().runs(&dir.path().join("plugins/profile")).is_empty());
        assert!(Walker::default().runs(&dir.path().join("absent")).is_empty());
    }

    #[test]
    fn remembers_only_what_was_at_rest() {
        let dir = make(&["plugins/profile/r"]);
        let change = |at: SystemTime| {
            for path in ["plugins/profile/r", "plugins/profile", "plugins", "."] {
                std::fs::File::open(dir.path().join(path)).unwrap().set_modified(at).unwrap();
            }
        };
        let mut walker = Walker::default();
        change(SystemTime::now() + Duration::from_mins(1));
        walker.runs(dir.path());
        assert!(walker.remembered.is_empty(), "fresh directories may still change within their time stamp");
        change(SystemTime::now() - Duration::from_mins(1));
        assert_eq!(walker.runs(dir.path()), ["r"]);
        assert!(walker.remembered.contains_key(&dir.path().join("plugins/profile")));
        assert_eq!(walker.runs(dir.path()), ["r"]);
    }

    #[test]
    fn run_names_stay_below_the_log_directory() {
        let at = |run: &str| directory_of_run(Path::new("/logs"), run).display().to_string();
        assert_eq!(at("run_a"), "/logs/plugins/profile/run_a");
        assert_eq!(at("run_a//"), "/logs/plugins/profile/run_a");
        assert_eq!(at("a/b/c"), "/logs/a/b/plugins/profile/c");
        assert_eq!(at(""), "/logs/plugins/profile");
        assert_eq!(at("/etc/x"), "/logs/etc/plugins/profile/x");
    }
}
