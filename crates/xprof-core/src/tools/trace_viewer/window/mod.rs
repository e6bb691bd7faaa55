//! The artifact of the timeline: the events that answer one query on one host, in columns.
//!
//! Made by map on the host's worker, put side by side by reduce, written by render. Everything that the answer says is in
//! it; texts are held once.
//! It must not refer to the trace it came from: it travels between machines.

mod codec;

use bytes::Bytes;
use bytestring::ByteString;

use crate::artifact::Artifact;
use crate::prep::flows::Flow;
use crate::{Error, Result};

/// Stands for an event that belongs to no group in [`Events::groups`].
pub const NO_GROUP: i64 = i64::MIN;

/// The answer of one host to one query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Window {
    /// Begin of the first event of the whole trace; 0 without events.
    pub min_ps: u64,
    /// End of the last event of the whole trace.
    pub max_ps: u64,
    /// Whether the host has a TPU.
    pub has_tpu: bool,
    /// Whether the query asked for one event and none was found.
    pub not_found: bool,
    /// All texts; others refer to them by index.
    pub texts: Vec<ByteString>,
    /// Texts of the whole trace that a client gets as stack frames.
    pub frames: Vec<u32>,
    /// All processes of the trace by device id, also those without events in the answer.
    pub processes: Vec<Process>,
    /// Rows with at least one event: by process, within it first those without a thread, then threads by id.
    pub rows: Vec<Row>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Process {
    /// The device id of its host, from which the process id is made.
    pub device_id: u32,
    /// Name, as an index of texts.
    pub name: u32,
    /// Whether its intermediate DMA events can be hidden.
    pub is_tpu: bool,
    /// Id and name of each thread by id.
    pub threads: Vec<(u32, u32)>,
}

/// One thread, counter, or name of asynchronous events.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Index of the process.
    pub process: u32,
    /// What it shows.
    pub kind: RowKind,
    /// Its events in the order of the answer.
    pub events: Events,
}

/// What a row shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// Samples of the counter of that name.
    Counter(u32),
    /// Asynchronous events of that name.
    Async(u32),
    /// Slices of the thread with that id.
    Thread(u32),
}

/// Events in columns. A column without any entry stands for one in which all are 0 or absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Events {
    /// Begins.
    pub begin_ps: Vec<u64>,
    /// Durations; none on counters.
    pub duration_ps: Vec<u64>,
    /// Names, as indices of texts; none where all events have the name of the row.
    pub names: Vec<u32>,
    /// Ranks among the events of equal begin.
    pub serials: Vec<u8>,
    /// Groups, [`NO_GROUP`] for none.
    pub groups: Vec<i64>,
    /// Index and flow of events that have one, by index.
    pub flows: Vec<(u32, Flow)>,
    /// Arguments of the events, where the query asks for them: where those of each event end.
    pub arg_ends: Vec<u32>,
    /// Name, as an index of texts, and value.
    pub args: Vec<(u32, Value)>,
}

/// The value of an argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A double.
    Double(f64),
    /// A text, as an index of texts.
    Text(u32),
    /// A text that is shown as the event's stack frame.
    Frame(u32),
}

impl Events {
    /// How many events.
    pub fn len(&self) -> usize {
        self.begin_ps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.begin_ps.is_empty()
    }

    /// Duration of an event.
    #[inline]
    pub fn duration_ps(&self, idx: usize) -> u64 {
        self.duration_ps.get(idx).copied().unwrap_or(0)
    }

    /// Rank of an event among those of equal begin.
    #[inline]
    pub fn serial(&self, idx: usize) -> u8 {
        self.serials.get(idx).copied().unwrap_or(0)
    }

    /// Group of an event.
    #[inline]
    pub fn group(&self, idx: usize) -> Option<i64> {
        self.groups.get(idx).copied().filter(|&g| g != NO_GROUP)
    }

    /// Arguments of an event, `None` if the query did not ask for them.
    pub fn args(&self, idx: usize) -> Option<&[(u32, Value)]> {
        let end = *self.arg_ends.get(idx)? as usize;
        let start = idx.checked_sub(1).map_or(0, |before| self.arg_ends[before] as usize);
        Some(self.args.get(start..end).unwrap_or_default())
    }

    fn weight(&self) -> usize {
        (self.begin_ps.capacity() + self.duration_ps.capacity() + self.groups.capacity()) * 8
            + (self.names.capacity() + self.arg_ends.capacity()) * 4
            + self.serials.capacity()
            + self.flows.capacity() * size_of::<(u32, Flow)>()
            + self.args.capacity() * size_of::<(u32, Value)>()
    }
}

impl Row {
    /// Gives all texts that it refers to other indices.
    pub fn change_texts(&mut self, new: impl Fn(u32) -> u32) {
        if let RowKind::Counter(name) | RowKind::Async(name) = &mut self.kind {
            *name = new(*name);
        }
        self.events.names.iter_mut().for_each(|name| *name = new(*name));
        for (name, value) in &mut self.events.args {
            *name = new(*name);
            if let Value::Text(text) | Value::Frame(text) = value {
                *text = new(*text);
            }
        }
    }
}

impl Window {
    /// A text by index; an empty one if there is none.
    pub fn text(&self, idx: u32) -> &str {
        self.texts.get(idx as usize).map_or("", |t| t)
    }

    /// How many events it holds.
    pub fn n_events(&self) -> usize {
        self.rows.iter().map(|row| row.events.len()).sum()
    }
}

impl Artifact for Window {
    const KIND: &'static str = "trace_window";
    const VERSION: u32 = 1;

    fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    fn decode(bytes: Bytes) -> Result<Self> {
        codec::decode(&bytes).map_err(|reason| Error::BadArtifact { artifact: Self::KIND, reason: reason.into() })
    }

    fn weight(&self) -> usize {
        let texts: usize = self.texts.iter().map(|t| t.len() + size_of::<ByteString>()).sum();
        let threads: usize = self.processes.iter().map(|p| p.threads.capacity() * 8 + size_of::<Process>()).sum();
        let rows: usize = self.rows.iter().map(|r| r.events.weight() + size_of::<Row>()).sum();
        size_of::<Self>() + texts + threads + rows + self.frames.capacity() * 4
    }
}
