//! The web page: built with Node, and tried in a browser.
//!
//! `cargo build` takes in what [`build`] leaves in `ui/dist`. Neither is needed for a program that serves answers alone.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

/// Where the browser is, unless `CHROMIUM` says otherwise.
const CHROMIUM: &str = "/usr/bin/chromium";

/// Options of `cargo xtask ui-test`.
#[derive(clap::Args)]
pub struct TestArgs {
    /// Only the files of `ui/e2e` whose name contains this
    filter: Option<String>,
    /// Take the pictures of `docs/images` anew
    #[arg(long)]
    images: bool,
}

/// Builds the page; the next `cargo build` takes it in.
pub fn build() -> Result<()> {
    if !has_node() {
        bail!("the web page is built with Node 20.19 or later, and `npm` is not there");
    }
    let shell = shell()?;
    install(&shell)?;
    cmd!(shell, "npm run --silent build").run()?;
    Ok(())
}

/// Builds the page where Node is, unless it is there as its sources want it, and says so where Node is not.
pub fn build_if_possible() -> Result<()> {
    if has_node() {
        return if is_built()? { Ok(()) } else { build() };
    }
    eprintln!(
        "SKIPPED: the web page is not built, because Node is not there; the program serves answers and a list of runs"
    );
    Ok(())
}

/// Checks the page's sources, then what people do with it in a browser that reaches nothing but this machine.
pub fn test(args: &TestArgs) -> Result<()> {
    let chromium = chromium();
    if !has_node() || !chromium.is_file() {
        eprintln!(
            "SKIPPED: the web page is tried with Node and Chromium ({}), and one of them is not there",
            chromium.display()
        );
        return Ok(());
    }
    build_if_possible()?;
    let shell = shell()?;
    install(&shell)?;
    cmd!(shell, "npm run --silent check").run()?;
    cmd!(shell, "npm run --silent test").run()?;
    let programs = crate::programs::build(true)?;
    let demo = crate::demo::demo_logdir()?;
    let mut files: Vec<PathBuf> = Vec::new();
    for file in shell.read_dir("e2e")? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_wanted = args.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
        if name.ends_with(".test.js") && is_wanted && (args.images || name != "images.test.js") {
            files.push(file);
        }
    }
    let aggregator = programs.join("xprof-aggregator");
    // One file after the other: each has a server and a browser of its own.
    cmd!(shell, "node --test --test-concurrency=1 --test-reporter=spec {files...}")
        .env("CHROMIUM", &chromium)
        .env("XPROF_AGGREGATOR", &aggregator)
        .env("XPROF_DEMO", &demo)
        .run()?;
    Ok(())
}

/// Whether the page was built after its sources were last written.
fn is_built() -> Result<bool> {
    let ui = crate::root().join("crates/xprof-aggregator/ui");
    let Ok(built) = std::fs::metadata(ui.join("dist/web/index.html")).and_then(|m| m.modified()) else {
        return Ok(false);
    };
    let sources = ["src", "scripts", "index.html", "package.json", "package-lock.json", "vite.config.ts"];
    let mut open: Vec<PathBuf> = sources.iter().map(|name| ui.join(name)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path)?.collect::<std::io::Result<Vec<_>>>()?;
            open.extend(entries.iter().map(std::fs::DirEntry::path));
        } else if std::fs::metadata(&path)?.modified()? > built {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The packages of the lock file, if they are not those that are there.
fn install(shell: &Shell) -> Result<()> {
    let there = shell.read_file("node_modules/.installed").unwrap_or_default();
    let wanted = shell.read_file("package-lock.json")?;
    if there != wanted {
        cmd!(shell, "npm ci --no-audit --no-fund").run()?;
        shell.write_file("node_modules/.installed", wanted)?;
    }
    Ok(())
}

fn has_node() -> bool {
    let npm = Command::new("npm").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    npm.is_ok_and(|status| status.success())
}

#[allow(clippy::disallowed_methods, reason = "where a tool is, not configuration of the service")]
fn chromium() -> PathBuf {
    std::env::var_os("CHROMIUM").map_or_else(|| PathBuf::from(CHROMIUM), PathBuf::from)
}

fn shell() -> Result<Shell> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root().join("crates/xprof-aggregator/ui"));
    Ok(shell)
}
