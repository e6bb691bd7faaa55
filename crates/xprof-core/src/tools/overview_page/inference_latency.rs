//! The overview's latencies of inference requests.
//!
//! Takes the requests of all hosts, gives the mean and some percentiles. Runs that train have none.

use xprof_proto::xprof::worker::v1::InferenceRequest;

use crate::answer::datatable::{ColumnType, DataTable};
use crate::answer::number::fixed;
use crate::opstats::RunStats;
use crate::opstats::numbers::ps_to_us;

const PERCENTILES: [f64; 5] = [50.0, 75.0, 90.0, 99.0, 99.9];

/// A request, or the mean of requests, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Latency {
    host: f64,
    device: f64,
    communication: f64,
    total: f64,
}

impl Latency {
    fn new(request: &InferenceRequest) -> Self {
        let total = ps_to_us(request.end_ps.saturating_sub(request.start_ps));
        let device = ps_to_us(request.device_time_ps);
        let communication = ps_to_us(request.read_from_device_ps.wrapping_add(request.write_to_device_ps));
        Self { host: total - device - communication, device, communication, total }
    }

    fn mean(latencies: &[Self]) -> Self {
        let mean = |time: fn(&Self) -> f64| {
            let mean = latencies.iter().map(time).sum::<f64>() / latencies.len() as f64;
            // What cancels out to almost nothing is nothing.
            if mean.abs() < 1e-20 { 0.0 } else { mean }
        };
        Self {
            host: mean(|l| l.host),
            device: mean(|l| l.device),
            communication: mean(|l| l.communication),
            total: mean(|l| l.total),
        }
    }
}

/// The table.
pub fn table(run: &RunStats) -> DataTable {
    let mut table = DataTable::new();
    table.column("percentile", ColumnType::String, "percentile");
    table.column("hostTimeMs", ColumnType::Number, "Host time (in ms)");
    table.column("deviceTimeMs", ColumnType::Number, "Device time (in ms)");
    table.column("communicationTimeMs", ColumnType::Number, "Host-device communication time (in ms)");
    table.column("totalTimeMs", ColumnType::Number, "Total latency (in ms)");
    let mut latencies: Vec<Latency> = run.inference_requests().map(Latency::new).collect();
    if run.run_environment().is_training || latencies.is_empty() {
        return table;
    }
    latencies.sort_by(|a, b| a.total.total_cmp(&b.total));
    add_row(&mut table, "Avg".into(), Latency::mean(&latencies));
    for percentile in PERCENTILES {
        let idx = (percentile / 100.0 * latencies.len() as f64) as usize;
        let latency = latencies[idx.min(latencies.len() - 1)];
        add_row(&mut table, fixed(percentile, 1) + "%", latency);
    }
    table
}

fn add_row(table: &mut DataTable, name: String, latency: Latency) {
    let ms = [latency.host, latency.device, latency.communication, latency.total].map(|us| (us / 1000.0).into());
    table.row([name.into()].into_iter().chain(ms));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opstats::tests::run_with_requests;

    fn check(requests: Vec<InferenceRequest>, is_training: bool, csv: &str) {
        let table = table(&run_with_requests(requests, is_training));
        assert_eq!(crate::answer::csv::write(&table).split_once('\n').map(|(_, rows)| rows), Some(csv));
    }

    #[test]
    fn shows_mean_and_percentiles() {
        let request = |ms: u64| InferenceRequest { start_ps: 7, end_ps: 7 + ms * 1_000_000_000, ..Default::default() };
        let requests: Vec<_> = (1..=10).rev().map(request).collect();
        check(requests.clone(), true, "");
        check(Vec::new(), false, "");
        check(
            requests,
            false,
            "\"Avg\",\"5.5\",\"0.0\",\"0.0\",\"5.5\"\n\"50.0%\",\"6.0\",\"0.0\",\"0.0\",\"6.0\"\n\
             \"75.0%\",\"8.0\",\"0.0\",\"0.0\",\"8.0\"\n\"90.0%\",\"10.0\",\"0.0\",\"0.0\",\"10.0\"\n\
             \"99.0%\",\"10.0\",\"0.0\",\"0.0\",\"10.0\"\n\"99.9%\",\"10.0\",\"0.0\",\"0.0\",\"10.0\"\n",
        );
    }
}
