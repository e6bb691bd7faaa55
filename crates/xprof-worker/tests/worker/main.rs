//! A worker in this process, called over a socket as any client would.

mod cluster;

use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;
use tokio_stream::StreamExt;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use xprof_proto::tensorflow::profiler::{EventTimeFractionAnalyzerResults, OpStats};
use xprof_proto::xprof::worker::v1::map_reply::Part;
use xprof_proto::xprof::worker::v1::worker_client::WorkerClient;
use xprof_proto::xprof::worker::v1::{HostStats, MapRequest, StatusRequest};
use xprof_service::shutdown::Drained;
use xprof_skip::{Need, skip};

use cluster::{Cluster, request};

#[tokio::test]
async fn legacy_writes_one_file_for_the_whole_family() {
    let cluster = Cluster::start(&[]).await;
    let trace = cluster.trace("h0");
    let stored = cluster.dir.path().join("h0.op_stats_v2.pb");
    let mut first = None;
    for tool in [
        "overview_page",
        "input_pipeline_analyzer",
        "framework_op_stats",
        "kernel_stats",
        "pod_viewer",
        "op_profile",
        "hlo_stats",
        "roofline_model",
    ] {
        let answer = cluster.legacy(&trace, tool).await.unwrap();
        assert_eq!(answer, (stored.to_str().unwrap().into(), "w".into()), "{tool}");
        let bytes = std::fs::read(&stored).unwrap();
        OpStats::decode(&bytes[..]).unwrap();
        assert_eq!(first.get_or_insert_with(|| bytes.clone()), &bytes, "{tool}");
    }
    let names: Vec<_> = std::fs::read_dir(cluster.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing else is left behind: {names:?}");

    // A file that is there already is the answer, unless the trace is younger.
    std::fs::write(&stored, b"").unwrap();
    cluster.legacy(&trace, "hlo_stats").await.unwrap();
    assert_eq!(std::fs::read(&stored).unwrap(), b"");
    let later = std::time::SystemTime::now() + Duration::from_secs(10);
    std::fs::File::options().append(true).open(&trace).unwrap().set_modified(later).unwrap();
    cluster.legacy(&trace, "hlo_stats").await.unwrap();
    assert_eq!(Some(std::fs::read(&stored).unwrap()), first);
}

#[tokio::test]
async fn legacy_answers_shares_of_steps_inline() {
    let cluster = Cluster::start(&[]).await;
    let (output, _) = cluster.legacy(&cluster.trace("h0"), "event_time_fraction_analyzer").await.unwrap();
    let shares = EventTimeFractionAnalyzerResults::decode(output.as_bytes()).unwrap();
    assert_eq!(shares.results.keys().collect::<Vec<_>>(), [""]);
    // A host without steps is there all the same.
    assert_eq!(shares.results[""].host_event_time_fractions["h0"].event_time_fractions, [0.0; 0]);
}

#[tokio::test]
async fn legacy_refuses_as_xprof_does() {
    let cluster = Cluster::start(&[]).await;
    let trace = cluster.trace("h0");
    for tool in [
        "trace_viewer",
        "memory_profile",
        "inference_profile",
        "memory_viewer",
        "graph_viewer",
        "megascale_stats",
        "smart_suggestion",
    ] {
        let status = cluster.legacy(&trace, tool).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, "Map not implemented"), "{tool}");
    }
    assert_eq!(cluster.legacy(&trace, "trace_viewer@").await.unwrap_err().code(), Code::Unimplemented);
    for tool in ["perf_counters", "utilization_viewer", "kernel_utilization", "hlo_op_profile", "tool_names", ""] {
        let status = cluster.legacy(&trace, tool).await.unwrap_err();
        let text = format!("Can not find tool: {tool}");
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, text.as_str()));
    }
    let missing = cluster.dir.path().join("nope.xplane.pb");
    let status = cluster.legacy(&missing, "hlo_stats").await.unwrap_err();
    let text = format!("{}; No such file or directory", missing.display());
    assert_eq!((status.code(), status.message()), (Code::NotFound, text.as_str()));
    let damaged = cluster.write("bad.xplane.pb", &[0xff; 64]);
    let status = cluster.legacy(&damaged, "hlo_stats").await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss);
    assert!(status.message().contains("bad.xplane.pb"), "{}", status.message());
    assert!(!cluster.dir.path().join("bad.op_stats_v2.pb").exists());
    assert_eq!(cluster.legacy(Path::new("h0.xplane.pb"), "hlo_stats").await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(cluster.legacy(cluster.dir.path(), "hlo_stats").await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn v1_streams_the_artifact() {
    let cluster = Cluster::start(&[]).await;
    let trace = cluster.trace("h0");
    let (stages, bytes, done) = cluster.map(request(&trace, "overview_page")).await.unwrap();
    assert_eq!(stages, ["queued", "read", "prepare", "map"]);
    assert_eq!((done.worker_id.as_str(), done.artifact_bytes, done.cache_hit), ("w", bytes.len() as u64, false));
    let stats = HostStats::decode(&bytes[..]).unwrap();
    let (_, again, done) = cluster.map(request(&trace, "op_profile")).await.unwrap();
    assert!(done.cache_hit && again == bytes);

    // Both services give the same statistics.
    let (path, _) = cluster.legacy(&trace, "hlo_stats").await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), stats.op_stats.unwrap_or_default().encode_to_vec());

    let status = WorkerClient::new(cluster.channel.clone()).status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.worker_id.as_str(), status.prepared_traces, status.jobs_running), ("w", 1, 0));
    assert!(status.tools.contains(&"overview_page".to_string()) && status.bytes_held > 0);
}

#[tokio::test]
async fn v1_says_why_not() {
    let cluster = Cluster::start(&[]).await;
    let trace = cluster.trace("h0");
    let change = |f: fn(&mut MapRequest)| {
        let mut request = request(&trace, "overview_page");
        f(&mut request);
        request
    };
    for (request, code, word) in [
        (change(|r| r.trace = None), Code::InvalidArgument, "invalid_request"),
        (change(|r| r.tool = "nope".into()), Code::InvalidArgument, "unknown_tool"),
        (change(|r| r.artifact_version = 99), Code::FailedPrecondition, "artifact_version"),
        (change(|r| r.trace.as_mut().unwrap().size_bytes = 99), Code::FailedPrecondition, "trace_changed"),
        (change(|r| r.trace.as_mut().unwrap().path.push('x')), Code::NotFound, "file_not_found"),
        (
            change(|r| r.trace.as_mut().unwrap().path = "gs://b/x.xplane.pb".into()),
            Code::InvalidArgument,
            "unusable_path",
        ),
    ] {
        let status = cluster.map(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert_eq!(status.metadata().get("xprof-error").unwrap(), word);
    }
}

#[tokio::test]
async fn stays_inside_its_roots() {
    let cluster = Cluster::start(&["--allowed_roots=DIR"]).await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("h0.xplane.pb"), b"").unwrap();
    let trace = cluster.trace("h0");
    assert!(cluster.legacy(&trace, "hlo_stats").await.is_ok());
    let status = cluster.legacy(&outside.path().join("h0.xplane.pb"), "hlo_stats").await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{}", status.message());
    assert!(!outside.path().join("h0.op_stats_v2.pb").exists());
    let around = cluster.dir.path().join("..").join(outside.path().file_name().unwrap()).join("h0.xplane.pb");
    assert_eq!(cluster.map(request(&around, "op_profile")).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_dropped_call_stops_its_work() {
    let cluster = Cluster::start(&["-m", "1"]).await;
    let trace = cluster.trace("h0");
    let release = cluster.block_pool().await;
    let mut client = WorkerClient::new(cluster.channel.clone());
    let mut parts = client.map(request(&trace, "op_profile")).await.unwrap().into_inner();
    assert!(matches!(parts.next().await.unwrap().unwrap().part, Some(Part::Progress(_))));
    cluster.until("xprof_map_running_jobs", 1).await;
    drop(parts);
    cluster.until("xprof_worker_running_calls", 0).await;
    drop(release);
    cluster.until("xprof_map_running_jobs", 0).await;
    assert!(cluster.app.metrics.render().contains("outcome=\"cancelled\"} 1\n"));
    assert_eq!(cluster.app.engine.status().prepared_traces, 0, "the abandoned job did not run");
}

#[tokio::test]
async fn honours_deadlines() {
    let cluster = Cluster::start(&["-m", "1"]).await;
    let trace = cluster.trace("h0");
    let release = cluster.block_pool().await;
    let mut late = Request::new(request(&trace, "op_profile"));
    // As a header only, so that it is the worker and not this client that gives up.
    late.metadata_mut().insert("grpc-timeout", "200m".parse().unwrap());
    assert_eq!(cluster.map(late).await.unwrap_err().code(), Code::DeadlineExceeded);
    drop(release);
    assert!(cluster.map(request(&trace, "op_profile")).await.is_ok());
}

#[tokio::test]
async fn refuses_what_would_wait_behind_too_many() {
    let cluster = Cluster::start(&["-m", "1", "--max_waiting_jobs=1"]).await;
    let traces = ["h0", "h1", "h2"].map(|host| cluster.trace(host));
    let release = cluster.block_pool().await;
    let running = cluster.map(request(&traces[0], "op_profile"));
    let waiting = async {
        cluster.until("xprof_map_running_jobs", 1).await;
        cluster.map(request(&traces[1], "op_profile")).await
    };
    let refused = async {
        cluster.until("xprof_map_waiting_jobs", 1).await;
        let status = cluster.map(request(&traces[2], "op_profile")).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "the queue is full: 1 jobs wait"));
        assert_eq!(status.metadata().get("xprof-retry").unwrap(), "elsewhere");
        drop(release);
    };
    let (running, waiting, ()) = tokio::join!(running, waiting, refused);
    assert!(running.is_ok() && waiting.is_ok(), "those before it are answered");
}

#[tokio::test]
async fn drains_what_runs_and_tells_health() {
    let cluster = Cluster::start(&[]).await;
    let trace = cluster.trace("h0");
    let mut health = HealthClient::new(cluster.channel.clone());
    for service in xprof_worker::grpc::SERVICES {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status, 1, "{service}");
    }
    assert_eq!(health.check(HealthCheckRequest { service: "nope".into() }).await.unwrap_err().code(), Code::NotFound);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status, 1);

    let release = cluster.block_pool().await;
    let mut client = WorkerClient::new(cluster.channel.clone());
    let mut parts = client.map(request(&trace, "op_profile")).await.unwrap().into_inner();
    parts.next().await.unwrap().unwrap();
    cluster.app.shutdown.begin();
    assert_eq!(watch.next().await.unwrap().unwrap().status, 2, "health says NOT_SERVING");
    drop(release);
    let mut done = false;
    while let Some(part) = parts.next().await {
        done |= matches!(part.unwrap().part, Some(Part::Done(_)));
    }
    assert!(done, "the running call is answered");
    // The health stream is still open, and yet the worker ends well before the grace period.
    let drained = tokio::time::timeout(Duration::from_secs(60), cluster.server).await;
    assert_eq!(drained.unwrap().unwrap(), Drained::Clean);
}

#[tokio::test]
async fn gives_up_after_the_grace_period() {
    let cluster = Cluster::start(&["--shutdown_grace=300ms"]).await;
    let trace = cluster.trace("h0");
    let _release = cluster.block_pool().await;
    let mut client = WorkerClient::new(cluster.channel.clone());
    let _parts = client.map(request(&trace, "op_profile")).await.unwrap().into_inner();
    cluster.app.shutdown.begin();
    let drained = tokio::time::timeout(Duration::from_secs(60), cluster.server).await;
    assert_eq!(drained.unwrap().unwrap(), Drained::Cut);
}

#[tokio::test]
async fn describes_itself() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::{v1, v1alpha};

    let cluster = Cluster::start(&[]).await;
    let ask = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(cluster.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(ask)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = answers.next().await.unwrap().unwrap().message_response
    else {
        panic!("no list")
    };
    let names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    for name in ["grpc.health.v1.Health", "xprof.pywrap.XprofAnalysisWorkerService", "xprof.worker.v1.Worker"] {
        assert!(names.iter().any(|n| n == name), "{name} is not in {names:?}");
    }
    let ask = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
            "xprof.worker.v1.Worker".into(),
        )),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(cluster.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(ask)).await.unwrap().into_inner();
    assert!(answers.next().await.unwrap().is_ok());
}

/// Real traces, where this checkout has them.
#[tokio::test]
async fn maps_real_traces() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let mut traces = Vec::new();
    collect(&corpus.join("logdir"), &mut traces);
    collect(&corpus.join("logdir_synth"), &mut traces);
    if traces.is_empty() {
        return skip(Need::Corpus, &format!("there are no traces in {}", corpus.display()));
    }
    let cluster = Cluster::start(&[]).await;
    // The smallest ones: this test is about the worker, not about conversion.
    traces.sort_by_key(|p| std::fs::metadata(p).map_or(u64::MAX, |m| m.len()));
    for trace in traces.iter().take(3) {
        let copy = cluster.dir.path().join(trace.file_name().unwrap());
        std::fs::copy(trace, &copy).unwrap();
        let (path, _) = cluster.legacy(&copy, "overview_page").await.unwrap();
        OpStats::decode(&std::fs::read(path).unwrap()[..]).unwrap();
        let (_, bytes, done) = cluster.map(request(&copy, "overview_page")).await.unwrap();
        assert_eq!(done.artifact_bytes, bytes.len() as u64);
    }
}

fn collect(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, out);
        } else if path.to_string_lossy().ends_with(".xplane.pb") {
            out.push(path);
        }
    }
}
