//! Log directories of a test, and where the corpus is.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use xprof_core::fixture::{TpuSession, generate_host};
use xprof_core::session;
use xprof_skip::{Need, skip};

/// A log directory that lives as long as the test.
#[derive(Debug)]
pub struct LogDir {
    directory: TempDir,
}

impl Default for LogDir {
    fn default() -> Self {
        Self::new()
    }
}

impl LogDir {
    /// Without runs.
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    /// The log directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of a run.
    pub fn run(&self, run: &str) -> PathBuf {
        let path = self.path().join("plugins/profile").join(run);
        std::fs::create_dir_all(&path).expect("the run's directory");
        path
    }

    /// Adds a generated run.
    pub fn generate(&self, run: &str, session: &TpuSession) -> &Self {
        for host in 0..session.n_hosts {
            self.trace(run, &session.host_name(host), &generate_host(session, host));
        }
        self
    }

    /// Adds one trace.
    pub fn trace(&self, run: &str, host: &str, bytes: &[u8]) -> &Self {
        std::fs::write(self.run(run).join(session::file_of_host(host)), bytes).expect("the trace is written");
        self
    }

    /// Adds the runs of a log directory of the corpus.
    pub fn copy_runs(&self, logdir: &Path) -> &Self {
        for run in std::fs::read_dir(logdir.join("plugins/profile")).expect("the corpus").flatten() {
            self.copy_run(&run.path(), &run.file_name().to_string_lossy());
        }
        self
    }

    /// Adds a run under a name.
    pub fn copy_run(&self, source: &Path, name: &str) -> &Self {
        let target = self.run(name);
        for file in std::fs::read_dir(source).expect("a run").flatten() {
            let bytes = std::fs::read(file.path()).expect("a trace");
            std::fs::write(target.join(file.file_name()), bytes).expect("a copy");
        }
        self
    }
}

/// A place beside the project, or `None` if it is not there: the test is skipped.
pub fn shared(path: &str) -> Option<PathBuf> {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    if full.exists() {
        return Some(full);
    }
    skip(Need::Corpus, &format!("{path} is not beside the project"));
    None
}
