//! Brings the HLO protos of older traces into today's form: their stat's name and the keys of their entries.

use crate::xspace::schema::plane_names;
use crate::xspace::{StatKind, XSpace};

/// Rewrites the metadata planes.
pub(super) fn run(space: &mut XSpace) {
    for plane in space.planes.iter_mut().filter(|p| *p.name == *plane_names::METADATA) {
        for metadata in &mut plane.stat_metadata {
            if metadata.kind == Some(StatKind::LegacyHloProto) {
                metadata.kind = Some(StatKind::HloProto);
                metadata.name = StatKind::HloProto.name().into();
            }
        }
        let moves: Vec<(u32, i64)> = plane
            .event_metadata
            .iter()
            .enumerate()
            .filter(|(_, m)| plane.metadata_stat(m, StatKind::HloProto).is_some())
            .filter_map(|(row, m)| Some((row as u32, program_id(&m.name)?)))
            .filter(|&(row, id)| plane.metadata(row).id != id)
            .collect();
        for (row, id) in moves {
            plane.set_event_metadata_id(row, id);
        }
    }
}

/// The number in parentheses at the end of a module's name, as the reference's pattern `.*\((\d+)\)` finds it.
fn program_id(name: &str) -> Option<i64> {
    let (_, digits) = name.strip_suffix(')')?.rsplit_once('(')?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok().map(|id| id as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_parentheses_hold_the_id() {
        assert_eq!(program_id("jit_f(12)"), Some(12));
        assert_eq!(program_id("jit_f(1)(9646411105960254074)"), Some(9_646_411_105_960_254_074_u64 as i64));
        assert_eq!(program_id("jit_f(x)"), None);
        assert_eq!(program_id("jit_f()"), None);
        assert_eq!(program_id("jit_f(3) "), None);
    }
}
