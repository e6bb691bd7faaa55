//! The table of records: which columns and properties it has depends on the device.
//!
//! Takes records in order, gives the table. Cells called percents are shares of 1; times are in microseconds.

use xprof_proto::tensorflow::profiler::{HardwareType, MemBwType};

use crate::answer::datatable::{ColumnType, DataTable, Value};
use crate::opstats::RunStats;
use crate::opstats::numbers::{gibi_to_giga, safe_div, six_digits};
use crate::opstats::op_record::source_cell;
use crate::opstats::roofline::{Peaks, Traffic};

use super::records::{Record, Span};

/// Whether GPUs have a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    /// All devices.
    All,
    /// All but GPUs.
    NotGpu,
}

use ColumnType::{Boolean, Number, String as Text};
use On::{All, NotGpu};

/// Id, type, label, and who has it.
const COLUMNS: [(&str, ColumnType, &str, On); 37] = [
    ("step", Text, "Step", All),
    ("rank", Number, "Rank", All),
    ("category", Text, "Category", All),
    ("operation", Text, "Operation", All),
    ("occurrences", Number, "# Occurrences", All),
    ("total_time", Number, "Total Time (us)", All),
    ("avg_time", Number, "Avg. time (us)", All),
    ("total_self_time", Number, "Total self time (us)", All),
    ("avg_self_time", Number, "Avg. self time (us)", All),
    ("total_self_time_percent", Number, "Total self time (%)", All),
    ("cumulative_total_self_time_percent", Number, "Cumulative total self time (%)", All),
    ("dma_stall_percent", Number, "%time stalled by DMA", NotGpu),
    ("measured_flop_rate", Number, "Normalized FLOP Rate (GFLOP/s)", All),
    ("model_flop_rate", Number, "Model FLOP Rate (GFLOP/s)", All),
    ("measured_memory_bw", Number, "Memory BW (GiB/s)", All),
    ("hbm_bw", Number, "HBM BW (GiB/s)", All),
    ("cmem_read_bw", Number, "CMEM Read BW (GiB/s)", NotGpu),
    ("cmem_write_bw", Number, "CMEM Write BW (GiB/s)", NotGpu),
    ("vmem_read_bw", Number, "VMEM Read BW (GiB/s)", NotGpu),
    ("vmem_write_bw", Number, "VMEM Write BW (GiB/s)", All),
    ("operational_intensity", Number, "Operational Intensity (FLOP/Byte)", All),
    ("hbm_operational_intensity", Number, "HBM Operational Intensity (FLOP/Byte)", All),
    ("cmem_read_operational_intensity", Number, "CMEM Read Operational Intensity (FLOP/Byte)", NotGpu),
    ("cmem_write_operational_intensity", Number, "CMEM Write Operational Intensity (FLOP/Byte)", NotGpu),
    ("vmem_read_operational_intensity", Number, "VMEM Read Operational Intensity (FLOP/Byte)", NotGpu),
    ("vmem_write_operational_intensity", Number, "VMEM Write Operational Intensity (FLOP/Byte)", All),
    ("bottleneck_operational_intensity", Number, "Bottleneck Operational Intensity (FLOP/Byte)", All),
    ("bound_by", Text, "Bound by", All),
    ("total_time_per_core", Number, "Total Time per core (us)", All),
    ("total_time_in_percentage", Number, "Total Time (%)", All),
    ("optimal_flop_rate", Number, "Optimal FLOP Rate (GFLOP/s)", All),
    ("roofline_efficiency", Number, "Roofline efficiency (%)", All),
    ("compute_efficiency", Number, "FLOP Rate / Peak (%)", All),
    ("max_mem_bw_utilization", Number, "Max memory BW utilization (among supported memories) (%)", All),
    ("include_infeed_outfeed", Boolean, "Include Infeed/Outfeed", All),
    ("hlo_module_id", Text, "Program ID", All),
    ("source_info", Text, "Source Info", All),
];

/// What columns mean on GPUs.
const GPU_LABELS: [(&str, &str); 2] = [
    ("vmem_write_bw", "SHM/L1 BW (GiB/s)"),
    ("vmem_write_operational_intensity", "SHM/L1 Operational Intensity (FLOP/Byte)"),
];

/// What is known of the device: rates in GFLOP/s and GiB/s, 0 where there is nothing of the kind.
#[derive(Debug, Default)]
pub struct Device<'a> {
    model: &'a str,
    n_cores: i32,
    hardware: HardwareType,
    has_megacore: bool,
    has_cmem: bool,
    has_merged_vmem: bool,
    peak_flop_rate: f64,
    peak_hbm: f64,
    peak_cmem: [f64; 2],
    peak_vmem: [f64; 2],
    time_scale: f64,
}

impl<'a> Device<'a> {
    /// The device of a run; one about which nothing is known unless the run has GPUs or TPUs.
    pub fn of(run: &'a RunStats) -> Self {
        let environment = run.run_environment();
        let perf_env = run.perf_env();
        let peaks = Peaks::of_run(run);
        let both = |kinds: [MemBwType; 2]| kinds.map(|kind| peaks.bandwidth(kind));
        let ops = run.device_ops();
        let device = Self {
            model: &environment.device_type,
            n_cores: environment.device_core_count,
            hardware: peaks.hardware(),
            peak_flop_rate: peaks.flop_rate(),
            peak_hbm: peaks.bandwidth(MemBwType::HbmRw),
            time_scale: safe_div(ops.normalized_total_op_time_ps as f64, ops.total_op_time_ps as f64),
            ..Self::default()
        };
        match device.hardware {
            HardwareType::Tpu => Self {
                has_megacore: perf_env.has_megacore,
                has_cmem: perf_env.has_cmem,
                has_merged_vmem: perf_env.has_merged_vmem,
                peak_cmem: if perf_env.has_cmem { both([MemBwType::CmemRd, MemBwType::CmemWr]) } else { [0.0; 2] },
                peak_vmem: if perf_env.has_merged_vmem && !perf_env.has_cmem {
                    both([MemBwType::VmemRd, MemBwType::VmemWr])
                } else {
                    [0.0; 2]
                },
                ..device
            },
            // Shared memory and first-level cache stand where a TPU has vector memory.
            HardwareType::Gpu => {
                Self { has_merged_vmem: true, peak_vmem: both([MemBwType::SramRd, MemBwType::SramWr]), ..device }
            }
            HardwareType::CpuOnly | HardwareType::UnknownHardware => Self::default(),
        }
    }

    /// Whether there is something to compare with.
    pub fn has_roofline(&self) -> bool {
        matches!(self.hardware, HardwareType::Gpu | HardwareType::Tpu)
    }

    /// Whether the table is that of a GPU. The text decides, not the kind of hardware.
    fn is_gpu(&self) -> bool {
        self.model.contains("GPU")
    }

    /// The largest used share of a memory's bandwidth.
    fn memory_utilization(&self, record: &Record<'_>) -> f64 {
        let rates = &record.roofline;
        let share = |traffic: Traffic, peak| safe_div(traffic.bandwidth, peak);
        let mut largest = share(rates.hbm, self.peak_hbm);
        if self.has_cmem {
            largest = largest.max(share(rates.cmem_read, self.peak_cmem[0]));
            largest = largest.max(share(rates.cmem_write, self.peak_cmem[1]));
        }
        if self.has_merged_vmem {
            largest = largest.max(share(rates.vmem_read, self.peak_vmem[0]));
            largest = largest.max(share(rates.vmem_write, self.peak_vmem[1]));
        }
        largest
    }
}

/// The table.
pub fn table(records: &[Record<'_>], device: &Device<'_>) -> DataTable {
    let mut table = DataTable::new();
    let is_gpu = device.is_gpu();
    let shown = |on: On| on == All || !is_gpu;
    for (id, kind, label, _) in COLUMNS.into_iter().filter(|column| shown(column.3)) {
        let gpu_label = GPU_LABELS.iter().find(|(of, _)| is_gpu && *of == id);
        table.column(id, kind, gpu_label.map_or(label, |(_, label)| *label));
    }
    for record in records {
        let cells = cells(record, device).into_iter().zip(COLUMNS);
        table.row(cells.filter(|(_, column)| shown(column.3)).map(|(cell, _)| cell));
    }
    set_properties(&mut table, device);
    table
}

/// The cells of all columns.
fn cells(record: &Record<'_>, device: &Device<'_>) -> [Value; 37] {
    let (op, times, rates) = (&record.op, &record.times, &record.roofline);
    let per_step = |us: f64| match record.span {
        // The averages of an average are still those of all steps together.
        Span::Average { n_steps } => safe_div(us, n_steps as f64),
        Span::Total | Span::Step(_) => us,
    };
    let compute_efficiency = safe_div(rates.flop_rate, device.peak_flop_rate);
    let memory_utilization = device.memory_utilization(record);
    let efficiency = compute_efficiency.max(memory_utilization);
    let step = match record.span {
        Span::Total => "Total".into(),
        Span::Average { .. } => "Average".into(),
        Span::Step(number) => number.to_string().into(),
    };
    [
        step,
        record.rank.rank.into(),
        record.category.to_owned().into(),
        op.name.clone().into(),
        f64::from(op.occurrences).into(),
        per_step(times.total_us).into(),
        times.avg_us.into(),
        per_step(times.total_self_us).into(),
        times.avg_self_us.into(),
        record.rank.fraction.into(),
        record.rank.cumulative.into(),
        times.dma_stall_fraction.into(),
        rates.flop_rate.into(),
        rates.model_flop_rate.into(),
        rates.all.bandwidth.into(),
        rates.hbm.bandwidth.into(),
        rates.cmem_read.bandwidth.into(),
        rates.cmem_write.bandwidth.into(),
        rates.vmem_read.bandwidth.into(),
        rates.vmem_write.bandwidth.into(),
        rates.all.intensity.into(),
        rates.hbm.intensity.into(),
        rates.cmem_read.intensity.into(),
        rates.cmem_write.intensity.into(),
        rates.vmem_read.intensity.into(),
        rates.vmem_write.intensity.into(),
        rates.bottleneck_intensity.into(),
        rates.bound_by.into(),
        safe_div(per_step(times.total_us), f64::from(device.n_cores)).into(),
        record.time_share.into(),
        safe_div(rates.flop_rate, efficiency).into(),
        efficiency.into(),
        compute_efficiency.into(),
        memory_utilization.into(),
        record.with_feeds.into(),
        op.hlo_module_id.to_string().into(),
        source_cell(op.source_info.as_ref()).into(),
    ]
}

fn set_properties(table: &mut DataTable, device: &Device<'_>) {
    let ridge = |peak| six_digits(safe_div(device.peak_flop_rate, gibi_to_giga(peak)));
    let flag = |set| if set { "1" } else { "0" };
    table.property("device_type", device.model.to_owned());
    table.property("peak_flop_rate", six_digits(device.peak_flop_rate));
    table.property("peak_hbm_bw", six_digits(device.peak_hbm));
    table.property("hbm_ridge_point", ridge(device.peak_hbm));
    table.property("peak_vmem_write_bw", six_digits(device.peak_vmem[1]));
    table.property("vmem_write_ridge_point", ridge(device.peak_vmem[1]));
    if device.is_gpu() {
        return;
    }
    table.property("megacore", flag(device.has_megacore));
    table.property("has_cmem", flag(device.has_cmem));
    table.property("has_merged_vmem", flag(device.has_merged_vmem));
    table.property("peak_cmem_read_bw", six_digits(device.peak_cmem[0]));
    table.property("peak_cmem_write_bw", six_digits(device.peak_cmem[1]));
    table.property("peak_vmem_read_bw", six_digits(device.peak_vmem[0]));
    table.property("cmem_read_ridge_point", ridge(device.peak_cmem[0]));
    table.property("cmem_write_ridge_point", ridge(device.peak_cmem[1]));
    table.property("vmem_read_ridge_point", ridge(device.peak_vmem[0]));
    table.property("time_scale_multiplier", six_digits(device.time_scale));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opstats::tests::run_of;
    use xprof_proto::tensorflow::profiler::{OpStats, PerfEnv, RunEnvironment};

    fn check(device_type: &str, hardware: HardwareType, perf_env: &PerfEnv, expected: &[(&str, &str)]) {
        let run = run_of(OpStats {
            perf_env: Some(PerfEnv {
                peak_tera_flops_per_second: 2.0,
                peak_bws_giga_bytes_per_second: (1..=7).map(f64::from).map(|n| gibi_to_giga(100.0 * n)).collect(),
                has_megacore: true,
                ..perf_env.clone()
            }),
            run_environment: Some(RunEnvironment {
                device_type: device_type.into(),
                hardware_type: hardware as i32,
                ..RunEnvironment::default()
            }),
            ..OpStats::default()
        });
        let table = table(&[], &Device::of(&run));
        for (name, value) in expected {
            assert_eq!(table.properties().get(*name).map(AsRef::as_ref), Some(*value), "{name}");
        }
    }

    #[test]
    fn tells_the_peaks_of_the_device() {
        let cmem = PerfEnv { has_cmem: true, has_merged_vmem: true, ..PerfEnv::default() };
        let vmem = PerfEnv { has_merged_vmem: true, ..PerfEnv::default() };
        let of_cmem = [
            ("has_cmem", "1"),
            ("has_merged_vmem", "1"),
            ("megacore", "1"),
            ("peak_flop_rate", "2000"),
            ("peak_hbm_bw", "100"),
            ("peak_cmem_read_bw", "400"),
            ("peak_cmem_write_bw", "500"),
            ("peak_vmem_write_bw", "0"),
            ("vmem_write_ridge_point", "0"),
            ("hbm_ridge_point", "18.6265"),
        ];
        check("TPU v4", HardwareType::Tpu, &cmem, &of_cmem);
        check("TPU v6", HardwareType::Tpu, &vmem, &[("peak_vmem_read_bw", "600"), ("peak_vmem_write_bw", "700")]);
        check("Nvidia GPU (Hopper)", HardwareType::Gpu, &PerfEnv::default(), &[("peak_vmem_write_bw", "300")]);
        let of_gpu = [("megacore", "0"), ("has_cmem", "0"), ("has_merged_vmem", "1"), ("peak_vmem_read_bw", "200")];
        check("gfx950", HardwareType::Gpu, &cmem, &of_gpu);
        check("CPU", HardwareType::CpuOnly, &cmem, &[("peak_flop_rate", "0"), ("has_cmem", "0"), ("device_type", "")]);
    }
}
