//! Many cold requests at once over all runs and tools: every answer is right, none is dropped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use xprof_core::fixture::TpuSession;
use xprof_tests::{Cluster, LogDir, shared};

fn requests(cluster: &Cluster) -> Vec<String> {
    let list = |path: &str| -> Vec<String> { serde_json::from_slice(&cluster.get(path).body).unwrap() };
    let mut requests = Vec::new();
    for run in list("/runs") {
        for tag in ["overview_page", "op_profile", "trace_viewer@", "trace_viewer"] {
            let hosts: Vec<BTreeMap<String, String>> =
                serde_json::from_slice(&cluster.get(&format!("/hosts?run={run}&tag={tag}")).body).unwrap();
            for host in hosts.iter().take(3) {
                requests.push(format!("/data?run={run}&tag={tag}&host={}", host["hostname"]));
            }
        }
    }
    requests
}

#[test]
fn two_hundred_cold_requests_at_once() {
    let logdir = LogDir::new();
    for i in 0..8 {
        logdir.generate(&format!("run{i}"), &TpuSession { n_hosts: 3, seed: i, ..TpuSession::default() });
    }
    if let Some(corpus) = shared("corpus/logdir") {
        logdir.copy_runs(&corpus);
    }
    // One cluster tells what is right, asked one by one; the other is asked all at once.
    let (calm, busy) = (Cluster::start(logdir.path(), 0), Cluster::start(logdir.path(), 2));
    let mut requests = requests(&calm);
    let n_distinct = requests.len();
    for i in 0..200usize.saturating_sub(n_distinct) {
        requests.push(requests[i].clone());
    }
    let n_wrong = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = requests.iter().map(|request| (request, scope.spawn(|| busy.get(request)))).collect();
        for (request, thread) in threads {
            let (reply, expect) = (thread.join().unwrap(), calm.get(request));
            if reply.status != 200 || reply.body != expect.body {
                eprintln!("{request}: {} instead of {}", reply.status, expect.status);
                n_wrong.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    assert_eq!(n_wrong.into_inner(), 0, "of {} answers", requests.len());
}
