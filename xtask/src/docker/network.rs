//! Containers on a Docker network of their own, which go when their owner goes.
//!
//! Takes images and flags, gives addresses that this machine reaches directly. It knows nothing of what runs in them.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::docker;
use crate::load::http;

/// A network with Docker's own DNS: containers of one alias are the addresses of one name, as of a headless service.
pub struct Network {
    name: String,
}

/// One running container.
pub struct Container {
    pub name: String,
    pub ip: IpAddr,
    network: String,
}

/// How a container is started.
pub struct Start<'a> {
    /// Its own name, unique on the network.
    pub name: &'a str,
    /// Another name, which several may share.
    pub alias: Option<&'a str>,
    pub image: &'a str,
    /// More options of `docker run`.
    pub options: &'a [String],
    /// The arguments of the program.
    pub arguments: &'a [String],
}

impl Network {
    /// A network of this process; its name begins with what it is for.
    pub fn create(purpose: &str) -> Result<Self> {
        let name = format!("{purpose}-{}", std::process::id());
        docker::run(&["network", "create", &name])?;
        Ok(Self { name })
    }

    /// The address of this machine on the network.
    pub fn gateway(&self) -> Result<IpAddr> {
        let text = docker::run(&["network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", &self.name])?;
        text.parse().with_context(|| format!("{text:?} is no gateway"))
    }

    /// Starts a container in the background.
    pub fn start(&self, start: &Start<'_>) -> Result<Container> {
        let arguments = [vec!["run".to_owned(), "--detach".to_owned()], self.arguments(start)].concat();
        docker::run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        let name = format!("{}-{}", self.name, start.name);
        let mut container = Container { name, ip: IpAddr::from([0, 0, 0, 0]), network: self.name.clone() };
        container.ip = container.address()?;
        Ok(container)
    }

    /// What follows `docker run`: as the manifests do, read-only and without privileges.
    pub fn arguments(&self, start: &Start<'_>) -> Vec<String> {
        let mut arguments: Vec<String> =
            ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"].map(Into::into).into();
        arguments.push(format!("--name={}-{}", self.name, start.name));
        arguments.extend([format!("--network={}", self.name), format!("--hostname={}", start.name)]);
        arguments.extend(start.alias.map(|alias| format!("--network-alias={alias}")));
        arguments.extend_from_slice(start.options);
        arguments.push(start.image.to_owned());
        arguments.extend_from_slice(start.arguments);
        arguments
    }

    /// Removes the network and what is still on it; for the end of a run that was interrupted.
    pub fn remove(name: &str) {
        let listed = docker::run(&["ps", "--all", "--quiet", "--filter", &format!("network={name}")]);
        for id in listed.unwrap_or_default().lines() {
            let _ = docker::run(&["rm", "--force", id]);
        }
        let _ = docker::run(&["network", "rm", name]);
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        Self::remove(&self.name);
    }
}

impl Container {
    fn address(&self) -> Result<IpAddr> {
        let text = self.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")?;
        text.parse().with_context(|| format!("{} has no address, its last words: {}", self.name, self.last_words()))
    }

    /// What `docker inspect` says about it.
    pub fn inspect(&self, format: &str) -> Result<String> {
        docker::run(&["inspect", "--format", format, &self.name])
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let output = std::process::Command::new("docker").args(["logs", "--tail=5", &self.name]).output();
        output.map_or_else(
            |e| e.to_string(),
            |o| format!("{}{}", String::from_utf8_lossy(&o.stdout), String::from_utf8_lossy(&o.stderr)),
        )
    }

    /// Waits until a path of one of its ports is answered with 200.
    pub fn wait_for(&self, port: u16, path: &str) -> Result<()> {
        let (address, request) = (SocketAddr::new(self.ip, port), http::request(path, ""));
        let began = Instant::now();
        while !http::get(address, &request).is_ok_and(|(status, _)| status == 200) {
            if began.elapsed() > Duration::from_secs(60) {
                bail!("{} does not answer {path} on port {port} after a minute: {}", self.name, self.last_words());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// As a crash.
    pub fn kill(&self) -> Result<()> {
        docker::run(&["kill", &self.name]).map(drop)
    }

    /// As Kubernetes ends a pod: SIGTERM, then time to finish.
    pub fn stop(&self) -> Result<()> {
        docker::run(&["stop", "--time=30", &self.name]).map(drop)
    }

    pub fn pause(&self) -> Result<()> {
        docker::run(&["pause", &self.name]).map(drop)
    }

    pub fn unpause(&self) -> Result<()> {
        docker::run(&["unpause", &self.name]).map(drop)
    }

    /// Takes its network interface away: what is sent to it is lost.
    pub fn cut(&self) -> Result<()> {
        docker::run(&["network", "disconnect", &self.network, &self.name]).map(drop)
    }

    /// Gives it an interface again, under the alias.
    pub fn mend(&mut self, alias: &str) -> Result<()> {
        docker::run(&["network", "connect", "--alias", alias, &self.network, &self.name])?;
        self.ip = self.address()?;
        Ok(())
    }

    pub fn limit_cpus(&self, cpus: &str) -> Result<()> {
        docker::run(&["update", "--cpus", cpus, &self.name]).map(drop)
    }

    /// Stops it and starts it again with the same flags.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// Starts it again after it ended.
    pub fn start_again(&mut self) -> Result<()> {
        docker::run(&["start", &self.name])?;
        self.ip = self.address()?;
        Ok(())
    }

    /// How long its process has been running.
    pub fn age(&self) -> Result<Duration> {
        let now = std::time::UNIX_EPOCH.elapsed()?;
        let started = self.inspect("{{.State.StartedAt}}")?;
        let output = std::process::Command::new("date").args(["--date", &started, "+%s%N"]).output()?;
        let started: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().context("no time of start")?;
        Ok(now.saturating_sub(Duration::from_nanos(started)))
    }

    /// Its name on the network.
    pub fn short_name(&self) -> &str {
        self.name.strip_prefix(&self.network).map_or(&self.name, |n| n.trim_start_matches('-'))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = docker::run(&["rm", "--force", "--volumes", &self.name]);
    }
}
