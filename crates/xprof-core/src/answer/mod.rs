//! What a client receives: a content type and a body, written by a tool's render step.

pub mod csv;
pub mod datatable;
pub mod html;
pub mod json;
pub mod number;

use std::fmt::Debug;

use bytes::Bytes;

use crate::{Diag, Error, Result};
use datatable::DataTable;

/// How the client wants a tool's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// As the tool writes it: `/data`.
    #[default]
    Native,
    /// The first table as comma-separated values: `/data_csv`.
    Csv,
}

/// From this size on an answer is large.
pub const LARGE_BYTES: usize = 1 << 20;

/// Takes the bytes of a large answer while they are written, so that they need not all be in memory at once.
pub trait Sink: Debug + Send {
    /// Takes buffers, one behind the other. Called on a thread of the rayon pool whose other threads may help.
    fn append(&mut self, buffers: &[Vec<u8>]);
}

/// The answer while it is being written, and when it is done.
#[derive(Debug)]
pub struct Answer {
    /// MIME type of the body.
    pub content_type: &'static str,
    /// The answer's bytes; none if they went to the sink.
    pub body: Bytes,
    format: Format,
    buffer: Vec<u8>,
    csv: Option<String>,
    sink: Option<Box<dyn Sink>>,
    is_in_sink: bool,
    /// Says when nobody waits for it any more.
    diag: Diag,
}

impl From<Format> for Answer {
    fn from(format: Format) -> Self {
        Self::new(format)
    }
}

impl Answer {
    /// An empty JSON answer.
    pub fn new(format: Format) -> Self {
        Self {
            content_type: "application/json",
            body: Bytes::new(),
            format,
            buffer: Vec::new(),
            csv: None,
            sink: None,
            is_in_sink: false,
            diag: Diag::new(),
        }
    }

    /// The same answer, which is given up when the work of `diag` is cancelled.
    pub fn of_work(self, diag: &Diag) -> Self {
        Self { diag: diag.fork(), ..self }
    }

    /// The same answer, whose bytes go to a sink if it becomes large.
    pub fn with_sink(self, sink: Box<dyn Sink>) -> Self {
        Self { sink: Some(sink), ..self }
    }

    /// Where a tool writes the bytes of its native answer.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Makes bytes that are there already the whole body.
    pub fn set_body(&mut self, body: Bytes) {
        self.body = body;
    }

    /// Appends buffers, one behind the other: how a tool writes what may become large.
    /// [`Error::Cancelled`] if nobody waits for it any more.
    pub fn append(&mut self, buffers: &[Vec<u8>]) -> Result<()> {
        self.diag.check()?;
        let n_bytes = self.buffer.len() + buffers.iter().map(Vec::len).sum::<usize>();
        match &mut self.sink {
            Some(sink) if self.is_in_sink || n_bytes >= LARGE_BYTES => {
                let before = std::mem::take(&mut self.buffer);
                if !before.is_empty() {
                    sink.append(&[before]);
                }
                sink.append(buffers);
                self.is_in_sink = true;
            }
            _ => {
                self.buffer.reserve(n_bytes - self.buffer.len());
                buffers.iter().for_each(|buffer| self.buffer.extend_from_slice(buffer));
            }
        }
        Ok(())
    }

    /// Writes one table; of several, the first is what a CSV export holds.
    pub fn table(&mut self, table: &DataTable) {
        match self.format {
            Format::Native => table.write_json(&mut self.buffer),
            Format::Csv => {
                self.csv.get_or_insert_with(|| csv::write(table));
            }
        }
    }

    /// Writes text between tables.
    pub fn text(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    /// The finished answer.
    pub fn finish(mut self) -> Result<Self> {
        match self.format {
            Format::Native => match &mut self.sink {
                Some(sink) if self.is_in_sink => sink.append(&[std::mem::take(&mut self.buffer)]),
                _ if !self.body.is_empty() => {}
                _ => self.body = std::mem::take(&mut self.buffer).into(),
            },
            Format::Csv => {
                let csv = self
                    .csv
                    .take()
                    .ok_or_else(|| Error::Unsupported("this tool has no table to export as CSV".into()))?;
                self.content_type = "text/csv";
                self.body = csv.into();
                self.buffer = Vec::new();
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_given_up_when_nobody_waits_for_it() {
        let diag = Diag::new();
        let mut answer = Answer::new(Format::Native).of_work(&diag);
        assert!(answer.append(&[vec![1, 2], vec![3]]).is_ok());
        diag.cancel_handle().cancel();
        assert!(matches!(answer.append(&[vec![4]]), Err(Error::Cancelled)));
        assert_eq!(answer.finish().unwrap().body, [1, 2, 3][..]);
    }

    #[test]
    fn a_body_that_is_there_is_not_copied() {
        let body = Bytes::from(vec![7; 100]);
        let mut answer = Answer::new(Format::Native);
        answer.set_body(body.clone());
        assert_eq!(answer.finish().unwrap().body.as_ptr(), body.as_ptr());
    }
}
