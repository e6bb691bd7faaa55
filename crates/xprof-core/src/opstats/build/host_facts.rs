//! What else a host's trace tells: collection problems, utilization counters, latency of a decoding server.

use std::collections::BTreeSet;

use xprof_proto::tensorflow::profiler::{
    Diagnostics, DisaggregatedServingLatency, DistributionStats, PerformanceCounterResult,
};

use crate::xspace::schema::line_names;
use crate::xspace::{Plane, StatKind, StatValue, XSpace};

/// Errors and warnings of the profiler, each once; `None` if there are none.
pub fn diagnostics(space: &XSpace) -> Option<Diagnostics> {
    if space.errors.is_empty() && space.warnings.is_empty() {
        return None;
    }
    let once = |texts: &[bytestring::ByteString]| {
        let mut seen = BTreeSet::new();
        texts.iter().filter(|text| seen.insert((*text).clone())).map(ToString::to_string).collect()
    };
    Some(Diagnostics { errors: once(&space.errors), warnings: once(&space.warnings), ..Diagnostics::default() })
}

/// Utilization as the host plane states it; `None` if it states none.
pub fn performance_counters(host: &Plane) -> Option<PerformanceCounterResult> {
    let matrix_unit = host.stat(StatKind::MatrixUnitUtilizationPercent);
    let hbm = host.stat(StatKind::HbmUtilizationPercent);
    (matrix_unit.is_some() || hbm.is_some()).then(|| PerformanceCounterResult {
        matrix_unit_utilization_percent: matrix_unit.map_or(0.0, StatValue::double),
        hbm_utilization_percent: hbm.map_or(0.0, StatValue::double),
    })
}

/// Begin of the names of a server's events on the host.
const SERVABLE: &str = "WizServable";
/// Begin of the names of programs that generate tokens.
const DECODE: &str = "jit_generate";

/// How long decoding took, if the host is a server that decodes.
pub fn serving_latency(host: &Plane, devices: &[&Plane]) -> Option<DisaggregatedServingLatency> {
    // Few names begin so, mostly none: look at names first and at events only for those.
    let servable: Vec<bool> = host.event_metadata.iter().map(|m| m.name.starts_with(SERVABLE)).collect();
    if !servable.contains(&true) {
        return None;
    }
    let mut rows = host.lines.iter().flat_map(|line| line.events.rows());
    if !rows.any(|row| servable.get(row as usize).is_some_and(|&is_servable| is_servable)) {
        return None;
    }
    let mut durations_ps = devices
        .iter()
        .flat_map(|plane| {
            let lines = plane.lines.iter().filter(|line| line.name.starts_with(line_names::XLA_MODULES));
            lines.flat_map(|line| line.events(plane))
        })
        .filter(|event| event.name().starts_with(DECODE))
        .map(|event| event.duration_ps())
        .peekable();
    durations_ps.peek()?;
    let (n, sum_ps) = durations_ps.fold((0u64, 0u64), |(n, sum), ps| (n + 1, sum.wrapping_add(ps)));
    // parity: the mean is cut to whole picoseconds.
    let avg = (sum_ps / n) as f64 / 1e6;
    Some(DisaggregatedServingLatency {
        num_decode_steps: n as i64,
        decode_step_time_us: Some(DistributionStats { avg, ..DistributionStats::default() }),
        ..DisaggregatedServingLatency::default()
    })
}
