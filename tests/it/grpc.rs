//! Any gRPC client can call a worker: the Python client of the manual does.

use std::path::Path;
use std::process::Command;

use xprof_core::fixture::TpuSession;
use xprof_tests::{Cluster, LogDir, free_port};

#[test]
fn the_manuals_python_client_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join("target/venv/bin/python");
    let has_grpc = Command::new(&python).args(["-c", "import grpc"]).output().is_ok_and(|o| o.status.success());
    if !has_grpc {
        eprintln!("SKIPPED: {} with the package grpcio is not there", python.display());
        return;
    }
    let logdir = LogDir::new();
    logdir.generate("run", &TpuSession::default());
    let port = free_port();
    let mut worker = Cluster::worker(port);
    worker.wait_for_port(port);
    let trace = logdir.run("run").join("tpu-host-0.xplane.pb");
    let output = Command::new(&python)
        .arg(root.join("docs/grpc_client.py"))
        .arg(format!("127.0.0.1:{port}"))
        .arg(&trace)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("tpu-host-0.op_stats_v2.pb"), "{text}");
    assert!(logdir.run("run").join("tpu-host-0.op_stats_v2.pb").exists());
}
