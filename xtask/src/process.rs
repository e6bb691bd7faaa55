//! Child processes with prefixed output that die with us.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// A child process; dropping it asks it to stop, waits a little, then kills it.
pub struct Service {
    /// What its log lines begin with.
    pub name: String,
    child: Child,
}

impl Service {
    /// Starts `command` and copies its output to ours, line by line, behind its name; quiet ones are not copied.
    pub fn start(name: &str, mut command: Command, quiet: bool) -> Result<Self> {
        let (out, err) = if quiet { (Stdio::null(), Stdio::null()) } else { (Stdio::piped(), Stdio::piped()) };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", command.get_program().to_string_lossy()))?;
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|p| Box::new(p) as Box<dyn Read + Send>),
            child.stderr.take().map(|p| Box::new(p) as Box<dyn Read + Send>),
        ];
        for pipe in pipes.into_iter().flatten() {
            let name = name.to_owned();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(std::io::Result::ok) {
                    println!("{name:>12} | {line}");
                }
            });
        }
        Ok(Self { name: name.to_owned(), child })
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends it a signal by its name.
    pub fn signal(&self, name: &str) -> Result<()> {
        // By the system's program, so that this crate needs no unsafe code.
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "{} cannot be sent {name}", self.name);
        Ok(())
    }

    /// Waits until the port answers, or the process has ended, or a minute has passed.
    pub fn wait_for_port(&mut self, port: u16) -> Result<()> {
        self.wait_for_port_unless(port, &AtomicBool::new(false))
    }

    /// As [`Service::wait_for_port`], but no longer than until somebody wants to stop.
    pub fn wait_for_port_unless(&mut self, port: u16, stop: &AtomicBool) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if let Some(status) = self.ended()? {
                bail!("{} ended at start with {status}", self.name);
            }
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} does not answer on port {port} after a minute", self.name)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = self.signal("TERM");
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(5) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free now.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Fails with one clear line if something listens on the port already.
pub fn require_free(port: u16) -> Result<()> {
    match std::net::TcpListener::bind(("0.0.0.0", port)) {
        Ok(_) => Ok(()),
        Err(error) => bail!("port {port} is not free: {error}; choose another with --port"),
    }
}
