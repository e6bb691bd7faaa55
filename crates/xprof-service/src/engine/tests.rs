//! Tests of the engine: admission, sharing, cancellation, deadlines.

use std::path::Path;
use std::sync::mpsc;

use super::*;
use crate::cpu_pool::CpuPool;
use crate::metrics::Metrics;
use crate::storage::{ReadMode, Roots, Storage};

/// An XSpace with one host name and nothing else.
const TRACE: &[u8] = b"\x22\x02h0";

struct Rig {
    dir: tempfile::TempDir,
    engine: Engine,
    metrics: Metrics,
}

impl Rig {
    fn new(jobs: usize, memory_budget: u64) -> Self {
        let metrics = Metrics::new();
        let pool = CpuPool::new(1, &metrics).unwrap();
        let storage = Arc::new(Storage::new(Roots::everything(), ReadMode::Map));
        let engine = Engine::new(EngineLimits::new(jobs, memory_budget), pool, storage, &metrics);
        Self { dir: tempfile::tempdir().unwrap(), engine, metrics }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Occupies the only conversion thread until the sender is used or dropped.
    async fn block_pool(&self) -> mpsc::Sender<()> {
        let (release, gate) = mpsc::channel();
        let pool = self.engine.pool().clone();
        tokio::spawn(async move { pool.run(tracing::Span::none(), move || gate.recv().is_ok()).await });
        self.until(|| self.metrics.value("xprof_cpu_running_jobs") == Some(1)).await;
        release
    }

    async fn until(&self, mut done: impl FnMut() -> bool) {
        for _ in 0..60_000 {
            if done() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("still {:?} after a minute\n{}", self.engine.status(), self.metrics.render());
    }
}

fn job(path: &Path, tool: &str) -> MapJob {
    MapJob {
        path: path.to_path_buf(),
        expected: None,
        host: "h0".into(),
        tool: registry::find(tool).unwrap(),
        params: Params::new(),
        deadline: None,
        request_id: "t".into(),
        on_stage: None,
    }
}

#[tokio::test]
async fn answers_again_without_reading_again() {
    let rig = Rig::new(1, 1 << 30);
    let path = rig.write("h0.xplane.pb", TRACE);
    let first = rig.engine.map(job(&path, "overview_page")).await.unwrap();
    assert!(!first.cache_hit && first.timing.map > Duration::ZERO);
    let again = rig.engine.map(job(&path, "overview_page")).await.unwrap();
    assert!(again.cache_hit && again.timing.map == Duration::ZERO);
    // The other tools of the family share the artifact.
    assert!(rig.engine.map(job(&path, "op_profile")).await.unwrap().cache_hit);
    assert_eq!(first.artifact.encode(), again.artifact.encode());

    rig.write("h0.xplane.pb", b"\x22\x03h00");
    let changed = rig.engine.map(job(&path, "overview_page")).await.unwrap();
    assert!(!changed.cache_hit && changed.identity != first.identity);
    assert_eq!(rig.engine.status().prepared_traces, 1, "the old version is not kept");
}

#[tokio::test]
async fn says_what_is_wrong_with_a_file() {
    let rig = Rig::new(1, 1 << 30);
    let missing = rig.engine.map(job(&rig.dir.path().join("x.xplane.pb"), "op_profile")).await.unwrap_err();
    assert_eq!(missing.code(), "file_not_found");
    let damaged = rig.write("bad.xplane.pb", &[0xff; 40]);
    let error = rig.engine.map(job(&damaged, "op_profile")).await.unwrap_err();
    assert_eq!(error.code(), "malformed_trace");
    let path = rig.write("h0.xplane.pb", TRACE);
    let mut other = job(&path, "op_profile");
    other.expected = Some(TraceIdentity { path: path.clone(), size_bytes: 99, modified_unix_ns: 0 });
    assert_eq!(rig.engine.map(other).await.unwrap_err().code(), "trace_changed");
    assert!(rig.metrics.render().contains("outcome=\"trace_changed\""));
}

#[tokio::test]
async fn makes_the_same_thing_once() {
    let rig = Rig::new(4, 1 << 30);
    let path = rig.write("h0.xplane.pb", TRACE);
    let release = rig.block_pool().await;
    let jobs: Vec<_> = ["op_profile", "overview_page", "op_profile"]
        .map(|tool| {
            let (engine, job) = (rig.engine.clone(), job(&path, tool));
            tokio::spawn(async move { engine.map(job).await })
        })
        .into();
    rig.until(|| rig.engine.status().jobs_running == 1).await;
    drop(release);
    for job in jobs {
        assert!(job.await.unwrap().is_ok());
    }
    assert!(rig.metrics.render().contains("xprof_map_stage_seconds_count{stage=\"map\"} 1\n"));
}

#[tokio::test]
async fn waits_for_a_permit_and_gives_it_back_when_dropped() {
    let rig = Rig::new(1, 1 << 30);
    let (one, two) = (rig.write("1.xplane.pb", TRACE), rig.write("2.xplane.pb", TRACE));
    let release = rig.block_pool().await;
    let spawn = |path: &Path| {
        let (engine, job) = (rig.engine.clone(), job(path, "op_profile"));
        tokio::spawn(async move { engine.map(job).await })
    };
    let first = spawn(&one);
    rig.until(|| rig.engine.status().jobs_running == 1).await;
    let second = spawn(&two);
    rig.until(|| rig.engine.status().jobs_waiting == 1).await;
    first.abort();
    rig.until(|| rig.engine.status().jobs_waiting == 0).await;
    assert_eq!(rig.engine.status().jobs_running, 1, "the second one took its place");
    drop(release);
    assert!(second.await.unwrap().is_ok());
    rig.until(|| rig.engine.status().jobs_running == 0).await;
    assert!(rig.metrics.render().contains("outcome=\"cancelled\"} 1\n"));
}

#[tokio::test]
async fn stops_at_the_deadline() {
    let rig = Rig::new(1, 1 << 30);
    let path = rig.write("h0.xplane.pb", TRACE);
    let release = rig.block_pool().await;
    for after in [Duration::ZERO, Duration::from_millis(20)] {
        let mut late = job(&path, "op_profile");
        late.deadline = Some(Instant::now() + after);
        assert_eq!(rig.engine.map(late).await.unwrap_err().code(), "deadline_exceeded");
    }
    drop(release);
    assert!(rig.engine.map(job(&path, "op_profile")).await.is_ok());
}

#[tokio::test]
async fn stays_within_the_budget() {
    // Room for one job at a time, and then some.
    let rig = Rig::new(2, 3 << 20);
    for i in 0..20 {
        let path =
            rig.write(&format!("{i}.xplane.pb"), &[b"\x22\xc0\x84\x3d".as_slice(), &vec![b'x'; 1_000_000]].concat());
        assert!(rig.engine.map(job(&path, "op_profile")).await.is_ok(), "trace {i}");
        let status = rig.engine.status();
        assert!(status.bytes_held <= status.bytes_limit, "{status:?}");
    }
    assert!(rig.engine.status().prepared_traces > 0);
    // Larger than everything: admitted alone.
    let mut giant = vec![0x22, 0x80, 0xb5, 0x18];
    giant.resize(4 + 400_000, b'y');
    let path = rig.write("giant.xplane.pb", &giant);
    let tiny = Rig::new(1, 100_000);
    assert!(tiny.engine.map(job(&path, "op_profile")).await.is_ok());
    assert!(tiny.engine.status().bytes_held <= 100_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gives_everything_back_whatever_is_dropped() {
    let rig = Rig::new(2, 4 << 20);
    let traces: Vec<_> = (0..5)
        .map(|i| {
            let trace = [b"\x22\xc0\x84\x3d".as_slice(), &vec![b'x'; 1_000_000]].concat();
            rig.write(&format!("{i}.xplane.pb"), &trace)
        })
        .collect();
    let mut jobs = Vec::new();
    for i in 0..120 {
        let (engine, job) = (rig.engine.clone(), job(&traces[i % 5], "op_profile"));
        jobs.push(tokio::spawn(async move { engine.map(job).await.map(drop) }));
        if i % 3 == 0 {
            // Every moment of a job's life is hit by some of these.
            tokio::time::sleep(Duration::from_micros(37 * i as u64)).await;
            jobs[i / 2].abort();
        }
    }
    for job in jobs {
        if let Ok(result) = job.await {
            result.unwrap();
        }
    }
    rig.until(|| rig.engine.status().jobs_running + rig.engine.status().jobs_waiting == 0).await;
    assert!(rig.engine.status().bytes_held <= 4 << 20);
    // A job that needs the whole budget gets it: nothing was lost.
    let path = rig.write("giant.xplane.pb", &[b"\x22\xc0\x8d\xb7\x01".as_slice(), &vec![b'y'; 3_000_000]].concat());
    let giant = tokio::time::timeout(Duration::from_secs(60), rig.engine.map(job(&path, "op_profile"))).await;
    assert!(giant.unwrap().is_ok());
}
