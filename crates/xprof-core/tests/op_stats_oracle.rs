//! Compares the op statistics of every trace with those that the original wrote, field by field.
//!
//! The traces are the project's own, `tests/traces`, and those of the corpus beside the repository at `../shared/corpus`;
//! what the original wrote is recorded by `tests/oracle/record_op_stats.py` into `target/oracle/op_stats`. Further traces may
//! lie in log directories `target/oracle/traces/NAME`, recorded into `target/oracle/op_stats-NAME`.
//! Where nothing is recorded the test is skipped: a clone of the repository alone has no answers of the original.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::{Message, Name};
use xprof_core::Diag;
use xprof_core::opstats::build::host_stats;
use xprof_core::opstats::{EdgeSteps, HostStats, Reducer};
use xprof_core::prep::Prepared;
use xprof_core::reduction::reduce_all;
use xprof_core::session::{OP_STATS_SUFFIX, host_of_file};
use xprof_core::tools::HostPart;
use xprof_core::xspace::TraceBytes;
use xprof_proto::tensorflow::profiler::{
    GenericStepBreakdown, OpMetrics, OpMetricsDb, OpStats, SparseCoreStepBreakdown, StepInfoResult,
};
use xprof_skip::{Need, skip};

/// How many differences of a trace are printed.
const N_SHOWN: usize = 12;
/// Doubles may differ by this share: sums are made in another order.
const TOLERANCE: f64 = 1e-12;

/// Leaf fields by path.
type Leaves = BTreeMap<String, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Counts comparisons and keeps what differs, so that one run shows all of it.
#[derive(Default)]
struct Comparison {
    n_compared: usize,
    failures: Vec<String>,
    missing: Vec<String>,
}

impl Comparison {
    /// Compares with the file that the original wrote.
    fn compare(&mut self, recorded: &Path, run: &str, host: &str, got: impl FnOnce() -> OpStats) {
        let name = format!("{}/{run}/{host}", recorded.file_name().unwrap_or_default().to_string_lossy());
        let Ok(expected) = std::fs::read(recorded.join(run).join(format!("{host}{OP_STATS_SUFFIX}"))) else {
            self.missing.push(name);
            return;
        };
        self.n_compared += 1;
        let expected = OpStats::decode(expected.as_slice()).unwrap();
        let differences = differences(&leaves(&got()), &leaves(&expected));
        if !differences.is_empty() {
            println!("{name}: {} differences", differences.len());
            differences.iter().take(N_SHOWN).for_each(|d| println!("    {d}"));
            self.failures.push(name);
        }
    }

    fn finish(self, what: &str) {
        println!("{} {what} compared, {} differ", self.n_compared, self.failures.len());
        assert!(self.failures.is_empty(), "{:#?}", self.failures);
        let (n_missing, n_all) = (self.missing.len(), self.missing.len() + self.n_compared);
        assert!(n_all > 0, "there are no {what}");
        if n_missing > 0 {
            let names = if n_missing < n_all { self.missing.join(", ") } else { "all".to_owned() };
            let see = "see tests/oracle/record_op_stats.py";
            skip(Need::OpStats, &format!("{n_missing} of {n_all} {what} are not recorded, {see}: {names}"));
        }
    }
}

#[test]
fn every_trace_equals_the_original() {
    let mut comparison = Comparison::default();
    for (logdir, recorded) in sets() {
        for (run, traces) in runs(&logdir) {
            for trace in traces {
                let host = host_of_file(&trace.to_string_lossy()).to_owned();
                comparison.compare(&recorded, &run, &host, || map(&trace).0.op_stats.unwrap());
            }
        }
    }
    comparison.finish("traces");
}

#[test]
fn all_hosts_of_every_session_equal_the_original() {
    let mut comparison = Comparison::default();
    for (logdir, recorded) in sets() {
        for (run, traces) in runs(&logdir).filter(|(_, traces)| traces.len() > 1) {
            comparison.compare(&recorded, &run, "ALL_HOSTS", || {
                let part = |trace: &PathBuf| HostPart { host: "host".into(), artifact: Arc::new(map(trace)) };
                let parts: Vec<_> = traces.iter().map(part).collect();
                reduce_all(Reducer::new(EdgeSteps::Keep), &parts, &mut Diag::new()).unwrap().op_stats().clone()
            });
        }
    }
    comparison.finish("sessions");
}

/// Log directories, and where the original's files of each are.
fn sets() -> Vec<(PathBuf, PathBuf)> {
    let oracle = root().join("target/oracle");
    let corpus = root().join("../shared/corpus");
    let own = std::fs::read_dir(root().join("tests/traces")).into_iter().flatten().flatten().map(|entry| entry.path());
    let logdirs = ["logdir", "logdir_synth"].into_iter().map(|d| corpus.join(d)).chain(own);
    let mut sets: Vec<_> = logdirs.map(|logdir| (logdir, oracle.join("op_stats"))).collect();
    for entry in std::fs::read_dir(oracle.join("traces")).into_iter().flatten().flatten() {
        let recorded = oracle.join(format!("op_stats-{}", entry.file_name().to_string_lossy()));
        sets.push((entry.path(), recorded));
    }
    sets.sort();
    sets
}

/// The runs of a log directory with their traces, in the order of their names.
fn runs(logdir: &Path) -> impl Iterator<Item = (String, Vec<PathBuf>)> {
    let entries = |path: &Path| {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.sort();
        paths
    };
    entries(&logdir.join("plugins/profile")).into_iter().map(move |run| {
        let mut traces = entries(&run);
        traces.retain(|path| path.to_string_lossy().ends_with(".xplane.pb"));
        (run.file_name().unwrap_or_default().to_string_lossy().into_owned(), traces)
    })
}

fn map(trace: &Path) -> HostStats {
    let mut diag = Diag::new();
    let host = host_of_file(&trace.to_string_lossy()).to_owned();
    let prepared = Prepared::read(TraceBytes::new(std::fs::read(trace).unwrap().into()), &host, &mut diag).unwrap();
    host_stats(&prepared, &mut diag).unwrap()
}

fn leaves(stats: &OpStats) -> Leaves {
    let mut stats = stats.clone();
    let mut out = Leaves::new();
    for (name, db) in [
        ("host_op_metrics_db", stats.host_op_metrics_db.take()),
        ("device_op_metrics_db", stats.device_op_metrics_db.take()),
        ("hlo_metrics_db_complete_steps_only", stats.hlo_metrics_db_complete_steps_only.take()),
    ] {
        put_table(name, db, &mut out);
    }
    if let Some(steps) = &mut stats.step_db {
        for (n, mut step) in std::mem::take(&mut steps.step_sequence).into_iter().enumerate() {
            let path = format!("step[{n}]");
            put_table(&format!("{path}.hlo_metrics_db"), step.hlo_metrics_db.take(), &mut out);
            for (core, result) in std::mem::take(&mut step.step_info_per_core) {
                put_step(&format!("{path}.core[{core}]"), result, &mut out);
            }
            put(&path, &step, &mut out);
        }
    }
    if let Some(diagnostics) = &mut stats.diagnostics {
        diagnostics.errors.sort();
        diagnostics.warnings.sort();
    }
    put("op_stats", &stats, &mut out);
    out
}

fn put_step(path: &str, mut result: StepInfoResult, out: &mut Leaves) {
    if let Some(any) = result.step_breakdown.take() {
        out.insert(format!("{path}.breakdown.type"), any.type_url.clone());
        if any.type_url == GenericStepBreakdown::type_url() {
            put(&format!("{path}.breakdown"), &GenericStepBreakdown::decode(any.value.as_slice()).unwrap(), out);
        } else {
            put(&format!("{path}.breakdown"), &SparseCoreStepBreakdown::decode(any.value.as_slice()).unwrap(), out);
        }
    }
    put(path, &result, out);
}

/// Rows are keyed by program and name; rows of equal key are told apart by their order.
fn put_table(path: &str, db: Option<OpMetricsDb>, out: &mut Leaves) {
    let Some(mut db) = db else { return };
    let mut seen: BTreeMap<(u64, String), usize> = BTreeMap::new();
    for mut row in std::mem::take(&mut db.metrics_db) {
        let n = seen.entry((row.hlo_module_id, row.name.clone())).or_default();
        let path = format!("{path}[{} {} #{n}]", row.hlo_module_id, row.name);
        *n += 1;
        put_table(&format!("{path}.children"), row.children.take(), out);
        row.memory_accessed_breakdown.sort_by_key(|m| (m.memory_space, m.operation_type));
        let row: OpMetrics = row;
        put(&path, &row, out);
    }
    put(path, &db, out);
}

/// Every line of the debug text is a leaf, an opening or a closing; the openings make the path.
fn put(path: &str, value: &impl Debug, out: &mut Leaves) {
    let mut stack: Vec<(String, usize)> = vec![(path.to_owned(), 0)];
    for line in format!("{value:#?}").lines().skip(1) {
        let line = line.trim();
        let n = stack.last_mut().map_or(0, |(_, n)| {
            *n += 1;
            *n
        });
        let (key, rest) = line.split_once(": ").map_or((n.to_string(), line), |(key, rest)| (key.to_owned(), rest));
        if rest.ends_with(['{', '(', '[']) {
            stack.push((key, 0));
        } else if line.starts_with(['}', ')', ']']) {
            stack.pop();
        } else {
            let names: Vec<&str> = stack.iter().map(|(name, _)| name.as_str()).collect();
            out.insert(format!("{}.{key}", names.join(".")), rest.trim_end_matches(',').to_owned());
        }
    }
    out.insert(format!("{path}?"), "present".to_owned());
}

fn differences(got: &Leaves, expected: &Leaves) -> Vec<String> {
    let mut found = Vec::new();
    for (path, expected) in expected {
        match got.get(path) {
            Some(got) if same(got, expected) => {}
            got => found.push(format!("{path}: {} instead of {expected}", got.map_or("nothing", |g| g))),
        }
    }
    let extra = got.iter().filter(|(path, _)| !expected.contains_key(*path));
    found.extend(extra.map(|(path, got)| format!("{path}: {got} instead of nothing")));
    found
}

fn same(got: &str, expected: &str) -> bool {
    if got == expected {
        return true;
    }
    if !expected.contains(['.', 'e']) {
        return false;
    }
    match (got.parse::<f64>(), expected.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()),
        _ => false,
    }
}
