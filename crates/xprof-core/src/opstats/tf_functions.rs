//! Merges statistics of tf.functions: of threads and of hosts.
//!
//! Takes tables by function name and gives their sum. The share of expensive calls is derived anew after each merge.

use xprof_proto::tensorflow::profiler::{TfFunction, TfFunctionCompiler, TfFunctionDb, TfFunctionExecutionMode};

use super::numbers::safe_div;

/// Adds one table to another.
pub fn merge(to: &mut TfFunctionDb, from: &TfFunctionDb) {
    for (name, source) in &from.tf_functions {
        let function = to.tf_functions.entry(name.clone()).or_default();
        for (mode, metrics) in &source.metrics {
            let sum = function.metrics.entry(*mode).or_default();
            sum.count = sum.count.wrapping_add(metrics.count);
            sum.self_time_ps = sum.self_time_ps.wrapping_add(metrics.self_time_ps);
        }
        function.total_tracing_count = function.total_tracing_count.max(source.total_tracing_count);
        function.compiler = common_compiler(function.compiler, source.compiler);
        function.expensive_call_percent = expensive_call_percent(function);
    }
}

/// Equal compilers stay, different ones are mixed, and a call without one says nothing.
pub fn common_compiler(a: i32, b: i32) -> i32 {
    let none = TfFunctionCompiler::InvalidCompiler as i32;
    match (a, b) {
        _ if a == b || b == none => a,
        _ if a == none => b,
        _ => TfFunctionCompiler::MixedCompiler as i32,
    }
}

/// The share of self time spent in eager and traced calls, in percent.
pub fn expensive_call_percent(function: &TfFunction) -> f64 {
    let expensive = [TfFunctionExecutionMode::EagerMode as i32, TfFunctionExecutionMode::TracedMode as i32];
    let (mut part, mut total) = (0_u64, 0_u64);
    for (mode, metrics) in &function.metrics {
        total = total.wrapping_add(metrics.self_time_ps);
        if expensive.contains(mode) {
            part = part.wrapping_add(metrics.self_time_ps);
        }
    }
    safe_div(100.0 * part as f64, total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xprof_proto::tensorflow::profiler::TfFunctionMetrics;

    fn table(metrics: &[(i32, u64)], total_tracing_count: i64, compiler: i32) -> TfFunctionDb {
        let metrics = metrics.iter().map(|(mode, ps)| (*mode, TfFunctionMetrics { count: 1, self_time_ps: *ps }));
        let function =
            TfFunction { metrics: metrics.collect(), total_tracing_count, compiler, ..TfFunction::default() };
        TfFunctionDb { tf_functions: [("f".to_owned(), function)].into() }
    }

    fn check(tables: &[TfFunctionDb], counts: &[u64], tracing: i64, compiler: i32, percent: f64) {
        let mut sum = TfFunctionDb::default();
        for table in tables {
            merge(&mut sum, table);
        }
        let f = &sum.tf_functions["f"];
        assert_eq!(f.metrics.values().map(|m| m.count).collect::<Vec<_>>(), counts);
        assert_eq!((f.total_tracing_count, f.compiler, f.expensive_call_percent), (tracing, compiler, percent));
    }

    #[test]
    fn adds_calls_by_mode() {
        let (a, b) = (table(&[(2, 70), (3, 50)], 4, 3), table(&[(1, 1000), (3, 10)], 2, 1));
        check(std::slice::from_ref(&a), &[1, 1], 4, 3, 100.0 * 70.0 / 120.0);
        check(&[a.clone(), table(&[(3, 0)], 9, 0)], &[1, 2], 9, 3, 100.0 * 70.0 / 120.0);
        check(&[a, b], &[1, 1, 2], 4, 2, 94.690_265_486_725_66);
    }
}
