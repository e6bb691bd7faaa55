//! Any bytes as a trace through the whole pipeline of every tool, asked for what the first four bytes say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xprof_core::answer::Format;
use xprof_core::tools::{Params, registry};
use xprof_core::xspace::{TraceBytes, XSpace};
use xprof_core::{Diag, pipeline};

fuzz_target!(|data: &[u8]| {
    let Some((choice, trace)) = data.split_first_chunk() else { return };
    let trace = TraceBytes::new(trace.to_vec().into());
    let params = params(*choice, &trace);
    let format = if choice[0] & 1 == 0 { Format::Native } else { Format::Csv };
    let traces = [("host".into(), trace)];
    for tool in registry::TOOLS {
        let _ = pipeline::answer(tool.name, &traces, &params, format, &mut Diag::new());
    }
});

/// Windows, searches, one event, groups and forms of the answer; each kind with a quarter of the choices.
fn params([flags, begin, end, event]: [u8; 4], trace: &TraceBytes) -> Params {
    let mut params = Params::new();
    let flag = |bit: u8| flags & bit != 0;
    params.insert("full_dma", flag(2).to_string());
    params.insert("search_metadata", flag(4).to_string());
    for (name, words) in
        [("group_by", ["", "category", "provenance", "program"]), ("memory_space", ["0", "1", "5", ""])]
    {
        params.insert(name, words[usize::from(flags >> 3 & 3)]);
    }
    if flag(32) {
        params.insert("format", "pb");
    }
    // The first few bytes of time are tried closely: windows inside of short traces, before and behind them, and reversed.
    let ms = |byte: u8| format!("{}", (f64::from(byte) - 64.0) * f64::from(event).exp2() / 1e9);
    match flags >> 6 {
        0 => {}
        1 => {
            params.insert("start_time_ms", ms(begin));
            params.insert("end_time_ms", ms(end));
            params.insert("resolution", u32::from(event).to_string());
        }
        kind => {
            if let Some(found) = Found::at(begin, end, event, trace) {
                found.ask(kind == 2, &mut params);
            }
        }
    }
    params
}

/// An event of the trace.
struct Found {
    name: String,
    begin_ps: u64,
    duration_ps: u64,
}

impl Found {
    fn at(plane: u8, line: u8, event: u8, trace: &TraceBytes) -> Option<Self> {
        let space = XSpace::read(trace.clone(), "fuzz", &mut Diag::new()).ok()?;
        let plane = space.planes.get(usize::from(plane) % space.planes.len().max(1))?;
        let line = plane.lines.get(usize::from(line) % plane.lines.len().max(1))?;
        let event = line.event(plane, usize::from(event) % line.events.len().max(1))?;
        Some(Self { name: event.name().to_string(), begin_ps: event.begin_ps(), duration_ps: event.duration_ps() })
    }

    fn ask(&self, by_prefix: bool, params: &mut Params) {
        if by_prefix {
            let prefix: String = self.name.chars().take(3).collect();
            params.insert("search_prefix", prefix);
        } else {
            params.insert("event_name", self.name.as_str());
            params.insert("start_time_ms", (self.begin_ps as f64 / 1e9).to_string());
            params.insert("duration_ms", (self.duration_ps as f64 / 1e9).to_string());
        }
    }
}
