//! Long texts that a client gets as stack frames: whole HLO instructions, mostly.
//!
//! Takes events and texts, says which texts are frames and in which order they are numbered.
//! It must not write anything.

use std::collections::BTreeSet;

use bytestring::ByteString;

use super::scan::is_counter_line;
use crate::prep::derived::ShownLine;
use crate::tools::trace_viewer::facts;
use crate::xspace::{Event, Plane, StatKind};
use crate::{Diag, Result};

/// Texts up to this length are shown with the event.
const MAX_PLAIN_BYTES: usize = 16;

/// What the reference puts before a text to mark it as a frame. A text of the trace may begin with it, too.
pub const MARK: &str = "@@";

/// The text of an argument without its mark, if it is one that becomes a frame.
pub fn frame_text<'a>(arg: &str, text: &'a str) -> Option<&'a str> {
    if text.len() <= MAX_PLAIN_BYTES {
        return None;
    }
    if arg == "long_name" || arg == "hlo_text" { Some(text) } else { text.strip_prefix(MARK) }
}

/// Every text of some event that would be its frame, each once. Samples of counters have no frames.
pub fn all_long_texts(lines: &[ShownLine<'_>], diag: &Diag) -> Result<Vec<ByteString>> {
    let mut texts: BTreeSet<ByteString> = BTreeSet::new();
    for line in lines.iter().filter(|line| !is_counter_line(line)) {
        diag.check()?;
        of_metadata(line, &mut texts);
        let kinds = [StatKind::LongName, StatKind::HloText];
        if line.line.stat_kinds.contains_any(&kinds) || has_marked_text(line.plane) {
            for event in line.events().filter(|e| !facts::is_internal_event(e.name())) {
                of_stats(&event, &mut texts);
            }
        }
    }
    Ok(texts.into_iter().collect())
}

/// Texts that all events of a name share.
fn of_metadata(line: &ShownLine<'_>, texts: &mut BTreeSet<ByteString>) {
    let plane = line.plane;
    let mut seen = vec![false; plane.event_metadata.len()];
    for (idx, row) in line.line.events.rows().enumerate() {
        if seen.get(row as usize).is_none_or(|&seen| seen) {
            continue;
        }
        seen[row as usize] = true;
        let Some(event) = line.line.event(plane, idx) else {
            continue;
        };
        if facts::is_internal_event(event.name()) {
            continue;
        }
        let metadata = event.metadata();
        if let Some(name) = facts::long_name(&event).filter(|name| name.len() > MAX_PLAIN_BYTES) {
            texts.insert(name.into_owned().into());
        }
        for stat in plane.metadata_stats(metadata) {
            if let Some(text) = frame_text(stat.name, &stat.value.text()) {
                texts.insert(text.into());
            }
        }
    }
}

fn of_stats(event: &Event<'_>, texts: &mut BTreeSet<ByteString>) {
    for stat in event.stats() {
        if let Some(text) = frame_text(stat.name, &stat.value.text()) {
            texts.insert(text.into());
        }
    }
}

/// Whether some text that the plane holds for many stats is marked. A marked text inside a single event is not looked for:
/// that would mean decoding every event, for a frame that no event of a list refers to.
fn has_marked_text(plane: &Plane) -> bool {
    plane.stat_metadata.iter().any(|m| frame_text("", &m.name).is_some())
}

/// The place of a text among frames: `parity:` they are numbered in the order of the hash that the C++ library gives to
/// the marked text, which is a 64-bit Murmur hash.
pub fn frame_order(text: &str) -> u64 {
    const SEED: u64 = 0xc70f_6907;
    const MUL: u64 = 0xc6a4_a793_5bd1_e995;
    let mix = |v: u64| v ^ (v >> 47);
    let n_bytes = MARK.len() + text.len();
    let mut hash = SEED ^ (n_bytes as u64).wrapping_mul(MUL);
    let mut word = [0u8; 8];
    let mut n = 0;
    for byte in MARK.bytes().chain(text.bytes()) {
        word[n] = byte;
        n += 1;
        if n == word.len() {
            let data = mix(u64::from_le_bytes(word).wrapping_mul(MUL)).wrapping_mul(MUL);
            hash = (hash ^ data).wrapping_mul(MUL);
            (word, n) = ([0; 8], 0);
        }
    }
    if n > 0 {
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(MUL);
    }
    mix(mix(hash).wrapping_mul(MUL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_frames_by_name_mark_and_length() {
        for (arg, text, expect) in [
            ("long_name", "0123456789abcdef", None),
            ("long_name", "0123456789abcdefg", Some("0123456789abcdefg")),
            ("hlo_text", "0123456789abcdefg", Some("0123456789abcdefg")),
            ("other", "0123456789abcdefg", None),
            ("other", "@@0123456789abcdefg", Some("0123456789abcdefg")),
            ("other", "@@0123", None),
        ] {
            assert_eq!(frame_text(arg, text), expect, "{arg} {text}");
        }
    }
}
