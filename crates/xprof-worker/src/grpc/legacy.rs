//! XProf's worker service, as its aggregators speak it: the answer is the path of a file beside the trace.
//!
//! parity: `plugin/xprof/worker`. Divergences, all on the safe side:
//! - A stored result that is older than the trace is made again; XProf returns it whatever its age.
//! - Files are written beside their name and renamed; XProf writes in place, where readers see halves.
//! - `trace_viewer@` is not offered: its result is three LevelDB tables. [`super::v1`] answers windows instead.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tonic::{Request, Response, Status};
use xprof_core::artifact::Artifact as _;
use xprof_core::opstats::HostStats;
use xprof_core::session::{OP_STATS_SUFFIX, host_of_file};
use xprof_core::tools::{Params, registry};
use xprof_proto::xprof::pywrap::xprof_analysis_worker_service_server::XprofAnalysisWorkerService;
use xprof_proto::xprof::pywrap::{WorkerProfileDataRequest, WorkerProfileDataResponse};
use xprof_proto::xprof::worker::v1;
use xprof_service::engine::{Engine, MapJob, Mapped};
use xprof_service::storage::StorageError;

use super::{Calls, deadline, status};
use crate::App;

/// The tools that XProf knows but does not distribute.
const NOT_DISTRIBUTED: [&str; 7] = [
    "graph_viewer",
    "inference_profile",
    "megascale_stats",
    "memory_profile",
    "memory_viewer",
    "smart_suggestion",
    "trace_viewer",
];

/// The service.
#[derive(Debug)]
pub struct Legacy {
    engine: Engine,
    calls: Calls,
    worker_id: Arc<str>,
}

impl Legacy {
    pub(super) fn new(app: &App, calls: &Calls) -> Self {
        Self { engine: app.engine.clone(), calls: calls.clone(), worker_id: Arc::clone(&app.worker_id) }
    }
}

#[tonic::async_trait]
impl XprofAnalysisWorkerService for Legacy {
    async fn get_profile_data(
        &self,
        request: Request<WorkerProfileDataRequest>,
    ) -> Result<Response<WorkerProfileDataResponse>, Status> {
        let _call = self.calls.begin();
        let deadline = deadline(request.metadata());
        let request_id = super::v1::request_id(request.metadata(), "");
        let origin = request.into_inner().origin_request.unwrap_or_default();
        let (tool, path) = (origin.tool_name.as_str(), PathBuf::from(&origin.session_id));
        let job = |entry| MapJob {
            host: host_of_file(&origin.session_id).into(),
            path: path.clone(),
            expected: None,
            tool: entry,
            params: Params::new(),
            deadline,
            request_id: Arc::clone(&request_id),
            on_stage: None,
        };
        let known = registry::find(tool).ok();
        let output = if let Some(entry) = known.filter(|t| t.artifact_kind == HostStats::KIND) {
            // One stored file serves the whole family.
            self.op_stats(&path, job(entry)).await?
        } else if let Some(entry) = known.filter(|t| t.is_step) {
            // Its result travels inside the answer.
            let params = origin.parameters.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            let mapped = self.run(MapJob { params, ..job(entry) }).await?;
            self.encode(&mapped).await?
        } else if tool == "trace_viewer@" {
            return Err(Status::unimplemented(
                "this worker does not write the LevelDB tables of trace_viewer@; use the service xprof.worker.v1.Worker",
            ));
        } else if NOT_DISTRIBUTED.contains(&tool) {
            return Err(not_implemented());
        } else {
            return Err(Status::invalid_argument(format!("Can not find tool: {tool}")));
        };
        Ok(Response::new(WorkerProfileDataResponse { output, worker_id: self.worker_id.to_string() }))
    }
}

fn not_implemented() -> Status {
    Status::unimplemented("Map not implemented")
}

impl Legacy {
    /// Makes `RUNDIR/HOST.op_stats_v2.pb` unless a fresh one is there, and answers its path.
    async fn op_stats(&self, trace: &Path, job: MapJob) -> Result<Bytes, Status> {
        let stored = trace.with_file_name(format!("{}{OP_STATS_SUFFIX}", job.host));
        let answer = Bytes::from(stored.to_string_lossy().into_owned());
        if self.is_fresh(trace, &stored).await? {
            return Ok(answer);
        }
        let mapped = self.run(job).await?;
        let encoded = self.encode(&mapped).await?;
        let stats = v1::HostStats::decode(encoded)
            .map_err(|e| status::internal(format!("the op statistics are damaged: {e}")))?;
        let bytes = stats.op_stats.unwrap_or_default().encode_to_vec();
        let written = self.engine.storage().write_atomic(&stored, bytes.into()).await;
        written.map_err(|e| status::from_storage(&e))?;
        Ok(answer)
    }

    /// Whether the stored file answers for the trace as it is now. A stored file whose trace is gone has nothing to be older than.
    async fn is_fresh(&self, trace: &Path, stored: &Path) -> Result<bool, Status> {
        let storage = self.engine.storage();
        let stored = match storage.identity(stored).await {
            Ok(identity) => identity,
            Err(StorageError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(status::from_storage(&error)),
        };
        match storage.identity(trace).await {
            Ok(trace) => Ok(stored.modified_unix_ns >= trace.modified_unix_ns),
            Err(StorageError::NotFound { .. }) => Ok(true),
            Err(error) => Err(status::from_storage(&error)),
        }
    }

    async fn run(&self, job: MapJob) -> Result<Mapped, Status> {
        self.engine.map(job).await.map_err(|e| status::from_engine(&e))
    }

    async fn encode(&self, mapped: &Mapped) -> Result<Bytes, Status> {
        let artifact = mapped.artifact.clone();
        let encoded = self.engine.pool().run(tracing::info_span!("encode"), move || artifact.encode()).await;
        encoded.map(Bytes::from).map_err(|e| status::internal(e.to_string()))
    }
}
