//! Configuration, telemetry, ports, run, exit code. Everything else is in the library.

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use xprof_aggregator::config::{Config, PROGRAM, RawConfig};
use xprof_aggregator::http::debug;
use xprof_aggregator::{build, serve};
use xprof_service::admin::{Admin, Page, Ready};
use xprof_service::config::{ConfigError, Loaded, Sources, Start, load};
use xprof_service::metrics::Metrics;
use xprof_service::shutdown::{Drained, Shutdown};
use xprof_service::{VERSION, exit, telemetry};

/// Answers are built from many small and some very large pieces, by many threads: the system's allocator is no match.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let code = match start() {
        Ok(Some((loaded, config))) => run(&loaded, config),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR: {error}");
            ExitCode::from(exit::USAGE)
        }
    };
    telemetry::flush();
    code
}

/// Reads the configuration; nothing if the arguments only asked for a text.
fn start() -> Result<Option<(Loaded<RawConfig>, Config)>, ConfigError> {
    let sources = Sources::from_process()?;
    let home = sources.env.get("HOME").map(std::path::PathBuf::from);
    match load::<RawConfig>(&PROGRAM, &sources)? {
        Start::Print(text) => {
            print!("{text}");
            Ok(None)
        }
        Start::Run(loaded) => {
            let config = loaded.config.clone().check(home.as_deref())?;
            telemetry::init(&config.common.log, &config.common.log_format)?;
            Ok(Some((*loaded, config)))
        }
    }
}

fn run(loaded: &Loaded<RawConfig>, config: Config) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ERROR: the runtime cannot start: {error}");
            return ExitCode::from(exit::SOFTWARE);
        }
    };
    match runtime.block_on(run_server(loaded, config)) {
        Ok(Drained::Clean) => ExitCode::from(exit::OK),
        Ok(Drained::Cut) => ExitCode::from(exit::UNFINISHED),
        Err(error) => {
            eprintln!("ERROR: {error:#}");
            ExitCode::from(exit::UNAVAILABLE)
        }
    }
}

async fn run_server(loaded: &Loaded<RawConfig>, config: Config) -> anyhow::Result<Drained> {
    let shutdown = Shutdown::on_signals(config.common.shutdown_grace()).context("signals cannot be received")?;
    for note in &loaded.notes {
        tracing::warn!(note, "configuration");
    }
    let metrics = Metrics::new();
    let listener = listen(config.bind_ip, config.port).await?;
    let port = listener.local_addr().map_or(config.port, |address| address.port());
    let (bind_ip, admin_port) = (config.bind_ip, config.common.admin_port);
    let n_targets = config.workers.len();
    let app = build(config, metrics.clone())?;
    let ready = Ready::default();
    if admin_port != 0 {
        let state = Arc::clone(&app.state);
        let admin = Admin {
            about: format!("xprof-aggregator {VERSION}").into(),
            config: Arc::from(loaded.page()),
            ready: ready.clone(),
            metrics,
            shutdown: shutdown.clone(),
            pages: vec![Page::new(debug::PATH, "application/json", move || debug::json(&state))],
        };
        tokio::spawn(admin.serve(listen(bind_ip, admin_port).await?));
    }
    tracing::info!(version = VERSION, n_targets, config = loaded.one_line(), "started");
    ready.set();
    // `parity:` the line that people and scripts wait for.
    println!("xprof at http://localhost:{port}/ (Press CTRL+C to quit)");
    let drained = serve(listener, app.service, shutdown).await;
    tracing::info!(outcome = ?drained, "stopped");
    Ok(drained)
}

async fn listen(ip: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((ip, port)).await.with_context(|| format!("port {port} cannot be opened on {ip}"))
}
