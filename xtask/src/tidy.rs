//! The house rules that no compiler checks: layers, file heads, sizes, words.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Stages of the core, each behind those that it may build on; nothing imports a later one. The order is that of the data, but
/// `answer`, `artifact` and `reduction` say in which terms op statistics and tools map, reduce and render.
const STAGES: &[&str] =
    &["wire", "diag", "xspace", "hlo", "hw", "prep", "answer", "artifact", "reduction", "opstats", "tools", "pipeline"];
/// A source file longer than this is more than one room, and a file of tests longer than that.
const MAX_LINES: usize = 400;
const MAX_TEST_LINES: usize = 500;
/// A function longer than this does not fit a screen.
const MAX_FUNCTION_LINES: usize = 60;
/// Above a function that may be longer: one table, which no split would make easier to read, or the loop over all events, which a
/// split makes slower.
const MAY_BE_LONG: [&str; 2] = ["// tidy: a table", "// tidy: a hot loop"];
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
    let n_lines = product(text).lines().count();
    let most = if is_test(name) { MAX_TEST_LINES } else { MAX_LINES };
    if n_lines > most {
        complaints.push(format!("{name}: {n_lines} lines before its tests, more than {most}"));
    }
    for (function, n_lines) in long_functions(text) {
        complaints.push(format!("{name}: fn {function} has {n_lines} lines, more than {MAX_FUNCTION_LINES}"));
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

fn is_test(name: &str) -> bool {
    name.starts_with("tests/") || name.contains("/tests/") || name.ends_with("tests.rs")
}

/// Functions of formatted code that are too long without saying why, with their lines: a body ends at the first closing brace that
/// stands as far to the left as the function begins.
fn long_functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (begin, line) in lines.iter().enumerate() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let Some(name) = function_name(line.trim_start()) else { continue };
        let head = lines[..begin].iter().rev().map(|l| l.trim_start()).take_while(|l| l.starts_with(['/', '#']));
        let n_lines = 1 + lines[begin..]
            .iter()
            .take_while(|l| !l.strip_prefix(indent).is_some_and(|l| l.starts_with('}')))
            .count();
        let is_one_line = line.ends_with(['}', ';']);
        if n_lines > MAX_FUNCTION_LINES && !is_one_line && !head.into_iter().any(|l| MAY_BE_LONG.contains(&l)) {
            long.push((name, n_lines));
        }
    }
    long
}

/// The name of the function that begins in this line.
fn function_name(line: &str) -> Option<&str> {
    let (before, behind) = line.split_once("fn ")?;
    let is_head = before.split_whitespace().all(|word| {
        word.starts_with("pub") || word.ends_with(')') || ["const", "async", "unsafe", "extern"].contains(&word)
    });
    is_head.then(|| words(behind).next()).flatten()
}

/// No stage of the core imports a later one.
fn layers(name: &str, text: &str) -> Vec<String> {
    let Some(path) = name.strip_prefix("crates/xprof-core/src/") else {
        return Vec::new();
    };
    let module: Vec<&str> = path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').collect();
    let stage = module[0];
    let Some(own) = STAGES.iter().position(|s| *s == stage).filter(|_| !is_test(name)) else {
        return Vec::new();
    };
    let code: Vec<&str> = product(text).lines().filter(|l| !l.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let named = named_at_root(&code, module.len());
    STAGES[own + 1..]
        .iter()
        .filter(|later| named.contains(*later))
        .map(|later| format!("{name}: {stage} must not import the later stage {later}"))
        .collect()
}

/// A file without its tests, which come last. (A line `#[cfg(test)]` before `mod tests;` ends nothing.)
fn product(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests {").map_or(text, |end| &text[..end])
}

/// What a module, `depth` below the root, names as `crate::NAME`, in a group `crate::{NAME, …}`, or by as many `super::`.
fn named_at_root(code: &str, depth: usize) -> BTreeSet<&str> {
    let to_root = "super::".repeat(depth);
    let mut named = BTreeSet::new();
    for root in ["crate::", &to_root] {
        for (at, _) in code.match_indices(root) {
            let is_whole = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                _ if !is_whole => {}
                Some(group) => named.extend(first_names(group)),
                None => named.extend(words(rest).next()),
            }
        }
    }
    named
}

/// The names that begin the parts of a group: `a, b::{c, d}, e}` gives `a`, `b` and `e`.
fn first_names(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut names) = (0usize, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.extend(words(&group[from..at]).next());
                from = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_stages_are_found_however_they_are_imported() {
        let later = ["prep must not import the later stage opstats", "prep must not import the later stage tools"];
        for (code, n) in [
            ("use crate::xspace::Plane;\nuse crate::{Diag, hlo};", 0),
            ("use crate::opstats::HostStats;\nfn f() { crate::tools::g() }", 2),
            ("use crate::{\n    Diag,\n    hw::{Device, tools},\n    opstats::{self, step_db},\n    tools,\n};", 2),
            ("use super::super::{opstats, tools::Params};", 2),
            ("use super::opstats;\nuse super::super::super::tools;", 0),
            ("// crate::tools::registry has a list\nuse my_crate::tools;", 0),
            ("#[cfg(test)]\nmod tests {\n    use crate::tools;\n}", 0),
            ("#[cfg(test)]\nmod tests;\nuse crate::{opstats, tools};", 2),
        ] {
            let complaints = layers("crates/xprof-core/src/prep/steps.rs", code);
            let expect: Vec<String> =
                later.iter().take(n).map(|l| format!("crates/xprof-core/src/prep/steps.rs: {l}")).collect();
            assert_eq!(complaints, expect, "{code}");
        }
        assert_eq!(layers("crates/xprof-core/src/xspace/mod.rs", "use super::prep;").len(), 1);
        assert_eq!(layers("crates/xprof-core/src/xspace/tests.rs", "use crate::prep;").len(), 0);
    }

    #[test]
    fn long_functions_are_found_unless_they_are_tables() {
        let function =
            |head: &str, n_lines: usize| format!("{head} {{\n{}    }}\n", "        x();\n".repeat(n_lines - 2));
        let most = MAX_FUNCTION_LINES;
        for (text, expect) in [
            (function("    pub(super) fn fits(&self)", most), vec![]),
            (function("    pub(super) fn long(&self)", most + 1), vec![("long", most + 1)]),
            (function("    async fn long(\n        x: u8,\n    )", most - 1), vec![("long", most + 1)]),
            (function("    fn $made()", most).replace("    }\n", "    })*\n") + &"\n".repeat(most), vec![]),
            (function("    // tidy: a table\n    #[inline]\n    fn table()", most + 1), vec![]),
            (format!("    fn short() {{}}\n    fn declared();\n{}", function("    impl X", most)), vec![]),
        ] {
            assert_eq!(long_functions(&text), expect, "{text}");
        }
    }
}
