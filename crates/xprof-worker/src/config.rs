//! The worker's flags: those of XProf's deployment guides, and ours.

use serde::Deserialize;
use xprof_service::config::{
    COMMON_KEYS, CommonConfig, ConfigError, Group, Key, Kind, Loaded, Program, Sources, Start, load,
};

/// Everything that may be said to a worker.
#[derive(Debug, Clone, Deserialize)]
pub struct WorkerConfig {
    /// What both programs have.
    #[serde(flatten)]
    pub common: CommonConfig,
    /// Port of the gRPC services.
    pub grpc_port: u16,
    /// The HTTP port of the deployment guides: another spelling of the admin port.
    pub port: Option<u16>,
    /// Map jobs at once; none for the number of CPUs.
    pub max_concurrent_worker_requests: Option<usize>,
    /// Jobs that may wait for their turn.
    pub max_waiting_jobs: usize,
    /// Name of this worker in answers and logs; empty for the host's name.
    pub worker_id: String,
    /// Age at which connections are told to reconnect, in milliseconds; 0 for never.
    #[serde(rename = "max_connection_age")]
    pub max_connection_age_ms: u64,
}

const KEYS: &[Key] = &[
    Key {
        name: "grpc_port",
        short: &["g", "gp"],
        kind: Kind::Integer(1, 65535),
        default: "50051",
        value: "PORT",
        help: "Port of the worker services. A port that is in use ends the program with code 69.",
        ..Key::BLANK
    },
    Key {
        name: "port",
        short: &["p"],
        kind: Kind::Integer(0, 65535),
        value: "PORT",
        help: "The HTTP port of XProf's deployment guide. A worker has no pages: it answers /live, /ready, /metrics \
               and /config there, like --admin_port; 0 or absent for none.",
        ..Key::BLANK
    },
    Key {
        name: "max_concurrent_worker_requests",
        short: &["m"],
        kind: Kind::Integer(1, 65536),
        value: "N",
        help: "Map jobs that run at once; the others wait. [default: the number of CPUs]",
        ..Key::BLANK
    },
    Key {
        name: "max_waiting_jobs",
        kind: Kind::Integer(0, 1_000_000),
        default: "1024",
        value: "N",
        help: "Jobs beyond those that run and this number are refused with RESOURCE_EXHAUSTED: an aggregator then asks \
               another worker, or again later.",
        ..Key::BLANK
    },
    Key {
        name: "worker_id",
        env: &["HOSTNAME"],
        value: "NAME",
        help: "Name of this worker in answers and logs. [default: the host's name]",
        ..Key::BLANK
    },
    Key {
        name: "max_connection_age",
        kind: Kind::Duration,
        default: "50s",
        value: "TIME",
        help: "After this time, give or take 10 %, a connection is told to reconnect, so that clients which balance \
               by DNS find new workers; 0 for never. Running calls have 10 minutes to finish.",
        ..Key::BLANK
    },
];

/// Flags that mean something to an aggregator only. XProf has one program for both, and its manifests pass them to workers.
const IGNORED_KEYS: &[Key] = &[
    ignored("logdir", &["l"], Kind::Text),
    ignored("worker_service_address", &["w", "wsa"], Kind::Text),
    ignored("src_prefix", &["s", "spp"], Kind::Text),
    ignored("hide_capture_profile_button", &["h", "hcpb"], Kind::Switch),
    ignored("enable_tab_name_label", &["e"], Kind::Switch),
];

const fn ignored(name: &'static str, short: &'static [&'static str], kind: Kind) -> Key {
    Key { name, short, kind, help: "Accepted and ignored: it concerns the aggregator.", ..Key::BLANK }
}

/// The program's description, from which `--help` is made.
pub const PROGRAM: Program = Program {
    name: "xprof-worker",
    about: "Maps profile traces for an aggregator. It reads one host's trace per call, over gRPC, and answers with what \
            that host did. It needs to see the traces under the same paths as the aggregator does.\n\n\
            Each flag has three spellings: --grpc_port=8891, XPROF_GRPC_PORT=8891, and `grpc_port = 8891` in the file of \
            --config. A flag wins over the environment, the environment over the file. The spellings of XProf 2.21 to 2.24 \
            work too: -gp 8891, --grpc-port 8891, --nohide_capture_profile_button.",
    examples: "Examples:\n  \
        Stand-alone, to be called directly (see docs/grpc.md):\n    \
        xprof-worker --grpc_port=50051 --bind_address=127.0.0.1\n\n  \
        One of several fixed workers, of an aggregator with --worker_service_address=w1:50051,w2:50051:\n    \
        xprof-worker --grpc_port=50051 --admin_port=9090 --allowed_roots=/logs\n\n  \
        In Kubernetes behind a headless service, of an aggregator with --worker_service_address=dns:///xprof-worker:8891:\n    \
        xprof-worker --port=9999 --grpc_port=8891 --hide_capture_profile_button\n\n\
        Exit codes: 0 after a complete drain, 64 wrong configuration, 69 a port is in use, 75 the grace period ended first.",
    groups: &[
        Group { title: "Worker", keys: KEYS },
        Group { title: "Process", keys: COMMON_KEYS },
        Group { title: "Accepted for compatibility", keys: IGNORED_KEYS },
    ],
    positional: &["logdir", "port"],
};

/// Reads and checks the configuration. No port is open yet.
pub fn read(sources: &Sources) -> Result<Start<WorkerConfig>, ConfigError> {
    let start = load::<WorkerConfig>(&PROGRAM, sources)?;
    if let Start::Run(loaded) = &start {
        check(&loaded.config)?;
    }
    Ok(start)
}

/// What no single key can check.
fn check(config: &WorkerConfig) -> Result<(), ConfigError> {
    for (name, port) in [("--port", config.port.unwrap_or(0)), ("--admin_port", config.common.admin_port)] {
        if port == config.grpc_port {
            return Err(ConfigError(format!(
                "{name}={port} is not valid: --grpc_port has the same value, and the two must differ"
            )));
        }
    }
    config.common.bind_ip()?;
    Ok(())
}

impl WorkerConfig {
    /// The ports that answer operators, without duplicates.
    pub fn admin_ports(&self) -> Vec<u16> {
        let mut ports = vec![self.common.admin_port, self.port.unwrap_or(0)];
        ports.retain(|p| *p != 0);
        ports.dedup();
        ports
    }
}

/// The flags that were given although a worker has no use for them.
pub fn ignored_flags(loaded: &Loaded<WorkerConfig>) -> Vec<&'static str> {
    IGNORED_KEYS.iter().map(|k| k.name).filter(|name| loaded.source_of(name) != "default").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(args: &str, env: &[(&str, &str)]) -> Sources {
        Sources {
            args: args.split_whitespace().map(Into::into).collect(),
            env: env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        }
    }

    fn run(args: &str, env: &[(&str, &str)]) -> Loaded<WorkerConfig> {
        match read(&sources(args, env)) {
            Ok(Start::Run(loaded)) => *loaded,
            other => panic!("{args}: {other:?}"),
        }
    }

    fn error(args: &str, env: &[(&str, &str)]) -> String {
        read(&sources(args, env)).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn accepts_every_published_argument_vector() {
        for (args, grpc_port, admin) in [
            ("", 50051, vec![]),
            ("--port=9999 --grpc_port=8891 --hide_capture_profile_button", 8891, vec![9999]),
            ("server --port=9999 --grpc_port=8891 -h", 8891, vec![9999]),
            ("server /logs 8791 -g 1 -w a:1 -s /src -m 3 -e", 1, vec![8791]),
            ("-l /logs -gp 50052 -wsa a:1,b:2 -hcpb -spp /src", 50052, vec![]),
            ("/logs --grpc-port 7 --noenable_tab_name_label", 7, vec![]),
            ("--grpc_port=1 --grpc_port=2", 2, vec![]),
            ("--admin_port 9 --port 9", 50051, vec![9]),
        ] {
            let config = run(args, &[]).config;
            assert_eq!((config.grpc_port, config.admin_ports()), (grpc_port, admin), "{args}");
        }
        assert_eq!(run("-m 3", &[]).config.max_concurrent_worker_requests, Some(3));
        assert_eq!(run("", &[]).config.max_concurrent_worker_requests, None);
        assert_eq!(ignored_flags(&run("/logs -hcpb", &[])), ["logdir", "hide_capture_profile_button"]);
    }

    #[test]
    fn layers_flag_over_environment_over_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("worker.toml");
        std::fs::write(
            &file,
            "grpc_port = 1\nlog = \"debug\"\nallowed_roots = [\"/a\", \"/b\"]\nshutdown_grace = \"5s\"\n",
        )
        .unwrap();
        let path = file.to_str().unwrap();
        let loaded =
            run("--grpc_port=3", &[("XPROF_CONFIG", path), ("XPROF_GRPC_PORT", "2"), ("XPROF_LOG_FORMAT", "json")]);
        let config = &loaded.config;
        assert_eq!(config.grpc_port, 3);
        assert_eq!((config.common.log.as_str(), config.common.log_format.as_str()), ("debug", "json"));
        assert_eq!(config.common.allowed_roots, ["/a", "/b"]);
        assert_eq!(config.common.shutdown_grace().as_secs(), 5);
        assert_eq!(loaded.source_of("grpc_port"), "--grpc_port");
        assert_eq!(loaded.source_of("log"), path);
        assert_eq!(loaded.source_of("log_format"), "XPROF_LOG_FORMAT");
        assert!(loaded.page().contains("grpc_port = \"3\" # --grpc_port\n"));

        let yaml = dir.path().join("worker.yaml");
        std::fs::write(&yaml, "grpc-port: 4\nmemory_budget: 1GiB\n").unwrap();
        let config = run(&format!("--config {}", yaml.display()), &[]).config;
        assert_eq!((config.grpc_port, config.common.memory_budget), (4, 1 << 30));
        // What --print_config prints can be read back.
        let Ok(Start::Print(page)) = read(&sources("--print_config -gp 77", &[])) else { panic!("no page") };
        let again = dir.path().join("again.toml");
        std::fs::write(&again, page).unwrap();
        assert_eq!(run(&format!("--config={}", again.display()), &[]).config.grpc_port, 77);
    }

    #[test]
    fn says_which_value_is_wrong() {
        for (args, env, expected) in [
            (
                "-m 0",
                &[][..],
                "--max_concurrent_worker_requests=0 is not valid: it must be a whole number from 1 to 65536",
            ),
            (
                "-m -1",
                &[],
                "--max_concurrent_worker_requests=-1 is not valid: it must be a whole number from 1 to 65536",
            ),
            ("--grpc_port=abc", &[], "--grpc_port=abc is not valid: it must be a whole number from 1 to 65535"),
            (
                "",
                &[("XPROF_GRPC_PORT", "70000")],
                "XPROF_GRPC_PORT=70000 is not valid: it must be a whole number from 1 to 65535",
            ),
            (
                "--port=5 --grpc_port=5",
                &[],
                "--port=5 is not valid: --grpc_port has the same value, and the two must differ",
            ),
            ("--log_format=xml", &[], "--log_format=xml is not valid: it must be one of text, json"),
            (
                "--bind_address=nowhere",
                &[],
                "--bind_address=nowhere is not valid: it must be an IP address such as 0.0.0.0, :: or 127.0.0.1",
            ),
            ("--logdir", &[], "--logdir requires a value: it must be a text"),
            ("--config=/absent.toml", &[], "the configuration file /absent.toml does not exist or is not a file"),
        ] {
            assert_eq!(error(args, env), expected, "{args}");
        }
        assert!(error("--grpc_prot=1", &[]).contains("--grpc_port"), "a typing error is recognised");
    }

    #[test]
    fn survives_the_variables_that_kubernetes_injects() {
        let loaded =
            run("", &[("XPROF_PORT", "tcp://10.0.0.1:8791"), ("XPROF_SERVICE_HOST", "10.0.0.1"), ("XPROF_LOG", "")]);
        assert_eq!(loaded.config.port, None);
        assert_eq!(loaded.notes.len(), 1);
    }

    #[test]
    fn help_teaches() {
        for args in ["--help", "-h", "server --help"] {
            let Ok(Start::Print(help)) = read(&sources(args, &[])) else { panic!("no help") };
            for expected in
                ["dns:///", "XPROF_GRPC_PORT", "[default: 50051]", "--allowed_roots", "-gp", "--print_config"]
            {
                assert!(help.contains(expected), "{expected} is not in\n{help}");
            }
        }
        assert!(matches!(read(&sources("--version", &[])), Ok(Start::Print(_))));
    }
}
