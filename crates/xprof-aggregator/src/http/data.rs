//! `/data` and `/data_csv`: one tool's answer about the chosen hosts of one session.
//!
//! Takes query parameters, gives the answer with its remarks in headers. Which hosts are chosen is the catalog's business,
//! how the work is done that of [`crate::fanout`].

use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt as _;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use xprof_core::Error as CoreError;
use xprof_core::answer::{Answer, Format, LARGE_BYTES};
use xprof_core::tools::hlo_module::ModuleQuery;
use xprof_core::tools::{Params, registry};

use super::encode::{Encoding, negotiate};
use super::gzip::GzipSink;
use super::partial::{self, Failed};
use super::respond::{self, Facts, REASON, Response};
use crate::answer_cache::{AnswerKey, CachedAnswer};
use crate::app::State;
use crate::catalog::hosts::{HostFile, Selected, select};
use crate::error::{Error, FailedHost, Result};
use crate::fanout::{Outcome, Request, Trace, on_pool};

static PROBLEMS: HeaderName = HeaderName::from_static("x-xprof-problems");
static HOSTS: HeaderName = HeaderName::from_static("x-xprof-hosts");

/// A tool's page brings its script and its styles with it and loads nothing.
const TOOL_PAGE_POLICY: &str = "default-src 'none';script-src 'unsafe-inline';style-src 'unsafe-inline';\
    img-src 'self' blob: data:;form-action 'none';base-uri 'none'";

/// Answers one request.
pub async fn serve(
    state: &Arc<State>,
    headers: &HeaderMap,
    params: &Params,
    format: Format,
    request_id: &str,
) -> Response {
    let mut facts = Facts::of(if format == Format::Csv { "data_csv" } else { "data" }, params);
    let wanted = |is_large| negotiate(headers.get(header::ACCEPT_ENCODING), is_large);
    let mut response = match answer(state, params, format, &wanted, request_id, &mut facts).await {
        Ok((key, cached)) => {
            let response = respond(state, headers, params, format, wanted(cached.is_large()), &cached).await;
            // It may have got another form just now.
            state.answers.weigh(&key, &cached).await;
            response.unwrap_or_else(|e| respond::failure(&e))
        }
        Err(error) => failure(&error, params, format, &mut facts),
    };
    response.extensions_mut().insert(facts);
    response
}

/// The answer from the cache, from a computation under way, or from a new one.
pub(super) async fn answer(
    state: &Arc<State>,
    params: &Params,
    format: Format,
    wanted: &(dyn Fn(bool) -> Encoding + Sync),
    request_id: &str,
    facts: &mut Facts,
) -> Result<(AnswerKey, Arc<CachedAnswer>)> {
    let tag = params.non_empty("tag").ok_or_else(|| Error::BadRequest("the parameter tag is missing".into()))?;
    let tool = registry::find_for_clients(tag).map_err(|e| Error::core("", e))?;
    let mut for_tool = params.only(tool.params);
    tool.check(&for_tool).map_err(|e| Error::core("", e))?;
    let is_strict = partial::is_strict(params).map_err(|e| Error::core("", e))?;
    let use_saved = params.get("use_saved_result").is_none_or(|v| v.eq_ignore_ascii_case("true"));

    let began = Instant::now();
    let mut again = true;
    loop {
        let (traces, missing) = choose(state, params, tag).await?;
        let key = AnswerKey {
            tool: tool.name,
            format,
            traces: traces.iter().map(|t| t.identity.clone()).collect(),
            missing: missing.iter().map(|m| Arc::clone(&m.host)).collect(),
            params: for_tool,
        };
        if use_saved && let Some(cached) = state.answers.get(&key).await {
            facts.cache = "hit";
            cached.failed.admit(is_strict)?;
            return Ok((key, cached));
        }
        for_tool = key.params.clone();
        let request = Request {
            tool,
            format,
            params: for_tool.clone(),
            deadline: began + partial::time_for_hosts(state.config.request_timeout, traces.len()),
            traces,
            request_id: request_id.into(),
        };
        // Boxed, so that a warm answer does not carry the room for a cold one.
        match compute(state, key.clone(), request, missing, wanted, facts).boxed().await {
            // The trace was written anew between listing and reading it: what is there now may be answered.
            Err(Error::Changed(file)) if again => {
                tracing::debug!(file, "trace changed, planning again");
                again = false;
            }
            result => {
                let cached = result?;
                cached.failed.admit(is_strict)?;
                return Ok((key, cached));
            }
        }
    }
}

/// The traces that a request chooses, and the hosts that have none, if others have.
async fn choose(state: &State, params: &Params, tag: &str) -> Result<(Vec<Trace>, Vec<FailedHost>)> {
    let needs_events = registry::find(tag).is_ok_and(|tool| tool.needs_events);
    if needs_events && let Some(trace) = state.catalog.named(params) {
        return Ok((vec![trace], Vec::new()));
    }
    let session = state.catalog.session(params).await?;
    let Selected { files, mut missing } = select(session.files(), &session.run, tag, params)?;
    if let Some(HostFile { file, .. }) = files.iter().find(|f| f.file.ends_with(".riegeli")) {
        let why = "traces in record form (riegeli) cannot be read, only .xplane.pb";
        return Err(Error::core(file, CoreError::Unsupported(format!("{file}: {why}"))));
    }
    let (mut traces, gone) = session.traces(&files).await?;
    if needs_events {
        missing.extend(gone);
    } else {
        // One host that has the program is enough: the others are not missed.
        traces = state.catalog.traces_with_module(&session, traces, &ModuleQuery::read(params)).await;
    }
    Ok((traces, missing))
}

/// Equal requests that come together compute once; the last one that leaves stops the work.
async fn compute(
    state: &Arc<State>,
    key: AnswerKey,
    request: Request,
    missing: Vec<FailedHost>,
    wanted: &(dyn Fn(bool) -> Encoding + Sync),
    facts: &mut Facts,
) -> Result<Arc<CachedAnswer>> {
    let (wanted_small, wanted_large) = (wanted(false), wanted(true));
    let (flight, joined) = state.flights.join(key.clone(), || {
        let state = Arc::clone(state);
        async move {
            let sink = GzipSink::default();
            let mut empty = Answer::new(request.format);
            if wanted_large == Encoding::Gzip {
                empty = empty.with_sink(Box::new(sink.clone()));
            }
            let request_id = Arc::clone(&request.request_id);
            let only = (request.traces.len() == 1).then(|| Arc::clone(&request.traces[0].host));
            let mut outcome = match state.fanout.answer(request, empty).await {
                Ok(outcome) => outcome,
                Err(error) => return Err(partial::with_missing(error, only, missing)),
            };
            partial::leave_out(&mut outcome, &missing, &request_id, key.tool);
            let lasting = outcome.lasting;
            let engine = state.fanout.engine();
            let cached = if outcome.answer.body.len() < LARGE_BYTES {
                cached(outcome, missing.len(), &sink)?
            } else {
                on_pool(engine, move || cached(outcome, missing.len(), &sink)).await??
            };
            let cached = Arc::new(cached);
            // In the form that is wanted first, so that a large answer enters the cache with what it will hold.
            cached.body(if cached.is_large() { wanted_large } else { wanted_small }, engine.pool()).await?;
            if lasting {
                state.answers.put(key, Arc::clone(&cached)).await;
            }
            Ok(cached)
        }
    });
    facts.cache = if joined { "joined" } else { "miss" };
    // A bug in one tool costs this answer; the panic would otherwise reach every later request that joins.
    match std::panic::AssertUnwindSafe(flight).catch_unwind().await {
        Ok(result) => result,
        Err(_) => Err(Error::Internal("the analysis failed unexpectedly".into())),
    }
}

/// `n_missing` of the outcome's failed hosts have no trace; a large body went to the sink.
fn cached(mut outcome: Outcome, n_missing: usize, sink: &GzipSink) -> Result<CachedAnswer> {
    let (content_type, body) = (outcome.answer.content_type, std::mem::take(&mut outcome.answer.body));
    let packed = sink.finish().map_err(|e| Error::Internal(format!("compression: {e}")))?;
    let mut cached = match packed {
        Some(packed) => CachedAnswer::packed(content_type, &packed),
        None => CachedAnswer::new(content_type, body),
    };
    let problems: Vec<String> = outcome.problems.iter().map(|p| format!("{}={}", p.kind.name(), p.count)).collect();
    cached.problems = respond::listed(&problems, "; ");
    cached.hosts = respond::names(&outcome.hosts);
    cached.failed = Failed::new(outcome, n_missing);
    Ok(cached)
}

async fn respond(
    state: &State,
    request: &HeaderMap,
    params: &Params,
    format: Format,
    wanted: Encoding,
    cached: &CachedAnswer,
) -> Result<Response> {
    let mut response = if respond::not_modified(request, &cached.etag) {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        response
    } else {
        let (encoding, body) = cached.body(wanted, state.fanout.engine().pool()).await?;
        let mut response = Response::new(Full::new(body));
        // Room for all headers at once.
        response.headers_mut().reserve(13);
        response.headers_mut().insert(header::CONTENT_TYPE, cached.content_type.clone());
        respond::set_encoding(response.headers_mut(), encoding);
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, cached.etag.clone());
    // The browser may keep it, but asks each time whether the trace is still the same.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    for (name, value) in [(&PROBLEMS, &cached.problems), (&HOSTS, &cached.hosts)] {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    cached.failed.tell(headers);
    if cached.content_type.as_bytes().starts_with(b"text/html") {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(TOOL_PAGE_POLICY));
    }
    if format == Format::Csv {
        let disposition = format!("attachment; filename=\"{}\"", csv_file_name(params));
        headers.insert(header::CONTENT_DISPOSITION, respond::header_text(&disposition));
    }
    Ok(response)
}

/// A failed request, with the statuses and bodies on which the reference's pages rely.
fn failure(error: &Error, params: &Params, format: Format, facts: &mut Facts) -> Response {
    facts.code = error.code();
    let tool = params.get("tag").unwrap_or_default();
    let mut response = respond::failure(error);
    let Error::Core { source, .. } = error else {
        return response;
    };
    let parity = match (source, format) {
        // `parity:` the page of the timeline takes exactly this for "this event has no details".
        (CoreError::NotFound(_), Format::Native) if tool == "trace_viewer@" => Some((StatusCode::NOT_FOUND, "No Data")),
        (CoreError::Unsupported(_), Format::Csv) if is_json(tool, params) => {
            Some((StatusCode::INTERNAL_SERVER_ERROR, "Data format not suitable for CSV (missing 'cols')"))
        }
        (CoreError::Unsupported(_), Format::Csv) => {
            Some((StatusCode::BAD_REQUEST, "CSV format not supported for this tool type"))
        }
        _ => None,
    };
    if let Some((status, text)) = parity {
        response = respond::text(status, text);
        response.headers_mut().insert(REASON.clone(), respond::header_text(&error.chain()));
    } else if tool == "graph_viewer" && matches!(source, CoreError::Unsupported(_) | CoreError::NotFound(_)) {
        // `parity:` the graph viewer alone tells its errors to the page, with status 500.
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}

/// Whether a tool's own answer is JSON.
fn is_json(tool: &str, params: &Params) -> bool {
    match tool {
        "graph_viewer" => false,
        "memory_viewer" => params.non_empty("view_memory_allocation_timeline").is_none(),
        "trace_viewer" | "trace_viewer@" => params.get("format") != Some("pb"),
        "megascale_stats" => !params.is_true("perfetto"),
        _ => true,
    }
}

/// `hlo_stats_train_run1_hostA.csv`: tool, run, and the part of the host after its last `-`.
fn csv_file_name(params: &Params) -> String {
    let clean = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' }).collect()
    };
    let host = params.get("host").unwrap_or_default();
    let host = host.rsplit('-').next().unwrap_or(host);
    let parts = [params.get("tag").unwrap_or("data"), params.get("run").unwrap_or_default(), host];
    let parts: Vec<_> = parts.into_iter().filter(|p| !p.is_empty()).map(clean).collect();
    format!("{}.csv", parts.join("_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_csv_files() {
        for (query, expected) in [
            (&[("tag", "hlo_stats"), ("run", "train/run1"), ("host", "hostA")][..], "hlo_stats_train_run1_hostA.csv"),
            (
                &[("tag", "framework_op_stats"), ("run", "tf2"), ("host", "34.83.195.179_6003")],
                "framework_op_stats_tf2_34_83_195_179_6003.csv",
            ),
            (&[("tag", "kernel_stats"), ("run", "tf2"), ("host", "ALL_HOSTS")], "kernel_stats_tf2_ALL_HOSTS.csv"),
            (&[("tag", "t"), ("run", "r"), ("host", "tpu-vm-0")], "t_r_0.csv"),
            (&[("run", "é\"\r\n")], "data_____.csv"),
        ] {
            assert_eq!(csv_file_name(&query.iter().copied().collect()), expected);
        }
    }
}
