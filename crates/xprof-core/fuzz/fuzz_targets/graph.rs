//! Any bytes as an HLO proto: every answer of the graph viewer, around any node and of any computation.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use xprof_core::answer::Format;
use xprof_core::hlo::HloModule;
use xprof_core::tools::{Params, registry};
use xprof_core::Diag;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, proto)) = data.split_first() else { return };
    let tool = registry::find("graph_viewer").expect("a tool");
    let head = [1u64, 1, proto.len() as u64].map(u64::to_le_bytes);
    let artifact = [head.as_flattened(), b"m", proto].concat();
    let artifact = tool.decode(artifact.into()).expect("a whole artifact");
    let mut node = String::new();
    if let Ok(module) = HloModule::from_hlo_proto(&bytes::Bytes::copy_from_slice(proto)) {
        let computation = &module.computations[usize::from(choice >> 4) % module.computations.len()];
        let n = computation.instructions.len();
        node = match choice & 3 {
            0 => computation.name.to_string(),
            _ => computation.instructions[usize::from(choice >> 2) % n].name.to_string(),
        };
    }
    for kind in ["graph", "adj_nodes", "custom_call", "short_txt", "long_txt", "pb", "pbtxt", "json"] {
        let width = (choice & 7).to_string();
        let params: Params = [
            ("module_name", "m"),
            ("type", kind),
            ("node_name", &node),
            ("graph_width", &width),
            ("show_metadata", if choice & 8 == 0 { "true" } else { "false" }),
            ("merge_fusion", if choice & 16 == 0 { "true" } else { "false" }),
        ]
        .into_iter()
        .collect();
        let parts = vec![(Arc::from("host"), artifact.clone())];
        let _ = tool.finish(&parts, &params, Format::Native, &mut Diag::new());
    }
});
