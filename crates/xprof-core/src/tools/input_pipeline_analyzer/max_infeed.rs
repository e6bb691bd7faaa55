//! Which core waited longest for input, step by step.
//!
//! Takes the analyzed steps, gives a table that lies on its side: a column per step. Empty without TPUs.

use crate::answer::datatable::{ColumnType, DataTable, Value};
use crate::tools::input_pipeline::Steps;
use crate::tools::input_pipeline::tpu_steps::TpuStep;

/// The table.
pub fn table(steps: &Steps) -> DataTable {
    let mut table = DataTable::new();
    let Steps::Tpu(steps) = steps else { return table };
    table.column("index", ColumnType::String, "Index");
    for i in 0..steps.len() {
        table.column(i.to_string(), ColumnType::String, i.to_string());
    }
    table.row(row("Step number", steps, |step| step.step_number.to_string().into()));
    table.row(row("Core name", steps, |step| match step.max_infeed_time_core_name.as_str() {
        "" => "unknown".into(),
        name => name.to_owned().into(),
    }));
    table
}

fn row(name: &'static str, steps: &[TpuStep], cell: fn(&TpuStep) -> Value) -> impl Iterator<Item = Value> {
    [name.into()].into_iter().chain(steps.iter().map(cell))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &Steps, csv: &str) {
        assert_eq!(crate::answer::csv::write(&table(steps)), csv);
    }

    #[test]
    fn has_a_column_per_step() {
        let step = |step_number, name: &str| TpuStep {
            step_number,
            max_infeed_time_core_name: name.into(),
            ..TpuStep::default()
        };
        check(
            &Steps::Tpu(vec![step(7, "host:1"), step(8, "")]),
            "\"Index\",\"0\",\"1\"\n\"Step number\",\"7\",\"8\"\n\"Core name\",\"host:1\",\"unknown\"\n",
        );
        check(&Steps::Tpu(Vec::new()), "\"Index\"\n\"Step number\"\n\"Core name\"\n");
        check(&Steps::Generic(Vec::new()), "\n");
        check(&Steps::Unreadable, "\n");
    }
}
