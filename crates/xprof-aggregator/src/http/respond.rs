//! Builds responses: texts, documents, cached answers, and the one place where an error becomes a status.
//!
//! Takes values, gives [`Response`]s. It does no work and knows no route.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use xprof_core::Error as CoreError;
use xprof_core::tools::Params;

use super::encode::{Encoding, negotiate, worth_encoding};
use crate::error::{Error, Fault};

/// Every response is complete when it leaves: answers are cached whole, so nothing streams.
pub type Response = http::Response<Full<Bytes>>;

/// Why a request failed, where the status and the body that the reference's clients expect do not say it.
pub static REASON: HeaderName = HeaderName::from_static("x-xprof-reason");

/// A list in a header ends here: proxies bound the headers of an answer, usually at 4 or 8 kB together.
const MAX_LIST_BYTES: usize = 900;

/// What the log line of a request says beyond method, path and status. Travels as an extension of the response.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The route's own name, a closed list.
    pub route: &'static str,
    /// The run as the client named it.
    pub run: String,
    /// The hosts as the client named them.
    pub host: String,
    /// The tool.
    pub tool: String,
    /// Whether the answer was there already: `hit`, `miss`, `joined`.
    pub cache: &'static str,
    /// The closed label of a failure.
    pub code: &'static str,
}

impl Facts {
    /// What the parameters of a request say.
    pub fn of(route: &'static str, params: &Params) -> Self {
        let text = |name| params.get(name).unwrap_or_default().to_owned();
        let host = params.get("hosts").or_else(|| params.get("host")).unwrap_or_default().to_owned();
        Self { route, run: text("run"), host, tool: text("tag"), ..Self::default() }
    }
}

/// A response with a body of a type.
pub fn body(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Plain text.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    body(status, "text/plain", text)
}

/// A small document of the server itself.
pub fn document(request: &HeaderMap, content_type: &'static str, text: String) -> Response {
    let mut response = packed(request, content_type, text.into());
    // Lists change as sessions are captured, so they are asked for each time.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A body in the encoding that the client likes best. Compressed only where it pays: a list of ten thousand runs does.
pub fn packed(request: &HeaderMap, content_type: &'static str, plain: Bytes) -> Response {
    let encoding = if worth_encoding(&plain) {
        negotiate(request.get(header::ACCEPT_ENCODING), false)
    } else {
        Encoding::Identity
    };
    let (encoding, packed) = match encoding.encode(&plain) {
        Ok(packed) => (encoding, packed),
        Err(_) => (Encoding::Identity, plain),
    };
    let mut response = body(StatusCode::OK, content_type, packed);
    set_encoding(response.headers_mut(), encoding);
    response
}

/// Says how the body is encoded, and that another client may get it otherwise.
pub fn set_encoding(headers: &mut HeaderMap, encoding: Encoding) {
    if let Some(value) = encoding.header() {
        headers.insert(header::CONTENT_ENCODING, value);
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
}

/// Whether the client already holds the body with this tag.
pub fn not_modified(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let strip = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(ours) = etag.to_str().map(strip) else {
        return false;
    };
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .any(|list| list.split(',').any(|tag| tag.trim() == "*" || strip(tag) == ours))
}

/// A failed request: the reason as text.
pub fn failure(error: &Error) -> Response {
    let mut response = text(status(error), error.chain());
    if status(error) == StatusCode::SERVICE_UNAVAILABLE {
        retry_after(&mut response, Duration::from_secs(1));
    }
    response.extensions_mut().insert(Facts { code: error.code(), ..Facts::default() });
    response
}

/// Tells the client when to ask again.
pub fn retry_after(response: &mut Response, after: Duration) {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
}

/// A text as a header value: everything that a header cannot hold becomes `?`.
pub fn header_text(text: &str) -> HeaderValue {
    let safe: String = text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).take(1024).collect();
    HeaderValue::from_str(&safe).unwrap_or(HeaderValue::from_static("?"))
}

/// As many of the items as a header holds, none if there is none.
///
/// ```text
/// a, b, c    → a,b,c
/// 300 hosts  → host000,host001,…,host119,+180 more
/// ```
pub fn listed(items: &[impl AsRef<str>], separator: &str) -> Option<HeaderValue> {
    let mut text = String::new();
    for (n, item) in items.iter().enumerate() {
        if text.len() + item.as_ref().len() > MAX_LIST_BYTES && n > 0 {
            let _ = write!(text, "{separator}+{} more", items.len() - n);
            break;
        }
        text.push_str(if n == 0 { "" } else { separator });
        text.push_str(item.as_ref());
    }
    (!text.is_empty()).then(|| header_text(&text))
}

/// Names of hosts: what a header cannot hold, and the comma between them, is written as in a URL.
///
/// ```text
/// a, b c, d,é    → a,b c,d%2C%C3%A9
/// ```
pub fn names(hosts: &[impl AsRef<str>]) -> Option<HeaderValue> {
    const ESCAPED: &AsciiSet = &CONTROLS.add(b',').add(b'%');
    let names: Vec<String> = hosts.iter().map(|host| utf8_percent_encode(host.as_ref(), ESCAPED).to_string()).collect();
    listed(&names, ",")
}

/// The only place where an error becomes a status.
pub fn status(error: &Error) -> StatusCode {
    match error {
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::BadRequest(_) => StatusCode::BAD_REQUEST,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::Overloaded(_) | Error::NoWorker { .. } | Error::Changed(_) | Error::Incomplete { lasts: false, .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::Incomplete { lasts: true, .. } | Error::Poison { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Error::EveryHost { first, .. } => status(first),
        Error::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        Error::Unreadable { .. } | Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Error::Job { fault, .. } => match fault {
            Fault::Client => StatusCode::BAD_REQUEST,
            Fault::Absent => StatusCode::NOT_FOUND,
            Fault::Trace => StatusCode::UNPROCESSABLE_ENTITY,
            Fault::Server => StatusCode::BAD_GATEWAY,
            Fault::Defect => StatusCode::INTERNAL_SERVER_ERROR,
        },
        Error::Core { source, .. } => match source {
            CoreError::Malformed { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            CoreError::InvalidParameter { .. } => StatusCode::BAD_REQUEST,
            // `parity:` the reference answers 404 whenever a tool has nothing to say about the traces chosen.
            CoreError::NotFound(_) | CoreError::Unsupported(_) | CoreError::UnknownTool(_) => StatusCode::NOT_FOUND,
            CoreError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            CoreError::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            CoreError::BadArtifact { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_errors_to_statuses() {
        for (error, expected) in [
            (Error::NotFound("x".into()), 404),
            (Error::BadRequest("x".into()), 400),
            (Error::Forbidden("x".into()), 403),
            (Error::Overloaded("x".into()), 503),
            (Error::TimedOut("1s".into()), 504),
            (Error::Internal("x".into()), 500),
            (Error::Incomplete { n_hosts: 2, failed: [].into(), lasts: true }, 422),
            (Error::Incomplete { n_hosts: 2, failed: [].into(), lasts: false }, 503),
            (Error::Poison { file: "f".into(), workers: "w".into(), again: Duration::ZERO }, 422),
            (Error::EveryHost { failed: [].into(), first: Error::TimedOut("1s".into()).into() }, 504),
            (Error::core("f", CoreError::invalid("resolution", "x", "a number")), 400),
            (Error::core("f", CoreError::UnknownTool("x".into())), 404),
            (Error::Job { file: "f".into(), code: "malformed_trace", message: "m".into(), fault: Fault::Trace }, 422),
        ] {
            assert_eq!(failure(&error).status(), expected, "{error:?}");
        }
    }

    #[test]
    fn names_in_headers_can_be_told_apart() {
        let listed = names(&["a", "b c", "d,e", "\u{e9}\u{2603}\n", "%"]).unwrap();
        assert_eq!(listed, "a,b c,d%2Ce,%C3%A9%E2%98%83%0A,%25");
        assert_eq!(names(&[""; 0]), None);
    }

    #[test]
    fn matches_entity_tags() {
        let etag = HeaderValue::from_static("W/\"abc\"");
        for (sent, expected) in
            [("\"abc\"", true), ("W/\"abc\"", true), ("\"x\", W/\"abc\"", true), ("*", true), ("\"x\"", false)]
        {
            let mut request = HeaderMap::new();
            request.insert(header::IF_NONE_MATCH, HeaderValue::from_static(sent));
            assert_eq!(not_modified(&request, &etag), expected, "{sent}");
        }
        assert!(!not_modified(&HeaderMap::new(), &etag));
    }

    #[test]
    fn lists_fit_into_headers() {
        assert_eq!(listed(&[] as &[&str], ","), None);
        assert_eq!(listed(&["a", "b"], ",").unwrap(), "a,b");
        let hosts: Vec<String> = (0..300).map(|n| format!("host{n:03}")).collect();
        let text = listed(&hosts, ",").unwrap();
        let text = text.to_str().unwrap();
        assert!(text.starts_with("host000,host001,") && text.len() < 1000, "{text}");
        let (shown, more) = text.rsplit_once(",+").unwrap();
        assert_eq!(more, format!("{} more", 300 - shown.split(',').count()));
    }

    #[test]
    fn headers_take_any_text() {
        assert_eq!(header_text("a\r\nb: é"), "a??b: ?");
    }
}
