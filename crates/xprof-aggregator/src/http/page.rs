//! The web page's document: ours, or that of another front end whose files are in a directory.
//!
//! Takes the path of a page, gives HTML that finds its files from there. What the page shows is its own business.

use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use xprof_core::tools::Params;

use super::encode::etag;
use super::path::PREFIX;
use super::respond::{self, Response};
use super::{assets, start};
use crate::app::State;
use crate::error::{Error, Result};

/// Our page runs no inline code and loads nothing from elsewhere. Who may show it in a frame is for the operator to say.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; \
    font-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'self'; form-action 'none'; \
    frame-ancestors ";

/// `parity:` what the reference allows its own front end.
const FOREIGN_POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-eval' 'unsafe-inline' https://www.gstatic.com; \
    object-src 'none'; style-src 'self' 'unsafe-inline' https://fonts.googleapis.com https://www.gstatic.com; \
    font-src 'self' https://fonts.googleapis.com https://fonts.gstatic.com data:; connect-src 'self' data: www.gstatic.com; \
    img-src 'self' blob: data:; frame-src 'self' https://ui.perfetto.dev; \
    script-src-elem 'self' 'unsafe-inline' https://cdn.jsdelivr.net/npm/ https://www.gstatic.com; frame-ancestors ";

/// The place in our document where the way to its root belongs.
const BASE: &str = "<base href=\"./\">";

/// The document.
pub async fn serve(state: &State, request: &HeaderMap, raw_path: &str, params: &Params) -> Result<Response> {
    let ancestors = &state.config.frame_ancestors;
    match (&state.config.ui_dir, assets::index()) {
        (Some(dir), _) => {
            let html = read(dir, "index.html").await?.ok_or_else(|| missing_index(dir))?;
            document(request, &html, raw_path, FOREIGN_POLICY, ancestors)
        }
        (None, Some(html)) => document(request, html, raw_path, POLICY, ancestors),
        (None, None) => Ok(start::serve(state, request, raw_path, params).await),
    }
}

/// A file of the front end, if there is one at that path.
pub async fn file(state: &State, request: &HeaderMap, path: &str) -> Result<Option<Response>> {
    let Some(dir) = &state.config.ui_dir else {
        return Ok(assets::serve(path, request));
    };
    let body = read(dir, path.trim_start_matches('/')).await?;
    Ok(body.map(|body| tagged(request, assets::content_type(path), Bytes::from(body))))
}

/// The way to the root, in the place where the document wants it. It is relative, so that the page works behind a proxy that
/// puts it below any path.
fn document(request: &HeaderMap, html: &[u8], raw_path: &str, policy: &str, ancestors: &str) -> Result<Response> {
    let html = String::from_utf8_lossy(html).replacen(BASE, &format!("<base href=\"{}\">", root_of(raw_path)), 1);
    let mut response = tagged(request, "text/html", html.into());
    let policy = HeaderValue::try_from(format!("{policy}{ancestors}"))
        .map_err(|e| Error::Internal(format!("the policy for frames: {e}")))?;
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

/// A body that browsers keep but ask about each time.
pub(super) fn tagged(request: &HeaderMap, content_type: &'static str, body: Bytes) -> Response {
    let tag = etag(&body);
    let mut response = if respond::not_modified(request, &tag) {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        respond::packed(request, content_type, body)
    };
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The bytes of a file below a directory. A path that leads elsewhere names no file.
async fn read(dir: &Path, path: &str) -> Result<Option<Vec<u8>>> {
    let is_plain = !path.is_empty() && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
    let path: PathBuf = dir.join(path);
    let is_file = is_plain && tokio::fs::metadata(&path).await.is_ok_and(|m| m.is_file());
    if !is_file {
        return Ok(None);
    }
    let unreadable =
        |e: std::io::Error| Error::Unreadable { path: path.display().to_string(), source: std::sync::Arc::new(e) };
    tokio::fs::read(&path).await.map(Some).map_err(unreadable)
}

fn missing_index(dir: &Path) -> Error {
    Error::NotFound(format!("--ui_dir={}: there is no index.html", dir.display()))
}

/// How a page gets to the place that its links count from.
///
/// ```text
/// /                                     → ./
/// /r/run/timeline                       → ../../
/// /data/plugin/profile                  → profile/
/// /data/plugin/profile/overview_page    → ./
/// /data/plugin/profile/a/b              → ../
/// ```
pub fn root_of(raw_path: &str) -> String {
    let rest = raw_path.strip_prefix(PREFIX).unwrap_or(raw_path);
    match rest.matches('/').count() {
        0 => "profile/".to_owned(),
        1 => "./".to_owned(),
        n => "../".repeat(n - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative() {
        for (path, root) in [
            ("/", "./"),
            ("/r/run/timeline", "../../"),
            ("/r/a%2Fb/timeline", "../../"),
            ("/r/a/b/timeline", "../../../"),
            ("/data/plugin/profile", "profile/"),
            ("/data/plugin/profile/", "./"),
            ("/data/plugin/profile/overview_page", "./"),
            ("/data/plugin/profile/r/run/timeline", "../../"),
            ("/index.html", "./"),
        ] {
            assert_eq!(root_of(path), root, "{path}");
        }
    }

    #[test]
    fn a_document_finds_its_root() {
        let html = b"<base href=\"./\"><p>a</p>";
        let response = document(&HeaderMap::new(), html, "/r/x/y", POLICY, "https://board.example").unwrap();
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.ends_with("frame-ancestors https://board.example"), "{policy}");
        let tag = response.headers()[header::ETAG].clone();
        let again = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
        assert_eq!(document(&again, html, "/r/x/y", POLICY, "'self'").unwrap().status(), StatusCode::NOT_MODIFIED);
        assert_eq!(document(&again, html, "/r/x", POLICY, "'self'").unwrap().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn files_are_read_below_their_directory_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("ui")).unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        std::fs::write(dir.path().join("ui/a.js"), "a").unwrap();
        let ui = dir.path().join("ui");
        assert_eq!(read(&ui, "a.js").await.unwrap().as_deref(), Some(&b"a"[..]));
        for path in ["../secret", "/etc/hostname", "", ".", "b.js", "a.js/b", "./../secret"] {
            assert_eq!(read(&ui, path).await.unwrap(), None, "{path}");
        }
    }
}
