//! The topology of XProf's deployment guide as containers: workers behind one name, an aggregator that knows only the name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::load::Load;
use crate::docker::network::{Container, Network, Start};

/// The name that leads to all workers.
pub const SERVICE: &str = "xprof-worker-service.default.svc.cluster.local";
/// Where every container sees the traces.
pub const MOUNT: &str = "/traces";

pub const HTTP_PORT: u16 = 10000;
pub const ADMIN_PORT: u16 = 9999;
pub const GRPC_PORT: u16 = 8891;

/// The guide's own command lines and variables: nothing is added, so that its manifests are what is tested.
const WORKER: [&str; 3] = ["--port=9999", "-gp=8891", "--hide_capture_profile_button"];
const AGGREGATOR: [&str; 4] = [
    "--port=10000",
    "--worker_service_address=dns:///xprof-worker-service.default.svc.cluster.local:8891",
    "-gp=50051",
    "--hide_capture_profile_button",
];
const VARIABLES: [&str; 2] = ["--env=GRPC_LB_POLICY=round_robin", "--env=GRPC_DNS_RESOLVER=native"];

/// Workers under a load. The network is removed last.
pub struct Cluster {
    pub load: Load,
    pub workers: Vec<Container>,
    pub aggregator: Container,
    pub place: Place,
    n_started: usize,
}

/// Where containers run and what they see.
pub struct Place {
    /// Seen as [`MOUNT`].
    pub traces: PathBuf,
    pub network: Network,
}

impl Place {
    /// Starts a worker with more options of `docker run`, and waits until it serves.
    pub fn worker(&self, name: &str, options: &[&str]) -> Result<Container> {
        let mut options: Vec<String> = options.iter().map(ToString::to_string).collect();
        options.push(self.volume());
        let worker = self.network.start(&Start {
            name,
            alias: Some(SERVICE),
            image: "xprof-worker",
            options: &options,
            arguments: &WORKER.map(Into::into),
        })?;
        worker.wait_for(ADMIN_PORT, "/ready")?;
        Ok(worker)
    }

    /// Starts an aggregator of the guide with more flags, and waits until it serves.
    pub fn aggregator(&self, name: &str, options: &[String], flags: &[&str]) -> Result<Container> {
        let mut all = vec![self.volume()];
        all.extend(VARIABLES.map(Into::into));
        all.extend_from_slice(options);
        let arguments: Vec<_> = AGGREGATOR.iter().chain(flags).map(ToString::to_string).collect();
        let image = "xprof-aggregator";
        let aggregator =
            self.network.start(&Start { name, alias: None, image, options: &all, arguments: &arguments })?;
        aggregator.wait_for(HTTP_PORT, "/version")?;
        Ok(aggregator)
    }

    fn volume(&self) -> String {
        format!("--volume={}:{MOUNT}:ro", self.traces.display())
    }
}

/// Where an aggregator answers.
pub fn http_of(aggregator: &Container) -> SocketAddr {
    SocketAddr::new(aggregator.ip, HTTP_PORT)
}

impl Cluster {
    pub fn new(place: Place, aggregator: Container, load: Load) -> Self {
        Self { load, workers: Vec::new(), aggregator, place, n_started: 0 }
    }

    /// Starts or stops workers until there are so many.
    pub fn scale(&mut self, n: usize) -> Result<()> {
        while self.workers.len() < n {
            self.n_started += 1;
            let worker = self.place.worker(&format!("w{:02}", self.n_started), &[])?;
            self.workers.push(worker);
            self.watch();
        }
        while self.workers.len() > n {
            if let Some(worker) = self.workers.pop() {
                worker.stop()?;
            }
            self.watch();
        }
        Ok(())
    }

    /// Tells the load where the workers are now.
    pub fn watch(&self) {
        let admin = |w: &Container| (w.short_name().to_owned(), SocketAddr::new(w.ip, ADMIN_PORT));
        self.load.watch(self.workers.iter().map(admin).collect::<BTreeMap<_, _>>());
    }
}

/// Lets the load run on.
pub fn hold(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}
