//! Modules that no compiler writes: each is refused with a reason, or answered within bounds.

use bytes::Bytes;

use super::tests::ask;
use crate::hlo::testing::{Comp, array, f32s, int, ints, message, module, tuple};
use crate::hlo::text::{PrintOptions, module_text};
use crate::hlo::{HloError, HloModule, ModuleCosts};
use crate::tools::memory_viewer;

/// Builds the module and asks everything about it. Of one that is refused only the proto itself may be answered.
fn check(proto: &Bytes, expect: Result<(), &str>) {
    let built = HloModule::from_hlo_proto(proto);
    assert_eq!(built.as_ref().map(drop).map_err(ToString::to_string), expect.map_err(str::to_owned));
    for kind in ["short_txt", "graph", "adj_nodes", "custom_call"] {
        let answer = ask(proto, &[("type", kind), ("format", "html"), ("node_name", "x"), ("graph_width", "999")]);
        assert!(built.is_ok() || answer.is_err(), "{kind}: {answer:?}");
    }
    for kind in ["pb", "pbtxt", "json"] {
        let answer = ask(proto, &[("type", kind)]);
        assert!(built.is_err() || answer.is_ok(), "{kind}: {answer:?}");
    }
    memory_viewer::testing::survives(proto);
    if let Ok(module) = built {
        let _ = ModuleCosts::of(&module);
        for options in [PrintOptions::short(true), PrintOptions::long(true)] {
            let text = module_text(&module, options, 1 << 16);
            assert!(text.is_ok() || matches!(text, Err(HloError::TextTooLarge(_))), "{text:?}");
        }
    }
}

/// A computation with one instruction more than its parameters.
fn one(id: i64, opcode: &str, shape: &[u8], operands: &[&str], extra: &[u8]) -> Comp {
    Comp::new(id, &[f32s(&[4])]).add("x", opcode, shape, operands, extra)
}

fn alone(opcode: &str, shape: &[u8], extra: &[u8]) -> Bytes {
    module(&[one(0, opcode, shape, &[], extra)], &[])
}

#[test]
fn computations_that_call_in_a_circle() {
    let x = f32s(&[4]);
    let call = |id, callee| one(id, "call", &x, &["p0"], &ints(38, &[callee]));
    check(&module(&[call(0, 0)], &[]), Err("no computation with id 0 before its caller"));
    check(&module(&[call(1, 2), call(2, 1), call(0, 1)], &[]), Err("no computation with id 2 before its caller"));
    check(&module(&[call(0, 9)], &[]), Err("no computation with id 9 before its caller"));
    // A long chain is none, and nobody descends it by recursion.
    let chain: Vec<Comp> = std::iter::once(one(1, "negate", &x, &["p0"], &[]))
        .chain((2..5_000).map(|id| call(id, id - 1)))
        .chain([call(0, 4_999)])
        .collect();
    check(&module(&chain, &[]), Ok(()));
    // Each computation is called twice: counted along its calls the program is as long as 2 to the power of 60.
    let twice = |id: i64, callee: i64| {
        let calls = ints(38, &[callee]);
        one(id, "call", &x, &["p0"], &calls).add("y", "call", &x, &["x"], &calls)
    };
    let wide: Vec<Comp> = std::iter::once(one(1, "negate", &x, &["p0"], &[]))
        .chain((2..60).map(|id| twice(id, id - 1)))
        .chain([twice(0, 59)])
        .collect();
    check(&module(&wide, &[]), Ok(()));
}

/// Whether an instruction only passes a value on is told by its name, so that there are ways without end which meet no other.
#[test]
fn ways_without_end_through_names() {
    let x = f32s(&[4]);
    let name = |k: usize| format!("get-tuple-element.{k}");
    let first = Comp::new(0, &[]).add(&name(0), "replica-id", &x, &[], &[]);
    let chain = (1..60).fold(first, |comp, k| comp.add(&name(k), "add", &x, &[&name(k - 1), &name(k - 1)], &[]));
    check(&module(&[chain.add("x", "negate", &x, &[&name(59)], &[])], &[]), Ok(()));
}

#[test]
fn operands_that_do_not_exist() {
    let missing = |ids: &[i64]| alone("negate", &f32s(&[4]), &ints(36, ids));
    check(&missing(&[9]), Err("no instruction with id 9 before its user"));
    check(&missing(&[2]), Err("no instruction with id 2 before its user"));
    check(&missing(&[-1]), Err("no instruction with id -1 before its user"));
    check(&missing(&[]), Err("negate x: wrong number of operands"));
    let late = alone("constant", &f32s(&[4]), &ints(37, &[7]));
    check(&late, Err("no instruction with id 7 before its user"));
}

#[test]
fn shapes_beyond_all_measure() {
    let huge = [i64::MAX, i64::MAX, 3];
    for dims in [&huge[..], &[1 << 62; 64], &[0, i64::MAX]] {
        let shape = array(11, dims);
        let comp = Comp::new(0, std::slice::from_ref(&shape)).add("y", "negate", &shape, &["p0"], &[]);
        check(&module(&[comp.add("x", "add", &shape, &["y", "y"], &[])], &[]), Ok(()));
    }
    check(&alone("custom-call", &f32s(&[4, -1]), &message(28, "t")), Err("a dimension is negative"));
    let nested = (0..200).fold(f32s(&[1]), |inner, _| tuple(&[inner]));
    check(&alone("custom-call", &nested, &message(28, "t")), Err("messages are nested too deeply"));
    let wide = tuple(&vec![f32s(&[1]); 100_000]);
    check(&alone("custom-call", &wide, &message(28, "t")), Ok(()));
    // Windows and groups whose sizes multiply beyond all measure, too.
    let window = message(1, [int(1, i64::MAX), int(2, i64::MIN), int(5, i64::MAX), int(6, -1)].concat());
    let windows = message(15, window.repeat(3));
    check(&alone("custom-call", &f32s(&[4]), &[message(28, "t"), windows].concat()), Ok(()));
    let groups = message(92, [int(1, 1 << 40), int(2, 1 << 40), ints(3, &[i64::MAX; 3]), ints(4, &[2, 1, 0])].concat());
    let gather = one(0, "all-gather", &f32s(&[4]), &["p0"], &[groups, ints(14, &[0])].concat());
    check(&module(&[gather], &[]), Err("replica groups and their iota dimensions disagree"));
    let tiles =
        message(40, [int(1, 3), ints(3, &[1 << 40; 4]), ints(9, &[1 << 40; 4]), ints(10, &[3, 2, 1, 0])].concat());
    check(&alone("custom-call", &f32s(&[4]), &[message(28, "t"), tiles].concat()), Ok(()));
}

#[test]
fn literals_of_four_gigabytes() {
    // The length of the numbers says four gigabytes, and there are three bytes.
    let cut = [message(1, f32s(&[1 << 30])), vec![8 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3]].concat();
    let proto = alone("constant", &f32s(&[1 << 30]), &message(8, cut));
    assert!(matches!(HloModule::from_hlo_proto(&proto), Err(HloError::Wire(_))));
    assert!(ask(&proto, &[("type", "pbtxt")]).is_err());
    // Other numbers than the shape says.
    let few = [message(1, f32s(&[1 << 32])), message(8, 1f32.to_le_bytes())].concat();
    check(
        &alone("constant", &f32s(&[1 << 32]), &message(8, few)),
        Err("literal has 1 numbers for 4294967296 elements"),
    );
    // Sixteen gigabytes of zeros, which take no room: their text ends at its limit.
    let zeros = alone("constant", &f32s(&[1 << 32]), &message(8, message(1, f32s(&[1 << 32]))));
    check(&zeros, Ok(()));
    let module = HloModule::from_hlo_proto(&zeros).expect("usable");
    assert_eq!(module_text(&module, PrintOptions::long(false), 1 << 16), Err(HloError::TextTooLarge(1 << 16)));
    let deep = (0..200).fold(message(1, f32s(&[1])), |inner, _| message(10, inner));
    check(&alone("constant", &f32s(&[1]), &message(8, deep)), Err("messages are nested too deeply"));
}
