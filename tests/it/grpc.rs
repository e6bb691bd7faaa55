//! Any gRPC client can call a worker: the Python client of the manual does.

use std::path::Path;
use std::process::Command;

use xprof_core::fixture::TpuSession;
use xprof_core::tools::registry;
use xprof_skip::{Need, skip};
use xprof_tests::{Cluster, LogDir, free_port};

#[test]
fn the_manuals_python_client_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let python = root.join("target/venv/bin/python");
    let has_grpc = Command::new(&python).args(["-c", "import grpc_tools"]).output().is_ok_and(|o| o.status.success());
    if !has_grpc {
        return skip(Need::Python, &format!("{} with the package grpcio-tools is not there", python.display()));
    }
    let manual = std::fs::read_to_string(root.join("docs/grpc.md")).unwrap();
    let (_, client) = manual.split_once("```python\n").unwrap();
    let (client, _) = client.split_once("```").unwrap();
    assert!(client.lines().filter(|line| !line.is_empty()).count() <= 10, "ten lines are enough: {client}");

    let logdir = LogDir::new();
    logdir.generate("run", &TpuSession::default());
    let port = free_port();
    let mut worker = Cluster::worker(port);
    worker.wait_for_port(port);
    let output = Command::new(&python)
        .args(["-c", client])
        .arg(format!("127.0.0.1:{port}"))
        .arg(logdir.run("run").join("tpu-host-0.xplane.pb"))
        .arg("overview_page")
        .env("PYTHONPATH", root.join("proto"))
        .current_dir(logdir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let artifact = std::fs::read(logdir.path().join("overview_page.pb")).unwrap();
    assert!(text.contains("['queued', 'read', 'prepare', 'map']"), "{text}");
    assert!(text.contains(&format!("artifact_bytes: {}\n", artifact.len())), "{text}");
    registry::find("overview_page").unwrap().decode(artifact.into()).unwrap();
}
