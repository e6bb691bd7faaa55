//! Every route in one table.
//!
//! Takes a request, gives the response of the route that its path names. All routes answer every method alike, as the
//! reference does, except the one that starts work by POST, and methods for proxies, which no route takes.

use std::sync::Arc;

use futures::FutureExt as _;
use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};
use xprof_core::answer::Format;

use super::layers::{self, Request};
use super::path::{Target, query};
use super::respond::{self, Facts, Response};
use super::{catalog, data, debug, meta, page, start, warm};
use crate::app::State;

/// Answers one request. Only the way to `/data` lies in this future itself: it is moved for every request, and the other routes
/// would make it several times larger.
pub async fn route(state: &Arc<State>, request: Request) -> Response {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        let mut response = respond::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
        return response;
    }
    let headers = request.headers();
    let request_id = &*layers::request_id(headers);
    let raw_path = request.uri().path();
    let target = Target::new(raw_path);
    let params = query(request.uri().query());
    let (route, result) = match &*target.path {
        "/runs" => ("runs", catalog::runs(state, headers, &params).boxed().await),
        "/run_list" => ("run_list", catalog::run_list(state, headers, &params).boxed().await),
        "/run_tools" => ("run_tools", catalog::run_tools(state, headers, &params).boxed().await),
        "/tools" => ("tools", Ok(meta::tools(headers))),
        "/hosts" => ("hosts", catalog::hosts(state, headers, &params).boxed().await),
        "/module_list" => ("module_list", catalog::module_list(state, headers, &params).boxed().await),
        "/data" => return data::serve(state, headers, &params, Format::Native, request_id).await,
        "/data_csv" => return data::serve(state, headers, &params, Format::Csv, request_id).await,
        "/config" => ("config", Ok(meta::config(&state.config.page, headers))),
        "/version" => ("version", Ok(meta::version(headers))),
        debug::PATH => ("debug_workers", Ok(debug::serve(state, headers, raw_path))),
        "/capture_profile" => ("capture_profile", Ok(no_capture())),
        "/generate_cache" => {
            ("generate_cache", warm::serve(state, request.method(), &params, request_id).boxed().await)
        }
        "/plain" => ("plain", Ok(start::serve(state, headers, raw_path, &params).boxed().await)),
        "/index.html" => ("page", page::serve(state, headers, raw_path, &params).boxed().await),
        path => match page::file(state, headers, path).boxed().await {
            Ok(None) if target.is_page() => ("page", page::serve(state, headers, raw_path, &params).boxed().await),
            Ok(None) => ("none", Ok(respond::text(StatusCode::NOT_FOUND, "Not Found"))),
            Ok(Some(file)) => ("assets", Ok(file)),
            Err(error) => ("assets", Err(error)),
        },
    };
    let mut response = result.unwrap_or_else(|error| respond::failure(&error));
    let code = response.extensions().get::<Facts>().map_or("", |facts| facts.code);
    response.extensions_mut().insert(Facts { code, ..Facts::of(route, &params) });
    response
}

fn no_capture() -> Response {
    let text = r#"{"error": "UNIMPLEMENTED: this server does not capture profiles; use the profiler's own client and put the session below the log directory."}"#;
    respond::body(StatusCode::NOT_IMPLEMENTED, "application/json", text)
}
