//! Workers that fail in every way there is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::stream::{self, BoxStream, StreamExt as _};
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Server as GrpcServer;
use tonic::{Code, Request, Response, Status};
use xprof_core::Diag;
use xprof_core::prep::Prepared;
use xprof_core::tools::{Params, registry};
use xprof_core::xspace::TraceBytes;
use xprof_proto::xprof::pywrap::xprof_analysis_worker_service_server::{
    XprofAnalysisWorkerService, XprofAnalysisWorkerServiceServer,
};
use xprof_proto::xprof::pywrap::{WorkerProfileDataRequest, WorkerProfileDataResponse};
use xprof_proto::xprof::worker::v1::map_reply::Part;
use xprof_proto::xprof::worker::v1::worker_server::{Worker, WorkerServer};
use xprof_proto::xprof::worker::v1::{HostStats, MapDone, MapReply, MapRequest, Problem, StatusReply, StatusRequest};

/// What a fake worker does with a job.
#[derive(Clone)]
pub enum Does {
    /// Answers with what the tool's own map makes of the trace.
    Answer,
    /// Fails with this status.
    Fail(Code),
    /// Fails for the trace of this host only.
    FailFor(&'static str, Code),
    /// Sends a part of the artifact and then nothing more.
    EndEarly,
    /// Answers once the gate is open.
    Wait(Arc<Semaphore>),
    /// Never answers for the trace of this host.
    HangFor(&'static str),
    /// Loses all its connections as soon as it gets the trace of this host, as if it had died and come back at once; answers
    /// when no death is left.
    DieFor(&'static str, Arc<Semaphore>),
    /// Fails with this status once the gate is open, and answers from then on.
    WaitAndFail(Arc<Semaphore>, Code),
    /// Knows only XProf's protocol; writes the op statistics beside the trace.
    Legacy,
}

/// A worker that does as it is told and remembers what it was asked.
#[derive(Clone)]
pub struct Fake {
    pub does: Arc<Mutex<Does>>,
    pub jobs: Arc<AtomicU32>,
    pub legacy_jobs: Arc<AtomicU32>,
    pub last: Arc<Mutex<Option<MapRequest>>>,
    pub abandoned: Arc<AtomicBool>,
    pub death: Arc<Notify>,
}

/// A fake worker that listens; it stops when it is dropped.
pub struct Running {
    pub fake: Fake,
    pub address: SocketAddr,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Running {
    pub async fn start(does: Does) -> Self {
        Self::start_at(does, "127.0.0.1:0").await
    }

    pub async fn start_at(does: Does, address: &str) -> Self {
        let fake = Fake {
            does: Arc::new(Mutex::new(does)),
            jobs: Arc::default(),
            legacy_jobs: Arc::default(),
            last: Arc::default(),
            abandoned: Arc::default(),
            death: Arc::default(),
        };
        let at: SocketAddr = address.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = listener.local_addr().unwrap();
        let serving = GrpcServer::builder()
            .add_service(WorkerServer::new(fake.clone()))
            .add_service(XprofAnalysisWorkerServiceServer::new(fake.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(serving.map(|served| served.unwrap()));
        // Clients reach it through this door: closing a connection there is how it dies.
        let door = TcpListener::bind(SocketAddr::new(at.ip(), at.port())).await.unwrap();
        let address = door.local_addr().unwrap();
        let open = tokio::spawn(pass(door, inner, Arc::clone(&fake.death)));
        Self { fake, address, _tasks: [serving, open].map(AbortOnDropHandle::new).into() }
    }

    pub fn jobs(&self) -> u32 {
        self.fake.jobs.load(Ordering::SeqCst)
    }
}

/// Connects each client of the door to the worker behind it, until death parts them.
async fn pass(door: TcpListener, inner: SocketAddr, death: Arc<Notify>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = door.accept() => {
                let (mut client, _) = accepted.unwrap();
                connections.spawn(async move {
                    let mut worker = TcpStream::connect(inner).await.unwrap();
                    // Either side may close at any time.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut worker).await;
                });
            }
            () = death.notified() => connections.abort_all(),
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What a tool's map makes of a trace.
fn artifact(tool: &str, path: &str, host: &str) -> Vec<u8> {
    let mut diag = Diag::new();
    let trace = TraceBytes::new(std::fs::read(path).unwrap().into());
    let prepared = Prepared::read(trace, host, &mut diag).unwrap();
    registry::find(tool).unwrap().map(&prepared, &Params::new(), &mut diag).unwrap().encode()
}

/// Tells that the call was dropped before it was answered.
struct Watch(Arc<AtomicBool>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tonic::async_trait]
impl Worker for Fake {
    type MapStream = BoxStream<'static, Result<MapReply, Status>>;

    async fn map(&self, request: Request<MapRequest>) -> Result<Response<Self::MapStream>, Status> {
        let request = request.into_inner();
        let host = request.host.clone();
        let artifact = artifact(&request.tool, &request.trace.as_ref().unwrap().path, &host);
        *self.last.lock().unwrap() = Some(request);
        let does = self.does.lock().unwrap().clone();
        if !matches!(does, Does::Legacy) {
            self.jobs.fetch_add(1, Ordering::SeqCst);
        }
        let part = |part| Ok(MapReply { part: Some(part) });
        let problem = Problem { name: "duplicate_key".into(), count: 2, ..Problem::default() };
        let done = MapDone { artifact_bytes: artifact.len() as u64, problems: vec![problem], ..MapDone::default() };
        let answer = vec![part(Part::Chunk(artifact.into())), part(Part::Done(done))];
        match does {
            Does::Answer => Ok(Response::new(stream::iter(answer).boxed())),
            Does::FailFor(bad, _) | Does::HangFor(bad) | Does::DieFor(bad, _) if bad != host => {
                Ok(Response::new(stream::iter(answer).boxed()))
            }
            Does::Fail(code) | Does::FailFor(_, code) => Err(Status::new(code, "said the worker")),
            Does::HangFor(_) => std::future::pending().await,
            Does::DieFor(_, deaths) => match deaths.try_acquire() {
                Ok(death) => {
                    death.forget();
                    self.death.notify_one();
                    std::future::pending().await
                }
                Err(_) => Ok(Response::new(stream::iter(answer).boxed())),
            },
            Does::EndEarly => Ok(Response::new(stream::iter(answer.into_iter().take(1)).boxed())),
            Does::Wait(gate) => {
                let watch = Watch(Arc::clone(&self.abandoned));
                gate.acquire().await.unwrap().forget();
                std::mem::forget(watch);
                Ok(Response::new(stream::iter(answer).boxed()))
            }
            Does::WaitAndFail(gate, code) => {
                gate.acquire().await.unwrap().forget();
                *self.does.lock().unwrap() = Does::Answer;
                Err(Status::new(code, "said the worker"))
            }
            Does::Legacy => Err(Status::unimplemented("")),
        }
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        Ok(Response::new(StatusReply::default()))
    }
}

#[tonic::async_trait]
impl XprofAnalysisWorkerService for Fake {
    async fn get_profile_data(
        &self,
        request: Request<WorkerProfileDataRequest>,
    ) -> Result<Response<WorkerProfileDataResponse>, Status> {
        self.legacy_jobs.fetch_add(1, Ordering::SeqCst);
        if !matches!(*self.does.lock().unwrap(), Does::Legacy) {
            return Err(Status::unimplemented(""));
        }
        let origin = request.into_inner().origin_request.unwrap();
        assert_eq!(origin.parameters.get("use_saved_result").map(String::as_str), Some("false"));
        let output = origin.session_id.replace(".xplane.pb", ".op_stats_v2.pb");
        let stats = HostStats::decode(artifact(&origin.tool_name, &origin.session_id, "host").as_slice()).unwrap();
        std::fs::write(&output, stats.op_stats.unwrap().encode_to_vec()).unwrap();
        Ok(Response::new(WorkerProfileDataResponse { output: output.into(), worker_id: "fake".into() }))
    }
}
