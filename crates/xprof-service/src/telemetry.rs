//! Logs: `tracing` events on standard error, as text for people or one JSON object per line for collectors.
//!
//! House rules for messages: lower case, no final dot, values in fields.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::ConfigError;

/// Installs the process-wide subscriber. `filter` is `--log`, `format` is `--log_format`.
pub fn init(filter: &str, format: &str) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|_| ConfigError::invalid("--log", filter, "a level or a list such as info,xprof_service=debug"))?;
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_span_events(FmtSpan::NONE);
    let registry = tracing_subscriber::registry().with(filter);
    let done = if format == "json" {
        registry.with(layer.json().flatten_event(true).with_current_span(false)).try_init()
    } else {
        // Colour codes only where a person looks: never in files and collectors.
        registry.with(layer.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init()
    };
    // A second call is a test that starts two services in one process; the first subscriber stays.
    drop(done);
    Ok(())
}
