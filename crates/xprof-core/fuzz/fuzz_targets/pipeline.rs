//! Any bytes as a trace through the whole pipeline of every tool.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xprof_core::answer::Format;
use xprof_core::tools::{Params, registry};
use xprof_core::xspace::TraceBytes;
use xprof_core::{Diag, pipeline};

fuzz_target!(|data: &[u8]| {
    let traces = [("host".into(), TraceBytes::new(data.to_vec().into()))];
    for tool in registry::TOOLS {
        let _ = pipeline::answer(tool.name, &traces, &Params::new(), Format::Native, &mut Diag::new());
    }
});
