//! The operators' port: is the process alive, is it ready, what does it count, how is it configured.
//!
//! ```text
//! GET /live     200 while the process can answer
//! GET /ready    200 from the moment it serves until draining begins, 503 otherwise
//! GET /metrics  text format of Prometheus
//! GET /config   the effective configuration, with the source of each value
//! GET /         one line about what this is
//! ```
//! A program may add pages of its own.
//! It shares nothing with the ports that users reach, so probes answer even when those are saturated.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// Whether the process serves. It is set once at start and cleared by draining.
#[derive(Debug, Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// From now on the process serves.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it serves.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A further path of the port.
#[derive(Clone)]
pub struct Page {
    path: &'static str,
    content_type: &'static str,
    show: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Page {
    /// What `path` shows is made anew for each request. It must not block.
    pub fn new(
        path: &'static str,
        content_type: &'static str,
        show: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        Self { path, content_type, show: Arc::new(show) }
    }
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Page").field(&self.path).finish()
    }
}

/// What the port shows. Clones are the same.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Answer of `/`: one line about the program.
    pub about: Arc<str>,
    /// Answer of `/config`.
    pub config: Arc<str>,
    /// The latch of `/ready`.
    pub ready: Ready,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// Makes `/ready` fail as soon as draining begins.
    pub shutdown: Shutdown,
    /// Pages of this program alone.
    pub pages: Vec<Page>,
}

impl Admin {
    /// The answer to one request. Also for programs that serve these paths on a port of their own.
    pub fn respond(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed\n");
        }
        match path {
            "/" => text(StatusCode::OK, format!("{}\n", self.about)),
            "/live" => text(StatusCode::OK, "live\n"),
            "/ready" if self.shutdown.is_draining() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            "/ready" if self.ready.get() => text(StatusCode::OK, "ready\n"),
            "/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            "/metrics" => document("text/plain; version=0.0.4; charset=utf-8", self.metrics.render()),
            "/config" => text(StatusCode::OK, self.config.to_string()),
            path => match self.pages.iter().find(|page| page.path == path) {
                Some(page) => document(page.content_type, (page.show)()),
                None => text(StatusCode::NOT_FOUND, self.paths()),
            },
        }
    }

    fn paths(&self) -> String {
        let own: String = self.pages.iter().map(|page| format!(", {}", page.path)).collect();
        format!("there is /live, /ready, /metrics, /config{own}\n")
    }

    /// Serves until the task is dropped: probes and metrics matter most while the process drains.
    pub async fn serve(self, listener: TcpListener) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Most likely no file handles are left; trying at once would spin.
                    tracing::warn!(%error, "the admin port cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let this = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let answer = this.respond(request.method(), request.uri().path());
                    async move { Ok::<_, Infallible>(answer) }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    // A client that connects and says nothing must not hold a task for ever.
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(10))
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "admin connection ended");
                }
            });
        }
    }
}

fn document(content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn get(port: u16, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn shows_the_life_of_the_process() {
        let metrics = Metrics::new();
        metrics.gauge("xprof_x", "X.").set(5);
        let admin = Admin {
            about: "xprof-test".into(),
            config: "a = \"b\" # default\n".into(),
            ready: Ready::default(),
            metrics,
            shutdown: Shutdown::manual(Duration::from_secs(1)),
            pages: vec![Page::new("/debug/x", "application/json", || "{}".into())],
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(admin.clone().serve(listener));
        assert!(get(port, "/live").await.starts_with("HTTP/1.1 200"));
        assert!(get(port, "/ready").await.starts_with("HTTP/1.1 503"));
        admin.ready.set();
        assert!(get(port, "/ready").await.starts_with("HTTP/1.1 200"));
        assert!(get(port, "/metrics").await.contains("xprof_x 5"));
        assert!(get(port, "/config").await.contains("a = \"b\""));
        assert!(get(port, "/").await.contains("xprof-test"));
        assert!(get(port, "/debug/x").await.ends_with("{}"));
        let none = get(port, "/nope").await;
        assert!(none.starts_with("HTTP/1.1 404") && none.contains("/config, /debug/x"), "{none}");
        admin.shutdown.begin();
        assert!(get(port, "/ready").await.ends_with("draining\n"));
        server.abort();
    }
}
