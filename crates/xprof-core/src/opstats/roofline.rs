//! How fast an op computed and moved data, and which of the hardware's peaks held it back.
//!
//! Takes the metrics of one op and what is known of the hardware; gives rates, intensities and the tightest bound.
//! Rates are over the time of the op with all that it contains.

use xprof_proto::tensorflow::profiler::op_metrics::MemoryAccessed;
use xprof_proto::tensorflow::profiler::op_metrics::memory_accessed::OperationType;
use xprof_proto::tensorflow::profiler::performance_info::memory_accessed::MemorySpace;
use xprof_proto::tensorflow::profiler::{HardwareType, MemBwType, OpMetrics, PerfEnv};

use super::RunStats;
use super::numbers::{gibibytes_per_second, giga_to_gibi, ps_to_ns, safe_div, tera_to_giga};

/// What the hardware can do at best.
#[derive(Debug, Clone, Copy)]
pub struct Peaks<'a> {
    hardware: HardwareType,
    env: &'a PerfEnv,
}

impl<'a> Peaks<'a> {
    /// Of the hardware of a run, of the kind that its hosts report.
    pub fn of_run(run: &'a RunStats) -> Self {
        Self { hardware: run.run_environment().hardware_type(), env: run.perf_env() }
    }

    /// The kind of hardware.
    pub fn hardware(&self) -> HardwareType {
        self.hardware
    }

    /// Floating-point operations, in GFLOP/s.
    pub fn flop_rate(&self) -> f64 {
        tera_to_giga(self.env.peak_tera_flops_per_second)
    }

    /// Bandwidth of a memory, in GiB/s; where it is not listed, that of the device's main memory.
    pub fn bandwidth(&self, memory: MemBwType) -> f64 {
        let listed = self.env.peak_bws_giga_bytes_per_second.get(memory as usize);
        giga_to_gibi(listed.copied().unwrap_or(self.env.peak_hbm_bw_giga_bytes_per_second))
    }
}

/// Data that went to or came from one memory.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Traffic {
    /// In GiB/s.
    pub bandwidth: f64,
    /// Floating-point operations per byte.
    pub intensity: f64,
}

/// The rates of one op.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofline {
    /// Floating-point operations, in GFLOP/s.
    pub flop_rate: f64,
    /// Those of the model, without what the compiler added, in GFLOP/s.
    pub model_flop_rate: f64,
    /// All memories together.
    pub all: Traffic,
    /// The device's main memory.
    pub hbm: Traffic,
    /// Common memory, reading.
    pub cmem_read: Traffic,
    /// Common memory, writing.
    pub cmem_write: Traffic,
    /// Vector memory, reading.
    pub vmem_read: Traffic,
    /// Vector memory, writing.
    pub vmem_write: Traffic,
    /// What is used closest to its peak, in words.
    pub bound_by: &'static str,
    /// Floating-point operations per byte of that.
    pub bottleneck_intensity: f64,
}

impl Roofline {
    /// Measures one op.
    pub fn new(op: &OpMetrics, peaks: &Peaks<'_>) -> Self {
        let ns = ps_to_ns(op.time_ps);
        let traffic = |bytes: u64| Traffic {
            bandwidth: gibibytes_per_second(bytes as f64, ns),
            intensity: safe_div(op.flops_v2, bytes as f64),
        };
        let bytes = Bytes::of(op);
        let mut roofline = Self {
            flop_rate: safe_div(op.flops_v2, ns),
            model_flop_rate: safe_div(op.model_flops_v2, ns),
            all: traffic(op.bytes_accessed),
            hbm: traffic(bytes.hbm),
            cmem_read: traffic(bytes.cmem[0]),
            cmem_write: traffic(bytes.cmem[1]),
            vmem_read: traffic(bytes.vmem[0]),
            vmem_write: traffic(bytes.vmem[1]),
            bound_by: "Unknown",
            bottleneck_intensity: 0.0,
        };
        roofline.find_bound(peaks);
        roofline
    }

    /// Of equally used ones the first counts.
    fn find_bound(&mut self, peaks: &Peaks<'_>) {
        let mut highest = 0.0;
        let mut consider = |name, used: f64, intensity| {
            if used > highest {
                highest = used;
                self.bound_by = name;
                self.bottleneck_intensity = intensity;
            }
        };
        consider("Compute", safe_div(self.flop_rate, peaks.flop_rate()), self.all.intensity);
        let hbm = self.hbm;
        consider("HBM", safe_div(hbm.bandwidth, peaks.bandwidth(MemBwType::HbmRw)), hbm.intensity);
        match peaks.hardware() {
            HardwareType::Tpu => {
                for (name, traffic, memory) in [
                    ("CMEM Read", self.cmem_read, MemBwType::CmemRd),
                    ("CMEM Write", self.cmem_write, MemBwType::CmemWr),
                    ("VMEM Read", self.vmem_read, MemBwType::VmemRd),
                    ("VMEM Write", self.vmem_write, MemBwType::VmemWr),
                ] {
                    consider(name, safe_div(traffic.bandwidth, peaks.bandwidth(memory)), traffic.intensity);
                }
            }
            HardwareType::Gpu => {
                consider("Shm/L1", safe_div(hbm.bandwidth, peaks.bandwidth(MemBwType::SramWr)), hbm.intensity);
            }
            HardwareType::CpuOnly | HardwareType::UnknownHardware => {}
        }
    }
}

/// Bytes by memory; on the chip read and written ones apart.
#[derive(Debug, Default)]
struct Bytes {
    hbm: u64,
    cmem: [u64; 2],
    vmem: [u64; 2],
}

impl Bytes {
    fn of(op: &OpMetrics) -> Self {
        let mut bytes = Self::default();
        if op.memory_accessed_breakdown.is_empty() {
            bytes.hbm = op.bytes_accessed;
        }
        for access in &op.memory_accessed_breakdown {
            if let Some(sum) = bytes.place(access) {
                *sum = sum.wrapping_add(access.bytes_accessed);
            }
        }
        bytes
    }

    fn place(&mut self, access: &MemoryAccessed) -> Option<&mut u64> {
        const HBM: u64 = MemorySpace::Hbm as u64;
        const CMEM: u64 = MemorySpace::Cmem as u64;
        const VMEM: u64 = MemorySpace::Vmem as u64;
        let direction = match access.operation_type() {
            OperationType::Unknown => None,
            OperationType::Read => Some(0),
            OperationType::Write => Some(1),
        };
        match (access.memory_space, direction) {
            (HBM, _) => Some(&mut self.hbm),
            (CMEM, Some(i)) => Some(&mut self.cmem[i]),
            (VMEM, Some(i)) => Some(&mut self.vmem[i]),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Peaks: 1000 GFLOP/s, and 1, 2, … GiB/s for the memories in their order.
    fn env() -> PerfEnv {
        let gibi = |n: u32| super::super::numbers::gibi_to_giga(f64::from(n));
        PerfEnv {
            peak_tera_flops_per_second: 1.0,
            peak_bws_giga_bytes_per_second: (1..=7).map(gibi).collect(),
            ..PerfEnv::default()
        }
    }

    /// An op of one millisecond; accesses are `(memory, direction, MiB)`.
    fn op(flops: f64, accesses: &[(u64, i32, u64)]) -> OpMetrics {
        let access = |(memory_space, operation_type, mebibytes): &(u64, i32, u64)| MemoryAccessed {
            operation_type: *operation_type,
            memory_space: *memory_space,
            bytes_accessed: mebibytes << 20,
        };
        OpMetrics {
            time_ps: 1_000_000_000,
            flops_v2: flops,
            bytes_accessed: 1 << 20,
            memory_accessed_breakdown: accesses.iter().map(access).collect(),
            ..OpMetrics::default()
        }
    }

    fn check(hardware: HardwareType, op: &OpMetrics, bound_by: &str, intensity: f64) -> Roofline {
        let roofline = Roofline::new(op, &Peaks { hardware, env: &env() });
        assert_eq!((roofline.bound_by, roofline.bottleneck_intensity), (bound_by, intensity));
        roofline
    }

    #[test]
    fn measures_rates() {
        let op = op(1e9, &[(1, 0, 1), (1, 1, 1), (2, 1, 3), (2, 0, 9), (3, 2, 4), (4, 1, 9)]);
        let r = check(HardwareType::CpuOnly, &op, "HBM", 1e9 / f64::from(2 << 20));
        assert_eq!((r.flop_rate, r.model_flop_rate), (1000.0, 0.0));
        assert_eq!(r.all.intensity, 1e9 / f64::from(1 << 20));
        let bytes =
            [r.hbm, r.cmem_read, r.cmem_write, r.vmem_read, r.vmem_write].map(|t| (t.bandwidth * 1.024).round());
        // Mebibytes in a millisecond.
        assert_eq!(bytes, [2.0, 3.0, 0.0, 0.0, 4.0]);
        assert!((r.hbm.bandwidth - 1000.0 / 512.0).abs() < 1e-12);
    }

    #[test]
    fn takes_all_bytes_for_main_memory_if_nothing_is_known() {
        let roofline = check(HardwareType::Tpu, &op(0.0, &[]), "HBM", 0.0);
        assert_eq!(roofline.hbm, roofline.all);
    }

    #[test]
    fn finds_the_tightest_bound() {
        use HardwareType::{Gpu, Tpu, UnknownHardware};
        let mebibyte = f64::from(1 << 20);
        check(Tpu, &OpMetrics::default(), "Unknown", 0.0);
        check(Tpu, &op(9e8, &[(2, 1, 1)]), "Compute", 9e8 / mebibyte);
        check(Tpu, &op(1e6, &[(2, 1, 100), (1, 0, 1)]), "CMEM Read", 1e6 / (100.0 * mebibyte));
        check(Tpu, &op(1e6, &[(3, 2, 100), (1, 0, 1)]), "VMEM Write", 1e6 / (100.0 * mebibyte));
        check(UnknownHardware, &op(1e6, &[(3, 2, 100), (1, 0, 1)]), "HBM", 1e6 / mebibyte);
        // Shared memory is measured by the traffic of main memory, and is the faster one.
        check(Gpu, &op(1e6, &[(1, 0, 1)]), "HBM", 1e6 / mebibyte);
        let mut slow = env();
        slow.peak_bws_giga_bytes_per_second[2] = 0.5;
        let roofline = Roofline::new(&op(1e6, &[(1, 0, 1)]), &Peaks { hardware: Gpu, env: &slow });
        assert_eq!(roofline.bound_by, "Shm/L1");
    }

    #[test]
    fn falls_back_to_the_main_memory_s_peak() {
        let env = PerfEnv { peak_hbm_bw_giga_bytes_per_second: 1.073_741_824, ..PerfEnv::default() };
        let peaks = Peaks { hardware: HardwareType::Tpu, env: &env };
        assert_eq!((peaks.bandwidth(MemBwType::VmemWr), peaks.flop_rate()), (1.0, 0.0));
    }
}
