//! What every request passes, whatever its route: an id, one log line, the guard against panics, the headers of every answer, and
//! the limits on how many are answered at once and for how long.
//!
//! Takes requests and responses, changes neither's meaning.

use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::Full;
use tokio::sync::Semaphore;
use tracing::Instrument as _;
use xprof_service::metrics::{Counter, Gauge, Metrics, Times};

use super::respond::{self, Facts, Response};
use crate::error::Error;

/// Requests carry no body: parameters come from the query string only.
pub type Request = http::Request<()>;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Our own version; `/version` tells the one whose interface we speak.
static SERVER: HeaderName = HeaderName::from_static("x-xprof-server");

/// It is repeated in logs and in calls to workers, so a client does not choose its length.
const MAX_ID_BYTES: usize = 128;

/// Labels of responses in metrics: a closed list.
const OUTCOMES: [&str; 4] = ["ok", "client_error", "server_error", "cancelled"];

/// What is counted of every request.
#[derive(Debug)]
pub struct Counts {
    outcomes: [Counter; 4],
    times: Times,
    in_flight: Gauge,
}

impl Counts {
    /// Registers the metrics.
    pub fn new(metrics: &Metrics) -> Self {
        let outcome = |outcome| metrics.counter("xprof_http_requests_total", "HTTP requests.", &[("outcome", outcome)]);
        Self {
            outcomes: OUTCOMES.map(outcome),
            times: metrics.times("xprof_http_request_seconds", "Time from request to response.", &[]),
            in_flight: metrics.gauge("xprof_http_in_flight_requests", "HTTP requests under way."),
        }
    }
}

/// Gives the request an id, answers it, writes one line whatever becomes of it, and sets the headers of every answer.
pub async fn framed<F>(counts: &Counts, request: Request, answer: impl FnOnce(Request, HeaderValue) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let id = identify(request.headers());
    let span = tracing::debug_span!("request", request_id = id.to_str().unwrap_or_default());
    let is_head = request.method() == Method::HEAD;
    let mut line = Line {
        counts,
        method: request.method().clone(),
        uri: request.uri().clone(),
        id: id.clone(),
        began: Instant::now(),
        response: None,
    };
    let _held = counts.in_flight.hold(1);
    // One panic costs one request. Its text went to the log with the panic itself.
    let answered = AssertUnwindSafe(answer(request, id.clone())).catch_unwind().instrument(span).await;
    let mut response = answered.unwrap_or_else(|_| {
        respond::text(StatusCode::INTERNAL_SERVER_ERROR, "internal error: the request failed unexpectedly")
    });
    let bytes = response.body().size_hint().exact().unwrap_or_default();
    let facts = response.extensions_mut().remove::<Facts>().unwrap_or_default();
    line.response = Some((response.status(), bytes, facts));
    drop(line);
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID.clone(), id);
    // Browsers must not guess types: a trace may hold any text.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(SERVER.clone(), HeaderValue::from_static(concat!("xprof-aggregator/", env!("CARGO_PKG_VERSION"))));
    if is_head { without_body(response, bytes) } else { response }
}

/// The id that the request carries, or a new one.
fn identify(headers: &HeaderMap) -> HeaderValue {
    let usable = |id: &&HeaderValue| id.len() <= MAX_ID_BYTES && id.to_str().is_ok();
    headers.get(&REQUEST_ID).filter(usable).cloned().unwrap_or_else(new_id)
}

/// In the form of a UUID: the process by chance, the request by its number.
fn new_id() -> HeaderValue {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| {
        use std::hash::{BuildHasher as _, RandomState};
        RandomState::new().hash_one(std::process::id())
    });
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let (process, n) = (*PROCESS, NEXT.fetch_add(1, Ordering::Relaxed));
    let text = format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        process >> 32,
        process >> 16 & 0xffff,
        process >> 4 & 0xfff,
        n >> 48 & 0xfff,
        n & 0xffff_ffff_ffff
    );
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0"))
}

/// A response to HEAD: what GET would say, without saying it.
fn without_body(response: Response, bytes: u64) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_LENGTH, bytes.into());
    Response::from_parts(parts, Full::default())
}

/// Writes the line when it is dropped: at the response, or when the client has gone away.
struct Line<'a> {
    counts: &'a Counts,
    method: Method,
    uri: Uri,
    id: HeaderValue,
    began: Instant,
    response: Option<(StatusCode, u64, Facts)>,
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let elapsed = self.began.elapsed();
        let (status, bytes, facts) = self.response.take().unwrap_or_else(cancelled);
        let outcome = match status.as_u16() {
            0..400 => 0,
            499 => 3,
            400..500 => 1,
            _ => 2,
        };
        self.counts.outcomes[outcome].inc();
        self.counts.times.observe(elapsed);
        tracing::info!(
            request_id = self.id.to_str().unwrap_or_default(),
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
fn cancelled() -> (StatusCode, u64, Facts) {
    (StatusCode::from_u16(499).unwrap_or_default(), 0, Facts::default())
}

/// How many requests are answered at once, and for how long each.
#[derive(Debug)]
pub struct Limits {
    places: Semaphore,
    max_in_flight: usize,
    timeout: Duration,
}

impl Limits {
    /// So many, so long.
    pub fn new(max_in_flight: usize, timeout: Duration) -> Self {
        Self { places: Semaphore::new(max_in_flight), max_in_flight, timeout }
    }
}

/// The response within the limits, or one that tells which of them is in the way.
pub async fn limited(limits: &Limits, answer: impl Future<Output = Response>) -> Response {
    // A full house answers 503 at once: a queue without end would answer everyone too late.
    let Ok(_place) = limits.places.try_acquire() else {
        return refused(&Error::Overloaded(format!("{} requests are under way", limits.max_in_flight)));
    };
    // Dropping the work of a late request frees its place, here and on workers.
    match tokio::time::timeout(limits.timeout, answer).await {
        Ok(response) => response,
        Err(_) => refused(&Error::TimedOut(format!("{:?}", limits.timeout))),
    }
}

/// A request that a limit turned away.
fn refused(error: &Error) -> Response {
    let mut response = respond::failure(error);
    response.extensions_mut().insert(Facts { route: "refused", code: error.code(), ..Facts::default() });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_bounded() {
        let mut headers = HeaderMap::new();
        let (first, second) = (new_id(), new_id());
        assert!(first != second && first.len() == 36 && second.len() == 36);
        headers.insert(REQUEST_ID.clone(), HeaderValue::from_static("abc-1"));
        assert_eq!(identify(&headers), "abc-1");
        for bad in [HeaderValue::from_bytes(&[b'a'; MAX_ID_BYTES + 1]), HeaderValue::from_bytes(b"\xff")] {
            headers.insert(REQUEST_ID.clone(), bad.unwrap());
            assert_eq!(identify(&headers).len(), 36);
        }
    }
}
