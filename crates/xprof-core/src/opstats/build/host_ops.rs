//! Op metrics of the host's threads.
//!
//! Takes the host plane, gives a table. Ops are told by the names of events, which are parsed once per name.
//! The order of rows is that of the original: by thread, and within a thread by when an op first ended.

use std::borrow::Cow;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::op_table::{NumCores, OpIds, OpRow, OpTable, OpText, OpTotals, TableMerger, to_message};
use crate::op_name::{self, OpCategory};
use crate::xspace::{Event, EventMetadata, Line, Plane, StatKind};
use crate::{Diag, Result};
use xprof_proto::tensorflow::profiler::OpMetricsDb;

/// An op of the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct HostOp<'a> {
    /// Stage of the input pipeline, 0 for any other op.
    id: u64,
    name: Cow<'a, str>,
    op_type: Cow<'a, str>,
}

impl<'a> HostOp<'a> {
    /// The op of that name, of whatever category.
    fn parse(name: Cow<'a, str>) -> (Self, OpCategory) {
        let (category, name, op_type) = match name {
            Cow::Borrowed(text) => {
                let op = op_name::parse(text);
                (op.category, Cow::Borrowed(op.op_name), Cow::Borrowed(op.op_type))
            }
            Cow::Owned(text) => {
                let op = op_name::parse(&text);
                (op.category, Cow::Owned(op.op_name.to_owned()), Cow::Owned(op.op_type.to_owned()))
            }
        };
        (Self { id: 0, name, op_type }, category)
    }

    fn is_infeed_enqueue(&self) -> bool {
        self.op_type.starts_with("InfeedEnqueue")
    }
}

/// Index of an op in [`HostOps::ops`].
type OpIdx = u32;
const NO_OP: OpIdx = u32::MAX;

/// The ops of the plane, and how events find theirs.
#[derive(Debug, Default)]
struct HostOps<'a> {
    ops: Vec<HostOp<'a>>,
    /// Op by key: the stage of the input pipeline, or the id of the metadata for any other event.
    /// `parity:` the two are not told apart, so an event may be taken for a stage whose id is that of its metadata.
    by_key: FxHashMap<u64, OpIdx>,
    /// Op by metadata row.
    by_row: Vec<OpIdx>,
    /// Op by the text of a `tf_op` stat.
    by_tf_op: FxHashMap<Cow<'a, str>, OpIdx>,
}

/// What one line has to say about ops, in the order of its events.
#[derive(Debug, Default)]
struct LineOps<'a> {
    /// Rows at their first mention, and stages at every one, each with the event.
    mentions: Vec<(u32, Mention<'a>)>,
    /// Events with a stage, and the stage.
    stages: Vec<(u32, u64)>,
    /// Events with a `tf_op` stat, and its text.
    tf_ops: Vec<(u32, Cow<'a, str>)>,
}

#[derive(Debug)]
enum Mention<'a> {
    Row(u32),
    Stage { id: u64, name: &'a str, category: Cow<'a, str> },
}

/// The table of the host plane.
pub fn host_op_metrics(plane: &Plane, diag: &Diag) -> Result<OpMetricsDb> {
    let lines: Vec<LineOps<'_>> = plane
        .lines
        .par_iter()
        .map(|line| {
            diag.check()?;
            let ops = LineOps::of(plane, line);
            line.release();
            Ok(ops)
        })
        .collect::<Result<_>>()?;
    let ops = HostOps::of(plane, &lines);
    let mut ids = OpIds::new();
    let op_ids: Vec<_> = ops.ops.iter().map(|op| ids.id(op.id, &op.name)).collect();
    let tables: Vec<OpTable<'_>> = plane
        .lines
        .par_iter()
        .zip(&lines)
        .map(|(line, line_ops)| {
            diag.check()?;
            let mut table = OpTable::default();
            let mut duration_ps = 0;
            if !line.is_derived() {
                let activities = activities(plane, line, line_ops, &ops);
                duration_ps = match (activities.first(), activities.last()) {
                    (Some(first), Some(last)) => last.time_ps - first.time_ps,
                    _ => 0,
                };
                table = line_table(&activities, &ops);
                for row in &mut table.rows {
                    row.op = op_ids[row.op.0 as usize];
                }
            }
            table.add_idle(table.totals.total_op_time_ps.max(duration_ps));
            Ok(table)
        })
        .collect::<Result<_>>()?;
    let mut merger = TableMerger::new(ids.len(), NumCores::Ignore);
    for table in &tables {
        merger.merge(table);
    }
    let mut db = to_message(merger.take());
    if tables.is_empty() {
        db.precision_stats = None;
    }
    Ok(db)
}

impl<'a> LineOps<'a> {
    fn of(plane: &'a Plane, line: &'a Line) -> Self {
        let mut ops = Self::default();
        let has_stages = line.stat_kinds.contains(StatKind::InputPipelineStageId);
        if has_stages || line.stat_kinds.contains(StatKind::TfOp) {
            for event in line.events(plane) {
                let (mut tf_op, mut stage) = (None, None);
                event.each_stat(|kind, value| match kind {
                    StatKind::TfOp if tf_op.is_none() => tf_op = Some(value.text()),
                    StatKind::InputPipelineStageId if stage.is_none() => stage = Some(value.int() as u64),
                    _ => {}
                });
                if let Some(text) = tf_op.filter(|text| !text.is_empty()) {
                    ops.tf_ops.push((event.idx as u32, text));
                }
                if let Some(stage) = stage {
                    ops.add_stage(stage, &event);
                }
            }
        }
        let mut stages = ops.stages.iter().map(|(event, _)| *event as usize).peekable();
        let mut seen = vec![false; plane.event_metadata.len()];
        let n_stages = ops.mentions.len();
        for (idx, row) in line.events.rows().enumerate() {
            // An event with a stage is that stage and not an op by its name.
            if stages.next_if_eq(&idx).is_some() {
                continue;
            }
            if let Some(seen) = seen.get_mut(row as usize)
                && !*seen
            {
                *seen = true;
                ops.mentions.push((idx as u32, Mention::Row(row)));
            }
        }
        if n_stages > 0 {
            ops.mentions.sort_by_key(|(event, _)| *event);
        }
        ops
    }

    /// `parity:` a stage without a category is no op.
    fn add_stage(&mut self, id: u64, event: &Event<'a>) {
        self.stages.push((event.idx as u32, id));
        if let Some(category) = event.stat(StatKind::InputPipelineStageCategory)
            && !event.name().is_empty()
        {
            let mention = Mention::Stage { id, name: event.name(), category: category.text() };
            self.mentions.push((event.idx as u32, mention));
        }
    }
}

impl<'a> HostOps<'a> {
    fn of(plane: &'a Plane, lines: &[LineOps<'a>]) -> Self {
        let mut ops = Self::default();
        let mut seen = vec![false; plane.event_metadata.len()];
        for line in lines {
            for (_, mention) in &line.mentions {
                match mention {
                    Mention::Row(row) if !std::mem::replace(&mut seen[*row as usize], true) => ops.add_row(plane, *row),
                    Mention::Row(_) => {}
                    Mention::Stage { id, name, category } => {
                        ops.add(*id, HostOp { id: *id, name: Cow::Borrowed(name), op_type: category.clone() });
                    }
                }
            }
            for (_, text) in &line.tf_ops {
                if !ops.by_tf_op.contains_key(text) {
                    let idx = ops.push(HostOp::parse(text.clone()).0);
                    ops.by_tf_op.insert(text.clone(), idx);
                }
            }
        }
        let op_of = |m: &EventMetadata| ops.by_key.get(&(m.id as u64)).copied().unwrap_or(NO_OP);
        ops.by_row = plane.event_metadata.iter().map(op_of).collect();
        ops
    }

    fn push(&mut self, op: HostOp<'a>) -> OpIdx {
        self.ops.push(op);
        self.ops.len() as OpIdx - 1
    }

    fn add_row(&mut self, plane: &'a Plane, row: u32) {
        let metadata = plane.metadata(row);
        let (op, category) = HostOp::parse(Cow::Borrowed(&metadata.name));
        if category != OpCategory::Unknown {
            self.add(metadata.id as u64, op);
        }
    }

    /// The first op of a key stays.
    fn add(&mut self, key: u64, op: HostOp<'a>) {
        if !self.by_key.contains_key(&key) {
            let idx = self.push(op);
            self.by_key.insert(key, idx);
        }
    }
}

/// A begin or an end of an op.
#[derive(Debug, Clone, Copy)]
struct Activity {
    time_ps: u64,
    op: OpIdx,
    /// A begin and its end have the same.
    pair: u32,
    is_begin: bool,
    is_eager: bool,
}

/// Begins and ends of the ops of a line by time; at equal times in the order of the file.
fn activities(plane: &Plane, line: &Line, line_ops: &LineOps<'_>, ops: &HostOps<'_>) -> Vec<Activity> {
    let mut found = Vec::new();
    let has_eager = line.stat_kinds.contains(StatKind::IsEager);
    let mut stages = line_ops.stages.iter().peekable();
    let mut tf_ops = line_ops.tf_ops.iter().peekable();
    for (idx, row) in line.events.rows().enumerate() {
        let (begin_ps, end_ps) = (line.events.begin_ps[idx], line.events.end_ps(idx));
        let mut add = |op: OpIdx, is_eager: bool| {
            let begin = Activity { time_ps: begin_ps, op, pair: found.len() as u32, is_begin: true, is_eager };
            found.extend([begin, Activity { time_ps: end_ps, is_begin: false, ..begin }]);
        };
        let op = match stages.next_if(|(event, _)| *event as usize == idx) {
            Some((_, stage)) => ops.by_key.get(stage),
            None => ops.by_row.get(row as usize),
        };
        if let Some(&op) = op.filter(|op| **op != NO_OP) {
            let event = Event { plane, line, idx };
            add(op, has_eager && event.stat(StatKind::IsEager).is_some_and(|v| v.int() != 0));
        }
        if let Some((_, text)) = tf_ops.next_if(|(event, _)| *event as usize == idx)
            && let Some(&op) = ops.by_tf_op.get(text)
        {
            add(op, false);
        }
    }
    found.sort_by_key(|a| a.time_ps);
    found
}

/// Sums over the activities of a line. The op number of a row is its index in [`HostOps::ops`].
fn line_table<'t>(activities: &[Activity], ops: &'t HostOps<'_>) -> OpTable<'t> {
    struct Open {
        pair: u32,
        begin_ps: u64,
        children_ps: u64,
    }
    let mut table = OpTable::default();
    let mut places: FxHashMap<OpIdx, usize> = FxHashMap::default();
    let mut open: Vec<Open> = Vec::new();
    let mut last_infeed: Option<(u64, u64)> = None;
    for activity in activities {
        if activity.is_begin {
            open.push(Open { pair: activity.pair, begin_ps: activity.time_ps, children_ps: 0 });
            continue;
        }
        // parity: what began later and did not end is lost, and with an end whose begin was lost so is all that is open.
        let Some(at) = open.iter().rposition(|o| o.pair == activity.pair) else {
            open.clear();
            continue;
        };
        open.truncate(at + 1);
        let Some(ended) = open.pop() else { continue };
        let time_ps = activity.time_ps - ended.begin_ps;
        let self_time_ps = time_ps.wrapping_sub(ended.children_ps);
        if let Some(parent) = open.last_mut() {
            parent.children_ps = parent.children_ps.wrapping_add(time_ps);
        }
        let Some(op) = ops.ops.get(activity.op as usize) else {
            continue;
        };
        let place = *places.entry(activity.op).or_insert_with(|| {
            table.rows.push(new_row(activity.op, op));
            table.rows.len() - 1
        });
        let totals = &mut table.rows[place].totals;
        totals.occurrences = totals.occurrences.wrapping_add(1);
        totals.time_ps = totals.time_ps.wrapping_add(time_ps);
        totals.self_time_ps = totals.self_time_ps.wrapping_add(self_time_ps);
        totals.is_eager |= activity.is_eager;
        let sums = &mut table.totals;
        sums.total_op_time_ps = sums.total_op_time_ps.wrapping_add(self_time_ps);
        if op.is_infeed_enqueue() {
            if let Some((begin_ps, duration_ps)) = last_infeed {
                sums.infeed_duration_ps = sums.infeed_duration_ps.wrapping_add(duration_ps);
                let distance_ps = ended.begin_ps.wrapping_sub(begin_ps);
                sums.infeed_start_diff_ps = sums.infeed_start_diff_ps.wrapping_add(distance_ps);
            }
            last_infeed = Some((ended.begin_ps, time_ps));
        }
    }
    table
}

fn new_row<'t>(idx: OpIdx, op: &'t HostOp<'_>) -> OpRow<'t> {
    OpRow {
        op: super::op_table::OpId(idx),
        text: OpText { module_id: op.id, name: &op.name, category: &op.op_type, ..OpText::default() },
        totals: OpTotals { num_cores: 1, ..OpTotals::default() },
        children: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::build::{PlaneBuilder, SpaceBuilder, V};
    use crate::xspace::{TraceBytes, XSpace};

    /// Name, begin, duration and stats.
    type TestEvent<'e> = (&'e str, u64, u64, &'e [(&'e str, V<'e>)]);

    fn metrics(lines: &[&[TestEvent<'_>]]) -> OpMetricsDb {
        let mut plane = PlaneBuilder::new(1, "/host:CPU");
        for (id, events) in lines.iter().enumerate() {
            plane.line(id as i64, "thread", 0, |line| {
                for (name, begin, duration, stats) in *events {
                    line.event(name, *begin, *duration, stats);
                }
            });
        }
        let mut space = SpaceBuilder::new("");
        space.plane(plane);
        let mut diag = Diag::new();
        let space = XSpace::read(TraceBytes::new(space.finish().into()), "test", &mut diag).unwrap();
        host_op_metrics(&space.planes[0], &diag).unwrap()
    }

    /// Rows as (name, occurrences, time, self time).
    fn check(lines: &[&[TestEvent<'_>]], expect: &[(&str, u32, u64, u64)]) {
        let db = metrics(lines);
        let got: Vec<_> =
            db.metrics_db.iter().map(|r| (r.name.as_str(), r.occurrences, r.time_ps, r.self_time_ps)).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn every_line_has_an_idle_row() {
        check(&[], &[]);
        check(&[&[("not an op", 0, 9, &[])]], &[("IDLE", 0, 0, 0)]);
        check(&[&[("a:A", 0, 4, &[]), ("a:A", 6, 4, &[])], &[]], &[("a", 2, 8, 8), ("IDLE", 0, 2, 2)]);
    }

    #[test]
    fn nested_ops_take_time_from_their_parents() {
        check(&[&[("a:A", 0, 10, &[]), ("b:B", 2, 3, &[])]], &[("b", 1, 3, 3), ("a", 1, 10, 7), ("IDLE", 0, 0, 0)]);
    }

    #[test]
    fn what_overlaps_is_lost() {
        check(&[&[("a:A", 0, 10, &[]), ("a:A", 5, 10, &[])]], &[("a", 1, 10, 10), ("IDLE", 0, 5, 5)]);
        // The end of b, whose begin was lost, closes x too.
        let events: &[TestEvent<'_>] =
            &[("x:X", 0, 100, &[]), ("a:A", 10, 10, &[]), ("b:B", 15, 10, &[]), ("y:Y", 30, 1, &[])];
        check(&[events], &[("a", 1, 10, 10), ("y", 1, 1, 1), ("IDLE", 0, 89, 89)]);
    }

    #[test]
    fn stages_share_their_keys_with_names() {
        let stage: &[(&str, V<'_>)] = &[("_ipl_stage_id", V::Int(2)), ("_ipl_stage_cat", V::Str("read"))];
        // The second event has no stage, but its metadata has the id 2.
        check(&[&[("stage", 0, 10, stage), ("plain", 20, 5, &[])]], &[("stage", 2, 15, 15), ("IDLE", 0, 10, 10)]);
        check(&[&[("no category", 0, 10, &stage[..1])]], &[("IDLE", 0, 0, 0)]);
    }

    #[test]
    fn ops_named_by_a_stat_count_too() {
        let op: &[(&str, V<'_>)] = &[("tf_op", V::Str("dummy"))];
        check(&[&[("x", 0, 4, op), ("x", 6, 4, op)]], &[("dummy", 2, 8, 8), ("IDLE", 0, 2, 2)]);
    }

    #[test]
    fn infeed_enqueue_ops_are_measured_but_the_last() {
        let name = "feed:InfeedEnqueueTuple";
        let db = metrics(&[&[(name, 100, 50, &[]), (name, 300, 70, &[]), (name, 900, 10, &[])]]);
        assert_eq!(db.total_host_infeed_enq_duration_ps, 120);
        assert_eq!(db.total_host_infeed_enq_start_timestamp_ps_diff, 800);
    }

    #[test]
    fn one_eager_execution_marks_the_row() {
        let db = metrics(&[&[("a:A", 0, 1, &[("is_eager", V::Int(1))]), ("a:A", 2, 1, &[("is_eager", V::Int(0))])]]);
        assert!(db.metrics_db[0].is_eager);
        assert_eq!(db.metrics_db[0].num_cores, 0);
    }
}
