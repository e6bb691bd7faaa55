//! Reads every module of the shared trace corpus, where that is at hand.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use xprof_skip::{Need, skip};

use super::{HloModuleFacts, module_name_of};
use crate::wire::{Fields, Value};

/// The bytes fields of that number in a message.
fn parts(data: &[u8], number: u32) -> Vec<&[u8]> {
    let fields = Fields::new(data).filter_map(Result::ok).filter(|field| field.number == number);
    fields.filter_map(|field| if let Value::Bytes(part) = field.value { Some(part) } else { None }).collect()
}

/// The HLO protos in the metadata planes of a trace: every bytes value of an event metadata's stats.
fn hlo_protos(trace: &[u8]) -> Vec<Bytes> {
    let planes = parts(trace, 1).into_iter().filter(|plane| parts(plane, 2).first() == Some(&&b"/host:metadata"[..]));
    let events = planes.flat_map(|plane| parts(plane, 4)).flat_map(|entry| parts(entry, 2));
    events.flat_map(|event| parts(event, 5)).flat_map(|stat| parts(stat, 6)).map(Bytes::copy_from_slice).collect()
}

fn traces(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            traces(&path, found);
        } else if path.to_string_lossy().ends_with(".xplane.pb") {
            found.push(path);
        }
    }
}

/// What reading a corpus found.
#[derive(Debug, Default, PartialEq)]
struct Found {
    modules: usize,
    instructions: usize,
    with_costs: usize,
}

fn check(logdir: &str, expect: &Found) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus").join(logdir);
    let mut paths = Vec::new();
    traces(&root, &mut paths);
    if paths.is_empty() {
        return skip(Need::Corpus, &format!("there are no traces in {}", root.display()));
    }
    let mut found = Found::default();
    for path in paths {
        for proto in hlo_protos(&std::fs::read(&path).expect("a readable trace")) {
            let name = module_name_of(&proto).expect("a name").to_owned();
            let facts = HloModuleFacts::from_proto(&proto, true).unwrap_or_else(|e| panic!("{name}: {e}"));
            found.modules += 1;
            for instruction in facts.module().computations.iter().flat_map(|c| &c.instructions) {
                let instruction = facts.find(&instruction.name).expect("every instruction is found by its name");
                assert!(instruction.expression().starts_with(&format!("%{} = ", instruction.name())));
                assert!(!instruction.category().is_empty());
                found.instructions += 1;
                found.with_costs += usize::from(instruction.costs().is_some());
            }
        }
    }
    assert_eq!(&found, expect);
}

#[test]
fn reads_every_real_module() {
    check("logdir", &Found { modules: 106, instructions: 7747, with_costs: 7711 });
}

#[test]
fn reads_every_synthetic_module() {
    check("logdir_synth", &Found { modules: 59, instructions: 11192, with_costs: 10910 });
}
