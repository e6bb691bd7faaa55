//! Read: trace bytes → [`XSpace`], an XSpace whose events are columns. Zero-copy: names and stats stay in the bytes.
//!
//! Takes the bytes of one `HOST.xplane.pb`, mapped or fetched. Gives planes with sorted metadata tables and, per line,
//! columns of (metadata, begin, duration, place of the stats). Stats are decoded where a tool asks for them.
//! It must not interpret: which plane is a device and which event a step is the business of [`crate::prep`].
//!
//! Memory grows with the number of events (19 bytes each, where spans and tables are of usual size) and of metadata entries, never with the size of the file.

mod added;
mod columns;
mod events;
mod id_table;
mod line;
mod marks;
mod plane;
mod read;
pub mod schema;
mod stat;
mod tables;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

pub use added::{AddedStats, AddedValue};
pub use columns::EventColumns;
pub use line::{Event, Line, NO_GROUP};
pub use plane::{EventMetadata, NO_METADATA, Plane, StatMetadata};
pub use schema::StatKind;
pub use stat::{RawStat, RawValue, Stat, StatKindSet, StatValue};

use crate::{Diag, Result};

/// Lets the reader tell the storage that a range of a mapped file will not be needed soon,
/// so that its pages leave the resident set. They come back from the page cache when they are read again.
pub trait Pages: Send + Sync {
    /// Says that `range` will not be needed soon.
    fn release(&self, range: Range<usize>);
}

/// The bytes of one trace, shared and immutable.
#[derive(Clone, Default)]
pub struct TraceBytes {
    bytes: Bytes,
    pages: Option<Arc<dyn Pages>>,
}

impl std::fmt::Debug for TraceBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TraceBytes({} bytes)", self.bytes.len())
    }
}

impl TraceBytes {
    /// Bytes in memory.
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, pages: None }
    }

    /// Bytes of a mapped file.
    pub fn with_pages(bytes: Bytes, pages: Arc<dyn Pages>) -> Self {
        Self { bytes, pages: Some(pages) }
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the file is empty, which is a valid trace without planes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Says that a range will not be needed soon.
    pub fn release(&self, range: Range<usize>) {
        if let Some(pages) = &self.pages {
            pages.release(range);
        }
    }
}

/// One host's trace: what `tensorflow.profiler.XSpace` holds.
#[derive(Debug)]
pub struct XSpace {
    /// The file that everything below points into.
    pub trace: TraceBytes,
    /// In the order of the file.
    pub planes: Vec<Plane>,
    /// Errors that the profiler met while collecting.
    pub errors: Vec<ByteString>,
    /// Warnings of the profiler.
    pub warnings: Vec<ByteString>,
    /// Host names; only the first is used.
    pub hostnames: Vec<ByteString>,
}

impl XSpace {
    /// Reads a trace. `file` is how the user knows it, for errors.
    pub fn read(trace: TraceBytes, file: &str, diag: &mut Diag) -> Result<Self> {
        read::read(trace, file, read::Want::Everything, diag)
    }

    /// Reads planes, metadata and line headers but no events, except where `events_of` asks for them.
    pub fn read_catalog(trace: TraceBytes, file: &str, events_of: fn(&Plane) -> bool, diag: &mut Diag) -> Result<Self> {
        read::read(trace, file, read::Want::Catalog { events_of }, diag)
    }

    /// The first plane of exactly that name.
    pub fn plane(&self, name: &str) -> Option<&Plane> {
        self.planes.iter().find(|p| p.name == name)
    }

    /// The planes whose name begins with `prefix`, in the order of the file.
    pub fn planes_with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Plane> + 'a {
        self.planes.iter().filter(move |p| p.name.starts_with(prefix))
    }

    /// Number of events in all lines.
    pub fn n_events(&self) -> usize {
        self.planes.iter().flat_map(|p| &p.lines).map(|l| l.events.len()).sum()
    }

    /// Roughly the bytes of memory held beside the file itself.
    pub fn weight(&self) -> usize {
        self.planes.iter().map(Plane::weight).sum()
    }
}

#[cfg(test)]
mod tests;
