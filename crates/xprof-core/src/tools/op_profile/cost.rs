//! What a node of the tree costs, and how that compares with what the hardware can do.
//!
//! Takes op metrics to add up; gives the numbers of the answer. The order of operations is the reference's.

use xprof_proto::tensorflow::profiler::op_metrics::memory_accessed::OperationType;
use xprof_proto::tensorflow::profiler::{OpMetrics, PerfEnv};

use crate::answer::json::JsonWriter;
use crate::opstats::numbers::{gibi_to_giga, gibibytes_per_second, giga_to_gibi, ps_to_ns, safe_div, tera_to_giga};

/// The memory of the device; all other memories are on the chip.
const HBM: u64 = 1;

/// What a node costs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Time, in picoseconds.
    pub time_ps: u64,
    /// Time at the nominal clock rate, in picoseconds.
    pub normalized_time_ps: u64,
    /// Number of executions.
    pub occurrences: u32,
    /// Floating-point operations.
    pub flops: f64,
    /// Floating-point operations of the model.
    pub model_flops: f64,
    /// Bytes read from and written to the device's memory.
    pub hbm_bytes: [u64; 2],
    /// Bytes read from and written to memory on the chip.
    pub on_chip_bytes: [u64; 2],
}

impl Cost {
    /// Adds an op that belongs to the node.
    pub fn add(&mut self, op: &OpMetrics) {
        self.time_ps = self.time_ps.wrapping_add(op.time_ps);
        self.normalized_time_ps = self.normalized_time_ps.wrapping_add(op.normalized_time_ps);
        self.occurrences = self.occurrences.wrapping_add(op.occurrences);
        self.add_work(op);
    }

    /// Adds an op below the node: only its own time, and its work unless other ops inside it account for that.
    pub fn add_from_below(&mut self, op: &OpMetrics, has_children: bool) {
        self.time_ps = self.time_ps.wrapping_add(op.self_time_ps);
        self.normalized_time_ps = self.normalized_time_ps.wrapping_add(op.normalized_time_ps);
        if !has_children {
            self.add_work(op);
        }
    }

    fn add_work(&mut self, op: &OpMetrics) {
        self.flops += op.flops_v2;
        self.model_flops += op.model_flops_v2;
        for access in &op.memory_accessed_breakdown {
            let bytes = if access.memory_space == HBM { &mut self.hbm_bytes } else { &mut self.on_chip_bytes };
            let direction = match access.operation_type() {
                OperationType::Read => 0,
                OperationType::Write => 1,
                OperationType::Unknown => continue,
            };
            bytes[direction] = bytes[direction].wrapping_add(access.bytes_accessed);
        }
    }
}

/// What costs are measured against.
#[derive(Debug, Clone, Copy)]
pub struct Scale<'a> {
    peak_flop_rate: f64,
    peak_bandwidths: &'a [f64],
    total_ps: f64,
}

impl<'a> Scale<'a> {
    /// Against the peaks of the hardware and the time of the whole profile.
    pub fn new(perf_env: &'a PerfEnv, total_ps: u64) -> Self {
        Self {
            peak_flop_rate: tera_to_giga(perf_env.peak_tera_flops_per_second),
            peak_bandwidths: &perf_env.peak_bws_giga_bytes_per_second,
            total_ps: total_ps as f64,
        }
    }

    /// Writes the numbers of a node.
    pub fn write(&self, json: &mut JsonWriter<'_>, cost: &Cost) {
        let time_ps = cost.time_ps as f64;
        let ns = ps_to_ns(cost.time_ps);
        let share = safe_div(time_ps, self.total_ps);
        let mut utilization = safe_div(safe_div(cost.flops, ns), self.peak_flop_rate);
        if cost.normalized_time_ps != 0 {
            utilization *= safe_div(time_ps, cost.normalized_time_ps as f64);
        }
        let rate = |bytes: u64| gibibytes_per_second(bytes as f64, ns);
        // One rate for the device's memory, two for memory on the chip.
        let rates = [
            rate(cost.hbm_bytes[0]) + rate(cost.hbm_bytes[1]),
            rate(cost.on_chip_bytes[0]),
            rate(cost.on_chip_bytes[1]),
        ];
        json.begin_object().key("flops").double(utilization.min(1.0) * share);
        json.key("bandwidthUtils").begin_array();
        for (i, rate) in rates.iter().enumerate() {
            let peak = self.peak_bandwidths.get(i).copied().unwrap_or(0.0);
            json.double(safe_div(*rate, giga_to_gibi(peak)).min(1.0));
        }
        json.end_array();
        json.key("rawTime").double(time_ps).key("rawFlops").double(cost.model_flops);
        json.key("rawBytesAccessedArray").begin_array();
        for rate in rates {
            json.double(gibi_to_giga(rate) * ns);
        }
        json.end_array();
        json.key("occurrences").int(cost.occurrences);
        json.key("avgTimePs").double(safe_div(time_ps, f64::from(cost.occurrences)));
        json.key("bf16Flops").double(cost.flops).key("uncappedFlops").double(utilization * share);
        json.key("normalizedTimePs").double(cost.normalized_time_ps as f64).end_object();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::json::Dialect;
    use xprof_proto::tensorflow::profiler::op_metrics::MemoryAccessed;

    fn check(op: &OpMetrics, expected: &str) {
        let perf_env = PerfEnv {
            peak_tera_flops_per_second: 1.0,
            peak_bws_giga_bytes_per_second: vec![100.0, 50.0],
            ..PerfEnv::default()
        };
        let mut cost = Cost::default();
        cost.add(op);
        let mut out = Vec::new();
        Scale::new(&perf_env, 4000).write(&mut JsonWriter::new(&mut out, Dialect::Proto), &cost);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn measures_against_peaks() {
        let access = |operation_type, memory_space, bytes_accessed| MemoryAccessed {
            operation_type,
            memory_space,
            bytes_accessed,
        };
        let op = OpMetrics {
            time_ps: 2000,
            occurrences: 4,
            flops_v2: 4000.0,
            model_flops_v2: 3000.0,
            memory_accessed_breakdown: vec![
                access(1, 1, 50),
                access(2, 1, 50),
                access(1, 7, 50),
                access(0, 1, 9),
                access(2, 3, 8),
            ],
            ..OpMetrics::default()
        };
        check(
            &op,
            "{\"flops\":0.5,\"bandwidthUtils\":[0.5,0.5,0],\"rawTime\":2000,\"rawFlops\":3000,\
             \"rawBytesAccessedArray\":[100,50,7.9999999999999991],\"occurrences\":4,\"avgTimePs\":500,\"bf16Flops\":4000,\
             \"uncappedFlops\":1,\"normalizedTimePs\":0}",
        );
        let capped = "{\"flops\":0,\"bandwidthUtils\":[0,0,0],\"rawTime\":0,\"rawFlops\":0,\
             \"rawBytesAccessedArray\":[0,0,0],\"occurrences\":0,\"avgTimePs\":0,\"bf16Flops\":0,\
             \"uncappedFlops\":0,\"normalizedTimePs\":0}";
        check(&OpMetrics::default(), capped);
    }
}
