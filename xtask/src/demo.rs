//! Generated sessions on disk, and the demo log directory of the dev cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xprof_core::fixture::{TpuSession, generate_host};

/// Options of `cargo xtask generate`.
#[derive(clap::Args)]
pub struct Args {
    /// Session directory to write to, such as logs/plugins/profile/run
    out: PathBuf,
    /// Number of hosts, one file each
    #[arg(long, default_value_t = 1)]
    hosts: usize,
    /// Roughly the size of each file in bytes, 10 kB to 1 GB and more
    #[arg(long, default_value_t = 1_000_000)]
    bytes: usize,
    /// Another seed gives other durations
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn run(args: &Args) -> Result<()> {
    let session = TpuSession { seed: args.seed, ..TpuSession::of_size(args.hosts, args.bytes) };
    write_session(&args.out, &session)?;
    println!("{}: {} hosts of about {} bytes", args.out.display(), args.hosts, args.bytes);
    Ok(())
}

/// Writes one file per host of a generated session.
pub fn write_session(directory: &Path, session: &TpuSession) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for host in 0..session.n_hosts {
        let path = directory.join(xprof_core::session::file_of_host(&session.host_name(host)));
        std::fs::write(&path, generate_host(session, host))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The demo log directory: the captured JAX trace and a generated session of four TPU hosts.
pub fn demo_logdir() -> Result<PathBuf> {
    let logdir = crate::target_dir().join("demo");
    let runs = logdir.join("plugins/profile");
    let captured = crate::root().join("tests/traces/jax_cpu_mlp/plugins/profile/jax_cpu_mlp/host0.xplane.pb");
    std::fs::create_dir_all(runs.join("jax_cpu_mlp"))?;
    std::fs::copy(&captured, runs.join("jax_cpu_mlp/host0.xplane.pb"))
        .with_context(|| format!("cannot copy {}", captured.display()))?;
    write_session(&runs.join("tpu_training_4_hosts"), &TpuSession::of_size(4, 600_000))?;
    Ok(logdir)
}
