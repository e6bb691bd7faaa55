//! Generates Rust code and a descriptor set from the definitions in `proto/`.

use std::path::{Path, PathBuf};
use std::{env, error, fs};

use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn error::Error>> {
    let root = Path::new("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());

    let mut files = Vec::new();
    definitions(root, &mut files)?;
    files.sort(); // file systems list folders in any order; the output shall not depend on it
    let mut descriptors = protox::compile(&files, [root])?;

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names().type_name_domain(["."], "type.googleapis.com");
    tonic_prost_build::configure()
        .btree_map(".") // sorted keys: equal messages have equal bytes
        .bytes(".")
        .build_client(true)
        .build_server(true)
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(descriptors.clone(), config)?;

    for file in &mut descriptors.file {
        file.source_code_info = None; // comments are for readers of the definitions
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("descriptors.binpb"), descriptors.encode_to_vec())?;
    Ok(())
}

/// Collects the definitions in a folder and those below it.
fn definitions(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn error::Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            definitions(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
