//! The house rules that no compiler checks: layers, file heads, sizes, words.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// Stages of the core in data-flow order; nothing imports a later one.
const STAGES: &[&str] = &["wire", "xspace", "hlo", "hw", "prep", "opstats", "tools", "pipeline"];
/// A source file longer than this is more than one room.
const MAX_LINES: usize = 500;
/// The only file that may contain unsafe code.
const UNSAFE_FILE: &str = "crates/xprof-service/src/storage/mmap.rs";

pub fn check() -> Result<Vec<String>> {
    let root = crate::root();
    let mut complaints = Vec::new();
    for file in files(&root, "rs")? {
        let text = std::fs::read_to_string(&file)?;
        let name = file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().into_owned();
        complaints.extend(source_file(&name, &text));
        complaints.extend(layers(&name, &text));
    }
    let core = std::fs::read_to_string(root.join("crates/xprof-core/Cargo.toml"))?;
    for banned in ["tokio", "tonic", "hyper", "figment"] {
        if core.lines().any(|l| l.starts_with(banned)) {
            complaints
                .push(format!("crates/xprof-core must stay synchronous and without sockets: it depends on {banned}"));
        }
    }
    complaints.extend(registry(&root)?);
    Ok(complaints)
}

fn source_file(name: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if !text.starts_with("//!") && !text.starts_with("#!") {
        complaints.push(format!("{name}: the file does not say what it is (`//!` on top)"));
    }
    let n_lines = text.lines().take_while(|l| *l != "#[cfg(test)]").count();
    if n_lines > MAX_LINES && !name.contains("/fixture/") {
        complaints.push(format!("{name}: {n_lines} lines before its tests, more than {MAX_LINES}"));
    }
    let code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
    if name != UNSAFE_FILE
        && name != "xtask/src/tidy.rs"
        && code.clone().any(|l| l.contains("unsafe ") && !l.contains('"'))
    {
        complaints.push(format!("{name}: unsafe code belongs into {UNSAFE_FILE} alone"));
    }
    complaints
}

/// No stage of the core imports a later one.
fn layers(name: &str, text: &str) -> Vec<String> {
    let Some(path) = name.strip_prefix("crates/xprof-core/src/") else {
        return Vec::new();
    };
    let stage = path.split(['/', '.']).next().unwrap_or_default();
    let Some(own) = STAGES.iter().position(|s| *s == stage) else {
        return Vec::new();
    };
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    STAGES[own + 1..]
        .iter()
        .filter(|later| product.contains(&format!("crate::{later}::")))
        .map(|later| format!("{name}: {stage} must not import the later stage {later}"))
        .collect()
}

/// The registry lists the tools in alphabetical order.
fn registry(root: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join("crates/xprof-core/src/tools/registry.rs"))?;
    let names: Vec<&str> = text.lines().filter_map(|l| l.trim().strip_prefix("Entry::of::<")).collect();
    let mut complaints = Vec::new();
    if !names.is_sorted() {
        complaints.push("crates/xprof-core/src/tools/registry.rs: the tools are not in alphabetical order".to_owned());
    }
    if names.is_empty() {
        complaints.push("crates/xprof-core/src/tools/registry.rs: no tool found".to_owned());
    }
    Ok(complaints)
}

/// Files below `directory` with that ending, without build output.
pub fn files(directory: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
