//! The plain page: the runs, and for each run its tools and hosts with links to the raw answers. It is the first page of a
//! program that was built without the web page.
//!
//! Takes the catalog, gives HTML that needs no script and nothing from outside. It analyses nothing.

use std::fmt::Write as _;

use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use xprof_core::answer::html as markup;
use xprof_core::tools::{Params, registry};

use super::assets;
use super::page::root_of;
use super::path::encode;
use super::respond::{self, Response};
use crate::app::State;
use crate::catalog::hosts::offered;
use crate::error::{Error, Result};

/// Our own pages load their style sheet and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'self'";

const NO_PAGE: &str = "<p class=\"notice\">This program was built without its web page. <code>cargo xtask ui</code> builds \
    the page (it needs Node); the next <code>cargo build</code> takes it in.</p>";

/// Beyond this a list of runs is no longer read but searched.
const MAX_RUNS: usize = 1000;

/// What a program says that has only the pages of this file.
const NO_UI: &str = "<p class=\"notice\">This program was built without its web page. <code>cargo xtask ui</code> builds the page \
    (it needs Node); the next <code>cargo build</code> takes it in.</p>";

/// Tools whose answer has a table, which can be taken away as CSV.
const TABLE_TOOLS: [&str; 9] = [
    "framework_op_stats",
    "hlo_stats",
    "inference_profile",
    "input_pipeline_analyzer",
    "kernel_stats",
    "megascale_stats",
    "overview_page",
    "perf_counters",
    "roofline_model",
];

/// Serves the page that belongs to the parameters: `?run=R` shows a run, anything else the list.
pub async fn serve(state: &State, request: &HeaderMap, raw_path: &str, params: &Params) -> Response {
    let root = root_of(raw_path);
    let page = match params.non_empty("run") {
        Some(run) => run_page(state, &root, params, run).await,
        None => runs_page(state, &root, params).await,
    };
    let (status, page) = match page {
        Ok(page) => (StatusCode::OK, page),
        Err(error) => {
            let body = format!("<p class=\"notice\" role=\"alert\">{}</p>{}", escape(&error.chain()), back(&root));
            (respond::status(&error), frame(&root, "Not available", &body))
        }
    };
    let mut response = html(request, page);
    *response.status_mut() = status;
    response
}

/// Another page in the same frame.
pub(super) fn page(request: &HeaderMap, raw_path: &str, title: &str, body: &str) -> Response {
    html(request, frame(&root_of(raw_path), title, body))
}

fn html(request: &HeaderMap, page: String) -> Response {
    let mut response = respond::document(request, "text/html", page);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

async fn runs_page(state: &State, root: &str, params: &Params) -> Result<String> {
    let runs = state.catalog.runs(params).await?;
    let filter = params.get("q").unwrap_or_default().trim().to_lowercase();
    let shown: Vec<_> = runs.iter().filter(|run| run.to_lowercase().contains(&filter)).collect();
    let mut body = String::new();
    if runs.is_empty() {
        body.push_str(&empty_notice(state));
    } else {
        let _ = write!(
            body,
            "<form role=\"search\"><label for=\"q\">Filter</label>\
             <input id=\"q\" name=\"q\" type=\"search\" value=\"{}\" autocomplete=\"off\"><button>Show</button></form>\
             <p class=\"quiet\">{} of {} runs</p><ul class=\"runs\">",
            escape(params.get("q").unwrap_or_default()),
            shown.len(),
            runs.len()
        );
        for run in shown.iter().take(MAX_RUNS) {
            let _ = write!(body, "<li><a href=\"{root}plain?{}\">{}</a></li>", link(params, run), escape(run));
        }
        body.push_str("</ul>");
        if shown.len() > MAX_RUNS {
            let _ = write!(body, "<p class=\"quiet\">The first {MAX_RUNS} are shown; the filter finds the others.</p>");
        }
    }
    Ok(frame(root, "Runs", &format!("{NO_UI}{body}")))
}

fn empty_notice(state: &State) -> String {
    match &state.config.logdir {
        Some(logdir) => format!(
            "<p class=\"notice\">There are no runs yet. A run is a directory with <code>HOST.xplane.pb</code> files at \
             <code>{}/plugins/profile/RUN/</code>.</p>",
            escape(&logdir.to_string_lossy())
        ),
        None => {
            "<p class=\"notice\">This server has no log directory. Start it with <code>--logdir DIR</code>, or open \
                 <code>?session_path=/path/to/a/run&amp;run=NAME</code>.</p>"
                .to_owned()
        }
    }
}

async fn run_page(state: &State, root: &str, params: &Params, run: &str) -> Result<String> {
    let session = state.catalog.session(params).await?;
    if session.files().is_empty() {
        return Err(Error::NotFound(format!("The run {run} has no traces.")));
    }
    let tools = state.catalog.tools(&session).await;
    let link = link(params, run);
    let mut body = String::new();
    if tools.is_empty() {
        body.push_str(
            "<p class=\"notice\" role=\"alert\">No trace of this run can be read; the server's log says why.</p>",
        );
    }
    body.push_str("<h2>Tools</h2><div class=\"scroll\"><table><caption>Each link opens the raw answer for one host.</caption>\
         <thead><tr><th scope=\"col\">Tool</th><th scope=\"col\">Answer</th><th scope=\"col\">Table as CSV</th></tr></thead><tbody>");
    for tool in &tools {
        let rule = registry::Hosts::of_tool(tool);
        let hosts = offered(session.files(), rule);
        let _ = write!(body, "<tr><th scope=\"row\">{}</th>", escape(tool));
        let needs_module = matches!(tool.as_str(), "graph_viewer" | "memory_viewer");
        if registry::find(tool).is_err() && !needs_module {
            body.push_str("<td colspan=\"2\">this version does not answer it</td></tr>");
            continue;
        }
        for (route, has) in [("data", true), ("data_csv", TABLE_TOOLS.contains(&tool.as_str()))] {
            body.push_str("<td>");
            // Programs are chosen by module, so these tools need more than a host.
            if has && !needs_module {
                for host in &hosts {
                    let (tool, shown) = (encode(tool), escape(host));
                    let host = encode(host);
                    let _ = write!(body, "<a href=\"{root}{route}?{link}&amp;tag={tool}&amp;host={host}\">{shown}</a>");
                }
            } else if has {
                let _ = write!(body, "<a href=\"{root}module_list?{link}\">modules</a>");
            }
            body.push_str("</td>");
        }
        body.push_str("</tr>");
    }
    body.push_str("</tbody></table></div>");
    let _ = write!(body, "<h2>Hosts</h2><ul>");
    for host in session.files().sorted_hosts() {
        let _ = write!(body, "<li>{}</li>", escape(&host));
    }
    let _ = write!(body, "</ul>{}", back(root));
    Ok(frame(root, run, &body))
}

/// The query that names a run, overrides included, as it stands in an attribute.
fn link(params: &Params, run: &str) -> String {
    let mut link = format!("run={}", encode(run));
    for name in ["session_path", "run_path"] {
        if let Some(value) = params.non_empty(name) {
            let _ = write!(link, "&amp;{name}={}", encode(value));
        }
    }
    link
}

fn back(root: &str) -> String {
    format!("<p><a href=\"{root}plain\">All runs</a></p>")
}

fn frame(root: &str, title: &str, body: &str) -> String {
    let version = xprof_service::VERSION;
    let notice = if assets::index().is_some() { "" } else { NO_PAGE };
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title} · Profiles</title>\
         <link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"{root}assets/start.css\"></head>\
         <body><header><h1>{title}</h1><p class=\"quiet\">xprof-aggregator {version}</p></header>\
         <main>{notice}{body}</main>\
         <footer class=\"quiet\"><a href=\"{root}runs\">runs</a> · <a href=\"{root}config\">config</a> · \
         <a href=\"{root}version\">version</a> · <a href=\"{root}debug/workers\">workers</a> · documentation: the folder <code>docs</code> of this project</footer>\
         </body></html>",
        title = escape(title)
    )
}

/// A text as it stands in HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    markup::push_escaped(&mut out, text);
    out
}
