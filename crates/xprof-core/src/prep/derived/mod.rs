//! The lines of the timeline: those of the file, in the order in which they are shown, and those derived from them.
//!
//! Takes the shared [`Prepared`] and leaves it as it is; gives indices of its lines and new lines beside it.
//! Only the trace viewer shows derived lines, so they are made when it asks and not by [`Prepared::new`].
//! It must not decide how an event is drawn.

use bytestring::ByteString;

use super::Prepared;
use crate::xspace::{Event, Line, Plane};
use crate::{Diag, Result};

/// What the timeline shows of one host.
#[derive(Debug)]
pub struct TimelineLines {
    /// In the order of `prepared.space.planes`.
    pub planes: Vec<TimelinePlane>,
}

/// What the timeline shows of one plane.
#[derive(Debug)]
pub struct TimelinePlane {
    /// In the order in which they are shown; lines without events are left out where the reference removes them.
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
    /// A line derived from others of the plane.
    Derived {
        /// The line, with its groups; it is no line of the prepared plane.
        line: Line,
        /// Whether its events have rows of the prepared plane's own metadata, as those of host offload rows do.
        /// Otherwise their rows belong to [`TimelinePlane`]'s table of names.
        own_metadata: bool,
    },
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
        let (plane, line) = (self.plane, self.line);
        line.events(plane)
    }
}

impl TimelinePlane {
    /// The lines of this timeline plane, where `plane` is the prepared plane at the same index.
    pub fn shown<'a>(&'a self, plane: &'a Plane) -> impl Iterator<Item = ShownLine<'a>> + 'a {
        self.lines.iter().filter_map(move |entry| match entry {
            TimelineLine::Existing { line_idx, shown_id } => {
                plane.lines.get(*line_idx).map(|line| ShownLine { plane, line, id: *shown_id })
            }
            TimelineLine::Derived { line, own_metadata } => {
                let plane = if *own_metadata { plane } else { &self.names };
                Some(ShownLine { plane, line, id: line.shown_id() })
            }
        })
    }
}

/// The lines that the timeline shows.
pub fn timeline(prepared: &Prepared, diag: &mut Diag) -> Result<TimelineLines> {
    let mut planes = Vec::with_capacity(prepared.space.planes.len());
    for plane in &prepared.space.planes {
        diag.check()?;
        let lines = plane
            .lines
            .iter()
            .enumerate()
            .map(|(line_idx, line)| TimelineLine::Existing { line_idx, shown_id: line.shown_id() })
            .collect();
        planes.push(TimelinePlane { lines, names: plane.empty_sibling() });
    }
    Ok(TimelineLines { planes })
}
