//! The overview's advice: what limits the program, and which tool to open next.
//!
//! Takes the whole run's statistics, gives the table. The texts are the reference's to the letter.

use xprof_proto::tensorflow::profiler::HardwareType;

use crate::answer::datatable::{ColumnType, DataTable};
use crate::answer::number::fixed;
use crate::opstats::RunStats;
use crate::tools::input_pipeline::InputPipeline;

/// Below this share of 16-bit computation, in percent, less precision is worth a thought.
const FEW_16BIT_PERCENT: f64 = 10.0;

const HOST: &str = "Next steps for reducing the Host time";
const DEVICE: &str = "Next steps for reducing the Device time";
const OTHER: &str = "Other useful resources";

/// The table.
pub fn table(run: &RunStats, hardware: HardwareType, pipeline: &InputPipeline) -> DataTable {
    let mut table = DataTable::new();
    table.column("tip_type", ColumnType::String, "tip_type");
    table.column("link", ColumnType::String, "link");
    table.column("description", ColumnType::String, "description");
    let name = hardware.as_str_name();
    let (tool, line) =
        if hardware == HardwareType::Tpu { ("op_profile", "TPU core") } else { ("framework_op_stats", name) };
    let trace_viewer =
        |place: &str| format!("trace_viewer (look at the activities on the timeline of each {place} the trace view)");
    let guide = |page: &str, text: &str| {
        format!("<a href=\"https://www.tensorflow.org/guide/{page}\" target=\"_blank\">{text}</a>")
    };
    for (tip_type, link, description) in [
        ("faq", "Refer to the TF2 Profiler FAQ".to_owned(), "Tool troubleshooting / FAQ"),
        (
            "host",
            "input_pipeline_analyzer (especially Section 3 for the breakdown of input operations on the Host)"
                .to_owned(),
            HOST,
        ),
        ("host", trace_viewer("Host Thread near the bottom of"), HOST),
        ("device", format!("{tool} (identify the time-consuming operations executed on the {name})"), DEVICE),
        ("device", trace_viewer(&format!("{line} in")), DEVICE),
        ("doc", guide("data_performance_analysis", "Analyze tf.data performance with the TF Profiler"), OTHER),
        ("doc", guide("data_performance", "Better performance with the tf.data API"), OTHER),
    ] {
        table.row([tip_type.into(), link.into(), description.into()]);
    }
    set_properties(&mut table, run, pipeline);
    table
}

fn set_properties(table: &mut DataTable, run: &RunStats, pipeline: &InputPipeline) {
    let bottleneck = pipeline.generic_bottleneck();
    let class = bottleneck.as_ref().map_or("", |b| b.input.class);
    let statement = bottleneck.as_ref().map_or("", |b| &b.input.statement).to_owned();
    table.property("bottleneck", class).property("statement", statement);
    let signals = bottleneck.map(|b| [b.kernel_launch, b.all_other, b.device_collectives]).unwrap_or_default();
    for (stem, signal) in ["kernel_launch", "all_other", "device_collectives"].into_iter().zip(signals) {
        table.property(format!("{stem}_bottleneck"), signal.class);
        table.property(format!("{stem}_statement"), signal.statement);
    }
    table.property("precision_statement", precision_statement(run));
    let other_side = match class {
        "host" => "device",
        "device" => "host",
        _ => "",
    };
    table.property("non_bottleneck_tip_types", other_side);
}

fn precision_statement(run: &RunStats) -> String {
    let precision = run.device_ops().precision_stats.unwrap_or_default();
    let total = precision.compute_16bit_ps.saturating_add(precision.compute_32bit_ps);
    if total == 0 {
        return String::new();
    }
    let percent = 100.0 * precision.compute_16bit_ps as f64 / total as f64;
    if percent >= FEW_16BIT_PERCENT {
        return String::new();
    }
    format!(
        "Only {}% of device computation is 16 bit. So you might want to replace more 32-bit Ops by 16-bit Ops to \
         improve performance (if the reduced accuracy is acceptable).",
        fixed(percent, 1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opstats::tests::run_of;
    use crate::tools::input_pipeline::analyze;
    use xprof_proto::tensorflow::profiler::{OpMetricsDb, OpStats, PrecisionStats};

    fn check(hardware: HardwareType, bits: (u64, u64), tip: &str, precision: &str) {
        let device = OpMetricsDb {
            precision_stats: Some(PrecisionStats { compute_16bit_ps: bits.0, compute_32bit_ps: bits.1 }),
            ..OpMetricsDb::default()
        };
        let run = run_of(OpStats { device_op_metrics_db: Some(device), ..OpStats::default() });
        let table = table(&run, hardware, &analyze(&run));
        let csv = crate::answer::csv::write(&table);
        assert!(csv.lines().nth(5).is_some_and(|line| line.contains(tip)), "{csv}");
        assert!(table.properties()["precision_statement"].starts_with(precision));
        assert_eq!(table.properties()["bottleneck"], "unknown");
    }

    #[test]
    fn recommends_tools() {
        check(HardwareType::Tpu, (0, 0), "timeline of each TPU core in the trace view", "");
        check(HardwareType::CpuOnly, (1, 1), "timeline of each CPU_ONLY in the trace view", "");
        check(HardwareType::Gpu, (1, 99), "timeline of each GPU in the trace view", "Only 1.0% of");
    }
}
