//! The lines of the timeline: those of the file, and those derived from them.
//!
//! Takes the shared [`Prepared`] and leaves it as it is; gives indices of its lines and new lines beside it.
//! Only the trace viewer shows derived lines, so they are made when it asks and not by [`Prepared::new`]
//! (the `Steps` line of a GPU, which op statistics need too, is made there).
//! It must not decide how an event is drawn.

mod gpu;
mod launches;
mod levels;
mod names;
mod offload;
mod scopes;
mod symbols;
mod tpu;

use bytestring::ByteString;

use self::names::Names;
use super::{Prepared, planes};
use crate::parallel::largest_first;
use crate::xspace::{Event, Line, Plane};
use crate::{Diag, Result};

/// Id of the first derived line: 0xdeadbeef as a signed number of 32 bits. The others are numbered from here.
const FIRST_ID: i64 = super::group::STEPS_LINE_ID;

/// What the timeline shows of one host.
#[derive(Debug)]
pub struct TimelineLines {
    /// In the order of `prepared.space.planes`.
    pub planes: Vec<TimelinePlane>,
}

/// What the timeline shows of one plane.
#[derive(Debug)]
pub struct TimelinePlane {
    /// Lines of the file in its order, then derived ones. Lines without events are left out where the reference
    /// removes them: on planes of GPUs and TensorCores.
    pub lines: Vec<TimelineLine>,
    /// Holds the names of derived events; it has no lines and no stat metadata.
    names: Plane,
}

/// One line of the timeline.
#[derive(Debug)]
pub enum TimelineLine {
    /// A line of the prepared plane.
    Existing {
        /// Index of [`Plane::lines`].
        line_idx: usize,
        /// The id to show, which may be another than [`Line::shown_id`].
        shown_id: i64,
    },
    /// A line derived from others of the plane, with its groups. It is no line of the prepared plane,
    /// and its events refer to the names of the [`TimelinePlane`].
    Derived(Box<Line>),
}

/// A line with what is needed to read its events.
#[derive(Debug, Clone, Copy)]
pub struct ShownLine<'a> {
    /// The plane whose metadata the events refer to; only good for reading events.
    pub plane: &'a Plane,
    /// The line.
    pub line: &'a Line,
    /// The id to show.
    pub id: i64,
}

impl<'a> ShownLine<'a> {
    /// Its name.
    pub fn name(&self) -> &'a ByteString {
        self.line.shown_name()
    }

    /// Its events. Name, spans, group id, stats and metadata stats are read as from any other line.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'a>> + use<'a> {
        self.line.events(self.plane)
    }
}

impl TimelinePlane {
    /// The lines of this timeline plane, where `plane` is the prepared plane at the same index.
    pub fn shown<'a>(&'a self, plane: &'a Plane) -> impl Iterator<Item = ShownLine<'a>> + 'a {
        self.lines.iter().filter_map(move |entry| match entry {
            TimelineLine::Existing { line_idx, shown_id } => {
                plane.lines.get(*line_idx).map(|line| ShownLine { plane, line, id: *shown_id })
            }
            TimelineLine::Derived(line) => Some(ShownLine { plane: &self.names, line, id: line.shown_id() }),
        })
    }

    /// All lines of the plane as the file has them.
    fn unchanged(plane: &Plane) -> Self {
        let existing =
            |(line_idx, line): (usize, &Line)| TimelineLine::Existing { line_idx, shown_id: line.shown_id() };
        Self { lines: plane.lines.iter().enumerate().map(existing).collect(), names: plane.empty_sibling() }
    }

    /// The lines of the plane that have events, and the derived ones that have.
    fn with_derived(plane: &Plane, names: Names, derived: Vec<Line>) -> Self {
        let mut shown = Self::unchanged(plane);
        shown.lines.retain(|entry| match entry {
            TimelineLine::Existing { line_idx, .. } => {
                plane.lines.get(*line_idx).is_some_and(|line| !line.events.is_empty())
            }
            TimelineLine::Derived(_) => true,
        });
        let derived = derived.into_iter().filter(|line| !line.events.is_empty());
        shown.lines.extend(derived.map(|line| TimelineLine::Derived(Box::new(line))));
        shown.names = names.into_plane();
        shown
    }
}

/// The lines that the timeline shows, and what `look` gives for each plane: it is called as soon as the plane's lines are
/// known, while those of others are derived.
pub fn timeline<R: Send>(
    prepared: &Prepared,
    look: impl Fn(&Plane, &TimelinePlane) -> Result<R> + Sync,
    diag: &Diag,
) -> Result<(TimelineLines, Vec<R>)> {
    let all = &prepared.space.planes;
    let derive = derivation(prepared, diag)?;
    let of_plane = |&(idx, plane): &(usize, &Plane)| {
        diag.check()?;
        let shown = derive(idx, plane)?;
        let seen = look(plane, &shown)?;
        Ok((shown, seen))
    };
    let n_events = |&(_, plane): &(usize, &Plane)| plane.lines.iter().map(|line| line.events.len()).sum();
    let planes: Vec<(usize, &Plane)> = all.iter().enumerate().collect();
    let (planes, seen) = largest_first(&planes, n_events, of_plane)?.into_iter().unzip();
    Ok((TimelineLines { planes }, seen))
}

/// How lines are derived on each plane, given its index.
fn derivation<'a>(
    prepared: &'a Prepared,
    diag: &'a Diag,
) -> Result<Box<dyn Fn(usize, &Plane) -> Result<TimelinePlane> + Sync + 'a>> {
    if prepared.already_grouped {
        return Ok(Box::new(|_, plane| Ok(TimelinePlane::unchanged(plane))));
    }
    let symbols = symbols::Symbols::new(&prepared.space);
    let scopes = scopes::Scopes::new(&prepared.space);
    let launches = launches::collect(prepared, diag)?;
    // Launches count devices by their place in the file, whatever their planes are called.
    let mut n_gpus = 0;
    let number_gpu = |plane: &Plane| {
        planes::is_gpu(&plane.name).then(|| {
            n_gpus += 1;
            n_gpus - 1
        })
    };
    let gpus: Vec<Option<u64>> = prepared.space.planes.iter().map(number_gpu).collect();
    Ok(Box::new(move |idx, plane| {
        if planes::tensor_core(&plane.name).is_some() {
            tpu::derive(plane, diag)
        } else if let Some(device) = gpus[idx] {
            gpu::derive(plane, device, &symbols, &scopes, &launches, &prepared.groups, diag)
        } else {
            Ok(TimelinePlane::unchanged(plane))
        }
    }))
}
