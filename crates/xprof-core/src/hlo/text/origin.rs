//! Where something was written, as text.

use super::extras::payload_bytes;
use super::writer::Writer;
use crate::hlo::frame_numbers::FrameNumbers;
use crate::hlo::metadata::Metadata;
use crate::hlo::module::HloModule;

/// Prints metadata of one module.
pub(crate) struct Origin<'a> {
    /// Whose texts they are.
    pub(crate) module: &'a HloModule,
    /// The numbers under which frames are shown.
    pub(crate) frames: &'a FrameNumbers,
}

impl Origin<'_> {
    /// Whether anything of the metadata says where.
    pub(super) fn is_worth_printing(&self, metadata: &Metadata) -> bool {
        let texts = [metadata.op_type, metadata.op_name, metadata.source_file, metadata.scheduling_name];
        texts.iter().any(|text| !text.is_empty())
            || self.frames.get(i64::from(metadata.stack_frame_id)) != 0
            || metadata.payload.is_some()
    }

    /// Appends the items, without braces around them.
    pub(super) fn print(&self, out: &mut Writer, metadata: &Metadata) {
        let frame = self.frames.get(i64::from(metadata.stack_frame_id));
        let texts = [metadata.op_type, metadata.op_name, metadata.source_file];
        let mut items = Items { first: true };
        for (key, text) in [("op_type", texts[0]), ("op_name", texts[1]), ("source_file", texts[2])] {
            if !text.is_empty() {
                items.key(out, key);
                out.quoted(self.module.bytes(text));
            }
        }
        for (key, number) in [
            ("source_line", metadata.source_line),
            ("source_end_line", metadata.source_end_line),
            ("source_column", metadata.source_column),
            ("source_end_column", metadata.source_end_column),
        ] {
            if number != 0 {
                items.key(out, key);
                out.int(i64::from(number));
            }
        }
        if !metadata.profile_types.is_empty() {
            items.key(out, "profile_type");
            out.braced(&metadata.profile_types);
        }
        if !metadata.deduplicated_name.is_empty() {
            items.key(out, "deduplicated_name");
            out.quoted(self.module.bytes(metadata.deduplicated_name));
        }
        if !metadata.scheduling_name.is_empty() {
            items.key(out, "scheduling_name");
            let name = self.module.text(metadata.scheduling_name);
            out.format(format_args!("\"{name}\""));
        }
        if frame != 0 {
            items.key(out, "stack_frame_id");
            out.int(frame);
        }
        if let Some(payload) = metadata.payload {
            items.key(out, "metadata_payload");
            out.quoted(payload_bytes(self.module, payload));
        }
    }
}

/// Puts a space between items.
struct Items {
    first: bool,
}

impl Items {
    fn key(&mut self, out: &mut Writer, key: &str) {
        if !std::mem::replace(&mut self.first, false) {
            out.push(" ");
        }
        out.push(key);
        out.push("=");
    }
}
