//! Tiny traces through the whole of map. Larger ones are compared with the original's in `tests/op_stats_oracle.rs`.

use prost::Message as _;
use xprof_proto::tensorflow::profiler::{
    CoreDetails, GenericStepBreakdown, OpStats, PerCoreStepInfo, SparseCoreStepBreakdown,
};

use super::op_stats;
use crate::Diag;
use crate::fixture::build::{LineBuilder, PlaneBuilder, SpaceBuilder, V};
use crate::prep::Prepared;
use crate::xspace::TraceBytes;

/// Every plane says that the trace is grouped, so that the groups are those written in the test.
fn plane(id: i64, name: &str) -> PlaneBuilder {
    let mut plane = PlaneBuilder::new(id, name);
    plane.stat_id("group_id");
    plane
}

/// A TPU op: name, begin, duration, stats of the event.
type Op<'o> = (&'o str, u64, u64, &'o [(&'o str, V<'o>)]);

/// An op line. The category of an op is its name up to the first dot; its symbol is its place among the names.
fn op_line(plane: &mut PlaneBuilder, name: &str, ops: &[Op<'_>]) {
    let mut ids = Vec::new();
    for (op, ..) in ops {
        let category = op.split('.').next().unwrap_or(op);
        let place = ops.iter().position(|(other, ..)| other == op).unwrap_or(0) as u64;
        let stats = [("program_id", V::Uint(7)), ("symbol_id", V::Uint(place + 1)), ("hlo_category", V::Ref(category))];
        ids.push(plane.define_event(op, "", &stats, Some(100 + place)));
    }
    plane.line(3, name, 0, |line| {
        for (id, (_, begin, duration, stats)) in ids.iter().zip(ops) {
            line.event_of(*id, *begin, *duration, stats);
        }
    });
}

fn stats(planes: Vec<PlaneBuilder>) -> OpStats {
    let mut space = SpaceBuilder::new("h");
    for plane in planes {
        space.plane(plane);
    }
    let mut diag = Diag::new();
    let prepared = Prepared::read(TraceBytes::new(space.finish().into()), "h", &mut diag).unwrap();
    op_stats(&prepared, &mut diag).unwrap()
}

/// Rows of the device table as (name, occurrences, time, self time, cores).
fn check_device(planes: Vec<PlaneBuilder>, total_ps: u64, expect: &[(&str, u32, u64, u64, u32)]) -> OpStats {
    let stats = stats(planes);
    let db = stats.device_op_metrics_db.as_ref().unwrap();
    let got: Vec<_> = db
        .metrics_db
        .iter()
        .map(|r| (r.name.as_str(), r.occurrences, r.time_ps, r.self_time_ps, r.num_cores))
        .collect();
    assert_eq!(got, expect);
    assert_eq!(db.total_time_ps, total_ps);
    stats
}

const GROUP_0: &[(&str, V<'_>)] = &[("group_id", V::Int(0))];

#[test]
fn an_empty_trace_is_a_host_without_devices() {
    let stats = stats(vec![]);
    let environment = stats.run_environment.unwrap();
    assert_eq!((environment.device_type.as_str(), environment.hardware_type), ("CPU", 1));
    assert_eq!(stats.core_id_to_details[&1], CoreDetails { hostname: "h".into(), ..CoreDetails::default() });
    assert_eq!(stats.host_op_metrics_db, None);
    assert_eq!(stats.hlo_metrics_db_complete_steps_only, None);
}

#[test]
fn a_tpu_without_events_was_observed_for_one_picosecond() {
    check_device(vec![plane(3, "/device:TPU:0")], 1, &[("IDLE", 0, 1, 1, 0)]);
}

#[test]
fn a_gpu_without_events_has_an_idle_row() {
    let stats = check_device(vec![plane(3, "/device:GPU:0")], 0, &[("IDLE", 0, 0, 0, 0)]);
    assert_eq!(stats.run_environment.unwrap().device_type, "GPU");
}

#[test]
fn ops_add_up_over_cores() {
    let core = |id: i64, name: &str| {
        let mut plane = plane(id, name);
        op_line(&mut plane, "XLA Ops", &[("while", 0, 100, &[]), ("fusion.1", 10, 30, &[]), ("fusion.1", 50, 20, &[])]);
        plane
    };
    let stats = check_device(
        vec![core(3, "/device:TPU:0"), core(4, "/device:TPU:1")],
        200,
        &[("while", 2, 200, 100, 2), ("fusion.1", 4, 100, 100, 2), ("IDLE", 0, 0, 0, 0)],
    );
    let db = stats.device_op_metrics_db.unwrap();
    assert_eq!((db.metrics_db[1].min_time_ps, db.metrics_db[1].normalized_time_ps), (20, 100));
    assert_eq!((db.busy_time_ps, db.idle_time_ps), (200, 0));
}

#[test]
fn times_are_the_device_s_but_the_shortest_is_the_host_s() {
    let mut core = plane(3, "/device:TPU:0");
    let device: &[(&str, V<'_>)] = &[("device_offset_ps", V::Int(100)), ("device_duration_ps", V::Uint(50))];
    op_line(&mut core, "XLA Ops", &[("fusion", 1000, 500, device)]);
    let stats = check_device(vec![core], 50, &[("fusion", 1, 50, 50, 1), ("IDLE", 0, 0, 0, 0)]);
    assert_eq!(stats.device_op_metrics_db.unwrap().metrics_db[0].min_time_ps, 500);
}

#[test]
fn framework_ops_bring_the_host_s_clock_into_the_window() {
    // Not grouped by the producer, so that the line of framework ops would be derived.
    let mut core = PlaneBuilder::new(3, "/device:TPU:0");
    let stats = [("program_id", V::Uint(7)), ("symbol_id", V::Uint(1)), ("tf_op", V::Ref("jit(f)/add:"))];
    let id = core.define_event("add.1", "", &stats, None);
    core.line(3, "XLA Ops", 0, |line| {
        line.event_of(id, 1000, 500, &[("device_offset_ps", V::Int(100)), ("device_duration_ps", V::Int(50))]);
    });
    check_device(vec![core], 1400, &[("add.1", 1, 50, 50, 1), ("IDLE", 0, 1350, 1350, 0)]);
}

#[test]
fn scaled_clocks_give_normalized_times() {
    let mut core = plane(3, "/device:TPU:0");
    let scale: &[(&str, V<'_>)] = &[("Time Scale Multiplier", V::Double(0.4))];
    let ops: Vec<Op<'_>> = (0..7).flat_map(|i| [("p", i * 100, 10, scale), ("c", i * 100 + 1, 1, scale)]).collect();
    op_line(&mut core, "XLA Ops", &ops);
    let db = stats(vec![core]).device_op_metrics_db.unwrap();
    assert_eq!((db.metrics_db[0].normalized_time_ps, db.metrics_db[1].normalized_time_ps), (28, 0));
    assert_eq!(db.normalized_total_op_time_ps, 25);
}

#[test]
fn unusual_names_are_tensor_cores_too() {
    let mut core = plane(3, "/device:TPU:x");
    op_line(&mut core, "XLA Ops", &[("fusion", 10, 20, &[])]);
    let stats = check_device(vec![core], 20, &[("fusion", 1, 20, 20, 1), ("IDLE", 0, 0, 0, 0)]);
    // But the environment does not know them.
    assert_eq!(stats.run_environment.unwrap().device_type, "CPU");
}

#[test]
fn the_server_s_decode_steps_are_averaged() {
    let mut host = plane(1, "/host:CPU");
    host.line(1, "t", 0, |line| _ = line.event("WizServable::Run", 0, 1, &[]));
    let mut core = plane(3, "/device:TPU:0");
    core.line(2, "XLA Modules", 0, |line| {
        line.event("jit_generate(1)", 0, 2_000_000, &[]).event("jit_generate_2", 5_000_000, 1_000_001, &[]);
        line.event("jit_prefill", 9_000_000, 7, &[]);
    });
    let latency = stats(vec![host, core]).disaggregated_serving_latency.unwrap();
    assert_eq!((latency.num_decode_steps, latency.decode_step_time_us.unwrap().avg), (2, 1.5));
}

// === steps ===

fn step_line(plane: &mut PlaneBuilder, name: &str, begin: u64, duration: u64) {
    plane.line(1, name, 0, |line| _ = line.event("0", begin, duration, GROUP_0));
}

fn check_core(step: &PerCoreStepInfo, core_id: u32, duration_ps: u64, expect: &[(&str, u64)]) {
    let info = &step.step_info_per_core[&core_id];
    assert_eq!(info.duration_ps, duration_ps);
    let any = info.step_breakdown.as_ref().unwrap();
    let breakdown = GenericStepBreakdown::decode(any.value.as_slice()).unwrap();
    let got: Vec<_> = breakdown.category_ps.iter().map(|(c, &ps)| (c.as_str(), ps)).collect();
    assert_eq!(got, expect);
}

fn grouped(name: &str, begin: u64, duration: u64) -> Op<'_> {
    (name, begin, duration, GROUP_0)
}

#[test]
fn a_sparse_core_without_steps_appears_in_everybody_s() {
    let mut core = plane(3, "/device:TPU:0");
    step_line(&mut core, "Steps", 0, 1000);
    op_line(&mut core, "XLA Ops", &[grouped("fusion", 100, 300)]);
    let mut sparse = plane(4, "/device:TPU:0 SparseCore 0");
    op_line(&mut sparse, "Sparse Core Ops", &[("sc", 200, 100, &[])]);
    let stats = stats(vec![core, sparse]);
    let step = &stats.step_db.as_ref().unwrap().step_sequence[0];
    check_core(step, 3, 1000, &[("IDLE", 700), ("fusion", 300)]);
    let any = step.step_info_per_core[&1_000_004].step_breakdown.as_ref().unwrap();
    let breakdown = SparseCoreStepBreakdown::decode(any.value.as_slice()).unwrap();
    assert_eq!((breakdown.sc_compute_ps, breakdown.sc_idle_ps, breakdown.sc_busy_ps), (100, 900, 100));
    let ops = step.hlo_metrics_db.as_ref().unwrap();
    assert_eq!((ops.total_time_ps, ops.total_op_time_ps), (1000, 300));
    assert_eq!((ops.metrics_db[0].core_type, ops.metrics_db[0].normalized_time_ps), (0, 0));
    assert_eq!(stats.hlo_metrics_db_complete_steps_only.unwrap().metrics_db.len(), 2);
}

#[test]
fn a_sparse_core_with_markers_only_counts_when_it_worked() {
    let mut core = plane(3, "/device:TPU:0");
    step_line(&mut core, "Steps", 0, 1000);
    op_line(&mut core, "XLA Ops", &[grouped("fusion", 100, 300)]);
    let mut sparse = plane(4, "/device:TPU:0 SparseCore Tec 0");
    step_line(&mut sparse, "Sparse Core Steps", 150, 500);
    op_line(&mut sparse, "Sparse Core Ops", &[("sc", 100, 100, &[])]);
    let step = stats(vec![core, sparse]).step_db.unwrap().step_sequence.remove(0);
    check_core(&step, 1_000_004, 500, &[("IDLE", 450), ("Sparse Core Ops", 50)]);
}

#[test]
fn a_step_needs_ops_on_every_core() {
    let mut core = plane(3, "/device:TPU:0");
    step_line(&mut core, "Steps", 0, 1000);
    assert_eq!(stats(vec![core]).step_db.unwrap().step_sequence, []);
}

#[test]
fn waiting_of_the_host_for_input_is_infeed() {
    let mut host = plane(1, "/host:CPU");
    host.line(1, "t", 0, |line| _ = line.event("IteratorGetNext", 10, 300, GROUP_0));
    let mut core = plane(3, "/device:TPU:0");
    step_line(&mut core, "Steps", 0, 1000);
    op_line(&mut core, "XLA Ops", &[grouped("fusion", 400, 200)]);
    let step = stats(vec![host, core]).step_db.unwrap().step_sequence.remove(0);
    check_core(&step, 3, 1000, &[("IDLE", 500), ("fusion", 200), ("infeed", 300)]);
}

#[test]
fn collectives_take_begin_and_duration_from_the_device_each_on_its_own() {
    let mut core = plane(3, "/device:TPU:0");
    step_line(&mut core, "Steps", 0, 1000);
    let with_both: &[(&str, V<'_>)] = &[
        ("group_id", V::Int(0)),
        ("all_reduce_unique_id", V::Int(5)),
        ("device_offset_ps", V::Int(15)),
        ("device_duration_ps", V::Int(20)),
    ];
    op_line(&mut core, "XLA Ops", &[("ar.1", 10, 30, with_both), ("ar.2", 500, 30, &with_both[..3])]);
    let step = stats(vec![core]).step_db.unwrap().step_sequence.remove(0);
    let infos = &step.all_reduce_db_per_core[&3].all_reduce_info;
    let got: Vec<_> = infos.iter().map(|i| (i.id, i.start_time_ps, i.end_time_ps)).collect();
    assert_eq!(got, [(5, 15, 35), (5, 15, 530)]);
}

#[test]
fn kernels_fill_the_steps_of_a_gpu() {
    let mut gpu = plane(5, "/device:GPU:0");
    gpu.line(-559_038_737, "Steps", 0, |line| _ = line.event("0", 0, 1000, GROUP_0));
    gpu.line(7, "Stream 7", 0, |line| {
        let kernel = |line: &mut LineBuilder<'_>, name: &str, begin, duration| {
            line.event(name, begin, duration, &[("group_id", V::Int(0)), ("correlation_id", V::Int(1))]);
        };
        kernel(line, "gemm", 100, 200);
        kernel(line, "gemm_half", 250, 100);
        kernel(line, "MemcpyHToD", 900, 200);
        kernel(line, "ncclAllReduce", 500, 10);
    });
    let stats = stats(vec![gpu]);
    let step = &stats.step_db.as_ref().unwrap().step_sequence[0];
    let any = step.step_info_per_core[&1].step_breakdown.as_ref().unwrap();
    let breakdown = GenericStepBreakdown::decode(any.value.as_slice()).unwrap();
    let got: Vec<_> = breakdown.type_ps.into_iter().collect();
    assert_eq!(got, [(0, 640), (80, 100), (100, 10), (140, 150), (150, 100)]);
    assert_eq!(step.device_memory_transfers[0].occurrence, 1);
    assert_eq!(step.all_reduce_db_per_core[&5].all_reduce_info[0].end_time_ps, 510);
    let precision = stats.device_op_metrics_db.unwrap().precision_stats.unwrap();
    assert_eq!((precision.compute_16bit_ps, precision.compute_32bit_ps), (100, 150));
}

#[test]
fn kernels_of_a_gpu_are_reported_by_launch() {
    let mut gpu = plane(5, "/device:GPU:0");
    gpu.stat("device_vendor", V::Str("Nvidia"));
    let details = "regs:32 static_shared:1 dynamic_shared:2 grid:4,5,6 block:32,2,1 occ_pct:50.5";
    gpu.line(7, "Stream 7", 0, |line| {
        for begin in [0, 100_000] {
            line.event("volta_gemm_fp32", begin, 50_000, &[("kernel_details", V::Str(details))]);
        }
    });
    let reports = stats(vec![gpu]).kernel_stats_db.unwrap().reports;
    let [report] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!((report.occurrences, report.total_duration_ns, report.min_duration_ns), (2, 100, 50));
    assert_eq!(
        (report.block_dim.as_slice(), report.grid_dim.as_slice()),
        ([32, 2, 1].as_slice(), [4, 5, 6].as_slice())
    );
    assert!(!report.is_kernel_using_tensor_core && report.occupancy_pct == 50.5);
}
