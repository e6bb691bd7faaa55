//! Everything that is checked without running the product.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde_json::Value;
use xshell::{Shell, cmd};

/// Licences that a dependency may have; an expression needs one of its alternatives here.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

pub fn run() -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    cmd!(shell, "cargo fmt --all --check").run()?;
    cmd!(shell, "cargo clippy --workspace --all-targets --all-features -- -D warnings").run()?;
    fuzz_targets(&shell)?;
    let metadata = cmd!(shell, "cargo metadata --format-version 1 --all-features").quiet().read()?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let mut complaints = licences(&metadata);
    complaints.extend(unused_dependencies(&metadata)?);
    complaints.extend(crate::tidy::check()?);
    if complaints.is_empty() {
        println!("lint: nothing to complain about");
        return Ok(());
    }
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    bail!("{} complaints", complaints.len())
}

/// The fuzz targets are a workspace of their own, which only a nightly compiler builds; any compiler can check them.
/// They take the versions of this workspace's lock file, and the newest of what only they need.
fn fuzz_targets(shell: &Shell) -> Result<()> {
    let manifest = "crates/xprof-core/fuzz/Cargo.toml";
    shell.copy_file("Cargo.lock", "crates/xprof-core/fuzz/Cargo.lock")?;
    if cmd!(shell, "cargo fetch --quiet --manifest-path {manifest}").run().is_err() {
        println!("SKIPPED: the fuzz targets' dependencies cannot be fetched");
        return Ok(());
    }
    // Nothing is linked, so libFuzzer need not be compiled.
    let check = cmd!(shell, "cargo check --quiet --manifest-path {manifest} --target-dir target");
    Ok(check.env("CUSTOM_LIBFUZZER_PATH", "none/libnone.a").run()?)
}

fn licences(metadata: &Value) -> Vec<String> {
    let allowed = |licence: &str| LICENCES.contains(&licence.trim().trim_matches(['(', ')']));
    packages(metadata)
        .filter(|p| !p["source"].is_null())
        .filter_map(|p| {
            let text = p["license"].as_str().unwrap_or("none");
            // `A AND B` needs both, `A OR B` (or the old `A/B`) one of them.
            let fine = text.split(" AND ").all(|all| all.split(" OR ").flat_map(|any| any.split('/')).any(allowed));
            (!fine).then(|| format!("licence: {} {} is under {text}", p["name"], p["version"]))
        })
        .collect()
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

/// A dependency counts as used if its name is a word of some source file of the member.
fn unused_dependencies(metadata: &Value) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for package in packages(metadata).filter(|p| p["source"].is_null()) {
        let manifest = std::path::PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
        let Some(directory) = manifest.parent() else { continue };
        let mut words = BTreeSet::new();
        for file in crate::tidy::files(directory, "rs")? {
            let text = std::fs::read_to_string(&file)?;
            words.extend(text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned));
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["rename"].as_str().or(dependency["name"].as_str()).unwrap_or_default();
            if !words.contains(&name.replace('-', "_")) && !GENERATED.contains(&name) {
                complaints.push(format!("unused dependency: {} does not use {name}", package["name"]));
            }
        }
    }
    Ok(complaints)
}

/// Used by generated code only.
const GENERATED: &[&str] = &["bytes", "prost", "prost-types", "tonic", "tonic-prost"];
