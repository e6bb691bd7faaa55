//! Accepts connections and drains them: HTTP/1.1 with keep-alive, and HTTP/2 without TLS, on one port.
//!
//! Takes a listener and the service, ends some time after draining begins. It knows no route.

use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;
use xprof_service::shutdown::{Drained, Shutdown};

use crate::http::Stack;

/// A connection that says nothing for so long is closed: it is idle, or its client is gone.
const IDLE: Duration = Duration::from_secs(75);

/// How often and for how long a silent HTTP/2 client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Requests of one HTTP/2 connection at once; the limit for all connections together is the stack's.
const MAX_STREAMS: u32 = 256;

/// Serves until draining begins, then until the requests under way are answered or the grace period is over.
pub async fn serve(listener: TcpListener, stack: Stack, shutdown: Shutdown) -> Drained {
    let mut http = Builder::new(TokioExecutor::new());
    // Without `pipeline_flush`, which would copy every body behind its head before it is written.
    http.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS);
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.draining() => break,
        };
        match accepted {
            Ok((stream, _)) => connect(&http, stream, &stack, &connections),
            Err(error) => {
                // Out of file handles, most likely: those under way will give theirs back.
                tracing::warn!(%error, "connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    shutdown.bound(connections.shutdown()).await.1
}

fn connect(http: &Builder<TokioExecutor>, stream: TcpStream, stack: &Stack, connections: &GracefulShutdown) {
    // Answers are written whole, so there is nothing to gain from waiting for more bytes.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay cannot be set");
    }
    // A body that a client sends is dropped unread: no route takes one.
    let service = stack.clone().map_request(|request: Request<Incoming>| request.map(drop));
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let connection = connections.watch(connection.into_owned());
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error, "connection ended");
        }
    });
}
