//! Advice on what to do about a run's largest problem.
//!
//! Takes what each rule wants to know of all hosts; gives a `SmartSuggestionReport` with the advice of the rules that
//! apply, in a fixed order.

mod barrier;

use bytes::Bytes;
use xprof_proto::tensorflow::profiler::{EventTimeFractionAnalyzerResults, SmartSuggestion};

use super::event_time_fraction_analyzer::{BARRIER_CORES, EventTimeFractions, fractions};
use crate::answer::Answer;
use crate::answer::json::{Dialect, JsonWriter};
use crate::artifact::Artifact;
use crate::prep::Prepared;
use crate::tools::{Finished, HostPart, Params, Reduction, Tool};
use crate::{Diag, Result};

/// What the rules want to know of one host: the shares of steps that it waited at barriers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Signals(EventTimeFractions);

impl Artifact for Signals {
    const KIND: &'static str = "suggestion_signals";
    const VERSION: u32 = 1;

    fn encode(&self) -> Vec<u8> {
        self.0.encode()
    }

    fn decode(bytes: Bytes) -> Result<Self> {
        EventTimeFractions::decode(bytes).map(Self)
    }

    fn weight(&self) -> usize {
        self.0.weight()
    }
}

impl Reduction for Signals {
    type Artifact = Self;
    type Whole = Self;

    fn add(&mut self, part: HostPart<Self>, diag: &mut Diag) -> Result<()> {
        diag.check()?;
        self.0.append(&part.artifact.0);
        Ok(())
    }

    fn finish(self, _diag: &mut Diag) -> Result<Finished<Self, Self>> {
        Ok(Finished::Whole(self))
    }
}

/// The tool.
#[derive(Debug)]
pub struct SmartSuggestionTool;

impl Tool for SmartSuggestionTool {
    const NAME: &'static str = "smart_suggestion";

    type Options = ();
    type Artifact = Signals;
    type Whole = Signals;
    type Reduction = Signals;

    // === options ===

    fn options(_params: &Params) -> Result<()> {
        Ok(())
    }

    // === map ===

    fn map(host: &Prepared, (): &(), diag: &mut Diag) -> Result<Signals> {
        let results = [(BARRIER_CORES.to_owned(), fractions(host, BARRIER_CORES, diag)?)].into();
        Ok(Signals(EventTimeFractions(EventTimeFractionAnalyzerResults { results })))
    }

    // === reduce ===

    fn reduce((): &()) -> Signals {
        Signals::default()
    }

    // === render ===

    fn render(signals: &Signals, (): &(), out: &mut Answer) -> Result<()> {
        let waits = signals.0.0.results.get(BARRIER_CORES);
        let suggestions: [Option<SmartSuggestion>; 1] = [waits.and_then(barrier::suggestion)];
        let mut json = JsonWriter::new(out.buffer(), Dialect::Proto);
        json.begin_object().key("suggestions").begin_array();
        for suggestion in suggestions.iter().flatten() {
            json.begin_object().key("ruleName").string(&suggestion.rule_name);
            json.key("suggestionText").string(&suggestion.suggestion_text).end_object();
        }
        json.end_array().end_object();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Format;
    use xprof_proto::tensorflow::profiler::{ChipEventTimeFractions, EventTimeFractionAnalyzerResult};

    fn check(share: f32, expected: &str) {
        let chip = ChipEventTimeFractions { id: "c".into(), event_time_fractions: vec![share] };
        let result = EventTimeFractionAnalyzerResult {
            chip_event_time_fractions: [("c".to_owned(), chip)].into(),
            ..EventTimeFractionAnalyzerResult::default()
        };
        let results = [(BARRIER_CORES.to_owned(), result)].into();
        let signals = Signals(EventTimeFractions(EventTimeFractionAnalyzerResults { results }));
        let mut answer = Answer::new(Format::Native);
        SmartSuggestionTool::render(&signals, &(), &mut answer).unwrap();
        let body = answer.finish().unwrap().body;
        let beginning = std::str::from_utf8(&body).unwrap().split("Your").next();
        assert_eq!(beginning, Some(expected));
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    }

    #[test]
    fn writes_a_report() {
        check(0.25, r#"{"suggestions":[{"ruleName":"BarrierCoresRule","suggestionText":"\u003cp\u003e"#);
        check(0.05, r#"{"suggestions":[]}"#);
    }
}
