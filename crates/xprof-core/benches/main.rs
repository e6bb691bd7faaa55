//! Criterion benches, one group per stage: `cargo bench -p xprof-core --features fixture`.
//!
//! Ids are `stage/tool/trace`. Each case asserts its result once, before it is timed.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run must stop")]

mod hlo;

use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput};
use prost::Message as _;
use xprof_core::Diag;
use xprof_core::answer::Format;
use xprof_core::fixture::{PlaneBuilder, SpaceBuilder, TpuSession, V, generate_host};
use xprof_core::opstats::{self, EdgeSteps, HostStats, Reducer};
use xprof_core::pipeline;
use xprof_core::prep::Prepared;
use xprof_core::reduction::reduce_all;
use xprof_core::tools::{HostPart, Params, registry};
use xprof_core::xspace::{TraceBytes, XSpace};
use xprof_proto::tensorflow::profiler::PerCoreStepInfo;
use xprof_proto::xla::{
    BufferAllocationProto, BufferAssignmentProto, HeapSimulatorTrace, HloComputationProto, HloInstructionProto,
    HloModuleProto, HloProto, LogicalBufferProto, PrimitiveType, ShapeProto, buffer_allocation_proto,
    heap_simulator_trace, logical_buffer_proto,
};

const SIZES: [usize; 2] = [1_000_000, 20_000_000];

/// Hosts of a run. One alone is taken as it is; of several, the time per host must not grow with their number.
const HOSTS: [usize; 4] = [1, 4, 64, 1024];

/// Buffers, and instructions, of a program.
const PROGRAM_BUFFERS: [i64; 2] = [20_000, 200_000];

/// Bytes of each host's trace where many are reduced.
const BYTES_OF_MANY: usize = 300_000;

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    for bytes in SIZES {
        let trace = TraceBytes::new(generate_host(&TpuSession::of_size(1, bytes), 0).into());
        let name = format!("generated-{}MB", bytes / 1_000_000);
        read(&mut criterion, &name, &trace);
        prepare(&mut criterion, &name, &trace);
        tools(&mut criterion, &name, &trace);
    }
    reduce(&mut criterion);
    memory(&mut criterion);
    hlo::graph_viewer(&mut criterion);
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
    // Tools that show programs need to be told which; they have cases of their own.
    for tool in registry::TOOLS.iter().filter(|tool| tool.needs_events) {
        let map = || tool.map(&prepared, &params, &mut Diag::new()).unwrap();
        benchmark(criterion, &format!("map/{}", tool.name), name, trace.len(), map);
        let part = map();
        benchmark(criterion, &format!("render/{}", tool.name), name, trace.len(), || {
            let parts = [(Arc::from("host"), part.clone())];
            let answer = tool.finish(&parts, &params, Format::Native, &mut Diag::new()).unwrap();
            assert!(!answer.body.is_empty());
            answer
        });
    }
}

/// Op statistics of hosts to wholes, in hosts per second. Every case reduces the same hosts, so that what it reads is as
/// cold for few as for many.
fn reduce(criterion: &mut Criterion) {
    let n_all = HOSTS.into_iter().max().unwrap_or(1);
    let session = TpuSession::of_size(n_all, BYTES_OF_MANY);
    let mut mapped: Vec<HostStats> = (0..n_all).map(|host| host_stats(&session, host)).collect();
    keep_pace(&mut mapped);
    let mapped: Vec<Arc<HostStats>> = mapped.into_iter().map(Arc::new).collect();
    for n_hosts in HOSTS {
        let throughput = Throughput::Elements(n_all as u64);
        timed(criterion, "reduce/op_stats", &format!("generated-{n_hosts}-hosts"), throughput, || {
            for hosts in mapped.chunks(n_hosts) {
                let part = |stats: &Arc<HostStats>| HostPart { host: Arc::from("host"), artifact: Arc::clone(stats) };
                let parts: Vec<_> = hosts.iter().map(part).collect();
                let run = reduce_all(Reducer::new(EdgeSteps::Keep), &parts, &mut Diag::new()).unwrap();
                let n_cores = |step: &PerCoreStepInfo| step.step_info_per_core.len();
                assert_eq!(run.steps().len(), session.n_steps);
                assert!(run.steps().iter().all(|step| n_cores(step) == n_hosts * session.n_cores));
            }
        });
    }
}

/// The memory of programs in buffers per second: it must not shrink as programs grow.
fn memory(criterion: &mut Criterion) {
    for n_buffers in PROGRAM_BUFFERS {
        let proto = program(n_buffers).encode_to_vec();
        let mut plane = PlaneBuilder::new(0, "/host:metadata");
        plane.define_event("m(7)", "", &[("Hlo Proto", V::Bytes(&proto))], Some(7));
        let mut space = SpaceBuilder::new("host");
        space.plane(plane);
        let traces = [(Arc::from("host"), TraceBytes::new(space.finish().into()))];
        let params: Params = [("module_name", "m(7)")].into_iter().collect();
        let throughput = Throughput::Elements(n_buffers.unsigned_abs());
        let name = format!("generated-{n_buffers}-buffers");
        let ask = || pipeline::answer("memory_viewer", &traces, &params, Format::Native, &mut Diag::new()).unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&ask().body).unwrap();
        assert_eq!(answer["maxHeap"].as_array().unwrap().len() as i64, n_buffers);
        assert_eq!(answer["peakHeapMib"], n_buffers as f64 / 32.0);
        timed(criterion, "answer/memory_viewer", &name, throughput.clone(), ask);
        // As a server holds it between requests.
        let tool = registry::find("memory_viewer").unwrap();
        let parts = [(Arc::from("host"), tool.decode(hlo::artifact("m(7)", &proto)).unwrap())];
        let again = || tool.finish(&parts, &params, Format::Native, &mut Diag::new()).unwrap();
        assert_eq!(again().body, ask().body);
        timed(criterion, "render/memory_viewer", &name, throughput, again);
    }
}

/// A program whose heap grows with every instruction.
fn program(n_buffers: i64) -> HloProto {
    const BYTES: i64 = 32_768;
    let shape =
        ShapeProto { element_type: PrimitiveType::F32.into(), dimensions: vec![BYTES / 4], ..ShapeProto::default() };
    let instruction = |id| HloInstructionProto {
        id,
        name: format!("fusion.{id}"),
        opcode: "fusion".into(),
        shape: Some(shape.clone()),
        ..HloInstructionProto::default()
    };
    let buffer = |id| LogicalBufferProto {
        id,
        size: BYTES,
        defined_at: Some(logical_buffer_proto::Location { instruction_id: id, ..Default::default() }),
        ..LogicalBufferProto::default()
    };
    let assigned = |id| buffer_allocation_proto::Assigned {
        logical_buffer_id: id,
        offset: id * BYTES,
        size: BYTES,
        ..Default::default()
    };
    let event = |id| heap_simulator_trace::Event { buffer_id: id, ..Default::default() };
    let ids = || 1..=n_buffers;
    let computation = HloComputationProto { instructions: ids().map(instruction).collect(), ..Default::default() };
    let allocation = BufferAllocationProto {
        size: n_buffers * BYTES,
        assigned: ids().map(assigned).collect(),
        ..BufferAllocationProto::default()
    };
    let trace = HeapSimulatorTrace { events: ids().map(event).collect(), ..HeapSimulatorTrace::default() };
    HloProto {
        hlo_module: Some(HloModuleProto { name: "m".into(), computations: vec![computation], ..Default::default() }),
        buffer_assignment: Some(BufferAssignmentProto {
            logical_buffers: ids().map(buffer).collect(),
            buffer_allocations: vec![allocation],
            heap_simulator_traces: vec![trace],
            ..BufferAssignmentProto::default()
        }),
    }
}

fn host_stats(session: &TpuSession, host: usize) -> HostStats {
    let trace = TraceBytes::new(generate_host(session, host).into());
    let prepared = Prepared::read(trace, &session.host_name(host), &mut Diag::new()).unwrap();
    opstats::map(&prepared, &mut Diag::new()).unwrap()
}

/// Lets all hosts begin their steps with the first one, as in a pod. Generated hosts drift apart until hardly a step is left
/// that all have in common.
fn keep_pace(hosts: &mut [HostStats]) {
    let mut begins_ps = Vec::new();
    for host in hosts {
        let step_dbs = host.0.op_stats.iter_mut().flat_map(|stats| &mut stats.step_db);
        for (i, step) in step_dbs.flat_map(|db| &mut db.step_sequence).enumerate() {
            for info in step.step_info_per_core.values_mut() {
                if begins_ps.len() == i {
                    begins_ps.push(info.begin_ps);
                }
                info.begin_ps = begins_ps[i];
            }
        }
    }
}

fn benchmark<T>(criterion: &mut Criterion, stage: &str, trace: &str, bytes: usize, run: impl FnMut() -> T) {
    timed(criterion, stage, trace, Throughput::Bytes(bytes as u64), run);
}

/// The one way in which a case is timed.
fn timed<T>(criterion: &mut Criterion, stage: &str, trace: &str, per: Throughput, mut run: impl FnMut() -> T) {
    let mut group = criterion.benchmark_group(stage);
    group.throughput(per);
    group.bench_function(BenchmarkId::from_parameter(trace), |b| b.iter(&mut run));
    group.finish();
}
