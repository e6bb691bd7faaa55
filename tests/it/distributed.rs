//! Distributed answers equal local ones, byte for byte, and a dying worker costs nobody an answer.

use xprof_core::fixture::{TpuSession, generate_host};
use xprof_tests::{Cluster, LogDir, OP_STATS_TOOLS};

const HOSTS: &str = "tpu-host-0,tpu-host-1,tpu-host-2";

fn logdir() -> LogDir {
    let logdir = LogDir::new();
    logdir.generate("pod", &TpuSession::of_size(3, 60_000));
    logdir.generate("one", &TpuSession::of_size(1, 60_000));
    logdir
}

fn requests() -> Vec<String> {
    let mut requests = Vec::new();
    for (run, host) in [("pod", "ALL_HOSTS"), ("pod", "tpu-host-1"), ("one", "tpu-host-0")] {
        requests.push(format!("/data?run={run}&tag=overview_page&host={host}"));
        requests.push(format!("/data_csv?run={run}&tag=overview_page&host={host}"));
        for group_by in ["program", "category", "provenance"] {
            requests.push(format!("/data?run={run}&tag=op_profile&host={host}&group_by={group_by}"));
        }
        requests.push(format!("/data?run={run}&tag=trace_viewer@&host={host}"));
    }
    for query in [
        "",
        "&resolution=100",
        "&start_time_ms=0.01&end_time_ms=0.02",
        "&full_dma=true",
        "&search_prefix=conv",
        "&format=pb",
    ] {
        requests.push(format!("/data?run=pod&tag=trace_viewer@&hosts={HOSTS}{query}"));
        requests.push(format!("/data?run=one&tag=trace_viewer@&host=tpu-host-0{query}"));
    }
    requests.push("/data?run=one&tag=trace_viewer&host=tpu-host-0".to_owned());
    for query in ["", "&resolution=64", "&search=fusion", "&area=0-9", "&event=0.0"] {
        requests.push(format!("/data?run=pod&tag=timeline&host=tpu-host-1{query}"));
        requests.push(format!("/data?run=one&tag=timeline&host=tpu-host-0{query}"));
    }
    for tag in ["overview_page", "op_profile", "trace_viewer@"] {
        requests.push(format!("/hosts?run=pod&tag={tag}"));
    }
    requests.extend(["/runs".into(), "/run_tools?run=pod".into(), "/module_list?run=pod".into()]);
    requests
}

#[test]
fn distributed_answers_equal_local_ones() {
    let logdir = logdir();
    let (local, remote) = (Cluster::start(logdir.path(), 0), Cluster::start(logdir.path(), 3));
    for request in requests() {
        let (a, b) = (local.get(&request), remote.get(&request));
        assert_eq!(a.status, 200, "{request}: {}", a.text());
        assert_eq!(b.status, 200, "{request}: {}", b.text());
        assert!(!a.body.is_empty(), "{request}");
        assert!(a.body == b.body, "{request}: local and distributed answers differ");
    }
}

#[test]
fn hosts_whose_steps_are_matched_at_second_sight_give_the_same_answers() {
    let logdir = LogDir::new();
    // Each host begins 5 µs after the one before, which is most of a step: which step goes with which depends on the host
    // that they are compared to, and the shortest one, to which they must be compared, is not the first.
    let session = TpuSession { n_hosts: 12, n_cores: 1, n_steps: 12, n_ops_per_step: 64, seed: 1 };
    logdir.generate("skewed", &session);
    let start = |n_workers| Cluster::with_flags(logdir.path(), n_workers, &["--log=debug"]);
    let (local, remote) = (start(0), start(3));
    for tag in ["overview_page", "pod_viewer", "roofline_model"] {
        let request = format!("/data?run=skewed&tag={tag}&host=ALL_HOSTS");
        let (a, b) = (local.get(&request), remote.get(&request));
        assert_eq!((a.status, b.status), (200, 200), "{request}: {} {}", a.text(), b.text());
        assert!(a.body == b.body, "{request}: local and distributed answers differ");
    }
    for cluster in [local, remote] {
        let log = cluster.aggregator.log();
        assert_eq!(log.matches("hosts are needed again").count(), 3, "{log}");
    }
}

/// The hosts of a run as the file system lists them.
fn listed(logdir: &LogDir, run: &str) -> Vec<String> {
    let files = std::fs::read_dir(logdir.run(run)).unwrap().flatten();
    files.map(|f| f.file_name().to_string_lossy().replace(".xplane.pb", "")).collect()
}

#[test]
fn all_hosts_are_those_of_the_directory_in_its_order() {
    let logdir = LogDir::new();
    // Of different sizes, so that parts arrive in another order than that of hosts; and so many that no file system lists
    // them by name unless it sorts.
    let names = ["c9", "a1", "e5", "b7", "d3", "f0", "h2", "g4"];
    for (n, name) in names.iter().enumerate() {
        let session = TpuSession { seed: n as u64, ..TpuSession::of_size(1, 20_000 + 9_000 * n) };
        logdir.trace("pod", name, &generate_host(&session, 0));
    }
    let listed = listed(&logdir, "pod");
    let reversed: Vec<String> = listed.iter().rev().cloned().collect();
    for n_workers in [0, 3] {
        let cluster = Cluster::start(logdir.path(), n_workers);
        let of = |hosts: &[String]| {
            let reply = cluster.get(&format!("/data?run=pod&tag=trace_viewer@&hosts={}", hosts.join(",")));
            assert_eq!(reply.status, 200, "{}", reply.text());
            reply.body
        };
        let all = cluster.get("/data?run=pod&tag=trace_viewer@&host=ALL_HOSTS");
        assert_eq!(all.status, 200, "{}", all.text());
        assert!(of(&listed) == all.body, "{n_workers} workers: ALL_HOSTS is not in the order {listed:?}");
        assert!(cluster.get("/data?run=pod&tag=trace_viewer@").body == all.body, "no host is every host");
        assert!(of(&reversed) != all.body, "a request's own order counts, also for the cache");
        // Lists for people are sorted all the same.
        let hosts = cluster.get("/hosts?run=pod&tag=trace_viewer@").text();
        let places: Vec<_> = ["a1", "b7", "c9", "d3", "e5", "f0", "g4", "h2"].map(|h| hosts.find(h).unwrap()).into();
        assert!(places.is_sorted(), "{hosts}");
    }
}

#[test]
fn the_answer_for_a_host_does_not_depend_on_what_was_asked_before() {
    const HOST: &str = "uneven-1";
    let logdir = LogDir::new();
    // Hosts with other steps, ops, cores and times, so that the answer for one can be taken for that of no other.
    for n in 0..3 {
        let session =
            TpuSession { n_cores: n + 1, n_steps: 7 + n, n_ops_per_step: 20 + 5 * n, seed: n as u64, n_hosts: 1 };
        let trace = generate_host(&session, 0);
        logdir.trace("pod", &format!("uneven-{n}"), &trace);
        if n == 1 {
            logdir.trace("alone", HOST, &trace);
        }
    }
    for n_workers in [0, 2] {
        // One that was never asked for anything else, one that begins with the host, and one that begins with all hosts.
        let [fresh, host_first, all_first] = [(); 3].map(|()| Cluster::start(logdir.path(), n_workers));
        for tool in OP_STATS_TOOLS {
            let get = |cluster: &Cluster, run: &str, host: &str| {
                let reply = cluster.get(&format!("/data?run={run}&tag={tool}&host={host}"));
                assert_eq!(reply.status, 200, "{tool} {host}: {}", reply.text());
                reply.body
            };
            let alone = get(&fresh, "alone", HOST);
            let own = get(&host_first, "pod", HOST);
            assert!(own == alone, "{tool}: a host of a session is answered as if it were the only one");
            let all = get(&host_first, "pod", "ALL_HOSTS");
            assert!(get(&host_first, "pod", HOST) == own, "{tool}: the host, all, the host");
            assert!(get(&all_first, "pod", "ALL_HOSTS") == all, "{tool}: all, before and after the host");
            assert!(get(&all_first, "pod", HOST) == own, "{tool}: all, the host");
            // TPU sessions have no kernels, and these give no reason to suggest anything: two empty answers are equal.
            let is_empty = matches!(*tool, "kernel_stats" | "smart_suggestion");
            assert_eq!(all == own, is_empty, "{tool}: all hosts are not one");
        }
    }
}

#[test]
fn a_program_is_fetched_from_a_worker_once() {
    let logdir = LogDir::new();
    logdir.copy_runs(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("traces/jax_cpu_mlp"));
    let mut cluster = Cluster::start(logdir.path(), 2);
    let modules = cluster.get("/module_list?run=jax_cpu_mlp").text();
    let (module, other) = modules.split_once(',').expect("several modules");
    let ask = |cluster: &Cluster, module: &str, question: &str| {
        cluster.get(&format!("/data?run=jax_cpu_mlp&host=host0&module_name={module}&tag={question}"))
    };
    assert_eq!(ask(&cluster, module, "graph_viewer&type=short_txt").status, 200);
    cluster.workers.iter_mut().for_each(xprof_tests::Process::kill);
    for question in ["graph_viewer&type=long_txt", "graph_viewer&type=pbtxt", "memory_viewer"] {
        let reply = ask(&cluster, module, question);
        assert_eq!(reply.status, 200, "{question}: {}", reply.text());
    }
    let other = other.split(',').next().unwrap_or_default();
    assert_eq!(ask(&cluster, other, "graph_viewer&type=short_txt").status, 503, "another one needs a worker");
}

#[test]
fn a_dying_worker_costs_no_answer() {
    let logdir = logdir();
    let mut cluster = Cluster::start(logdir.path(), 3);
    cluster.workers[1].kill();
    for group_by in ["program", "category", "provenance"] {
        for host in ["ALL_HOSTS", "tpu-host-0", "tpu-host-1", "tpu-host-2"] {
            let reply = cluster.get(&format!("/data?run=pod&tag=op_profile&host={host}&group_by={group_by}"));
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    }
    cluster.workers[0].kill();
    cluster.workers[2].kill();
    let reply = cluster.get("/data?run=one&tag=trace_viewer@&host=tpu-host-0");
    assert_eq!(reply.status, 503, "{}", reply.text());
    // A worker that comes back on the same address gets work again.
    let port = cluster.worker_ports[0];
    let mut back = Cluster::worker(port);
    back.wait_for_port(port);
    let started = std::time::Instant::now();
    while cluster.get("/data?run=one&tag=trace_viewer@&host=tpu-host-0").status != 200 {
        assert!(started.elapsed() < std::time::Duration::from_secs(90), "the worker that came back gets no work");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
