//! Interoperation with XProf 2.24.2, where it is installed: its aggregator with our workers, ours with its workers.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use xprof_tests::{Cluster, LogDir, Process, free_port, shared};

/// XProf's program, or `None` with a loud word.
fn xprof() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/xprof");
    if program.exists() {
        return Some(program);
    }
    eprintln!("SKIPPED: xprof==2.24.2 is not installed in target/venv");
    None
}

fn start_xprof(program: &Path, logdir: &Path, workers: Option<u16>) -> (Process, u16, u16) {
    let (http, grpc) = (free_port(), free_port());
    let mut command = Command::new(program);
    command.arg("server").arg(format!("--logdir={}", logdir.display()));
    command.arg(format!("--port={http}")).arg(format!("--grpc_port={grpc}"));
    if let Some(port) = workers {
        command.arg(format!("--worker_service_address=127.0.0.1:{port}"));
    }
    let mut process = Process::start(command);
    process.wait_for_port(http);
    (process, http, grpc)
}

fn ask(port: u16, tag: &str, run: &str) -> Value {
    let url = format!("http://127.0.0.1:{port}/data/plugin/profile/data?run={run}&tag={tag}&host=ALL_HOSTS");
    let body = ureq::get(&url).call().unwrap().body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// Values equal, doubles to a relative 1e-9; children of a tree in any order where their names differ.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            x == y || (x - y).abs() <= 1e-9 * x.abs().max(y.abs())
        }
        (Value::Array(x), Value::Array(y)) => {
            let name = |v: &Value| v["name"].as_str().unwrap_or("").to_owned();
            let (mut x, mut y): (Vec<_>, Vec<_>) = (x.iter().collect(), y.iter().collect());
            x.sort_by_key(|v| name(v));
            y.sort_by_key(|v| name(v));
            x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(a, b))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

#[test]
fn mixed_fleets_give_the_answers_of_a_pure_one() {
    let (Some(program), Some(corpus)) = (xprof(), shared("corpus/logdir_synth")) else {
        return;
    };
    // Each set-up has a directory of its own: XProf leaves caches beside the traces.
    let directories: Vec<_> = (0..3)
        .map(|_| {
            let logdir = LogDir::new();
            logdir.copy_runs(&corpus);
            logdir
        })
        .collect();
    let (_pure, pure_port, _) = start_xprof(&program, directories[0].path(), None);

    let worker_port = free_port();
    let mut worker = Cluster::worker(worker_port);
    worker.wait_for_port(worker_port);
    let (_theirs, their_port, _) = start_xprof(&program, directories[1].path(), Some(worker_port));

    let (_workers, _, their_grpc) = start_xprof(&program, directories[2].path(), None);
    let address = format!("--worker_service_address=127.0.0.1:{their_grpc}");
    let ours = Cluster::with_flags(directories[2].path(), 0, &[&address]);

    for run in ["synth_tpu_pod", "synth_gpu_training", "synth_cpu_many_hosts"] {
        for tag in ["overview_page", "op_profile"] {
            let expect = ask(pure_port, tag, run);
            let theirs = ask(their_port, tag, run);
            assert!(same(&expect, &theirs), "XProf's aggregator with our worker: {run} {tag}");
            let reply = ours.get(&format!("/data?run={run}&tag={tag}&host=ALL_HOSTS"));
            assert_eq!(reply.status, 200, "{}", reply.text());
            let got: Value = serde_json::from_slice(&reply.body).unwrap();
            assert!(same(&expect, &got), "our aggregator with XProf's workers: {run} {tag}");
        }
    }
    let n_files = |d: &LogDir| {
        std::fs::read_dir(d.run("synth_tpu_pod"))
            .unwrap()
            .flatten()
            .filter(|f| f.file_name().to_string_lossy().ends_with(".op_stats_v2.pb"))
            .count()
    };
    assert!(n_files(&directories[1]) >= 4, "our worker wrote the files of the protocol: {}", worker.log());
    assert!(n_files(&directories[2]) >= 4, "XProf's worker did the work for our aggregator");
}
