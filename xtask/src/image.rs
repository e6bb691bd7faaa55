//! The two container images, `FROM scratch` over fully static programs.

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

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

const TARGET: &str = "x86_64-unknown-linux-gnu";

pub fn run(args: &Args) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(crate::root());
    // A target of its own keeps the flag away from build scripts and procedural macros, which cannot be static.
    shell.set_var("RUSTFLAGS", "-C target-feature=+crt-static");
    cmd!(shell, "cargo build --release --target {TARGET} -p xprof-worker -p xprof-aggregator").run()?;
    for name in ["xprof-worker", "xprof-aggregator"] {
        let context = crate::target_dir().join("image").join(name);
        std::fs::create_dir_all(&context)?;
        std::fs::copy(crate::target_dir().join(TARGET).join("release").join(name), context.join(name))?;
        let dockerfile = crate::root().join(format!("docker/{}.scratch.Dockerfile", name.trim_start_matches("xprof-")));
        std::fs::copy(dockerfile, context.join("Dockerfile"))?;
        let bytes = std::fs::metadata(context.join(name))?.len();
        println!("{name}: {:.1} MB", bytes as f64 / 1e6);
        if args.no_docker {
            continue;
        }
        if cmd!(shell, "docker version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
            bail!("no Docker engine answers; `--no-docker` makes the build contexts alone");
        }
        let tag = format!("{name}:{}", args.tag);
        cmd!(shell, "docker build --tag {tag} {context}").run()?;
    }
    Ok(())
}
