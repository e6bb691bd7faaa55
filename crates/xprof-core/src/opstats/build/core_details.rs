//! Which cores the host has and where they are.

use std::collections::BTreeMap;

use prost::Message as _;
use xprof_proto::tensorflow::profiler::CoreDetails;

use crate::hw::DevicePlanes;
use crate::prep::planes;
use crate::xspace::{Plane, StatKind};

/// The key under which a host without TPUs is listed, and that of its steps.
pub const HOST_CORE_ID: u32 = 1;

/// The cores by id: those of the TPU planes that describe themselves, else one that stands for the host.
pub fn core_details(devices: &DevicePlanes<'_>, hostname: &str) -> BTreeMap<u32, CoreDetails> {
    let hostname = hostname.to_owned();
    let DevicePlanes::Tpu(planes) = devices else {
        return BTreeMap::from([(HOST_CORE_ID, CoreDetails { hostname, ..CoreDetails::default() })]);
    };
    let mut cores = BTreeMap::new();
    for plane in planes {
        if let Some(mut core) = of_plane(plane) {
            core.hostname.clone_from(&hostname);
            core.is_sparse_core = planes::sparse_core(&plane.name).is_some();
            cores.insert(plane.id as u32, core);
        }
    }
    cores
}

/// The chip that a plane's core is on, if the plane says so.
pub fn chip_of(plane: &Plane) -> Option<u32> {
    of_plane(plane).map(|core| core.local_chip_id)
}

fn of_plane(plane: &Plane) -> Option<CoreDetails> {
    CoreDetails::decode(plane.stat(StatKind::CoreDetails)?.bytes()).ok()
}
