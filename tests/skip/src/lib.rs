//! How a test says that it did not run for want of something: `cargo test` shows nothing that a passing test prints.
//!
//! Takes what is missing and why, leaves the reason in `target/skipped`, where `cargo xtask test` finds it. It must not decide
//! whether a test can run.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What a test may need that not every checkout has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The traces beside the project, `../shared/corpus`.
    Corpus,
    /// The program `kubectl`.
    Kubectl,
    /// The package `kubernetes-validate` in `target/venv`.
    KubernetesValidate,
    /// What XProf makes of each trace, `target/oracle/op_stats`.
    OpStats,
    /// What XProf answers about programs, `target/oracle/programs`.
    Programs,
    /// Python in `target/venv` with `grpcio-tools`.
    Python,
    /// What XProf answers to random input, `target/oracle/random`.
    Random,
    /// A file system on which a hole in a file takes no room.
    SparseFiles,
    /// XProf in `target/venv`.
    Xprof,
}

impl Need {
    const ALL: [Self; 9] = [
        Self::Corpus,
        Self::Kubectl,
        Self::KubernetesValidate,
        Self::OpStats,
        Self::Programs,
        Self::Python,
        Self::Random,
        Self::SparseFiles,
        Self::Xprof,
    ];

    /// Its word in `XPROF_TESTS_STRICT`.
    fn word(self) -> &'static str {
        match self {
            Self::Corpus => "corpus",
            Self::Kubectl => "kubectl",
            Self::KubernetesValidate => "kubernetes-validate",
            Self::OpStats => "op_stats",
            Self::Programs => "programs",
            Self::Python => "python",
            Self::Random => "random",
            Self::SparseFiles => "sparse",
            Self::Xprof => "xprof",
        }
    }

    /// Whether `strict`, a value of `XPROF_TESTS_STRICT`, promises that it is there.
    fn is_promised(self, strict: &str) -> bool {
        let words: Vec<&str> = strict.split([',', ' ']).filter(|word| !word.is_empty()).collect();
        for word in &words {
            let is_known = ["0", "1"].contains(word) || Self::ALL.iter().any(|need| need.word() == *word);
            assert!(is_known, "XPROF_TESTS_STRICT: {word} is nothing that a test needs");
        }
        words.contains(&"1") || words.contains(&self.word())
    }
}

/// Records that the running test, or a part of it, is skipped. Returns, and the test is to return too.
///
/// # Panics
///
/// With `XPROF_TESTS_STRICT=1`, or with a list of words in it that has this need: then a skip is a failure.
#[track_caller]
pub fn skip(need: Need, reason: &str) {
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
    let strict = std::env::var("XPROF_TESTS_STRICT").unwrap_or_default();
    assert!(!need.is_promised(&strict), "not to be skipped, because XPROF_TESTS_STRICT is {strict}: {reason}");
    eprintln!("SKIPPED: {reason}");
    record(&directory(), reason).expect("target/skipped can be written");
}

/// Forgets what earlier tests recorded.
pub fn clear() -> io::Result<()> {
    match fs::remove_dir_all(directory()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What was recorded since [`clear`]: `TEST: REASON`, sorted.
pub fn reasons() -> io::Result<BTreeSet<String>> {
    recorded(&directory())
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/skipped")
}

/// Each test has a file of its own: tests run at the same time in several processes.
fn record(directory: &Path, reason: &str) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let program = std::env::current_exe()?;
    let program = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Cargo adds a hash to the program's name, and the harness names a test's thread after the test.
    let program = program.rsplit_once('-').map_or(&*program, |(name, _)| name);
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("main").replace("::", ".");
    let mut file =
        fs::File::options().create(true).append(true).open(directory.join(format!("{program}.{test}.txt")))?;
    writeln!(file, "{reason}")
}

fn recorded(directory: &Path) -> io::Result<BTreeSet<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut reasons = BTreeSet::new();
    for entry in entries {
        let path = entry?.path();
        let test = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        reasons.extend(fs::read_to_string(&path)?.lines().map(|reason| format!("{test}: {reason}")));
    }
    Ok(reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_under_the_name_of_its_test() {
        let directory = std::env::temp_dir().join(format!("xprof-skip-{}", std::process::id()));
        assert!(recorded(&directory).expect("no directory is no reason").is_empty());
        record(&directory, "no moon").expect("a file");
        record(&directory, "no stars").expect("a file");
        let reasons: Vec<String> = recorded(&directory).expect("reasons").into_iter().collect();
        fs::remove_dir_all(&directory).expect("the directory is ours");
        let test = "xprof_skip.tests.a_reason_is_found_under_the_name_of_its_test";
        assert_eq!(reasons, [format!("{test}: no moon"), format!("{test}: no stars")]);
    }

    #[test]
    fn strict_is_all_or_what_is_named() {
        for (strict, corpus, xprof) in
            [("", false, false), ("0", false, false), ("1", true, true), ("corpus,python", true, false)]
        {
            assert_eq!(Need::Corpus.is_promised(strict), corpus, "{strict}");
            assert_eq!(Need::Xprof.is_promised(strict), xprof, "{strict}");
        }
    }

    #[test]
    #[should_panic(expected = "copus is nothing that a test needs")]
    fn a_word_that_is_not_known_is_refused() {
        Need::Corpus.is_promised("copus");
    }
}
