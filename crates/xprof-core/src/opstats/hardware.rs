//! What kind of hardware a device type names.
//!
//! Takes the text and gives the kind. The kind that a host itself reports is another fact: the two can disagree.

use xprof_proto::tensorflow::profiler::HardwareType;

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
