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
        plane.set_event_metadata_ids(&moves);
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
    use crate::Diag;
    use crate::fixture::{PlaneBuilder, SpaceBuilder, V};
    use crate::xspace::TraceBytes;

    #[test]
    fn the_last_parentheses_hold_the_id() {
        assert_eq!(program_id("jit_f(12)"), Some(12));
        assert_eq!(program_id("jit_f(1)(9646411105960254074)"), Some(9_646_411_105_960_254_074_u64 as i64));
        assert_eq!(program_id("jit_f(x)"), None);
        assert_eq!(program_id("jit_f()"), None);
        assert_eq!(program_id("jit_f(3) "), None);
    }

    #[test]
    fn programs_may_swap_their_keys() {
        let mut plane = PlaneBuilder::new(0, plane_names::METADATA);
        for (name, key) in [("jit_a(2)", 1), ("jit_b(1)", 2), ("jit_c(7)", 3), ("other", 7)] {
            let stats: &[_] = if name == "other" { &[] } else { &[(StatKind::HloProto.name(), V::Bytes(b"x"))] };
            plane.define_event(name, "", stats, Some(key));
        }
        let mut file = SpaceBuilder::new("h");
        file.plane(plane);
        let mut space = XSpace::read(TraceBytes::new(file.finish().into()), "h", &mut Diag::new()).unwrap();
        run(&mut space);
        let plane = &space.planes[0];
        let name = |key| plane.event_row(key).map(|row| plane.metadata(row).name.to_string());
        let names = [1, 2, 3, 7].map(name);
        // The entry that keeps key 7 makes way for the program that gets it.
        assert_eq!(names, [Some("jit_b(1)"), Some("jit_a(2)"), None, Some("jit_c(7)")].map(|n| n.map(str::to_owned)));
    }
}
