//! What the load asks for: every tool of every host of a session of 16 hosts, warm and cold, with the answers that it must get.
//!
//! A cold question is about a session that nobody asked for before: a copy by hard links, whose paths no cache knows.

use std::hash::{DefaultHasher, Hasher as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xprof_core::fixture::TpuSession;

use crate::load::http;

pub const N_HOSTS: usize = 16;
/// Bytes of one host's trace.
pub const HOST_BYTES: usize = 200_000;
/// Tools that are asked of single hosts.
const TOOLS: [&str; 5] = ["overview_page", "op_profile", "trace_viewer@", "framework_op_stats", "hlo_stats"];
/// Tools that are asked of all hosts together.
const TOOLS_OF_ALL: [&str; 4] = ["overview_page", "op_profile", "framework_op_stats", "pod_viewer"];

/// XProf's word for all hosts.
const ALL: &str = "ALL_HOSTS";

/// Everything that may be asked.
pub struct Questions {
    root: String,
    n_copies: usize,
    slots: Vec<(&'static str, String)>,
    expected: Vec<u64>,
}

/// One question.
pub struct Question {
    pub path: String,
    /// The hash of the body that it must be answered with, if that is known.
    pub expected: Option<u64>,
}

/// A hash of an answer's body.
pub fn hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}

impl Questions {
    /// Writes the session and its copies below the log directory, which askers see as `root`.
    pub fn prepare(logdir: &Path, root: &str, n_copies: usize) -> Result<Self> {
        let session = TpuSession::of_size(N_HOSTS, HOST_BYTES);
        let original = directory(logdir, 0);
        crate::demo::write_session(&original, &session)?;
        for copy in 1..=n_copies {
            let to = directory(logdir, copy);
            std::fs::create_dir_all(&to)?;
            for entry in std::fs::read_dir(&original)? {
                let entry = entry?;
                let link = to.join(entry.file_name());
                std::fs::hard_link(entry.path(), &link).with_context(|| format!("cannot link {}", link.display()))?;
            }
        }
        let single = (0..N_HOSTS).flat_map(|h| TOOLS.map(|tool| (tool, session.host_name(h))));
        let mut slots: Vec<_> = single.collect();
        // A question about all hosts is 16 jobs at once: they come evenly between the others.
        let every = slots.len() / TOOLS_OF_ALL.len();
        for (i, tool) in TOOLS_OF_ALL.into_iter().enumerate().rev() {
            slots.insert((i + 1) * every, (tool, ALL.to_owned()));
        }
        Ok(Self { root: root.to_owned(), n_copies, slots, expected: Vec::new() })
    }

    /// Those questions that XProf, too, distributes, to a server that sees the log directory elsewhere, with whatever answers.
    pub fn of_all_hosts(&self, root: &Path) -> Self {
        let slots = self.slots.iter().filter(|(_, host)| host == ALL).cloned().collect();
        Self { root: root.display().to_string(), n_copies: self.n_copies, slots, expected: Vec::new() }
    }

    /// Learns the answers from a server that works alone, and checks that copies have the same.
    pub fn learn(&mut self, server: SocketAddr) -> Result<()> {
        self.expected = self.answers(server, 0)?;
        // The last copy is asked for by nobody else.
        let copied = self.answers(server, self.n_copies)?;
        ensure!(self.expected == copied, "a copy of the session has other answers than the session");
        Ok(())
    }

    /// How many answers of a server about the session differ from those that were learnt.
    pub fn n_different(&self, server: SocketAddr) -> Result<usize> {
        Ok(self.answers(server, 0)?.iter().zip(&self.expected).filter(|(a, b)| a != b).count())
    }

    fn answers(&self, server: SocketAddr, copy: usize) -> Result<Vec<u64>> {
        let answer = |slot| {
            let path = self.path(copy, slot);
            let (status, body) = http::get(server, &http::request(&path, ""))?;
            ensure!(status == 200, "{path} is answered with {status}: {}", String::from_utf8_lossy(&body));
            Ok(hash(&body))
        };
        (0..self.slots.len()).map(answer).collect()
    }

    /// The n-th question: every second one is cold.
    pub fn nth(&self, n: usize) -> Question {
        let turn = n / 2;
        let slot = turn % self.slots.len();
        let copy = if n.is_multiple_of(2) { 0 } else { 1 + turn / self.slots.len() % self.n_copies };
        Question { path: self.path(copy, slot), expected: self.expected.get(slot).copied() }
    }

    /// Questions until the copies are used up.
    pub fn n_questions(&self) -> usize {
        (self.n_copies - 1) * self.slots.len() * 2
    }

    fn path(&self, copy: usize, slot: usize) -> String {
        let (tool, host) = &self.slots[slot];
        let run = run_name(copy);
        let session = directory(Path::new(&self.root), copy);
        let size = if *tool == "trace_viewer@" { "&resolution=800" } else { "" };
        format!("/data?session_path={}&run={run}&tag={tool}&host={host}{size}", session.display())
    }
}

fn run_name(copy: usize) -> String {
    format!("session_{copy:04}")
}

fn directory(logdir: &Path, copy: usize) -> PathBuf {
    logdir.join("plugins/profile").join(run_name(copy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_questions_are_new() {
        let slots = vec![("a", "h0".to_owned()), ("b", "h0".to_owned())];
        let questions = Questions { root: "/logs".into(), n_copies: 3, slots, expected: vec![1, 2] };
        let asked: Vec<_> = (0..questions.n_questions()).map(|n| questions.nth(n)).collect();
        let cold: std::collections::BTreeSet<_> = asked.iter().skip(1).step_by(2).map(|q| &q.path).collect();
        assert_eq!(cold.len(), asked.len() / 2);
        assert!(asked.iter().step_by(2).all(|q| q.path.contains("session_0000")));
        assert_eq!(asked.iter().filter_map(|q| q.expected).collect::<Vec<_>>(), [1, 1, 2, 2, 1, 1, 2, 2]);
    }
}
