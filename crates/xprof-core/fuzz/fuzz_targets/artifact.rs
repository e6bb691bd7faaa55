//! Any bytes as an artifact that another process sent: decode, reduce, render.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xprof_core::answer::Format;
use xprof_core::tools::{Params, registry};
use xprof_core::Diag;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    let tool = &registry::TOOLS[usize::from(choice) % registry::TOOLS.len()];
    let Ok(artifact) = tool.decode(rest.to_vec().into()) else { return };
    let mut diag = Diag::new();
    let _ = tool.finish(&[("host".into(), artifact)], &Params::new(), Format::Native, &mut diag);
});
