//! Files that are part of the program: those of the web page, and the start page's style sheet.
//!
//! Takes a path, gives the file or nothing. A name with a hash in it always names the same bytes, so browsers keep it.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body_util::Full;

use super::encode::{Encoding, best_of, etag};
use super::respond::{self, Response};

/// One embedded file with its compressed forms, where they are smaller.
#[derive(Debug)]
pub struct Asset {
    path: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

/// The web page's files; empty if it was not built.
static PAGE: &[Asset] = include!(concat!(env!("OUT_DIR"), "/ui_files.rs"));

/// What the start page loads.
static START: &[Asset] =
    &[Asset { path: "assets/start.css", plain: include_bytes!("static/start.css"), gzip: None, brotli: None }];

/// The document of the web page, if it was built.
pub fn index() -> Option<&'static [u8]> {
    PAGE.iter().find(|a| a.path == "index.html").map(|a| a.plain)
}

/// The file at that path.
pub fn serve(path: &str, request: &HeaderMap) -> Option<Response> {
    let path = path.strip_prefix('/')?;
    let asset = PAGE.iter().chain(START).find(|a| a.path == path)?;
    Some(respond(asset, request))
}

fn respond(asset: &Asset, request: &HeaderMap) -> Response {
    let tag = etag(asset.plain);
    let forms = [(Encoding::Brotli, asset.brotli), (Encoding::Gzip, asset.gzip)];
    let offered: Vec<_> = forms.iter().filter(|(_, body)| body.is_some()).map(|(encoding, _)| *encoding).collect();
    let encoding = best_of(request.get(header::ACCEPT_ENCODING), &offered);
    let packed = forms.into_iter().find(|(e, _)| *e == encoding).and_then(|(_, body)| body);
    let mut response = if respond::not_modified(request, &tag) {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let body = Bytes::from_static(packed.unwrap_or(asset.plain));
        respond::body(StatusCode::OK, content_type(asset.path), body)
    };
    let headers = response.headers_mut();
    respond::set_encoding(headers, encoding);
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(lifetime(asset.path)));
    response
}

/// How long a browser may keep a file without asking.
fn lifetime(path: &str) -> &'static str {
    if is_hashed(path) { "public, max-age=31536000, immutable" } else { "no-cache" }
}

/// Whether the name has a hash of the contents: `assets/index-B3f_x9Qz.js`.
fn is_hashed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    // The hash may itself have a hyphen.
    path.starts_with("assets/") && stem.len() > 9 && stem.as_bytes()[stem.len() - 9] == b'-'
}

/// The type that a file's ending stands for.
pub fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "css" => "text/css",
        "html" => "text/html",
        "js" | "mjs" => "text/javascript",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "ico" => "image/x-icon",
        "txt" => "text/plain",
        "wasm" => "application/wasm",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const FILE: Asset =
        Asset { path: "assets/index-B3f_x-Qz.js", plain: b"plain", gzip: Some(b"gz"), brotli: Some(b"br") };

    #[tokio::test]
    async fn the_best_form_is_sent() {
        for (accept, encoding, body) in
            [("", "", "plain"), ("gzip, deflate, br, zstd", "br", "br"), ("gzip", "gzip", "gz"), ("zstd", "", "plain")]
        {
            let request = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accept))]);
            let response = respond(&FILE, &request);
            let header = |name| response.headers().get(name).map_or("", |v: &HeaderValue| v.to_str().unwrap());
            assert_eq!(header(header::CONTENT_ENCODING), encoding, "{accept}");
            assert_eq!(header(header::CONTENT_TYPE), "text/javascript");
            assert_eq!(header(header::CACHE_CONTROL), "public, max-age=31536000, immutable");
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
        }
    }

    #[test]
    fn only_names_with_a_hash_are_kept() {
        assert!(is_hashed("assets/worker-12345678.js"));
        for path in ["index.html", "assets/start.css", "assets/timeline.js", "a-12345678.js"] {
            assert_eq!(lifetime(path), "no-cache", "{path}");
        }
    }
}
