//! `/generate_cache`: answers a session's usual questions before anybody asks.
//!
//! Takes a session by path, gives 202 at once and works in the background, one session after the other. What it makes
//! goes to the same caches as any answer; nothing is written beside the trace.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;
use xprof_core::answer::Format;
use xprof_core::tools::Params;

use super::data;
use super::encode::Encoding;
use super::json::to_text;
use super::respond::{self, Facts, Response};
use crate::app::State;
use crate::error::{Error, Result};

/// Sessions that are warmed or wait for it; more are refused.
pub const MAX_WAITING: usize = 64;

/// What is warmed if the request does not say.
const USUAL: &str = "overview_page,trace_viewer@";

/// `parity:` the checks, their order and their words are the reference's.
pub async fn serve(state: &Arc<State>, method: &Method, params: &Params, request_id: &str) -> Result<Response> {
    if method != Method::POST {
        return Ok(respond::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"));
    }
    if params.non_empty("session_path").is_none() {
        return Ok(respond::text(StatusCode::BAD_REQUEST, "Missing \"session_path\" parameter"));
    }
    let runs = state.catalog.runs(params).await?;
    let Some(run) = runs.first() else {
        return Ok(respond::text(StatusCode::NOT_FOUND, "No XPlane files found in session_path"));
    };
    let with_run: Params = params.iter().filter(|(name, _)| *name != "run").chain([("run", run.as_str())]).collect();
    let session = state.catalog.session(&with_run).await?;
    let available = state.catalog.tools(&session).await;
    let wanted = params.non_empty("tools").unwrap_or(USUAL).split(',').map(str::trim);
    let tools: BTreeSet<String> = wanted.filter(|w| available.iter().any(|a| a == w)).map(ToOwned::to_owned).collect();
    if tools.is_empty() {
        let text = format!("No valid XPlane tools found or specified for caching in run {run}.");
        return Ok(respond::text(StatusCode::BAD_REQUEST, text));
    }
    let Ok(place) = Arc::clone(&state.warm_places).try_acquire_owned() else {
        return Err(Error::Overloaded(format!("{MAX_WAITING} sessions are being warmed or wait for it")));
    };
    let warm = warm(Arc::clone(state), with_run, tools, request_id.to_owned());
    tokio::spawn(async move {
        warm.await;
        drop(place);
    });
    let accepted = to_text(&json!({ "message": "Cache generation started", "status": "ACCEPTED" }));
    Ok(respond::body(StatusCode::ACCEPTED, "application/json", accepted))
}

async fn warm(state: Arc<State>, params: Params, tools: BTreeSet<String>, request_id: String) {
    // One session at a time: people who wait for an answer come first.
    let Ok(_turn) = state.warming.acquire().await else {
        return;
    };
    for tool in tools {
        let not_ours = |name: &str| matches!(name, "tag" | "tools" | "host" | "hosts");
        let one: Params = params.iter().filter(|(n, _)| !not_ours(n)).chain([("tag", tool.as_str())]).collect();
        let mut facts = Facts::default();
        // The form in which browsers will ask for it.
        let browser = |is_large| Encoding::preferred(is_large)[0];
        match data::answer(&state, &one, Format::Native, &browser, &request_id, &mut facts).await {
            Ok(_) => tracing::info!(request_id, tool, cache = facts.cache, "answer warmed"),
            Err(error) => tracing::warn!(request_id, tool, error = error.chain(), "answer cannot be warmed"),
        }
    }
}
