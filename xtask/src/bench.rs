//! Stage benchmark: MB/s and peak memory of read, prepare, map and render on generated traces.
//!
//! Each case runs in a process of its own, so that its peak memory is its own.
//! Results go to a dated folder with the command, the versions, the machine and the raw numbers.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xprof_core::Diag;
use xprof_core::answer::Format;
use xprof_core::fixture::{TpuSession, generate_host};
use xprof_core::prep::Prepared;
use xprof_core::tools::{Params, registry};
use xprof_core::xspace::{TraceBytes, XSpace};
use xshell::{Shell, cmd};

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Sizes of the generated traces in MB
    #[arg(long, value_delimiter = ',', default_values_t = [1, 20, 100])]
    sizes: Vec<usize>,
    /// Repetitions; the fastest counts
    #[arg(long, default_value_t = 5)]
    repeat: usize,
    /// Where the dated folder goes [default: tests/bench/runs]
    #[arg(long)]
    out: Option<PathBuf>,
    /// One case in this process (internal)
    #[arg(long, hide = true)]
    case: Option<String>,
}

/// One measured case.
struct Row {
    case: String,
    size_mb: usize,
    bytes: usize,
    seconds: f64,
    peak_mib: f64,
}

pub fn run(args: &Args) -> Result<()> {
    if let (Some(case), [size]) = (&args.case, args.sizes.as_slice()) {
        return measure(case, *size, args.repeat);
    }
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    cmd!(shell, "cargo build --release -p xtask").run()?;
    let program = crate::target_dir().join("release/xtask");
    let mut cases = vec!["read".to_owned(), "prepare".to_owned()];
    // Tools that show programs have benches of their own in the core.
    for tool in registry::TOOLS.iter().filter(|tool| tool.needs_events) {
        cases.push(format!("map/{}", tool.name));
        cases.push(format!("render/{}", tool.name));
    }
    let mut rows = Vec::new();
    println!("{:28}{:>8}{:>12}{:>10}{:>10}", "stage/tool", "MB", "ms", "MB/s", "peak MiB");
    for &size in &args.sizes {
        for case in &cases {
            let (size_text, repeat) = (size.to_string(), args.repeat.to_string());
            let line =
                cmd!(shell, "{program} bench --sizes {size_text} --repeat {repeat} --case {case}").quiet().read()?;
            let row = parse(case, size, &line).with_context(|| format!("case {case} printed {line:?}"))?;
            println!("{}", show(&row));
            rows.push(row);
        }
    }
    publish(args, &shell, &rows)
}

fn show(row: &Row) -> String {
    let rate = row.bytes as f64 / 1e6 / row.seconds;
    format!("{:28}{:>8}{:>12.2}{rate:>10.0}{:>10.0}", row.case, row.size_mb, row.seconds * 1e3, row.peak_mib)
}

fn parse(case: &str, size_mb: usize, line: &str) -> Option<Row> {
    let mut parts = line.split_whitespace();
    Some(Row {
        case: case.to_owned(),
        size_mb,
        bytes: parts.next()?.parse().ok()?,
        seconds: parts.next()?.parse().ok()?,
        peak_mib: parts.next()?.parse().ok()?,
    })
}

/// Runs one case and prints bytes, seconds and MiB.
fn measure(case: &str, size_mb: usize, repeat: usize) -> Result<()> {
    let trace = TraceBytes::new(generate_host(&TpuSession::of_size(1, size_mb * 1_000_000), 0).into());
    let mut fastest = Duration::MAX;
    for _ in 0..repeat.max(1) {
        fastest = fastest.min(once(case, &trace)?);
    }
    println!("{} {} {}", trace.len(), fastest.as_secs_f64(), peak_mib()?);
    Ok(())
}

fn once(case: &str, trace: &TraceBytes) -> Result<Duration> {
    let mut diag = Diag::new();
    if case == "read" {
        let started = Instant::now();
        let space = XSpace::read(trace.clone(), "generated", &mut diag)?;
        let elapsed = started.elapsed();
        assert!(space.n_events() > 0);
        return Ok(elapsed);
    }
    let space = XSpace::read(trace.clone(), "generated", &mut diag)?;
    let started = Instant::now();
    let prepared = Prepared::new(space, "host", &mut diag)?;
    if case == "prepare" {
        return Ok(started.elapsed());
    }
    let Some((stage, tool)) = case.split_once('/') else { bail!("no case {case}") };
    let (tool, params) = (registry::find(tool)?, Params::new());
    let started = Instant::now();
    let part = tool.map(&prepared, &params, &mut diag)?;
    if stage == "map" {
        return Ok(started.elapsed());
    }
    let started = Instant::now();
    let answer = tool.finish(&[(Arc::from("host"), part)], &params, Format::Native, &mut diag)?;
    let elapsed = started.elapsed();
    assert!(!answer.body.is_empty());
    Ok(elapsed)
}

/// Peak resident memory of this process.
fn peak_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("peak memory is known on Linux only")?;
    let kib = status.lines().find_map(|l| l.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|k| k / 1024.0).context("VmHWM is not in /proc/self/status")
}

fn publish(args: &Args, shell: &Shell, rows: &[Row]) -> Result<()> {
    let date = cmd!(shell, "date +%Y-%m-%d").quiet().read()?;
    let folder = args.out.clone().unwrap_or_else(|| crate::root().join("tests/bench/runs")).join(date);
    std::fs::create_dir_all(&folder)?;
    let mut csv = "case,size_mb,bytes,seconds,peak_mib\n".to_owned();
    let mut summary = format!("{:28}{:>8}{:>12}{:>10}{:>10}\n", "stage/tool", "MB", "ms", "MB/s", "peak MiB");
    for row in rows {
        writeln!(csv, "{},{},{},{},{}", row.case, row.size_mb, row.bytes, row.seconds, row.peak_mib)?;
        writeln!(summary, "{}", show(row))?;
    }
    let rustc = cmd!(shell, "rustc --version").quiet().read()?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map_or("unknown", |l| l.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let sizes = args.sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let readme = format!(
        "# Stage benchmark\n\n    cargo xtask bench --sizes {sizes} --repeat {}\n\n{rustc}; {cores} cores of {cpu}.\n\
         Generated traces of one TPU host; the fastest of {} runs; peak memory includes the trace itself.\n\n```\n{summary}```\n",
        args.repeat, args.repeat
    );
    std::fs::write(folder.join("raw.csv"), csv)?;
    std::fs::write(folder.join("README.md"), readme)?;
    println!("\nwritten to {}", folder.display());
    Ok(())
}
