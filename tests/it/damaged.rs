//! Damaged traces: the service stays up, says what is wrong with which file, and answers for the good hosts.

use xprof_core::fixture::{TpuSession, generate_host};
use xprof_tests::{Cluster, LogDir, shared};

const TOOLS: [&str; 4] = ["overview_page", "op_profile", "trace_viewer@", "trace_viewer"];

/// Damaged files of our own: cut in the middle, random, and a length that overflows.
fn damaged() -> Vec<(String, Vec<u8>)> {
    let good = generate_host(&TpuSession::default(), 0);
    let noise: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    vec![
        ("truncated".into(), good[..good.len() / 2].to_vec()),
        ("noise".into(), noise),
        ("overflow".into(), vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
    ]
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let Some(bad) = shared("corpus/bad") else {
        return Vec::new();
    };
    let mut files: Vec<_> = std::fs::read_dir(bad)
        .unwrap()
        .flatten()
        .map(|f| (f.file_name().to_string_lossy().replace(".xplane.pb", ""), std::fs::read(f.path()).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn check(n_workers: usize) {
    let logdir = LogDir::new();
    let files: Vec<_> =
        damaged().into_iter().chain(corpus().into_iter().map(|(n, b)| (format!("corpus_{n}"), b))).collect();
    let session = TpuSession { n_hosts: 2, ..TpuSession::default() };
    for (name, bytes) in &files {
        logdir.trace(name, "host0", bytes);
        let mixed = format!("mixed_{name}");
        logdir.generate(&mixed, &session).trace(&mixed, "tpu-host-9", bytes);
        logdir.generate("good", &session);
    }
    let cluster = Cluster::start(logdir.path(), n_workers);
    for (name, bytes) in &files {
        let is_valid = bytes.is_empty(); // an empty file is a trace without planes
        for tool in TOOLS {
            let alone = cluster.get(&format!("/data?run={name}&tag={tool}&host=host0"));
            if is_valid {
                assert_eq!(alone.status, 200, "{name} {tool}: {}", alone.text());
            } else {
                assert!((400..500).contains(&alone.status), "{name} {tool}: {} {}", alone.status, alone.text());
                let text = alone.text();
                assert!(text.contains("host0.xplane.pb") && text.contains("at byte"), "{name} {tool}: {text}");
            }
        }
        let mixed = cluster.get(&format!("/data?run=mixed_{name}&tag=op_profile&host=ALL_HOSTS"));
        assert_eq!(mixed.status, 200, "{name}: {}", mixed.text());
        assert_eq!(mixed.header("x-xprof-failed-hosts"), "tpu-host-9", "{name}: {:?}", mixed.headers);
        let mut covered: Vec<_> = mixed.header("x-xprof-hosts").split(',').collect();
        covered.sort_unstable();
        assert_eq!(covered, ["tpu-host-0", "tpu-host-1"], "{name}: the hosts that did answer");
        let cause = if is_valid { "is empty" } else { "at byte" };
        let reason = mixed.header("x-xprof-reason");
        assert!(reason.contains("tpu-host-9.xplane.pb") && reason.contains(cause), "{name}: {reason}");
        let good = cluster.get("/data?run=good&tag=op_profile&host=ALL_HOSTS");
        assert!(mixed.body == good.body, "{name}: the good hosts' answer differs");
        let log = cluster.aggregator.log();
        assert!(log.contains("tpu-host-9"), "the log does not name the bad host: {log}");
        let strict = cluster.get(&format!("/data?run=mixed_{name}&tag=op_profile&host=ALL_HOSTS&strict=true"));
        assert!(matches!(strict.status, 404 | 422), "{name}: {}", strict.status);
    }
    assert_eq!(cluster.get("/data?run=good&tag=overview_page&host=ALL_HOSTS").status, 200);
}

#[test]
fn in_process() {
    check(0);
}

#[test]
fn with_workers() {
    check(2);
}
