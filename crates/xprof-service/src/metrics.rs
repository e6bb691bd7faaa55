//! Counters, gauges and times of this process, and their text exposition for Prometheus.
//!
//! Names are `xprof_<part>_<thing>_<unit>`. Labels come from closed sets only (tool, stage, outcome, code),
//! never from runs, hosts or paths: the number of series is bounded by the program, not by its input.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the buckets of every [`Times`], in seconds.
const BUCKETS_S: [f64; 10] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The registry. Clones are the same; two services in one process have one each.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<&'static str, Family>>>);

#[derive(Debug)]
struct Family {
    help: &'static str,
    series: BTreeMap<String, Series>,
}

#[derive(Debug, Clone)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Times(Times),
}

/// Only rises.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

/// Rises and falls.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

/// How long something takes.
#[derive(Debug, Clone, Default)]
pub struct Times(Arc<TimesInner>);

#[derive(Debug, Default)]
struct TimesInner {
    buckets: [AtomicU64; BUCKETS_S.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

/// Gives back to a gauge what it took, however its scope ends.
#[derive(Debug)]
pub struct Held {
    gauge: Gauge,
    amount: i64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.add(-self.amount);
    }
}

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds, or takes away if negative.
    pub fn add(&self, amount: i64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds until the guard is dropped.
    pub fn hold(&self, amount: i64) -> Held {
        self.add(amount);
        Held { gauge: self.clone(), amount }
    }
}

impl Times {
    /// Counts one duration.
    pub fn observe(&self, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        if let Some(bucket) = BUCKETS_S.iter().position(|b| seconds <= *b) {
            self.0.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.sum_us.fetch_add(elapsed.as_micros() as u64, Ordering::Relaxed);
    }
}

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The gauge of that name, made if it is new.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        match self.series(name, help, &[], || Series::Gauge(Gauge::default())) {
            Series::Gauge(gauge) => gauge,
            _ => Gauge::default(),
        }
    }

    /// The counter of that name and these labels, made if it is new.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        match self.series(name, help, labels, || Series::Counter(Counter::default())) {
            Series::Counter(counter) => counter,
            _ => Counter::default(),
        }
    }

    /// The times of that name and these labels, made if they are new. The name ends in `_seconds`.
    pub fn times(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Times {
        match self.series(name, help, labels, || Series::Times(Times::default())) {
            Series::Times(times) => times,
            _ => Times::default(),
        }
    }

    /// A name that is used for two kinds of metric keeps its first kind; the second user counts into the void.
    fn series(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        make: impl FnOnce() -> Series,
    ) -> Series {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(name).or_insert_with(|| Family { help, series: BTreeMap::new() });
        family.series.entry(label_text(labels)).or_insert_with(make).clone()
    }

    /// The value of a gauge or the sum of a counter over its labels, for tests and status answers.
    pub fn value(&self, name: &str) -> Option<i64> {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = &families.get(name)?.series;
        Some(
            series
                .values()
                .map(|s| match s {
                    Series::Counter(c) => c.0.load(Ordering::Relaxed) as i64,
                    Series::Gauge(g) => g.get(),
                    Series::Times(t) => t.0.count.load(Ordering::Relaxed) as i64,
                })
                .sum(),
        )
    }

    /// Everything in the text format of Prometheus.
    pub fn render(&self) -> String {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        for (name, family) in families.iter() {
            let kind = match family.series.values().next() {
                Some(Series::Counter(_)) => "counter",
                Some(Series::Times(_)) => "histogram",
                _ => "gauge",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", family.help);
            for (labels, series) in &family.series {
                match series {
                    Series::Counter(c) => line(&mut out, name, "", labels, "", c.0.load(Ordering::Relaxed)),
                    Series::Gauge(g) => line(&mut out, name, "", labels, "", g.get()),
                    Series::Times(t) => t.0.render(&mut out, name, labels),
                }
            }
        }
        out
    }
}

impl TimesInner {
    fn render(&self, out: &mut String, name: &str, labels: &str) {
        let mut total = 0;
        for (bound, bucket) in BUCKETS_S.iter().zip(&self.buckets) {
            total += bucket.load(Ordering::Relaxed);
            line(out, name, "_bucket", labels, &format!("le=\"{bound}\""), total);
        }
        let count = self.count.load(Ordering::Relaxed);
        line(out, name, "_bucket", labels, "le=\"+Inf\"", count);
        line(out, name, "_sum", labels, "", self.sum_us.load(Ordering::Relaxed) as f64 / 1e6);
        line(out, name, "_count", labels, "", count);
    }
}

fn line(out: &mut String, name: &str, suffix: &str, labels: &str, more: &str, value: impl std::fmt::Display) {
    let comma = if labels.is_empty() || more.is_empty() { "" } else { "," };
    let _ = if labels.is_empty() && more.is_empty() {
        writeln!(out, "{name}{suffix} {value}")
    } else {
        writeln!(out, "{name}{suffix}{{{labels}{comma}{more}}} {value}")
    };
}

fn label_text(labels: &[(&'static str, &str)]) -> String {
    let quoted = labels
        .iter()
        .map(|(k, v)| format!("{k}=\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")));
    quoted.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_what_prometheus_reads() {
        let metrics = Metrics::new();
        metrics.counter("xprof_map_jobs_total", "Map jobs.", &[("tool", "x"), ("outcome", "ok")]).add(2);
        let gauge = metrics.gauge("xprof_map_running", "Running.");
        let held = gauge.hold(3);
        metrics.times("xprof_map_seconds", "Time.", &[("stage", "map")]).observe(Duration::from_millis(30));
        let text = metrics.render();
        for expected in [
            "# TYPE xprof_map_jobs_total counter\nxprof_map_jobs_total{tool=\"x\",outcome=\"ok\"} 2\n",
            "# HELP xprof_map_running Running.\n# TYPE xprof_map_running gauge\nxprof_map_running 3\n",
            "xprof_map_seconds_bucket{stage=\"map\",le=\"0.02\"} 0\nxprof_map_seconds_bucket{stage=\"map\",le=\"0.05\"} 1\n",
            "xprof_map_seconds_bucket{stage=\"map\",le=\"+Inf\"} 1\nxprof_map_seconds_sum{stage=\"map\"} 0.03\n",
            "xprof_map_seconds_count{stage=\"map\"} 1\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        drop(held);
        assert_eq!(metrics.value("xprof_map_running"), Some(0));
    }
}
