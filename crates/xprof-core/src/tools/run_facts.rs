//! Which tools a trace can answer, which programs it holds and what it was taken on: read from names and metadata, without
//! its events.
//!
//! Takes the bytes of one trace; gives what `/run_tools`, `/module_list` and `/run_list` are made of.

use crate::opstats::build::devices;
use crate::tools::hlo_module;
use crate::xspace::schema::plane_names;
use crate::xspace::{Plane, StatKind, TraceBytes, XSpace};
use crate::{Diag, Result};

/// What one trace says about its run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFacts {
    /// Tools that this trace can answer, in the reference's order.
    pub tools: Vec<String>,
    /// HLO modules as `NAME(PROGRAM_ID)`, in the order of the trace, each once.
    pub modules: Vec<String>,
    /// What the host's devices are.
    pub device: String,
    /// How long the profiler recorded; nothing if the trace does not say so.
    pub duration_ns: Option<u64>,
}

/// The plane on which the profiler says when it began and ended, in nanoseconds since 1970.
const ENVIRONMENT: &str = "Task Environment";
const BEGAN: &str = "profile_start_time";
const ENDED: &str = "profile_stop_time";

/// Tools that every trace can answer.
const ALWAYS: [&str; 8] = [
    "trace_viewer@",
    "overview_page",
    "input_pipeline_analyzer",
    "framework_op_stats",
    "memory_profile",
    "op_profile",
    "hlo_stats",
    "roofline_model",
];
const COUNTER_TOOLS: [&str; 3] = ["perf_counters", "utilization_viewer", "kernel_utilization"];

/// Reads the facts of one trace. `file` is how the user knows it, for errors.
pub fn run_facts(trace: &TraceBytes, file: &str) -> Result<RunFacts> {
    let mut diag = Diag::new();
    let space = XSpace::read_catalog(trace.clone(), file, may_have_counters, &mut diag)?;
    let mut tools: Vec<&str> = ALWAYS.to_vec();
    if space.planes_with_prefix(plane_names::GPU_PREFIX).next().is_some() {
        tools.push("kernel_stats");
    }
    if space.plane(plane_names::METADATA).is_some_and(|p| p.stat_metadata.iter().any(|m| m.name == "Hlo Proto")) {
        tools.extend(["memory_viewer", "graph_viewer"]);
    }
    let has_megascale = space
        .plane(plane_names::HOST_CPU)
        .is_some_and(|p| p.event_metadata.iter().any(|m| m.name.starts_with("MegaScale:")));
    if has_megascale {
        tools.push("megascale_stats");
    }
    if has_counters(&space) {
        tools.extend(COUNTER_TOOLS);
    }
    Ok(RunFacts {
        tools: tools.into_iter().map(str::to_owned).collect(),
        modules: hlo_module::modules(&space).map(|m| m.name).collect(),
        device: devices(&space).0,
        duration_ns: space.plane(ENVIRONMENT).and_then(duration_ns),
    })
}

fn duration_ns(environment: &Plane) -> Option<u64> {
    let stat = |name: &str| {
        let mut stats = environment.keyed_stats();
        let found = stats.find(|(id, _)| environment.stat_metadata(*id).is_some_and(|m| m.name == name));
        found.map(|(_, value)| value.int_or_uint())
    };
    stat(ENDED)?.checked_sub(stat(BEGAN)?)
}

/// Only counters are worth a look at events, and only planes that declare the stat can have them.
fn may_have_counters(plane: &Plane) -> bool {
    plane.name.starts_with(plane_names::TPU_PREFIX) && plane.declares(StatKind::CounterValue)
}

fn has_counters(space: &XSpace) -> bool {
    space
        .planes_with_prefix(plane_names::TPU_PREFIX)
        .flat_map(|p| &p.lines)
        .any(|line| line.stat_kinds.contains(StatKind::CounterValue))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{PlaneBuilder, SpaceBuilder, V};

    fn check(planes: Vec<PlaneBuilder>, more_tools: &[&str], modules: &[&str]) {
        let mut space = SpaceBuilder::new("host");
        for plane in planes {
            space.plane(plane);
        }
        let facts = run_facts(&TraceBytes::new(space.finish().into()), "test").unwrap();
        assert_eq!(facts.tools[..ALWAYS.len()], ALWAYS);
        assert_eq!(facts.tools[ALWAYS.len()..], *more_tools);
        assert_eq!(facts.modules, modules);
    }

    fn counter_plane(stat: &str) -> PlaneBuilder {
        let mut plane = PlaneBuilder::new(1, "/device:TPU:0");
        plane.line(1, "counters", 0, |line| {
            line.event("c", 0, 1, &[(stat, V::Uint(1))]);
        });
        plane
    }

    #[test]
    fn each_tool_has_its_own_condition() {
        check(vec![], &[], &[]);
        check(vec![PlaneBuilder::new(1, "/device:GPU:0")], &["kernel_stats"], &[]);
        check(vec![counter_plane("counter_value")], &COUNTER_TOOLS, &[]);
        check(vec![counter_plane("other")], &[], &[]);
        let mut host = PlaneBuilder::new(0, plane_names::HOST_CPU);
        host.event_id("MegaScale: send");
        check(vec![host], &["megascale_stats"], &[]);
    }

    #[test]
    fn the_profiler_says_how_long_it_recorded() {
        let duration = |stats: &[(&str, u64)]| {
            let mut space = SpaceBuilder::new("host");
            let mut plane = PlaneBuilder::new(9, ENVIRONMENT);
            for (name, value) in stats {
                plane.stat(name, V::Uint(*value));
            }
            space.plane(plane);
            let facts = run_facts(&TraceBytes::new(space.finish().into()), "test").unwrap();
            assert_eq!(facts.device, "CPU");
            facts.duration_ns
        };
        assert_eq!(duration(&[(ENDED, 30), (BEGAN, 10)]), Some(20));
        assert_eq!(duration(&[(BEGAN, 10)]), None);
        assert_eq!(duration(&[(BEGAN, 10), (ENDED, 9)]), None);
    }

    #[test]
    fn modules_are_named_by_program_id() {
        // An HloProto with a module of name `m`.
        let proto = [0x0a, 0x03, 0x0a, 0x01, b'm'];
        let mut plane = PlaneBuilder::new(0, plane_names::METADATA);
        plane.define_event("m(7)", "", &[("Hlo Proto", V::Bytes(&proto))], Some(7));
        plane.define_event("x", "", &[("Hlo Proto", V::Bytes(&proto)), ("program_id", V::Int(-3))], Some(1));
        plane.define_event("y", "", &[("Hlo Proto", V::Bytes(&[0xff]))], Some(2));
        check(vec![plane], &["memory_viewer", "graph_viewer"], &["m(7)", "m(18446744073709551613)"]);
    }
}
