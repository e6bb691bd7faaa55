//! The HLO protos that a trace carries in its metadata planes.
//!
//! Takes a trace, read whole or as a catalog; gives program ids and bytes that share the file's memory. It builds nothing.

use bytes::Bytes;

use crate::xspace::schema::plane_names;
use crate::xspace::{StatKind, XSpace};

/// One program of a trace, as the trace has it.
#[derive(Debug, Clone)]
pub struct Program {
    /// The id by which events refer to it.
    pub id: u64,
    /// Its `xla.HloProto`, not checked.
    pub proto: Bytes,
}

/// The programs in the order of the trace. An id may come twice; the first counts.
pub fn programs(space: &XSpace) -> impl Iterator<Item = Program> {
    space.planes.iter().filter(|p| p.name == plane_names::METADATA).flat_map(|plane| {
        plane.event_metadata.iter().filter_map(|metadata| {
            let (mut proto, mut id) = (None, None);
            for stat in plane.metadata_stats(metadata) {
                match stat.kind {
                    Some(StatKind::HloProto | StatKind::LegacyHloProto) if proto.is_none() => {
                        proto = Some(plane.share(stat.value.bytes()));
                    }
                    Some(StatKind::ProgramId) if id.is_none() => id = Some(stat.value.int_or_uint()),
                    _ => {}
                }
            }
            Some(Program { id: id.unwrap_or(metadata.id_field as u64), proto: proto? })
        })
    })
}
