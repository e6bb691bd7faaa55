//! Workers that die, are slow or are all gone: who gets an answer, who is told why not, and what operators see of it.

use std::sync::Arc;

use http::Method;
use serde_json::Value;
use tokio::sync::Semaphore;
use tonic::Code;

use crate::fake_worker::{Does, Running};
use crate::support::{DAMAGED, EMPTY, Server};
use crate::workers::{ALL, ONE, aggregator};

/// Four workers that die of the trace of host b, so many times in all.
async fn mortals(n_deaths: usize) -> (Vec<Running>, Server) {
    let deaths = Arc::new(Semaphore::new(n_deaths));
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(Running::start(Does::DieFor("b", Arc::clone(&deaths))).await);
    }
    let addresses: Vec<_> = workers.iter().map(|w| w.address.to_string()).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let server = aggregator(&addresses, &[]).serving(4).await;
    (workers, server)
}

async fn fleet(server: &Server) -> Value {
    serde_json::from_slice(&server.get("/debug/workers").await.body).unwrap()
}

#[tokio::test]
async fn a_trace_that_kills_workers_is_contained_and_named() {
    let (workers, server) = mortals(100).await;
    let answer = server.get(ALL).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((answer.header("x-xprof-partial"), answer.header("x-xprof-failed-hosts")), ("3/4", "b"));
    let reason = answer.header("x-xprof-reason").to_owned();
    assert!(reason.starts_with("b.xplane.pb is not sent to any worker: 127.0.0.1:"), "{reason}");
    let n_named = workers.iter().filter(|w| reason.contains(&w.address.to_string())).count();
    assert_eq!(n_named, 3, "{reason}");
    assert_eq!(server.metrics.value("xprof_fanout_deaths_total"), Some(3), "the fourth worker is spared");

    // It is remembered: nobody dies of it again, whatever is asked.
    let n_jobs = || workers.iter().map(Running::jobs).sum::<u32>();
    let before = n_jobs();
    for query in ["tag=overview_page", "tag=op_profile", "tag=trace_viewer@"] {
        let alone = server.get(&format!("/data?run=r&{query}&host=b")).await;
        assert_eq!(alone.status, 422, "{}", alone.text());
        assert!(alone.text().starts_with("b.xplane.pb is not sent to any worker"), "{}", alone.text());
    }
    assert_eq!(n_jobs(), before);
    // Answers without it are not kept: it may be tried again.
    let strict = server.get(&format!("{ALL}&strict=true")).await;
    assert_eq!(strict.status, 503, "{}", strict.text());
    assert_eq!(server.get(&format!("{ONE}&use_saved_result=false")).await.status, 200, "the others are served");
    let suspects = fleet(&server).await["suspects"].clone();
    assert!(suspects[0]["file"].as_str().unwrap().ends_with("/r/b.xplane.pb"), "{suspects}");
    assert_eq!((&suspects[0]["refused"], suspects[0]["died"].as_array().unwrap().len()), (&true.into(), 3));
}

#[tokio::test]
async fn two_deaths_make_nobody_guilty() {
    for n_deaths in [1, 2] {
        let (workers, server) = mortals(n_deaths).await;
        let answer = server.get(ALL).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-xprof-partial")), (200, ""), "{}", answer.text());
        assert!(workers.iter().map(Running::jobs).sum::<u32>() >= 4 + n_deaths as u32);
        assert_eq!(server.metrics.value("xprof_fanout_suspects_count"), Some(0), "an answer clears all");
    }
}

#[tokio::test]
async fn an_outage_is_told_at_once_and_ends_with_the_first_worker() {
    let worker = Running::start(Does::Answer).await;
    let address = worker.address.to_string();
    let server = aggregator(&[&address], &[]).serving(1).await;
    assert_eq!(server.get(ONE).await.status, 200);
    drop(worker);
    let ask = || server.get("/data?run=r&tag=overview_page&host=b&use_saved_result=false");
    let down = async {
        loop {
            let answer = ask().await;
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{}", answer.text());
            if answer.text().contains("none has been well for") {
                return answer.text();
            }
        }
    };
    let text = tokio::time::timeout(std::time::Duration::from_secs(20), down).await.unwrap();
    assert!(text.starts_with("no worker could be asked for b.xplane.pb") && text.contains(&address), "{text}");
    // Known to be down, workers are not asked for each request.
    let attempts = server.metrics.value("xprof_fanout_attempts_total");
    for _ in 0..20 {
        assert_eq!(ask().await.status, 503);
    }
    assert_eq!(server.metrics.value("xprof_fanout_attempts_total"), attempts);
    assert!(fleet(&server).await["down_for_s"].as_f64().unwrap() >= 0.4);
    let _back = Running::start_at(Does::Answer, &address).await;
    let server = server.serving(1).await;
    assert_eq!(server.get("/data?run=r&tag=overview_page&host=b").await.status, 200);
    assert_eq!(fleet(&server).await["down_for_s"], Value::Null);
}

#[tokio::test]
async fn slow_jobs_get_a_second_chance_if_asked_for() {
    let never = Arc::new(Semaphore::new(0));
    let (slow, quick) = (Running::start(Does::Wait(never)).await, Running::start(Does::Answer).await);
    let addresses = [slow.address.to_string(), quick.address.to_string()];
    let server = aggregator(&[&addresses[0], &addresses[1]], &["--hedge_after=30ms"]).serving(2).await;
    let answer = server.get(ALL).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-xprof-partial")), (200, ""), "{}", answer.text());
    assert!(slow.jobs() >= 2, "every other one begins there");
    let won = server.metrics.render();
    assert!(won.contains("xprof_fanout_hedges_total{outcome=\"won\"} 2"), "{won}");
}

#[tokio::test]
async fn a_full_worker_is_passed_over_and_asked_again_later() {
    let (full, other) = (Running::start(Does::Fail(Code::ResourceExhausted)).await, Running::start(Does::Answer).await);
    let addresses = [full.address.to_string(), other.address.to_string()];
    let server = aggregator(&[&addresses[0], &addresses[1]], &[]).serving(2).await;
    assert_eq!(server.get(ALL).await.status, 200);
    assert_eq!((full.jobs(), other.jobs()), (2, 4), "it is full, not unwell");
    *other.fake.does.lock().unwrap() = Does::Fail(Code::ResourceExhausted);
    let answer = server.get(&format!("{ONE}&use_saved_result=false")).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{}", answer.text());
    assert!(full.jobs() + other.jobs() > 8, "both were asked more than once");
}

#[tokio::test]
async fn operators_see_the_fleet() {
    let worker = Running::start(Does::Fail(Code::ResourceExhausted)).await;
    let address = worker.address.to_string();
    let server = aggregator(&[&address, "127.0.0.1:1"], &["--lb_policy=least_loaded"]).serving(1).await;
    server.get(ONE).await;
    let told = fleet(&server).await;
    assert_eq!((&told["policy"], told["targets"].as_array().unwrap().len()), (&"least_loaded".into(), 2));
    let (gone, full) = (&told["workers"][0], &told["workers"][1]);
    assert_eq!((&gone["address"], &gone["state"]), (&"127.0.0.1:1".into(), &"gone".into()));
    assert_eq!(
        (&full["address"], &full["state"], &full["load"]),
        (&address.as_str().into(), &"serving".into(), &0.into())
    );
    assert!(full["last_error"].as_str().unwrap().contains("RESOURCE_EXHAUSTED: said the worker"), "{full}");
    let page = server.send(Method::GET, "/debug/workers", &[("accept", "text/html,*/*")]).await;
    assert_eq!(page.header("content-type"), "text/html");
    assert!(page.text().contains(&format!("<td>{address}</td><td>serving</td>")), "{}", page.text());
    let alone = fleet(&Server::new(&[], &[])).await;
    assert_eq!((&alone["policy"], &alone["workers"]), (&"in_process".into(), &Value::Array(vec![])));
}

#[tokio::test]
async fn if_every_host_fails_each_is_named() {
    let files: &[(&str, &[u8])] =
        &[("plugins/profile/r/a.xplane.pb", DAMAGED), ("plugins/profile/r/b.xplane.pb", DAMAGED)];
    let server = Server::new(files, &[]);
    for query in ["", "&strict=true"] {
        let answer = server.get(&format!("{ALL}{query}")).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        let mut lines: Vec<_> = answer.text().lines().map(ToOwned::to_owned).collect();
        lines[1..].sort_unstable();
        assert_eq!((lines.len(), &*lines[0]), (3, "none of the 2 hosts can be answered for"));
        assert!(lines[1].starts_with("a.xplane.pb is not") && lines[2].starts_with("b.xplane.pb is not"), "{lines:?}");
    }
    let alone = server.get(&format!("{ONE}&strict=true")).await;
    assert!(alone.text().starts_with("a.xplane.pb is not"), "{}", alone.text());
    let server = Server::new(&[files[0], ("plugins/profile/s/c.xplane.pb", EMPTY)], &[]);
    let mixed = server.get("/data?run=r&tag=trace_viewer@&hosts=a,nowhere").await;
    assert_eq!((mixed.status.as_u16(), mixed.text().lines().count()), (422, 3), "{}", mixed.text());
}
