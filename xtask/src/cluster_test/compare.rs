//! The same faults against XProf's own aggregator and workers, as processes of this machine.
//!
//! What needs containers or another set of workers (scaling, DNS, network, CPU limits) has no counterpart here: a static list
//! of addresses is what XProf's manual offers outside Kubernetes. It is asked once a second, which it can do without any fault, and
//! only about all hosts together: of a single host it sends nothing to workers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::cluster::hold;
use super::faults::Pace;
use super::load::Load;
use super::questions::Questions;
use super::report::Report;
use crate::process::{Service, free_port};

const N_WORKERS: usize = 4;

struct Fleet {
    program: PathBuf,
    logdir: PathBuf,
    ports: Vec<u16>,
    workers: Vec<Service>,
}

/// Runs the faults and adds their rows. `logdir` must be writable: XProf keeps its caches beside the traces.
pub fn run(program: &Path, logdir: &Path, questions: Questions, pace: Pace, report: &mut Report) -> Result<()> {
    let ports = (0..N_WORKERS).map(|_| free_port()).collect::<Result<Vec<_>>>()?;
    let mut fleet = Fleet { program: program.to_owned(), logdir: logdir.to_owned(), ports, workers: Vec::new() };
    for i in 0..N_WORKERS {
        let worker = fleet.worker(i)?;
        fleet.workers.push(worker);
    }
    let addresses: Vec<_> = fleet.ports.iter().map(|p| format!("127.0.0.1:{p}")).collect();
    let port = free_port()?;
    let workers = format!("--worker_service_address={}", addresses.join(","));
    let mut aggregator = Service::start("aggregator", fleet.command(port, free_port()?, &[workers]), true)?;
    aggregator.wait_for_port(port)?;
    let load = Load::start(questions, 1, SocketAddr::from(([127, 0, 0, 1], port)))?;
    let faults: [(&str, fn(&mut Fleet, Pace) -> Result<()>); 5] = [
        ("nothing", nothing),
        ("kill -9 of a worker every 5 s", kill),
        ("rolling restart of all workers", roll),
        ("a paused worker", pause),
        ("no worker at all", outage),
    ];
    for (what, fault) in faults {
        let from = Instant::now();
        fault(&mut fleet, pace)?;
        report.row(&format!("XProf: {what}"), &load.window(from, Instant::now()));
    }
    Ok(())
}

impl Fleet {
    fn command(&self, port: u16, grpc_port: u16, flags: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("server").arg(format!("--logdir={}", self.logdir.display()));
        command.args([format!("--port={port}"), format!("--grpc_port={grpc_port}")]).args(flags);
        command
    }

    fn worker(&self, i: usize) -> Result<Service> {
        let mut worker = Service::start(&format!("worker-{i}"), self.command(free_port()?, self.ports[i], &[]), true)?;
        worker.wait_for_port(self.ports[i])?;
        Ok(worker)
    }
}

fn nothing(_: &mut Fleet, pace: Pace) -> Result<()> {
    hold(pace.hold);
    Ok(())
}

fn kill(fleet: &mut Fleet, pace: Pace) -> Result<()> {
    for n in 0..pace.kills {
        let next = Instant::now() + Duration::from_secs(5);
        let i = n % N_WORKERS;
        fleet.workers[i].signal("KILL")?;
        hold(1);
        fleet.workers[i] = fleet.worker(i)?;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// A static list has no place for a new worker before the old one is gone.
fn roll(fleet: &mut Fleet, _: Pace) -> Result<()> {
    for i in 0..N_WORKERS {
        drop(fleet.workers.remove(i));
        let worker = fleet.worker(i)?;
        fleet.workers.insert(i, worker);
    }
    hold(3);
    Ok(())
}

fn pause(fleet: &mut Fleet, pace: Pace) -> Result<()> {
    fleet.workers[0].signal("STOP")?;
    hold(pace.hold);
    fleet.workers[0].signal("CONT")?;
    hold(3);
    Ok(())
}

fn outage(fleet: &mut Fleet, pace: Pace) -> Result<()> {
    fleet.workers.iter().try_for_each(|worker| worker.signal("KILL"))?;
    hold(pace.hold.max(10));
    for i in 0..N_WORKERS {
        fleet.workers[i] = fleet.worker(i)?;
    }
    hold(5);
    Ok(())
}
