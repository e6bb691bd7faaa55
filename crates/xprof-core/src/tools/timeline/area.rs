//! What an area of the timeline holds: per name how many events and how long, per counter its extremes.
//!
//! Takes rows and a span, gives sums. Only what lies inside the span counts towards times.
//! It must not thin: sums are exact at every zoom.

use rayon::prelude::*;

use super::block::{Block, BlockBuilder};
use super::names::Names;
use super::options::Span;
use super::rows::{CHECK_EVERY, Row, Rows, Scope, Series, Source};
use crate::{Diag, Result};

/// What is said about the events of one name.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    /// Place of the first one.
    first: u32,
    n: u32,
    total_ps: u64,
    /// Without the time of the events nested in them.
    self_ps: i64,
    /// Whole duration of the longest.
    max_ps: u64,
}

/// Sums of one row by name, in the order of first use.
type OfRow = Vec<Sum>;

/// Answers for an area.
pub fn answer(scope: &Scope<'_>, rows: &Rows, span: Span, wanted: &[u32], diag: &Diag) -> Result<Block> {
    let (begin_ps, end_ps) = span.within(scope.store);
    let wanted: Vec<(u32, &Row)> =
        wanted.iter().filter_map(|&i| rows.rows.get(i as usize).map(|row| (i, row))).collect();
    let sums: Vec<OfRow> = wanted
        .par_iter()
        .with_max_len(1)
        .map(|(_, row)| match row.source {
            Source::Counter(_) => Ok(Vec::new()),
            _ => of_row(scope, row, begin_ps, end_ps, diag),
        })
        .collect::<Result<_>>()?;
    let mut names = Names::default();
    let mut all: Vec<(u32, Sum)> = Vec::new();
    for (&(i, row), sums) in wanted.iter().zip(&sums) {
        for sum in sums {
            let name = row.locate(sum.first).map_or(0, |place| names.of(&scope.event(place))) as usize;
            if name == all.len() {
                all.push((i, Sum { first: sum.first, ..Sum::default() }));
            }
            let (_, of_name) = &mut all[name];
            of_name.n += sum.n;
            of_name.total_ps = of_name.total_ps.saturating_add(sum.total_ps);
            of_name.self_ps = of_name.self_ps.saturating_add(sum.self_ps);
            of_name.max_ps = of_name.max_ps.max(sum.max_ps);
        }
    }
    let counters: Vec<(u32, [f64; 4])> =
        wanted.iter().filter_map(|&(i, row)| Some((i, extremes(row, begin_ps, end_ps)?))).collect();

    let mut block = BlockBuilder::new(|json| {
        scope.write_facts("area", json);
        json.key("begin_ps").string(&begin_ps.to_string()).key("end_ps").string(&end_ps.to_string());
        names.write(json);
    });
    block.column("name_category", names.categories());
    block.column("count", all.iter().map(|(_, sum)| sum.n));
    block.column("total_ps", all.iter().map(|(_, sum)| sum.total_ps as f64));
    block.column("self_ps", all.iter().map(|(_, sum)| sum.self_ps.max(0) as f64));
    block.column("max_ps", all.iter().map(|(_, sum)| sum.max_ps as f64));
    block.column("first_row", all.iter().map(|&(row, _)| row));
    block.column("first_position", all.iter().map(|(_, sum)| sum.first));
    block.column("counter_row", counters.iter().map(|&(row, _)| row));
    for (k, name) in ["counter_n", "counter_low", "counter_mean", "counter_high"].into_iter().enumerate() {
        block.column(name, counters.iter().map(|(_, values)| values[k]));
    }
    block.finish()
}

fn of_row(scope: &Scope<'_>, row: &Row, begin_ps: u64, end_ps: u64, diag: &Diag) -> Result<OfRow> {
    let mut names = Names::default();
    let mut sums: OfRow = Vec::new();
    // Per lane the name and the end of the event seen last.
    let mut open: Vec<(usize, u64)> = Vec::new();
    for (n, i) in scope.touching(row, begin_ps, end_ps).enumerate() {
        if n % CHECK_EVERY == 0 {
            diag.check()?;
        }
        let Some(place) = row.locate(i as u32) else { continue };
        let name = names.of(&scope.event(place)) as usize;
        if name == sums.len() {
            sums.push(Sum { first: i as u32, ..Sum::default() });
        }
        let (begin, duration_ps) = scope.at(row, i);
        let end = begin.saturating_add(duration_ps);
        let inside_ps = end.min(end_ps).saturating_sub(begin.max(begin_ps));
        let sum = &mut sums[name];
        sum.n += 1;
        sum.total_ps = sum.total_ps.saturating_add(inside_ps);
        sum.self_ps = sum.self_ps.saturating_add_unsigned(inside_ps);
        sum.max_ps = sum.max_ps.max(duration_ps);
        let lane = usize::from(row.lanes.at(i));
        if lane > 0
            && let Some(&(parent, parent_end)) = open.get(lane - 1)
            && end <= parent_end
        {
            sums[parent].self_ps = sums[parent].self_ps.saturating_sub_unsigned(inside_ps);
        }
        open.resize(open.len().max(lane + 1), (0, 0));
        open[lane] = (name, end);
    }
    Ok(sums)
}

/// Number, least, mean and greatest of a counter's samples in the span.
fn extremes(row: &Row, begin_ps: u64, end_ps: u64) -> Option<[f64; 4]> {
    let Source::Counter(Series { times_ps, values }) = &row.source else { return None };
    let first = times_ps.partition_point(|&t| t < begin_ps);
    let last = times_ps.partition_point(|&t| t <= end_ps);
    let values = values.get(first..last).filter(|values| !values.is_empty())?;
    let n = values.len() as f64;
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    Some([n, low, values.iter().sum::<f64>() / n, high])
}
