//! The pool against name servers that answer, fail and change their mind, and against workers that only listen.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use lookup::Found;

use super::health::{Loss, Probe};
use super::*;

const NO_ONE: &[SocketAddr] = &[];

fn wanted(turn: usize) -> Wanted<'static> {
    Wanted { key: "k", turn, asked: NO_ONE, on_trial: false }
}

/// A pool over names whose addresses are `answer`'s.
fn pool(targets: &str, answer: impl Fn(&str) -> Result<Found, String> + Send + Sync + 'static) -> Arc<Pool> {
    let lookup: Lookup = Arc::new(move |name| std::future::ready(answer(&name.host)).boxed());
    let targets = resolve::parse(targets).unwrap();
    let options = PoolOptions { targets, policy: Policy::RoundRobin, refresh: Duration::from_mins(1), lookup };
    Pool::start(options, &Metrics::new())
}

fn found(n: usize) -> Result<Found, String> {
    Ok(Found { ips: (1..=n).map(|i| [127, 0, 0, i as u8].into()).collect(), ttl: Duration::MAX })
}

async fn until(pool: &Pool, n_workers: usize) -> Arc<Vec<Arc<Worker>>> {
    let wait = async {
        while pool.workers().len() != n_workers {
            let _ = tokio::time::timeout(Duration::from_millis(10), pool.changed()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    pool.workers()
}

#[tokio::test]
async fn follows_the_addresses_of_a_name() {
    let n = Arc::new(AtomicUsize::new(1));
    let seen = Arc::clone(&n);
    let pool = pool("dns:///w:1", move |_| found(seen.load(Ordering::SeqCst)));
    let first = Arc::clone(&until(&pool, 1).await[0]);
    n.store(3, Ordering::SeqCst);
    pool.refresh_soon();
    assert!(Arc::ptr_eq(&until(&pool, 3).await[0], &first), "a worker that stays keeps its channel");
    n.store(2, Ordering::SeqCst);
    pool.refresh_soon();
    assert_eq!(until(&pool, 2).await[1].name, "127.0.0.2:1");
}

#[tokio::test]
async fn a_name_server_that_fails_takes_no_worker_away() {
    let n = Arc::new(AtomicUsize::new(2));
    let seen = Arc::clone(&n);
    let pool = pool("a:1,b:1,10.0.0.9:1", move |host| match seen.load(Ordering::SeqCst) {
        0 if host == "a" => Err("server failure".into()),
        0 => Ok(Found { ips: vec![], ttl: Duration::MAX }),
        n => found(if host == "a" { 1 } else { n }),
    });
    until(&pool, 3).await;
    n.store(0, Ordering::SeqCst);
    pool.refresh_soon();
    let failed = async {
        while pool.report(Instant::now()).targets[..2].iter().any(|t| t.error.is_none()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), failed).await.unwrap();
    assert_eq!(pool.workers().len(), 3);
    let report = pool.report(Instant::now());
    let told: Vec<_> = report.targets.iter().map(|t| (t.addresses, t.error.as_deref())).collect();
    assert_eq!(told, [(1, Some("server failure")), (2, Some("no addresses")), (1, None)]);
    // Each name has its own addresses: what one loses is not kept for the sake of the other.
    n.store(1, Ordering::SeqCst);
    pool.refresh_soon();
    until(&pool, 2).await;
}

/// A pool of three workers that are well as far as anybody knows. It has no time to find out otherwise: no test awaits.
fn three() -> (Arc<Pool>, Arc<Vec<Arc<Worker>>>) {
    let pool = pool("10.0.0.1:1,10.0.0.2:1,10.0.0.3:1", |_| Err(String::new()));
    let workers = pool.workers();
    for worker in &*workers {
        worker.succeeded();
    }
    (pool, workers)
}

#[tokio::test]
async fn jobs_take_turns_among_those_who_are_well() {
    let (pool, workers) = three();
    let share = || {
        let mut got = [0; 3];
        for turn in 0..12 {
            let (worker, _) = pool.pick(&wanted(turn)).unwrap();
            got[workers.iter().position(|w| Arc::ptr_eq(w, &worker)).unwrap()] += 1;
        }
        got
    };
    assert_eq!(share(), [4, 4, 4]);
    let asked: Vec<_> = workers.iter().map(|w| w.address).collect();
    assert!(pool.pick(&Wanted { asked: &asked, ..wanted(0) }).is_none());
    let now = Instant::now();
    workers[0].health.failed(Loss::Connection, now);
    assert_eq!(share(), [0, 6, 6]);
    workers[1].health.probed(Probe::Gone, now + Duration::from_secs(1));
    assert_eq!(share(), [0, 0, 12]);
    assert_eq!(pool.down_for(now), None);
    workers[2].health.probed(Probe::Draining, now + Duration::from_secs(2));
    assert!(pool.pick(&wanted(0)).is_none(), "nobody is asked who is not well");
    assert_eq!(pool.down_for(now + Duration::from_secs(9)).unwrap().as_secs(), 7, "since the last one went");
}

#[tokio::test]
async fn suspected_traces_are_tried_one_by_one_and_not_on_the_last_worker() {
    let (pool, workers) = three();
    let suspect = Wanted { on_trial: true, ..wanted(0) };
    let (first, trial) = pool.pick(&suspect).unwrap();
    let (second, _trial) = pool.pick(&suspect).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    let _third = pool.pick(&suspect).unwrap();
    assert!(pool.pick(&suspect).is_none(), "every worker has one");
    assert!(pool.pick(&wanted(0)).is_some(), "other jobs go on");
    drop(trial);
    assert!(Arc::ptr_eq(&pool.pick(&suspect).unwrap().0, &first));
    for worker in &workers[..2] {
        worker.health.probed(Probe::Gone, Instant::now());
    }
    assert!(pool.pick(&suspect).is_none(), "the last one that is well is for the others");
    assert!(pool.pick(&wanted(0)).is_some());
}

#[tokio::test]
async fn reports_what_operators_ask_for() {
    let (pool, workers) = three();
    let slots: Vec<_> = [0, 0, 0, 1].map(|i| workers[i].occupy()).into();
    workers[1].failed(Some(Loss::Job), "it broke off");
    let report = serde_json::to_value(pool.report(Instant::now())).unwrap();
    assert_eq!((&report["policy"], &report["targets"][0]["target"]), (&"round_robin".into(), &"10.0.0.1:1".into()));
    let told = |i: usize, key: &str| report["workers"][i][key].clone();
    assert_eq!([told(0, "state"), told(1, "state")], ["serving", "resting"]);
    assert_eq!([told(0, "load"), told(1, "load"), told(2, "load")], [3, 1, 0]);
    assert_eq!(
        (told(0, "jobs"), told(1, "failed"), told(1, "last_error")),
        (3.into(), 1.into(), "it broke off".into())
    );
    let share = |i| told(i, "share").as_f64().unwrap();
    assert!((share(0) - 0.75).abs() < 0.01 && (share(1) - 0.25).abs() < 0.01 && share(2) == 0.0, "{report}");
    drop(slots);
    assert_eq!(workers[0].load(), 0);
}
