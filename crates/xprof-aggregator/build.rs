//! Makes the table of the web page's files, which become part of the program.
//!
//! Takes `ui/dist/web`, where `cargo xtask ui` puts them with their compressed forms beside them, and gives `ui_files.rs`.
//! Without them the table is empty, and the program serves a page that says how to build them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    // Its `.gitignore` makes sure that it is there: cargo runs a script again and again whose input is missing.
    println!("cargo::rerun-if-changed=ui/dist");
    let web = here.join("ui/dist/web");
    let mut table = String::from("&[\n");
    for path in files(&web)? {
        let name = path.strip_prefix(&web).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let packed = |ending: &str| {
            let path = PathBuf::from(format!("{}.{ending}", path.display()));
            if path.is_file() {
                format!("Some(include_bytes!({:?}))", path.display().to_string())
            } else {
                "None".into()
            }
        };
        let _ = writeln!(
            table,
            "    Asset {{ path: {name:?}, plain: include_bytes!({:?}), gzip: {}, brotli: {} }},",
            path.display().to_string(),
            packed("gz"),
            packed("br"),
        );
    }
    table.push_str("]\n");
    std::fs::write(out.join("ui_files.rs"), table)
}

/// The files of the page; what the bundler writes for itself begins with a dot.
fn files(web: &Path) -> std::io::Result<Vec<PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![web.to_path_buf()]);
    while let Some(directory) = open.pop().filter(|d| d.is_dir()) {
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_packed = path.extension().is_some_and(|e| e == "gz" || e == "br");
            if path.is_dir() && !name.starts_with('.') {
                open.push(path);
            } else if path.is_file() && !is_packed {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
