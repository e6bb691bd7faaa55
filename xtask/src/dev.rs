//! The dev cluster: builds the two programs, starts workers and an aggregator, and stops them all on Ctrl-C.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

use crate::process::{Service, free_port, require_free};

/// Options of `cargo xtask dev`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask dev\n  cargo xtask dev cluster --workers 2 --logdir ~/logs --port 8791"
)]
pub struct Args {
    /// What to start; `cluster` is all there is
    #[arg(value_parser = ["cluster"], default_value = "cluster")]
    what: String,
    /// Number of workers; 0 lets the aggregator do the work in its own process
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Log directory to serve [default: a demo with a captured and a generated session]
    #[arg(long)]
    logdir: Option<PathBuf>,
    /// HTTP port of the aggregator
    #[arg(long, default_value_t = 8791)]
    port: u16,
    /// Build without optimisation: faster to build, much slower to answer
    #[arg(long)]
    debug: bool,
}

pub fn run(args: &Args) -> Result<()> {
    require_free(args.port)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;
    let logdir = match &args.logdir {
        Some(dir) if dir.is_dir() => dir.clone(),
        Some(dir) => bail!("the log directory {} does not exist or is not a directory", dir.display()),
        None => crate::demo::demo_logdir()?,
    };
    crate::ui::build_if_possible()?;
    let programs = build(args.debug)?;
    let mut services = Vec::new();
    let mut addresses = Vec::new();
    for i in 0..args.workers {
        let (grpc, admin) = (free_port()?, free_port()?);
        let mut command = Command::new(programs.join("xprof-worker"));
        command.arg(format!("--grpc_port={grpc}")).arg(format!("--port={admin}"));
        let mut worker = Service::start(&format!("worker-{i}"), command, false)?;
        worker.wait_for_port(grpc)?;
        addresses.push(format!("127.0.0.1:{grpc}"));
        services.push(worker);
    }
    let mut command = Command::new(programs.join("xprof-aggregator"));
    command.arg(format!("--logdir={}", logdir.display())).arg(format!("--port={}", args.port));
    if !addresses.is_empty() {
        command.arg(format!("--worker_service_address={}", addresses.join(",")));
    }
    let mut aggregator = Service::start("aggregator", command, false)?;
    aggregator.wait_for_port(args.port)?;
    services.push(aggregator);
    println!(
        "\n{} workers and an aggregator are up: http://localhost:{}/ (Ctrl-C stops them)\n",
        args.workers, args.port
    );

    while !stop.load(Ordering::Relaxed) {
        for service in &mut services {
            // On Ctrl-C the children, which the terminal tells too, may end before we look at the flag.
            if let Some(status) = service.ended()?
                && !stop.load(Ordering::Relaxed)
                && !status.success()
            {
                bail!("{} ended with {status}; the others are being stopped", service.name);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("stopping");
    Ok(())
}

/// Builds both programs and returns the directory that holds them.
pub fn build(debug: bool) -> Result<PathBuf> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let profile = if debug { "dev" } else { "release" };
    cmd!(shell, "cargo build --profile {profile} -p xprof-worker -p xprof-aggregator").run()?;
    Ok(crate::target_dir().join(if debug { "debug" } else { "release" }))
}
