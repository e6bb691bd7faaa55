//! `/runs`, `/run_list`, `/run_tools`, `/hosts` and `/module_list`.
//!
//! Takes query parameters, gives lists in the reference's text form.

use http::HeaderMap;
use serde_json::{Value, json};
use xprof_core::tools::{Params, registry};

use super::json::to_text;
use super::respond::{self, Response};
use crate::app::State;
use crate::catalog::hosts::offered;
use crate::error::Result;

/// `/runs`: all run names.
pub async fn runs(state: &State, request: &HeaderMap, params: &Params) -> Result<Response> {
    let runs = state.catalog.runs(params).await?;
    Ok(list(request, runs.iter()))
}

/// `/run_list`: all runs with what a person chooses by. What only a trace tells is null until the run was asked for.
pub async fn run_list(state: &State, request: &HeaderMap, params: &Params) -> Result<Response> {
    let runs = state.catalog.summaries(params).await?.into_iter().map(|run| {
        json!({
            "name": run.name,
            "hosts": run.n_hosts,
            "bytes": run.bytes,
            "modified_ms": run.modified_unix_ns / 1_000_000,
            "device": run.facts.as_ref().map(|facts| facts.device.as_str()),
            "duration_ms": run.facts.as_ref().and_then(|facts| facts.duration_ns).map(|ns| ns as f64 / 1e6),
        })
    });
    Ok(respond::document(request, "application/json", to_text(&runs.collect())))
}

/// `/run_tools`: the tools that have something to show about a run.
pub async fn run_tools(state: &State, request: &HeaderMap, params: &Params) -> Result<Response> {
    let session = state.catalog.session(params).await?;
    Ok(list(request, state.catalog.tools(&session).await.iter()))
}

/// `/hosts`: the hosts that can be chosen for a tool.
pub async fn hosts(state: &State, request: &HeaderMap, params: &Params) -> Result<Response> {
    let session = state.catalog.session(params).await?;
    // `parity:` an unknown or missing tool is one whose hosts are looked at one by one.
    let tool = params.get("tag").unwrap_or_default();
    let rule = registry::Hosts::of_tool(tool);
    let hosts = offered(session.files(), rule).into_iter().map(|host| json!({ "hostname": host }));
    Ok(respond::document(request, "application/json", to_text(&hosts.collect())))
}

/// `/module_list`: the programs of a run, as one line of text.
pub async fn module_list(state: &State, request: &HeaderMap, params: &Params) -> Result<Response> {
    let session = state.catalog.session(params).await?;
    let modules = state.catalog.modules(&session).await;
    Ok(respond::document(request, "text/plain", modules.join(",")))
}

fn list<'a>(request: &HeaderMap, names: impl Iterator<Item = &'a String>) -> Response {
    let names: Value = names.map(|name| Value::from(name.as_str())).collect();
    respond::document(request, "application/json", to_text(&names))
}
