//! Rewrites what older runtimes recorded into what grouping understands: root levels, context links, thread-pool regions.
//!
//! Takes one plane, adds stats and events to its lines.
//! It must not look at other planes: the two ends of a link meet later, by equal ids.

use rayon::prelude::*;

use super::context::{LEGACY, TPU_LAUNCH, TPU_STREAM};
use super::mix::mix_all;
use super::planes;
use crate::parallel::largest_first;
use crate::xspace::schema::line_names;
use crate::xspace::{AddedStats, AddedValue, Event, Line, Plane, StatKind, StatValue};
use crate::{Diag, Result};

/// The runtime writes the low bits of a run id on the device and all of them on the host.
const RUN_ID_MASK: u64 = (1 << 27) - 1;

/// What is rewritten on events of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    None,
    /// Becomes a root of that level.
    Root(i64),
    ExecutorProcess,
    TpuExecute,
    Enqueue,
    Request,
    EnqueueProgram,
    CompleteCallbacks,
    /// Only its run id is masked.
    Continuation,
    StartRegion,
    StopRegion,
}

fn role_of(name: &str) -> Role {
    match name {
        "ProcessBatch" | "OrbaxServing::ProcessBatch" => Role::Root(2),
        "BatchingSessionRun" => Role::Root(1),
        "ExecutorState::Process" => Role::ExecutorProcess,
        "TpuExecuteOp" => Role::TpuExecute,
        "EnqueueRequestLocked" => Role::Enqueue,
        "RunProgramRequest"
        | "HostCallbackRequest"
        | "TransferH2DRequest"
        | "TransferPreprocessedH2DRequest"
        | "TransferD2HRequest"
        | "OnDeviceSendRequest"
        | "OnDeviceRecvRequest"
        | "OnDeviceSendRecvLocalRequest"
        | "CustomWait"
        | "OnDeviceSendRequestMulti"
        | "OnDeviceRecvRequestMulti"
        | "PjrtAsyncWait" => Role::Request,
        "DoEnqueueProgram" => Role::EnqueueProgram,
        "CompleteCallbacks" => Role::CompleteCallbacks,
        "DoEnqueueContinuationProgram" => Role::Continuation,
        "ThreadpoolListener::StartRegion" => Role::StartRegion,
        "ThreadpoolListener::StopRegion" => Role::StopRegion,
        _ => Role::None,
    }
}

/// Name of the event that spans a start and a stop marker of a thread pool.
const REGION: &str = "ThreadpoolListener::Region";

type Stats = AddedStats;

/// Rewrites one plane.
pub(super) fn run(plane: &mut Plane, diag: &Diag) -> Result<()> {
    let roles: Vec<Role> = plane.event_metadata.iter().map(|m| role_of(&m.name)).collect();
    if roles.contains(&Role::StartRegion) && roles.contains(&Role::StopRegion) {
        add_regions(plane, &roles, diag)?;
    }
    let core = planes::tensor_core(&plane.name);
    let any_role = roles.iter().any(|r| *r != Role::None);
    if !any_role && core.is_none() {
        return Ok(());
    }
    let shared: &Plane = plane;
    let rewrite = |line: &Line| {
        diag.check()?;
        let mut stats = match core {
            Some(core) if *line.name == *line_names::XLA_MODULES => module_links(shared, line, core),
            _ if any_role => role_stats(shared, line, &roles),
            _ => Stats::default(),
        };
        line.release();
        stats.settle();
        Ok(stats)
    };
    let added = largest_first(&shared.lines, |line| line.events.len(), rewrite)?;
    plane.lines.par_iter_mut().zip(added).with_max_len(1).for_each(|(line, stats)| line.add_stats(stats));
    Ok(())
}

/// For every stop marker after a start marker with a context, an event between the two.
/// `parity:` a start is not used up, so a stop without a start of its own pairs with the last one.
fn add_regions(plane: &mut Plane, roles: &[Role], diag: &Diag) -> Result<()> {
    let shared: &Plane = plane;
    let role = |row: u32| roles.get(row as usize).copied().unwrap_or(Role::None);
    let regions: Vec<Vec<(u64, u64)>> = shared
        .lines
        .par_iter()
        .map(|line| {
            diag.check()?;
            let (mut start_ps, mut found) = (0, Vec::new());
            for event in line.events(shared) {
                match role(event.metadata_row()) {
                    Role::StartRegion if event.stat(StatKind::ConsumerId).is_some() => start_ps = event.begin_ps(),
                    // `parity:` a start at time 0 counts as none.
                    Role::StopRegion if start_ps != 0 => {
                        found.push((start_ps, event.begin_ps().saturating_sub(start_ps)));
                    }
                    _ => {}
                }
            }
            Ok(found)
        })
        .collect::<Result<_>>()?;
    if regions.iter().all(Vec::is_empty) {
        return Ok(());
    }
    let known = plane.event_metadata.iter().position(|m| *m.name == *REGION);
    let row = known.map_or_else(|| plane.add_event_metadata(REGION), |row| row as u32);
    for (line, regions) in plane.lines.iter_mut().zip(regions) {
        if !regions.is_empty() {
            for (begin_ps, duration_ps) in regions {
                line.events.push(row, begin_ps, duration_ps);
            }
            line.sort_events();
        }
    }
    Ok(())
}

/// What the roles of a line's events add to them.
fn role_stats(plane: &Plane, line: &Line, roles: &[Role]) -> Stats {
    let mut out = Stats::default();
    for (idx, row) in line.events.rows().enumerate() {
        let role = roles.get(row as usize).copied().unwrap_or(Role::None);
        if role == Role::None {
            continue;
        }
        let Some(event) = line.event(plane, idx) else { continue };
        match role {
            Role::Root(level) => out.push(idx as u32, StatKind::RootLevel, AddedValue::Int(level)),
            Role::ExecutorProcess => produce(&mut out, &event, LEGACY, legacy_key(&event)),
            Role::TpuExecute => consume(&mut out, &event, LEGACY, legacy_key(&event)),
            Role::Enqueue => produce(&mut out, &event, TPU_STREAM, request_key(&event)),
            Role::Request => consume(&mut out, &event, TPU_STREAM, request_key(&event)),
            Role::EnqueueProgram => {
                let key = launch_key(&mut out, &event);
                produce(&mut out, &event, TPU_LAUNCH, key);
            }
            Role::CompleteCallbacks => {
                let key = launch_key(&mut out, &event);
                consume(&mut out, &event, TPU_LAUNCH, key);
            }
            Role::Continuation => {
                let run = event.stat(StatKind::RunId).map(StatValue::int_or_uint);
                mask_run_id(&mut out, &event, run);
            }
            Role::None | Role::StartRegion | Role::StopRegion => {}
        }
    }
    out
}

/// A module's execution on a core was launched by the host event of the same core, queue and run.
fn module_links(plane: &Plane, line: &Line, core: u64) -> Stats {
    let mut out = Stats::default();
    if !line.stat_kinds.contains(StatKind::QueueId) || !line.stat_kinds.contains(StatKind::RunId) {
        return out;
    }
    for event in line.events(plane) {
        let [queue, run, core_type] = numbers(&event, [StatKind::QueueId, StatKind::RunId, StatKind::CoreType]);
        let key = queue.zip(run).map(|(queue, run)| launch_id(core, queue, run, core_type));
        consume(&mut out, &event, TPU_LAUNCH, key);
    }
    out
}

/// Integers of an event, decoded in one walk.
fn numbers<const N: usize>(event: &Event<'_>, kinds: [StatKind; N]) -> [Option<u64>; N] {
    event.find(kinds).map(|value| value.map(StatValue::int_or_uint))
}

fn legacy_key(event: &Event<'_>) -> Option<u64> {
    let [id, iter] = numbers(event, [StatKind::Id, StatKind::IterNum]);
    Some(mix_all(&[LEGACY as u64, id?, iter?]))
}

fn request_key(event: &Event<'_>) -> Option<u64> {
    let [request, queue] = numbers(event, [StatKind::RequestId, StatKind::QueueAddr]);
    Some(mix_all(&[TPU_STREAM as u64, request?, queue?]))
}

/// The key of a program's launch. The run id is masked, on the event too.
fn launch_key(out: &mut Stats, event: &Event<'_>) -> Option<u64> {
    const KINDS: [StatKind; 4] = [StatKind::DeviceOrdinal, StatKind::QueueId, StatKind::RunId, StatKind::CoreType];
    let [device, queue, run, core_type] = numbers(event, KINDS);
    mask_run_id(out, event, run);
    Some(launch_id(device?, queue?, run? & RUN_ID_MASK, core_type))
}

fn launch_id(device: u64, queue: u64, run: u64, core_type: Option<u64>) -> u64 {
    mix_all(&[TPU_LAUNCH as u64, device, queue, run, core_type.unwrap_or(0)])
}

fn mask_run_id(out: &mut Stats, event: &Event<'_>, run: Option<u64>) {
    if let Some(run) = run
        && run & !RUN_ID_MASK != 0
    {
        out.push(event.idx as u32, StatKind::RunId, AddedValue::Uint(run & RUN_ID_MASK));
    }
}

fn produce(out: &mut Stats, event: &Event<'_>, context_type: i64, id: Option<u64>) {
    link(out, event, [StatKind::ProducerType, StatKind::ProducerId], context_type, id);
}

fn consume(out: &mut Stats, event: &Event<'_>, context_type: i64, id: Option<u64>) {
    link(out, event, [StatKind::ConsumerType, StatKind::ConsumerId], context_type, id);
}

fn link(out: &mut Stats, event: &Event<'_>, kinds: [StatKind; 2], context_type: i64, id: Option<u64>) {
    if let Some(id) = id {
        out.push(event.idx as u32, kinds[0], AddedValue::Int(context_type));
        out.push(event.idx as u32, kinds[1], AddedValue::Uint(id));
    }
}
