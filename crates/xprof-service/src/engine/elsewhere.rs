//! Artifacts that another process made, kept like our own.
//!
//! Takes artifacts as they were decoded, within the budget of the [`super::ledger`]; gives them to later requests about the same
//! version of the trace. Whoever gets an artifact shares the work that questions about it have begun.

use std::sync::Arc;

use xprof_core::Diag;
use xprof_core::artifact::AnyArtifact;
use xprof_core::diag::Problem;
use xprof_core::tools::{Params, registry};

use super::map::Engine;
use super::store::{Entry, Kept, Key};
use crate::storage::TraceIdentity;

/// Of what an artifact was made.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The tool whose map made it.
    pub tool: &'static registry::Entry,
    /// The version of the trace.
    pub identity: &'a TraceIdentity,
    /// The host's name.
    pub host: &'a Arc<str>,
    /// The request's parameters; only those on which map depends are used.
    pub params: &'a Params,
}

impl Origin<'_> {
    fn key(&self) -> Key {
        Key::artifact(self.tool, self.identity, self.host, self.params)
    }
}

impl Engine {
    /// The artifact with the problems of its trace, if it is kept.
    pub fn recall(&self, origin: Origin<'_>) -> Option<(AnyArtifact, Vec<Problem>)> {
        let kept = self.0.store.artifact(&origin.key())?;
        Some((kept.value.clone(), kept.diag.problems().cloned().collect()))
    }

    /// Keeps an artifact as long as memory allows.
    pub fn keep(&self, origin: Origin<'_>, artifact: &AnyArtifact, problems: &[Problem]) {
        let Some(reserved) = self.0.ledger.try_reserve(artifact.weight() as u64, || self.0.store.evict_one()) else {
            return;
        };
        let mut diag = Diag::new();
        for problem in problems {
            diag.count_n(problem.kind, problem.count, || problem.example.clone());
        }
        let kept = Kept { value: artifact.clone(), diag, reserved: Some(reserved) };
        self.0.store.insert(origin.key(), Entry::Artifact(Arc::new(kept)));
    }
}
