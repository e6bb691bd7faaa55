//! The Docker engine through its command-line program.

pub mod network;

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs `docker` with these arguments and gives what it prints.
pub fn run(arguments: &[&str]) -> Result<String> {
    let output = Command::new("docker").args(arguments).output().context("cannot run docker")?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("docker {} failed: {}", arguments.join(" "), why.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Fails with a clear line where no engine answers.
pub fn require_engine() -> Result<()> {
    run(&["version", "--format", "{{.Server.Version}}"]).map(drop).context("no Docker engine answers")
}
