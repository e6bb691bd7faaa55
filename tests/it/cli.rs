//! Flags, help and exit codes of both programs, as users type them.

use std::process::Command;

use xprof_tests::{Cluster, LogDir, Process, free_port, program};

fn check_refused(name: &str, arguments: &[&str], says: &[&str]) {
    let output = Cluster::run(name, arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{name} {arguments:?}: {text}");
    for word in says {
        assert!(text.contains(word), "{name} {arguments:?} does not say {word:?}: {text}");
    }
}

#[test]
fn help_teaches() {
    for name in ["xprof-aggregator", "xprof-worker"] {
        let output = Cluster::run(name, &["--help"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        for word in ["--grpc_port", "XPROF_GRPC_PORT", "--max_concurrent_worker_requests", "default"] {
            assert!(text.contains(word), "{name} --help does not mention {word}:\n{text}");
        }
    }
}

#[test]
fn wrong_values_are_refused_before_any_port_opens() {
    check_refused("xprof-aggregator", &["--port=70000"], &["port", "70000"]);
    check_refused("xprof-aggregator", &["--logdir=/no/such/directory"], &["/no/such/directory", "does not exist"]);
    check_refused("xprof-aggregator", &["--port=5000", "--grpc_port=5000"], &["must be different"]);
    check_refused("xprof-aggregator", &["--no_such_flag=1"], &["no_such_flag"]);
    check_refused("xprof-worker", &["--grpc_port=abc"], &["grpc_port", "abc"]);
    check_refused("xprof-worker", &["--max_concurrent_worker_requests=0"], &["max_concurrent_worker_requests"]);
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (name, flag) in [("xprof-aggregator", "--port"), ("xprof-worker", "--grpc_port")] {
        let output = Cluster::run(name, &[&format!("{flag}={port}")]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(69), "{name}: {text}");
        assert!(text.contains(&port) && text.contains("in use"), "{name}: {text}");
    }
}

/// Argument vectors of the deployment guide and of the older releases.
#[test]
fn the_deployment_guides_arguments_work() {
    let (http, grpc) = (free_port(), free_port());
    let logdir = LogDir::new();
    let logs = logdir.path().display().to_string();
    for arguments in [
        vec![format!("--port={http}"), format!("-gp={grpc}"), "--hide_capture_profile_button".into()],
        vec!["server".into(), logs.clone(), http.to_string()],
        vec!["-l".into(), logs.clone(), format!("-p={http}"), "-hcpb".into(), "-spp=/src".into()],
        vec![
            format!("--logdir={logs}"),
            format!("--port={http}"),
            "--src-prefix".into(),
            "/src".into(),
            "--nohide_capture_profile_button".into(),
        ],
    ] {
        let mut command = Command::new(program("xprof-aggregator"));
        command.args(&arguments);
        let mut process = Process::start(command);
        process.wait_for_port(http);
        process.signal("TERM");
        assert!(process.wait().success(), "{arguments:?}: {}", process.log());
    }
    let mut command = Command::new(program("xprof-worker"));
    command.args([format!("--port={http}"), format!("-gp={grpc}"), "--hide_capture_profile_button".into()]);
    let mut worker = Process::start(command);
    worker.wait_for_port(grpc);
    worker.signal("INT");
    assert!(worker.wait().success(), "{}", worker.log());
}
