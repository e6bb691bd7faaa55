//! Load: many connections that ask for the same paths again and again, and how fast they are answered.
//!
//! Works with any server of this HTTP interface, so that two can be compared under the same load. The client is one thread that
//! reads no more of an answer than it must: it shares the machine with the server.

pub mod http;

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::net::TcpStream;

use http::{get, request};

/// Options of `cargo xtask load`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask load 127.0.0.1:8791\n  \
                  cargo xtask load 127.0.0.1:8791 --max-bytes 65536 --list > paths.txt\n  \
                  cargo xtask load 127.0.0.1:8792 --paths paths.txt --connections 64 --seconds 30")]
pub struct Args {
    /// Address of the server
    server: SocketAddr,
    /// File with one path per line [default: every run, tool and host that the server has]
    #[arg(long)]
    paths: Option<PathBuf>,
    /// Connections at once
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long to ask
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// What clients accept; an empty text sends no such header
    #[arg(long, default_value = "gzip")]
    encoding: String,
    /// Leave out paths whose answers are larger on the wire
    #[arg(long, default_value_t = usize::MAX)]
    max_bytes: usize,
    /// Print the paths instead of asking for them
    #[arg(long)]
    list: bool,
}

/// One path, and how long its answer was at first.
struct Question {
    path: String,
    request: Vec<u8>,
    length: usize,
}

/// What one connection saw.
#[derive(Default)]
struct Seen {
    micros: Vec<u32>,
    bytes: u64,
    errors: BTreeMap<String, usize>,
}

pub fn run(args: &Args) -> Result<()> {
    let paths = match &args.paths {
        Some(file) => {
            let file = std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
            let lines = std::io::BufReader::new(file).lines().collect::<std::io::Result<Vec<_>>>()?;
            lines.into_iter().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect()
        }
        None => discover(args.server)?,
    };
    let mut questions = Vec::new();
    for path in paths {
        let question = first_answer(args, path)?;
        if question.length <= args.max_bytes {
            questions.push(question);
        }
    }
    ensure!(!questions.is_empty(), "there is nothing to ask for");
    if args.list {
        let mut out = std::io::stdout().lock();
        return questions.iter().try_for_each(|q| Ok(writeln!(out, "{}", q.path)?));
    }
    let sizes: Vec<usize> = questions.iter().map(|q| q.length).collect();
    println!(
        "{} paths, answers of {} to {} bytes; {} connections for {} s",
        questions.len(),
        sizes.iter().min().unwrap_or(&0),
        sizes.iter().max().unwrap_or(&0),
        args.connections,
        args.seconds
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    let seen = runtime.block_on(ask_all(args, questions))?;
    report(began.elapsed(), seen)
}

/// Every run with its tools and hosts: a whole answer of each, and of the timeline some windows.
fn discover(server: SocketAddr) -> Result<Vec<String>> {
    let list = |path: &str| -> Result<Vec<Value>> {
        let (status, body) = get(server, &request(path, ""))?;
        ensure!(status == 200, "{path} is answered with {status}");
        serde_json::from_slice(&body).with_context(|| format!("{path} is no list"))
    };
    let mut paths = Vec::new();
    for run in list("/runs")? {
        let run = run.as_str().unwrap_or_default().to_owned();
        for tag in ["overview_page", "op_profile", "trace_viewer@"] {
            for host in list(&format!("/hosts?run={run}&tag={tag}"))?.iter().take(4) {
                let host = host["hostname"].as_str().unwrap_or_default();
                let path = format!("/data?run={run}&tag={tag}&host={host}");
                if tag == "trace_viewer@" {
                    paths.push(format!("{path}&resolution=800"));
                    paths.push(format!("{path}&resolution=2000&start_time_ms=1&end_time_ms=3"));
                }
                paths.push(path);
            }
        }
    }
    Ok(paths)
}

/// Asks twice, so that the answer is warm and its length known.
fn first_answer(args: &Args, path: String) -> Result<Question> {
    let request = request(&path, &args.encoding);
    let (status, _) = get(args.server, &request)?;
    ensure!(status == 200, "{path} is answered with {status}");
    let (_, body) = get(args.server, &request)?;
    Ok(Question { length: body.len(), path, request })
}

async fn ask_all(args: &Args, questions: Vec<Question>) -> Result<Vec<Seen>> {
    let questions = std::sync::Arc::new(questions);
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let server = args.server;
    let asking: Vec<_> = (0..args.connections)
        .map(|n| {
            let questions = std::sync::Arc::clone(&questions);
            tokio::spawn(async move { ask(server, &questions, n, until).await })
        })
        .collect();
    let mut seen = Vec::new();
    for one in asking {
        seen.push(one.await?);
    }
    Ok(seen)
}

/// One connection: the next question as soon as the last one is answered. A broken connection is counted and made again.
async fn ask(server: SocketAddr, questions: &[Question], n: usize, until: Instant) -> Seen {
    let mut seen = Seen::default();
    // Connections walk the list in different places, so that at any moment all of it is asked for.
    let mut next = n * 7919;
    while Instant::now() < until {
        if let Err(error) = connection(server, questions, &mut next, until, &mut seen).await {
            *seen.errors.entry(format!("{error:#}")).or_default() += 1;
        }
    }
    seen
}

async fn connection(
    server: SocketAddr,
    questions: &[Question],
    next: &mut usize,
    until: Instant,
    seen: &mut Seen,
) -> Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(1 << 16);
    loop {
        let began = Instant::now();
        if began >= until {
            return Ok(());
        }
        let question = &questions[*next % questions.len()];
        *next += 1;
        let answer = http::exchange(&mut stream, &question.request, &mut buffer).await?;
        seen.micros.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        seen.bytes += buffer.len() as u64;
        if answer.status != 200 {
            *seen.errors.entry(format!("status {}", answer.status)).or_default() += 1;
        } else if !answer.is_chunked && answer.end - answer.head != question.length {
            *seen.errors.entry(format!("another length: {}", question.path)).or_default() += 1;
        }
        ensure!(answer.end == buffer.len(), "more than was asked for");
    }
}

fn report(elapsed: Duration, seen: Vec<Seen>) -> Result<()> {
    let mut micros = Vec::new();
    let mut errors: BTreeMap<String, usize> = BTreeMap::new();
    let mut bytes = 0;
    for one in seen {
        micros.extend(one.micros);
        bytes += one.bytes;
        for (error, n) in one.errors {
            *errors.entry(error).or_default() += n;
        }
    }
    micros.sort_unstable();
    let at = |share: f64| micros.get((micros.len() as f64 * share) as usize).or(micros.last());
    let ms = |share: f64| f64::from(at(share).copied().unwrap_or_default()) / 1000.0;
    let n_errors: usize = errors.values().sum();
    println!(
        "{} requests, {:.0} requests/s, {:.1} MB/s, p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms, {n_errors} errors",
        micros.len(),
        micros.len() as f64 / elapsed.as_secs_f64(),
        bytes as f64 / 1e6 / elapsed.as_secs_f64(),
        ms(0.5),
        ms(0.99),
        ms(0.999),
        ms(1.0)
    );
    for (error, n) in errors.iter().take(10) {
        println!("{n} times: {error}");
    }
    if n_errors > 0 {
        bail!("{n_errors} requests were not answered as they should be");
    }
    Ok(())
}
