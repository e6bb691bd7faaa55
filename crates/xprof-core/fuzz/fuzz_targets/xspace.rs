//! Any bytes as a trace: read it and walk everything that it has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xprof_core::Diag;
use xprof_core::xspace::{TraceBytes, XSpace};

fuzz_target!(|data: &[u8]| {
    let mut diag = Diag::new();
    let trace = TraceBytes::new(data.to_vec().into());
    let _ = xprof_core::tools::run_facts(&trace, "fuzz");
    let Ok(space) = XSpace::read(trace, "fuzz", &mut diag) else { return };
    for plane in &space.planes {
        plane.stats().for_each(drop);
        for line in &plane.lines {
            for event in line.events(plane) {
                event.stats().for_each(drop);
                let _ = (event.group_id(), event.num_occurrences(), event.name());
            }
        }
    }
});
