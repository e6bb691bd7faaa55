//! The keys that both programs have.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::key::{Key, Kind};

/// The values of [`COMMON_KEYS`]. A program's own struct holds it with `#[serde(flatten)]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommonConfig {
    /// Address that every port of this program is opened on.
    pub bind_address: String,
    /// Port of the operators' endpoints, 0 for none.
    pub admin_port: u16,
    /// Directories that this program may touch; empty for all.
    pub allowed_roots: Vec<String>,
    /// How trace files are read.
    pub trace_read: String,
    /// Bytes for running jobs and caches together, 0 for automatic.
    pub memory_budget: u64,
    /// Threads of the conversion pool, 0 for automatic.
    pub cpu_threads: usize,
    /// How long running work may take after a signal, in milliseconds.
    #[serde(rename = "shutdown_grace")]
    pub shutdown_grace_ms: u64,
    /// What is logged: a filter of `tracing`.
    pub log: String,
    /// `text` or `json`.
    pub log_format: String,
}

impl CommonConfig {
    /// The address as an address.
    pub fn bind_ip(&self) -> Result<IpAddr, ConfigError> {
        let allowed = "an IP address such as 0.0.0.0, :: or 127.0.0.1";
        self.bind_address
            .trim_matches(['[', ']'])
            .parse()
            .map_err(|_| ConfigError::invalid("--bind_address", &self.bind_address, allowed))
    }

    /// Refuses roots that are no directories.
    pub fn check_roots(&self) -> Result<(), ConfigError> {
        match self.allowed_roots.iter().find(|root| !Path::new(root).is_dir()) {
            Some(root) => Err(ConfigError::invalid("--allowed_roots", root, "a directory that exists")),
            None => Ok(()),
        }
    }

    /// How long running work may take after a signal.
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_millis(self.shutdown_grace_ms)
    }
}

/// Keys that both programs have. `--config` and `--print_config` work too, they are part of loading.
pub const COMMON_KEYS: &[Key] = &[
    Key {
        name: "bind_address",
        default: "0.0.0.0",
        value: "ADDRESS",
        help: "Address to open every port on; `::` for IPv6 and IPv4 together, 127.0.0.1 for this machine only.",
        ..Key::BLANK
    },
    Key {
        name: "admin_port",
        kind: Kind::Integer(0, 65535),
        default: "0",
        value: "PORT",
        help: "Port with /live, /ready, /metrics and /config for operators; 0 for none.",
        ..Key::BLANK
    },
    Key {
        name: "allowed_roots",
        kind: Kind::List,
        value: "DIR,…",
        help: "Directories that may be read and written, links resolved; none means every path, as XProf does.",
        ..Key::BLANK
    },
    Key {
        name: "trace_read",
        kind: Kind::Choice(&["map", "copy"]),
        default: "map",
        value: "HOW",
        help: "`map` reads traces through the page cache without copying. `copy` reads them into memory: \
               choose it where files may be cut short while they are read, or where the file system is remote and unreliable.",
        ..Key::BLANK
    },
    Key {
        name: "memory_budget",
        kind: Kind::Bytes,
        default: "0",
        value: "BYTES",
        help: "Memory for running jobs and cached traces together; 0 takes half of the container's limit, \
               or half of the memory that is available.",
        ..Key::BLANK
    },
    Key {
        name: "cpu_threads",
        kind: Kind::Integer(0, 4096),
        default: "0",
        value: "N",
        help: "Threads for conversion; 0 takes the number of CPUs that the container may use.",
        ..Key::BLANK
    },
    Key {
        name: "shutdown_grace",
        kind: Kind::Duration,
        default: "30s",
        value: "TIME",
        help: "How long running work may take after SIGTERM or SIGINT; a second signal exits at once.",
        ..Key::BLANK
    },
    Key {
        name: "log",
        default: "info",
        value: "FILTER",
        help: "What is logged: error, warn, info, debug, trace, or per module such as info,xprof_service=debug.",
        ..Key::BLANK
    },
    Key {
        name: "log_format",
        kind: Kind::Choice(&["text", "json"]),
        default: "text",
        value: "FORMAT",
        help: "text for people, json (one object per line) for log collectors.",
        ..Key::BLANK
    },
];
