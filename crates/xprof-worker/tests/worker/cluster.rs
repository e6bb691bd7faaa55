//! A worker in this process, on a port of its own, and a client connected to it.

#![allow(clippy::unwrap_used)] // this module is a test, which clippy does not see

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tonic::Status;
use tonic::transport::Channel;
use xprof_proto::tensorflow::profiler::XSpace;
use xprof_proto::xprof::pywrap::xprof_analysis_worker_service_client::XprofAnalysisWorkerServiceClient;
use xprof_proto::xprof::pywrap::{ProfileDataRequest, WorkerProfileDataRequest};
use xprof_proto::xprof::worker::v1::map_reply::Part;
use xprof_proto::xprof::worker::v1::worker_client::WorkerClient;
use xprof_proto::xprof::worker::v1::{MapDone, MapRequest, TraceSource};
use xprof_service::config::{Sources, Start};
use xprof_service::shutdown::{Drained, Shutdown};
use xprof_worker::{App, build, config};

pub struct Cluster {
    pub app: App,
    pub channel: Channel,
    pub server: JoinHandle<Drained>,
    pub dir: tempfile::TempDir,
}

impl Cluster {
    pub async fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let args = ["--cpu_threads=1", "--worker_id=w"].iter().chain(args);
        let args = args.map(|a| a.replace("DIR", dir.path().to_str().unwrap())).collect();
        let Ok(Start::Run(loaded)) = config::read(&Sources { args, ..Sources::default() }) else {
            panic!("bad arguments")
        };
        let app = build(&loaded.config, Shutdown::manual(loaded.config.common.shutdown_grace())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn({
            let app = app.clone();
            async move { app.serve(listener).await.unwrap() }
        });
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { app, channel, server, dir }
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn trace(&self, host: &str) -> PathBuf {
        let space = XSpace { hostnames: vec![host.into()], ..XSpace::default() };
        self.write(&format!("{host}.xplane.pb"), &space.encode_to_vec())
    }

    pub async fn legacy(&self, path: &Path, tool: &str) -> Result<(String, String), Status> {
        let request = WorkerProfileDataRequest {
            origin_request: Some(ProfileDataRequest {
                session_id: path.to_str().unwrap().into(),
                tool_name: tool.into(),
                parameters: [("use_saved_result".to_string(), "false".to_string())].into(),
            }),
        };
        let answer =
            XprofAnalysisWorkerServiceClient::new(self.channel.clone()).get_profile_data(request).await?.into_inner();
        Ok((String::from_utf8(answer.output.to_vec()).unwrap(), answer.worker_id))
    }

    pub async fn map(
        &self,
        request: impl tonic::IntoRequest<MapRequest>,
    ) -> Result<(Vec<String>, Vec<u8>, MapDone), Status> {
        let client = WorkerClient::new(self.channel.clone());
        let mut parts = client.max_decoding_message_size(usize::MAX).map(request).await?.into_inner();
        let (mut stages, mut bytes) = (Vec::new(), Vec::new());
        while let Some(reply) = parts.next().await {
            match reply?.part.unwrap() {
                Part::Progress(progress) => stages.push(progress.stage),
                Part::Chunk(chunk) => bytes.extend_from_slice(&chunk),
                Part::Done(done) => return Ok((stages, bytes, done)),
            }
        }
        panic!("the answer has no end");
    }

    /// Occupies the only conversion thread until the sender is dropped.
    pub async fn block_pool(&self) -> mpsc::Sender<()> {
        let (release, gate) = mpsc::channel();
        let pool = self.app.engine.pool().clone();
        tokio::spawn(async move { pool.run(tracing::Span::none(), move || gate.recv().is_ok()).await });
        self.until("xprof_cpu_running_jobs", 1).await;
        release
    }

    pub async fn until(&self, gauge: &str, value: i64) {
        for _ in 0..60_000 {
            if self.app.metrics.value(gauge) == Some(value) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{gauge} is not {value} after a minute:\n{}", self.app.metrics.render());
    }
}

pub fn request(path: &Path, tool: &str) -> MapRequest {
    MapRequest {
        trace: Some(TraceSource { path: path.to_str().unwrap().into(), ..TraceSource::default() }),
        host: "h0".into(),
        tool: tool.into(),
        request_id: "r1".into(),
        ..MapRequest::default()
    }
}
