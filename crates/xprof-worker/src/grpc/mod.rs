//! The server stack: both worker services, health and reflection on one port, with a reason beside each setting.

pub mod legacy;
pub mod status;
pub mod v1;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::transport::server::{Connected, TcpIncoming};
use tonic::transport::{Error, Server};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower_http::catch_panic::CatchPanicLayer;
use xprof_proto::xprof::pywrap::xprof_analysis_worker_service_server::XprofAnalysisWorkerServiceServer;
use xprof_proto::xprof::worker::v1::worker_server::WorkerServer;
use xprof_service::metrics::{Gauge, Held};
use xprof_service::shutdown::{Drained, Shutdown};

use crate::App;

/// The services whose health is reported; the empty name is the process as a whole.
pub const SERVICES: [&str; 3] = ["", "xprof.pywrap.XprofAnalysisWorkerService", "xprof.worker.v1.Worker"];

/// How long health says `NOT_SERVING` before connections are told to go: clients that watch it leave first.
const NOT_SERVING_LEAD: Duration = Duration::from_millis(200);

/// How long answers may take to leave after the last call of a draining worker has ended.
const LAST_BYTES: Duration = Duration::from_millis(500);

/// What every service of this process shares.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    running: Gauge,
    shutdown: Shutdown,
}

impl Calls {
    fn new(app: &App) -> Self {
        let running = app.metrics.gauge("xprof_worker_running_calls", "Calls that have not been answered completely.");
        Self { running, shutdown: app.shutdown.clone() }
    }

    /// Counts a call until its answer is complete. The drain waits for these.
    pub(crate) fn begin(&self) -> Held {
        self.running.hold(1)
    }
}

/// Accepts connections of a port.
pub fn incoming(listener: TcpListener) -> TcpIncoming {
    // Answers are small or come in large chunks: waiting for more bytes only delays them.
    TcpIncoming::from(listener).with_nodelay(Some(true))
}

/// Serves on any kind of connection until draining is over.
pub async fn serve<I, IO, E>(app: &App, incoming: I) -> Result<Drained, Error>
where
    I: Stream<Item = Result<IO, E>>,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let health = HealthReporter::new();
    for service in SERVICES {
        health.set_service_status(service, ServingStatus::Serving).await;
    }
    let calls = Calls::new(app);
    let mut server = Server::builder()
        // Find dead peers: a client that vanished without a word would hold its jobs until the deadline.
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        // A running call may outlive its connection's age by this much.
        .max_connection_age_grace(Duration::from_mins(10));
    if let Some(age) = app.max_connection_age {
        // Makes clients resolve names again: without it, new workers get no calls from old clients.
        server = server.max_connection_age(age);
    }
    let router = server
        // A defect in one call answers INTERNAL instead of closing the connection with all its other calls.
        .layer(CatchPanicLayer::custom(panic_response))
        .add_routes(services(app, &calls, &health));
    app.ready.set();

    let shutdown = app.shutdown.clone();
    let goodbye = async move {
        shutdown.draining().await;
        for service in SERVICES {
            health.set_service_status(service, ServingStatus::NotServing).await;
        }
        tokio::time::sleep(NOT_SERVING_LEAD).await;
    };
    let server = router.serve_with_incoming_shutdown(incoming, goodbye);
    tokio::select! {
        (result, drained) = app.shutdown.bound(server) => result.unwrap_or(Ok(())).map(|()| drained),
        () = idle(&calls) => Ok(Drained::Clean),
    }
}

/// Ends when a draining worker has no call left. Connections may still be open: health and reflection clients keep
/// streams for as long as they live, and waiting for those would use up the grace period every time.
async fn idle(calls: &Calls) {
    calls.shutdown.draining().await;
    tokio::time::sleep(NOT_SERVING_LEAD).await;
    loop {
        while calls.running.get() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(LAST_BYTES).await;
        if calls.running.get() == 0 {
            return;
        }
    }
}

fn services(app: &App, calls: &Calls, health: &HealthReporter) -> Routes {
    let legacy = XprofAnalysisWorkerServiceServer::new(legacy::Legacy::new(app, calls))
        // parity: XProf's worker has no limit, and its aggregator sets none either.
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX);
    let worker = WorkerServer::new(v1::Service::new(app, calls)).max_encoding_message_size(usize::MAX);
    let mut routes = Routes::builder();
    routes.add_service(legacy).add_service(worker);
    routes.add_service(HealthServer::new(HealthService::from_health_reporter(health.clone())));
    // Reflection in both versions: grpcurl asks for v1, older clients for v1alpha.
    match reflection().build_v1() {
        Ok(service) => drop(routes.add_service(service)),
        Err(error) => tracing::error!(%error, "reflection v1 is not available"),
    }
    match reflection().build_v1alpha() {
        Ok(service) => drop(routes.add_service(service)),
        Err(error) => tracing::error!(%error, "reflection v1alpha is not available"),
    }
    routes.routes()
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(xprof_proto::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn panic_response(_: Box<dyn std::any::Any + Send>) -> http::Response<tonic::body::Body> {
    status::internal("the worker met a defect; its log has the details").into_http()
}

/// The age of connections, ±10 %, different in each process: workers that began together do not send all clients away together.
pub fn jittered(age: Duration) -> Duration {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    let spread = f64::from(nanos.wrapping_mul(2_654_435_761).wrapping_add(std::process::id())) / f64::from(u32::MAX);
    age.mul_f64(0.9 + 0.2 * spread)
}

/// When the client stops waiting, from `grpc-timeout`: up to eight digits and a unit.
pub(crate) fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let timeout = parse_timeout(metadata.get("grpc-timeout")?.to_str().ok()?)?;
    // A little early, so that the client hears DEADLINE_EXCEEDED from here rather than a generic reason from the transport.
    let early = (timeout / 20).min(Duration::from_millis(20));
    Instant::now().checked_add(timeout.saturating_sub(early))
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let n = digits.parse::<u64>().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_timeouts() {
        for (text, expected) in [
            ("1800S", Some(Duration::from_mins(30))),
            ("5m", Some(Duration::from_millis(5))),
            ("1H", Some(Duration::from_hours(1))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("12", None),
            ("é", None),
        ] {
            assert_eq!(parse_timeout(text), expected, "{text}");
        }
    }

    #[test]
    fn jitters_by_a_tenth() {
        for _ in 0..100 {
            let age = jittered(Duration::from_secs(50));
            assert!((45.0..=55.0).contains(&age.as_secs_f64()), "{age:?}");
        }
    }
}
