//! `/debug/workers`: the fleet for operators, as JSON, or as a page for who asks for HTML.
//!
//! Takes the application's state, gives a snapshot. It asks no worker: what it shows is what jobs are placed by.

use std::fmt::Write as _;
use std::time::Instant;

use http::{HeaderMap, header};

use super::respond::{self, Response};
use super::start::{escape, page};
use crate::app::State;
use crate::workers::report::{Report, WorkerReport};

/// The path, on the main port and on the admin port.
pub const PATH: &str = "/debug/workers";

/// Answers a request.
pub fn serve(state: &State, request: &HeaderMap, raw_path: &str) -> Response {
    let accepts = |kind: &str| {
        request.get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|accepted| accepted.contains(kind))
    };
    if accepts("text/html") {
        page(request, raw_path, "Workers", &html(&report(state)))
    } else {
        respond::document(request, "application/json", json(state))
    }
}

/// The snapshot as JSON.
pub fn json(state: &State) -> String {
    // Texts and numbers always have a form in JSON.
    let mut text = serde_json::to_string_pretty(&report(state)).unwrap_or_default();
    text.push('\n');
    text
}

fn report(state: &State) -> Report {
    match state.fanout.dispatch() {
        Some(dispatch) => dispatch.report(Instant::now()),
        None => Report { policy: "in_process", ..Report::default() },
    }
}

fn html(report: &Report) -> String {
    let mut out =
        format!("<p class=\"quiet\">policy: {}; the same as JSON unless HTML is asked for</p>", report.policy);
    if let Some(s) = report.down_for_s {
        let _ = write!(out, "<p class=\"notice\" role=\"alert\">No worker has been well for {s:.0} s.</p>");
    }
    if report.targets.is_empty() {
        out.push_str("<p>This server has no workers: it does every job itself.</p>");
        return out;
    }
    let head = ["Address", "State", "For", "Load", "Share", "Jobs", "Failed", "Last error"];
    table(&mut out, &head, report.workers.iter().map(worker));
    let targets = report.targets.iter().map(|t| {
        let told = t.resolved_ago_s.map_or_else(String::new, |s| format!("{s:.0} s ago"));
        vec![t.target.clone(), t.addresses.to_string(), told, t.error.clone().unwrap_or_default()]
    });
    out.push_str("<h2>Targets</h2>");
    table(&mut out, &["Target", "Addresses", "Resolved", "Error"], targets);
    if !report.suspects.is_empty() {
        out.push_str("<h2>Traces whose workers died</h2>");
        let suspects = report.suspects.iter().map(|s| {
            let told = if s.refused { "sent to nobody" } else { "sent with care" };
            vec![s.file.clone(), s.died.join(", "), format!("{:.0} s ago", s.last_ago_s), told.into()]
        });
        table(&mut out, &["File", "Workers", "Last death", "Now"], suspects);
    }
    out
}

fn worker(worker: &WorkerReport) -> Vec<String> {
    let error = worker.last_error.as_deref().zip(worker.last_error_ago_s);
    vec![
        worker.address.clone(),
        worker.state.into(),
        format!("{:.0} s", worker.for_s),
        worker.load.to_string(),
        format!("{:.1} %", worker.share * 100.0),
        worker.jobs.to_string(),
        worker.failed.to_string(),
        error.map_or_else(String::new, |(text, ago)| format!("{text} ({ago:.0} s ago)")),
    ]
}

fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    out.push_str("<div class=\"scroll\"><table><thead><tr>");
    for title in head {
        let _ = write!(out, "<th scope=\"col\">{title}</th>");
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td>{}</td>", escape(&cell));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
}
