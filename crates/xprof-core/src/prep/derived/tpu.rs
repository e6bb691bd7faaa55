//! Derived lines of a TensorCore: framework ops, their name scopes, source lines, host offloads.
//!
//! Takes the events of all lines of the plane in the order of time; what an event contributes is told by its metadata.

use rayon::prelude::*;

use super::levels::{Item, Levels, Pause};
use super::names::{Interned, Names, OpRows};
use super::offload::{Offloads, Role};
use super::{FIRST_ID, TimelinePlane};
use crate::prep::time_order::{Timed, in_time_order};
use crate::xspace::schema::line_names;
use crate::xspace::{Event, EventMetadata, Line, NO_GROUP, Plane, StatKind, StatValue};
use crate::{Diag, Result};

/// What the events of one metadata row contribute.
#[derive(Debug, Default)]
struct RowFacts {
    op: Option<OpRows>,
    source: Option<u32>,
    offload: Option<Role>,
}

impl RowFacts {
    fn of(plane: &Plane, metadata: &EventMetadata, names: &mut Names) -> Self {
        let text = |kind| plane.metadata_stat(metadata, kind).map(StatValue::text).filter(|t| !t.is_empty());
        Self {
            op: text(StatKind::TfOp).map(|name| names.op(&name)),
            source: text(StatKind::Source).map(|source| names.row(&*source, "")),
            offload: Role::of(metadata, names),
        }
    }

    fn is_empty(&self) -> bool {
        self.op.is_none() && self.source.is_none() && self.offload.is_none()
    }
}

/// Events between two looks at whether the work was cancelled.
const CHECK_EVERY: usize = 1 << 16;
/// Stats that an event may have itself instead of its metadata.
const OWN_KINDS: [StatKind; 2] = [StatKind::TfOp, StatKind::Source];

/// All lines of a TensorCore.
pub(super) fn derive(plane: &Plane, diag: &Diag) -> Result<TimelinePlane> {
    let mut names = Names::new(plane);
    let facts: Vec<RowFacts> = plane.event_metadata.iter().map(|m| RowFacts::of(plane, m, &mut names)).collect();
    let order = in_order(plane, &facts);
    let level = |number, name| Levels::new(Line::new(FIRST_ID + number, name, 0), Pause::InGroup);
    let mut scopes = level(2, line_names::FRAMEWORK_NAME_SCOPE);
    let mut ops = level(3, line_names::FRAMEWORK_OPS);
    let mut sources = level(7, line_names::SOURCE);
    let mut offloads = Offloads::default();
    let mut own: Interned<Vec<u8>, OpRows> = Interned::default();
    let none = RowFacts::default();
    for (i, timed) in order.iter().enumerate() {
        if i.is_multiple_of(CHECK_EVERY) {
            diag.check()?;
        }
        let event = Event { plane, line: &plane.lines[timed.line as usize], idx: timed.idx as usize };
        let row = event.metadata_row();
        let facts = facts.get(row as usize).unwrap_or(&none);
        let may_contribute = !facts.is_empty() || event.line.stat_kinds.contains_any(&OWN_KINDS);
        if !may_contribute || is_async(&event) {
            continue;
        }
        let item = item(&event);
        let own_stat = |kind| event.stat(kind).map(StatValue::text_bytes);
        let op = match own_stat(StatKind::TfOp) {
            Some([]) => None,
            Some(name) => Some(own.get(name.to_vec(), |name| names.op(&String::from_utf8_lossy(name)))),
            None => facts.op.as_ref(),
        };
        if let Some(op) = op {
            ops.add(item, &[op.op], &[]);
            if !op.scopes.is_empty() {
                scopes.add(item, &op.scopes, &[]);
            }
        }
        let source = match own_stat(StatKind::Source) {
            Some([]) => None,
            Some(source) => Some(names.row(String::from_utf8_lossy(source).as_ref(), "")),
            None => facts.source,
        };
        if let Some(source) = source {
            sources.add(item, &[source], &[]);
        }
        if let Some(role) = facts.offload {
            offloads.add(role, plane, &mut names, row, (item.begin_ps, item.end_ps));
        }
    }
    let mut lines = Vec::new();
    for mut line in [scopes, ops, sources] {
        line.close(0);
        lines.push(line.finish());
    }
    plane.lines.iter().for_each(Line::release);
    lines.extend(offloads.finish());
    lines.par_iter_mut().for_each(Line::sort_events);
    Ok(TimelinePlane::with_derived(plane, names, lines))
}

/// The events of the lines that contribute, in the order of time.
/// `parity:` all lines take part in the sort, derived ones too: they decide how equal events come out.
fn in_order(plane: &Plane, facts: &[RowFacts]) -> Vec<Timed> {
    let has_facts = |row: u32| facts.get(row as usize).is_some_and(|f| !f.is_empty());
    let own = |line: &Line| line.stat_kinds.contains_any(&OWN_KINDS);
    let may_contribute = |&line: &usize| {
        let line = &plane.lines[line];
        own(line) || line.events.rows().any(has_facts)
    };
    let contributes = |event: &Timed| {
        let line = &plane.lines[event.line as usize];
        own(line) || has_facts(line.events.row(event.idx as usize))
    };
    let all: Vec<usize> = (0..plane.lines.len()).collect();
    let shown: Vec<usize> = all.iter().copied().filter(may_contribute).collect();
    in_time_order(plane, &shown, &all, |run| run.iter().filter(|event| contributes(event)).count() > 1)
}

/// Whether the event overlaps others of its line, as copies do.
fn is_async(event: &Event<'_>) -> bool {
    event.line.stat_kinds.contains(StatKind::IsAsync) && event.stat(StatKind::IsAsync).is_some_and(|v| v.int() != 0)
}

/// The span and group of an event.
pub(super) fn item(event: &Event<'_>) -> Item {
    let group = event.group_id().and_then(|g| u32::try_from(g).ok()).unwrap_or(NO_GROUP);
    let begin_ps = event.begin_ps();
    Item { begin_ps, end_ps: begin_ps.saturating_add(event.duration_ps()), group }
}
