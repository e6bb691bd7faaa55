//! Real processes: aggregators and workers as users start them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Where cargo put a program of the workspace. `cargo xtask test` builds them before the tests run.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let directory = test.ancestors().nth(2).expect("the test lies in target/PROFILE/deps");
    let path = directory.join(name);
    assert!(path.exists(), "{} is not built: run the tests by `cargo xtask test`", path.display());
    path
}

/// A port that is free now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// A process that is killed when the test ends.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stderr: PathBuf,
}

impl Process {
    /// Starts a program; what it says on stderr is kept for [`Process::log`].
    pub fn start(mut command: Command) -> Self {
        let log = tempfile::NamedTempFile::new().expect("a log file");
        let (file, stderr) = log.keep().expect("the log file is kept");
        let out = file.try_clone().expect("a second handle");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(file).spawn().expect("the program starts");
        Self { child, stderr }
    }

    /// Everything that it said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits until its port answers.
    pub fn wait_for_port(&mut self, port: u16) {
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.child.try_wait().expect("a status");
            assert!(ended.is_none(), "the process ended: {}", self.log());
            assert!(started.elapsed() < Duration::from_secs(60), "no answer on port {port}: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it at once, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().expect("kill runs").success());
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_file(&self.stderr);
    }
}

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Body, decompressed.
    pub body: Vec<u8>,
    /// Header names in lower case, and their values.
    pub headers: Vec<(String, String)>,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header, empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

/// An aggregator with its workers.
#[derive(Debug)]
pub struct Cluster {
    /// The aggregator.
    pub aggregator: Process,
    /// Its workers.
    pub workers: Vec<Process>,
    /// Port of each worker.
    pub worker_ports: Vec<u16>,
    base: String,
    agent: ureq::Agent,
}

impl Cluster {
    /// Starts `n_workers` workers and an aggregator over a log directory; without workers it works in process.
    pub fn start(logdir: &Path, n_workers: usize) -> Self {
        Self::with_flags(logdir, n_workers, &[])
    }

    /// As [`Cluster::start`], with more flags for the aggregator.
    pub fn with_flags(logdir: &Path, n_workers: usize, flags: &[&str]) -> Self {
        let (mut workers, mut worker_ports) = (Vec::new(), Vec::new());
        for _ in 0..n_workers {
            let port = free_port();
            let mut worker = Self::worker(port);
            worker.wait_for_port(port);
            workers.push(worker);
            worker_ports.push(port);
        }
        let port = free_port();
        let mut command = Command::new(program("xprof-aggregator"));
        command.arg(format!("--logdir={}", logdir.display())).arg(format!("--port={port}")).args(flags);
        if n_workers > 0 {
            let list: Vec<_> = worker_ports.iter().map(|p| format!("127.0.0.1:{p}")).collect();
            command.arg(format!("--worker_service_address={}", list.join(",")));
        }
        let mut aggregator = Process::start(command);
        aggregator.wait_for_port(port);
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        Self { aggregator, workers, worker_ports, base: format!("http://127.0.0.1:{port}"), agent }
    }

    /// Starts one worker on a port.
    pub fn worker(port: u16) -> Process {
        let mut command = Command::new(program("xprof-worker"));
        command.arg(format!("--grpc_port={port}"));
        Process::start(command)
    }

    /// Asks for a path.
    pub fn get(&self, path: &str) -> Reply {
        let mut reply = self.agent.get(format!("{}{path}", self.base)).call().expect("an answer");
        let mut body = Vec::new();
        reply.body_mut().as_reader().read_to_end(&mut body).expect("the whole answer");
        let headers = reply
            .headers()
            .iter()
            .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
            .collect();
        Reply { status: reply.status().as_u16(), body, headers }
    }

    /// Runs a program to its end.
    pub fn run(program_name: &str, arguments: &[&str]) -> Output {
        Command::new(program(program_name)).args(arguments).output().expect("the program runs")
    }
}
