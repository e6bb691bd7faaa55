//! The worker's process: configuration, logging, ports, signals, exit codes.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use tokio::net::TcpListener;
use xprof_service::config::{ConfigError, Loaded, Sources, Start};
use xprof_service::shutdown::{Drained, Shutdown};
use xprof_service::{exit, telemetry};
use xprof_worker::config::{self, WorkerConfig};

// Conversion allocates from many threads at once, where the allocators of static C libraries are slowest.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A port that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{flag}: {address} cannot be opened")]
struct PortTaken {
    flag: &'static str,
    address: SocketAddr,
    source: std::io::Error,
}

fn main() -> ExitCode {
    let ended = start();
    telemetry::flush();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // The log may not work yet, and whoever started the program looks here.
            eprintln!("xprof-worker: error: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() {
        exit::USAGE
    } else if error.is::<PortTaken>() {
        exit::UNAVAILABLE
    } else {
        exit::SOFTWARE
    }
}

fn start() -> anyhow::Result<u8> {
    let loaded = match config::read(&Sources::from_process()?)? {
        Start::Run(loaded) => *loaded,
        Start::Print(text) => {
            print!("{text}");
            return Ok(exit::OK);
        }
    };
    telemetry::init(&loaded.config.common.log, &loaded.config.common.log_format)?;
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("serve")
        .build()
        .context("the runtime cannot be started")?;
    let code = runtime.block_on(run(&loaded));
    // Files on a dead network mount can block their threads for ever; they must not keep the process.
    runtime.shutdown_background();
    code
}

async fn run(loaded: &Loaded<WorkerConfig>) -> anyhow::Result<u8> {
    let config = &loaded.config;
    tracing::info!(version = xprof_service::VERSION, config = %loaded.one_line(), "effective configuration");
    for flag in config::ignored_flags(loaded) {
        tracing::info!(flag, "flag ignored, it concerns the aggregator");
    }
    let shutdown = Shutdown::on_signals(config.common.shutdown_grace()).context("signals cannot be received")?;
    let app = xprof_worker::build(config, shutdown)?;

    let listener = bind(config, "--grpc_port", config.grpc_port).await?;
    for port in config.admin_ports() {
        let admin =
            bind(config, if port == config.common.admin_port { "--admin_port" } else { "--port" }, port).await?;
        tracing::info!(address = %admin.local_addr()?, "admin port open");
        tokio::spawn(app.admin(loaded.page()).serve(admin));
    }
    let status = app.engine.status();
    tracing::info!(
        address = %listener.local_addr()?,
        worker = %app.worker_id,
        jobs = status.jobs_limit,
        memory_budget_bytes = status.bytes_limit,
        cpu_threads = app.engine.pool().threads(),
        "worker is serving"
    );
    let drained = app.serve(listener).await.context("serving failed")?;
    tracing::info!(outcome = ?drained, "worker stopped");
    Ok(match drained {
        Drained::Clean => exit::OK,
        Drained::Cut => exit::UNFINISHED,
    })
}

/// Opens a port for this process alone: a second worker on the same port is an error, not a silent sharer of its calls.
async fn bind(config: &WorkerConfig, flag: &'static str, port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(config.common.bind_ip()?, port);
    Ok(TcpListener::bind(address).await.map_err(|source| PortTaken { flag, address, source })?)
}
