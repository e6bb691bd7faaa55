//! Builds a line whose events merge: each level extends its open event while the same thing goes on.
//!
//! ```text
//! ops:       a/b/x   a/b/y   a/z     a/b/x
//! level 0    [a ··························]
//! level 1    [b ···········]         [b ··]
//! ```
//! An op closes the levels below its own; a level that begins something new closes itself and those below.

use smallvec::SmallVec;

use crate::xspace::{AddedValue, Line, NO_GROUP, StatKind};

/// An event on its way into a derived line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub begin_ps: u64,
    pub end_ps: u64,
    /// [`NO_GROUP`] for none.
    pub group: u32,
}

/// The last event of a level, which may still grow.
#[derive(Debug, Clone, Copy)]
struct Open {
    event: usize,
    row: u32,
    begin_ps: u64,
    duration_ps: u64,
    group: u32,
    scope: Option<i64>,
}

/// When an event is extended across a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// Always.
    Any,
    /// Inside a group always; outside only if the pause is at most twice as long as the event so far.
    InGroup,
}

/// A derived line in the making.
#[derive(Debug)]
pub(super) struct Levels {
    line: Line,
    groups: Vec<u32>,
    open: SmallVec<[Open; 8]>,
    pause: Pause,
    stats: Vec<(u32, StatKind, AddedValue)>,
}

/// By how much an event is drawn shorter than the one around it.
const SHORTER_BY_PS: u64 = 1_000;

impl Levels {
    pub(super) fn new(line: Line, pause: Pause) -> Self {
        Self { line, groups: Vec::new(), open: SmallVec::new(), pause, stats: Vec::new() }
    }

    /// Adds an item that is `rows[0]` at the outermost level, inside it `rows[1]`, and so on. An event of a level is not
    /// extended by an item of another scope; `scopes` has one for each level, or none for those not known, which go with any.
    /// Returns whether it began a new event at the outermost level.
    pub(super) fn add(&mut self, item: Item, rows: &[u32], scopes: &[i64]) -> bool {
        let mut began = false;
        for (level, &row) in rows.iter().enumerate() {
            let scope = scopes.get(level).copied();
            if self.extend(level, row, scope, item) {
                continue;
            }
            began |= level == 0;
            self.close(level);
            let duration_ps = item.end_ps.saturating_sub(item.begin_ps);
            self.open.push(Open {
                event: self.line.events.len(),
                row,
                begin_ps: item.begin_ps,
                duration_ps,
                group: item.group,
                scope,
            });
            // The duration is stored when the event is closed.
            self.line.events.push(row, item.begin_ps, 0);
            self.groups.push(item.group);
        }
        self.close(rows.len());
        began
    }

    /// Sets a stat of the open event of the innermost level.
    pub(super) fn set_stat(&mut self, kind: StatKind, value: AddedValue) {
        let Some(event) = self.open.last().map(|open| open.event as u32) else {
            return;
        };
        // An event that grows sets its stats again and again; the last values are at the end of the list.
        let mut recent = self.stats.iter_mut().rev().take_while(|stat| stat.0 == event);
        match recent.find(|stat| stat.1 == kind) {
            Some(stat) => stat.2 = value,
            None => self.stats.push((event, kind, value)),
        }
    }

    /// Whether the item belongs to the level's open event, which then grows to hold it.
    fn extend(&mut self, level: usize, row: u32, scope: Option<i64>, item: Item) -> bool {
        let pause = self.pause;
        let Some(open) = self.open.get_mut(level) else {
            return false;
        };
        let (begin_ps, duration_ps) = (open.begin_ps, &mut open.duration_ps);
        let end_ps = begin_ps.saturating_add(*duration_ps);
        let same_scope = open.scope.zip(scope).is_none_or(|(a, b)| a == b);
        let near = pause == Pause::Any
            || item.group != NO_GROUP
            || item.begin_ps.saturating_sub(end_ps) <= duration_ps.saturating_mul(2);
        if open.row != row || open.group != item.group || !same_scope || !near {
            return false;
        }
        open.scope = scope.or(open.scope);
        *duration_ps = end_ps.max(item.end_ps).saturating_sub(begin_ps);
        true
    }

    /// Closes the levels from `from` on. Where one event covers the same span as the one around it, it and those inside
    /// it are drawn a little shorter, as long as that leaves enough of the innermost one.
    /// `parity:` events are fitted only when they are closed, and only to others that are closed with them.
    pub(super) fn close(&mut self, from: usize) {
        let span = |open: &Open| (open.begin_ps, open.duration_ps);
        let innermost_ps = self.open.last().map_or(0, |open| open.duration_ps);
        let most = (innermost_ps / SHORTER_BY_PS).saturating_sub(1);
        let mut shorter = 0;
        let mut outer = self.open.get(from).map(span);
        for open in self.open.iter_mut().skip(from + 1) {
            let inner = span(open);
            if outer.replace(inner) == Some(inner) {
                shorter = most.min(shorter + 1);
            }
            open.duration_ps = open.duration_ps.saturating_sub(shorter * SHORTER_BY_PS);
        }
        for open in self.open.get(from..).unwrap_or_default() {
            self.line.events.set_duration_ps(open.event, open.duration_ps);
        }
        self.open.truncate(from);
    }

    /// The finished line.
    pub(super) fn finish(mut self) -> Line {
        for open in &self.open {
            self.line.events.set_duration_ps(open.event, open.duration_ps);
        }
        if self.groups.iter().any(|&g| g != NO_GROUP) {
            self.line.groups = Some(self.groups);
        }
        self.line.add_stats(self.stats.into_iter().collect());
        self.line
    }
}
