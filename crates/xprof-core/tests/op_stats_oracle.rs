//! Compares the op statistics of every trace with those that the original wrote, field by field.
//!
//! The traces are the project's own, `tests/traces`, and those of the corpus beside the repository at `../shared/corpus`;
//! what the original wrote is recorded by `tests/oracle/record_op_stats.py` into `target/oracle/op_stats`. Further traces may
//! lie in log directories `target/oracle/traces/NAME`, recorded into `target/oracle/op_stats-NAME`.
//! Where nothing is recorded the test says so and passes: a clone of the repository alone has no answers of the original.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use prost::{Message, Name};
use xprof_core::Diag;
use xprof_core::opstats::build::host_stats;
use xprof_core::prep::Prepared;
use xprof_core::session::{OP_STATS_SUFFIX, host_of_file};
use xprof_core::xspace::TraceBytes;
use xprof_proto::tensorflow::profiler::{
    GenericStepBreakdown, OpMetrics, OpMetricsDb, OpStats, SparseCoreStepBreakdown, StepInfoResult,
};

/// How many differences of a trace are printed.
const N_SHOWN: usize = 12;
/// Doubles may differ by this share: sums are made in another order.
const TOLERANCE: f64 = 1e-12;

/// Leaf fields by path.
type Leaves = BTreeMap<String, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_trace_equals_the_original() {
    let (mut n_compared, mut failures) = (0, Vec::new());
    for (logdir, recorded) in sets() {
        for trace in traces(&logdir) {
            let run = trace.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
            let host = host_of_file(&trace.to_string_lossy()).to_owned();
            let Ok(expected) = std::fs::read(recorded.join(&run).join(format!("{host}{OP_STATS_SUFFIX}"))) else {
                continue;
            };
            n_compared += 1;
            let expected = OpStats::decode(expected.as_slice()).unwrap();
            let got = map(std::fs::read(&trace).unwrap(), &host);
            let differences = differences(&leaves(&got), &leaves(&expected));
            if !differences.is_empty() {
                let name = format!("{}: {run}/{host}", recorded.file_name().unwrap_or_default().to_string_lossy());
                println!("{name}: {} differences", differences.len());
                differences.iter().take(N_SHOWN).for_each(|d| println!("    {d}"));
                failures.push(name);
            }
        }
    }
    if n_compared == 0 {
        println!("SKIPPED: nothing recorded in target/oracle/op_stats");
    }
    println!("{n_compared} traces compared, {} differ", failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
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

fn traces(logdir: &Path) -> Vec<PathBuf> {
    let runs = std::fs::read_dir(logdir.join("plugins/profile")).into_iter().flatten().flatten();
    let mut traces: Vec<PathBuf> = runs
        .flat_map(|run| std::fs::read_dir(run.path()).into_iter().flatten().flatten())
        .map(|file| file.path())
        .filter(|path| path.to_string_lossy().ends_with(".xplane.pb"))
        .collect();
    traces.sort();
    traces
}

fn map(trace: Vec<u8>, host: &str) -> OpStats {
    let mut diag = Diag::new();
    let prepared = Prepared::read(TraceBytes::new(trace.into()), host, &mut diag).unwrap();
    host_stats(&prepared, &mut diag).unwrap().0.op_stats.unwrap()
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
