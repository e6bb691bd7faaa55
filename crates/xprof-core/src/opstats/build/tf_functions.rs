//! Calls of TensorFlow functions: how often they were traced, and how long they ran in which mode.

use std::collections::BTreeMap;

use rayon::prelude::*;
use xprof_proto::tensorflow::profiler::{
    TfFunction, TfFunctionCompiler, TfFunctionDb, TfFunctionExecutionMode, TfFunctionMetrics,
};

use crate::opstats::tf_functions::merge;
use crate::xspace::{Line, Plane, StatKind, StatValue};
use crate::{Diag, Result};

/// The functions of the host plane by name.
pub fn tf_functions(plane: &Plane, diag: &Diag) -> Result<TfFunctionDb> {
    let parts: Vec<TfFunctionDb> = plane
        .lines
        .par_iter()
        .filter(|line| line.stat_kinds.contains(StatKind::TfFunctionCall))
        .map(|line| {
            diag.check()?;
            Ok(line_functions(plane, line))
        })
        .collect::<Result<_>>()?;
    let mut db = TfFunctionDb::default();
    for part in &parts {
        merge(&mut db, part);
    }
    Ok(db)
}

fn mode_and_compiler(call: &str) -> (TfFunctionExecutionMode, TfFunctionCompiler) {
    use TfFunctionCompiler as Compiler;
    use TfFunctionExecutionMode as Mode;
    match call {
        "eager" => (Mode::EagerMode, Compiler::InvalidCompiler),
        "concrete" => (Mode::ConcreteMode, Compiler::InvalidCompiler),
        "traced-xla" => (Mode::TracedMode, Compiler::XlaCompiler),
        "traced-nonXla" => (Mode::TracedMode, Compiler::OtherCompiler),
        "notTraced-xla" => (Mode::NotTracedMode, Compiler::XlaCompiler),
        "notTraced-nonXla" => (Mode::NotTracedMode, Compiler::OtherCompiler),
        _ => (Mode::InvalidMode, Compiler::InvalidCompiler),
    }
}

/// One call that has begun.
struct Call<'a> {
    name: &'a str,
    end_ps: u64,
    begin_ps: u64,
    children_ps: u64,
    mode: TfFunctionExecutionMode,
    compiler: TfFunctionCompiler,
    tracing_count: i64,
}

fn line_functions(plane: &Plane, line: &Line) -> TfFunctionDb {
    let mut calls: Vec<Call<'_>> = Vec::new();
    for event in line.events(plane) {
        let Some(call) = event.stat(StatKind::TfFunctionCall).map(StatValue::text).filter(|t| !t.is_empty()) else {
            continue;
        };
        let (mode, compiler) = mode_and_compiler(&call);
        let tracing_count = event.stat(StatKind::TracingCount).map_or(0, StatValue::int);
        let (begin_ps, end_ps) = (event.begin_ps(), event.end_ps());
        calls.push(Call { name: event.name(), end_ps, begin_ps, children_ps: 0, mode, compiler, tracing_count });
    }
    // Outer calls come before inner ones that begin at the same time.
    calls.sort_by_key(|call| (call.begin_ps, std::cmp::Reverse(call.end_ps)));
    let mut db = TfFunctionDb::default();
    let mut open: Vec<Call<'_>> = Vec::new();
    for call in calls {
        while open.last().is_some_and(|outer| outer.end_ps <= call.begin_ps && outer.begin_ps < call.begin_ps) {
            close(&mut open, &mut db);
        }
        open.push(call);
    }
    while !open.is_empty() {
        close(&mut open, &mut db);
    }
    db
}

/// Ends the innermost call.
fn close(open: &mut Vec<Call<'_>>, db: &mut TfFunctionDb) {
    let Some(call) = open.pop() else { return };
    let duration_ps = call.end_ps.wrapping_sub(call.begin_ps);
    if let Some(outer) = open.last_mut() {
        outer.children_ps = outer.children_ps.wrapping_add(duration_ps);
    }
    let metrics = TfFunctionMetrics { count: 1, self_time_ps: duration_ps.wrapping_sub(call.children_ps) };
    let function = TfFunction {
        metrics: BTreeMap::from([(call.mode as i32, metrics)]),
        total_tracing_count: call.tracing_count,
        compiler: call.compiler as i32,
        expensive_call_percent: 0.0,
    };
    let part = TfFunctionDb { tf_functions: BTreeMap::from([(call.name.to_owned(), function)]) };
    merge(db, &part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::build::{PlaneBuilder, SpaceBuilder, V};
    use crate::xspace::{TraceBytes, XSpace};

    fn functions(events: &[(&str, u64, u64, &str, i64)]) -> TfFunctionDb {
        let mut plane = PlaneBuilder::new(1, "/host:CPU");
        plane.line(1, "thread", 0, |line| {
            for &(name, begin, duration, call, count) in events {
                let stats = [("tf_function_call", V::Str(call)), ("tracing_count", V::Int(count))];
                line.event(name, begin, duration, &stats);
            }
        });
        let mut space = SpaceBuilder::new("");
        space.plane(plane);
        let mut diag = Diag::new();
        let space = XSpace::read(TraceBytes::new(space.finish().into()), "test", &mut diag).unwrap();
        tf_functions(&space.planes[0], &diag).unwrap()
    }

    #[test]
    fn calls_add_up_by_mode() {
        let db = functions(&[
            ("f", 0, 100, "traced-xla", 3),
            ("g", 10, 30, "traced-nonXla", 1),
            ("f", 200, 50, "notTraced-xla", 4),
            ("f", 300, 1000, "eager", 0),
            ("f", 2000, 10, "notTraced-nonXla", 0),
        ]);
        let f = &db.tf_functions["f"];
        let metrics: Vec<_> = f.metrics.iter().map(|(&mode, m)| (mode, m.count, m.self_time_ps)).collect();
        assert_eq!(metrics, [(1, 1, 1000), (2, 1, 70), (3, 2, 60)]);
        assert_eq!((f.total_tracing_count, f.compiler), (4, TfFunctionCompiler::MixedCompiler as i32));
        assert_eq!(f.expensive_call_percent, 94.690_265_486_725_66);
        assert_eq!(db.tf_functions["g"].expensive_call_percent, 100.0);
    }

    #[test]
    fn calls_that_touch_are_siblings() {
        let db = functions(&[("f", 0, 5, "concrete", 0), ("f", 5, 5, "concrete", 0)]);
        assert_eq!(db.tf_functions["f"].metrics[&4].self_time_ps, 10);
    }
}
