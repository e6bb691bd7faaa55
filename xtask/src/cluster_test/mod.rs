//! A cluster of containers under load, broken in every way: what do its users notice?
//!
//! [`docker::network`] (containers) → [`cluster`] (the deployment guide's topology) → [`questions`] and [`load`] (users) →
//! [`faults`] and [`checks`] → [`report`]. Needs a Docker engine on this machine.

mod checks;
mod cluster;
mod compare;
mod dns;
mod faults;
mod load;
mod questions;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::docker;
use crate::docker::network::Network;
use cluster::{Cluster, MOUNT, Place, hold, http_of};
use faults::{FAULTS, Pace};
use load::Load;
use questions::Questions;
use report::{Claim, Report};

/// Options of `cargo xtask cluster-test`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask cluster-test\n  cargo xtask cluster-test --only kill,dns\n  \
                  cargo xtask cluster-test --keep")]
pub struct Args {
    /// Shorter faults, for CI; claims about time are printed, but fail nothing
    #[arg(long)]
    quick: bool,
    /// Only these, comma-separated
    #[arg(long, value_delimiter = ',', value_parser = NAMES)]
    only: Vec<String>,
    /// Requests per second, half of them cold
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Take the images that there are
    #[arg(long)]
    no_build: bool,
    /// XProf's program, such as target/venv/bin/xprof: the same faults against its own cluster, with one question a second
    #[arg(long, value_name = "PROGRAM")]
    compare: Option<PathBuf>,
    /// Write the table to docs/reliability.md
    #[arg(long, conflicts_with_all = ["only", "quick"])]
    keep: bool,
}

/// Everything that can be asked for by name: the checks and the faults.
const NAMES: [&str; 12] =
    ["memory", "twins", "none", "scale", "kill", "roll", "pause", "cut", "slow", "dns", "outage", "conform"];

/// Sessions that nobody asked for before: enough for a whole run.
const N_COPIES: usize = 300;

pub fn run(args: &Args) -> Result<()> {
    if let Err(error) = docker::require_engine() {
        println!("SKIPPED: the cluster is not tested: {error:#}");
        return Ok(());
    }
    let conditions = conditions(args);
    if !args.no_build {
        crate::image::build("latest", true)?;
    }
    let directory = crate::target_dir().join("cluster-test");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    let mut report = Report::default();
    test(args, directory.join("traces"), &mut report)?;
    std::fs::remove_dir_all(&directory)?;
    if args.keep {
        report.keep(&conditions)?;
    }
    // CI must not fail because its machine is slow: how fast things recover is for the long run to say.
    match report.n_broken(!args.quick) {
        0 => Ok(()),
        n => bail!("{n} things are not as they must be"),
    }
}

/// Everything that is wanted, in an order that lets each thing begin with a healthy cluster.
fn test(args: &Args, traces: PathBuf, report: &mut Report) -> Result<()> {
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|o| o == name);
    let logdir = traces.join("logs");
    println!("writing {N_COPIES} sessions of {} hosts", questions::N_HOSTS);
    let mut questions = Questions::prepare(&logdir, &format!("{MOUNT}/logs"), N_COPIES)?;
    let place = place(traces)?;
    // What a server without workers answers is what everyone must answer.
    questions.learn(http_of(&place.aggregator("alone", &[], &["--worker_service_address="])?))?;

    if wanted("memory") {
        report.claims(checks::memory(&place)?);
    }
    let mut cluster = cluster(place, questions, args.rate)?;
    if wanted("twins") {
        let differ = |server| cluster.load.questions().n_different(server);
        report.claims(checks::second_aggregator(&cluster.place, differ)?);
    }
    for fault in FAULTS.iter().filter(|f| wanted(f.name)) {
        try_fault(&mut cluster, fault, args, report)?;
    }
    cluster.load.stop();
    if wanted("conform") {
        // CI compares the other deck over four processes.
        let decks: &[&str] = if args.quick { &["golden"] } else { &["golden", "golden_synth"] };
        report.claims(checks::conformance(&cluster.place, decks)?);
    }
    let questions = cluster.load.questions().of_all_hosts(&logdir);
    drop(cluster);
    match &args.compare {
        Some(program) => compare::run(program, &logdir, questions, pace(args), report),
        None => Ok(()),
    }
}

/// A network that goes with us, also on Ctrl-C.
fn place(traces: PathBuf) -> Result<Place> {
    let network = Network::create("xprof-test")?;
    let name = network.name().to_owned();
    ctrlc::set_handler(move || {
        Network::remove(&name);
        std::process::exit(130);
    })?;
    Ok(Place { traces, network })
}

/// Four workers, an aggregator that has found them, and the load.
fn cluster(place: Place, questions: Questions, rate: u32) -> Result<Cluster> {
    let first = place.worker("first", &[])?;
    let aggregator = place.aggregator("aggregator", &[], &[])?;
    aggregator.wait_for(cluster::HTTP_PORT, &questions.nth(0).path)?;
    let load = Load::start(questions, rate, http_of(&aggregator))?;
    let mut cluster = Cluster::new(place, aggregator, load);
    cluster.workers.push(first);
    cluster.scale(4)?;
    Ok(cluster)
}

fn try_fault(cluster: &mut Cluster, fault: &faults::Fault, args: &Args, report: &mut Report) -> Result<()> {
    cluster.scale(4)?;
    // The last fault is over for the aggregator too.
    hold(3);
    let from = Instant::now();
    let mut claims = (fault.run)(cluster, pace(args))?;
    let window = cluster.load.window(from, Instant::now());
    if !fault.is_outage {
        claims.push(Claim::new(window.n_failures() == 0, format!("{}: no user's request fails", fault.what)));
    }
    report.ours(fault.what, window);
    report.claims(claims);
    Ok(())
}

fn pace(args: &Args) -> Pace {
    if args.quick { Pace { hold: 6, kills: 4 } } else { Pace { hold: 20, kills: 12 } }
}

/// Under which conditions the table was made. Called before anything is started.
fn conditions(args: &Args) -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let quick = if args.quick { " --quick" } else { "" };
    format!(
        "`cargo xtask cluster-test{quick}`, {} requests a second, half of them cold, {} hosts of {} kB; all containers and the \
         load share {cpus} CPUs, which had a load average of {load} before the test.",
        args.rate,
        questions::N_HOSTS,
        questions::HOST_BYTES / 1000
    )
}
