//! Bounded fuzzing of the reader. Needs `rustup toolchain install nightly` and `cargo install cargo-fuzz`.

use anyhow::{Context, Result};
use xprof_core::Diag;
use xprof_core::fixture::{TpuSession, generate_host};
use xprof_core::tools::hlo_module;
use xprof_core::xspace::{TraceBytes, XSpace};
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
    let generated = generate_host(&seed, 0);
    let captured = crate::root().join("tests/traces/jax_cpu_mlp/plugins/profile/jax_cpu_mlp/host0.xplane.pb");
    let captured = std::fs::read(captured).context("cannot read the captured trace")?;
    for (name, trace) in [("generated", generated), ("captured", captured)] {
        match target.as_str() {
            // These take one program, behind a byte that chooses what is asked of it.
            "hlo" | "graph" => {
                let space = XSpace::read(TraceBytes::new(trace.into()), name, &mut Diag::new())?;
                for (n, module) in hlo_module::modules(&space).enumerate() {
                    if target == "hlo" {
                        std::fs::write(corpus.join(format!("{name}-{n}")), &module.proto)?;
                        continue;
                    }
                    // A computation, an instruction near its begin, one far behind.
                    for choice in [0x00, 0x33, 0x8f] {
                        let seed = [&[choice][..], &module.proto].concat();
                        std::fs::write(corpus.join(format!("{name}-{n}-{choice:02x}")), seed)?;
                    }
                }
            }
            // The whole trace, its windows, its searches, one event.
            "pipeline" => {
                for choice in [[0, 0, 0, 0], [0x4b, 70, 200, 20], [0x96, 1, 1, 3], [0xe8, 1, 1, 3]] {
                    let seed = [&choice[..], &trace].concat();
                    std::fs::write(corpus.join(format!("{name}-{:02x}", choice[0])), seed)?;
                }
            }
            _ => std::fs::write(corpus.join(name), trace)?,
        }
    }
    let limit = format!("-max_total_time={}", args.seconds);
    cmd!(shell, "cargo +nightly fuzz run {target} -- {limit} -rss_limit_mb=4096").run()?;
    Ok(())
}
