//! A log directory, an application over it, and one call to ask it.

use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tower::ServiceExt as _;
use xprof_aggregator::App;
use xprof_aggregator::app::build_with;
use xprof_aggregator::config::{Config, PROGRAM, RawConfig};
use xprof_aggregator::workers::lookup::Lookup;
use xprof_service::config::{Sources, Start, load};
use xprof_service::metrics::Metrics;

/// Bytes that are no trace: a field whose length has no end.
pub const DAMAGED: &[u8] = &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// A trace of one plane without lines.
pub const EMPTY: &[u8] = &[0x0a, 0];

/// An application and what it serves.
pub struct Server {
    pub app: App,
    pub logdir: TempDir,
    pub metrics: Metrics,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// A log directory with these files.
pub fn logdir(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        write(dir.path(), path, bytes);
    }
    dir
}

/// Writes a file and the directories that lead to it.
pub fn write(dir: &Path, path: &str, bytes: &[u8]) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The configuration of these arguments.
pub fn config(args: &[String]) -> Config {
    let sources = Sources { args: args.to_vec(), ..Sources::default() };
    match load::<RawConfig>(&PROGRAM, &sources).unwrap() {
        Start::Run(loaded) => loaded.config.check(None).unwrap(),
        Start::Print(text) => panic!("{text}"),
    }
}

impl Server {
    /// Over these files, with these further arguments.
    pub fn new(files: &[(&str, &[u8])], args: &[&str]) -> Self {
        Self::with_lookup(files, args, None)
    }

    pub fn with_lookup(files: &[(&str, &[u8])], args: &[&str], lookup: Option<Lookup>) -> Self {
        Self::build(logdir(files), args, lookup)
    }

    /// Over a log directory that is there already.
    pub fn over(logdir: TempDir, args: &[&str]) -> Self {
        Self::build(logdir, args, None)
    }

    fn build(logdir: TempDir, args: &[&str], lookup: Option<Lookup>) -> Self {
        let mut all = vec![format!("--logdir={}", logdir.path().display())];
        all.extend(args.iter().map(ToString::to_string));
        let metrics = Metrics::new();
        let app = build_with(config(&all), metrics.clone(), lookup).unwrap();
        Self { app, logdir, metrics }
    }

    /// Waits until so many workers are known to be well: before, the first one that answered a probe gets all jobs.
    pub async fn serving(self, n_workers: i64) -> Self {
        let count = || self.metrics.value("xprof_workers_serving_count");
        until("workers that serve", || count() == Some(n_workers)).await;
        self
    }

    /// Below the log directory.
    pub fn path(&self, path: &str) -> String {
        self.logdir.path().join(path).display().to_string()
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.send(Method::GET, target, &[]).await
    }

    pub async fn send(&self, method: Method, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.app.service.clone().oneshot(request.body(()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// Waits until something holds; a test that hangs fails here and not in the harness.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), wait).await.is_ok(), "waited in vain for: {what}");
}
