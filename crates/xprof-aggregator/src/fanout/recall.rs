//! Artifacts of workers that further questions can use as they are, such as programs.
//!
//! Takes a job and a way to run it, gives what is kept of an earlier one. Equal jobs that come together run once, so that
//! all of them share one artifact and the work that questions about it begin.

use xprof_core::tools::Params;
use xprof_service::engine::{Engine, Origin};

use super::Part;
use super::plan::{Job, Trace};
use super::single_flight::SingleFlight;
use crate::error::Result;

/// The kind of an artifact, its trace, and the parameters on which it depends.
type Key = (&'static str, Trace, Params);

/// What is kept, and what is being fetched.
#[derive(Debug)]
pub struct Recalls {
    engine: Engine,
    flights: SingleFlight<Key, Result<Part>>,
}

impl Recalls {
    /// The engine is where artifacts are kept, as long as its memory allows.
    pub fn new(engine: Engine) -> Self {
        Self { engine, flights: SingleFlight::default() }
    }

    /// What an earlier job left, else what this one gives.
    pub async fn part<F>(&self, job: Job, fetch: impl FnOnce(Job) -> F + Send + 'static) -> Result<Part>
    where
        F: Future<Output = Result<Part>> + Send + 'static,
    {
        let key = (job.tool.artifact_kind, job.trace.clone(), job.params.clone());
        let engine = self.engine.clone();
        let (flight, _) = self.flights.join(key, || async move {
            let Job { tool, trace, params, .. } = job.clone();
            let origin = Origin { tool, identity: &trace.identity, host: &trace.host, params: &params };
            if let Some((artifact, problems)) = engine.recall(origin) {
                return Ok(Part { artifact, problems });
            }
            let part = fetch(job).await?;
            engine.keep(origin, &part.artifact, &part.problems);
            Ok(part)
        });
        flight.await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use tokio::sync::Notify;
    use xprof_core::tools::hlo_module::HostModules;
    use xprof_core::tools::registry;
    use xprof_service::cpu_pool::CpuPool;
    use xprof_service::engine::EngineLimits;
    use xprof_service::metrics::Metrics;
    use xprof_service::storage::{ReadMode, Roots, Storage, TraceIdentity};

    use super::*;
    use crate::error::Error;

    fn recalls(memory_bytes: u64) -> Recalls {
        let metrics = Metrics::new();
        let storage = Arc::new(Storage::new(Roots::everything(), ReadMode::Map));
        let pool = CpuPool::new(1, &metrics).unwrap();
        Recalls::new(Engine::new(EngineLimits::new(1, memory_bytes), pool, storage, &metrics))
    }

    fn job(tool: &str) -> Job {
        let identity = TraceIdentity { path: "/h0".into(), size_bytes: 1, modified_unix_ns: 1 };
        let tool = registry::find(tool).unwrap();
        Job {
            tool,
            trace: Trace { host: "h0".into(), identity },
            params: [("module_name", "m(1)")].into_iter().collect(),
            request_id: "t".into(),
            deadline: Instant::now() + Duration::from_secs(60),
            places: vec![0],
        }
    }

    /// A worker's artifact, decoded: a module with the id 1, the name `m(1)` and eight bytes.
    fn fetched() -> Part {
        let tool = registry::find("graph_viewer").unwrap();
        let bytes = [[1u64, 4, 8].map(u64::to_le_bytes).as_flattened(), b"m(1)", &[0; 8]].concat();
        Part { artifact: tool.decode(bytes.into()).unwrap(), problems: Vec::new() }
    }

    fn is_same(a: &Part, b: &Part) -> bool {
        let [a, b] = [a, b].map(|part| part.artifact.downcast::<HostModules>().unwrap());
        Arc::ptr_eq(&a, &b)
    }

    #[tokio::test]
    async fn jobs_that_come_together_share_one_artifact() {
        // Whether or not there is memory to keep it.
        for memory_bytes in [1 << 20, 1] {
            let recalls = recalls(memory_bytes);
            let gate = Arc::new(Notify::new());
            let at = Arc::clone(&gate);
            let first = recalls.part(job("graph_viewer"), |_| async move {
                at.notified().await;
                Ok(fetched())
            });
            let second = recalls.part(job("memory_viewer"), |_| async { Err(Error::Internal("fetched twice".into())) });
            let (first, second, ()) = tokio::join!(first, second, async { gate.notify_one() });
            assert!(is_same(&first.unwrap(), &second.unwrap()));
            assert!(recalls.flights.is_empty());
        }
    }

    #[tokio::test]
    async fn later_jobs_get_what_is_kept() {
        let recalls = recalls(1 << 20);
        let refused = recalls.part(job("graph_viewer"), |_| async { Err(Error::Overloaded("busy".into())) }).await;
        assert!(matches!(refused, Err(Error::Overloaded(_))));
        let first = recalls.part(job("graph_viewer"), |_| async { Ok(fetched()) }).await.unwrap();
        let fail = |_: Job| async { Err(Error::Internal("fetched again".into())) };
        assert!(is_same(&first, &recalls.part(job("memory_viewer"), fail).await.unwrap()));
        let mut changed = job("memory_viewer");
        changed.trace.identity.modified_unix_ns = 2;
        assert!(recalls.part(changed, fail).await.is_err(), "a new version of the trace");
    }
}
