//! What kind of hardware a program ran on.
//!
//! Takes what hosts report: the kind itself, and the device type as text. The two can disagree, so each use says which
//! it means.

use xprof_proto::tensorflow::profiler::{HardwareType, RunEnvironment};

/// The kind of hardware that hosts report or, if they do not, the one that the device type's text speaks of.
pub fn hardware(environment: &RunEnvironment) -> HardwareType {
    match environment.hardware_type() {
        HardwareType::UnknownHardware => hardware_of(&environment.device_type),
        known => known,
    }
}

/// The kind of hardware that a device type's text speaks of.
pub fn hardware_of(device_type: &str) -> HardwareType {
    if device_type.contains("GPU") {
        HardwareType::Gpu
    } else if device_type == "CPU" {
        HardwareType::CpuOnly
    } else if device_type.contains("TPU") {
        HardwareType::Tpu
    } else {
        HardwareType::UnknownHardware
    }
}

/// Whether a device type's text names an accelerator.
pub fn has_device(device_type: &str) -> bool {
    matches!(hardware_of(device_type), HardwareType::Gpu | HardwareType::Tpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefers_the_reported_kind() {
        let check = |device_type: &str, kind: HardwareType, expected| {
            let environment =
                RunEnvironment { device_type: device_type.into(), hardware_type: kind as i32, ..Default::default() };
            assert_eq!(hardware(&environment), expected);
        };
        check("TPU v5", HardwareType::UnknownHardware, HardwareType::Tpu);
        check("TPU v5", HardwareType::CpuOnly, HardwareType::CpuOnly);
        check("Nvidia GPU (Hopper)", HardwareType::Tpu, HardwareType::Tpu);
    }

    #[test]
    fn reads_device_types() {
        for (text, expected) in [
            ("GPU TPU", HardwareType::Gpu),
            ("Nvidia GPU (Ampere)", HardwareType::Gpu),
            ("CPU", HardwareType::CpuOnly),
            ("TPU v5", HardwareType::Tpu),
            ("a CPU", HardwareType::UnknownHardware),
            ("", HardwareType::UnknownHardware),
        ] {
            assert_eq!(hardware_of(text), expected, "{text}");
        }
    }
}
