//! Compares answers about HLO modules with those of the original: texts, protos, neighbours, graphs, memory.
//!
//! `tests/oracle/record_programs.py` runs many JAX programs and records a trace, questions and answers into
//! `target/oracle/programs`. Where nothing is recorded the test is skipped.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use xprof_core::Diag;
use xprof_core::answer::Format;
use xprof_core::artifact::{AnyArtifact, Artifact as _};
use xprof_core::prep::Prepared;
use xprof_core::tools::hlo_module::HostModules;
use xprof_core::tools::{Params, registry};
use xprof_core::xspace::TraceBytes;
use xprof_skip::{Need, skip};

/// How many differences of a kind are printed.
const N_SHOWN: usize = 8;
/// So many answers of the original a recording has at least, errors not counted: else it shows little.
const N_LEAST: usize = 5000;

#[test]
fn answers_about_programs_equal_the_original() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/oracle/programs");
    let Ok(index) = std::fs::read_to_string(folder.join("answers.jsonl")) else {
        let reason = "nothing is recorded in target/oracle/programs, see tests/oracle/record_programs.py";
        return skip(Need::Programs, reason);
    };
    let host = prepared(&folder.join("host0.xplane.pb"));
    let mut table: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut n_answered = 0;
    for (n, line) in index.lines().enumerate() {
        let question = Question::read(line, folder.join(n.to_string()));
        let difference = question.difference(&host);
        n_answered += usize::from(question.is_answered);
        let counts = table.entry(question.kind()).or_default();
        counts[usize::from(difference.is_some())] += 1;
        if let Some(difference) = difference {
            if counts[1] <= N_SHOWN {
                println!("{n} {:?}\n{difference}", question.params);
            }
            failures.push(n);
        }
    }
    println!("{:40}{:>7}{:>7}", "", "same", "differ");
    table.iter().for_each(|(kind, [same, differ])| println!("{kind:40}{same:>7}{differ:>7}"));
    assert!(failures.is_empty(), "{} answers differ", failures.len());
    assert!(n_answered >= N_LEAST, "only {n_answered} answers are recorded, which shows little");
}

fn prepared(trace: &Path) -> Prepared {
    Prepared::catalog(TraceBytes::new(std::fs::read(trace).unwrap().into()), "host0", &mut Diag::new()).unwrap()
}

/// One question with the original's answer.
struct Question {
    params: Params,
    is_answered: bool,
    body: PathBuf,
}

impl Question {
    fn read(line: &str, body: PathBuf) -> Self {
        let line: Value = serde_json::from_str(line).unwrap();
        let params = line["question"].as_object().unwrap();
        let params = params.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        Self { params, is_answered: line["status"] == 200, body }
    }

    /// What the table counts together.
    fn kind(&self) -> String {
        let of = |name| self.params.get(name).unwrap_or_default();
        let flag = |name: &str| if self.params.get(name) == Some("true") { format!(" {name}") } else { String::new() };
        let flags = ["show_metadata", "merge_fusion", "view_memory_allocation_timeline"].map(flag).concat();
        format!("{} {} {}{flags}", of("tag"), of("type"), of("format"))
    }

    /// Our answer to a question about the modules of a host.
    fn ask(&self, part: &AnyArtifact) -> Result<Vec<u8>, String> {
        let tool = registry::find(self.params.get("tag").unwrap()).unwrap();
        let parts = [(Arc::from("host0"), part.clone())];
        let answer = tool.finish(&parts, &self.params, Format::Native, &mut Diag::new());
        answer.map(|answer| answer.body.to_vec()).map_err(|e| e.to_string())
    }

    /// In which way our answer is another one.
    fn difference(&self, host: &Prepared) -> Option<String> {
        let tool = registry::find(self.params.get("tag").unwrap()).unwrap();
        let part = tool.map(host, &self.params, &mut Diag::new()).unwrap();
        let theirs = std::fs::read(&self.body).unwrap();
        let ours = match self.ask(&part) {
            Ok(ours) if self.is_answered => ours,
            Err(_) if !self.is_answered => return None,
            Err(reason) if self.is_whole_module(&theirs) && says_what_is_wrong(&reason) => return None,
            Ok(_) => return Some(format!("    answered, instead of {}", String::from_utf8_lossy(&theirs))),
            Err(reason) => return Some(format!("    not answered: {reason}")),
        };
        let (ours, theirs) = match self.params.get("type") {
            // The original writes maps in the order of a hash table: both are written once more by us.
            Some("pb") => (ours, self.ask(&module(self.params.get("module_name").unwrap(), &theirs)).unwrap()),
            Some("json") => (proto_json(&ours), proto_json(&theirs)),
            Some("graph") if self.params.get("format") == Some("html") => {
                (plain_dot(&in_page(&ours)), plain_dot(&in_page(&theirs)))
            }
            Some("graph") => (plain_dot(&ours), plain_dot(&theirs)),
            None if self.params.get("view_memory_allocation_timeline").is_some() => (in_page(&ours), in_page(&theirs)),
            None => (sorted_json(&ours), sorted_json(&theirs)),
            Some(_) => (ours, theirs),
        };
        (ours != theirs).then(|| first_difference(&String::from_utf8_lossy(&ours), &String::from_utf8_lossy(&theirs)))
    }
}

impl Question {
    /// Whether the original answers a question about a custom call with the text of the whole module: `docs/divergences.md`.
    fn is_whole_module(&self, theirs: &[u8]) -> bool {
        self.params.get("type") == Some("custom_call") && theirs.starts_with(b"HloModule ")
    }
}

/// Whether an error names one of the causes for which the original falls back to the whole module.
fn says_what_is_wrong(reason: &str) -> bool {
    ["Couldn't find HloInstruction", "the backend config is not JSON"].iter().any(|cause| reason.starts_with(cause))
}

/// The artifact of a host that holds this module.
fn module(name: &str, proto: &[u8]) -> AnyArtifact {
    let head = [1, name.len() as u64, proto.len() as u64].map(u64::to_le_bytes);
    AnyArtifact::new(HostModules::decode([head.as_flattened(), name.as_bytes(), proto].concat().into()).unwrap())
}

/// JSON with one member a line, and maps sorted.
fn sorted_json(body: &[u8]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(body).unwrap();
    value.sort_all_objects();
    serde_json::to_vec_pretty(&value).unwrap()
}

/// The same of a proto, in which numbers may be written in more than one way.
fn proto_json(body: &[u8]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(body).unwrap();
    value.sort_all_objects();
    let mut open = vec![&mut value];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(parts) => open.extend(parts),
            Value::Object(members) => open.extend(members.values_mut()),
            Value::Number(number) => *value = plain_number(number.as_f64().unwrap()).into(),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    serde_json::to_vec_pretty(&value).unwrap()
}

/// A number of up to nine digits may be one of 32 bits, for which eight can be enough.
fn plain_number(number: f64) -> f64 {
    let n_digits = format!("{number:e}").split('e').next().unwrap().bytes().filter(u8::is_ascii_digit).count();
    if n_digits <= 9 { f64::from(number as f32) } else { number }
}

/// The graph in a page, which is between backticks.
fn in_page(body: &[u8]) -> Vec<u8> {
    let page = String::from_utf8_lossy(body);
    let from = page.split_once("const data = `").map_or(&*page, |(_, rest)| rest);
    let graph = from.split_once("`;").map_or(from, |(graph, _)| graph);
    graph.replace("\\\\", "\\").into_bytes()
}

/// A graph without what is random in the original: addresses as names of nodes become numbers in the order in which they are
/// first met, the callers in the title are sorted. The style sheet goes, and so do comments. The original leaves `&` as it is.
fn plain_dot(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body).replace("&amp;", "&");
    let mut numbers = HashMap::new();
    let mut out = String::new();
    let mut is_style = false;
    for line in text.lines() {
        is_style |= line == "stylesheet=<";
        if !is_style && !line.is_empty() && !line.starts_with("//") {
            out += &plain_line(line, &mut numbers);
            out.push('\n');
        }
        is_style &= line != ">";
    }
    out.into_bytes()
}

fn plain_line(line: &str, numbers: &mut HashMap<String, usize>) -> String {
    if let Some((before, callers)) = line.split_once("Caller instructions: ") {
        let (callers, after) = callers.split_once("</b>").unwrap();
        let mut callers: Vec<&str> = callers.split(", ").collect();
        callers.sort_unstable();
        return format!("{before}Caller instructions: {}</b>{after}", callers.join(", "));
    }
    let is_cluster = line.starts_with("subgraph ") || line.starts_with("}  // ");
    // Names stand before the attributes, and in `ltail`.
    let (names, attributes) = if is_cluster { (line, "") } else { line.split_at(line.find(" [").unwrap_or(0)) };
    let (before, tail) = attributes.split_once("ltail=\"").map_or((attributes, None), |(b, t)| (b, t.split_once('"')));
    let mut number = |name: &str| {
        let next = numbers.len();
        format!("n{}", numbers.entry(name.to_owned()).or_insert(next))
    };
    let words: Vec<String> = names
        .split(' ')
        .map(|word| {
            let is_number = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
            if is_number || word.starts_with("cluster_") { number(word) } else { word.to_owned() }
        })
        .collect();
    let tail = tail.map(|(name, rest)| format!("ltail={}{rest}", number(name))).unwrap_or_default();
    words.join(" ") + before + &tail
}

/// The first line in which two texts differ, from shortly before the place.
fn first_difference(ours: &str, theirs: &str) -> String {
    let n_same = ours.lines().zip(theirs.lines()).take_while(|(a, b)| a == b).count();
    let line = |text: &str| text.lines().nth(n_same).unwrap_or("(end)").to_owned();
    let (a, b) = (line(ours), line(theirs));
    let at = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count().saturating_sub(60);
    let short = |text: &str| text.chars().skip(at).take(240).collect::<String>();
    format!("    line {}\n    ours   {}\n    theirs {}", n_same + 1, short(&a), short(&b))
}
