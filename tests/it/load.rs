//! Many cold requests at once over all runs and tools: every answer is right, none is dropped.

use std::collections::BTreeMap;

use xprof_core::fixture::TpuSession;
use xprof_tests::{Cluster, LogDir, Reply, shared};

const N_REQUESTS: usize = 200;

/// Every run with every tool over up to three hosts; of the timeline also windows.
fn requests(cluster: &Cluster) -> Vec<String> {
    let list = |path: &str| -> Vec<String> { serde_json::from_slice(&cluster.get(path).body).unwrap() };
    let mut requests = Vec::new();
    for run in list("/runs") {
        for tag in ["overview_page", "op_profile", "trace_viewer@", "trace_viewer"] {
            let hosts: Vec<BTreeMap<String, String>> =
                serde_json::from_slice(&cluster.get(&format!("/hosts?run={run}&tag={tag}")).body).unwrap();
            for host in hosts.iter().take(3) {
                let request = format!("/data?run={run}&tag={tag}&host={}", host["hostname"]);
                if tag == "trace_viewer@" {
                    requests.push(format!("{request}&resolution=500&start_time_ms=0.1&end_time_ms=1.5"));
                    requests.push(format!("{request}&resolution=100"));
                }
                requests.push(request);
            }
        }
    }
    requests
}

/// All requests at once; a request that is dropped has no reply and fails the test by itself.
fn ask_at_once(cluster: &Cluster, requests: &[String]) -> Vec<Reply> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = requests.iter().map(|request| scope.spawn(|| cluster.get(request))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn check(logdir: &LogDir) {
    // One process tells what is right, asked for one answer after the other; the others are new and asked for all at once.
    let calm = Cluster::start(logdir.path(), 0);
    let mut requests = requests(&calm);
    let n_distinct = requests.len();
    for i in 0..N_REQUESTS.saturating_sub(n_distinct) {
        requests.push(requests[i].clone());
    }
    let right: BTreeMap<&String, Reply> = requests[..n_distinct].iter().map(|r| (r, calm.get(r))).collect();
    for n_workers in [0, 2] {
        let busy = Cluster::start(logdir.path(), n_workers);
        let replies = ask_at_once(&busy, &requests);
        let wrong: Vec<_> = requests
            .iter()
            .zip(&replies)
            .filter(|(request, reply)| reply.status != 200 || reply.body != right[request].body)
            .map(|(request, reply)| format!("{request}: {} instead of {}", reply.status, right[request].status))
            .collect();
        assert!(wrong.is_empty(), "{n_workers} workers, of {} answers: {wrong:#?}", requests.len());
    }
}

#[test]
fn two_hundred_cold_requests_at_once() {
    let logdir = LogDir::new();
    for i in 0..8 {
        logdir.generate(&format!("run{i}"), &TpuSession { n_hosts: 3, seed: i, ..TpuSession::default() });
    }
    check(&logdir);
}

#[test]
fn two_hundred_cold_requests_at_once_over_the_corpus() {
    let Some(corpus) = shared("corpus/logdir") else {
        return;
    };
    let logdir = LogDir::new();
    logdir.copy_runs(&corpus);
    check(&logdir);
}
