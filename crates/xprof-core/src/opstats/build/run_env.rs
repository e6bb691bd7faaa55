//! What the host ran on.

use std::collections::BTreeMap;

use xprof_proto::tensorflow::profiler::{HardwareType, PerfEnv, RunEnvironment};

use crate::hw::{self, DevicePlanes};
use crate::prep::planes;
use crate::xspace::schema::plane_names;
use crate::xspace::{StatKind, XSpace};

/// The name by which the host goes where the trace does not name it.
const LOCALHOST: &str = "localhost";
const GENERIC_GPU: &str = "GPU";
const CPU: &str = "CPU";

/// The host's name. Of several names in a trace the first counts.
pub fn hostname(space: &XSpace) -> &str {
    space.hostnames.first().map_or(LOCALHOST, |name| name)
}

/// The environment of one host.
///
/// `parity:` GPU planes win here even beside TPU planes, although every other conversion prefers TPU planes.
pub fn run_environment(space: &XSpace, is_training: bool) -> RunEnvironment {
    let (device_type, n_cores, hardware_type) = devices(space);
    RunEnvironment {
        host_count: 1,
        task_count: 1,
        hostnames: BTreeMap::from([(hostname(space).to_owned(), true)]),
        device_type,
        device_core_count: n_cores as i32,
        hardware_type: hardware_type as i32,
        is_training,
        ..RunEnvironment::default()
    }
}

/// What its devices are, how many there are, and of which kind. Read from planes and their stats alone.
pub fn devices(space: &XSpace) -> (String, usize, HardwareType) {
    let gpus: Vec<_> = space.planes_with_prefix(plane_names::GPU_PREFIX).collect();
    let cores: Vec<_> = space.planes.iter().filter(|p| planes::tensor_core(&p.name).is_some()).collect();
    if let Some(gpu) = gpus.first() {
        let name = hw::gpu_model_name(gpu);
        (if name.is_empty() { GENERIC_GPU.to_owned() } else { name }, gpus.len(), HardwareType::Gpu)
    } else if let Some(core) = cores.first() {
        let name = core.stat(StatKind::DeviceTypeString).map_or_else(String::new, |v| v.text().into_owned());
        (name, cores.len(), HardwareType::Tpu)
    } else {
        (CPU.to_owned(), 0, HardwareType::CpuOnly)
    }
}

/// How fast the devices can go, as the first device plane says, a SparseCore's included.
pub fn perf_env(devices: &DevicePlanes<'_>) -> Option<PerfEnv> {
    match devices {
        DevicePlanes::Tpu(planes) => planes.first().map(|plane| hw::perf_env_of_tpu(plane)),
        DevicePlanes::Gpu(planes) => planes.first().map(|plane| hw::perf_env_of_gpu(plane)),
        DevicePlanes::None => None,
    }
}
