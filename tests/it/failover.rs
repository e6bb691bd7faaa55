//! Workers that are killed, told to stop, paused and started again while people ask: nobody notices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use xprof_core::fixture::TpuSession;
use xprof_tests::{Cluster, LogDir, Reply};

const TOOLS: [&str; 4] = ["overview_page", "op_profile", "hlo_stats", "trace_viewer@"];

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What `/debug/workers` says of the worker on a port.
fn seen(cluster: &Cluster, port: u16) -> Value {
    let fleet: Value = serde_json::from_slice(&cluster.get("/debug/workers").body).unwrap();
    let address = format!("127.0.0.1:{port}");
    fleet["workers"].as_array().unwrap().iter().find(|w| w["address"] == address.as_str()).unwrap().clone()
}

fn state(cluster: &Cluster, port: u16) -> String {
    seen(cluster, port)["state"].as_str().unwrap().to_owned()
}

/// Waits until a worker gets jobs again.
fn until_busy(cluster: &Cluster, port: u16) {
    until("it serves", || state(cluster, port) == "serving");
    let before = seen(cluster, port)["jobs"].as_u64();
    until("it gets jobs", || seen(cluster, port)["jobs"].as_u64() > before);
}

/// Asks again and again from several threads while `work` runs; gives how many were asked, and the replies that were wrong.
fn under_load(cluster: &Cluster, work: impl FnOnce()) -> (usize, Vec<Reply>) {
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = || {
        let mut wrong = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            let tool = TOOLS[asked.fetch_add(1, Ordering::SeqCst) % TOOLS.len()];
            // Each answer is made anew.
            let reply = cluster.get(&format!("/data?run=pod&tag={tool}&host=ALL_HOSTS&use_saved_result=false"));
            if reply.status != 200 || !reply.header("x-xprof-partial").is_empty() {
                wrong.push(reply);
            }
        }
        wrong
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
        // Also if `work` fails: the threads would never end.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::SeqCst);
        let wrong = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        if let Err(panic) = worked {
            std::panic::resume_unwind(panic);
        }
        (asked.load(Ordering::SeqCst), wrong)
    })
}

#[test]
fn nobody_notices_that_workers_die_stop_pause_and_return() {
    let logdir = LogDir::new();
    logdir.generate("pod", &TpuSession { n_hosts: 6, ..TpuSession::default() });
    let mut cluster = Cluster::start(logdir.path(), 3);
    let [killed, stopped, paused] = <[u16; 3]>::try_from(&cluster.worker_ports[..]).unwrap();
    let mut workers: Vec<_> = std::mem::take(&mut cluster.workers);
    let (n_asked, wrong) = under_load(&cluster, || {
        for port in [killed, stopped, paused] {
            until_busy(&cluster, port);
        }
        workers[0].kill();
        until("the killed one is given up", || state(&cluster, killed) == "gone");
        workers[0] = Cluster::worker(killed);
        until_busy(&cluster, killed);

        workers[1].signal("TERM");
        assert!(workers[1].wait().success(), "it finishes its jobs: {}", workers[1].log());
        workers[1] = Cluster::worker(stopped);
        until_busy(&cluster, stopped);

        workers[2].signal("STOP");
        until("the paused one is given up", || state(&cluster, paused) == "hung");
        workers[2].signal("CONT");
        until_busy(&cluster, paused);
    });
    let told: Vec<_> = wrong.iter().map(|r| (r.status, r.text().chars().take(300).collect::<String>())).collect();
    assert!(told.is_empty(), "of {n_asked} requests: {told:#?}\n{}", cluster.aggregator.log());
}

#[test]
fn a_trace_whose_workers_die_is_named_and_the_others_are_served() {
    let logdir = LogDir::new();
    logdir.generate("large", &TpuSession::of_size(1, 40 << 20));
    logdir.generate("pod", &TpuSession { n_hosts: 3, ..TpuSession::default() });
    let mut cluster = Cluster::start(logdir.path(), 3);
    let ports = cluster.worker_ports.clone();
    let mut workers: Vec<_> = std::mem::take(&mut cluster.workers);
    let request = "/data?run=large&tag=op_profile&host=tpu-host-0";
    let reply = std::thread::scope(|scope| {
        let asking = scope.spawn(|| cluster.get(request));
        for _ in 0..3 {
            // The test does what such a trace does: whoever has it dies, and is started again as in any cluster.
            let mut victim = None;
            until("a worker has the trace", || {
                victim = ports.iter().position(|port| seen(&cluster, *port)["load"] == 1);
                victim.is_some() || asking.is_finished()
            });
            let victim = victim.expect("the request is still under way");
            workers[victim].kill();
            workers[victim] = Cluster::worker(ports[victim]);
            until("its death is noticed", || seen(&cluster, ports[victim])["load"] == 0);
        }
        asking.join().unwrap()
    });
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert!(reply.text().starts_with("tpu-host-0.xplane.pb is not sent to any worker: 127.0.0.1:"), "{}", reply.text());
    let fleet: Value = serde_json::from_slice(&cluster.get("/debug/workers").body).unwrap();
    assert_eq!(fleet["suspects"][0]["died"].as_array().unwrap().len(), 3, "{fleet}");
    for tool in TOOLS {
        let reply = cluster.get(&format!("/data?run=pod&tag={tool}&host=ALL_HOSTS"));
        assert_eq!(reply.status, 200, "{tool}: {}", reply.text());
    }
    let again = cluster.get(request);
    assert_eq!(again.status, 422, "it is remembered: {}", again.text());
}
