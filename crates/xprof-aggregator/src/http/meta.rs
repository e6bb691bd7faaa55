//! `/config`, `/version` and `/tools`: what the user interface asks about the server itself.
//!
//! Takes the configuration, gives small documents.

use http::HeaderMap;
use serde_json::json;
use xprof_core::tools::registry;

use super::json::to_text;
use super::respond::{self, Response};
use crate::config::PageConfig;

/// The version whose HTTP interface this server speaks. Front ends and scripts of XProf compare it.
pub const XPROF_COMPAT_VERSION: &str = "2.24.2";

/// `/config`.
pub fn config(page: &PageConfig, request: &HeaderMap) -> Response {
    let document = json!({
        "enableTabNameLabel": page.enable_tab_name_label,
        "hideCaptureProfileButton": page.hide_capture_profile_button,
        "srcPathPrefix": page.src_prefix,
    });
    respond::document(request, "application/json", to_text(&document))
}

/// `/tools`: what `/data` answers. A run may offer more, for which this version has no answer.
pub fn tools(request: &HeaderMap) -> Response {
    let names = registry::TOOLS.iter().map(|tool| tool.name);
    respond::document(request, "application/json", to_text(&names.collect()))
}

/// `/version`.
pub fn version(request: &HeaderMap) -> Response {
    respond::document(request, "text/plain", XPROF_COMPAT_VERSION.to_owned())
}
