//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! Each command is one module. They need Rust and nothing else, except where their help says so.

mod bench;
mod cluster_test;
mod conform;
mod demo;
mod dev;
mod docker;
mod fuzz;
mod image;
mod known;
mod lint;
mod load;
mod process;
mod programs;
mod sbom;
mod test;
mod tidy;
mod ui;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs and checks the profile-analysis service.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the dev cluster: 4 workers and 1 aggregator over a demo log directory
    Dev(dev::Args),
    /// Run all tests
    Test(test::Args),
    /// Check format, clippy, unused dependencies, licences and the layering rules
    Lint,
    /// Measure read, prepare, map and render on generated traces; write a dated result folder
    Bench(bench::Args),
    /// Replay recorded answers of XProf against our servers, in process and with 4 workers
    Conform(conform::Args),
    /// Break a cluster of containers in every way while it is asked, and count what its users notice
    ClusterTest(cluster_test::Args),
    /// Ask a server over many connections; print requests per second, latencies and errors
    Load(load::Args),
    /// Build the two container images (needs a Docker engine)
    Image(image::Args),
    /// Build the web page (needs Node)
    Ui,
    /// Try the web page in a browser (needs Node and Chromium)
    UiTest(ui::TestArgs),
    /// Fuzz the reader for a bounded time (needs a nightly toolchain and cargo-fuzz)
    Fuzz(fuzz::Args),
    /// Write a generated session for tests and demos
    Generate(demo::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line with every cause: whoever typed the command has no use for our stack.
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Dev(args) => dev::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Lint => lint::run(),
        Command::Bench(args) => bench::run(&args),
        Command::Conform(args) => conform::run(&args),
        Command::ClusterTest(args) => cluster_test::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Image(args) => image::run(&args),
        Command::Ui => ui::build(),
        Command::UiTest(args) => ui::test(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Generate(args) => demo::run(&args),
    }
}

/// The root of the workspace.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

/// Where cargo puts what it builds.
#[allow(clippy::disallowed_methods, reason = "cargo's own variable, not configuration of the service")]
fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
