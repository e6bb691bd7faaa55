//! Map jobs on fake workers: even shares, failover, XProf's own workers, cancellation, limits.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use prost::Message as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use tonic::Code;
use xprof_aggregator::serve;
use xprof_aggregator::workers::lookup::{Found, Lookup};
use xprof_proto::tensorflow::profiler::{XEvent, XEventMetadata, XLine, XPlane, XSpace, x_event};
use xprof_service::shutdown::Shutdown;

use crate::fake_worker::{Does, Running};
use crate::support::{EMPTY, Server, until, write};

pub const FOUR_HOSTS: &[(&str, &[u8])] = &[
    ("plugins/profile/r/a.xplane.pb", EMPTY),
    ("plugins/profile/r/b.xplane.pb", EMPTY),
    ("plugins/profile/r/c.xplane.pb", EMPTY),
    ("plugins/profile/r/d.xplane.pb", EMPTY),
];

pub const ALL: &str = "/data?run=r&tag=overview_page&host=ALL_HOSTS";
pub const ONE: &str = "/data?run=r&tag=overview_page&host=a";

/// An aggregator over four hosts and these workers.
pub fn aggregator(workers: &[&str], args: &[&str]) -> Server {
    let list = format!("--worker_service_address={}", workers.join(","));
    let mut all = vec![list.as_str(), "--worker_wait=400ms"];
    all.extend(args);
    Server::new(FOUR_HOSTS, &all)
}

/// An address where nobody listens.
async fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn workers_share_evenly_and_answer_as_one_process_does() {
    let (w1, w2) = (Running::start(Does::Answer).await, Running::start(Does::Answer).await);
    let server = aggregator(&[&w1.address.to_string(), &w2.address.to_string()], &[]).serving(2).await;
    let far = server.get(ALL).await;
    assert_eq!(far.status, 200, "{}", far.text());
    assert_eq!((w1.jobs(), w2.jobs()), (2, 2));
    assert_eq!(far.header("x-xprof-problems"), "duplicate_key=8");
    let near = Server::new(FOUR_HOSTS, &[]).get(ALL).await;
    assert_eq!((far.body, far.headers.get("etag")), (near.body, near.headers.get("etag")));

    let request = w1.fake.last.lock().unwrap().take().unwrap();
    let trace = request.trace.unwrap();
    assert!(trace.path.starts_with('/') && trace.path.ends_with(&format!("/r/{}.xplane.pb", request.host)));
    assert!(trace.modified_unix_ns > 0 && request.tool == "overview_page" && request.request_id.len() == 36);
    assert!(request.parameters.is_empty(), "only what map depends on travels");
    server.get(ALL).await;
    assert_eq!((w1.jobs(), w2.jobs()), (2, 2), "the second answer comes from the cache");
}

#[tokio::test]
async fn lost_jobs_move_to_another_worker() {
    for does in
        [Does::Fail(Code::Unavailable), Does::Fail(Code::ResourceExhausted), Does::Fail(Code::Aborted), Does::EndEarly]
    {
        let (bad, good) = (Running::start(does).await, Running::start(Does::Answer).await);
        let server = aggregator(&[&bad.address.to_string(), &good.address.to_string()], &[]);
        let answer = server.get(ALL).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-xprof-failed-hosts")), (200, ""), "{}", answer.text());
        assert_eq!(good.jobs(), 4);
    }
    // Nobody there, and somebody who hangs up at once.
    let good = Running::start(Does::Answer).await;
    let rude = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rude_address = rude.local_addr().unwrap().to_string();
    let _task = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok((stream, _)) = rude.accept().await {
            drop(stream);
        }
    }));
    let server = aggregator(&[&dead_address().await, &good.address.to_string(), &rude_address], &[]);
    let answer = server.get(ALL).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(good.jobs(), 4);
}

#[tokio::test]
async fn failures_of_the_job_itself_stay_where_they_are() {
    for (code, status) in [
        (Code::DataLoss, 422),
        (Code::OutOfRange, 422),
        (Code::InvalidArgument, 400),
        (Code::NotFound, 404),
        (Code::Internal, 502),
        (Code::PermissionDenied, 502),
    ] {
        let (w1, w2) = (Running::start(Does::Fail(code)).await, Running::start(Does::Fail(code)).await);
        let server = aggregator(&[&w1.address.to_string(), &w2.address.to_string()], &[]);
        let answer = server.get(ONE).await;
        assert_eq!(answer.status, status, "{code:?}");
        assert_eq!(answer.text(), "a.xplane.pb: said the worker");
        assert_eq!(w1.jobs() + w2.jobs(), 1, "{code:?} is not tried again");
    }
    let worker = Running::start(Does::FailFor("b", Code::DataLoss)).await;
    let server = aggregator(&[&worker.address.to_string()], &[]);
    let answer = server.get(ALL).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-xprof-failed-hosts")), (200, "b"));
    assert!(answer.header("x-xprof-problems").contains("host_failed=1"));
}

#[tokio::test]
async fn hosts_that_fail_are_named_and_kept_only_if_they_would_fail_again() {
    let strict = format!("{ALL}&strict=true");
    for (does, refusal, reason, jobs) in [
        (Does::FailFor("b", Code::DataLoss), 422, "b.xplane.pb: said the worker", [4, 4]),
        (Does::FailFor("b", Code::NotFound), 503, "b.xplane.pb: said the worker", [8, 12]),
        // Whether a worker had the job just then is said, too, and is a matter of chance.
        (Does::HangFor("b"), 503, "b: the request took longer than the request's deadline", [8, 12]),
    ] {
        let worker = Running::start(does).await;
        let server = aggregator(&[&worker.address.to_string()], &["--request_timeout=2s"]);
        let began = Instant::now();
        let answer = server.get(ALL).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(began.elapsed() < Duration::from_secs(2), "{reason}: the answer comes while somebody waits for it");
        assert_eq!((answer.header("x-xprof-partial"), answer.header("x-xprof-failed-hosts")), ("3/4", "b"));
        assert!(answer.header("x-xprof-reason").starts_with(reason), "{}", answer.header("x-xprof-reason"));
        let refused = server.get(&strict).await;
        assert_eq!(refused.status, refusal, "{}", refused.text());
        let text = format!("strict=true, and 1 of 4 hosts failed\n{reason}");
        assert!(refused.text().starts_with(&text), "{}", refused.text());
        assert_eq!(refused.header("retry-after").is_empty(), refusal == 422);
        assert_eq!(worker.jobs(), jobs[0], "{reason}");
        let again = server.get(ALL).await;
        assert_eq!((again.header("x-xprof-partial"), &again.body), ("3/4", &answer.body), "a refusal is not kept");
        assert_eq!(worker.jobs(), jobs[1], "{reason}");
        // Whoever was late or not to be seen may be there the next time.
        *worker.fake.does.lock().unwrap() = Does::Answer;
        let whole = server.get(&strict).await;
        assert_eq!(whole.status.as_u16(), if refusal == 422 { 422 } else { 200 }, "{}", whole.text());
        assert_eq!(whole.header("x-xprof-partial"), "");
    }
    let worker = Running::start(Does::HangFor("a")).await;
    let server = aggregator(&[&worker.address.to_string()], &["--request_timeout=300ms"]);
    assert_eq!(server.get(ONE).await.status, 504, "one host alone is late");
}

#[tokio::test]
async fn a_worker_with_an_old_view_of_the_file_is_passed_over() {
    let (old, good) = (Running::start(Does::Fail(Code::FailedPrecondition)).await, Running::start(Does::Answer).await);
    let server = aggregator(&[&old.address.to_string(), &good.address.to_string()], &[]);
    assert_eq!(server.get(ALL).await.status, 200);
    assert_eq!(good.jobs(), 4);
}

#[tokio::test]
async fn without_workers_the_answer_is_503() {
    let server = aggregator(&[&dead_address().await], &[]);
    let answer = server.get(ONE).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{}", answer.text());
    assert!(answer.text().contains("a.xplane.pb"), "{}", answer.text());
    // A name that leads nowhere says so.
    let lookup: Lookup = Arc::new(|_| async { Err("no such name".into()) }.boxed());
    let args = ["--worker_service_address=dns:///nowhere.invalid:5", "--worker_wait=300ms"];
    let server = Server::with_lookup(FOUR_HOSTS, &args, Some(lookup));
    let answer = server.get(ONE).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("nowhere.invalid:5 leads to no address"), "{}", answer.text());
}

#[tokio::test]
async fn workers_come_and_go_behind_a_name() {
    // Two loopback addresses with one port, as two pods behind one name.
    let first = Running::start_at(Does::Answer, "127.0.0.1:0").await;
    let port = first.address.port();
    let second = Running::start_at(Does::Answer, &format!("127.0.0.2:{port}")).await;
    let ips = Arc::new(Mutex::new(vec![first.address.ip()]));
    let seen = Arc::clone(&ips);
    let found = move || Found { ips: seen.lock().unwrap().clone(), ttl: Duration::MAX };
    let lookup: Lookup = Arc::new(move |_| std::future::ready(Ok(found())).boxed());
    let target = format!("--worker_service_address=dns:///workers:{port}");
    let server = Server::with_lookup(FOUR_HOSTS, &[&target, "--dns_refresh=100ms"], Some(lookup));
    assert_eq!(server.get(ONE).await.status, 200);
    assert_eq!((first.jobs(), second.jobs()), (1, 0));
    *ips.lock().unwrap() = vec![second.address.ip()];
    let moved = async {
        while second.jobs() == 0 {
            assert_eq!(server.get(&format!("{ONE}&use_saved_result=false")).await.status, 200);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), moved).await.unwrap();
    assert_eq!(server.metrics.value("xprof_workers_known_count"), Some(1));
}

#[tokio::test]
async fn workers_of_xprof_are_used_for_what_they_can() {
    let worker = Running::start(Does::Legacy).await;
    let server = aggregator(&[&worker.address.to_string()], &[]);
    let far = server.get(ALL).await;
    assert_eq!(far.status, 200, "{}", far.text());
    let jobs = || worker.fake.legacy_jobs.load(Ordering::SeqCst);
    assert_eq!(jobs(), 4);
    let near = Server::new(FOUR_HOSTS, &[]).get(ALL).await;
    assert_eq!(far.body, near.body);
    // Another tool is done in this process, without asking the worker.
    assert_eq!(server.get("/data?run=r&tag=trace_viewer@&host=a").await.status, 200);
    assert_eq!(jobs(), 4);
    assert_eq!(server.metrics.value("xprof_fanout_in_process_total"), Some(1));
}

#[tokio::test]
async fn equal_requests_share_one_computation() {
    let gate = Arc::new(Semaphore::new(0));
    let worker = Running::start(Does::Wait(Arc::clone(&gate))).await;
    let server = aggregator(&[&worker.address.to_string()], &[]);
    let flights = Arc::clone(&server.app.state);
    let open = async {
        until("one job at the worker", || worker.jobs() == 1).await;
        gate.add_permits(10);
    };
    let (a, b, c, ()) = tokio::join!(server.get(ONE), server.get(ONE), server.get(ONE), open);
    assert_eq!((a.status.as_u16(), &a.body, &a.body), (200, &b.body, &c.body));
    assert_eq!(worker.jobs(), 1);
    assert!(flights.flights.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_work() {
    let worker = Running::start(Does::Wait(Arc::new(Semaphore::new(0)))).await;
    let server = aggregator(&[&worker.address.to_string()], &[]);
    let mut leaving = Box::pin(server.get(ONE));
    tokio::select! {
        _ = &mut leaving => panic!("nobody answers"),
        () = until("the job is at the worker", || worker.jobs() == 1) => {}
    }
    assert!(!worker.fake.abandoned.load(Ordering::SeqCst));
    drop(leaving);
    until("the worker hears of it", || worker.fake.abandoned.load(Ordering::SeqCst)).await;
    assert!(server.app.state.flights.is_empty());
    assert_eq!(server.metrics.value("xprof_http_in_flight_requests"), Some(0));
}

#[tokio::test]
async fn a_connection_that_closes_stops_its_work() {
    let worker = Running::start(Does::Wait(Arc::new(Semaphore::new(0)))).await;
    let server = aggregator(&[&worker.address.to_string()], &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::manual(Duration::from_secs(1));
    let _serving =
        AbortOnDropHandle::new(tokio::spawn(serve(listener, server.app.service.clone(), shutdown).map(|_| ())));
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(format!("GET {ONE} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    until("the job is at the worker", || worker.jobs() == 1).await;
    drop(client);
    until("the worker hears of it", || worker.fake.abandoned.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn limits_answer_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let worker = Running::start(Does::Wait(Arc::clone(&gate))).await;
    let address = worker.address.to_string();
    let server = aggregator(&[&address], &["--max_in_flight=1"]);
    let refused = async {
        until("the first request is at the worker", || worker.jobs() == 1).await;
        let refused = server.get("/version").await;
        gate.add_permits(1);
        refused
    };
    let (first, refused) = tokio::join!(server.get(ONE), refused);
    assert_eq!(first.status, 200);
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"));
    assert!(refused.text().contains("1 requests are under way"), "{}", refused.text());
    assert_eq!(server.get("/version").await.status, 200);

    let server = aggregator(&[&address], &["--request_timeout=300ms"]);
    let late = server.get(ONE).await;
    assert_eq!(late.status, 504, "{}", late.text());
}

#[tokio::test]
async fn a_trace_that_changes_is_planned_again() {
    let gate = Arc::new(Semaphore::new(0));
    let worker = Running::start(Does::WaitAndFail(Arc::clone(&gate), Code::FailedPrecondition)).await;
    let server = aggregator(&[&worker.address.to_string()], &[]);
    let change = async {
        until("the first plan is at the worker", || worker.jobs() == 1).await;
        write(server.logdir.path(), "plugins/profile/r/a.xplane.pb", b"\x22\x01h");
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(server.get(ONE), change);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let last = worker.fake.last.lock().unwrap().take().unwrap();
    assert_eq!((worker.jobs(), last.trace.unwrap().size_bytes), (2, 3), "the second job means the new version");
}

/// A trace with one event, and a field of that length that no reader knows.
fn one_event(host: &str, n_more: usize) -> Vec<u8> {
    let data = Some(x_event::Data::OffsetPs(0));
    let event = XEvent { metadata_id: 1, duration_ps: 1_000_000, data, ..XEvent::default() };
    let metadata = XEventMetadata { id: 1, name: format!("work of {host}"), ..XEventMetadata::default() };
    let plane = XPlane {
        name: "/host:CPU".into(),
        lines: vec![XLine { id: 1, name: "thread".into(), events: vec![event], ..XLine::default() }],
        event_metadata: [(1, metadata)].into(),
        ..XPlane::default()
    };
    let mut bytes = XSpace { planes: vec![plane], ..XSpace::default() }.encode_to_vec();
    bytes.extend_from_slice(&[0x7a, n_more as u8]);
    bytes.resize(bytes.len() + n_more, b'x');
    bytes
}

#[tokio::test]
async fn hosts_are_merged_in_the_order_of_the_directory_wherever_they_are_mapped() {
    let (w1, w2) = (Running::start(Does::Answer).await, Running::start(Does::Answer).await);
    let server = aggregator(&[&w1.address.to_string(), &w2.address.to_string()], &[]);
    // Of different sizes: the largest is sent first, whatever its place.
    for (n, host) in ["a", "b", "c", "d"].iter().enumerate() {
        write(server.logdir.path(), &format!("plugins/profile/r/{host}.xplane.pb"), &one_event(host, n * 9));
    }
    let listed: Vec<String> = std::fs::read_dir(server.path("plugins/profile/r"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap().replace(".xplane.pb", ""))
        .collect();
    let target = "/data?run=r&tag=trace_viewer@&host=ALL_HOSTS";
    let all = server.get(target).await;
    assert_eq!(all.status, 200, "{}", all.text());
    assert_eq!(w1.jobs() + w2.jobs(), 4);
    let near = Server::over(server.logdir, &[]);
    assert!(near.get(target).await.body == all.body, "the same without workers");
    for (query, same) in [
        (format!("hosts={}", listed.join(",")), true),
        (format!("hosts={}", listed.iter().rev().cloned().collect::<Vec<_>>().join(",")), false),
        (String::new(), true),
    ] {
        let answer = near.get(&format!("/data?run=r&tag=trace_viewer@&{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.headers["etag"] == all.headers["etag"], same, "{query}");
    }
}
