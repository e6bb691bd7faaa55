//! What to tell the user about steps that are missing, and the table of messages.
//!
//! Takes the whole run's statistics, gives sentences. The texts are the reference's to the letter.

use crate::answer::datatable::{ColumnType, DataTable};

use super::RunStats;

const INCOMPLETE_STEP: &str = "Incomplete step observed and hence the step time is unknown.Instead, we use the trace \
     duration as the step time. This may happen if your profiling duration is shorter than the step time. In this \
     case, you may try to profile longer.";
const EMPTY_INTERSECTION: &str = "Although there are steps observed on some host(s), the intersection of the steps \
     over all hosts is empty (because the differences among individual host's step sequences are too big). \
     Consequently, the overall step time is unknown.";
const NO_STEP_MARKER: &str = "No step marker observed and hence the step time is unknown. This may happen if (1) \
     training steps are not instrumented (e.g., if you are not using Keras) or (2) the profiling duration is shorter \
     than the step time. For (1), you need to add step instrumentation; for (2), you may try to profile longer.";
const STEPS_DROPPED: &str = " steps dropped. This might happen when you profile many hosts and/or many steps. You \
     could try to profile shorter or reduce the number of hosts you profile.";

/// Messages for the user by severity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Messages {
    /// What the user must act on.
    pub errors: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Worth knowing.
    pub infos: Vec<String>,
}

/// Warnings about the steps.
pub fn step_warnings(run: &RunStats) -> Vec<String> {
    let db = run.step_db();
    let mut warnings = Vec::new();
    if db.use_incomplete_step {
        warnings.push(INCOMPLETE_STEP.to_owned());
    } else if run.steps().is_empty() {
        warnings.push(if db.empty_intersect { EMPTY_INTERSECTION } else { NO_STEP_MARKER }.to_owned());
    }
    if db.num_steps_dropped > 0 {
        warnings.push(format!("{}{STEPS_DROPPED}", db.num_steps_dropped));
    }
    warnings
}

/// The table of messages.
pub fn table(messages: &Messages) -> DataTable {
    let mut table = DataTable::new();
    table.column("severity", ColumnType::String, "Severity").column("message", ColumnType::String, "Message");
    for (severity, texts) in [("INFO", &messages.infos), ("WARNING", &messages.warnings), ("ERROR", &messages.errors)] {
        for text in texts {
            table.row([severity.into(), text.clone().into()]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opstats::tests::run_of;
    use xprof_proto::tensorflow::profiler::{OpStats, PerCoreStepInfo, StepDatabaseResult};

    fn check(step_db: StepDatabaseResult, expected: &[String]) {
        let run = run_of(OpStats { step_db: Some(step_db), ..OpStats::default() });
        assert_eq!(step_warnings(&run), expected);
    }

    #[test]
    fn warns_about_steps() {
        let db = StepDatabaseResult::default;
        check(db(), &[NO_STEP_MARKER.into()]);
        check(StepDatabaseResult { empty_intersect: true, ..db() }, &[EMPTY_INTERSECTION.into()]);
        check(
            StepDatabaseResult { use_incomplete_step: true, num_steps_dropped: 2, ..db() },
            &[INCOMPLETE_STEP.into(), format!("2{STEPS_DROPPED}")],
        );
        check(StepDatabaseResult { step_sequence: vec![PerCoreStepInfo::default()], ..db() }, &[]);
    }

    #[test]
    fn orders_messages_by_severity() {
        let messages = Messages { errors: vec!["e".into()], warnings: vec!["w".into()], infos: vec!["i".into()] };
        assert_eq!(crate::answer::csv::write(&table(&messages)).lines().nth(1), Some("\"INFO\",\"i\""));
    }
}
