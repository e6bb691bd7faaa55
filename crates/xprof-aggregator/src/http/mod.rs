//! The front stack: from a connection's request to a response, through layers with one purpose each.
//!
//! Takes the application's state, gives a tower service that tests call without a socket.
//!
//! Compression is not a layer: a compressed body is kept with its answer, so it is chosen where answers are made
//! ([`data`], [`respond`]). A layer would compress the same answer for every client.

pub mod assets;
pub mod catalog;
pub mod data;
pub mod debug;
pub mod encode;
pub mod gzip;
pub mod json;
pub mod layers;
pub mod meta;
pub mod page;
pub mod partial;
pub mod path;
pub mod respond;
pub mod router;
pub mod start;
pub mod warm;

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{self, HeaderName, HeaderValue};
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, service_fn};
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::app::State;
use layers::{AccessLog, Counts, Numbered, Refusals, Request};
use respond::Response;

/// The complete service.
pub type Stack = BoxCloneSyncService<Request, Response, Infallible>;

/// Our own version; `/version` tells the one whose interface we speak.
static SERVER: HeaderName = HeaderName::from_static("x-xprof-server");

/// Builds the stack.
pub fn stack(state: Arc<State>) -> Stack {
    let counts = Counts::new(&state.metrics);
    let server = HeaderValue::from_static(concat!("xprof-aggregator/", env!("CARGO_PKG_VERSION")));
    let timeout = state.config.request_timeout;
    let max_in_flight = state.config.max_in_flight;
    let service = ServiceBuilder::new()
        // Outermost, so that every other layer and every answer can name the request.
        .layer(SetRequestIdLayer::x_request_id(Numbered))
        .layer(PropagateRequestIdLayer::x_request_id())
        // Browsers must not guess types: a trace may hold any text. Also on error answers, so outside of what makes them.
        .layer(SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .layer(SetResponseHeaderLayer::overriding(SERVER.clone(), server))
        // One line per request, whatever becomes of it below: refused, late, panicked or abandoned.
        .layer(tower::layer::layer_fn(move |inner| AccessLog::new(inner, Arc::clone(&counts))))
        // The layers below fail with errors; from here on there are only responses.
        .layer(tower::layer::layer_fn(move |inner| Refusals::new(inner, max_in_flight, timeout)))
        // A full house answers 503 at once: a queue without end would answer everyone too late.
        .load_shed()
        .concurrency_limit(max_in_flight)
        // Dropping the work of a late request frees its place, here and on workers.
        .timeout(timeout)
        .service(service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(router::route(&state, request).await) }
        }));
    BoxCloneSyncService::new(service)
}
