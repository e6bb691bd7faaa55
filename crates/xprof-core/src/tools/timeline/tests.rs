//! The answers of the timeline, on small traces and beside those of `trace_viewer@`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{MAGIC, Timeline, block};
use crate::answer::{Answer, Format};
use crate::fixture::{PlaneBuilder, SpaceBuilder, TpuSession, V, generate_host};
use crate::prep::Prepared;
use crate::tools::trace_viewer::StreamingTraceViewer;
use crate::tools::{HostPart, Params, Tool};
use crate::xspace::TraceBytes;
use crate::{Diag, Result};

/// One block, read again.
struct Read {
    header: Value,
    columns: BTreeMap<String, Vec<f64>>,
}

impl Read {
    fn of(bytes: &[u8]) -> Self {
        let (header, columns) = block::describe(bytes).unwrap();
        let numbers = |kind: &str, bytes: &[u8]| -> Vec<f64> {
            match kind {
                "u8" => bytes.iter().map(|&b| f64::from(b)).collect(),
                "u32" => bytes.chunks(4).map(|b| f64::from(u32::from_le_bytes(*b.first_chunk().unwrap()))).collect(),
                _ => bytes.chunks(8).map(|b| f64::from_le_bytes(*b.first_chunk().unwrap())).collect(),
            }
        };
        let columns = columns.into_iter().map(|(name, kind, bytes)| (name, numbers(&kind, bytes))).collect();
        Self { header, columns }
    }

    fn names(&self, column: &str) -> Vec<&str> {
        self.columns[column].iter().map(|&i| self.header["names"][i as usize].as_str().unwrap()).collect()
    }
}

fn prepared(trace: Vec<u8>) -> Prepared {
    Prepared::read(TraceBytes::new(trace.into()), "host", &mut Diag::new()).unwrap()
}

fn ask(host: &Prepared, params: &[(&str, &str)]) -> Result<Read> {
    let query = Timeline::options(&params.iter().copied().collect())?;
    let block = Timeline::map(host, &query, &mut Diag::new())?;
    Ok(Read::of(block.bytes()))
}

/// A host thread with nested events, an asynchronous pair on the device, and a counter with two arguments.
fn small() -> Prepared {
    let mut host = PlaneBuilder::new(0, "/host:CPU");
    host.line(7, "main", 1, |line| {
        // Absolute times begin at 1 ns.
        line.event("outer", 0, 1000, &[]);
        line.event("inner", 100, 300, &[("note", V::Str("first"))]);
        line.event("inner", 500, 100, &[("bytes", V::Uint(1 << 60)), ("ratio", V::Double(0.5))]);
        line.event("Outer again", 1000, 500, &[]);
    });
    host.line(0, "_counters_", 1, |line| {
        for (at, used) in [(0, 4), (600, 9), (1200, 2)] {
            line.event("memory", at, 0, &[("used", V::Uint(used)), ("free", V::Int(-1)), ("of", V::Str("HBM"))]);
        }
    });
    let mut device = PlaneBuilder::new(0, "/device:TPU:0");
    let flow = |direction: u64| ("flow", V::Uint(direction | 77 << 2));
    device.line(3, "Async", 1, |line| {
        line.event("copy", 0, 900, &[("_a", V::Int(1)), flow(2)]);
        line.event("copy", 100, 900, &[("_a", V::Int(1)), flow(1)]);
    });
    let mut space = SpaceBuilder::new("host");
    space.plane(host).plane(device);
    prepared(space.finish())
}

#[test]
fn a_window_shows_every_row() {
    let window = ask(&small(), &[]).unwrap();
    let header = &window.header;
    assert_eq!((&header["min_ps"], &header["max_ps"], &header["tick_ps"]), (&"1000".into(), &"2500".into(), &1.into()));
    let rows = header["rows"].as_array().unwrap().iter();
    let rows: Vec<String> =
        rows.map(|r| format!("{} {} {} {}", r["process"], r["id"], r["name"], r["lanes"])).collect();
    assert_eq!(
        rows,
        [
            r#"0 "a" "Asynchronous" 2"#,
            r#"1 "7" "main" 2"#,
            r#"1 "cmemory · used" "memory · used" 0"#,
            r#"1 "cmemory · free" "memory · free" 0"#
        ]
    );
    let c = &window.columns;
    assert_eq!(c["row_end"], [2.0, 6.0, 6.0, 6.0]);
    assert_eq!(window.names("name"), ["copy", "copy", "outer", "inner", "inner", "Outer again"]);
    assert_eq!(c["start"], [0.0, 100.0, 0.0, 100.0, 500.0, 1000.0]);
    assert_eq!(c["duration"], [900.0, 900.0, 1000.0, 300.0, 100.0, 500.0]);
    assert_eq!(c["lane"], [0.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
    assert_eq!((&c["flow_event"][..], &c["flow_direction"][..]), (&[0.0, 1.0][..], &[2.0, 1.0][..]));
    assert_eq!(c["flow"][0], c["flow"][1]);
    assert_eq!((&c["sample_end"][..], &c["sample_high"][..3]), (&[0.0, 0.0, 3.0, 6.0][..], &[4.0, 9.0, 2.0][..]));
}

#[test]
fn what_sticks_out_of_a_window_keeps_its_times() {
    let window = ask(&small(), &[("begin_ps", "1600"), ("end_ps", "2100")]).unwrap();
    let c = &window.columns;
    // "inner" ends where the window begins; the sample that holds is taken at just that time.
    assert_eq!(window.names("name"), ["copy", "copy", "outer", "Outer again"]);
    assert_eq!((&c["start"][..], &c["duration"][..]), (&[0.0, 0.0, 0.0, 400.0][..], &[300.0, 400.0, 400.0, 100.0][..]));
    assert_eq!(c["outside_begin_ps"], [-600.0, -500.0, -600.0, 400.0]);
    assert_eq!(c["outside_end_ps"], [300.0, 400.0, 400.0, 900.0]);
    assert_eq!(c["sample_high"], [9.0, -1.0]);
}

#[test]
fn search_counts_all_and_lists_the_first() {
    let found = ask(&small(), &[("search", "OUTER"), ("limit", "1")]).unwrap();
    assert_eq!(found.header["n"], 2);
    assert_eq!(found.header["names"], serde_json::json!(["outer", "Outer again"]));
    let c = &found.columns;
    assert_eq!((&c["name_count"][..], &c["name_total_ps"][..]), (&[1.0, 1.0][..], &[1000.0, 500.0][..]));
    assert_eq!((&c["row"][..], &c["position"][..], &c["begin_ps"][..]), (&[1.0][..], &[0.0][..], &[0.0][..]));
    assert_eq!(ask(&small(), &[("search", "nothing")]).unwrap().header["n"], 0);
}

#[test]
fn an_area_adds_up_what_lies_inside() {
    let area = ask(&small(), &[("area", "0-99"), ("begin_ps", "1200"), ("end_ps", "1550")]).unwrap();
    let c = &area.columns;
    assert_eq!(area.header["names"], serde_json::json!(["copy", "outer", "inner"]));
    assert_eq!(c["count"], [2.0, 1.0, 2.0]);
    assert_eq!(c["total_ps"], [700.0, 350.0, 250.0]);
    assert_eq!(c["self_ps"], [700.0, 100.0, 250.0]);
    assert_eq!(c["max_ps"], [900.0, 1000.0, 300.0]);
    // No sample lies inside.
    assert_eq!(c["counter_row"], [] as [f64; 0]);
    let rows = ask(&small(), &[("area", "2")]).unwrap();
    assert_eq!((&rows.columns["counter_mean"][..], &rows.columns["counter_high"][..]), (&[5.0][..], &[9.0][..]));
    assert_eq!(rows.columns["count"], [] as [f64; 0]);
}

#[test]
fn an_event_tells_everything() {
    let host = small();
    let event = ask(&host, &[("event", "1.2")]).unwrap().header;
    assert_eq!(
        (&event["name"], &event["begin_ps"], &event["duration_ps"]),
        (&"inner".into(), &"1500".into(), &"100".into())
    );
    assert_eq!(event["args"], serde_json::json!([["bytes", "1152921504606846976"], ["ratio", 0.5]]));
    assert_eq!((&event["parents"][0]["name"], &event["linked"]), (&"outer".into(), &serde_json::json!([])));
    let copy = ask(&host, &[("event", "0.0")]).unwrap().header;
    let linked = &copy["linked"][0];
    assert_eq!((&linked["row"], &linked["position"], &linked["direction"]), (&0.into(), &1.into(), &1.into()));
    for missing in ["1.4", "9.0", "2.0"] {
        let error = ask(&host, &[("event", missing)]).err().unwrap();
        assert_eq!(error.code(), "not_found", "{error}");
    }
}

#[test]
fn hosts_follow_one_another() {
    let host = small();
    let query = Timeline::options(&Params::new()).unwrap();
    let block = std::sync::Arc::new(Timeline::map(&host, &query, &mut Diag::new()).unwrap());
    let part = |host: &str| HostPart { host: host.into(), artifact: block.clone() };
    let mut out = Answer::new(Format::Native);
    Timeline::render(&vec![part("a"), part("b")], &query, &mut out).unwrap();
    let body = out.finish().unwrap().body;
    assert_eq!(body, [&MAGIC[..], block.bytes(), block.bytes()].concat());
}

/// Name, begin and duration in ps of every slice that `trace_viewer@` draws, sorted.
fn slices_of_trace_viewer(host: &Prepared) -> Vec<(String, u64, u64)> {
    let options = StreamingTraceViewer::options(&Params::new()).unwrap();
    let window = StreamingTraceViewer::map(host, &options, &mut Diag::new()).unwrap();
    let mut out = Answer::new(Format::Native);
    let part = HostPart { host: "host".into(), artifact: window.into() };
    StreamingTraceViewer::render(&vec![part], &options, &mut out).unwrap();
    let json: Value = serde_json::from_slice(&out.finish().unwrap().body).unwrap();
    let ps = |event: &Value, key: &str| (event[key].as_f64().unwrap() * 1e6).round() as u64;
    let events = json["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == "X");
    let mut slices: Vec<_> =
        events.map(|e| (e["name"].as_str().unwrap().to_owned(), ps(e, "ts"), ps(e, "dur"))).collect();
    slices.sort();
    slices
}

#[test]
fn shows_the_slices_of_the_trace_viewer() {
    let host = prepared(generate_host(&TpuSession::of_size(1, 60_000), 0));
    // So fine that nothing is merged.
    let window = ask(&host, &[("resolution", "131072"), ("begin_ps", "0"), ("end_ps", "131071")]).unwrap();
    assert_eq!(window.header["part_ps"], 0);
    let (min, max) = (window.header["min_ps"].as_str().unwrap(), window.header["max_ps"].as_str().unwrap());
    let (min, max): (u64, u64) = (min.parse().unwrap(), max.parse().unwrap());
    let mut ours = Vec::new();
    let n_rows = window.header["rows"].as_array().unwrap().len();
    for row in (0..n_rows).filter(|&row| window.header["rows"][row]["kind"] == "thread") {
        for position in 0..window.header["rows"][row]["n"].as_u64().unwrap() {
            let event = ask(&host, &[("event", &format!("{row}.{position}"))]).unwrap().header;
            let number = |key: &str| event[key].as_str().unwrap().parse::<u64>().unwrap();
            ours.push((event["name"].as_str().unwrap().to_owned(), number("begin_ps"), number("duration_ps").max(1)));
        }
    }
    ours.sort();
    let theirs = slices_of_trace_viewer(&host);
    assert!(theirs.len() > 500, "{}", theirs.len());
    assert_eq!(ours, theirs);

    let op = first_op(&host, &window);
    assert!(op["module"].as_str().unwrap().starts_with("jit_train_step("), "{op}");
    // At any resolution every event is in one box, and the whole is covered.
    for resolution in ["1", "30", "1000"] {
        let whole = ask(&host, &[("resolution", resolution)]).unwrap();
        let counted: f64 = whole.columns["count"].iter().sum();
        let rows = whole.header["rows"].as_array().unwrap().iter();
        let events: u64 = rows.filter(|r| r["kind"] != "counter").map(|r| r["n"].as_u64().unwrap()).sum();
        assert_eq!(counted as u64, events, "{resolution}");
        assert!(
            whole.columns["start"].iter().zip(&whole.columns["duration"]).all(|(s, d)| s + d <= (max - min) as f64)
        );
    }
}

/// The first event on a row of ops.
fn first_op(host: &Prepared, window: &Read) -> Value {
    let rows = window.header["rows"].as_array().unwrap();
    let row = rows.iter().position(|row| row["name"] == "XLA Ops").unwrap();
    ask(host, &[("event", &format!("{row}.0"))]).unwrap().header
}
