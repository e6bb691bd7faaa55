//! Files beyond 2 GiB, and a line beyond 4 GiB, whose events are found by wider numbers: they are answered as a small one is.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use xprof_core::fixture::{TpuSession, generate_host};
use xprof_core::wire::{Fields, Value, offset_in};
use xprof_skip::{Need, skip};
use xprof_tests::{Cluster, LogDir};

const PLANES: u32 = 1;
const LINES: u32 = 3;
const EVENTS: u32 = 4;
/// No field of a line.
const UNKNOWN: u32 = 100;

/// The fields of that number in a message, each with the place of its tag.
fn parts(message: &[u8], number: u32) -> Vec<(usize, &[u8])> {
    let (mut fields, mut parts) = (Fields::new(message), Vec::new());
    loop {
        let at = fields.position();
        match fields.next_field().unwrap() {
            None => return parts,
            Some(field) if field.number == number => match field.value {
                Value::Bytes(part) => parts.push((at, part)),
                other => panic!("{other:?}"),
            },
            Some(_) => {}
        }
    }
}

/// The tag and the length of a field of bytes.
fn head(number: u32, len: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for mut value in [u64::from(number) << 3 | 2, len] {
        while value > 0x7f {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }
    out
}

/// The two ends of a trace in which the line of the most bytes begins with an unknown field of `gap` bytes, which lie between.
fn with_gap(trace: &[u8], gap: u64) -> (Vec<u8>, Vec<u8>) {
    let lines = parts(trace, PLANES).into_iter().flat_map(|(plane_at, plane)| {
        parts(plane, LINES).into_iter().map(move |(line_at, line)| (plane_at, plane, line_at, line))
    });
    let (plane_at, plane, line_at, line) = lines.max_by_key(|(_, _, _, line)| line.len()).unwrap();
    assert!(parts(line, EVENTS).len() > 100, "the line has events behind the gap");
    let behind = &plane[offset_in(plane, line) + line.len()..];

    let gap_head = head(UNKNOWN, gap);
    let line_len = gap_head.len() as u64 + gap + line.len() as u64;
    let line_head = head(LINES, line_len);
    let plane_len = line_at as u64 + line_head.len() as u64 + line_len + behind.len() as u64;
    let begin = [&trace[..plane_at], &head(PLANES, plane_len), &plane[..line_at], &line_head, &gap_head].concat();
    let end = &trace[offset_in(trace, plane) + plane.len()..];
    (begin, [line, behind, end].concat())
}

/// Writes the trace without what is between its ends; whether the file takes no more room than they do.
fn write_sparse(path: &Path, (begin, end): &(Vec<u8>, Vec<u8>), gap: u64) -> bool {
    let mut file = File::create(path).unwrap();
    // Asked first with the whole gap and nothing behind it, where another file system would begin to write zeros.
    file.set_len(begin.len() as u64 + gap).unwrap();
    file.write_all(begin).unwrap();
    if file.metadata().unwrap().blocks() * 512 > 64 << 20 {
        return false;
    }
    file.seek(SeekFrom::Current(gap as i64)).unwrap();
    file.write_all(end).unwrap();
    file.metadata().unwrap().blocks() * 512 < 64 << 20
}

#[test]
fn large_files_and_lines_are_answered_as_small_ones() {
    let trace = generate_host(&TpuSession::default(), 0);
    let logdir = LogDir::new();
    let gaps = [("small", 10), ("file_above_2_gib", (2 << 30) + 7), ("line_above_4_gib", (4 << 30) + 7)];
    for (run, gap) in gaps {
        let path = logdir.run(run).join("host0.xplane.pb");
        if !write_sparse(&path, &with_gap(&trace, gap), gap) {
            return skip(Need::SparseFiles, &format!("{} has no sparse files", logdir.path().display()));
        }
    }
    let cluster = Cluster::with_flags(logdir.path(), 0, &["--memory_budget=32GiB"]);
    for query in ["tag=overview_page", "tag=op_profile", "tag=trace_viewer", "tag=trace_viewer@&resolution=0"] {
        let [small, wide @ ..] = gaps.map(|(run, _)| cluster.get(&format!("/data?run={run}&host=host0&{query}")));
        assert_eq!((small.status, small.header("x-xprof-problems")), (200, ""), "{query}: {}", small.text());
        for ((run, _), answer) in gaps[1..].iter().zip(wide) {
            assert_eq!(answer.status, 200, "{run} {query}: {}", answer.text());
            assert!(answer.body == small.body, "{run} {query} is answered otherwise than the small trace");
        }
    }
}
