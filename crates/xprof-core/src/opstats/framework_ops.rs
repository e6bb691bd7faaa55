//! Regroups device ops into the framework ops that they come from.
//!
//! Takes the table of device ops and gives a table with one row per framework op, in order of first appearance.
//! Many device ops may stem from one framework op; memory accesses by space are not carried over.

use std::collections::HashMap;

use xprof_proto::tensorflow::profiler::{OpMetrics, OpMetricsDb};

use crate::op_name;

/// Category and name of the row that stands for idle time.
pub const IDLE: &str = "IDLE";

/// Whether idle time has a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// It has one, and counts in the total.
    Include,
    /// It is left out.
    Exclude,
}

/// Framework ops of the device.
pub fn regroup(device: &OpMetricsDb, idle: Idle) -> OpMetricsDb {
    let mut groups = OpMetricsDb {
        total_op_time_ps: device.total_op_time_ps,
        total_time_ps: match idle {
            Idle::Include => device.total_time_ps,
            Idle::Exclude => device.total_op_time_ps,
        },
        ..OpMetricsDb::default()
    };
    let mut index: HashMap<&str, usize> = HashMap::new();
    for op in &device.metrics_db {
        let is_idle = op.category == IDLE;
        if is_idle && idle == Idle::Exclude {
            continue;
        }
        let (name, op_type) = if is_idle {
            (IDLE, IDLE)
        } else if op.provenance.is_empty() {
            (op.name.as_str(), "")
        } else {
            let parsed = op_name::parse(&op.provenance);
            (parsed.op_name, parsed.op_type)
        };
        let rows = &mut groups.metrics_db;
        let idx = *index.entry(name).or_insert_with(|| {
            let category = if op_type.is_empty() { "Unknown" } else { op_type };
            rows.push(OpMetrics { name: name.to_owned(), category: category.to_owned(), ..OpMetrics::default() });
            rows.len() - 1
        });
        add(&mut rows[idx], op);
    }
    groups
}

fn add(group: &mut OpMetrics, op: &OpMetrics) {
    // An op that was split runs as often as its parts do, not as often as all of them together.
    group.occurrences = group.occurrences.max(op.occurrences);
    for (sum, part) in [
        (&mut group.time_ps, op.time_ps),
        (&mut group.self_time_ps, op.self_time_ps),
        (&mut group.flops, op.flops),
        (&mut group.model_flops, op.model_flops),
        (&mut group.bytes_accessed, op.bytes_accessed),
    ] {
        *sum = sum.wrapping_add(part);
    }
    group.flops_v2 += op.flops_v2;
    group.model_flops_v2 += op.model_flops_v2;
    // parity: the last one decides.
    group.is_eager = op.is_eager;
    group.core_type = op.core_type;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(name: &str, category: &str, provenance: &str, occurrences: u32, time_ps: u64) -> OpMetrics {
        OpMetrics {
            name: name.into(),
            category: category.into(),
            provenance: provenance.into(),
            occurrences,
            time_ps,
            ..OpMetrics::default()
        }
    }

    fn check(idle: Idle, expected: &[(&str, &str, u32, u64)], total_time_ps: u64) {
        let device = OpMetricsDb {
            metrics_db: vec![
                op("fusion.1", "loop fusion", "jit(f)/jit(main)/dot_general:", 3, 10),
                op("IDLE", "IDLE", "", 0, 50),
                op("fusion.2", "loop fusion", "jit(f)/jit(main)/dot_general:dot_general", 2, 5),
                op("copy", "copy", "", 1, 1),
            ],
            total_time_ps: 66,
            total_op_time_ps: 16,
            ..OpMetricsDb::default()
        };
        let groups = regroup(&device, idle);
        let got: Vec<_> = groups
            .metrics_db
            .iter()
            .map(|r| (r.name.as_str(), r.category.as_str(), r.occurrences, r.time_ps))
            .collect();
        assert_eq!((got.as_slice(), groups.total_time_ps), (expected, total_time_ps));
    }

    #[test]
    fn regroups_by_provenance() {
        let dot = ("jit(f)/jit(main)/dot_general", "dot_general", 3, 15);
        check(Idle::Include, &[dot, ("IDLE", "IDLE", 0, 50), ("copy", "Unknown", 1, 1)], 66);
        check(Idle::Exclude, &[dot, ("copy", "Unknown", 1, 1)], 16);
    }
}
