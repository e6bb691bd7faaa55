//! Criterion benches, one group per stage: `cargo bench -p xprof-core --features fixture`.
//!
//! Ids are `stage/tool/trace`. Each case asserts its result once, before it is timed.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run must stop")]

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput};
use xprof_core::Diag;
use xprof_core::answer::Format;
use xprof_core::fixture::{TpuSession, generate_host};
use xprof_core::prep::Prepared;
use xprof_core::tools::{Params, registry};
use xprof_core::xspace::{TraceBytes, XSpace};

const SIZES: [usize; 2] = [1_000_000, 20_000_000];

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    for bytes in SIZES {
        let trace = TraceBytes::new(generate_host(&TpuSession::of_size(1, bytes), 0).into());
        let name = format!("generated-{}MB", bytes / 1_000_000);
        read(&mut criterion, &name, &trace);
        prepare(&mut criterion, &name, &trace);
        tools(&mut criterion, &name, &trace);
    }
    criterion.final_summary();
}

fn read(criterion: &mut Criterion, name: &str, trace: &TraceBytes) {
    benchmark(criterion, "read", name, trace.len(), || {
        let space = XSpace::read(trace.clone(), name, &mut Diag::new()).unwrap();
        assert!(space.n_events() > 0);
        space
    });
}

fn prepare(criterion: &mut Criterion, name: &str, trace: &TraceBytes) {
    // Reading is part of it: preparation changes the columns in place, so each run needs fresh ones.
    benchmark(criterion, "read+prepare", name, trace.len(), || {
        Prepared::read(trace.clone(), "host", &mut Diag::new()).unwrap()
    });
}

fn tools(criterion: &mut Criterion, name: &str, trace: &TraceBytes) {
    let prepared = Prepared::read(trace.clone(), "host", &mut Diag::new()).unwrap();
    let params = Params::new();
    for tool in registry::TOOLS {
        let map = || tool.map(&prepared, &params, &mut Diag::new()).unwrap();
        benchmark(criterion, &format!("map/{}", tool.name), name, trace.len(), map);
        let part = map();
        benchmark(criterion, &format!("render/{}", tool.name), name, trace.len(), || {
            let parts = vec![(Arc::from("host"), part.clone())];
            let answer = tool.finish(parts, &params, Format::Native, &mut Diag::new()).unwrap();
            assert!(!answer.body.is_empty());
            answer
        });
    }
}

/// The one way in which a case is timed.
fn benchmark<T>(criterion: &mut Criterion, stage: &str, trace: &str, bytes: usize, mut run: impl FnMut() -> T) {
    let mut group = criterion.benchmark_group(stage);
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(BenchmarkId::from_parameter(trace), |b| b.iter(&mut run));
    group.finish();
}
