//! The table of stack frames at the top of a module's text.

use super::writer::Writer;
use crate::hlo::frame_numbers::FrameNumbers;
use crate::hlo::metadata::Span;
use crate::hlo::module::HloModule;

/// Appends the four lists, each behind an empty line.
pub(super) fn table(out: &mut Writer, frames: &FrameNumbers, module: &HloModule) {
    let names = |out: &mut Writer, title: &str, names: &[Span]| {
        out.format(format_args!("\n\n{title}"));
        for (at, name) in names.iter().enumerate() {
            out.format(format_args!("\n{} ", at + 1));
            out.quoted(module.bytes(*name));
        }
    };
    names(out, "FileNames", &frames.files);
    names(out, "FunctionNames", &frames.functions);
    out.push("\n\nFileLocations");
    for (at, place) in frames.locations.iter().enumerate() {
        out.format(format_args!(
            "\n{} {{file_name_id={} function_name_id={} line={} end_line={} column={} end_column={}}}",
            at + 1,
            place.file_name_id,
            place.function_name_id,
            place.line,
            place.end_line,
            place.column,
            place.end_column,
        ));
    }
    out.push("\n\nStackFrames");
    for (at, (location, parent)) in frames.frames.iter().enumerate() {
        // parity: a parent is printed one too high, so that a frame without one seems to be its own.
        out.format(format_args!("\n{} {{file_location_id={location} parent_frame_id={}}}", at + 1, parent + 1));
    }
    out.push("\n");
}
