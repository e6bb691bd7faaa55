//! Kernel statistics of GPUs: launch parameters, durations, and whether tensor cores could be or were used.
//!
//! Takes the GPU planes, gives reports in the order of the original, the longest first.

use rayon::prelude::*;
use rustc_hash::FxHashMap;
use xprof_proto::tensorflow::profiler::{KernelReport, KernelStatsDb};

use super::modules::TraceModules;
use super::tensor_cores::{Vendor, is_eligible_equation, is_eligible_op};
use crate::op_name;
use crate::opstats::combine::sort_kernels;
use crate::xspace::{Line, Plane, StatKind};
use crate::{Diag, Result};

/// The reports of all planes.
pub fn kernel_stats(planes: &[&Plane], modules: &TraceModules, diag: &Diag) -> Result<KernelStatsDb> {
    let lines: Vec<(&Plane, &Line)> = planes
        .iter()
        .flat_map(|&plane| plane.lines.iter().map(move |line| (plane, line)))
        .filter(|(_, line)| !line.is_derived() && line.stat_kinds.contains(StatKind::KernelDetails))
        .collect();
    let parts: Vec<Vec<Kernel>> = lines
        .par_iter()
        .map(|(plane, line)| {
            diag.check()?;
            Ok(line_kernels(plane, line, modules))
        })
        .collect::<Result<_>>()?;
    let mut kernels: FxHashMap<KernelKey, KernelReport> = FxHashMap::default();
    for kernel in parts.iter().flatten() {
        add(&mut kernels, kernel);
    }
    let mut reports: Vec<KernelReport> = kernels.into_values().collect();
    sort_kernels(&mut reports);
    reports.truncate(MAX_REPORTS);
    Ok(KernelStatsDb { reports })
}

/// So many rows are kept.
const MAX_REPORTS: usize = 1000;

/// What makes two kernels the same row.
type KernelKey = (String, [u32; 3], [u32; 3], [u32; 3], bool, bool, String);

/// Sums over kernels of a line that share a row.
struct Kernel {
    key: KernelKey,
    occupancy_pct: f32,
    total_ns: u64,
    min_ns: u64,
    max_ns: u64,
    occurrences: u32,
}

fn add(kernels: &mut FxHashMap<KernelKey, KernelReport>, kernel: &Kernel) {
    let (name, grid, block, resources, uses_tensor_core, is_eligible, op_name) = &kernel.key;
    let report = kernels.entry(kernel.key.clone()).or_insert_with(|| KernelReport {
        name: name.clone(),
        registers_per_thread: resources[0],
        static_shmem_bytes: resources[1],
        dynamic_shmem_bytes: resources[2],
        block_dim: block.to_vec(),
        grid_dim: grid.to_vec(),
        min_duration_ns: u64::MAX,
        is_kernel_using_tensor_core: *uses_tensor_core,
        is_op_tensor_core_eligible: *is_eligible,
        op_name: op_name.clone(),
        occupancy_pct: kernel.occupancy_pct,
        ..KernelReport::default()
    });
    report.total_duration_ns = report.total_duration_ns.wrapping_add(kernel.total_ns);
    report.min_duration_ns = report.min_duration_ns.min(kernel.min_ns);
    report.max_duration_ns = report.max_duration_ns.max(kernel.max_ns);
    report.occurrences = report.occurrences.wrapping_add(kernel.occurrences);
}

/// The texts of an event that decide about its row; events with equal ones are summed before any text is parsed.
type EventTexts<'a> = (u32, &'a [u8], &'a [u8], &'a [u8], u64, bool);

fn line_kernels(plane: &Plane, line: &Line, modules: &TraceModules) -> Vec<Kernel> {
    let mut places: FxHashMap<EventTexts<'_>, usize> = FxHashMap::default();
    let mut kernels: Vec<Kernel> = Vec::new();
    let vendor = Vendor::of(plane);
    for event in line.events(plane) {
        let duration_ps = event.duration_ps();
        if duration_ps == 0 {
            continue;
        }
        let (mut details, mut tf_op, mut hlo_op, mut equation) = (None, None, None, None);
        let mut program_id = None;
        event.each_stat(|kind, value| match kind {
            StatKind::KernelDetails => _ = details.get_or_insert_with(|| value.text_bytes()),
            StatKind::TfOp => _ = tf_op.get_or_insert_with(|| value.text_bytes()),
            StatKind::HloOp => _ = hlo_op.get_or_insert_with(|| value.text_bytes()),
            StatKind::Equation => _ = equation.get_or_insert_with(|| value.text_bytes()),
            StatKind::ProgramId => _ = program_id.get_or_insert_with(|| value.int_or_uint()),
            _ => {}
        });
        let details = details.unwrap_or_default();
        if details.is_empty() {
            continue;
        }
        let (tf_op, hlo_op) = (tf_op.unwrap_or_default(), hlo_op.unwrap_or_default());
        let has_equation = equation.is_some_and(|e| is_eligible_equation(&String::from_utf8_lossy(e)));
        let texts = (event.metadata_row(), details, tf_op, hlo_op, program_id.unwrap_or(0), has_equation);
        let place = *places.entry(texts).or_insert_with(|| {
            kernels.push(new_kernel(event.name(), texts, vendor, modules));
            kernels.len() - 1
        });
        let duration_ns = duration_ps / 1000;
        let kernel = &mut kernels[place];
        kernel.total_ns = kernel.total_ns.wrapping_add(duration_ns);
        kernel.min_ns = kernel.min_ns.min(duration_ns);
        kernel.max_ns = kernel.max_ns.max(duration_ns);
        kernel.occurrences = kernel.occurrences.wrapping_add(1);
    }
    kernels
}

fn new_kernel(name: &str, texts: EventTexts<'_>, vendor: Vendor, modules: &TraceModules) -> Kernel {
    let (_, details, tf_op, hlo_op, program_id, has_equation) = texts;
    let launch = LaunchParameters::parse(&String::from_utf8_lossy(details));
    let uses_tensor_core = vendor.uses_tensor_core(name);
    let mut op_name = String::new();
    let mut is_eligible = false;
    if !tf_op.is_empty() {
        let tf_op = String::from_utf8_lossy(tf_op);
        op_name::parse(&tf_op).op_name.clone_into(&mut op_name);
        is_eligible = uses_tensor_core || is_eligible_op(&op_name) || has_equation;
    }
    if !hlo_op.is_empty() {
        let hlo_op = String::from_utf8_lossy(hlo_op);
        let instruction = hlo_op.rsplit("::").next().unwrap_or(&hlo_op);
        if let Some(instruction) = modules.find(program_id, instruction) {
            instruction.op_name().clone_into(&mut op_name);
            is_eligible |= is_eligible_op(&op_name);
        }
    }
    let resources = [launch.registers, launch.static_shared_bytes, launch.dynamic_shared_bytes];
    Kernel {
        key: (name.to_owned(), launch.grid, launch.block, resources, uses_tensor_core, is_eligible, op_name),
        occupancy_pct: launch.occupancy_pct,
        total_ns: 0,
        min_ns: u64::MAX,
        max_ns: 0,
        occurrences: 0,
    }
}

/// What a kernel was launched with.
#[derive(Debug, Clone, Copy, PartialEq)]
struct LaunchParameters {
    registers: u32,
    static_shared_bytes: u32,
    dynamic_shared_bytes: u32,
    block: [u32; 3],
    grid: [u32; 3],
    occupancy_pct: f32,
}

impl LaunchParameters {
    /// Reads tokens `key:value` between blanks and line ends; what is not understood is left at its default.
    fn parse(details: &str) -> Self {
        let mut launch = Self {
            registers: 0,
            static_shared_bytes: 0,
            dynamic_shared_bytes: 0,
            block: [1; 3],
            grid: [1; 3],
            occupancy_pct: 0.0,
        };
        for token in details.split([' ', '\n']) {
            let Some((key, value)) = token.split_once(':').filter(|(_, value)| !value.contains(':')) else {
                continue;
            };
            match key {
                "regs" => set(&mut launch.registers, value.trim().parse()),
                "static_shared" => set(&mut launch.static_shared_bytes, value.trim().parse()),
                "dynamic_shared" => set(&mut launch.dynamic_shared_bytes, value.trim().parse()),
                "block" => set(&mut launch.block, three(value).ok_or(())),
                "grid" => set(&mut launch.grid, three(value).ok_or(())),
                "occ_pct" => set(&mut launch.occupancy_pct, value.trim().parse()),
                _ => {}
            }
        }
        launch
    }
}

fn set<T, E>(to: &mut T, value: Result<T, E>) {
    if let Ok(value) = value {
        *to = value;
    }
}

fn three(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split(',').map(|part| part.trim().parse::<u32>().ok());
    let dims = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(dims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(details: &str, registers: u32, block: [u32; 3], grid: [u32; 3], occupancy_pct: f32) {
        let launch = LaunchParameters::parse(details);
        assert_eq!(
            (launch.registers, launch.block, launch.grid, launch.occupancy_pct),
            (registers, block, grid, occupancy_pct),
            "{details}"
        );
    }

    #[test]
    fn reads_launch_parameters() {
        let details = "regs:32 static_shared:1 dynamic_shared:2 grid:4,5,6 block:32,2,1 occ_pct:50.5";
        check(details, 32, [32, 2, 1], [4, 5, 6], 50.5);
        let launch = LaunchParameters::parse(details);
        assert_eq!((launch.static_shared_bytes, launch.dynamic_shared_bytes), (1, 2));
        check("regs:-1 block:1,2 grid:1,2,3,4", 0, [1; 3], [1; 3], 0.0);
        check("regs:1:2\nblock:7,8,9", 0, [7, 8, 9], [1; 3], 0.0);
        check("", 0, [1; 3], [1; 3], 0.0);
    }
}
