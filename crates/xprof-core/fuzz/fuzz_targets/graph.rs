//! Any bytes as an HLO proto: every answer of the graph viewer around any node and of any computation, and of the memory viewer.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, IgnoredAny};
use xprof_core::Diag;
use xprof_core::answer::Format;
use xprof_core::artifact::AnyArtifact;
use xprof_core::hlo::HloModule;
use xprof_core::tools::registry;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, proto)) = data.split_first() else { return };
    let module = artifact(proto);
    let node = node(choice, proto);
    let width = (choice & 7).to_string();
    let flag = |bit: u8| if choice & bit == 0 { "true" } else { "false" };
    let of_node = [
        ("node_name", &*node),
        ("graph_width", &width),
        ("show_metadata", flag(8)),
        ("merge_fusion", flag(16)),
    ];
    for kind in ["adj_nodes", "custom_call", "short_txt", "long_txt", "pbtxt"] {
        answer("graph_viewer", &module, &[&of_node[..], &[("type", kind)]].concat());
    }
    for format in ["html", "dot"] {
        answer("graph_viewer", &module, &[&of_node[..], &[("type", "graph"), ("format", format)]].concat());
    }
    if let Some(json) = answer("graph_viewer", &module, &[("type", "json")]) {
        let mut reader = serde_json::Deserializer::from_slice(&json);
        reader.disable_recursion_limit();
        IgnoredAny::deserialize(&mut reader).and_then(|_| reader.end()).expect("JSON");
    }
    if let Some(normal) = answer("graph_viewer", &module, &[("type", "pb")]) {
        let again = answer("graph_viewer", &artifact(&normal), &[("type", "pb")]);
        assert_eq!(again, Some(normal), "the normal form has one");
    }
    for space in ["0", "1", "5"] {
        answer("memory_viewer", &module, &[("memory_space", space)]);
    }
    answer("memory_viewer", &module, &[("view_memory_allocation_timeline", "true")]);
});

/// What map leaves of a host that holds this module only.
fn artifact(proto: &[u8]) -> AnyArtifact {
    let head = [1u64, 1, proto.len() as u64].map(u64::to_le_bytes);
    let tool = registry::find("graph_viewer").expect("a tool");
    tool.decode([head.as_flattened(), b"m", proto].concat().into()).expect("a whole artifact")
}

/// The name of a computation or an instruction, if the module is usable.
fn node(choice: u8, proto: &[u8]) -> String {
    let Ok(module) = HloModule::from_hlo_proto(&bytes::Bytes::copy_from_slice(proto)) else { return String::new() };
    let computation = &module.computations[usize::from(choice >> 4) % module.computations.len()];
    match choice & 3 {
        0 => computation.name.to_string(),
        _ => computation.instructions[usize::from(choice >> 2) % computation.instructions.len()].name.to_string(),
    }
}

fn answer(tool: &str, module: &AnyArtifact, query: &[(&str, &str)]) -> Option<Vec<u8>> {
    let tool = registry::find(tool).expect("a tool");
    let params = query.iter().copied().chain([("module_name", "m")]).collect();
    let parts = [(Arc::from("host"), module.clone())];
    let answer = tool.finish(&parts, &params, Format::Native, &mut Diag::new());
    answer.ok().map(|answer| answer.body.to_vec())
}
