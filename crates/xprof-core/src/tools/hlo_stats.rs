//! All HLO ops of the devices with everything that is known of each.
//!
//! Takes the statistics of all hosts; gives one table, the ops with the most self time first, each followed by what
//! it ran on SparseCores.

use xprof_proto::tensorflow::profiler::op_metrics::TpuCoreType;
use xprof_proto::tensorflow::profiler::{OpMetrics, OpMetricsDb};

use crate::answer::Answer;
use crate::answer::datatable::{ColumnType, DataTable};
use crate::opstats::op_record::{OpTimes, Rank, Ranking, source_cell};
use crate::opstats::roofline::{Peaks, Roofline};
use crate::opstats::sort::by_self_time;
use crate::opstats::{self, EdgeSteps, HostStats, Reducer, RunStats};
use crate::prep::Prepared;
use crate::tools::{Params, Tool};
use crate::{Diag, Result};

/// The tool.
#[derive(Debug)]
pub struct HloStats;

impl Tool for HloStats {
    const NAME: &'static str = "hlo_stats";

    type Options = ();
    type Artifact = HostStats;
    type Whole = RunStats;
    type Reduction = Reducer;

    // === options ===

    fn options(_params: &Params) -> Result<()> {
        Ok(())
    }

    // === map ===

    fn map(host: &Prepared, (): &(), diag: &mut Diag) -> Result<HostStats> {
        opstats::map(host, diag)
    }

    // === reduce ===

    fn reduce((): &()) -> Reducer {
        Reducer::new(EdgeSteps::Keep)
    }

    // === render ===

    fn render(run: &RunStats, (): &(), out: &mut Answer) -> Result<()> {
        out.table(&table(run));
        Ok(())
    }
}

fn table(run: &RunStats) -> DataTable {
    let mut table = DataTable::new();
    set_columns(&mut table);
    let peaks = Peaks::of_run(run);
    let mut ranking = Ranking::after(0.0, run.device_ops().total_time_ps);
    for op in sorted(run.device_ops()) {
        let times = OpTimes::of(op);
        let rank = ranking.place(&times);
        add_row(&mut table, &peaks, op, "", &times, rank);
        add_sparse_core_ops(&mut table, &peaks, op);
    }
    table
}

/// The ops of a table that ran at all. Idle time never does.
fn sorted(db: &OpMetricsDb) -> impl DoubleEndedIterator<Item = &OpMetrics> {
    by_self_time(&db.metrics_db).into_iter().filter(|op| op.occurrences > 0)
}

/// What an op ran on SparseCores, at any depth. It has no rank: its time is no part of the total.
fn add_sparse_core_ops(table: &mut DataTable, peaks: &Peaks<'_>, op: &OpMetrics) {
    let mut open: Vec<(&OpMetrics, &str)> = children_reversed(op).collect();
    while let Some((op, parent)) = open.pop() {
        if op.core_type() == TpuCoreType::SparseCore {
            add_row(table, peaks, op, parent, &OpTimes::of(op), Rank::default());
        }
        open.extend(children_reversed(op));
    }
}

/// The children of an op with the op's name, in the order in which a stack wants them.
fn children_reversed(op: &OpMetrics) -> impl Iterator<Item = (&OpMetrics, &str)> {
    op.children.iter().flat_map(sorted).rev().map(|child| (child, op.name.as_str()))
}

fn set_columns(table: &mut DataTable) {
    use ColumnType::{Number, String};
    for (id, kind, label) in [
        ("rank", Number, "Rank"),
        ("program_id", String, "Program id"),
        ("category", String, "HLO op category"),
        ("hlo_op_name", String, "HLO op name"),
        ("hlo_op_expression", String, "HLO op text"),
        ("tf_op_name", String, "Framework op name"),
        ("occurrences", Number, "#Occurrences"),
        ("total_time", Number, "Total time (us)"),
        ("avg_time", Number, "Avg. time (us)"),
        ("total_self_time", Number, "Total self time (us)"),
        ("avg_self_time", Number, "Avg. self time (us)"),
        ("total_self_time_percent", Number, "Total self time (%)"),
        ("cumulative_total_self_time_percent", Number, "Cumulative total self time (%)"),
        ("dma_stall_percent", Number, "%time stalled by DMA"),
        ("model_flop_rate", Number, "Model GFLOP/s"),
        ("normalized_flop_rate", Number, "Normalized GFLOP/s"),
        ("measured_memory_bw", Number, "Measured memory BW (GiB/s)"),
        ("hbm_bw", Number, "HBM BW (GiB/s)"),
        ("cmem_read_bw", Number, "CMEM Read BW (GiB/s)"),
        ("cmem_write_bw", Number, "CMEM Write BW (GiB/s)"),
        ("operational_intensity", Number, "Operational intensity (FLOPS/Byte)"),
        ("bound_by", String, "Bound by"),
        ("hlo_rematerialization", String, "Rematerialization"),
        ("outside_compilation", String, "Outside Compilation"),
        ("autotuned", String, "Autotuned"),
        ("source_info", String, "Source Info"),
        ("core_type", String, "TPU core type"),
        ("parent_op_name", String, "Parent op name"),
        ("vdd_energy", Number, "VDD Energy (J)"),
    ] {
        table.column(id, kind, label);
    }
}

fn add_row(table: &mut DataTable, peaks: &Peaks<'_>, op: &OpMetrics, parent: &str, times: &OpTimes, rank: Rank) {
    let rates = Roofline::new(op, peaks);
    let expression = if op.long_name.is_empty() { &op.name } else { &op.long_name };
    table.row([
        rank.rank.into(),
        op.hlo_module_id.to_string().into(),
        op.category.clone().into(),
        op_name(expression).to_owned().into(),
        expression.clone().into(),
        op.provenance.clone().into(),
        f64::from(op.occurrences).into(),
        times.total_us.into(),
        times.avg_us.into(),
        times.total_self_us.into(),
        times.avg_self_us.into(),
        (rank.fraction * 100.0).into(),
        (rank.cumulative * 100.0).into(),
        // parity: a share of 1 in spite of its label.
        times.dma_stall_fraction.into(),
        rates.model_flop_rate.into(),
        rates.flop_rate.into(),
        rates.all.bandwidth.into(),
        rates.hbm.bandwidth.into(),
        rates.cmem_read.bandwidth.into(),
        rates.cmem_write.bandwidth.into(),
        rates.all.intensity.into(),
        rates.bound_by.into(),
        yes_or_no(is_rematerialized(op)).into(),
        yes_or_no(is_outside_compilation(op)).into(),
        yes_or_no(op.autotuned).into(),
        source_cell(op.source_info.as_ref()).into(),
        core_type(op.core_type()).into(),
        parent.to_owned().into(),
        op.vdd_energy_j.unwrap_or(0.0).into(),
    ]);
}

/// What stands left of the equals sign, without the percent sign: `%copy.1 = f32[] copy(%x)` → `copy.1`.
fn op_name(expression: &str) -> &str {
    let name = expression.split_once(" = ").map_or(expression, |(name, _)| name);
    name.strip_prefix('%').unwrap_or(name)
}

/// Whether an op computes again what the program had before.
fn is_rematerialized(op: &OpMetrics) -> bool {
    let name = op.long_name.split('=').next().unwrap_or_default();
    name.contains(".remat") || op.provenance.contains("rematted_computation")
}

/// Whether an op hands work to the host.
fn is_outside_compilation(op: &OpMetrics) -> bool {
    [":XlaSendToHost", ":XlaRecvFromHost"].iter().any(|suffix| op.provenance.ends_with(suffix))
        || ["send-done", "is_host_transfer=true"].iter().all(|part| op.long_name.contains(part))
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "Yes" } else { "No" }
}

fn core_type(core: TpuCoreType) -> &'static str {
    match core {
        TpuCoreType::TensorCore => "TensorCore",
        TpuCoreType::SparseCore => "SparseCore",
        TpuCoreType::Unknown => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::datatable::Value;
    use crate::opstats::tests::run_of;
    use xprof_proto::tensorflow::profiler::OpStats;

    fn op(name: &str, core: TpuCoreType, self_us: u64, children: Vec<OpMetrics>) -> OpMetrics {
        OpMetrics {
            name: name.into(),
            core_type: core as i32,
            occurrences: 2,
            time_ps: 10_000_000,
            self_time_ps: self_us * 1_000_000,
            children: Some(OpMetricsDb { metrics_db: children, ..OpMetricsDb::default() }),
            ..OpMetrics::default()
        }
    }

    fn table_of(ops: Vec<OpMetrics>) -> DataTable {
        let device = OpMetricsDb { metrics_db: ops, total_time_ps: 16_000_000, ..OpMetricsDb::default() };
        table(&run_of(OpStats { device_op_metrics_db: Some(device), ..OpStats::default() }))
    }

    /// The cells of some columns, row by row.
    fn check(ops: Vec<OpMetrics>, columns: &[&str], expected: &[&[Value]]) {
        let table = table_of(ops);
        let at: Vec<usize> =
            columns.iter().map(|id| table.columns().iter().position(|c| c.id == *id).unwrap()).collect();
        let got: Vec<Vec<Value>> = table.rows().map(|row| at.iter().map(|i| row[*i].clone()).collect()).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn ranks_ops_and_shows_what_sparse_cores_did_below() {
        use TpuCoreType::{SparseCore, TensorCore};
        let grandchild = op("gather", SparseCore, 1, vec![]);
        let ops = vec![
            op("a", TensorCore, 4, vec![op("silent", TensorCore, 3, vec![grandchild])]),
            OpMetrics { occurrences: 0, ..op("IDLE", TensorCore, 9, vec![op("never", SparseCore, 1, vec![])]) },
            op("b", TensorCore, 8, vec![op("short", SparseCore, 1, vec![]), op("long", SparseCore, 2, vec![])]),
        ];
        check(
            ops,
            &[
                "rank",
                "hlo_op_name",
                "total_self_time_percent",
                "cumulative_total_self_time_percent",
                "parent_op_name",
                "core_type",
            ],
            &[
                &[1.0.into(), "b".into(), 50.0.into(), 50.0.into(), "".into(), "TensorCore".into()],
                &[0.0.into(), "long".into(), 0.0.into(), 0.0.into(), "b".into(), "SparseCore".into()],
                &[0.0.into(), "short".into(), 0.0.into(), 0.0.into(), "b".into(), "SparseCore".into()],
                &[2.0.into(), "a".into(), 25.0.into(), 75.0.into(), "".into(), "TensorCore".into()],
                &[0.0.into(), "gather".into(), 0.0.into(), 0.0.into(), "silent".into(), "SparseCore".into()],
            ],
        );
        check(vec![], &["rank"], &[]);
    }

    #[test]
    fn reads_texts() {
        for (name, long_name, provenance, expected) in [
            ("f.remat", "", "", ["f.remat", "f.remat", "No", "No"]),
            ("f", "%f.remat = f32[] add(%x)", "", ["f.remat", "%f.remat = f32[] add(%x)", "Yes", "No"]),
            ("f", "%%f = add(%x.remat)", "", ["%f", "%%f = add(%x.remat)", "No", "No"]),
            ("f", "f=add(x)", "a/rematted_computation/b", ["f=add(x)", "f=add(x)", "Yes", "No"]),
            ("f", "x", "a:XlaSendToHost", ["x", "x", "No", "Yes"]),
            ("f", "x", "a:XlaRecvFromHost:", ["x", "x", "No", "No"]),
            (
                "f",
                "send-done(), is_host_transfer=true",
                "",
                ["send-done(), is_host_transfer=true", "send-done(), is_host_transfer=true", "No", "Yes"],
            ),
        ] {
            let op = OpMetrics {
                long_name: long_name.into(),
                provenance: provenance.into(),
                ..op(name, TpuCoreType::Unknown, 1, vec![])
            };
            let columns = ["hlo_op_name", "hlo_op_expression", "hlo_rematerialization", "outside_compilation"];
            check(vec![op], &columns, &[&expected.map(Value::from)]);
        }
    }

    #[test]
    fn fills_every_column() {
        let op = OpMetrics {
            hlo_module_id: u64::MAX,
            category: "copy".into(),
            dma_stall_ps: 5_000_000,
            flops_v2: 20_000.0,
            model_flops_v2: 10_000.0,
            autotuned: true,
            vdd_energy_j: Some(0.5),
            ..op("c", TpuCoreType::Unknown, 8, vec![])
        };
        let csv = crate::answer::csv::write(&table_of(vec![op]));
        assert_eq!(
            csv.lines().nth(1),
            Some(concat!(
                r#""1.0","18446744073709551615","copy","c","c","","2.0","10.0","5.0","8.0","4.0","50.0","50.0","0.5","#,
                r#""1.0","2.0","0.0","0.0","0.0","0.0","0.0","Unknown","No","No","Yes","","","","0.5""#
            ))
        );
        assert_eq!(csv.lines().next().map(|l| l.split("\",\"").count()), Some(29));
    }
}
