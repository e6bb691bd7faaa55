//! The two services as programs: quickly built, or released as they ship.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// The programs that a cluster is made of.
pub const NAMES: [&str; 2] = ["xprof-worker", "xprof-aggregator"];

/// Builds both programs and returns the directory that holds them.
///
/// Released ones are those of the images: fully static where the platform can, so that what is tested is what ships.
pub fn build(debug: bool) -> Result<PathBuf> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    if debug {
        cmd!(shell, "cargo build -p xprof-worker -p xprof-aggregator").run()?;
        return Ok(crate::target_dir().join("debug"));
    }
    let platform = platform()?;
    if platform.ends_with("-linux-gnu") {
        // A target that is named keeps the flag away from build scripts and procedural macros, which cannot be static.
        shell.set_var("RUSTFLAGS", "-C target-feature=+crt-static");
    }
    cmd!(shell, "cargo build --release --target {platform} -p xprof-worker -p xprof-aggregator").run()?;
    Ok(crate::target_dir().join(platform).join("release"))
}

/// What this compiler builds for, such as `x86_64-unknown-linux-gnu`.
pub fn platform() -> Result<String> {
    let shell = Shell::new()?;
    let text = cmd!(shell, "rustc -vV").quiet().read()?;
    let line = text.lines().find_map(|l| l.strip_prefix("host: "));
    Ok(line.context("rustc -vV names no host")?.to_owned())
}
