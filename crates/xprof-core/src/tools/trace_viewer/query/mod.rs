//! One query on one host: which events it returns, and everything the answer says about them.
//!
//! Takes the store of a prepared trace, gives a [`Window`].
//! It must not know how many hosts there are, nor how the answer is written.

mod build;
mod lookup;
mod rows;
mod thin;
mod window;

use rayon::prelude::*;

use self::rows::SelectedRow;
use super::options::{Options, Query};
use super::store::merge::Ascending;
use super::store::serials::{self, Serials};
use super::store::tracks::{Times, TrackKind};
use super::store::{Ahead, TraceStore};
use super::thinning::LAST_LEVEL;
use super::window::Window;
use crate::prep::Prepared;
use crate::prep::derived::ShownLine;
use crate::{Diag, Result};

/// The events of one track that a query returns, by position, in the order of the answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Selected {
    /// Index of the track.
    pub track: usize,
    /// Positions.
    pub positions: Vec<u32>,
}

/// Answers a query.
pub fn answer(prepared: &Prepared, options: &Options, diag: &mut Diag) -> Result<Window> {
    let ahead = match options.query {
        Query::Window(query) => Ahead::OfWindow(query),
        _ => Ahead::Nothing,
    };
    let store = &*TraceStore::of(prepared, ahead, diag)?;
    let lines = &store.lines(prepared)[..];
    let scope = Scope { prepared, store, lines };
    let with_args = match &options.query {
        Query::Window(_) => false,
        Query::Search { with_args, .. } => *with_args,
        Query::Details(_) => true,
    };
    let selected = match &options.query {
        Query::Window(query) => window::select(&scope, query, options.full_dma, diag)?,
        Query::Search { prefix, .. } => lookup::search(&scope, prefix, options.full_dma, diag)?,
        Query::Details(query) => lookup::details(&scope, query),
    };
    let by_level = matches!(options.query, Query::Search { .. });
    let rows =
        rows::of(&scope, selected, if by_level { Some(store.levels(prepared, LAST_LEVEL, diag)?) } else { None });
    let serials = scope.serials(&rows, diag)?;
    let mut window = build::window(&scope, &rows, &serials, with_args, diag)?;
    match options.query {
        Query::Details(_) => window.not_found = rows.is_empty(),
        // parity: a list has the frames of the whole trace, whether or not its events refer to them.
        _ => build::add_frames(&mut window, store.long_texts(prepared, diag)?),
    }
    Ok(window)
}

/// `parity:` threads whose name begins like this are missing from the binary answer of the plain tool, and only there.
const HIDDEN_IN_WHOLE: &str = "counters_";

/// Every event that is shown, without ranks: the binary answer of the plain tool.
pub fn whole(prepared: &Prepared, diag: &mut Diag) -> Result<Window> {
    let store = &*TraceStore::of(prepared, Ahead::Nothing, diag)?;
    let lines = &store.lines(prepared)[..];
    let scope = Scope { prepared, store, lines };
    let n_of = |track: usize| store.tracks[track].times(lines).len() as u32;
    let is_shown = |track: &usize| {
        let track = &store.tracks[*track];
        let name = match track.kind {
            TrackKind::Thread { id } => store.devices[track.device as usize].threads.get(&id),
            _ => None,
        };
        !name.is_some_and(|name| name.starts_with(HIDDEN_IN_WHOLE))
    };
    let selected: Vec<Selected> = (0..store.tracks.len())
        .filter(is_shown)
        .map(|track| Selected { track, positions: (0..n_of(track)).collect() })
        .collect();
    let mut window = build::window(&scope, &rows::of(&scope, selected, None), &Serials::default(), false, diag)?;
    let texts = &window.texts;
    for process in &mut window.processes {
        process.threads.retain(|&(_, name)| !texts[name as usize].starts_with(HIDDEN_IN_WHOLE));
    }
    Ok(window)
}

/// What every part of a query looks at.
struct Scope<'a> {
    prepared: &'a Prepared,
    store: &'a TraceStore,
    lines: &'a [ShownLine<'a>],
}

impl Scope<'_> {
    /// The ranks of the events of some rows.
    fn serials(&self, rows: &[SelectedRow], diag: &Diag) -> Result<Serials> {
        let times: Vec<Times<'_>> = self.store.tracks.iter().map(|t| t.times(self.lines)).collect();
        let mut asked = vec![Vec::new(); times.len()];
        for row in rows {
            match row {
                SelectedRow::Track(s) => asked[s.track].extend_from_slice(&s.positions),
                SelectedRow::Shared(events) => events.iter().for_each(|&(track, at)| asked[track as usize].push(at)),
            }
        }
        // Lists of a search are ordered by level.
        asked.par_iter_mut().filter(|positions| !positions.is_sorted()).for_each(|positions| positions.sort_unstable());
        serials::of(&times, &asked, diag)
    }

    /// The positions of a track's events that hide unless intermediate DMA events are asked for; ascending.
    fn intermediate_dma(&self, track: usize) -> impl Iterator<Item = u32> + '_ {
        const IN_AND_OUT: u8 = 3;
        let track = &self.store.tracks[track];
        let is_tpu = self.store.devices[track.device as usize].is_tpu();
        let flows = is_tpu.then(|| track.flows.iter()).into_iter().flatten();
        flows.filter(|(_, flow)| flow.direction() == IN_AND_OUT).map(|(position, _)| position)
    }
}

/// Whether `next`, an ascending list, comes to `position`; what lies before it is skipped.
fn comes_to(next: &mut std::iter::Peekable<impl Iterator<Item = u32>>, position: u32) -> bool {
    while next.next_if(|&p| p < position).is_some() {}
    next.peek() == Some(&position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{PlaneBuilder, SpaceBuilder, V};
    use crate::tools::Params;
    use crate::tools::trace_viewer::window::RowKind;
    use crate::xspace::TraceBytes;

    fn prepared(host: PlaneBuilder) -> Prepared {
        let mut space = SpaceBuilder::new("host");
        space.plane(host);
        Prepared::read(TraceBytes::new(space.finish().into()), "host", &mut Diag::new()).unwrap()
    }

    fn ask(host: &Prepared, params: &[(&str, &str)]) -> Window {
        let params: Params = params.iter().copied().collect();
        answer(host, &Options::read(&params).unwrap(), &mut Diag::new()).unwrap()
    }

    #[test]
    fn samples_are_instants_whatever_their_duration() {
        const MS: u64 = 1_000_000_000;
        let mut host = PlaneBuilder::new(0, "/host:CPU");
        host.line(7, "main", 1, |line| _ = line.event("work", 0, 9 * MS, &[]));
        host.line(0, "_counters_", 1, |line| {
            for at in [0, 4 * MS] {
                line.event("memory", at, 3 * MS, &[("used", V::Uint(1))]);
            }
        });
        let host = prepared(host);
        for (start, end, n_samples) in [("1", "2", 0), ("1", "5", 1), ("0", "9", 2), ("6", "8", 0)] {
            let window = ask(&host, &[("start_time_ms", start), ("end_time_ms", end), ("resolution", "0")]);
            let counters = window.rows.iter().filter(|row| matches!(row.kind, RowKind::Counter(_)));
            assert_eq!(counters.map(|row| row.events.len()).sum::<usize>(), n_samples, "{start} to {end}");
        }
    }

    #[test]
    fn threads_of_counters_are_shown_in_lists_only() {
        let mut host = PlaneBuilder::new(0, "/host:CPU");
        host.line(7, "main", 1, |line| _ = line.event("work", 0, 10, &[]));
        host.line(8, "counters_gmm", 1, |line| _ = line.event("pass", 0, 5, &[]));
        let host = prepared(host);
        let threads = |window: &Window| -> Vec<(u32, usize)> {
            let of_process = window.processes[0].threads.iter();
            let n_events =
                |id| window.rows.iter().filter(|r| matches!(r.kind, RowKind::Thread(of) if of == id)).count();
            of_process.map(|&(id, _)| (id, n_events(id))).collect()
        };
        assert_eq!(threads(&ask(&host, &[])), [(7, 1), (8, 1)]);
        assert_eq!(threads(&whole(&host, &mut Diag::new()).unwrap()), [(7, 1)]);
    }
}
