//! Map jobs on workers that speak only XProf's own protocol (XProf 2.24): the result is a file beside the trace.
//!
//! Takes a job, gives its part, or nothing where that protocol cannot help: only the tools that work on OpStats leave a
//! file that this program reads. Everything else is done in this process by the caller.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::Status;
use xprof_core::artifact::Artifact as _;
use xprof_core::opstats::HostStats;
use xprof_core::session::{OP_STATS_SUFFIX, XPLANE_SUFFIX};
use xprof_proto::xprof::pywrap::xprof_analysis_worker_service_client::XprofAnalysisWorkerServiceClient;
use xprof_proto::xprof::pywrap::{ProfileDataRequest, WorkerProfileDataRequest};
use xprof_service::engine::Engine;

use super::plan::Job;
use super::{Part, on_pool};
use crate::workers::Worker;

/// Runs one job; none means that this process must do it.
pub async fn map(engine: &Engine, job: &Job, worker: &Worker) -> Result<Option<Part>, Status> {
    let trace = &job.trace.identity.path;
    let Some(session_id) = trace.to_str().filter(|path| path.ends_with(XPLANE_SUFFIX)) else {
        return Ok(None);
    };
    // A worker of XProf leaves `HOST.op_stats_v2.pb`, the same file for the whole family.
    if job.tool.artifact_kind != HostStats::KIND {
        return Ok(None);
    }
    let request = WorkerProfileDataRequest {
        origin_request: Some(ProfileDataRequest {
            session_id: session_id.to_owned(),
            tool_name: job.tool.name.to_owned(),
            parameters: parameters(job),
        }),
    };
    let mut client = XprofAnalysisWorkerServiceClient::new(worker.channel()).max_decoding_message_size(usize::MAX);
    let output = client.get_profile_data(request).await?.into_inner().output;
    let Some(path) = result_path(trace, &output) else {
        tracing::warn!(worker = worker.name, host = %job.trace.host, "worker names a result in an unexpected place");
        return Ok(None);
    };
    let storage = engine.storage();
    // A worker of XProf returns a file of an earlier run whatever became of the trace since.
    match storage.identity(&path).await {
        Ok(result) if result.modified_unix_ns >= job.trace.identity.modified_unix_ns => {}
        Ok(_) => {
            tracing::warn!(worker = worker.name, host = %job.trace.host, "worker's result is older than the trace");
            return Ok(None);
        }
        Err(error) => {
            tracing::warn!(worker = worker.name, host = %job.trace.host, %error, "worker's result cannot be seen here");
            return Ok(None);
        }
    }
    let Ok(op_stats) = storage.read(&path).await else {
        return Ok(None);
    };
    let tool = job.tool;
    let decoded = on_pool(engine, move || tool.decode(host_stats(&op_stats))).await;
    match decoded {
        Ok(Ok(artifact)) => Ok(Some(Part { artifact, problems: Vec::new() })),
        Ok(Err(error)) => {
            tracing::warn!(worker = worker.name, host = %job.trace.host, %error, "worker's result cannot be read");
            Ok(None)
        }
        Err(error) => Err(Status::internal(error.to_string())),
    }
}

/// `parity:` what the reference's aggregator sends, as captured from it.
fn parameters(job: &Job) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> =
        job.params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    parameters.insert("use_saved_result".into(), "false".into());
    if job.tool.name == "op_profile" {
        parameters.entry("group_by".into()).or_insert_with(|| "program".into());
    }
    parameters
}

/// The result's path, if it lies where the protocol says: beside the trace, with the ending for op statistics.
fn result_path(trace: &Path, output: &[u8]) -> Option<std::path::PathBuf> {
    let path = Path::new(std::str::from_utf8(output).ok()?);
    let name = path.file_name()?.to_str()?;
    (path.parent() == trace.parent() && name.ends_with(OP_STATS_SUFFIX)).then(|| path.to_path_buf())
}

/// Wraps the bytes of an OpStats message as field 1 of `xprof.worker.v1.HostStats`, without decoding it. The part about
/// inference requests stays empty: that protocol does not carry it.
fn host_stats(op_stats: &Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(op_stats.len() + 16);
    encode_key(1, WireType::LengthDelimited, &mut out);
    encode_varint(op_stats.len() as u64, &mut out);
    out.put_slice(op_stats);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use xprof_proto::tensorflow::profiler::OpStats;
    use xprof_proto::xprof::worker::v1::HostStats;

    use super::*;

    #[test]
    fn wraps_op_stats() {
        let stats = OpStats::default();
        let wrapped = HostStats::decode(host_stats(&stats.encode_to_vec().into())).unwrap();
        assert_eq!(wrapped.op_stats, Some(stats));
        assert!(wrapped.inference.is_none());
    }

    #[test]
    fn accepts_results_beside_the_trace_only() {
        let trace = Path::new("/logs/run/h0.xplane.pb");
        assert!(result_path(trace, b"/logs/run/h0.op_stats_v2.pb").is_some());
        for output in [&b"/etc/passwd"[..], b"/logs/other/h0.op_stats_v2.pb", b"/logs/run/h0.xplane.pb", b"", b"\xff"] {
            assert!(result_path(trace, output).is_none());
        }
    }
}
