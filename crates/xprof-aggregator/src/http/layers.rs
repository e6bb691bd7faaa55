//! The layers of the front stack that no library has as we need them: one log line per request with the panic guard, and
//! responses for requests that a limit turned away; and cheap request ids.
//!
//! Takes requests and responses, changes neither's meaning.

use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::Full;
use tower::{BoxError, Service};
use tower_http::request_id::{MakeRequestId, RequestId};
use tracing::Instrument as _;
use xprof_service::metrics::{Counter, Gauge, Metrics, Times};

use super::path::query;
use super::respond::{self, Facts, Response};
use crate::error::Error;

/// Requests carry no body: parameters come from the query string only.
pub type Request = http::Request<()>;

/// Labels of responses in metrics: a closed list.
const OUTCOMES: [&str; 4] = ["ok", "client_error", "server_error", "cancelled"];

/// What the log layer counts.
#[derive(Debug, Clone)]
pub struct Counts {
    outcomes: [Counter; 4],
    times: Times,
    in_flight: Gauge,
}

impl Counts {
    /// Registers the metrics.
    pub fn new(metrics: &Metrics) -> Arc<Self> {
        let outcome = |outcome| metrics.counter("xprof_http_requests_total", "HTTP requests.", &[("outcome", outcome)]);
        Arc::new(Self {
            outcomes: OUTCOMES.map(outcome),
            times: metrics.times("xprof_http_request_seconds", "Time from request to response.", &[]),
            in_flight: metrics.gauge("xprof_http_in_flight_requests", "HTTP requests under way."),
        })
    }
}

/// Gives requests without an id one in the form of a UUID: the process by chance, the request by its number.
#[derive(Debug, Clone, Copy)]
pub struct Numbered;

impl MakeRequestId for Numbered {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        static PROCESS: LazyLock<String> = LazyLock::new(|| {
            let process = RandomState::new().hash_one(std::process::id());
            let (high, middle, low) = (process >> 32, process >> 16 & 0xffff, process >> 4 & 0xfff);
            format!("{high:08x}-{middle:04x}-4{low:03x}-8{:03x}-", process & 0xfff)
        });
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        HeaderValue::try_from(format!("{}{:012x}", *PROCESS, n & 0xffff_ffff_ffff)).ok().map(RequestId::new)
    }
}

/// Writes one line per request, also for those whose client went away.
#[derive(Debug, Clone)]
pub struct AccessLog<S> {
    inner: S,
    counts: Arc<Counts>,
}

impl<S> AccessLog<S> {
    /// Around `inner`.
    pub fn new(inner: S, counts: Arc<Counts>) -> Self {
        Self { inner, counts }
    }
}

impl<S> Service<Request> for AccessLog<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let id = request_id(request.headers());
        let is_head = request.method() == Method::HEAD;
        let span = tracing::debug_span!("request", request_id = %id);
        let mut line = Line {
            counts: Arc::clone(&self.counts),
            method: request.method().clone(),
            uri: request.uri().clone(),
            id,
            began: Instant::now(),
            response: None,
        };
        let held = self.counts.in_flight.hold(1);
        let answer = self.inner.call(request);
        let logged = async move {
            let _held = held;
            let mut response = match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                // One panic costs one request. Its text went to the log with the panic itself.
                Err(_) => {
                    respond::text(StatusCode::INTERNAL_SERVER_ERROR, "internal error: the request failed unexpectedly")
                }
            };
            let bytes = response.body().size_hint().exact().unwrap_or_default();
            let facts = response.extensions_mut().remove::<Facts>().unwrap_or_default();
            line.response = Some((response.status(), bytes, facts));
            drop(line);
            Ok(if is_head { without_body(response, bytes) } else { response })
        };
        logged.instrument(span).boxed()
    }
}

/// The id that the request carries, which the layer outside this one makes sure of.
pub fn request_id(headers: &HeaderMap) -> String {
    let id = headers.get("x-request-id").and_then(|v| v.to_str().ok()).unwrap_or_default();
    // It is repeated in logs and in calls to workers, so a client does not choose its length. It is ASCII.
    id[..id.len().min(128)].to_owned()
}

/// A response to HEAD: what GET would say, without saying it.
fn without_body(response: Response, bytes: u64) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_LENGTH, bytes.into());
    Response::from_parts(parts, Full::default())
}

/// Writes the line when it is dropped: at the response, or when the client has gone away.
struct Line {
    counts: Arc<Counts>,
    method: Method,
    uri: Uri,
    id: String,
    began: Instant,
    response: Option<(StatusCode, u64, Facts)>,
}

impl Drop for Line {
    fn drop(&mut self) {
        let elapsed = self.began.elapsed();
        let (status, bytes, facts) = self.response.take().unwrap_or_else(|| cancelled(&self.uri));
        let outcome = match status.as_u16() {
            0..400 => 0,
            499 => 3,
            400..500 => 1,
            _ => 2,
        };
        self.counts.outcomes[outcome].inc();
        self.counts.times.observe(elapsed);
        tracing::info!(
            request_id = self.id,
            method = self.method.as_str(),
            path = self.uri.path(),
            route = facts.route,
            run = facts.run,
            host = facts.host,
            tool = facts.tool,
            status = status.as_u16(),
            bytes,
            elapsed_ms = elapsed.as_micros() as f64 / 1000.0,
            cache = facts.cache,
            outcome = OUTCOMES[outcome],
            error = facts.code,
            "request"
        );
    }
}

/// What a request without a response is logged as: 499 is what proxies write for "the client closed the request". It never
/// goes over a wire.
fn cancelled(uri: &Uri) -> (StatusCode, u64, Facts) {
    (StatusCode::from_u16(499).unwrap_or_default(), 0, Facts::of("", &query(uri.query())))
}

/// Turns the errors of limits into responses: outside of it there are no errors any more.
#[derive(Debug)]
pub struct Refusals<S> {
    inner: S,
    max_in_flight: usize,
    timeout: Duration,
    broken: Option<BoxError>,
}

impl<S> Refusals<S> {
    /// Around the limits, which are named in the texts.
    pub fn new(inner: S, max_in_flight: usize, timeout: Duration) -> Self {
        Self { inner, max_in_flight, timeout, broken: None }
    }
}

impl<S: Clone> Clone for Refusals<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.max_in_flight, self.timeout)
    }
}

impl<S> Service<Request> for Refusals<S>
where
    S: Service<Request, Response = Response, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.broken = match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => None,
            Poll::Ready(Err(error)) => Some(error),
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (max_in_flight, timeout) = (self.max_in_flight, self.timeout);
        let answer = match self.broken.take() {
            Some(error) => return std::future::ready(Ok(refused(&error, max_in_flight, timeout))).boxed(),
            None => self.inner.call(request),
        };
        async move { Ok(answer.await.unwrap_or_else(|error| refused(&error, max_in_flight, timeout))) }.boxed()
    }
}

/// A request that a limit turned away.
fn refused(error: &BoxError, max_in_flight: usize, timeout: Duration) -> Response {
    let error = if error.is::<tower::load_shed::error::Overloaded>() {
        Error::Overloaded(format!("{max_in_flight} requests are under way"))
    } else if error.is::<tower::timeout::error::Elapsed>() {
        Error::TimedOut(format!("{timeout:?}"))
    } else {
        Error::Internal(error.to_string())
    };
    let mut response = respond::failure(&error);
    response.extensions_mut().insert(Facts { route: "refused", code: error.code(), ..Facts::default() });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_whose_client_went_away_is_logged_with_what_it_asked_for() {
        let (status, _, facts) = cancelled(&Uri::from_static("/data?run=r&tag=overview_page&hosts=a,b"));
        assert_eq!((status.as_u16(), facts.run.as_str(), facts.host.as_str()), (499, "r", "a,b"));
        assert_eq!(facts.tool, "overview_page");
    }

    #[test]
    fn ids_are_unique_and_bounded() {
        let make = || Numbered.make_request_id(&Request::default()).unwrap().into_header_value();
        let (first, second) = (make(), make());
        assert!(first != second && first.len() == 36 && second.len() == 36);
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("abc-1"));
        assert_eq!(request_id(&headers), "abc-1");
        headers.insert("x-request-id", HeaderValue::from_bytes(&[b'a'; 200]).unwrap());
        assert_eq!(request_id(&headers).len(), 128);
        headers.insert("x-request-id", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(request_id(&headers), "");
    }
}
