//! Conformance: our servers against recorded answers of XProf.
//!
//! Needs Python 3 and the decks beside the project (`../shared/conformance`, `../shared/corpus`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xprof_core::tools::registry;

use crate::known::{Difference, Finding, Known};
use crate::load::http;
use crate::process::{Service, free_port};

/// Where the known differences are listed.
const KNOWN: &str = "tests/conformance_open.txt";

/// The tools that answer; rows of others are left out.
fn tools() -> impl Iterator<Item = &'static str> {
    registry::TOOLS.iter().filter(|tool| !tool.is_step).map(|tool| tool.name)
}

/// Options of `cargo xtask conform`.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Which deck [default: golden and golden_synth]
    #[arg(long, value_parser = ["golden", "golden_synth", "golden_large"])]
    deck: Vec<String>,
    /// Number of workers: 0 is in process [default: 0 and 4]
    #[arg(long)]
    workers: Vec<usize>,
    /// Only these tools, comma-separated
    #[arg(long)]
    only: Option<String>,
    /// Only these runs, comma-separated
    #[arg(long)]
    runs: Option<String>,
    /// Print the first differing values of each row that fails
    #[arg(long, short)]
    verbose: bool,
}

pub fn run(args: &Args) -> Result<()> {
    if !is_here() {
        bail!("the recorded answers are not here: {} is missing", shared().join("conformance").display());
    }
    let programs = crate::programs::build(false)?;
    let decks = if args.deck.is_empty() { vec!["golden".into(), "golden_synth".into()] } else { args.deck.clone() };
    let fleets = if args.workers.is_empty() { vec![0, 4] } else { args.workers.clone() };
    let mut known = known()?;
    let mut failed = 0;
    for deck in &decks {
        let logdir = crate::target_dir().join("conform").join(deck);
        copy_deck(deck, &logdir)?;
        for &n_workers in &fleets {
            let port = free_port()?;
            let _fleet = start(&programs, &logdir, port, n_workers)?;
            let place = if n_workers == 0 { "in process".to_owned() } else { format!("{n_workers} workers") };
            let rows = check(args, &shared(), deck, &format!("http://127.0.0.1:{port}"))?;
            failed += report(args, deck, &place, &rows, &mut known);
        }
    }
    if args.deck.is_empty() && args.only.is_none() && args.runs.is_none() {
        for question in known.unasked() {
            println!("nobody asks any more: delete it from {KNOWN}\n       {question}");
            failed += 1;
        }
    }
    if failed > 0 {
        bail!("{failed} answers differ from the recorded ones");
    }
    Ok(())
}

/// What lies beside the project.
fn shared() -> PathBuf {
    crate::root().join("../shared")
}

/// Whether there are recorded answers.
pub fn is_here() -> bool {
    shared().join("conformance/conform.py").exists()
}

/// Compares a running server with a deck; gives the number of answers that differ.
pub fn against(args: &Args, deck: &str, server: &str, place: &str) -> Result<usize> {
    let rows = check(args, &shared(), deck, server)?;
    Ok(report(args, deck, place, &rows, &mut known()?))
}

/// The differences that are known.
fn known() -> Result<Known> {
    let text = std::fs::read_to_string(crate::root().join(KNOWN)).with_context(|| format!("cannot read {KNOWN}"))?;
    Known::read(&text).context(KNOWN)
}

/// A copy of the log directory of a deck: servers may write caches beside traces.
pub fn copy_deck(deck: &str, copy: &Path) -> Result<()> {
    let source = match deck {
        "golden" => shared().join("corpus/logdir"),
        "golden_synth" => shared().join("corpus/logdir_synth"),
        _ => return large(&shared(), copy),
    };
    if copy.exists() {
        std::fs::remove_dir_all(copy)?;
    }
    copy_tree(&source, copy)
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::write(&target, std::fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

/// The trace of the large deck is made, not stored.
fn large(shared: &Path, logdir: &Path) -> Result<()> {
    let trace = logdir.join("plugins/profile/tpu_tiled/host0.xplane.pb");
    if !trace.exists() {
        std::fs::create_dir_all(trace.parent().unwrap_or(logdir))?;
        let status = Command::new("python3")
            .arg(shared.join("oracle/tile_trace.py"))
            .arg(shared.join("corpus/logdir/plugins/profile/tpu_inference_2/host0.xplane.pb"))
            .arg(&trace)
            .args(["--copies", "25", "--host", "host0"])
            .status()?;
        if !status.success() {
            bail!("cannot make the large trace; it needs `pip install protobuf grpcio-tools` for python3");
        }
    }
    Ok(())
}

/// Starts an aggregator and its workers over a log directory.
fn start(programs: &Path, logdir: &Path, port: u16, n_workers: usize) -> Result<Vec<Service>> {
    let mut fleet = Vec::new();
    let mut addresses = Vec::new();
    for i in 0..n_workers {
        let grpc = free_port()?;
        let mut command = Command::new(programs.join("xprof-worker"));
        command.arg(format!("--grpc_port={grpc}"));
        let mut worker = Service::start(&format!("worker-{i}"), command, true)?;
        worker.wait_for_port(grpc)?;
        addresses.push(format!("127.0.0.1:{grpc}"));
        fleet.push(worker);
    }
    let mut command = Command::new(programs.join("xprof-aggregator"));
    command.arg(format!("--logdir={}", logdir.display())).arg(format!("--port={port}"));
    if n_workers > 0 {
        command.arg(format!("--worker_service_address={}", addresses.join(",")));
    }
    let mut aggregator = Service::start("aggregator", command, true)?;
    aggregator.wait_for_port(port)?;
    // The aggregator ends first: it is dropped before its workers.
    fleet.insert(0, aggregator);
    Ok(fleet)
}

fn check(args: &Args, shared: &Path, deck: &str, server: &str) -> Result<Vec<Value>> {
    let out = crate::target_dir().join("conform/rows.json");
    std::fs::create_dir_all(crate::target_dir().join("conform"))?;
    let only = args
        .only
        .clone()
        .unwrap_or_else(|| ["server", "errors", "csv"].into_iter().chain(tools()).collect::<Vec<_>>().join(","));
    let mut command = Command::new("python3");
    // The checker looks at the members of objects in the order of a hash table: which differ first is to be the same each time.
    command
        .env("PYTHONHASHSEED", "0")
        .arg(shared.join("conformance/conform.py"))
        .arg("check")
        .args(["--server", server])
        .arg("--golden")
        .arg(shared.join("conformance").join(deck))
        .args(["--only", &only])
        .arg("--json")
        .arg(&out);
    if let Some(runs) = &args.runs {
        command.args(["--runs", runs]);
    }
    let output = command.output().context("cannot run python3")?;
    let written = std::fs::read(&out).with_context(|| {
        let said = [output.stdout.as_slice(), &output.stderr].concat();
        format!("conform.py ended with {} and wrote no rows: {}", output.status, String::from_utf8_lossy(&said))
    })?;
    let rows: Value = serde_json::from_slice(&written).context("conform.py wrote rows that are no JSON")?;
    std::fs::remove_file(&out)?;
    let mut rows = rows["rows"].as_array().cloned().unwrap_or_default();
    // Of a body that has no parts the checker only says that it is another one.
    for row in rows.iter_mut().filter(|row| row["examples"][0][0] == "body") {
        let path = row["path"].as_str().unwrap_or_default();
        let address = server.trim_start_matches("http://").parse()?;
        let (_, body) = http::get(address, &http::request(path, ""))?;
        row["examples"][0][0] = format!("body of {} bytes", body.len()).into();
    }
    Ok(rows)
}

/// Prints a table and what failed; returns how many rows that are.
fn report(args: &Args, deck: &str, place: &str, rows: &[Value], known: &mut Known) -> usize {
    let mut table: std::collections::BTreeMap<String, [usize; 4]> = std::collections::BTreeMap::new();
    let (mut failed, mut n_known) = (0, 0);
    for row in rows {
        let (tool, path) = (row["tool"].as_str().unwrap_or(""), row["path"].as_str().unwrap_or(""));
        // The reference says "Not implemented" there; we answer.
        if tool == "graph_viewer:json" {
            continue;
        }
        if tool == "csv" && !tools().any(|t| path.contains(&format!("tag={t}&")) || path.ends_with(&format!("tag={t}")))
        {
            continue;
        }
        let verdict = ["same", "ties", "order", "wrong"].iter().position(|v| row["verdict"] == *v).unwrap_or(3);
        table.entry(tool.to_owned()).or_default()[verdict] += 1;
        match known.judge(row) {
            Finding::Same => {}
            Finding::Known => n_known += 1,
            Finding::Failed(why) => {
                failed += 1;
                println!("{why}\n       {}", Difference::of(row).line(path));
                if args.verbose {
                    println!("       {}", row["examples"]);
                }
            }
        }
    }
    println!("\n{deck}, {place}");
    println!("{:24}{:>7}{:>7}{:>7}{:>7}", "", "same", "ties", "order", "wrong");
    for (tool, [same, ties, order, wrong]) in &table {
        println!("{tool:24}{same:>7}{ties:>7}{order:>7}{wrong:>7}");
    }
    if n_known > 0 {
        println!("{n_known} of them are known: {KNOWN}");
    }
    failed
}
