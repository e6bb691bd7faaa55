//! Map of inference requests: when a host served each, and how long devices and transfers took of it.
//!
//! Takes a prepared host, gives its requests in order of begin. A request is a group of events that begins with one of a
//! few known events; what its batch did, which other requests may share, counts for it too.
//!
//! ```text
//! request   |=========================|        group 7
//!    └─ batch      |===========|                group 3, which 7 led to
//!          └─ device    |####|                  counts for 7
//! ```

use std::borrow::Cow;

use rustc_hash::{FxHashMap, FxHashSet};
use xprof_proto::xprof::worker::v1::{InferenceRequest, InferenceRequests};

use crate::prep::{Prepared, Timespan, planes};
use crate::xspace::schema::line_names::XLA_MODULES;
use crate::xspace::schema::plane_names;
use crate::xspace::{Event, Line, Plane, StatKind, StatValue};

/// What one event can say about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It is a request, in the words of one of the serving systems; lower ranks are preferred.
    Request(u8),
    /// It is a batch of requests.
    Batch,
    /// It transfers data.
    Transfer(Work),
    /// It begins a transfer, which another event ends.
    TransferIssue(Work),
    /// It ends such a transfer.
    TransferDone(Work),
}

/// What the time of a request can go to, as far as devices are concerned. Later ones win where they overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    WriteToDevice,
    ReadFromDevice,
    DeviceCompute,
}

impl Role {
    fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "BatchingSessionRun" => Self::Request(0),
            "TfrtModelRun" => Self::Request(1),
            "ServingModelRun" => Self::Request(2),
            "SessionRun" | "RunGraph" => Self::Request(3),
            "ProcessBatch" | "OrbaxServing::ProcessBatch" => Self::Batch,
            "WriteHbm" | "TransferH2DRequest" | "TransferPreprocessedH2DRequest" => Self::Transfer(Work::WriteToDevice),
            "ReadHbm" | "TransferD2HRequest" => Self::Transfer(Work::ReadFromDevice),
            "tpu::System::TransferToDevice=>IssueEvent" => Self::TransferIssue(Work::WriteToDevice),
            "tpu::System::TransferToDevice=>IssueEvent=>Done" => Self::TransferDone(Work::WriteToDevice),
            "tpu::System::TransferFromDevice=>IssueEvent" => Self::TransferIssue(Work::ReadFromDevice),
            "tpu::System::TransferFromDevice=>IssueEvent=>Done" => Self::TransferDone(Work::ReadFromDevice),
            _ => return None,
        })
    }
}

/// The requests that a host served.
pub fn requests(host: &Prepared) -> InferenceRequests {
    let Some(plane) = host.space.plane(plane_names::HOST_CPU) else {
        return InferenceRequests::default();
    };
    let roles = roles_of(plane);
    let groups = request_groups(plane, &roles);
    let models = Models::of(plane, &roles);
    let names_models = !models.by_group.is_empty();
    if groups.is_empty() {
        return InferenceRequests { requests: Vec::new(), names_models };
    }
    let mut builder = Builder::default();
    for line in &plane.lines {
        builder.add_line(plane, line, &roles);
    }
    for device in host.space.planes.iter().filter(|p| planes::tensor_core(&p.name).is_some()) {
        for line in device.lines.iter().filter(|l| l.name == XLA_MODULES) {
            builder.add_modules(device, line);
        }
    }
    let request = |&(group, kind): &(i64, RequestKind)| {
        let has_model = models.knows(group, kind, host);
        Some(InferenceRequest { has_model, ..builder.request(group, host)? })
    };
    let mut requests: Vec<InferenceRequest> = groups.iter().filter_map(request).collect();
    requests.sort_by_key(|r| (r.start_ps, r.end_ps));
    InferenceRequests { requests, names_models }
}

/// The role of each row of a plane's metadata.
fn roles_of(plane: &Plane) -> Vec<Option<Role>> {
    plane.event_metadata.iter().map(|metadata| Role::of_name(&metadata.name)).collect()
}

/// What made a group a request, which decides where its model is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum RequestKind {
    /// One that is served in batches.
    Batching,
    /// One by itself.
    Single,
    /// One that the user's own code marks.
    UserRoot,
}

/// The models that served groups.
#[derive(Debug, Default)]
struct Models<'a> {
    by_group: FxHashMap<i64, Cow<'a, str>>,
}

impl<'a> Models<'a> {
    fn of(plane: &'a Plane, roles: &[Option<Role>]) -> Self {
        let mut models = Self::default();
        for line in plane.lines.iter().filter(|line| line.stat_kinds.contains(StatKind::ModelId)) {
            for event in line.events(plane) {
                let names_model = match roles.get(event.metadata_row() as usize).copied().flatten() {
                    Some(Role::Request(rank)) => rank > 0 && event.name() != "RunGraph",
                    _ => is_user_root(&event),
                };
                let model = names_model.then(|| event.stat(StatKind::ModelId).map(StatValue::text)).flatten();
                if let (Some(group), Some(model)) = (event.group_id(), model) {
                    models.by_group.insert(group, model);
                }
            }
        }
        models
    }

    /// Whether the model of a request is known. `parity:` where there is nothing to look it up by, it counts as known.
    fn knows(&self, group: i64, kind: RequestKind, host: &Prepared) -> bool {
        if usize::try_from(group).map_or(true, |group| group >= host.groups.len()) {
            return true;
        }
        let mut children = host.groups.children(group).map(|child| self.by_group.get(&child));
        match kind {
            RequestKind::Single => self.by_group.contains_key(&group),
            RequestKind::Batching => children.next().is_none_or(|model| model.is_some()),
            RequestKind::UserRoot if self.by_group.contains_key(&group) => true,
            RequestKind::UserRoot => match children.next() {
                Some(first) => first.is_some() && children.all(|model| model == first),
                None => true,
            },
        }
    }
}

/// The groups that are requests, each once, and what made them so.
fn request_groups(plane: &Plane, roles: &[Option<Role>]) -> Vec<(i64, RequestKind)> {
    let mut by_rank: [Vec<i64>; 4] = Default::default();
    let mut user_roots = Vec::new();
    let mut batches = FxHashSet::default();
    for line in &plane.lines {
        let has_roots = line.stat_kinds.contains(StatKind::RootLevel);
        for event in line.events(plane) {
            let role = roles.get(event.metadata_row() as usize).copied().flatten();
            if role.is_none() && !has_roots {
                continue;
            }
            let Some(group) = event.group_id() else { continue };
            match role {
                Some(Role::Request(rank)) => by_rank[usize::from(rank)].push(group),
                Some(Role::Batch) => {
                    batches.insert(group);
                }
                _ => {}
            }
            if has_roots && is_user_root(&event) {
                user_roots.push(group);
            }
        }
    }
    // The first kind of request that occurs at all is the one that counts, beside what the user's own code marks.
    let kind = if by_rank[0].is_empty() { RequestKind::Single } else { RequestKind::Batching };
    let found = by_rank.into_iter().find(|groups| !groups.is_empty()).unwrap_or_default();
    let mut groups: Vec<_> = found.into_iter().map(|group| (group, kind)).collect();
    groups.extend(user_roots.into_iter().map(|group| (group, RequestKind::UserRoot)));
    groups.retain(|(group, _)| !batches.contains(group));
    groups.sort_unstable();
    groups.dedup_by_key(|(group, _)| *group);
    groups
}

fn is_user_root(event: &Event<'_>) -> bool {
    match event.stat(StatKind::RootLevel).map(|level| level.int_or_uint() as i64) {
        Some(-1) => true,
        Some(1) => event.name().starts_with("ModelServerRequest_"),
        _ => false,
    }
}

/// What is known of each group.
#[derive(Debug, Default)]
struct Builder {
    /// From the first begin to the last end on the host.
    spans: FxHashMap<i64, (u64, u64)>,
    /// The span of each batch.
    batches: FxHashMap<i64, Timespan>,
    work: FxHashMap<i64, Vec<(Work, Timespan)>>,
    /// Begins of transfers whose ends were not met yet, by consumer.
    issued: FxHashMap<(Work, u64), u64>,
}

impl Builder {
    fn add_line(&mut self, plane: &Plane, line: &Line, roles: &[Option<Role>]) {
        for event in line.events(plane) {
            let Some(group) = event.group_id() else { continue };
            let (begin, end) = (event.begin_ps(), event.end_ps());
            let span = self.spans.entry(group).or_insert((begin, end));
            *span = (span.0.min(begin), span.1.max(end));
            let span = Timespan::new(begin, event.duration_ps());
            match roles.get(event.metadata_row() as usize).copied().flatten() {
                Some(Role::Batch) => {
                    self.batches.insert(group, span);
                }
                Some(Role::Transfer(work)) => self.add_work(group, work, span),
                Some(Role::TransferIssue(work)) => {
                    self.issued.insert((work, consumer(&event)), begin);
                }
                Some(Role::TransferDone(work)) => {
                    if let Some(begin) = self.issued.remove(&(work, consumer(&event))) {
                        self.add_work(group, work, Timespan::new(begin, end.saturating_sub(begin)));
                    }
                }
                _ => {}
            }
        }
    }

    fn add_modules(&mut self, plane: &Plane, line: &Line) {
        for event in line.events(plane) {
            if let Some(group) = event.group_id() {
                self.add_work(group, Work::DeviceCompute, Timespan::new(event.begin_ps(), event.duration_ps()));
            }
        }
    }

    fn add_work(&mut self, group: i64, work: Work, span: Timespan) {
        self.work.entry(group).or_default().push((work, span));
    }

    /// The request of a group; `None` if it took no time.
    fn request(&self, group: i64, host: &Prepared) -> Option<InferenceRequest> {
        let (start_ps, mut end_ps) = *self.spans.get(&group)?;
        if start_ps == end_ps {
            return None;
        }
        let mut work: Vec<(Work, Timespan)> = self.work.get(&group).cloned().unwrap_or_default();
        for child in host.groups.children(group) {
            if let Some(batch) = self.batches.get(&child) {
                end_ps = end_ps.max(batch.end_ps());
            }
            work.extend(self.work.get(&child).into_iter().flatten());
        }
        let [write_to_device_ps, read_from_device_ps, device_time_ps] = exclusive_times(&work);
        Some(InferenceRequest {
            start_ps,
            end_ps,
            device_time_ps,
            read_from_device_ps,
            write_to_device_ps,
            has_model: false,
        })
    }
}

fn consumer(event: &Event<'_>) -> u64 {
    event.stat(StatKind::ConsumerId).map_or(0, StatValue::int_or_uint)
}

/// Time by kind of work, where each instant counts for the last kind in order that goes on then.
fn exclusive_times(work: &[(Work, Timespan)]) -> [u64; 3] {
    let mut edges: Vec<(u64, Work, bool)> = Vec::with_capacity(2 * work.len());
    for (kind, span) in work.iter().filter(|(_, span)| span.duration_ps > 0) {
        edges.push((span.begin_ps, *kind, true));
        edges.push((span.end_ps(), *kind, false));
    }
    edges.sort_unstable();
    let mut times = [0_u64; 3];
    let mut open = [0_u64; 3];
    let mut last_ps = 0;
    for (at_ps, kind, begins) in edges {
        if let Some(winner) = open.iter().rposition(|n| *n > 0) {
            times[winner] = times[winner].wrapping_add(at_ps - last_ps);
        }
        last_ps = at_ps;
        let n = &mut open[kind as usize];
        *n = if begins { *n + 1 } else { n.saturating_sub(1) };
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(work: &[(Work, u64, u64)], expected: [u64; 3]) {
        let work: Vec<_> = work.iter().map(|(kind, begin, end)| (*kind, Timespan::new(*begin, end - begin))).collect();
        assert_eq!(exclusive_times(&work), expected);
    }

    #[test]
    fn gives_each_instant_to_one_kind_of_work() {
        check(&[], [0, 0, 0]);
        check(
            &[(Work::WriteToDevice, 0, 10), (Work::DeviceCompute, 5, 20), (Work::ReadFromDevice, 15, 30)],
            [5, 10, 15],
        );
        check(&[(Work::DeviceCompute, 0, 10), (Work::DeviceCompute, 5, 12), (Work::WriteToDevice, 3, 4)], [0, 0, 12]);
        check(&[(Work::WriteToDevice, 4, 4), (Work::ReadFromDevice, 4, 6), (Work::DeviceCompute, 9, 9)], [0, 2, 0]);
    }

    #[test]
    fn knows_serving_events() {
        assert_eq!(Role::of_name("BatchingSessionRun"), Some(Role::Request(0)));
        assert_eq!(Role::of_name("ReadHbm"), Some(Role::Transfer(Work::ReadFromDevice)));
        assert_eq!(Role::of_name("MatMul"), None);
    }
}
