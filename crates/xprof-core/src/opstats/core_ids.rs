//! Numbers of cores: which host and which kind of core they stand for.
//!
//! ```text
//! id of a core                     host 0       host 1       host 1,000
//! TensorCore, host, GPU of plane 3 3            1,003        2^31 + 1,000,003
//! SparseCore of plane 3            1,000,003    1,001,003    2,000,003
//! ```
//! `parity:` the reference has no third range: from host 1,000 on it takes TensorCores for SparseCores.

/// What is added per host.
const PER_HOST: u32 = 1000;
/// SparseCores are numbered from here on.
const FIRST_SPARSE: u32 = 1_000_000;
/// Where the cores continue that would have ids of SparseCores.
const BEYOND_SPARSE: u32 = 1 << 31;

/// The id of a SparseCore among the cores of its host.
pub fn sparse(plane_id: u32) -> u32 {
    plane_id.wrapping_add(FIRST_SPARSE)
}

/// Whether an id, within a host or a run, is that of a SparseCore.
pub fn is_sparse(core_id: u32) -> bool {
    (FIRST_SPARSE..BEYOND_SPARSE).contains(&core_id)
}

/// A core's id in the whole run.
pub fn in_run(host_idx: usize, core_id: u32) -> u32 {
    let id = (host_idx as u32).wrapping_mul(PER_HOST).wrapping_add(core_id);
    if is_sparse(id) && !is_sparse(core_id) { id + BEYOND_SPARSE } else { id }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_kind_is_kept_in_runs_of_any_size() {
        let mut ids = BTreeSet::new();
        for host in 0..3000 {
            for plane in 0..4 {
                for id in [plane, sparse(plane)] {
                    assert_eq!(is_sparse(in_run(host, id)), is_sparse(id), "host {host}, core {id}");
                    assert!(ids.insert(in_run(host, id)), "host {host}, core {id}: the id is another core's");
                }
            }
        }
        assert_eq!([in_run(0, 3), in_run(1, 3), in_run(1, sparse(3))], [3, 1003, 1_001_003]);
    }
}
