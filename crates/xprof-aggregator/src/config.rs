//! What may be said to the aggregator: upstream flags in all their spellings, and our own.
//!
//! Takes the loaded text values, gives one checked [`Config`]. Nothing is opened here except that the log directory is
//! looked at: a typing error must be told before any port opens.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xprof_service::config::{COMMON_KEYS, CommonConfig, ConfigError, Group, Key, Kind, Program};

use crate::fanout::place::Policy;
use crate::workers::resolve::{Target, parse};

/// The aggregator's command line.
pub static PROGRAM: Program = Program {
    name: "xprof-aggregator",
    about: "Serves profiles over HTTP: lists the sessions of a log directory, analyses them alone or with workers, \
            and speaks the HTTP API of XProf 2.24.",
    examples: "Examples:\n  \
        xprof-aggregator --logdir ~/logs                                    everything in this process\n  \
        xprof-aggregator --logdir gs-mount --worker_service_address w1:50051,w2:50051\n  \
        xprof-aggregator --port 10000 --worker_service_address dns:///xprof-worker-service.default.svc.cluster.local:8891",
    groups: &[
        Group { title: "XProf's own flags", keys: UPSTREAM_KEYS },
        Group { title: "Web page", keys: PAGE_KEYS },
        Group { title: "Requests", keys: REQUEST_KEYS },
        Group { title: "Workers", keys: WORKER_KEYS },
        Group { title: "Process", keys: COMMON_KEYS },
    ],
    positional: &["logdir", "port"],
};

const UPSTREAM_KEYS: &[Key] = &[
    Key {
        name: "logdir",
        short: &["l"],
        value: "DIR",
        help: "Directory whose sessions are listed and served. Without it, requests name their session by session_path \
               or run_path.",
        ..Key::BLANK
    },
    Key {
        name: "port",
        short: &["p"],
        kind: Kind::Integer(0, 65535),
        default: "8791",
        value: "PORT",
        help: "HTTP port; 0 takes a free one.",
        ..Key::BLANK
    },
    Key {
        name: "grpc_port",
        short: &["g", "gp"],
        kind: Kind::Integer(0, 65535),
        default: "50051",
        value: "PORT",
        help: "Accepted for XProf's command lines. This program opens no gRPC port: that is xprof-worker's part.",
        ..Key::BLANK
    },
    Key {
        name: "worker_service_address",
        short: &["w", "wsa"],
        value: "TARGETS",
        help: "Workers that do the analysis: HOST:PORT, dns:///NAME:PORT for every address of a name, or \
               dns://DNS_SERVER/NAME:PORT; several with commas. \
               Without any, this process does it.",
        ..Key::BLANK
    },
    Key {
        name: "hide_capture_profile_button",
        short: &["h", "hcpb"],
        kind: Kind::Switch,
        default: "false",
        help: "The user interface offers no capture.",
        ..Key::BLANK
    },
    Key {
        name: "enable_tab_name_label",
        short: &["e"],
        kind: Kind::Switch,
        default: "false",
        help: "The user interface puts the run into the title of the browser's tab.",
        ..Key::BLANK
    },
    Key {
        name: "src_prefix",
        short: &["s", "spp"],
        value: "PREFIX",
        help: "Put before the path of a source file where the user interface links to it.",
        ..Key::BLANK
    },
    Key {
        name: "max_concurrent_worker_requests",
        short: &["m"],
        kind: Kind::Integer(0, 65535),
        default: "0",
        value: "N",
        help: "Map jobs under way at once, here or on all workers together; 0 takes four per worker, or one per CPU.",
        ..Key::BLANK
    },
];

const PAGE_KEYS: &[Key] = &[
    Key {
        name: "ui_dir",
        value: "DIR",
        help: "Serve another front end, whose files are in this directory, instead of the built-in web page.",
        ..Key::BLANK
    },
    Key {
        name: "frame_ancestors",
        default: "'self'",
        value: "SOURCES",
        help: "Who may show the web page in a frame, as Content-Security-Policy writes it: 'none', 'self', \
               https://board.example.",
        ..Key::BLANK
    },
];

const REQUEST_KEYS: &[Key] = &[
    Key {
        name: "request_timeout",
        kind: Kind::PositiveDuration,
        default: "10m",
        value: "TIME",
        help: "A request that takes longer is answered with 504 and its work is stopped. Of several hosts, one that is not \
               done shortly before is left out and named in the answer's headers.",
        ..Key::BLANK
    },
    Key {
        name: "max_in_flight",
        kind: Kind::Integer(1, 1_000_000),
        default: "512",
        value: "N",
        help: "Requests beyond this number are answered with 503 at once.",
        ..Key::BLANK
    },
    Key {
        name: "answer_cache_bytes",
        kind: Kind::Bytes,
        default: "256MiB",
        value: "BYTES",
        help: "Memory for finished answers and their compressed forms; 0 keeps none.",
        ..Key::BLANK
    },
];

const WORKER_KEYS: &[Key] = &[
    Key {
        name: "lb_policy",
        env: &["GRPC_LB_POLICY"],
        kind: Kind::Choice(&["round_robin", "affinity", "least_loaded"]),
        default: "round_robin",
        help: "round_robin spreads jobs evenly; affinity sends a trace to the worker that probably still holds it, unless \
               that one is busier than the others; least_loaded sends it to the one with the fewest jobs.",
        ..Key::BLANK
    },
    Key {
        name: "dns_refresh",
        kind: Kind::PositiveDuration,
        default: "2s",
        value: "TIME",
        help: "How often the names of workers are resolved again, or more often if their addresses are valid for less; \
               a failed call does so at once.",
        ..Key::BLANK
    },
    Key {
        name: "dns_resolver",
        env: &["GRPC_DNS_RESOLVER"],
        value: "NAME",
        help: "Accepted for XProf's deployments; the system's DNS servers are always asked.",
        ..Key::BLANK
    },
    Key {
        name: "worker_wait",
        kind: Kind::Duration,
        default: "3s",
        value: "TIME",
        help: "How long a job waits for a worker to appear, or to have room, before the request is answered with 503. \
               When no worker has been well for that long, requests are answered so at once.",
        ..Key::BLANK
    },
    Key {
        name: "hedge_after",
        kind: Kind::Duration,
        default: "0",
        value: "TIME",
        help: "A job without an answer after this time is sent to a second worker too, and the first answer counts; \
               one job of ten at most. 0 never does.",
        ..Key::BLANK
    },
];

/// The values as they are loaded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RawConfig {
    logdir: String,
    port: u16,
    grpc_port: u16,
    worker_service_address: String,
    hide_capture_profile_button: bool,
    enable_tab_name_label: bool,
    src_prefix: String,
    ui_dir: String,
    frame_ancestors: String,
    max_concurrent_worker_requests: usize,
    #[serde(rename = "request_timeout")]
    request_timeout_ms: u64,
    max_in_flight: usize,
    answer_cache_bytes: u64,
    lb_policy: String,
    #[serde(rename = "dns_refresh")]
    dns_refresh_ms: u64,
    #[serde(rename = "worker_wait")]
    worker_wait_ms: u64,
    #[serde(rename = "hedge_after")]
    hedge_after_ms: u64,
    #[serde(flatten)]
    common: CommonConfig,
}

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The log directory, absolute.
    pub logdir: Option<PathBuf>,
    /// The address that every port is opened on.
    pub bind_ip: IpAddr,
    /// The HTTP port.
    pub port: u16,
    /// Workers; none means that this process does the work.
    pub workers: Vec<Target>,
    /// What `/config` says.
    pub page: PageConfig,
    /// The files of another front end.
    pub ui_dir: Option<PathBuf>,
    /// Who may show the web page in a frame.
    pub frame_ancestors: String,
    /// Map jobs under way at once, 0 for automatic.
    pub max_jobs: usize,
    /// The most that a request may take.
    pub request_timeout: Duration,
    /// Requests at once.
    pub max_in_flight: usize,
    /// Bytes of finished answers.
    pub answer_cache_bytes: u64,
    /// How jobs are spread.
    pub policy: Policy,
    /// How often names are resolved.
    pub dns_refresh: Duration,
    /// How long a job waits for a worker.
    pub worker_wait: Duration,
    /// When a job is sent to a second worker, zero for never.
    pub hedge_after: Duration,
    /// What both programs have.
    pub common: CommonConfig,
}

/// What the user interface is told by `/config`.
#[derive(Debug, Clone, Default)]
pub struct PageConfig {
    /// Capture is not offered.
    pub hide_capture_profile_button: bool,
    /// The run is in the tab's title.
    pub enable_tab_name_label: bool,
    /// Before the paths of source files.
    pub src_prefix: Option<String>,
}

impl RawConfig {
    /// Checks what a single value cannot tell. `home` is where `~` leads.
    pub fn check(self, home: Option<&Path>) -> Result<Config, ConfigError> {
        if self.port != 0 && self.port == self.grpc_port {
            // `parity:` the reference's words, which deployment scripts look for.
            return Err(ConfigError(
                "The main server port (--port) and the gRPC port (--grpc_port) must be different.".into(),
            ));
        }
        let bind_ip = self.common.bind_ip()?;
        self.common.check_roots()?;
        let workers = parse(&self.worker_service_address)
            .map_err(|why| ConfigError(format!("--worker_service_address: {why}")))?;
        let logdir = if self.logdir.is_empty() { None } else { Some(log_directory(&self.logdir, home)?) };
        let ui_dir = if self.ui_dir.is_empty() { None } else { Some(ui_directory(&self.ui_dir)?) };
        if !self.frame_ancestors.chars().all(|c| matches!(c, ' '..='~') && c != ';' && c != ',') {
            let text = &self.frame_ancestors;
            return Err(ConfigError(format!(
                "--frame_ancestors={text} must be a list of sources with blanks between them."
            )));
        }
        let policy = Policy::from_name(&self.lb_policy).unwrap_or_default();
        Ok(Config {
            logdir,
            bind_ip,
            port: self.port,
            workers,
            page: PageConfig {
                hide_capture_profile_button: self.hide_capture_profile_button,
                enable_tab_name_label: self.enable_tab_name_label,
                src_prefix: Some(self.src_prefix).filter(|p| !p.is_empty()),
            },
            ui_dir,
            frame_ancestors: self.frame_ancestors,
            max_jobs: self.max_concurrent_worker_requests,
            request_timeout: Duration::from_millis(self.request_timeout_ms),
            max_in_flight: self.max_in_flight,
            answer_cache_bytes: self.answer_cache_bytes,
            policy,
            dns_refresh: Duration::from_millis(self.dns_refresh_ms.max(100)),
            worker_wait: Duration::from_millis(self.worker_wait_ms),
            hedge_after: Duration::from_millis(self.hedge_after_ms),
            common: self.common,
        })
    }
}

/// `~/logs` and `logs` as absolute paths that exist.
fn log_directory(text: &str, home: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let path = match (text.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    };
    let path = std::path::absolute(&path).map_err(|e| ConfigError(format!("--logdir={text} is not a path: {e}")))?;
    if !path.is_dir() {
        // `parity:` the reference's words.
        return Err(ConfigError(format!("Log directory '{text}' does not exist or is not a directory.")));
    }
    Ok(path)
}

/// A directory that holds a front end.
fn ui_directory(text: &str) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(text);
    if !path.join("index.html").is_file() {
        return Err(ConfigError(format!("--ui_dir={text} is not a front end: it has no index.html.")));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use xprof_service::config::{Sources, Start, load};

    use super::*;

    fn config(args: &[&str], env: &[(&str, &str)]) -> Result<Config, String> {
        let sources = Sources {
            args: args.iter().map(ToString::to_string).collect(),
            env: env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        };
        match load::<RawConfig>(&PROGRAM, &sources).map_err(|e| e.to_string())? {
            Start::Run(loaded) => loaded.config.check(Some(Path::new("/"))).map_err(|e| e.to_string()),
            Start::Print(text) => Err(text),
        }
    }

    #[test]
    fn takes_the_argument_vectors_of_the_deployment_guides() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_str().unwrap();
        let c = config(&[&format!("--logdir={dir}"), "--port=8791"], &[]).unwrap();
        assert_eq!((c.logdir.as_deref(), c.port, c.workers.len()), (Some(Path::new(dir)), 8791, 0));
        let c = config(
            &[
                "--port=10000",
                "--worker_service_address=dns:///xprof-worker-service.default.svc.cluster.local:8891",
                "--grpc_port=50051",
                "--hide_capture_profile_button",
            ],
            &[("GRPC_LB_POLICY", "round_robin"), ("GRPC_DNS_RESOLVER", "native")],
        )
        .unwrap();
        assert!(c.page.hide_capture_profile_button && c.logdir.is_none() && c.workers.len() == 1);
        let c = config(&["server", "-l", dir, "-p=1", "-g=2", "-w", "a:1,b:2", "-h", "-e", "-s", "x/", "-m=3"], &[])
            .unwrap();
        assert_eq!((c.port, c.workers.len(), c.max_jobs, c.page.src_prefix.as_deref()), (1, 2, 3, Some("x/")));
        let c = config(&[dir, "7", "-gp", "9", "-wsa=a:1", "-hcpb", "-spp", "y"], &[]).unwrap();
        assert_eq!((c.port, c.page.hide_capture_profile_button), (7, true));
        assert_eq!(config(&["server", dir, "8"], &[]).unwrap().port, 8);
        assert_eq!(config(&["--logdir=~/tmp"], &[]).unwrap().logdir.unwrap(), Path::new("/tmp"));
        assert!(config(&["--worker_service_address="], &[]).unwrap().workers.is_empty());
    }

    #[test]
    fn says_what_is_wrong() {
        for (args, text) in [
            (
                &["--port=5", "--grpc_port=5"][..],
                "The main server port (--port) and the gRPC port (--grpc_port) must be different.",
            ),
            (&["--logdir=/no/such/dir"], "Log directory '/no/such/dir' does not exist or is not a directory."),
            (&["--logdir=/etc/hostname"], "Log directory '/etc/hostname' does not exist or is not a directory."),
            (&["--bind_address=foo"], "--bind_address=foo is not valid: it must be an IP address"),
            (
                &["--allowed_roots=/no/such"],
                "--allowed_roots=/no/such is not valid: it must be a directory that exists",
            ),
            (&["--port=99999"], "--port=99999 is not valid: it must be a whole number from 0 to 65535"),
            (&["--worker_service_address=w"], "\"w\" is not a worker address: the port is missing"),
            (&["--ui_dir=/etc"], "--ui_dir=/etc is not a front end: it has no index.html."),
            (&["--frame_ancestors=a; script-src *"], "must be a list of sources"),
            (&["--lb_policy=random"], "one of round_robin, affinity, least_loaded"),
            (&["--request_timeout=0"], "--request_timeout=0 is not valid: it must be a time above 0"),
            (&["--request_timeout=soon"], "--request_timeout=soon is not valid"),
            (&["--bogus"], "--bogus"),
        ] {
            let error = config(args, &[]).unwrap_err();
            assert!(error.contains(text), "{args:?}: {error}");
        }
        assert!(config(&["--help"], &[]).unwrap_err().contains("dns:///NAME:PORT"));
    }
}
