//! The two container images, `FROM scratch` over fully static programs.
//!
//! Each holds its program, the machine's CA certificates and the bill of materials, and is refused if it is too large.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::{docker, programs, sbom};

/// Options of `cargo xtask image`.
#[derive(clap::Args)]
pub struct Args {
    /// Only build the static programs and the build contexts under target/image
    #[arg(long)]
    no_docker: bool,
    /// Tag of the images
    #[arg(long, default_value = "latest")]
    tag: String,
}

/// Images are pulled by every node of a cluster before it can work.
const MAX_BYTES: u64 = 30_000_000;

/// Where Debian, Alpine, Fedora and Arch keep the certificates of the authorities that they trust.
const CERTIFICATES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

pub fn run(args: &Args) -> Result<()> {
    if !args.no_docker {
        docker::require_engine().context("`--no-docker` makes the build contexts alone")?;
    }
    build(&args.tag, !args.no_docker)
}

/// Builds the programs and their contexts, and the images if there is an engine.
pub fn build(tag: &str, with_images: bool) -> Result<()> {
    crate::ui::build_if_possible()?;
    let directory = programs::build(false)?;
    for name in programs::NAMES {
        let context = context(name, &directory)?;
        if with_images {
            image(name, tag, &context)?;
        }
    }
    Ok(())
}

/// Everything that the image is made of, in a directory of its own.
fn context(name: &str, programs: &Path) -> Result<PathBuf> {
    let context = crate::target_dir().join("image").join(name);
    std::fs::create_dir_all(&context)?;
    let certificates = CERTIFICATES.iter().find(|path| Path::new(path).exists()).with_context(|| {
        format!("there are no CA certificates at {}: install the package ca-certificates", CERTIFICATES.join(" or "))
    })?;
    std::fs::copy(programs.join(name), context.join(name))?;
    std::fs::copy(certificates, context.join("ca-certificates.crt"))?;
    std::fs::write(context.join("sbom.cdx.json"), serde_json::to_vec_pretty(&sbom::of(name)?)?)?;
    let mut bytes = 0;
    for file in [name, "ca-certificates.crt", "sbom.cdx.json"] {
        bytes += std::fs::metadata(context.join(file))?.len();
    }
    println!("{name}: {:.1} MB in {}", bytes as f64 / 1e6, context.display());
    ensure!(bytes < MAX_BYTES, "the image {name} would have {bytes} bytes, more than {MAX_BYTES}");
    let dockerfile = format!("docker/{}.scratch.Dockerfile", name.trim_start_matches("xprof-"));
    std::fs::copy(crate::root().join(dockerfile), context.join("Dockerfile"))?;
    Ok(context)
}

fn image(name: &str, tag: &str, context: &Path) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    let mut labels = vec![
        format!("org.opencontainers.image.title={name}"),
        format!("org.opencontainers.image.version={}", env!("CARGO_PKG_VERSION")),
        "org.opencontainers.image.licenses=Apache-2.0".to_owned(),
        "org.opencontainers.image.description=Distributed analysis of XProf profiles".to_owned(),
    ];
    // An unpacked archive has no history to name.
    if let Ok(revision) = cmd!(shell, "git rev-parse HEAD").quiet().ignore_stderr().read() {
        labels.push(format!("org.opencontainers.image.revision={revision}"));
    }
    let tag = format!("{name}:{tag}");
    let context = context.display().to_string();
    let mut arguments = vec!["build", "--quiet", "--tag", &tag];
    arguments.extend(labels.iter().flat_map(|label| ["--label", label.as_str()]));
    arguments.push(&context);
    docker::run(&arguments)?;
    // A program that is not static does not even start there.
    let version = docker::run(&["run", "--rm", "--read-only", "--network=none", "--cap-drop=ALL", &tag, "--version"])?;
    println!("{tag} is built and says: {version}");
    Ok(())
}
