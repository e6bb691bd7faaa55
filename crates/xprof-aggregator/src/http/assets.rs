//! Files that are part of the program, each with an entity tag.
//!
//! Takes a path, gives the file or nothing. They change only with the program, so the tags are made once.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body_util::Full;

use super::encode::etag;
use super::respond::{self, Response};

/// One embedded file.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

static ASSETS: [Asset; 1] =
    [Asset { path: "/assets/start.css", content_type: "text/css", body: include_bytes!("static/start.css") }];

static ETAGS: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| ASSETS.iter().map(|a| etag(a.body)).collect());

/// The file at that path.
pub fn serve(path: &str, request: &HeaderMap) -> Option<Response> {
    let idx = ASSETS.iter().position(|a| a.path == path)?;
    let (asset, etag) = (&ASSETS[idx], &ETAGS[idx]);
    let mut response = if respond::not_modified(request, etag) {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        respond::packed(request, asset.content_type, Bytes::from_static(asset.body))
    };
    response.headers_mut().insert(header::ETAG, etag.clone());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response)
}
