//! Events whose name holds a text, however deep the window hides them.
//!
//! Takes rows and a text in lower case, gives counts by name and the first hits by time.
//! It must not count less than there is: only the list of hits is bounded.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::block::{Block, BlockBuilder};
use super::names::Names;
use super::rows::{CHECK_EVERY, Row, Rows, Scope, Source};
use crate::tools::trace_viewer::facts;
use crate::xspace::{Event, StatKind};
use crate::{Diag, Result};

/// Hits on one row.
#[derive(Default)]
struct Hits {
    /// All of them.
    n: usize,
    /// Positions of the first ones, ascending.
    first: Vec<u32>,
    /// Per name its first event, how many there are, and how long they take together.
    by_name: Vec<(u32, u32, u64)>,
}

/// Answers a search.
pub fn answer(scope: &Scope<'_>, rows: &Rows, text: &str, limit: usize, diag: &Diag) -> Result<Block> {
    let found: Vec<Hits> =
        rows.rows.par_iter().with_max_len(1).map(|row| on_row(scope, row, text, limit, diag)).collect::<Result<_>>()?;
    let mut listed: Vec<(u64, u32, u32)> = Vec::new();
    for (row, hits) in (0u32..).zip(&found) {
        listed.extend(hits.first.iter().map(|&i| (scope.at(&rows.rows[row as usize], i as usize).0, row, i)));
    }
    listed.sort_unstable();
    listed.truncate(limit);

    let mut names = Names::default();
    let mut name_of =
        |row: u32, position| rows.rows[row as usize].locate(position).map_or(0, |place| names.of(&scope.event(place)));
    let mut sums: Vec<(u32, u64)> = Vec::new();
    for (row, hits) in (0u32..).zip(&found) {
        for &(first, n, total_ps) in &hits.by_name {
            let name = name_of(row, first) as usize;
            sums.resize(sums.len().max(name + 1), (0, 0));
            sums[name] = (sums[name].0 + n, sums[name].1.saturating_add(total_ps));
        }
    }
    let named: Vec<u32> = listed.iter().map(|&(_, row, position)| name_of(row, position)).collect();
    let at = |&(_, row, position): &(u64, u32, u32)| scope.at(&rows.rows[row as usize], position as usize);
    let from_min = |time_ps: u64| (i128::from(time_ps) - i128::from(scope.store.min_ps)) as f64;

    let mut block = BlockBuilder::new(|json| {
        scope.write_facts("search", json);
        json.key("n").int64(found.iter().map(|hits| hits.n as i64).sum::<i64>());
        names.write(json);
    });
    block.column("name_category", names.categories());
    block.column("name_count", sums.iter().map(|&(n, _)| n));
    block.column("name_total_ps", sums.iter().map(|&(_, total_ps)| total_ps as f64));
    block.column("row", listed.iter().map(|&(_, row, _)| row));
    block.column("position", listed.iter().map(|&(.., position)| position));
    block.column("name", named);
    block.column("begin_ps", listed.iter().map(|hit| from_min(at(hit).0)));
    block.column("duration_ps", listed.iter().map(|hit| at(hit).1 as f64));
    block.column("lane", listed.iter().map(|&(_, row, position)| rows.rows[row as usize].lanes.at(position as usize)));
    block.finish()
}

fn on_row(scope: &Scope<'_>, row: &Row, text: &str, limit: usize, diag: &Diag) -> Result<Hits> {
    let mut hits = Hits::default();
    if matches!(row.source, Source::Counter(_)) {
        return Ok(hits);
    }
    let mut matcher = Matcher { text, by_row: FxHashMap::default() };
    let mut names = Names::default();
    let mut slots: Vec<usize> = Vec::new();
    for position in 0..scope.n_events(row) as u32 {
        if (position as usize).is_multiple_of(CHECK_EVERY) {
            diag.check()?;
        }
        let Some(place) = row.locate(position) else { continue };
        let event = scope.event(place);
        if !matcher.matches(&event) {
            continue;
        }
        hits.n += 1;
        if hits.first.len() < limit {
            hits.first.push(position);
        }
        let name = names.of(&event) as usize;
        if name == slots.len() {
            slots.push(hits.by_name.len());
            hits.by_name.push((position, 0, 0));
        }
        let (_, n, total_ps) = &mut hits.by_name[slots[name]];
        *n += 1;
        *total_ps = total_ps.saturating_add(scope.at(row, position as usize).1);
    }
    Ok(hits)
}

/// Whether names hold a text; each row of metadata is compared once.
struct Matcher<'a> {
    text: &'a str,
    by_row: FxHashMap<(usize, u32), bool>,
}

impl Matcher<'_> {
    fn matches(&mut self, event: &Event<'_>) -> bool {
        let holds = |text: &str| facts::visible_name(event).to_lowercase().contains(text);
        if event.line.stat_kinds.contains(StatKind::StepName) {
            return holds(self.text);
        }
        let key = (std::ptr::from_ref(event.plane) as usize, event.metadata_row());
        *self.by_row.entry(key).or_insert_with(|| holds(self.text))
    }
}
