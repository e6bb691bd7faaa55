//! Interoperation with XProf 2.24.2, where it is installed: its aggregator with our workers, ours with its workers.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use xprof_skip::{Need, skip};
use xprof_tests::{Cluster, LogDir, OP_STATS_TOOLS, Process, free_port, shared};

/// XProf's program, or `None`: the test is skipped.
fn xprof() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/xprof");
    if program.exists() {
        return Some(program);
    }
    skip(Need::Xprof, "xprof==2.24.2 is not installed in target/venv");
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

/// A log directory with a copy of each run for each tool, as XProf must be asked: what it makes of a session depends on what
/// it made of it before. It keeps the first tool's reduced statistics beside the traces and answers every tool from them.
fn copies(runs: &[&str], source: &Path) -> LogDir {
    let logdir = LogDir::new();
    for run in runs {
        for tool in OP_STATS_TOOLS {
            logdir.copy_run(&source.join("plugins/profile").join(run), &copy_of(run, tool));
        }
    }
    logdir
}

fn copy_of(run: &str, tool: &str) -> String {
    format!("{run}_for_{tool}")
}

fn ask(port: u16, run: &str, tool: &str) -> Value {
    ask_for(port, run, tool, tool)
}

/// Asks for a tool in the copy that was made for another one.
fn ask_for(port: u16, run: &str, copy: &str, tool: &str) -> Value {
    let run = copy_of(run, copy);
    let url = format!("http://127.0.0.1:{port}/data/plugin/profile/data?run={run}&tag={tool}&host=ALL_HOSTS");
    let mut reply = ureq::get(&url).call().unwrap_or_else(|e| panic!("XProf: {run}: {e}"));
    let body = reply.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn ask_ours(cluster: &Cluster, run: &str, tool: &str) -> Value {
    let reply = cluster.get(&format!("/data?run={}&tag={tool}&host=ALL_HOSTS", copy_of(run, tool)));
    assert_eq!(reply.status, 200, "{run} {tool}: {}", reply.text());
    assert_eq!(reply.header("x-xprof-partial"), "", "{run} {tool}");
    serde_json::from_slice(&reply.body).unwrap()
}

/// Remembers answers that differ, so that one run of the test shows all of them.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn note(&mut self, who: &str, run: &str, tool: &str, expect: Value, got: Value) {
        if let Some(place) = difference("", &settled(tool, expect), &settled(tool, got)) {
            self.0.push(format!("{who}: {run} {tool}: {place}"));
        }
    }

    fn assert_none(&self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

/// An answer without what XProf itself says differently each time: of the cores that waited equally long for infeed in a step, it
/// names the first of a hash table. Whether one is named is compared.
fn settled(tool: &str, mut answer: Value) -> Value {
    if tool == "input_pipeline_analyzer" {
        for row in answer[0]["rows"].as_array_mut().unwrap().iter_mut().filter(|r| r["c"][0]["v"] == "Core name") {
            for cell in row["c"].as_array_mut().unwrap() {
                cell["v"] = cell["v"].as_str().unwrap().contains(':').into();
            }
        }
    }
    answer
}

/// Where two answers differ first. Doubles are equal to a relative 1e-9; children of a tree come in any order where their names
/// differ.
fn difference(path: &str, a: &Value, b: &Value) -> Option<String> {
    let differ = || Some(format!("{path}: {a:.200} is {b:.200}"));
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            if x == y || (x - y).abs() <= 1e-9 * x.abs().max(y.abs()) { None } else { differ() }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            let name = |v: &Value| v["name"].as_str().unwrap_or("").to_owned();
            let (mut x, mut y): (Vec<_>, Vec<_>) = (x.iter().collect(), y.iter().collect());
            x.sort_by_key(|v| name(v));
            y.sort_by_key(|v| name(v));
            x.iter().zip(y).enumerate().find_map(|(n, (a, b))| difference(&format!("{path}/{n}"), a, b))
        }
        (Value::Object(x), Value::Object(y)) if x.len() == y.len() => x.iter().find_map(|(key, a)| match y.get(key) {
            Some(b) => difference(&format!("{path}/{key}"), a, b),
            None => Some(format!("{path}/{key} is absent")),
        }),
        _ if a == b => None,
        _ => differ(),
    }
}

#[test]
fn mixed_fleets_give_the_answers_of_a_pure_one() {
    let (Some(program), Some(corpus)) = (xprof(), shared("corpus/logdir_synth")) else {
        return;
    };
    // Those of several hosts: XProf asks no worker for a single one. `synth_inference_jax` is not here: XProf's protocol carries
    // no inference requests, so that over its workers our overview has no table of latencies.
    let runs = ["synth_tpu_pod", "synth_gpu_training", "synth_cpu_many_hosts", "synth_megascale", "synth_flows"];
    // Each set-up has a directory of its own: XProf leaves caches beside the traces.
    let directories = [(); 3].map(|()| copies(&runs, &corpus));
    let (_pure, pure_port, _) = start_xprof(&program, directories[0].path(), None);

    let worker_port = free_port();
    let mut worker = Cluster::worker(worker_port);
    worker.wait_for_port(worker_port);
    let (_theirs, their_port, _) = start_xprof(&program, directories[1].path(), Some(worker_port));

    let (_workers, _, their_grpc) = start_xprof(&program, directories[2].path(), None);
    let address = format!("--worker_service_address=127.0.0.1:{their_grpc}");
    let ours = Cluster::with_flags(directories[2].path(), 0, &[&address]);

    let mut differences = Differences::default();
    for run in runs {
        for tool in OP_STATS_TOOLS {
            let expect = ask(pure_port, run, tool);
            let theirs = ask(their_port, run, tool);
            differences.note("XProf's aggregator with our worker", run, tool, expect.clone(), theirs);
            let got = ask_ours(&ours, run, tool);
            differences.note("our aggregator with XProf's workers", run, tool, expect, got);
        }
    }
    differences.assert_none();
    let n_files = |d: &LogDir, tool: &str| {
        std::fs::read_dir(d.run(&copy_of("synth_tpu_pod", tool)))
            .unwrap()
            .flatten()
            .filter(|f| f.file_name().to_string_lossy().ends_with(".op_stats_v2.pb"))
            .count()
    };
    // The suggestions are made of shares of steps, which workers send without a file.
    for tool in OP_STATS_TOOLS.iter().filter(|tool| **tool != "smart_suggestion") {
        assert!(n_files(&directories[1], tool) >= 4, "{tool}: our worker wrote the files: {}", worker.log());
        assert!(n_files(&directories[2], tool) >= 4, "{tool}: XProf's worker did the work for our aggregator");
    }
}

#[test]
fn traces_of_an_nvidia_gpu_are_answered_as_xprof_does() {
    let Some(program) = xprof() else {
        return;
    };
    let traces = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/jax_cuda");
    let runs =
        ["cuda_attention_inference", "cuda_conv_train", "cuda_graphs", "cuda_mlp_train", "cuda_ops", "cuda_streams"];
    let directories = [(); 2].map(|()| copies(&runs, &traces));
    let (_theirs, port, _) = start_xprof(&program, directories[0].path(), None);
    let ours = Cluster::start(directories[1].path(), 0);
    let mut differences = Differences::default();
    for run in runs {
        for tool in OP_STATS_TOOLS {
            if *tool == "pod_viewer" {
                // Of one host's run of more than five steps, XProf shows the first and the last here if nobody asked for anything
                // else before, and never again after the overview, which its pages open first. We never do.
                ask_for(port, run, tool, "overview_page");
            }
            differences.note("one process", run, tool, ask(port, run, tool), ask_ours(&ours, run, tool));
        }
    }
    differences.assert_none();
}
