//! What the hosts' input pipelines spend their time on.
//!
//! Takes the input ops of all hosts, gives a row per op and the time by kind of work as properties, in microseconds.

use crate::answer::datatable::{ColumnType, DataTable};
use crate::answer::number::fixed;
use crate::opstats::numbers::{ps_to_ms, safe_div};
use crate::tools::input_pipeline::host_ops::InputTime;

/// The table. Cells called percents are shares of 1.
pub fn table(input: &InputTime) -> DataTable {
    let mut table = DataTable::new();
    for (id, kind, label) in [
        ("opName", ColumnType::String, "Input Op"),
        ("count", ColumnType::Number, "Count"),
        ("timeInMs", ColumnType::Number, "Total Time (in ms)"),
        ("timeInPercent", ColumnType::Number, "Total Time (as % of total input-processing time)"),
        ("selfTimeInMs", ColumnType::Number, "Total Self Time (in ms)"),
        ("selfTimeInPercent", ColumnType::Number, "Total Self Time (as % of total input-processing time)"),
        ("category", ColumnType::String, "Category"),
    ] {
        table.column(id, kind, label);
    }
    // Up to percents and down again, because the last digit depends on it.
    let share = |ps: u64| 100.0 * safe_div(ps as f64, input.total_self_time_ps as f64) / 100.0;
    for op in &input.ops {
        table.row([
            op.name.clone().into(),
            f64::from(op.occurrences).into(),
            ps_to_ms(op.time_ps).into(),
            share(op.time_ps).into(),
            ps_to_ms(op.self_time_ps).into(),
            share(op.self_time_ps).into(),
            op.class.as_str().into(),
        ]);
    }
    for (name, us) in [
        ("enqueue_us", input.enqueue_us),
        ("demanded_file_read_us", input.demanded_file_read_us),
        ("advanced_file_read_us", input.advanced_file_read_us),
        ("preprocessing_us", input.preprocessing_us),
        // parity: the spelling is the reference's.
        ("unclassified_nonequeue_us", input.unclassified_us),
    ] {
        table.property(name, fixed(us, 3));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::input_pipeline::host_ops::{InputClass, InputOp};

    fn check(input: &InputTime, rows: &str, properties: [&str; 5]) {
        let table = table(input);
        let csv = crate::answer::csv::write(&table);
        assert_eq!(csv.split_once('\n').map(|(_, rows)| rows), Some(rows));
        let names = [
            "enqueue_us",
            "demanded_file_read_us",
            "advanced_file_read_us",
            "preprocessing_us",
            "unclassified_nonequeue_us",
        ];
        assert_eq!(names.map(|name| table.properties()[name].as_ref()), properties);
    }

    #[test]
    fn shows_ops_and_sums() {
        let op = |name: &str, class, time_ps, self_time_ps| InputOp {
            name: name.into(),
            occurrences: 3,
            time_ps,
            self_time_ps,
            class,
        };
        let input = InputTime {
            ops: vec![
                op("Batch", InputClass::Preprocessing, 8_000_000_000, 3_000_000_000),
                op("Enqueue", InputClass::Enqueue, 1_000_000_000, 1_000_000_000),
            ],
            total_self_time_ps: 4_000_000_000,
            enqueue_us: 1000.0,
            demanded_file_read_us: 0.125,
            advanced_file_read_us: 2.0,
            preprocessing_us: 3000.0,
            unclassified_us: 0.5,
        };
        check(
            &input,
            "\"Batch\",\"3.0\",\"8.0\",\"2.0\",\"3.0\",\"0.75\",\"Preprocessing\"\n\
             \"Enqueue\",\"3.0\",\"1.0\",\"0.25\",\"1.0\",\"0.25\",\"Enqueue\"\n",
            ["1000.000", "0.125", "2.000", "3000.000", "0.500"],
        );
        check(&InputTime::default(), "", ["0.000"; 5]);
    }
}
