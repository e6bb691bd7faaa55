//! Tools that show programs, on one module of 200,000 instructions: the text, and the neighbourhood of a node.

use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use prost::Message as _;
use xprof_core::Diag;
use xprof_core::answer::Format;
use xprof_core::tools::{Params, registry};
use xprof_proto::xla;

use super::timed;

const N_INSTRUCTIONS: usize = 200_000;
/// The node in the middle is next to these.
const NEIGHBOURS: &str = r#"{"consumer_names":["add.100001","add.200000"],"operand_names":["add.99999","add.50000"]}"#;
/// So many nodes are within five edges of it.
const NODES_AROUND: (&str, usize) = ("<g class=\"node\"", 50);

/// Times `graph_viewer` on a module that is held already, as a server holds it between requests.
pub fn graph_viewer(criterion: &mut Criterion) {
    let tool = registry::find("graph_viewer").unwrap();
    let artifact = tool.decode(artifact("big(1)", &module())).unwrap();
    let node = format!("add.{}", N_INSTRUCTIONS / 2);
    // What each answer has so many times.
    for (name, params, (mark, n)) in [
        ("long_txt", &[("type", "long_txt")][..], (" = f32[128,128]{1,0} ", N_INSTRUCTIONS)),
        ("graph", &[("type", "graph"), ("format", "html"), ("node_name", &node), ("graph_width", "5")], NODES_AROUND),
        ("adj_nodes", &[("type", "adj_nodes"), ("node_name", &node)], (NEIGHBOURS, 1)),
        ("pbtxt", &[("type", "pbtxt")], ("\n    instructions {\n", N_INSTRUCTIONS)),
        ("json", &[("type", "json")], ("\"opcode\":", N_INSTRUCTIONS)),
    ] {
        let mut params: Params = params.iter().copied().collect();
        params.insert("module_name", "big(1)");
        let ask = || {
            let parts = vec![(Arc::from("host"), artifact.clone())];
            tool.finish(&parts, &params, Format::Native, &mut Diag::new()).unwrap()
        };
        let body = String::from_utf8(ask().body.to_vec()).unwrap();
        assert_eq!(body.matches(mark).count(), n, "{name}");
        let throughput = Throughput::Elements(N_INSTRUCTIONS as u64);
        timed(criterion, &format!("render/graph_viewer:{name}"), "200000-instructions", throughput, ask);
    }
}

/// The artifact of a module as it travels: id, lengths of name and proto, then both.
pub fn artifact(name: &str, proto: &[u8]) -> Bytes {
    let head = [1u64, name.len() as u64, proto.len() as u64].map(u64::to_le_bytes);
    [head.as_flattened(), name.as_bytes(), proto].concat().into()
}

/// A chain of additions in which every instruction also uses one far behind it.
fn module() -> Vec<u8> {
    let layout = xla::LayoutProto { minor_to_major: vec![1, 0], ..Default::default() };
    let shape = xla::ShapeProto {
        element_type: xla::PrimitiveType::F32 as i32,
        dimensions: vec![128, 128],
        layout: Some(layout.into()),
        ..Default::default()
    };
    let mut instructions = vec![xla::HloInstructionProto {
        name: "x".into(),
        opcode: "parameter".into(),
        shape: Some(shape.clone()),
        id: 1,
        ..Default::default()
    }];
    for id in 2..=N_INSTRUCTIONS as i64 {
        instructions.push(xla::HloInstructionProto {
            name: format!("add.{id}"),
            opcode: "add".into(),
            shape: Some(shape.clone()),
            id,
            operand_ids: vec![id - 1, (id / 2).max(1)],
            metadata: Some(xla::OpMetadata { op_name: format!("jit(f)/layer/{id}/add"), ..Default::default() }),
            ..Default::default()
        });
    }
    let computation = xla::HloComputationProto {
        name: "main".into(),
        instructions,
        id: 1,
        root_id: N_INSTRUCTIONS as i64,
        ..Default::default()
    };
    let program_shape = xla::ProgramShapeProto {
        parameters: vec![shape.clone()],
        result: Some(shape),
        parameter_names: vec!["x".into()],
    };
    let module = xla::HloModuleProto {
        name: "big".into(),
        entry_computation_name: "main".into(),
        computations: vec![computation],
        host_program_shape: Some(program_shape),
        entry_computation_id: 1,
        ..Default::default()
    };
    xla::HloProto { hlo_module: Some(module), ..Default::default() }.encode_to_vec()
}
