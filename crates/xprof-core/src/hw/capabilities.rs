//! Peak rates and model names of devices, from the stats of their planes.

use xprof_proto::tensorflow::profiler::PerfEnv;

use super::tables;
use crate::xspace::{Plane, StatKind, StatValue};

const GIGA: f64 = 1e9;
const GIGA_PER_TERA: f64 = 1000.0;
const VENDOR_NVIDIA: &str = "Nvidia";
const VENDOR_AMD: &str = "AMD";

fn double(plane: &Plane, kind: StatKind) -> f64 {
    plane.stat(kind).map_or(0.0, StatValue::double)
}

fn integer(plane: &Plane, kind: StatKind) -> u64 {
    plane.stat(kind).map_or(0, StatValue::int_or_uint)
}

/// `parity:` a plain int read, so an unsigned stat counts as 0.
fn signed(plane: &Plane, kind: StatKind) -> i64 {
    plane.stat(kind).map_or(0, StatValue::int)
}

/// Memory bandwidths of a TPU in the order of `MemBwType`.
const TPU_BANDWIDTHS: [StatKind; 9] = [
    StatKind::PeakHbmBwGigabytesPerSecond,
    StatKind::PeakSramRdBwGigabytesPerSecond,
    StatKind::PeakSramWrBwGigabytesPerSecond,
    StatKind::PeakCmemRdBwGigabytesPerSecond,
    StatKind::PeakCmemWrBwGigabytesPerSecond,
    StatKind::PeakVmemRdBwGigabytesPerSecond,
    StatKind::PeakVmemWrBwGigabytesPerSecond,
    StatKind::PeakSpmemRdBwGigabytesPerSecond,
    StatKind::PeakSpmemWrBwGigabytesPerSecond,
];

/// What a TPU plane says about its device.
pub fn perf_env_of_tpu(plane: &Plane) -> PerfEnv {
    let tera_flops = double(plane, StatKind::PeakTeraflopsPerSecond);
    let bandwidths = TPU_BANDWIDTHS.map(|kind| double(plane, kind));
    PerfEnv {
        peak_tera_flops_per_second: tera_flops,
        ridge_point: tera_flops * GIGA_PER_TERA / bandwidths[0],
        peak_bws_giga_bytes_per_second: bandwidths.to_vec(),
        has_cmem: bandwidths[3] > 0.0 || bandwidths[4] > 0.0,
        has_merged_vmem: signed(plane, StatKind::HasMergedVmem) != 0,
        has_megacore: signed(plane, StatKind::HasMegacore) != 0,
        peak_sc_tera_flops_per_second: double(plane, StatKind::PeakScTeraflopsPerSecond),
        num_sparse_core_tiles: signed(plane, StatKind::NumSparseCoreTiles) as i32,
        ..PerfEnv::default()
    }
}

/// What a GPU plane says about its device.
struct GpuCaps {
    clock_ghz: f64,
    n_cores: f64,
    bandwidth: f64,
    vendor: String,
    device_name: String,
    capability: (u32, u32),
}

impl GpuCaps {
    fn of(plane: &Plane) -> Self {
        let text = |kind| plane.stat(kind).map_or_else(String::new, |v| v.text().into_owned());
        Self {
            clock_ghz: integer(plane, StatKind::ClockRate) as f64 / 1e6,
            // The original keeps the number of cores in 32 bits.
            n_cores: f64::from(integer(plane, StatKind::CoreCount) as u32),
            bandwidth: integer(plane, StatKind::MemoryBandwidth) as f64,
            vendor: text(StatKind::DeviceVendor),
            device_name: text(StatKind::GpuDeviceName),
            capability: (
                integer(plane, StatKind::ComputeCapMajor) as u32,
                integer(plane, StatKind::ComputeCapMinor) as u32,
            ),
        }
    }

    /// Operations and bytes of shared memory per core and cycle.
    fn rates(&self) -> (u32, u32) {
        match self.vendor.as_str() {
            VENDOR_NVIDIA => (
                tables::nvidia_rates(self.capability).flops_per_cycle,
                tables::nvidia_shared_bytes_per_cycle(self.capability.0),
            ),
            VENDOR_AMD => {
                let rates = tables::amd_rates(tables::amd_arch(&self.device_name, self.capability));
                (rates.flops_per_cycle, rates.shared_bytes_per_cycle)
            }
            _ => (0, 0),
        }
    }
}

/// Peak rates of a GPU: those that the plane states, else what its model and clock imply.
pub fn perf_env_of_gpu(plane: &Plane) -> PerfEnv {
    let caps = GpuCaps::of(plane);
    let (flops_per_cycle, shared_bytes_per_cycle) = caps.rates();
    let stated = |kind, implied: f64| {
        let value = double(plane, kind);
        if value > 0.0 { value } else { implied }
    };
    // The order of the operations decides about the last digit.
    let tera_flops_per_core = caps.clock_ghz * f64::from(flops_per_cycle) / GIGA_PER_TERA;
    let tera_flops = stated(StatKind::PeakTeraflopsPerSecond, tera_flops_per_core * caps.n_cores);
    let shared = caps.n_cores * f64::from(shared_bytes_per_cycle) * caps.clock_ghz;
    let bandwidths = vec![
        caps.bandwidth / GIGA,
        stated(StatKind::PeakSramRdBwGigabytesPerSecond, shared),
        stated(StatKind::PeakSramWrBwGigabytesPerSecond, shared),
    ];
    PerfEnv {
        peak_tera_flops_per_second: tera_flops,
        ridge_point: tera_flops * GIGA_PER_TERA / bandwidths[0],
        peak_bws_giga_bytes_per_second: bandwidths,
        ..PerfEnv::default()
    }
}

/// What users call the GPU; empty if its vendor is not known.
pub fn gpu_model_name(plane: &Plane) -> String {
    let caps = GpuCaps::of(plane);
    match caps.vendor.as_str() {
        VENDOR_NVIDIA => tables::nvidia_model(caps.capability).to_owned(),
        VENDOR_AMD => tables::amd_model(tables::amd_arch(&caps.device_name, caps.capability), caps.capability.0),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::build::{PlaneBuilder, SpaceBuilder, V};
    use crate::xspace::{TraceBytes, XSpace};
    use crate::{Diag, Result};

    fn plane(stats: &[(&str, V<'_>)]) -> Result<XSpace> {
        let mut plane = PlaneBuilder::new(1, "/device:GPU:0");
        for (name, value) in stats {
            plane.stat(name, *value);
        }
        let mut space = SpaceBuilder::new("");
        space.plane(plane);
        XSpace::read(TraceBytes::new(space.finish().into()), "test", &mut Diag::new())
    }

    fn check_gpu(stats: &[(&str, V<'_>)], tera_flops: f64, bandwidths: [f64; 3], model: &str) {
        let space = plane(stats).unwrap();
        let env = perf_env_of_gpu(&space.planes[0]);
        assert_eq!(env.peak_tera_flops_per_second, tera_flops);
        assert_eq!(env.peak_bws_giga_bytes_per_second, bandwidths);
        assert_eq!(gpu_model_name(&space.planes[0]), model);
    }

    #[test]
    fn rates_of_an_mi300x() {
        check_gpu(
            &[
                ("device_vendor", V::Ref("AMD")),
                ("gpu_device_name", V::Str("gfx942")),
                ("clock_rate", V::Int(2_100_000)),
                ("core_count", V::Uint(304)),
                ("memory_bandwidth", V::Uint(2_662_400_000_000)),
            ],
            1_307.443_200_000_000_2,
            [2662.4, 81715.2, 81715.2],
            "AMD GPU - gfx942",
        );
    }

    #[test]
    fn a_gpu_without_facts_has_no_name() {
        check_gpu(&[], 0.0, [0.0, 0.0, 0.0], "");
    }

    #[test]
    fn rates_of_a_v6e() {
        let space = plane(&[
            ("peak_teraflops_per_second", V::Double(918.0)),
            ("peak_hbm_bw_gigabytes_per_second", V::Double(1_637.993_152_512)),
            ("has_merged_vmem", V::Int(1)),
        ])
        .unwrap();
        let env = perf_env_of_tpu(&space.planes[0]);
        assert_eq!(env.ridge_point, 560.441_903_308_429_6);
        assert!(env.has_merged_vmem && !env.has_cmem && !env.has_megacore);
        assert_eq!(env.peak_bws_giga_bytes_per_second.len(), 9);
    }
}
