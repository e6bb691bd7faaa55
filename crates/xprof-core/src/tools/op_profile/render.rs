//! Writes the tree of ops as the JSON of an `op_profile.Profile` message.
//!
//! Takes finished nodes. A group whose children are all ops is named after the longest one, or gives way to its only one.

use xprof_proto::tensorflow::profiler::{LayoutAnalysis, OpMetrics};

use crate::answer::json::JsonWriter;

use super::cost::Scale;
use super::kernel_metadata::kernel_metadata;
use super::tree::{Node, Tree, is_fusion};

/// Writes a node and all below it.
pub fn write_node(json: &mut JsonWriter<'_>, tree: &Tree<'_>, idx: usize, scale: &Scale<'_>) {
    let Some(mut node) = tree.node(idx) else { return };
    let mut longest = None;
    if node.op.is_none()
        && let Some(ops) = node.children.iter().map(|c| tree.node(*c)?.op).collect::<Option<Vec<_>>>()
    {
        match (ops.len(), tree.node(node.children.first().copied().unwrap_or(idx))) {
            (1, Some(child)) => node = child,
            (2.., _) => longest = ops.first().copied(),
            _ => {}
        }
    }
    json.begin_object().key("name");
    match longest {
        Some(op) => json.string(&format!("{} and its duplicate(s)", op.name)),
        None => json.string(&node.name),
    };
    json.key("metrics");
    scale.write(json, &node.cost);
    json.key("children").begin_array();
    for child in &node.children {
        write_node(json, tree, *child, scale);
    }
    json.end_array();
    write_op(json, node, longest);
    json.key("numChildren").int(node.n_children as i32).end_object();
}

fn write_op(json: &mut JsonWriter<'_>, node: &Node<'_>, longest_duplicate: Option<&OpMetrics>) {
    let (op, has_place, layout) = match (node.op, longest_duplicate) {
        (Some(op), _) => (op, true, op.layout.as_ref().filter(|layout| !layout.dimensions.is_empty())),
        (None, Some(op)) if is_fusion(op) => (op, false, None),
        // parity: a group has a layout even if its ops have none.
        (None, Some(op)) => {
            (op, true, Some(op.layout.as_ref().unwrap_or(const { &LayoutAnalysis { dimensions: Vec::new() } })))
        }
        (None, None) => return,
    };
    json.key("xla").begin_object().key("op").string("").key("expression").string(&op.long_name);
    json.key("provenance").string(if has_place { &op.provenance } else { "" });
    json.key("category").string(&op.category);
    if let Some(layout) = layout {
        write_layout(json, layout);
    }
    let primitive_size = if node.op.is_some() { op.computation_primitive_size } else { 0 };
    json.key("computationPrimitiveSize").int(primitive_size);
    json.key("fingerprint").int64(op.fingerprint).key("programId").int64(op.hlo_module_id);
    let source = op.source_info.clone().unwrap_or_default();
    json.key("sourceInfo").begin_object().key("fileName").string(&source.file_name);
    json.key("lineNumber").int(source.line_number).key("stackFrame").string(&source.stack_frame).end_object();
    json.key("xprofKernelMetadata").string(&kernel_metadata(&op.long_name)).end_object();
}

fn write_layout(json: &mut JsonWriter<'_>, layout: &LayoutAnalysis) {
    json.key("layout").begin_object().key("dimensions").begin_array();
    for dimension in &layout.dimensions {
        json.begin_object().key("size").int(dimension.size).key("alignment").int(dimension.alignment);
        json.key("semantics").string(&dimension.semantics().as_str_name().to_ascii_lowercase()).end_object();
    }
    json.end_array().end_object();
}
