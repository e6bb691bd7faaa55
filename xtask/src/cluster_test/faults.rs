//! What happens to a cluster in its life, and what must be true of it then.
//!
//! Each fault takes four healthy workers under load and breaks something; who calls it counts what users noticed.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::cluster::{ADMIN_PORT, Cluster, SERVICE, hold, http_of};
use super::dns::{Mood, NameServer};
use super::report::Claim;

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Seconds for which a fault lasts.
    pub hold: u64,
    /// Workers that are killed, one every five seconds.
    pub kills: usize,
}

/// One kind of trouble.
pub struct Fault {
    pub name: &'static str,
    pub what: &'static str,
    pub run: fn(&mut Cluster, Pace) -> Result<Vec<Claim>>,
    /// Whether users may notice.
    pub is_outage: bool,
}

const fn fault(name: &'static str, what: &'static str, run: fn(&mut Cluster, Pace) -> Result<Vec<Claim>>) -> Fault {
    Fault { name, what, run, is_outage: false }
}

pub const NOTHING: &str = "nothing";
pub const KILL: &str = "kill -9 of a worker every 5 s";
pub const ROLL: &str = "rolling restart of all workers";
pub const PAUSE: &str = "a paused worker";
pub const OUTAGE: &str = "no worker at all";

/// Every fault in the order in which they happen.
pub const FAULTS: [Fault; 9] = [
    fault("none", NOTHING, nothing),
    fault("scale", "2 → 6 → 1 → 4 workers", scale),
    fault("kill", KILL, kill),
    fault("roll", ROLL, roll),
    fault("pause", PAUSE, pause),
    fault("cut", "a worker cut off the network", cut),
    fault("slow", "a worker with 1 % of a CPU", slow),
    fault("dns", "DNS late, empty, failing, silent", dns),
    Fault { is_outage: true, ..fault("outage", OUTAGE, outage) },
];

fn nothing(_: &mut Cluster, pace: Pace) -> Result<Vec<Claim>> {
    hold(pace.hold);
    Ok(Vec::new())
}

/// New workers must carry their share soon.
fn scale(cluster: &mut Cluster, pace: Pace) -> Result<Vec<Claim>> {
    cluster.scale(2)?;
    hold(pace.hold / 2);
    cluster.scale(6)?;
    let up = Instant::now();
    hold(10);
    let window = cluster.load.window(up + Duration::from_secs(5), up + Duration::from_secs(10));
    let all: u64 = window.jobs.values().sum();
    let new = cluster.workers[2..].iter().map(|w| window.jobs.get(w.short_name()).copied().unwrap_or_default());
    let least = new.min().unwrap_or_default() as f64 * 6.0 / all.max(1) as f64;
    let claim = Claim::timed(
        least >= 0.7,
        format!(
            "5 to 10 s after their start, each of four new workers carries at least {:.0} % of its fair share",
            least * 100.0
        ),
    );
    hold(pace.hold / 2);
    cluster.scale(1)?;
    hold(pace.hold / 2);
    cluster.scale(4)?;
    hold(pace.hold / 2);
    Ok(vec![claim])
}

fn kill(cluster: &mut Cluster, pace: Pace) -> Result<Vec<Claim>> {
    for n in 0..pace.kills {
        let next = Instant::now() + Duration::from_secs(5);
        let i = n % cluster.workers.len();
        cluster.workers[i].kill()?;
        // As a kubelet, which restarts a crashed container in its pod a moment later.
        hold(1);
        cluster.workers[i].start_again()?;
        cluster.watch();
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(Vec::new())
}

/// As a Deployment without unavailable pods: a new one is ready before an old one goes.
fn roll(cluster: &mut Cluster, _: Pace) -> Result<Vec<Claim>> {
    let n = cluster.workers.len();
    for _ in 0..n {
        cluster.scale(n + 1)?;
        let old = cluster.workers.remove(0);
        cluster.watch();
        old.stop()?;
    }
    hold(3);
    Ok(Vec::new())
}

fn pause(cluster: &mut Cluster, pace: Pace) -> Result<Vec<Claim>> {
    cluster.workers[0].pause()?;
    hold(pace.hold);
    cluster.workers[0].unpause()?;
    hold(3);
    Ok(Vec::new())
}

fn cut(cluster: &mut Cluster, pace: Pace) -> Result<Vec<Claim>> {
    cluster.workers[0].cut()?;
    hold(pace.hold);
    cluster.workers[0].mend(SERVICE)?;
    cluster.watch();
    hold(3);
    Ok(Vec::new())
}

fn slow(cluster: &mut Cluster, pace: Pace) -> Result<Vec<Claim>> {
    cluster.workers[0].limit_cpus("0.01")?;
    hold(pace.hold);
    // A container's limit cannot be taken away, only raised.
    cluster.workers[0].limit_cpus(&std::thread::available_parallelism().map_or(1, usize::from).to_string())?;
    hold(3);
    Ok(Vec::new())
}

/// Another aggregator, which asks a name server that misbehaves.
fn dns(cluster: &mut Cluster, pace: Pace) -> Result<Vec<Claim>> {
    let gateway = cluster.place.network.gateway()?;
    let server = NameServer::start(gateway, SERVICE)?;
    let serve = |cluster: &Cluster| server.serve(cluster.workers.iter().map(|w| w.ip).collect());
    serve(cluster);
    let file = crate::target_dir().join("cluster-test/resolv.conf");
    std::fs::write(&file, format!("nameserver {gateway}\n"))?;
    let volume = format!("--volume={}:/etc/resolv.conf:ro", file.display());
    let aggregator = cluster.place.aggregator("aggregator-dns", &[volume], &[])?;
    aggregator.wait_for(super::cluster::HTTP_PORT, &cluster.load.questions().nth(0).path)?;
    cluster.load.aim(http_of(&aggregator));
    for mood in [Mood::Late, Mood::Empty, Mood::Failing, Mood::Silent] {
        server.set(mood);
        hold(pace.hold.min(10));
        server.set(Mood::Well);
        hold(1);
    }
    // A worker that comes while answers are late is found none the less.
    server.set(Mood::Late);
    cluster.scale(5)?;
    serve(cluster);
    let up = Instant::now();
    hold(15);
    let window = cluster.load.window(up, Instant::now());
    let new = cluster.workers.last().and_then(|w| window.jobs.get(w.short_name())).copied().unwrap_or_default();
    server.set(Mood::Well);
    cluster.load.aim(http_of(&cluster.aggregator));
    // What is under way there still counts.
    cluster.load.window(up, Instant::now());
    Ok(vec![Claim::new(new > 0, format!("a worker that starts while DNS is late gets work ({new} jobs in 15 s)"))])
}

/// Requests that need a worker fail fast, and no longer than 5 s after the first one is back.
fn outage(cluster: &mut Cluster, pace: Pace) -> Result<Vec<Claim>> {
    let began = Instant::now();
    for worker in &cluster.workers {
        worker.kill()?;
    }
    hold(pace.hold.max(10));
    cluster.workers[0].start_again()?;
    cluster.workers[0].wait_for(ADMIN_PORT, "/ready")?;
    let back = Instant::now();
    hold(5);
    let recovered = Instant::now();
    for worker in &mut cluster.workers[1..] {
        worker.start_again()?;
    }
    cluster.watch();
    hold(5);
    let during = cluster.load.window(began, back);
    let after = cluster.load.window(recovered, Instant::now());
    let only_503 = during.failures.keys().all(|why| why == "status 503");
    Ok(vec![
        Claim::new(only_503, format!("without workers, failures are 503 and nothing else: {:?}", during.failures)),
        Claim::timed(
            during.slowest_failure < Duration::from_secs(6),
            format!("the slowest of these 503 took {:.1} s", during.slowest_failure.as_secs_f64()),
        ),
        Claim::timed(
            after.n_failures() == 0,
            format!("requests later than 5 s after the first worker's return: {} failed", after.n_failures()),
        ),
    ])
}
