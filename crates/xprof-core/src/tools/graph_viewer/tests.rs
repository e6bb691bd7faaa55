//! Whole answers about small modules.

use bytes::Bytes;

use super::*;
use crate::answer::Format;
use crate::artifact::{Artifact, HostPart};
use crate::hlo::testing::{Comp, array, binary, f32s, int, ints, message, module, tuple};
use crate::reduction::reduce_all;

/// The answer about a module, or why there is none.
pub(super) fn ask(proto: &Bytes, query: &[(&str, &str)]) -> Result<String> {
    let head = [1u64, 4, proto.len() as u64].map(u64::to_le_bytes);
    let artifact = HostModules::decode([head.as_flattened(), b"m(1)", proto].concat().into())?;
    let options = Options::read(&query.iter().copied().chain([("module_name", "m(1)")]).collect())?;
    let parts = vec![HostPart { host: "h".into(), artifact: Arc::new(artifact) }];
    let whole = reduce_all(GraphViewer::reduce(&options), &parts, &mut Diag::new())?;
    let mut out = Answer::new(Format::Native);
    GraphViewer::render(&whole, &options, &mut out)?;
    Ok(String::from_utf8_lossy(&out.finish()?.body).into_owned())
}

fn check(proto: &Bytes, query: &[(&str, &str)], expect: Result<&str, &str>) {
    let got = ask(proto, query).map_err(|e| e.to_string());
    assert_eq!(got.as_deref().map_err(|e| &**e), expect, "{query:?}");
}

/// A fusion of `p0 + 2`, reduced and put into a tuple with a part of another tuple.
fn small() -> Bytes {
    let (matrix, scalar) = (f32s(&[4, 8]), f32s(&[]));
    let two = message(8, [message(1, &scalar), message(8, 2f32.to_le_bytes())].concat());
    let fused = Comp::new(2, std::slice::from_ref(&matrix))
        .add("two", "constant", &scalar, &[], &two)
        .add("twos", "broadcast", &matrix, &["two"], &[])
        .add("sum", "add", &matrix, &["p0", "twos"], &[]);
    let row = f32s(&[4]);
    let pair = tuple(&[row.clone(), scalar.clone()]);
    let entry = Comp::new(0, &[matrix.clone(), scalar.clone()])
        .add("f", "fusion", &matrix, &["p0"], &[message(11, "kLoop"), ints(38, &[2])].concat())
        .add("r", "reduce", &row, &["f", "p1"], &[ints(14, &[1]), ints(38, &[1])].concat())
        .add("pair", "tuple", &pair, &["r", "p1"], &[])
        .add("part", "get-tuple-element", &row, &["pair"], &int(13, 0))
        .add("n", "negate", &row, &["part"], &message(43, "a<b`${x}"));
    module(&[binary(1, "add"), fused, entry], &[])
}

#[test]
fn draws_neighbourhoods() {
    let drawn =
        ask(&small(), &[("type", "graph"), ("format", "dot"), ("node_name", "%R"), ("graph_width", "1")]).unwrap();
    let nodes: Vec<&str> =
        drawn.lines().filter(|l| l.contains(" [label=")).map(|l| l.split(">, shape").next().unwrap()).collect();
    assert_eq!(
        nodes,
        [
            "9 [label=<<b>Parameter 1</b><br/>f32[]",
            "10 [label=<<b>f</b><br/>fusion:kLoop<br/>kind=kLoop<br/>f32[4,8]{1,0}",
            "11 [label=<<b>r</b><br/>reduce<br/>Subcomputation: <b>add</b><br/>dimensions={1}<br/>f32[4]",
            "12 [label=<<b>pair</b><br/>tuple<br/>(f32[4], f32[])",
        ]
    );
    assert!(
        drawn
            .contains("label = <<b>Neighborhood of 1 nodes around r<br/>Computation comp0<br/>ENTRY computation</b>>;")
    );
    assert!(drawn.contains("\n10 -> 11 [arrowhead=empty tooltip=\"f -> r\"  headlabel=\"0\", labeldistance=2];\n"));
}

#[test]
fn draws_what_fusions_hide() {
    let drawn = ask(&small(), &[("type", "graph"), ("format", "dot"), ("node_name", "comp0")]).unwrap();
    assert!(drawn.contains("label = <Fused expression for <b>f</b><br/>loop fusion<br/>kind=kLoop>;"));
    assert!(
        drawn.contains("[label=<<b>c2.sum</b><br/>add<br/>f32[4,8]{1,0}<br/><b>operand 1</b> = f32[4,8] 2>"),
        "{drawn}"
    );
    assert!(drawn.contains("<b>operand</b> = tuple-element 0 of pair f32[4]{0}"));
    assert!(!drawn.contains("c2.twos") && drawn.contains("[label=<ROOT>, shape=circle"));
    let merged =
        ask(&small(), &[("type", "graph"), ("format", "dot"), ("node_name", "comp0"), ("merge_fusion", "true")])
            .unwrap();
    assert!(!merged.contains("subgraph") && merged.contains("fusion:kLoop"));
}

/// The first lines of the nodes of a graph, in its order.
fn names(drawn: &str) -> Vec<&str> {
    let labels = drawn.lines().filter_map(|line| line.split_once(" [label=<")).map(|(_, label)| label);
    labels.map(|label| label.split("<br/>").next().unwrap_or_default().split(">,").next().unwrap_or_default()).collect()
}

#[test]
fn hides_what_hands_a_collective_on() {
    let x = f32s(&[4, 8]);
    let pair = tuple(&[x.clone(), x.clone()]);
    let parameters = [x.clone(), x.clone()];
    let fusion = |body: i64| [message(11, "kCustom"), ints(38, &[body])].concat();
    let program = |work: &str, start: &str, done: &str| {
        let begin = Comp::new(1, &parameters[..1]).add("start", "custom-call", &pair, &["p0"], &message(28, start));
        let middle = Comp::new(2, &parameters).named(work).add("work", "multiply", &x, &["p1", "p1"], &[]).add(
            "both",
            "tuple",
            &pair,
            &["p0", "work"],
            &[],
        );
        let end = Comp::new(3, &parameters[..1]).add("done", "custom-call", &x, &["p0"], &message(28, done)).add(
            "r",
            "negate",
            &x,
            &["done"],
            &[],
        );
        let entry = Comp::new(0, &parameters[..1])
            .add("a", "fusion", &pair, &["p0"], &fusion(1))
            .add("g0", "get-tuple-element", &x, &["a"], &int(13, 0))
            .add("b", "fusion", &pair, &["g0", "p0"], &fusion(2))
            .add("g1", "get-tuple-element", &x, &["b"], &int(13, 0))
            .add("c", "fusion", &x, &["g1"], &fusion(3));
        module(&[begin, middle, end, entry], &[])
    };
    let around = |proto: &Bytes, node: &str| {
        ask(proto, &[("type", "graph"), ("format", "dot"), ("node_name", node), ("graph_width", "3")]).unwrap()
    };
    let all = ["<b>Parameter 0</b>", "<b>Parameter 1</b>", "<b>c2.work</b>", "<b>c2.both</b>"];
    let (work, start, done) = ("async_collective_fusion.2", "AsyncCollectiveStart", "AsyncCollectiveDone");
    let split = program(work, start, done);
    let check = |proto: &Bytes, n_inputs: usize, n_ends: usize| {
        let drawn = around(proto, "c");
        let is_input = |name: &&str| name.starts_with("<b>Parameter");
        let names = names(&drawn);
        assert_eq!(names.iter().copied().filter(is_input).count(), n_inputs, "{names:?}");
        assert_eq!(drawn.matches("-> c3.done\"").count(), n_ends, "{drawn}");
    };
    // The program's and the second one of the work, besides whatever is not hidden.
    check(&split, 2, 0);
    check(&program("other", start, done), 4, 1);
    check(&program(work, "other", done), 3, 0);
    check(&program(work, start, "other"), 3, 1);
    // It is shown where it is asked for, and where everything is.
    assert_eq!(names(&around(&split, "c3.p0"))[0], all[0]);
    assert_eq!(names(&around(&split, "async_collective_fusion.2"))[..4], all);
}

#[test]
fn pages_are_whole_and_safe() {
    let query = [("type", "graph"), ("format", "html"), ("node_name", "n"), ("show_metadata", "true")];
    let page = ask(&small(), &query).unwrap();
    assert_eq!(page.matches(" data-centre=\"\">").count(), 1, "where a large graph is shown from");
    assert!(page.contains("const data = `digraph G {") && page.contains("<svg ") && page.ends_with("</html>\n"));
    assert!(page.contains("backend_config=\"a&lt;b\\`\\${x}\""));
    assert!(
        !page.contains("http://")
            || page.matches("http://").count() == page.matches("http://www.w3.org/2000/svg").count()
    );
    assert!(!page.contains("https://"));
}

#[test]
fn says_what_is_left_out() {
    // A node with many users, and one with many operands.
    let scalar = f32s(&[]);
    let mut comp = Comp::new(0, std::slice::from_ref(&scalar)).add("a", "negate", &scalar, &["p0"], &[]);
    let names: Vec<String> = (0..10_000).map(|n| format!("u{n}")).collect();
    for name in &names {
        comp = comp.add(name, "negate", &scalar, &["a"], &[]);
    }
    let operands: Vec<&str> = names.iter().map(String::as_str).collect();
    let proto = module(&[comp.add("all", "tuple", &tuple(&vec![scalar.clone(); 10_000]), &operands, &[])], &[]);
    let around = |node| ask(&proto, &[("type", "graph"), ("format", "html"), ("node_name", node)]).unwrap();
    let page = around("a");
    assert!(page.contains("<p>a has 10000 users; those of nodes with more than 16 are left out.</p>"));
    let page = around("all");
    assert!(
        page.contains("The nearest 1000 instructions are shown; 9002 more, and what lies behind them, are left out.")
    );
    let n_nodes = page.matches("<g class=\"node\"").count();
    assert_eq!(n_nodes, 1001, "with the mark of the result");
}

/// A hundred nodes of which each uses all before it eight times over.
#[test]
fn counts_edges_that_are_left_out() {
    let x = f32s(&[]);
    let mut comp = Comp::new(0, std::slice::from_ref(&x));
    let names: Vec<String> = (0..100).map(|n| format!("n{n}")).collect();
    let call = message(28, "t");
    for (n, name) in names.iter().enumerate() {
        let before: Vec<&str> = names[..n].iter().flat_map(|name| [name.as_str(); 8]).chain(["p0"]).collect();
        comp = comp.add(name, "custom-call", &x, &before, &call);
    }
    let proto = module(&[comp], &[]);
    for format in ["dot", "html"] {
        let drawn = ask(&proto, &[("type", "graph"), ("format", format), ("node_name", "comp0")]).unwrap();
        // 8 * (0 + ... + 99) to each other, one to the parameter, one to the mark of the result.
        assert!(drawn.contains("10001 edges are shown, 29700 are left out."), "{format}");
        assert_eq!(drawn.matches(" [arrowhead=").count(), 10_000, "{format}");
    }
}

/// Boxes without a node in them count as well: each holds a tuple that is taken apart and written into nothing.
#[test]
fn counts_boxes_that_are_left_out() {
    let pair = tuple(&[f32s(&[]), f32s(&[])]);
    let empty = |id: i64| {
        let all = Comp::new(id, std::slice::from_ref(&pair));
        (0..4)
            .fold(all, |comp, n| comp.add(&format!("g{n}"), "get-tuple-element", &f32s(&[]), &["p0"], &int(13, 0)))
            .rooted(1)
    };
    let all = [message(28, "t"), ints(38, &(1..=3000).collect::<Vec<_>>())].concat();
    let entry = Comp::new(0, std::slice::from_ref(&pair)).add("call", "custom-call", &pair, &["p0"], &all);
    let proto = module(&(1..=3000).map(empty).chain([entry]).collect::<Vec<_>>(), &[]);
    let page = ask(&proto, &[("type", "graph"), ("format", "html"), ("node_name", "comp0")]).unwrap();
    // The parameter and the call; a thousand boxes of five instructions have no room.
    assert!(page.contains("2 nodes are shown, 5000 are left out."));
    assert_eq!(page.matches("subgraph ").count(), 2000);
}

#[test]
fn lists_neighbours() {
    check(
        &small(),
        &[("type", "adj_nodes"), ("node_name", "PAIR")],
        Ok(r#"{"consumer_names":["part"],"operand_names":["r","p1"]}"#),
    );
    check(
        &small(),
        &[("type", "adj_nodes"), ("node_name", "comp0")],
        Err("GetAdjacentNodes is not implemented for HloComputation."),
    );
    let missing = Err("Couldn't find HloInstruction or HloComputation named nothing.");
    check(&small(), &[("type", "adj_nodes"), ("node_name", "nothing")], missing);
    check(&small(), &[("type", "adj_nodes")], Err("node_name should not be empty"));
}

#[test]
fn shows_bodies_of_custom_calls() {
    let call = |config: &str| {
        let entry = Comp::new(0, &[f32s(&[])]).add(
            "x",
            "custom-call",
            &f32s(&[]),
            &["p0"],
            &[message(28, "t"), message(43, config)].concat(),
        );
        module(&[entry], &[])
    };
    let query = [("type", "custom_call"), ("node_name", "x")];
    check(&call(r#"{"custom_call_config":{"body":"bW9kdWxlIHt9"}}"#), &query, Ok("module {}"));
    check(&call(r#"{"custom_call_config":{}}"#), &query, Ok("module {\n}"));
    check(&call("{}"), &query, Err("Custom call config not found"));
    check(&call(""), &query, Err("Backend config not found"));
    check(&call("x"), &query, Err("the backend config is not JSON: expected value at line 1 column 1"));
    let bytecode = "the body of the custom call is MLIR bytecode, which only a build with its dialects can print";
    check(&call(r#"{"custom_call_config":{"body":"TUzvUgE="}}"#), &query, Err(bytecode));
}

#[test]
fn writes_texts_and_protos() {
    let one = module(&[Comp::new(0, &[array(4, &[2])]).add("x", "negate", &array(4, &[2]), &["p0"], &[])], &[]);
    check(
        &one,
        &[("type", "short_txt")],
        Ok(
            "HloModule m, entry_computation_layout={()->()}\n\nENTRY comp0 {\n  p0 = s32[2]{0} parameter(0)\n  ROOT x = s32[2]{0} \
            negate(p0)\n}\n\n",
        ),
    );
    check(
        &one,
        &[("type", "long_txt")],
        Ok(
            "HloModule m, entry_computation_layout={()->()}\n\nENTRY %comp0 (p0: s32[2]) -> s32[2] {\n  %p0 = s32[2]{0} \
            parameter(0)\n  ROOT %x = s32[2]{0} negate(%p0)\n}\n\n",
        ),
    );
    let json = ask(&one, &[("type", "json")]).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    let x = &parsed["hloModule"]["computations"][0]["instructions"][1];
    assert_eq!(
        (&x["opcode"], &x["operandIds"][0], &x["shape"]["elementType"]),
        (&"negate".into(), &"1".into(), &"S32".into())
    );
    check(&Bytes::new(), &[("type", "pbtxt")], Ok(""));
    check(&Bytes::new(), &[("type", "pb")], Ok(""));
    check(&Bytes::new(), &[("type", "short_txt")], Err("No HLO module found in the HLO proto"));
    check(
        &one,
        &[],
        Err("type=\"\" is not valid: it must be one of adj_nodes, custom_call, graph, json, long_txt, pb, pbtxt, \
         short_txt"),
    );
}
