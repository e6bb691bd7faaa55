//! Arithmetic rates of GPUs per multiprocessor and clock cycle, from vendors' data sheets as the original has them.
//!
//! Takes a capability or an architecture, gives constants. The rate of a model is the highest of those for 32-bit and
//! 16-bit floats, with tensor cores or matrix units where there are any. It must not look at a trace.

/// Rates of one generation of Nvidia GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NvidiaRates {
    /// Lowest compute capability of the generation.
    pub capability: (u32, u32),
    /// Floating-point operations per multiprocessor and cycle.
    pub flops_per_cycle: u32,
}

const fn nvidia(major: u32, minor: u32, flops_per_cycle: u32) -> NvidiaRates {
    NvidiaRates { capability: (major, minor), flops_per_cycle }
}

/// Ascending by capability. The tensor-core rate counts from 7.0 on.
pub const NVIDIA: [NvidiaRates; 12] = [
    nvidia(2, 0, 64),
    nvidia(3, 0, 384),
    nvidia(5, 0, 256),
    nvidia(6, 0, 256),
    nvidia(6, 1, 256),
    nvidia(7, 0, 1024),
    nvidia(7, 5, 1024),
    nvidia(8, 0, 2048),
    nvidia(8, 6, 1024),
    nvidia(8, 9, 1024),
    nvidia(9, 0, 4096),
    nvidia(10, 0, 8192),
];

/// The rates of a compute capability: those of the highest generation not above it.
/// `parity:` an unknown newer generation silently borrows the newest one's, and one below all the oldest one's.
pub fn nvidia_rates(capability: (u32, u32)) -> NvidiaRates {
    let n_below = NVIDIA.partition_point(|r| r.capability <= capability);
    NVIDIA[n_below.saturating_sub(1)]
}

/// Bytes of shared memory that a multiprocessor moves per cycle.
pub fn nvidia_shared_bytes_per_cycle(major: u32) -> u32 {
    if major <= 2 { 64 } else { 256 }
}

/// The name of a generation of Nvidia GPUs.
pub fn nvidia_model((major, minor): (u32, u32)) -> &'static str {
    match (major, minor) {
        (2, _) => "Nvidia GPU (Fermi)",
        (3, _) => "Nvidia GPU (Kepler)",
        (5, _) => "Nvidia GPU (Maxwell)",
        (6, _) => "Nvidia GPU (Pascal)",
        (7, 0..5) => "Nvidia GPU (Volta)",
        (7, _) => "Nvidia GPU (Turing)",
        (8, 0..9) => "Nvidia GPU (Ampere)",
        (8, _) => "Nvidia GPU (Ada Lovelace)",
        (9, _) => "Nvidia GPU (Hopper)",
        (10, _) => "Nvidia GPU (Blackwell)",
        _ => "Nvidia GPU",
    }
}

/// Rates of one AMD architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmdRates {
    /// Name of the architecture.
    pub arch: &'static str,
    /// Floating-point operations per compute unit and cycle.
    pub flops_per_cycle: u32,
    /// Bytes of local data share that a compute unit moves per cycle.
    pub shared_bytes_per_cycle: u32,
}

/// The known architectures.
pub const AMD: [AmdRates; 4] = [
    AmdRates { arch: "gfx908", flops_per_cycle: 1024, shared_bytes_per_cycle: 128 },
    AmdRates { arch: "gfx90a", flops_per_cycle: 1024, shared_bytes_per_cycle: 128 },
    AmdRates { arch: "gfx942", flops_per_cycle: 2048, shared_bytes_per_cycle: 128 },
    AmdRates { arch: "gfx950", flops_per_cycle: 4096, shared_bytes_per_cycle: 256 },
];

/// The rates of an architecture; an unknown one does nothing but moves data.
pub fn amd_rates(arch: Option<&str>) -> AmdRates {
    let unknown = AmdRates { arch: "", flops_per_cycle: 0, shared_bytes_per_cycle: 128 };
    AMD.into_iter().find(|r| arch == Some(r.arch)).unwrap_or(unknown)
}

/// The architecture of an AMD GPU: its device name if that is one, else what the capability implies.
pub fn amd_arch(device_name: &str, capability: (u32, u32)) -> Option<&str> {
    let is_arch = device_name
        .strip_prefix("gfx")
        .is_some_and(|digits| digits.len() >= 3 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    match capability {
        _ if is_arch => Some(device_name),
        (9, 4) => Some("gfx942"),
        (9, 5) => Some("gfx950"),
        _ => None,
    }
}

/// The name of an AMD GPU.
pub fn amd_model(arch: Option<&str>, major: u32) -> String {
    match (arch, major) {
        (Some(arch), _) => format!("AMD GPU - {arch}"),
        (None, 9) => "AMD GPU - gfx-9XX series".to_owned(),
        (None, 10) => "AMD GPU - gfx-10XX series".to_owned(),
        (None, 11) => "AMD GPU - gfx-11XX series".to_owned(),
        (None, _) => "AMD GPU".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrows_the_next_lower_generation() {
        for (capability, rate) in [
            ((1, 3), 64),
            ((3, 7), 384),
            ((6, 2), 256),
            ((7, 2), 1024),
            ((8, 7), 1024),
            ((9, 0), 4096),
            ((12, 0), 8192),
        ] {
            assert_eq!(nvidia_rates(capability).flops_per_cycle, rate, "{capability:?}");
        }
        assert_eq!(nvidia_model((7, 2)), "Nvidia GPU (Volta)");
        assert_eq!(nvidia_model((8, 9)), "Nvidia GPU (Ada Lovelace)");
        assert_eq!(nvidia_model((12, 0)), "Nvidia GPU");
    }

    #[test]
    fn names_amd_architectures() {
        for (name, capability, arch) in [
            ("gfx90a", (0, 0), Some("gfx90a")),
            ("gfx9", (9, 4), Some("gfx942")),
            ("gfx942:sramecc+", (9, 5), Some("gfx950")),
            ("AMD Instinct", (9, 0), None),
        ] {
            assert_eq!(amd_arch(name, capability), arch, "{name}");
        }
        assert_eq!(amd_model(None, 11), "AMD GPU - gfx-11XX series");
        assert_eq!(amd_model(None, 12), "AMD GPU");
        assert_eq!(amd_rates(Some("gfx1100")).flops_per_cycle, 0);
    }
}
