//! What must be true of a cluster without any fault: recorded answers, restarts, equal aggregators, memory.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xprof_core::fixture::{TpuSession, generate_host};
use xprof_core::session::file_of_host;

use super::cluster::{GRPC_PORT, HTTP_PORT, MOUNT, Place, http_of};
use super::report::Claim;
use crate::conform;
use crate::docker::network::Container;
use crate::load::http;

/// The recorded answers of XProf, through an aggregator over the workers.
pub fn conformance(place: &Place, decks: &[&str]) -> Result<Vec<Claim>> {
    if !conform::is_here() {
        println!("SKIPPED: no recorded answers beside the project");
        return Ok(Vec::new());
    }
    let mut claims = Vec::new();
    for &deck in decks {
        conform::copy_deck(deck, &place.traces.join(deck))?;
        let aggregator =
            place.aggregator(deck, &[], &[&format!("--logdir={MOUNT}/{deck}"), "--nohide_capture_profile_button"])?;
        let server = format!("http://{}", http_of(&aggregator));
        let failed = conform::against(&conform::Args::default(), deck, &server, "containers")?;
        claims.push(Claim::new(failed == 0, format!("{deck}: {failed} answers differ from XProf's recorded ones")));
    }
    Ok(claims)
}

/// A second aggregator gives the answers of the first; restarted, it gives them within a second.
pub fn second_aggregator(place: &Place, differ: impl Fn(SocketAddr) -> Result<usize>) -> Result<Vec<Claim>> {
    let mut second = place.aggregator("aggregator-2", &[], &[])?;
    let n_different = differ(http_of(&second))?;
    second.restart()?;
    let path = format!("/run_tools?run=session_0000&session_path={MOUNT}/logs/plugins/profile/session_0000");
    second.wait_for(HTTP_PORT, &path)?;
    let took = second.age()?;
    let again = differ(http_of(&second))?;
    Ok(vec![
        Claim::new(n_different == 0, format!("two aggregators side by side: {n_different} answers differ")),
        Claim::timed(
            took < Duration::from_secs(1),
            format!("a restarted aggregator answers {} ms after its process began", took.as_millis()),
        ),
        Claim::new(again == 0, format!("after the restart {again} answers differ")),
    ])
}

const BIG_BYTES: usize = 83_000_000;
const BIG_JOBS: usize = 40;

/// A worker of 1 GiB with forty jobs of 83 MB at once: each is answered or shed, and nothing is killed.
pub fn memory(place: &Place) -> Result<Vec<Claim>> {
    big_session(&place.traces.join("big"))?;
    let worker = place.worker("worker-1g", &["--memory=1g", "--memory-swap=1g"])?;
    let flags = [&format!("--worker_service_address={}:{GRPC_PORT}", worker.ip), "--max_concurrent_worker_requests=40"];
    let aggregator = place.aggregator("aggregator-1g", &[], &flags.map(|f: &str| f))?;
    let server = http_of(&aggregator);
    let began = Instant::now();
    let asked: Vec<_> = (0..BIG_JOBS).map(|i| std::thread::spawn(move || ask_big(server, i))).collect();
    let answers = asked
        .into_iter()
        .map(|a| a.join().map_err(|_| anyhow::anyhow!("an asking thread panicked"))?)
        .collect::<Result<Vec<_>>>()?;
    let elapsed = began.elapsed();
    let peak = peak_mib(&worker)?;
    let killed = worker.inspect("{{.State.OOMKilled}} {{.State.Running}}")?;
    let count = |wanted: u16| answers.iter().filter(|(status, _)| *status == wanted).count();
    let (done, shed) = (count(200), answers.iter().filter(|(s, body)| *s == 503 && !body.is_empty()).count());
    for (status, body) in answers.iter().filter(|(status, _)| *status != 200) {
        println!("  {status}: {}", String::from_utf8_lossy(body));
    }
    Ok(vec![
        Claim::new(
            killed == "false true",
            format!("a worker of 1 GiB survives {BIG_JOBS} jobs of 83 MB at once (peak {peak} MiB)"),
        ),
        Claim::new(
            done > 0 && done + shed == BIG_JOBS,
            format!("of these {done} were answered and {shed} shed with a reason, in {:.0} s", elapsed.as_secs_f64()),
        ),
    ])
}

/// One big trace under the names of forty hosts: each name is another file to a worker.
fn big_session(logdir: &Path) -> Result<()> {
    let run = logdir.join("plugins/profile/big");
    std::fs::create_dir_all(&run)?;
    let first = run.join(file_of_host("host_00"));
    std::fs::write(&first, generate_host(&TpuSession::of_size(1, BIG_BYTES), 0))?;
    for i in 1..BIG_JOBS {
        std::fs::hard_link(&first, run.join(file_of_host(&format!("host_{i:02}"))))?;
    }
    Ok(())
}

fn ask_big(server: SocketAddr, i: usize) -> Result<(u16, Vec<u8>)> {
    let session = format!("{MOUNT}/big/plugins/profile/big");
    let path = format!("/data?session_path={session}&run=big&tag=overview_page&host=host_{i:02}");
    http::get(server, &http::request(&path, ""))
}

/// The most memory that the program in a container held, in MiB.
fn peak_mib(container: &Container) -> Result<u64> {
    let id = container.inspect("{{.State.Pid}}")?;
    ensure!(id != "0", "{} has ended: {}", container.name, container.last_words());
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).context("the system tells no peak of memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}
