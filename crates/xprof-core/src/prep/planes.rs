//! What a plane is, by its name.

use crate::xspace::schema::plane_names as names;

/// Planes of the host and of collectors that run on it.
const HOST_PLANES: [&str; 8] = [
    names::HOST_CPU,
    "Host CPUs",
    "/host:tfstreamz",
    names::METADATA,
    "Syscalls",
    "/host:python-tracer",
    "/host:CUPTI",
    names::SCOPE_RANGES,
];

/// Whether the plane belongs to the host.
pub fn is_host(name: &str) -> bool {
    HOST_PLANES.contains(&name)
}

/// Whether the plane belongs to a device; some planes belong to neither host nor device.
pub fn is_device(name: &str) -> bool {
    !is_host(name)
        && ["/device", "#Chip", names::CUSTOM_PREFIX, "/custom:"].iter().any(|prefix| name.starts_with(prefix))
}

/// Whether the plane is of a TPU, whatever part of it.
pub fn is_tpu(name: &str) -> bool {
    name.starts_with(names::TPU_PREFIX)
}

/// Whether the plane is of a GPU.
pub fn is_gpu(name: &str) -> bool {
    name.starts_with(names::GPU_PREFIX)
}

/// The number of the TensorCore that the plane describes, if it describes one: `/device:TPU:<digits>`.
/// `parity:` the reference's pattern allows no digits at all; such a plane has number 0.
pub fn tensor_core(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(names::TPU_PREFIX)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().unwrap_or(0))
}

/// The number of the SparseCore that the plane describes, if it describes one:
/// `/device:TPU:<n> SparseCore <m>`, where one word may stand before the last number.
pub fn sparse_core(name: &str) -> Option<u64> {
    let (chip, rest) = name.strip_prefix(names::TPU_PREFIX)?.split_once(" SparseCore ")?;
    let number = match rest.split_once(' ') {
        Some((word, number)) if word.bytes().all(|b| b.is_ascii_alphabetic()) && !word.is_empty() => number,
        Some(_) => return None,
        None => rest,
    };
    let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    (is_number(chip) && is_number(number)).then(|| number.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_told_by_their_names() {
        assert_eq!(tensor_core("/device:TPU:12"), Some(12));
        assert_eq!(tensor_core("/device:TPU:1 SparseCore 0"), None);
        assert_eq!(sparse_core("/device:TPU:1 SparseCore 3"), Some(3));
        assert_eq!(sparse_core("/device:TPU:1 SparseCore Tec 0"), Some(0));
        assert_eq!(sparse_core("/device:TPU:1 SparseCore Tec x"), None);
        assert_eq!(sparse_core("/device:TPU: SparseCore 1"), None);
        assert!(is_device("/device:GPU:0") && is_device("#Chip0") && is_device("/device:CUSTOM:x"));
        assert!(!is_device("/host:CPU") && !is_host("Task Environment") && !is_device("Task Environment"));
    }
}
