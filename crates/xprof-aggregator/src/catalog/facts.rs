//! Which tools a run offers and which modules it holds, from a cheap scan of its traces.
//!
//! Takes traces, gives sorted names. Facts are kept by the identity of the trace; no list is ever written beside it.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use moka::future::Cache;
use xprof_core::tools::hlo_module::ModuleQuery;
use xprof_core::tools::{RunFacts, run_facts};
use xprof_service::engine::Engine;
use xprof_service::storage::TraceIdentity;

use crate::error::{Error, Result};
use crate::fanout::local::storage_error;
use crate::fanout::{Trace, on_pool};

/// `parity:` plugin/xprof/profile_plugin.py lists the tools that it knows in this order, and others behind them.
const ORDER: [&str; 20] = [
    "overview_page",
    "trace_viewer",
    "trace_viewer@",
    "graph_viewer",
    "op_profile",
    "hlo_op_profile",
    "input_pipeline_analyzer",
    "input_pipeline",
    "kernel_stats",
    "memory_profile",
    "memory_viewer",
    "roofline_model",
    "perf_counters",
    "pod_viewer",
    "framework_op_stats",
    "tensorflow_stats",
    "hlo_op_stats",
    "hlo_stats",
    "inference_profile",
    "megascale_stats",
];

/// The one module of a run whose traces hold no program.
const NO_MODULE: &str = "NO_MODULE";

/// Facts of traces that were scanned; each is a few kilobytes of names.
const MAX_CACHED: u64 = 10_000;

/// Traces of one run that are scanned at once. The CPU pool bounds the work; this bounds the open files.
const AT_ONCE: usize = 8;

/// Scans traces.
#[derive(Debug)]
pub struct Facts {
    engine: Engine,
    cache: Cache<TraceIdentity, Arc<RunFacts>>,
}

impl Facts {
    /// Scans with the engine's storage and pool.
    pub fn new(engine: Engine) -> Self {
        Self { engine, cache: Cache::new(MAX_CACHED) }
    }

    /// The tools of a run: those of its first trace that can be read, as the reference judges, in its order.
    pub async fn tools(&self, traces: &[Trace]) -> Vec<String> {
        for trace in traces {
            match self.of(trace).await {
                Ok(facts) => return sorted_tools(&facts.tools),
                Err(error) => warn(trace, &error),
            }
        }
        Vec::new()
    }

    /// The modules of all traces of a run, sorted; none if no trace can be read.
    pub async fn modules(&self, traces: &[Trace]) -> Vec<String> {
        let scans: Vec<_> = traces.iter().map(|trace| self.of(trace)).collect();
        let mut scans = stream::iter(scans).buffered(AT_ONCE).zip(stream::iter(traces));
        let mut modules = BTreeSet::new();
        let mut n_good = 0;
        while let Some((result, trace)) = scans.next().await {
            match result {
                Ok(facts) => {
                    n_good += 1;
                    modules.extend(facts.modules.iter().cloned());
                }
                Err(error) => warn(trace, &error),
            }
        }
        if modules.is_empty() && n_good > 0 {
            modules.insert(NO_MODULE.to_owned());
        }
        modules.into_iter().collect()
    }

    /// Whether a trace holds a module. One that cannot be read holds none.
    pub async fn has_module(&self, trace: &Trace, query: &ModuleQuery) -> bool {
        match self.of(trace).await {
            Ok(facts) => facts.modules.iter().any(|name| query.means_full_name(name)),
            Err(error) => {
                warn(trace, &error);
                false
            }
        }
    }

    /// What an earlier scan of the first of these traces that was scanned found; nothing is read.
    pub async fn known(&self, traces: &[TraceIdentity]) -> Option<Arc<RunFacts>> {
        for identity in traces {
            if let Some(facts) = self.cache.get(identity).await {
                return Some(facts);
            }
        }
        None
    }

    async fn of(&self, trace: &Trace) -> Result<Arc<RunFacts>> {
        let scan = async {
            let file = trace.file_name();
            let open = self.engine.storage().open(&trace.identity.path).await.map_err(storage_error)?;
            let name = file.clone();
            let facts = on_pool(&self.engine, move || run_facts(&open.bytes, &name)).await?;
            facts.map(Arc::new).map_err(|e| Error::core(file, e))
        };
        // Requests for the same trace share one scan; a failure is not kept.
        self.cache.try_get_with(trace.identity.clone(), scan).await.map_err(|e| Error::clone(&e))
    }
}

fn warn(trace: &Trace, error: &Error) {
    tracing::warn!(file = %trace.identity.path.display(), error = error.chain(), "trace left out of the run's facts");
}

fn sorted_tools(tools: &[String]) -> Vec<String> {
    let streams = tools.iter().any(|t| t == "trace_viewer@");
    let mut tools: Vec<String> = tools.iter().filter(|t| !(streams && *t == "trace_viewer")).cloned().collect();
    tools.sort_by_cached_key(|t| (ORDER.iter().position(|known| known == t).unwrap_or(ORDER.len()), t.clone()));
    tools
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_tools_as_the_reference_does() {
        let names = |text: &str| text.split(", ").map(ToOwned::to_owned).collect::<Vec<_>>();
        let found = "utilization_viewer, kernel_utilization, trace_viewer, trace_viewer@, overview_page, \
                     input_pipeline_analyzer, framework_op_stats, memory_profile, op_profile, hlo_stats, roofline_model, \
                     memory_viewer, graph_viewer, megascale_stats, perf_counters, kernel_stats";
        let expected = "overview_page, trace_viewer@, graph_viewer, op_profile, input_pipeline_analyzer, kernel_stats, \
                        memory_profile, memory_viewer, roofline_model, perf_counters, framework_op_stats, hlo_stats, \
                        megascale_stats, kernel_utilization, utilization_viewer";
        assert_eq!(sorted_tools(&names(found)), names(expected));
        assert_eq!(sorted_tools(&names("trace_viewer")), ["trace_viewer"]);
    }
}
