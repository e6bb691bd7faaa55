//! Tests of the whole tool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::testing::Memory;
use super::*;
use crate::answer::Format;
use crate::artifact::Artifact as _;
use crate::fixture::{PlaneBuilder, SpaceBuilder, V};
use crate::hlo::testing::{array, int, message};
use crate::pipeline;
use crate::reduction::reduce_all;
use crate::xspace::TraceBytes;
use crate::xspace::schema::plane_names;

/// The answer for a trace with one module, `m(7)`.
fn answer(proto: &Bytes, query: &[(&str, &str)]) -> Result<Answer> {
    let mut plane = PlaneBuilder::new(0, plane_names::METADATA);
    plane.define_event("m(7)", "", &[("Hlo Proto", V::Bytes(proto))], Some(7));
    let mut space = SpaceBuilder::new("h");
    space.plane(plane);
    let traces = [(Arc::from("h"), TraceBytes::new(space.finish().into()))];
    let named = [("module_name", "m(7)")];
    let params = query.iter().chain(&named).copied().collect();
    pipeline::answer("memory_viewer", &traces, &params, Format::Native, &mut Diag::new())
}

fn check(memory: Memory, query: &[(&str, &str)], expect: &str) {
    let answer = answer(&memory.proto(), query).expect("an answer");
    assert_eq!(std::str::from_utf8(&answer.body), Ok(expect));
    assert_eq!(answer.content_type, "application/json");
}

#[test]
fn reads_options() {
    let check = |query: &[(&str, &str)], memory_space, timeline| {
        let options = MemoryViewer::options(&query.iter().copied().collect()).expect("valid");
        assert_eq!((options.memory_space, options.timeline), (memory_space, timeline), "{query:?}");
    };
    let timeline = "view_memory_allocation_timeline";
    check(&[], 0, false);
    check(&[("memory_space", " 5 "), (timeline, "")], 5, false);
    check(&[("memory_space", "+1"), (timeline, "false")], 1, true);
    check(&[("memory_space", "1x")], 0, false);
    check(&[("memory_space", "4294967297")], 0, false);
}

#[test]
fn writes_every_field() {
    let memory = Memory::default()
        .buffer(0, 1 << 20, 1, &[])
        .buffer(8, 2 << 20, 3, &[])
        .buffer(9, 100, 2, &[1])
        .allocation(0, 1 << 20, &[int(5, 1)], &[(0, 0), (99, 0)])
        .allocation(1, 4 << 20, &[], &[(8, 0), (9, 2 << 20)])
        .trace("+9 +8 -9 -8");
    let parameter = r#"{"numbered":0,"label":"p0: f32[4]{0} # ","logicalBufferSizeMib":1,"unpaddedShapeMib":1.52587890625e-05,"instructionName":"p0","shapeString":"f32[4]{0}","groupName":"Parameter","opCode":"parameter"}"#;
    let big = r#""label":"big: f32[8192]{0} # jit(f)/mul","logicalBufferId":8,"logicalBufferSizeMib":2,"unpaddedShapeMib":0.03125,"instructionName":"big","shapeString":"f32[8192]{0}","tfOpName":"jit(f)/mul","groupName":"Temporary","opCode":"fusion","sourceInfo":{"fileName":"f.py","lineNumber":7}}"#;
    let small = r#"{"numbered":2,"label":"small (\u003c16384 bytes)","logicalBufferId":-1,"logicalBufferSizeMib":9.5367431640625e-05}"#;
    let expect = [
        r#"{"heapSizes":[1,1.0000953674316406,3.0000953674316406,3,1],"unpaddedHeapSizes":[1,1.0000076293945312,1.0312576293945312,1.03125,1],"#,
        &format!(
            r#""maxHeap":[{parameter},{{"numbered":1,{big},{small}],"maxHeapBySize":[{{"numbered":1,{big},{parameter},{small}],"#
        ),
        r#""logicalBufferSpans":{"8":{"start":1,"limit":3},"9":{"limit":2}},"maxHeapToBySize":[1,0,2],"bySizeToMaxHeap":[1,0,2],"#,
        r#""moduleName":"m","entryComputationName":"main","peakHeapMib":3.0000953674316406,"peakUnpaddedHeapMib":1.0312576293945312,"peakHeapSizePosition":1,"#,
        r#""entryComputationParametersMib":1,"indefiniteLifetimes":[{"sizeMib":1,"attributes":["entry computation parameter","reusable"],"#,
        r#""logicalBuffers":[{"shape":"f32[4]{0}","sizeMib":9.5367431640625e-05,"hloName":"p0"},{"id":"99","sizeMib":9.5367431640625e-05}]}],"#,
        r#""totalBufferAllocationMib":5,"indefiniteBufferAllocationMib":1,"hloInstructionNames":["at +9","at +8","at -9","at -8",""],"#,
        r##""bufferBlocks":[{"logicalBufferId":-1,"name":"Temporary","size":4194304,"endStep":4,"category":"Temporary","color":"#ffffff"},"##,
        r##"{"logicalBufferId":8,"name":"big","size":2097152,"startStep":1,"endStep":3,"tfOpName":"jit(f)/mul","category":"Temporary","sourceInfo":{"fileName":"f.py","lineNumber":7},"shapeString":"f32[8192]{0}","unpaddedSize":32768,"color":"#2196f3"},"##,
        r##"{"logicalBufferId":9,"name":"t{1}","offset":2097152,"size":100,"endStep":2,"category":"Temporary","shapeString":"f32[2]{0}","unpaddedSize":8,"color":"#81c784"}]}"##,
    ];
    check(memory, &[], &expect.concat());
}

#[test]
fn says_little_of_modules_without_memory() {
    check(Memory::default(), &[], r#"{"moduleName":"m","entryComputationName":"main"}"#);
    check(Memory::default(), &[("memory_space", "1")], r#"{"moduleName":"m","entryComputationName":"main"}"#);
}

#[test]
fn answers_with_a_page() {
    let query = [("view_memory_allocation_timeline", "true")];
    let answer = answer(&Memory::default().proto(), &query).expect("an answer");
    assert_eq!(answer.content_type, "text/html");
    assert!(answer.body.starts_with(b"<html>"));
}

#[test]
fn reads_a_module_once_for_all_questions() {
    let memory = Memory::default().buffer(1, 9, 1, &[]).buffer(2, -9, 1, &[]);
    let proto = memory.allocation(0, 9, &[], &[(1, 0), (2, 0)]).proto();
    let head = [7u64, 4, proto.len() as u64].map(u64::to_le_bytes);
    let held =
        Arc::new(HostModules::decode([head.as_flattened(), b"m(7)", &proto[..]].concat().into()).expect("whole"));
    let ask = |space: &str| {
        let params = [("module_name", "m(7)"), ("memory_space", space)].into_iter().collect();
        let reduction = MemoryViewer::reduce(&MemoryViewer::options(&params).expect("valid"));
        let mut diag = Diag::new();
        let part = HostPart { host: "h".into(), artifact: Arc::clone(&held) };
        let usage = reduce_all(reduction, &[part], &mut diag).expect("usable");
        (usage.program, diag.problems().map(|p| p.count).sum::<u64>())
    };
    let ((first, n_problems), (second, n_again)) = (ask("0"), ask("1"));
    assert!(Arc::ptr_eq(&first, &second), "read twice");
    assert_eq!((n_problems, n_again), (1, 1), "each answer tells of the module's problems");
}

#[test]
fn says_what_is_wrong() {
    let check = |proto: &Bytes, expect: &str| {
        assert_eq!(answer(proto, &[]).expect_err("no answer").to_string(), expect);
    };
    let freed = Memory::default().buffer(1, 9, 1, &[]).allocation(0, 9, &[], &[(1, 0)]).trace("-1");
    check(
        &freed.proto(),
        "the heap trace of the module contradicts itself: buffer 1 is freed more often than it is used",
    );
    let damaged = [message(1, message(1, "m")), message(3, [0x0a, 9])].concat();
    check(&damaged.into(), "the HLO proto cannot be read: the bytes are not a protobuf message");
}

#[test]
fn sizes_and_ids_may_be_absurd() {
    let mut memory = Memory::default();
    for id in [i64::MIN, -1, i64::MAX] {
        memory = memory.buffer(id, i64::MAX, i64::MAX, &[i64::MAX]).buffer(id ^ 1, i64::MAX, 2, &[i64::MIN]);
        memory = memory.allocation(id, i64::MAX, &[int(8, id)], &[(id ^ 1, i64::MIN), (id, i64::MAX)]);
        memory = memory.allocation(id, i64::MAX, &[], &[(id ^ 1, i64::MAX), (id ^ 1, i64::MIN)]);
    }
    let events = format!("+{0} +{0} +{0} -{0}", i64::MAX ^ 1);
    let proto = memory.trace(&events).proto();
    for query in [&[][..], &[("memory_space", "-1")], &[("view_memory_allocation_timeline", "1")]] {
        assert!(answer(&proto, query).is_ok_and(|answer| !answer.body.is_empty()), "{query:?}");
    }
}

/// As many arrays as instructions: the heap grows with each, and in the end all share the memory of the first one.
#[test]
fn large_modules_stay_fast() {
    const N: i64 = 200_000;
    let shape = array(11, &[8192]);
    let (mut instructions, mut assignment, mut assigned, mut events) = (vec![], vec![], vec![], vec![]);
    for id in 1..=N {
        let fields = [message(1, format!("fusion.{id}")), message(2, "fusion"), message(3, &shape), int(35, id)];
        instructions.extend(message(2, fields.concat()));
        assignment.extend(message(1, [int(1, id), int(2, 32_768), message(3, int(4, id))].concat()));
        assigned.extend(message(9, [int(1, id), int(2, id * 32_768), int(3, 32_768)].concat()));
        events.extend(message(1, int(2, id)));
    }
    for id in (1..=N).rev() {
        events.extend(message(1, [int(1, 1), int(2, id)].concat()));
    }
    for id in 2..=N {
        events.extend(message(1, [int(1, 2), int(2, id), int(5, 1)].concat()));
    }
    assignment.extend(message(3, [int(2, N * 32_768), assigned].concat()));
    assignment.extend(message(4, events));
    let module = [message(1, "m"), message(3, instructions)].concat();
    let proto = Bytes::from([message(1, module), message(3, assignment)].concat());
    let begin = Instant::now();
    let json = answer(&proto, &[]).expect("an answer").body;
    let page = answer(&proto, &[("view_memory_allocation_timeline", "1")]).expect("an answer").body;
    // Quadratic work would take minutes even with optimisation; a debug build takes some seconds.
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    assert!(json.len() > 100 * N as usize && page.len() > 1000);
}
