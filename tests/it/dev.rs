//! `cargo xtask dev`: the dev cluster starts, serves and stops as one.

use std::process::Command;

use xprof_tests::{LogDir, Process, free_port, program};

/// The processes whose parent is `id`.
fn children(id: u32) -> Vec<u32> {
    std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|p| p.parse().ok())
        .collect()
}

fn is_running(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

#[test]
fn ctrl_c_stops_every_process() {
    let logdir = LogDir::new();
    let port = free_port();
    let mut command = Command::new(program("xtask"));
    command.args(["dev", "cluster", "--debug", "--workers", "2"]);
    command.arg(format!("--port={port}")).arg(format!("--logdir={}", logdir.path().display()));
    let mut dev = Process::start(command);
    dev.wait_for_port(port);
    let started = children(dev.id());
    assert_eq!(started.len(), 3, "{}", dev.log());
    dev.signal("INT");
    assert!(dev.wait().success(), "{}", dev.log());
    for child in started {
        assert!(!is_running(child), "process {child} outlives the dev cluster");
    }
    let log = dev.log();
    assert!(log.contains("worker-1 |") && log.contains("aggregator |"), "logs are prefixed by process: {log}");
}

#[test]
fn says_in_one_line_what_is_wrong() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (arguments, says) in [
        (vec!["dev", "--port", &port], format!("port {port} is not free")),
        (vec!["dev", "--logdir", "/no/such"], "/no/such does not exist".to_owned()),
    ] {
        let output = Command::new(program("xtask")).args(&arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(&says) && text.trim().lines().count() == 1, "{text}");
    }
}

#[test]
fn a_child_that_ends_ends_the_cluster_with_its_name() {
    for (signal, says) in [("KILL", "worker-0 ended with signal: 9"), ("TERM", "worker-0 ended with exit status: 0")] {
        let logdir = LogDir::new();
        let port = free_port();
        let mut command = Command::new(program("xtask"));
        command.args(["dev", "--debug", "--workers", "1"]);
        command.arg(format!("--port={port}")).arg(format!("--logdir={}", logdir.path().display()));
        let mut dev = Process::start(command);
        dev.wait_for_port(port);
        let worker = children(dev.id())[0].to_string();
        assert!(Command::new("kill").args(["-s", signal, &worker]).status().unwrap().success());
        assert!(!dev.wait().success(), "{signal}");
        let lines = dev.log().lines().filter(|line| line.contains(says)).count();
        assert_eq!(lines, 1, "{signal}: {}", dev.log());
    }
}
