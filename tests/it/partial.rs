//! Sessions of which a host is damaged, missing or late: it is named, the others are answered, and `strict=true` refuses.

use std::time::Instant;

use xprof_core::fixture::TpuSession;
use xprof_tests::{Cluster, LogDir, OP_STATS_TOOLS, Reply};

const HOSTS: [&str; 3] = ["tpu-host-0", "tpu-host-1", "tpu-host-2"];

fn ask(cluster: &Cluster, query: &str) -> Reply {
    cluster.get(&format!("/data?run=pod&{query}"))
}

/// What a partial answer says: covered hosts of all hosts, and the failed ones, sorted.
fn told(reply: &Reply) -> (u16, String, Vec<&str>) {
    let mut failed: Vec<_> = reply.header("x-xprof-failed-hosts").split(',').filter(|h| !h.is_empty()).collect();
    failed.sort_unstable();
    (reply.status, reply.header("x-xprof-partial").to_owned(), failed)
}

/// The lines of a refusal, that of the request first and those of the hosts sorted.
fn refusal(reply: &Reply) -> Vec<String> {
    let mut lines: Vec<String> = reply.text().lines().map(ToOwned::to_owned).collect();
    assert!(!lines.is_empty(), "{reply:?}");
    lines[1..].sort_unstable();
    lines
}

fn check_damaged_and_missing(n_workers: usize) {
    let logdir = LogDir::new();
    logdir.generate("pod", &TpuSession { n_hosts: 3, ..TpuSession::default() });
    logdir.generate("good", &TpuSession { n_hosts: 3, ..TpuSession::default() });
    logdir.trace("pod", "tpu-host-9", &[0x0a, 0xff]);
    let cluster = Cluster::start(logdir.path(), n_workers);
    let log =
        |word: &str| cluster.aggregator.log().lines().filter(|l| l.contains("left out") && l.contains(word)).count();
    let strict = |query: &str| ask(&cluster, &format!("{query}&strict=true"));
    for tool in OP_STATS_TOOLS.iter().chain(&["trace_viewer@"]) {
        // A refusal is never kept as the answer, nor the answer given to who wants all or nothing, in whatever order.
        let query = format!("tag={tool}&host=ALL_HOSTS");
        let (first, partial, second) = (strict(&query), ask(&cluster, &query), strict(&query));
        assert_eq!(told(&partial), (200, "3/4".into(), vec!["tpu-host-9"]), "{tool}: {}", partial.text());
        let good = cluster.get(&format!("/data?run=good&{query}"));
        assert!(partial.body == good.body, "{tool}: the answer of the good hosts");
        for refused in [first, second] {
            assert_eq!(told(&refused), (422, String::new(), vec![]), "{tool}: {}", refused.text());
            let lines = refusal(&refused);
            assert_eq!((lines.len(), &*lines[0]), (2, "strict=true, and 1 of 4 hosts failed"), "{tool}");
            assert!(lines[1].starts_with("tpu-host-9.xplane.pb is not a readable trace: at byte "), "{lines:?}");
        }
        assert_eq!(told(&ask(&cluster, &format!("{query}&strict=false"))), told(&partial));
        assert_eq!(ask(&cluster, &format!("{query}&strict=perhaps")).status, 400);
        let whole = cluster.get(&format!("/data?run=good&{query}&strict=true"));
        assert_eq!((told(&whole), whole.body == good.body), ((200, String::new(), vec![]), true), "{tool}");
    }
    assert!(log("tpu-host-9") > 0, "the log names the damaged host");

    let query = format!("tag=trace_viewer@&hosts={},nowhere", HOSTS.join(","));
    assert_eq!(told(&ask(&cluster, &query)), (200, "3/4".into(), vec!["nowhere"]));
    assert_eq!(refusal(&strict(&query))[1], "nowhere: No xplane file found for host: nowhere in run: pod");
    assert_eq!(strict(&query).status, 404);
    let query = format!("{query},tpu-host-9");
    assert_eq!(told(&ask(&cluster, &query)), (200, "3/5".into(), vec!["nowhere", "tpu-host-9"]));
    let both = strict(&query);
    assert_eq!((both.status, refusal(&both).len()), (422, 3), "each host has its line: {}", both.text());
    assert!(log("nowhere") > 0, "the log names the missing host");
    // Alone there is nothing to be partial about.
    assert_eq!(told(&ask(&cluster, "tag=trace_viewer@&hosts=nowhere")), (404, String::new(), vec![]));
    assert_eq!(told(&ask(&cluster, "tag=overview_page&host=nowhere")), (404, String::new(), vec![]));
}

#[test]
fn damaged_and_missing_hosts_in_process() {
    check_damaged_and_missing(0);
}

#[test]
fn damaged_and_missing_hosts_with_workers() {
    check_damaged_and_missing(2);
}

#[test]
fn late_hosts() {
    // One after the other: both count seconds.
    check_late_with_workers();
    check_late_in_process();
}

fn check_late_with_workers() {
    let logdir = LogDir::new();
    logdir.generate("pod", &TpuSession { n_hosts: 3, ..TpuSession::default() });
    let cluster = Cluster::with_flags(logdir.path(), 2, &["--request_timeout=3600ms"]);
    let whole = ask(&cluster, "tag=overview_page&host=ALL_HOSTS&strict=true");
    assert_eq!(told(&whole), (200, String::new(), vec![]), "{}", whole.text());
    // It keeps its connections and says nothing more. Of three jobs in turn, two workers get one each at least; their time,
    // 1.8 seconds, is over before anybody can notice that the worker hangs: that takes two probes of one second.
    cluster.workers[1].signal("STOP");
    let late = ask(&cluster, "tag=trace_viewer@&host=ALL_HOSTS");
    let (status, partial, failed) = told(&late);
    assert_eq!((status, partial), (200, format!("{}/3", 3 - failed.len())), "{}", late.text());
    assert!(failed.len() == 1 || failed.len() == 2, "{failed:?}");
    assert!(late.header("x-xprof-reason").contains(&format!("{}: the request took longer than", failed[0])));
    assert!(cluster.aggregator.log().lines().any(|l| l.contains("left out") && l.contains(failed[0])));
    // What was late is not kept: the worker is back, and so are its hosts.
    cluster.workers[1].signal("CONT");
    let back = ask(&cluster, "tag=trace_viewer@&host=ALL_HOSTS&strict=true");
    assert_eq!(told(&back), (200, String::new(), vec![]), "{}", back.text());
}

fn check_late_in_process() {
    let logdir = LogDir::new();
    logdir.generate("pod", &TpuSession { n_hosts: 2, ..TpuSession::default() });
    logdir.generate("large", &TpuSession::of_size(1, 40 << 20));
    std::fs::rename(logdir.run("large").join("tpu-host-0.xplane.pb"), logdir.run("pod").join("large.xplane.pb"))
        .unwrap();
    let took = {
        let cluster = Cluster::start(logdir.path(), 0);
        let began = Instant::now();
        let alone = ask(&cluster, "tag=op_profile&host=large");
        assert_eq!(alone.status, 200, "{}", alone.text());
        began.elapsed()
    };
    // Hosts may take half of it.
    let timeout = format!("--request_timeout={}ms", took.as_millis() / 2);
    let cluster = Cluster::with_flags(logdir.path(), 0, &[&timeout]);
    // The others are mapped already, so that they need not wait for a processor behind the large one.
    for host in &HOSTS[..2] {
        assert_eq!(ask(&cluster, &format!("tag=op_profile&host={host}")).status, 200);
    }
    let late = ask(&cluster, "tag=op_profile&host=ALL_HOSTS");
    assert_eq!(told(&late), (200, "2/3".into(), vec!["large"]), "{timeout}: {}", late.text());
    let reason = late.header("x-xprof-reason");
    assert_eq!(reason, "large: the request took longer than the request's deadline while its job was running");
}
