//! What hosts do to feed the devices: the ops of input pipelines, and the time by kind of work.
//!
//! Takes the table of host ops and gives the input ops among them with their sums.

use xprof_proto::tensorflow::profiler::{OpMetrics, OpMetricsDb};

use crate::opstats::numbers::{ps_to_us, safe_div};
use crate::opstats::sort::by_self_time;

/// What an input op is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputClass {
    /// Handing data to the device.
    Enqueue,
    /// Reading files when their data is needed.
    DemandedFileRead,
    /// Reading files ahead.
    AdvancedFileRead,
    /// Transforming data.
    Preprocessing,
    /// Not told.
    Unknown,
}

impl InputClass {
    /// The words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enqueue => "Enqueue",
            Self::DemandedFileRead => "Demanded file read",
            Self::AdvancedFileRead => "Advanced file read",
            Self::Preprocessing => "Preprocessing",
            Self::Unknown => "Unknown",
        }
    }
}

/// One input op.
#[derive(Debug, Clone, PartialEq)]
pub struct InputOp {
    /// Its name.
    pub name: String,
    /// How often it ran.
    pub occurrences: u32,
    /// Its time, in picoseconds.
    pub time_ps: u64,
    /// Its time without children, in picoseconds.
    pub self_time_ps: u64,
    /// What it is for.
    pub class: InputClass,
}

/// What hosts did to feed the devices, times in microseconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InputTime {
    /// The input ops, the longest self time first.
    pub ops: Vec<InputOp>,
    /// Sum of their self times, in picoseconds.
    pub total_self_time_ps: u64,
    /// Handing data to the device.
    pub enqueue_us: f64,
    /// Reading files when their data is needed.
    pub demanded_file_read_us: f64,
    /// Reading files ahead.
    pub advanced_file_read_us: f64,
    /// Transforming data.
    pub preprocessing_us: f64,
    /// Anything else but handing data to the device.
    pub unclassified_us: f64,
}

impl InputTime {
    /// Whether the program reads its input through tf.data.
    pub fn uses_tf_data(&self) -> bool {
        self.demanded_file_read_us > 0.0 || self.advanced_file_read_us > 0.0 || self.preprocessing_us > 0.0
    }
}

/// The input ops of all hosts. `fallback_ratio` is the share of time spent enqueuing where hosts did not measure it.
pub fn input_time(host: &OpMetricsDb, fallback_ratio: f64) -> InputTime {
    let sorted = by_self_time(&host.metrics_db);
    let ops: Vec<InputOp> = sorted.into_iter().filter_map(|op| Some(input_op(op, class_of(op)?))).collect();
    if ops.is_empty() {
        return InputTime::default();
    }
    // Each op is converted before it is added, as its share of a microsecond may count in the last digit.
    let sum_us = |class| {
        let of_class = ops.iter().filter(|op| op.class == class);
        of_class.fold(0.0, |sum, op| sum + ps_to_us(op.self_time_ps))
    };
    let enqueue = sum_us(InputClass::Enqueue);
    let [demanded, advanced, preprocessing] =
        [InputClass::DemandedFileRead, InputClass::AdvancedFileRead, InputClass::Preprocessing].map(sum_us);
    let ratio = if host.total_host_infeed_enq_start_timestamp_ps_diff > 0 {
        safe_div(
            host.total_host_infeed_enq_duration_ps as f64,
            host.total_host_infeed_enq_start_timestamp_ps_diff as f64,
        )
    } else {
        fallback_ratio
    }
    .min(1.0);
    let classified = demanded + advanced + preprocessing;
    // What the hosts did while they were not enqueuing is spread over the kinds of work as the ops' self times are.
    let non_enqueue = if ratio == 0.0 { classified } else { enqueue * (1.0 - ratio) / ratio };
    let share = |part: f64| safe_div(non_enqueue * part, classified);
    let (demanded, advanced, preprocessing) = (share(demanded), share(advanced), share(preprocessing));
    InputTime {
        total_self_time_ps: ops.iter().fold(0, |sum, op| sum.wrapping_add(op.self_time_ps)),
        enqueue_us: enqueue,
        demanded_file_read_us: demanded,
        advanced_file_read_us: advanced,
        preprocessing_us: preprocessing,
        unclassified_us: (non_enqueue - demanded - advanced - preprocessing).max(0.0),
        ops,
    }
}

fn input_op(op: &OpMetrics, class: InputClass) -> InputOp {
    InputOp {
        name: op.name.clone(),
        occurrences: op.occurrences,
        time_ps: op.time_ps,
        self_time_ps: op.self_time_ps,
        class,
    }
}

/// What an op is for; `None` if it has nothing to do with input.
fn class_of(op: &OpMetrics) -> Option<InputClass> {
    const READERS: [&str; 6] =
        ["::TFRecord", "::TextLine", "::FixedLengthRecord", "::SSTable", "::RecordIO", "::ArrayRecord"];
    const AHEAD: [&str; 5] = ["::MemoryReader", "::MemoryWriter", "::Interleave", "::Prefetch", "::ParallelMap"];
    if op.category.starts_with("InfeedEnqueue") || op.category == "MemcpyHToD" {
        return Some(InputClass::Enqueue);
    }
    if op.category == "Dataset" {
        return Some(match () {
            () if !READERS.iter().any(|r| op.name.ends_with(r)) => InputClass::Preprocessing,
            () if AHEAD.iter().any(|a| op.name.contains(a)) => InputClass::AdvancedFileRead,
            () => InputClass::DemandedFileRead,
        });
    }
    match op.category.to_ascii_lowercase().as_str() {
        "enqueue" => Some(InputClass::Enqueue),
        "read" => Some(InputClass::DemandedFileRead),
        "preprocessing" => Some(InputClass::Preprocessing),
        "unknown" => Some(InputClass::Unknown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ops: &[(&str, &str, u64)], host: &OpMetricsDb, ratio: f64, classes: &[&str], times: [f64; 5]) {
        let row = |(name, category, us): &(&str, &str, u64)| OpMetrics {
            name: (*name).into(),
            category: (*category).into(),
            self_time_ps: us * 1_000_000,
            ..OpMetrics::default()
        };
        let input = input_time(&OpMetricsDb { metrics_db: ops.iter().map(row).collect(), ..host.clone() }, ratio);
        assert_eq!(input.ops.iter().map(|op| op.class.as_str()).collect::<Vec<_>>(), classes);
        let got = [
            input.enqueue_us,
            input.demanded_file_read_us,
            input.advanced_file_read_us,
            input.preprocessing_us,
            input.unclassified_us,
        ];
        assert_eq!(got, times);
    }

    #[test]
    fn classifies_input_ops() {
        let ops = [
            ("Iterator::Batch::Map", "Dataset", 40),
            ("Iterator::Prefetch::TFRecord", "Dataset", 30),
            ("Iterator::TextLine", "Dataset", 20),
            ("x", "InfeedEnqueueTuple", 10),
            ("u", "Unknown", 5),
            ("matmul", "MatMul", 500),
        ];
        let classes = ["Preprocessing", "Advanced file read", "Demanded file read", "Enqueue", "Unknown"];
        check(&ops, &OpMetricsDb::default(), 0.0, &classes, [10.0, 20.0, 30.0, 40.0, 0.0]);
        check(
            &ops,
            &OpMetricsDb::default(),
            0.5,
            &classes,
            [10.0, 10.0 * 20.0 / 90.0, 10.0 * 30.0 / 90.0, 10.0 * 40.0 / 90.0, 0.0],
        );
        let measured = OpMetricsDb {
            total_host_infeed_enq_duration_ps: 1,
            total_host_infeed_enq_start_timestamp_ps_diff: 10,
            ..OpMetricsDb::default()
        };
        check(&ops, &measured, 0.5, &classes, [10.0, 20.0, 30.0, 40.0, 0.0]);
        check(&ops[5..], &OpMetricsDb::default(), 0.5, &[], [0.0; 5]);
    }

    #[test]
    fn adds_microseconds() {
        let op = OpMetrics { category: "Enqueue".into(), self_time_ps: 100_000, ..OpMetrics::default() };
        let host = OpMetricsDb { metrics_db: vec![op; 3], ..OpMetricsDb::default() };
        assert_eq!(input_time(&host, 0.0).enqueue_us, 0.300_000_000_000_000_04);
    }
}
