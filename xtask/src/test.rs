//! All tests, in the order in which a failure is cheapest to find.

use anyhow::Result;
use xshell::{Shell, cmd};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Only tests whose name contains this
    filter: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    // First, because programs take it in, and a test of `dev` should not wait for it.
    crate::ui::build_if_possible()?;
    // The tests that start real processes find them beside the test binaries. The services are built as `dev` builds them,
    // with no other package beside them that adds features, so that its tests need not wait for a compiler.
    cmd!(shell, "cargo build -p xprof-worker -p xprof-aggregator").run()?;
    cmd!(shell, "cargo build -p xtask").run()?;
    let filter = args.filter.iter();
    xprof_skip::clear()?;
    let outcome = cmd!(shell, "cargo test --workspace --all-features {filter...}").run();
    tell_what_was_skipped()?;
    Ok(outcome?)
}

/// Cargo shows nothing of tests that pass, and a skipped one passes.
fn tell_what_was_skipped() -> Result<()> {
    let reasons = xprof_skip::reasons()?;
    if !reasons.is_empty() {
        println!("\n{} tests were skipped, or a part of them:", reasons.len());
        reasons.iter().for_each(|reason| println!("    {reason}"));
    }
    Ok(())
}
