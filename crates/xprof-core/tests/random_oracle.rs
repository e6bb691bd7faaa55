//! Compares answers to random op statistics and random traces with those of the original, value by value.
//!
//! `tests/oracle/random_op_stats.py` makes the input and records the answers into `target/oracle/random`. Where nothing is
//! recorded the test is skipped: a clone of the repository alone has no recording.
//! Every tool of the registry that works on op statistics is asked; one without a recording fails.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message as _;
use serde_json::Value;
use xprof_core::Diag;
use xprof_core::answer::Format;
use xprof_core::artifact::{AnyArtifact, Artifact as _};
use xprof_core::opstats::HostStats;
use xprof_core::prep::Prepared;
use xprof_core::session::{OP_STATS_SUFFIX, XPLANE_SUFFIX};
use xprof_core::tools::registry::{self, Entry};
use xprof_core::tools::{Params, event_time_fraction_analyzer};
use xprof_core::xspace::TraceBytes;
use xprof_proto::tensorflow::profiler::{EventTimeFractionAnalyzerResults, OpStats};
use xprof_proto::xprof::worker::v1;
use xprof_skip::{Need, skip};

/// Numbers may differ by this share: sums are made in another order.
const TOLERANCE: f64 = 1e-9;
/// How many differences of an answer are printed.
const N_SHOWN: usize = 5;

#[test]
fn answers_to_random_op_stats_equal_the_original() {
    let tools: Vec<&Entry> = registry::TOOLS.iter().filter(|tool| tool.artifact_kind == HostStats::KIND).collect();
    let mut check = Check::new();
    for seed in seeds() {
        let parts = hosts(&seed, |file| op_stats(&std::fs::read(file).unwrap()), OP_STATS_SUFFIX);
        for tool in &tools {
            let recorded = recorded(&seed, tool.name);
            assert!(!recorded.is_empty(), "nothing is recorded for {} in {}", tool.name, seed.display());
            for (file, params) in recorded {
                check.answer(&file, tool, &parts, &params);
            }
        }
    }
    check.finish("op statistics");
}

#[test]
fn suggestions_for_random_traces_equal_the_original() {
    let tool = registry::find("smart_suggestion").unwrap();
    let map = |file: &Path| tool.map(&prepared(file), &Params::new(), &mut Diag::new()).unwrap();
    let mut check = Check::new();
    for seed in seeds() {
        let parts = hosts(&seed, map, XPLANE_SUFFIX);
        for (file, params) in recorded(&seed, tool.name) {
            check.answer(&file, tool, &parts, &params);
        }
    }
    check.finish("suggestions");
}

#[test]
fn shares_of_random_traces_equal_the_original() {
    let mut check = Check::new();
    for seed in seeds() {
        for file in files(&seed, ".fractions") {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let (host, event_name) = name.trim_end_matches(".fractions").split_once('.').unwrap();
            let host = prepared(&seed.join(format!("{host}{XPLANE_SUFFIX}")));
            let got = event_time_fraction_analyzer::fractions(&host, event_name, &Diag::new()).unwrap();
            let expected = EventTimeFractionAnalyzerResults::decode(std::fs::read(&file).unwrap().as_slice()).unwrap();
            let expected = &expected.results[event_name];
            let differences = if got == *expected { vec![] } else { vec![format!("{got:?}\n  {expected:?}")] };
            check.report(&file, &differences);
        }
    }
    check.finish("shares");
}

/// Counts comparisons and says which failed.
struct Check {
    n_compared: usize,
    failures: Vec<String>,
}

impl Check {
    fn new() -> Self {
        Self { n_compared: 0, failures: Vec::new() }
    }

    fn answer(&mut self, file: &Path, tool: &Entry, parts: &[(Arc<str>, AnyArtifact)], params: &Params) {
        let expected: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let answer = tool.finish(parts, params, Format::Native, &mut Diag::new()).unwrap();
        let got: Value = serde_json::from_slice(&answer.body).unwrap();
        let mut differences = Vec::new();
        compare(&got, &expected, tool.name, &mut differences);
        self.report(file, &differences);
    }

    fn report(&mut self, file: &Path, differences: &[String]) {
        self.n_compared += 1;
        if !differences.is_empty() {
            println!("{}: {} differences", file.display(), differences.len());
            differences.iter().take(N_SHOWN).for_each(|d| println!("    {d}"));
            self.failures.push(file.display().to_string());
        }
    }

    fn finish(&self, what: &str) {
        if self.n_compared == 0 {
            skip(Need::Random, "nothing is recorded in target/oracle/random, see tests/oracle/random_op_stats.py");
        }
        println!("{what}: {} answers compared, {} differ", self.n_compared, self.failures.len());
        assert!(self.failures.is_empty(), "{:#?}", self.failures);
    }
}

/// The folders of all seeds, in order.
fn seeds() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/oracle/random");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut seeds: Vec<PathBuf> = entries.filter(|path| path.join("HOSTS").exists()).collect();
    seeds.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok()));
    seeds
}

fn files(seed: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(seed).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(suffix)).collect();
    files.sort();
    files
}

/// The answers of a tool with their parameters: `TOOL.json` and `TOOL,NAME=VALUE.json`.
fn recorded(seed: &Path, tool: &str) -> Vec<(PathBuf, Params)> {
    let parse = |file: PathBuf| {
        let name = file.file_stem()?.to_str()?.to_owned();
        let mut fields = name.split(',');
        let is_tool = fields.next() == Some(tool);
        is_tool.then(|| (file, fields.filter_map(|field| field.split_once('=')).collect()))
    };
    files(seed, ".json").into_iter().filter_map(parse).collect()
}

/// One artifact per host, in the order in which the original took them.
fn hosts(seed: &Path, read: impl Fn(&Path) -> AnyArtifact, suffix: &str) -> Vec<(Arc<str>, AnyArtifact)> {
    let hosts = std::fs::read_to_string(seed.join("HOSTS")).unwrap();
    hosts.lines().map(|host| (host.into(), read(&seed.join(format!("{host}{suffix}"))))).collect()
}

fn op_stats(bytes: &[u8]) -> AnyArtifact {
    AnyArtifact::new(HostStats(v1::HostStats { op_stats: Some(OpStats::decode(bytes).unwrap()), inference: None }))
}

fn prepared(trace: &Path) -> Prepared {
    let host = trace.file_name().unwrap().to_string_lossy().trim_end_matches(XPLANE_SUFFIX).to_owned();
    Prepared::read(TraceBytes::new(std::fs::read(trace).unwrap().into()), &host, &mut Diag::new()).unwrap()
}

/// Adds a line for each place in which the two differ.
fn compare(got: &Value, expected: &Value, path: &str, differences: &mut Vec<String>) {
    match (got, expected) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let null = Value::String("(absent)".into());
                let (a, b) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
                compare(a, b, &format!("{path}.{key}"), differences);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                compare(a, b, &format!("{path}[{i}]"), differences);
            }
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            if (a - b).abs() > TOLERANCE * a.abs().max(b.abs()) {
                differences.push(format!("{path}: {a:e} instead of {b:e}"));
            }
        }
        (Value::String(a), Value::String(b)) if sorted_hosts(a) == sorted_hosts(b) => {}
        _ if got == expected => {}
        _ => differences.push(format!("{path}: {} instead of {}", short(got), short(expected))),
    }
}

/// The pieces of an advice text; the original names hosts in the order of a hash table.
fn sorted_hosts(text: &str) -> Vec<&str> {
    let mut pieces: Vec<&str> = text.split("<li>").flat_map(|item| item.split("</li>")).collect();
    if text.contains("<li>Host ") {
        pieces.sort_unstable();
    }
    pieces
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::Array(items) => format!("{} items {value}", items.len()),
        _ => value.to_string(),
    };
    text.chars().take(300).collect()
}
