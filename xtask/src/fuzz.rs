//! Bounded fuzzing of the reader. Needs `rustup toolchain install nightly` and `cargo install cargo-fuzz`.

use anyhow::{Context, Result};
use xprof_core::fixture::{TpuSession, generate_host};
use xshell::{Shell, cmd};

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Args {
    /// Fuzz target
    #[arg(default_value = "xspace", value_parser = ["xspace", "wire", "hlo", "graph", "pipeline", "artifact"])]
    target: String,
    /// How long, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub fn run(args: &Args) -> Result<()> {
    let shell = Shell::new()?;
    let dir = crate::root().join("crates/xprof-core/fuzz");
    shell.change_dir(crate::root().join("crates/xprof-core"));
    let target = &args.target;
    let corpus = dir.join("corpus").join(target);
    std::fs::create_dir_all(&corpus)?;
    let seed = TpuSession { n_cores: 1, n_steps: 2, n_ops_per_step: 8, ..TpuSession::default() };
    std::fs::write(corpus.join("generated"), generate_host(&seed, 0))?;
    let captured = crate::root().join("tests/traces/jax_cpu_mlp/plugins/profile/jax_cpu_mlp/host0.xplane.pb");
    std::fs::copy(captured, corpus.join("captured")).context("cannot copy the captured trace")?;
    let limit = format!("-max_total_time={}", args.seconds);
    cmd!(shell, "cargo +nightly fuzz run {target} -- {limit} -rss_limit_mb=4096").run()?;
    Ok(())
}
