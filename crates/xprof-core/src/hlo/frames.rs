//! The table of source stack frames of a module.
//!
//! Takes `xla.StackFrameIndexProto` bytes, gives the lines of a frame's call stack.
//! Frames refer to each other by number; a hostile table may contain cycles, so every walk is bounded by the table's size.

use bytes::Bytes;

use super::HloError;
use super::metadata::Span;
use super::proto::{each_field, flat_ints, text};
use crate::wire::Value;

/// File, function and position of a frame; ids are 1-based, 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct FileLocation {
    /// Id of the file name.
    pub file_name_id: i64,
    /// Id of the function name.
    pub function_name_id: i64,
    /// First line.
    pub line: i64,
    /// First column.
    pub column: i64,
    /// Last line.
    pub end_line: i64,
    /// Last column.
    pub end_column: i64,
}

/// All frames of a module. Every id is 1-based.
#[derive(Debug, Clone, Default)]
pub struct StackFrames {
    /// Texts: file names.
    pub file_names: Vec<Span>,
    /// Texts: function names.
    pub function_names: Vec<Span>,
    /// Places in files.
    pub locations: Vec<FileLocation>,
    /// Location id and parent frame id of each frame.
    pub frames: Vec<[i64; 2]>,
}

/// A line of a call stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackLine {
    /// File name, a text of the module.
    pub file: Span,
    /// Function name, a text of the module.
    pub function: Span,
    /// Line in it.
    pub line: i64,
    /// Column in it.
    pub column: i64,
}

/// Element `id` of a table that counts from 1.
fn entry<T: Copy>(table: &[T], id: i64) -> Option<T> {
    usize::try_from(id).ok()?.checked_sub(1).and_then(|at| table.get(at)).copied()
}

impl StackFrames {
    /// Reads a `StackFrameIndexProto` that lies in `owner`.
    pub(crate) fn from_proto(owner: &Bytes, data: &[u8]) -> Result<Self, HloError> {
        let mut frames = Self::default();
        each_field(data, |number, value| {
            let Value::Bytes(part) = value else { return Ok(()) };
            match number {
                1 | 2 => {
                    text(part)?;
                    let list = if number == 1 { &mut frames.file_names } else { &mut frames.function_names };
                    list.push(Span::of(owner, part));
                }
                3 => {
                    let [file_name_id, function_name_id, line, column, end_line, end_column] = flat_ints(part)?;
                    let location = FileLocation { file_name_id, function_name_id, line, column, end_line, end_column };
                    frames.locations.push(location);
                }
                4 => frames.frames.push(flat_ints(part)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(frames)
    }

    /// The frame and its callers, innermost first. Empty if the chain is damaged anywhere: out of range or a cycle.
    pub fn stack(&self, frame_id: i64) -> Vec<StackLine> {
        let line = |(file, function, location): (Span, Span, FileLocation)| StackLine {
            file,
            function,
            line: location.line,
            column: location.column,
        };
        self.chain(frame_id).into_iter().map(line).collect()
    }

    /// File, function and place of the frame and of its callers, as [`StackFrames::stack`].
    pub(crate) fn chain(&self, frame_id: i64) -> Vec<(Span, Span, FileLocation)> {
        let mut lines = Vec::new();
        let mut id = frame_id;
        while id != 0 {
            let resolved = entry(&self.frames, id).and_then(|[location_id, parent]| {
                let location = entry(&self.locations, location_id)?;
                let file = entry(&self.file_names, location.file_name_id)?;
                let function = entry(&self.function_names, location.function_name_id)?;
                Some(((file, function, location), parent))
            });
            let Some((line, parent)) = resolved else {
                return Vec::new();
            };
            if lines.len() >= self.frames.len() {
                return Vec::new();
            }
            lines.push(line);
            id = parent;
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frames: Vec<[i64; 2]>, frame_id: i64, expect: &[i64]) {
        let location = |line| FileLocation { file_name_id: 1, function_name_id: 1, line, ..FileLocation::default() };
        let table = StackFrames {
            file_names: vec![Span::default()],
            function_names: vec![Span::default()],
            locations: vec![location(10), location(20)],
            frames,
        };
        let lines: Vec<i64> = table.stack(frame_id).iter().map(|line| line.line).collect();
        assert_eq!(lines, expect);
    }

    #[test]
    fn walks_to_the_outermost_caller() {
        check(vec![[1, 0], [2, 1]], 2, &[20, 10]);
        check(vec![[1, 0], [2, 1]], 1, &[10]);
        check(vec![[1, 0]], 0, &[]);
        check(vec![[1, 0]], 9, &[]);
        check(vec![[1, 0]], -1, &[]);
        check(vec![[1, 2], [2, 1]], 1, &[]);
        check(vec![[3, 0]], 1, &[]);
    }
}
