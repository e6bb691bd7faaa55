//! The dev cluster: starts workers and an aggregator, as processes or from the images, and stops them all on Ctrl-C.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::docker;
use crate::docker::network::{Network, Start};
use crate::load::http;
use crate::process::{Service, free_port, require_free};

/// Options of `cargo xtask dev`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask dev\n  cargo xtask dev cluster --workers 2 --logdir ~/logs --port 8791\n  \
                  cargo xtask dev cluster --containers"
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
    #[arg(long, conflicts_with = "containers")]
    debug: bool,
    /// Build the images and start containers, read-only and behind one DNS name as in Kubernetes; needs a Docker engine
    #[arg(long)]
    containers: bool,
}

pub fn run(args: &Args) -> Result<()> {
    require_free(args.port)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;
    let logdir = match &args.logdir {
        Some(dir) if dir.is_dir() => std::path::absolute(dir)?,
        Some(dir) => bail!("the log directory {} does not exist or is not a directory", dir.display()),
        None => crate::demo::demo_logdir()?,
    };
    if !args.containers {
        crate::ui::build_if_possible()?;
        return watch(&mut processes(args, &logdir, &stop)?, args, &stop);
    }
    docker::require_engine()?;
    crate::image::build("latest", true)?;
    // Removed after the services, with whatever they left.
    let network = Network::create("xprof-dev")?;
    watch(&mut containers(args, &logdir, &network, &stop)?, args, &stop)
}

/// Says that the cluster is up, and waits for Ctrl-C or for the first service that ends.
fn watch(services: &mut [Service], args: &Args, stop: &AtomicBool) -> Result<()> {
    println!(
        "\n{} workers and an aggregator are up: http://localhost:{}/ (Ctrl-C stops them)\n",
        args.workers, args.port
    );
    while !stop.load(Ordering::Relaxed) {
        for service in &mut *services {
            if let Some(status) = service.ended()? {
                bail!("{} ended with {status}; the others are being stopped", service.name);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("stopping");
    Ok(())
}

/// Starts a service that Ctrl-C does not reach, for the terminal tells only our own group of processes: a service that ends
/// while the cluster runs was not stopped by us, whatever its status.
fn start(name: &str, mut command: Command) -> Result<Service> {
    command.process_group(0);
    Service::start(name, command, false)
}

fn processes(args: &Args, logdir: &Path, stop: &AtomicBool) -> Result<Vec<Service>> {
    let programs = crate::programs::build(args.debug)?;
    let mut services = Vec::new();
    let mut addresses = Vec::new();
    for i in 0..args.workers {
        let (grpc, admin) = (free_port()?, free_port()?);
        let mut command = Command::new(programs.join("xprof-worker"));
        command.arg(format!("--grpc_port={grpc}")).arg(format!("--port={admin}"));
        let mut worker = start(&format!("worker-{i}"), command)?;
        worker.wait_for_port_unless(grpc, stop)?;
        addresses.push(format!("127.0.0.1:{grpc}"));
        services.push(worker);
    }
    let mut command = Command::new(programs.join("xprof-aggregator"));
    command.arg(format!("--logdir={}", logdir.display())).arg(format!("--port={}", args.port));
    if !addresses.is_empty() {
        command.arg(format!("--worker_service_address={}", addresses.join(",")));
    }
    let mut aggregator = start("aggregator", command)?;
    aggregator.wait_for_port_unless(args.port, stop)?;
    services.push(aggregator);
    Ok(services)
}

/// The workers are one name to the aggregator; the log directory has the same path inside as outside.
fn containers(args: &Args, logdir: &Path, network: &Network, stop: &AtomicBool) -> Result<Vec<Service>> {
    let volume = format!("--volume={0}:{0}:ro", logdir.display());
    let publish = format!("--publish={}:10000", args.port);
    let start_in = |name: &str, alias, image, options: &[String], arguments: &[String]| {
        let mut command = Command::new("docker");
        command.args(["run", "--rm"]).args(network.arguments(&Start { name, alias, image, options, arguments }));
        start(name, command)
    };
    let mut services = Vec::new();
    for i in 0..args.workers {
        let arguments = ["--grpc_port=8891".to_owned(), "--port=9999".to_owned()];
        let name = format!("worker-{i}");
        services.push(start_in(&name, Some("workers"), "xprof-worker", std::slice::from_ref(&volume), &arguments)?);
    }
    let mut arguments = vec![format!("--logdir={}", logdir.display()), "--port=10000".to_owned()];
    if args.workers > 0 {
        arguments.push("--worker_service_address=dns:///workers:8891".to_owned());
    }
    let mut aggregator = start_in("aggregator", None, "xprof-aggregator", &[volume, publish], &arguments)?;
    // The engine opens the port before the program in the container does.
    let (address, request) = (SocketAddr::from(([127, 0, 0, 1], args.port)), http::request("/version", ""));
    while !stop.load(Ordering::Relaxed) && !http::get(address, &request).is_ok_and(|(status, _)| status == 200) {
        if let Some(status) = aggregator.ended()? {
            bail!("the aggregator ended at start with {status}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    services.push(aggregator);
    Ok(services)
}
