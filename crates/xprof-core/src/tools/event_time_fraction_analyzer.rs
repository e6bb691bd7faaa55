//! `event_time_fraction_analyzer`: which share of each step the events of a given name took, by chip and by host.
//!
//! Takes a prepared host and parts of names; gives an `EventTimeFractionAnalyzerResults` message as bytes. Workers of
//! XProf answer it to their aggregators, which need it for `smart_suggestion`.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use xprof_proto::tensorflow::profiler::{
    ChipEventTimeFractions, EventTimeFractionAnalyzerResult, EventTimeFractionAnalyzerResults, HostEventTimeFractions,
};

use crate::answer::Answer;
use crate::artifact::Artifact;
use crate::prep::Prepared;
use crate::prep::timespan::device_span;
use crate::tools::{Finished, HostPart, Params, Reduction, Tool};
use crate::xspace::schema::line_names;
use crate::xspace::{Line, Plane, StatKind, StatValue};
use crate::{Diag, Error, Result};

/// The part of a name by which waits at barriers are found.
pub const BARRIER_CORES: &str = "barrier-cores";

/// How long a barrier takes at which nobody waits, in picoseconds.
const PASSED_BARRIER_PS: u64 = 1250;

/// Where two steps were found, a step shorter than this share of the other is not a whole one.
const MIN_SHARE_OF_OTHER_STEP: f64 = 0.01;

/// Shares of steps by part of the name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventTimeFractions(pub EventTimeFractionAnalyzerResults);

impl Artifact for EventTimeFractions {
    const KIND: &'static str = "event_time_fractions";
    const VERSION: u32 = 1;

    fn encode(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    fn decode(bytes: Bytes) -> Result<Self> {
        let bad = |e: prost::DecodeError| Error::BadArtifact { artifact: Self::KIND, reason: e.to_string() };
        EventTimeFractionAnalyzerResults::decode(bytes).map(Self).map_err(bad)
    }

    fn weight(&self) -> usize {
        2 * self.0.encoded_len()
    }
}

/// The tool.
#[derive(Debug)]
pub struct EventTimeFractionAnalyzer;

impl Tool for EventTimeFractionAnalyzer {
    const NAME: &'static str = "event_time_fraction_analyzer";
    const PARAMS: &'static [&'static str] = &["event_name"];
    const MAP_PARAMS: &'static [&'static str] = Self::PARAMS;
    const IS_STEP: bool = true;

    /// Parts of names. The empty part is in every name.
    type Options = Vec<String>;
    type Artifact = EventTimeFractions;
    type Whole = EventTimeFractions;
    type Reduction = EventTimeFractions;

    // === options ===

    fn options(params: &Params) -> Result<Vec<String>> {
        Ok(params.get("event_name").unwrap_or_default().split(',').map(str::to_owned).collect())
    }

    // === map ===

    fn map(host: &Prepared, targets: &Vec<String>, diag: &mut Diag) -> Result<EventTimeFractions> {
        let results = targets.iter().map(|target| Ok((target.clone(), fractions(host, target, diag)?)));
        Ok(EventTimeFractions(EventTimeFractionAnalyzerResults { results: results.collect::<Result<_>>()? }))
    }

    // === reduce ===

    fn reduce(_: &Vec<String>) -> EventTimeFractions {
        EventTimeFractions::default()
    }

    // === render ===

    fn render(whole: &EventTimeFractions, _: &Vec<String>, out: &mut Answer) -> Result<()> {
        out.content_type = "application/octet-stream";
        out.buffer().extend(whole.encode());
        Ok(())
    }
}

impl EventTimeFractions {
    /// Adds those of another host. `parity:` chips of one name are taken for one chip, whatever their hosts.
    pub fn append(&mut self, host: &Self) {
        for (target, part) in &host.0.results {
            let result = self.0.results.entry(target.clone()).or_default();
            for (name, chip) in &part.chip_event_time_fractions {
                let all = result.chip_event_time_fractions.entry(name.clone()).or_default();
                all.id.clone_from(&chip.id);
                all.event_time_fractions.extend_from_slice(&chip.event_time_fractions);
            }
            for (name, host) in &part.host_event_time_fractions {
                let all = result.host_event_time_fractions.entry(name.clone()).or_default();
                all.hostname.clone_from(&host.hostname);
                all.event_time_fractions.extend_from_slice(&host.event_time_fractions);
            }
        }
    }
}

impl Reduction for EventTimeFractions {
    type Artifact = Self;
    type Whole = Self;

    fn add(&mut self, part: HostPart<Self>, diag: &mut Diag) -> Result<()> {
        diag.check()?;
        self.append(&part.artifact);
        Ok(())
    }

    fn finish(self, _diag: &mut Diag) -> Result<Finished<Self, Self>> {
        Ok(Finished::Whole(self))
    }
}

/// What was found in one step.
#[derive(Debug, Default)]
struct Step {
    /// On the last plane that has the events (`parity:` chips may disagree on how long a step is).
    duration_ps: u64,
    /// Share by index of the plane.
    shares: BTreeMap<usize, f64>,
}

/// The shares of the events whose name contains `target`.
pub fn fractions(host: &Prepared, target: &str, diag: &Diag) -> Result<EventTimeFractionAnalyzerResult> {
    let planes = &host.space.planes;
    let mut steps: BTreeMap<i64, Step> = BTreeMap::new();
    for (plane_idx, plane) in planes.iter().enumerate() {
        diag.check()?;
        add_plane(plane_idx, plane, target, &mut steps);
    }
    drop_edges(&mut steps);
    let mut result = EventTimeFractionAnalyzerResult::default();
    let hostname = host.space.hostnames.first().map_or(host.host.as_ref(), |name| name).to_owned();
    let mut of_host = Vec::with_capacity(steps.len());
    for step in steps.values() {
        for (plane_idx, share) in &step.shares {
            let id = planes[*plane_idx].name.to_string();
            let chip = result.chip_event_time_fractions.entry(id.clone());
            let chip = chip.or_insert_with(|| ChipEventTimeFractions { id, ..ChipEventTimeFractions::default() });
            chip.event_time_fractions.push(*share as f32);
        }
        of_host.push((step.shares.values().sum::<f64>() / step.shares.len() as f64) as f32);
    }
    let of_host = HostEventTimeFractions { hostname: hostname.clone(), event_time_fractions: of_host };
    result.host_event_time_fractions.insert(hostname, of_host);
    Ok(result)
}

fn add_plane(plane_idx: usize, plane: &Plane, target: &str, steps: &mut BTreeMap<i64, Step>) {
    let durations = step_durations(plane);
    let matching: Vec<bool> = plane.event_metadata.iter().map(|metadata| metadata.name.contains(target)).collect();
    if durations.is_empty() || !matching.contains(&true) {
        return;
    }
    let matches = |line: &Line, idx: usize| matching.get(line.events.row(idx) as usize).copied().unwrap_or(false);
    for line in plane.lines.iter().filter(|line| line.stat_kinds.contains(StatKind::DeviceDurationPs)) {
        for event in line.events(plane).filter(|event| matches(line, event.idx)) {
            let (Some(group_id), Some(duration)) = (event.group_id(), event.stat(StatKind::DeviceDurationPs)) else {
                continue;
            };
            let Some(&step_ps) = durations.get(&group_id).filter(|ps| **ps > 0) else { continue };
            // parity: a signed duration reads as 0.
            let ps = StatValue::uint(duration);
            if target == BARRIER_CORES && (ps == 0 || ps == PASSED_BARRIER_PS) {
                continue;
            }
            let step = steps.entry(group_id).or_default();
            step.duration_ps = step_ps;
            // parity: each share is rounded to single precision before it is added.
            *step.shares.entry(plane_idx).or_default() += f64::from((ps as f64 / step_ps as f64) as f32);
        }
    }
}

/// The durations of the plane's steps by group; of several markers of one group the longest counts.
fn step_durations(plane: &Plane) -> BTreeMap<i64, u64> {
    let mut durations = BTreeMap::new();
    for line in plane.lines.iter().filter(|line| line.name == line_names::STEPS) {
        for event in line.events(plane) {
            let Some(group_id) = event.group_id() else { continue };
            let longest = durations.entry(group_id).or_insert(0);
            *longest = device_span(&event).duration_ps.max(*longest);
        }
    }
    durations
}

/// The first and the last step are seldom whole.
fn drop_edges(steps: &mut BTreeMap<i64, Step>) {
    if steps.len() == 2 {
        let longest = steps.values().map(|step| step.duration_ps).max().unwrap_or(0) as f64;
        steps.retain(|_, step| step.duration_ps as f64 >= MIN_SHARE_OF_OTHER_STEP * longest);
    } else if steps.len() > 2 {
        steps.pop_first();
        steps.pop_last();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{PlaneBuilder, SpaceBuilder, V};
    use crate::xspace::TraceBytes;

    /// Step durations, and the durations of events by step and name.
    fn plane(id: i64, steps: &[u64], events: &[(usize, &str, V<'_>)]) -> PlaneBuilder {
        let mut plane = PlaneBuilder::new(id, &format!("/device:TPU:{id}"));
        let begins: Vec<u64> = (0..steps.len()).map(|i| steps[..i].iter().sum()).collect();
        plane.line(1, "Steps", 0, |line| {
            for (i, ps) in steps.iter().enumerate() {
                line.event(&i.to_string(), begins[i], *ps, &[("group_id", V::Int(i as i64))]);
            }
        });
        plane.line(2, "XLA Ops", 0, |line| {
            for (step, name, ps) in events {
                let stats = [("group_id", V::Int(*step as i64)), ("device_duration_ps", *ps)];
                line.event(name, begins[*step], 1, &stats);
            }
        });
        plane
    }

    fn found(planes: Vec<PlaneBuilder>, target: &str) -> EventTimeFractionAnalyzerResult {
        let mut space = SpaceBuilder::new("h");
        for plane in planes {
            space.plane(plane);
        }
        let mut diag = Diag::new();
        let host = Prepared::read(TraceBytes::new(space.finish().into()), "file", &mut diag).unwrap();
        fractions(&host, target, &diag).unwrap()
    }

    fn check(planes: Vec<PlaneBuilder>, target: &str, of_chips: &[(&str, &[f32])], of_host: &[f32]) {
        let result = found(planes, target);
        let chips = result.chip_event_time_fractions.iter();
        let chips: Vec<(&str, &[f32])> = chips.map(|(id, c)| (id.as_str(), &c.event_time_fractions[..])).collect();
        assert_eq!(chips, of_chips);
        assert_eq!(result.host_event_time_fractions["h"].event_time_fractions, of_host);
    }

    #[test]
    fn adds_up_events_of_whole_steps() {
        let barrier = |step, ps| (step, "my-barrier-cores-7", V::Uint(ps));
        let other = (1, "fusion", V::Uint(10_000));
        let one = || {
            let events =
                [barrier(0, 9), barrier(1, 10_000), barrier(1, 20_000), other, barrier(2, 5_000), barrier(3, 9)];
            plane(0, &[40_000; 4], &events)
        };
        check(vec![one()], BARRIER_CORES, &[("/device:TPU:0", &[0.75, 0.125])], &[0.75, 0.125]);
        check(vec![one()], "fusion", &[("/device:TPU:0", &[0.25])], &[0.25]);
        check(vec![one()], "nothing", &[], &[]);
        // A chip without events in a step does not count in the host's mean.
        let two = plane(1, &[40_000; 4], &[barrier(0, 9), barrier(2, 10_000)]);
        let chips: [(&str, &[f32]); 2] = [("/device:TPU:0", &[0.75, 0.125]), ("/device:TPU:1", &[0.25])];
        check(vec![one(), two], BARRIER_CORES, &chips, &[0.75, 0.1875]);
    }

    #[test]
    fn leaves_out_what_is_no_wait() {
        let events = |ps: V<'static>| [(0, BARRIER_CORES, ps), (0, "x", V::Uint(0))];
        check(vec![plane(0, &[4_000], &events(V::Uint(1_000)))], BARRIER_CORES, &[("/device:TPU:0", &[0.25])], &[0.25]);
        for ps in [V::Uint(1250), V::Uint(0), V::Int(1_000)] {
            check(vec![plane(0, &[4_000], &events(ps))], BARRIER_CORES, &[], &[]);
        }
        // Other events may be as short as they like.
        check(vec![plane(0, &[4_000], &events(V::Uint(1)))], "x", &[("/device:TPU:0", &[0.0])], &[0.0]);
        check(vec![plane(0, &[0], &events(V::Uint(1_000)))], BARRIER_CORES, &[], &[]);
    }

    #[test]
    fn drops_the_shorter_of_two_steps() {
        let two = |ps| plane(0, &[10_000, ps], &[(0, "x", V::Uint(5_000)), (1, "x", V::Uint(10))]);
        check(vec![two(99)], "x", &[("/device:TPU:0", &[0.5])], &[0.5]);
        check(vec![two(100)], "x", &[("/device:TPU:0", &[0.5, 0.1])], &[0.5, 0.1]);
        // The last chip decides how long a step was.
        let short = plane(1, &[99], &[(0, "x", V::Uint(9))]);
        check(vec![two(10_000), short], "x", &[("/device:TPU:0", &[0.001])], &[0.001]);
    }

    #[test]
    fn concatenates_hosts() {
        let part = EventTimeFractions(EventTimeFractionAnalyzerResults {
            results: [("x".to_owned(), found(vec![plane(0, &[4_000], &[(0, "x", V::Uint(1_000))])], "x"))].into(),
        });
        let mut whole = part.clone();
        whole.append(&part);
        let result = &whole.0.results["x"];
        assert_eq!(result.chip_event_time_fractions["/device:TPU:0"].event_time_fractions, [0.25, 0.25]);
        assert_eq!(result.host_event_time_fractions["h"].event_time_fractions, [0.25, 0.25]);
        assert_eq!(EventTimeFractions::decode(whole.encode().into()).unwrap(), whole);
    }

    #[test]
    fn reads_parts_of_names() {
        let names = |p: &Params| EventTimeFractionAnalyzer::options(p).unwrap();
        assert_eq!(names(&Params::new()), [""]);
        assert_eq!(names(&[("event_name", "a,b")].into_iter().collect()), ["a", "b"]);
    }
}
