//! What a client receives: a content type and a body, written by a tool's render step.

pub mod csv;
pub mod datatable;
pub mod json;
pub mod number;

use bytes::Bytes;

use crate::{Error, Result};
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

/// The answer while it is being written, and when it is done.
#[derive(Debug, Clone)]
pub struct Answer {
    /// MIME type of the body.
    pub content_type: &'static str,
    /// The answer's bytes.
    pub body: Bytes,
    format: Format,
    buffer: Vec<u8>,
    csv: Option<String>,
}

impl Answer {
    /// An empty JSON answer.
    pub fn new(format: Format) -> Self {
        Self { content_type: "application/json", body: Bytes::new(), format, buffer: Vec::new(), csv: None }
    }

    /// Where a tool writes the bytes of its native answer.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
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
            Format::Native => self.body = std::mem::take(&mut self.buffer).into(),
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
