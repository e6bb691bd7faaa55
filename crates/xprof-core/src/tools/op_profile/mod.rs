//! Where the time of devices goes, as trees of ops: by program, by category, or by place in the program's source.
//!
//! Takes the statistics of all hosts; gives the two trees of one grouping, with and without idle time.

mod cost;
mod kernel_metadata;
mod render;
mod tree;

use crate::answer::Answer;
use crate::answer::json::{Dialect, JsonWriter};
use crate::opstats::framework_ops::Idle;
use crate::opstats::hardware::hardware;
use crate::opstats::numbers::safe_div;
use crate::opstats::{self, EdgeSteps, HostStats, Reducer, RunStats};
use crate::prep::Prepared;
use crate::tools::{Params, Tool};
use crate::{Diag, Result};
use cost::Scale;
use tree::Tree;

/// The tool.
#[derive(Debug)]
pub struct OpProfile;

/// How ops are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// By program, then by category.
    Program,
    /// By category.
    Category,
    /// By program, then by name scopes, then by category.
    Provenance,
}

impl GroupBy {
    /// The name of the tree's root.
    fn root_name(self) -> &'static str {
        match self {
            Self::Program => "by_program",
            Self::Category => "by_category",
            Self::Provenance => "by_provenance",
        }
    }

    /// The fields that hold the trees with and without idle time.
    fn fields(self) -> [&'static str; 2] {
        match self {
            Self::Program => ["byProgram", "byProgramExcludeIdle"],
            Self::Category => ["byCategory", "byCategoryExcludeIdle"],
            Self::Provenance => ["byProvenance", "byProvenanceExcludeIdle"],
        }
    }
}

impl Tool for OpProfile {
    const NAME: &'static str = "op_profile";
    const PARAMS: &'static [&'static str] = &["group_by"];

    type Options = GroupBy;
    type Artifact = HostStats;
    type Whole = RunStats;
    type Reduction = Reducer;

    // === options ===

    fn options(params: &Params) -> Result<GroupBy> {
        // parity: anything that is not known groups by program.
        Ok(match params.get("group_by") {
            Some("category") => GroupBy::Category,
            Some("provenance") => GroupBy::Provenance,
            _ => GroupBy::Program,
        })
    }

    // === map ===

    fn map(host: &Prepared, _group_by: &GroupBy, diag: &mut Diag) -> Result<HostStats> {
        opstats::map(host, diag)
    }

    // === reduce ===

    fn reduce(_group_by: &GroupBy) -> Reducer {
        Reducer::new(EdgeSteps::Drop)
    }

    // === render ===

    fn render(run: &RunStats, group_by: &GroupBy, out: &mut Answer) -> Result<()> {
        let device = run.device_ops();
        let trees = [(Idle::Include, device.total_time_ps), (Idle::Exclude, device.total_op_time_ps)].map(
            |(idle, total_ps)| (Tree::build(run, *group_by, idle, total_ps), Scale::new(run.perf_env(), total_ps)),
        );
        let [with_idle, without_idle] = group_by.fields();
        let mut json = JsonWriter::new(out.buffer(), Dialect::Proto);
        let write_tree = |json: &mut JsonWriter<'_>, field, (tree, scale): &(Tree<'_>, Scale<'_>)| {
            json.key(field);
            render::write_node(json, tree, tree::ROOT, scale);
        };
        // Fields come in the order of their numbers, and the device type's lies between those of the trees.
        let device_type_goes_first = *group_by == GroupBy::Provenance;
        json.begin_object();
        if !device_type_goes_first {
            write_tree(&mut json, with_idle, &trees[0]);
        }
        json.key("deviceType").string(hardware(run.run_environment()).as_str_name());
        if device_type_goes_first {
            write_tree(&mut json, with_idle, &trees[0]);
        }
        write_tree(&mut json, without_idle, &trees[1]);
        let multiplier = safe_div(device.normalized_total_op_time_ps as f64, device.total_op_time_ps as f64);
        json.key("aggDvfsTimeScaleMultiplier").double(multiplier);
        json.end_object();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Format;
    use crate::opstats::tests::run_of;
    use serde_json::Value;
    use xprof_proto::tensorflow::profiler::{OpMetrics, OpMetricsDb, OpStats};

    fn op(name: &str, category: &str, time_ps: u64) -> OpMetrics {
        OpMetrics {
            name: name.into(),
            category: category.into(),
            time_ps,
            self_time_ps: time_ps,
            occurrences: 1,
            hlo_module_id: 8,
            provenance: "jit(f)/while/body/add:Add".into(),
            ..OpMetrics::default()
        }
    }

    fn answer(ops: Vec<OpMetrics>, group_by: GroupBy) -> Value {
        let total_op_time_ps = ops.iter().filter(|op| op.category != "IDLE").map(|op| op.self_time_ps).sum();
        let device = OpMetricsDb { metrics_db: ops, total_time_ps: 100, total_op_time_ps, ..OpMetricsDb::default() };
        let run = run_of(OpStats {
            device_op_metrics_db: Some(device),
            program_id_to_name_map: [(8, "jit_f".to_owned())].into(),
            ..OpStats::default()
        });
        let mut answer = Answer::new(Format::Native);
        OpProfile::render(&run, &group_by, &mut answer).unwrap();
        serde_json::from_slice(&answer.finish().unwrap().body).unwrap()
    }

    /// The tree as one line: name, time, then the children in parentheses.
    fn outline(node: &Value) -> String {
        let children: Vec<String> = node["children"].as_array().unwrap().iter().map(outline).collect();
        let children = if children.is_empty() { String::new() } else { format!("({})", children.join(" ")) };
        format!("{}:{}{children}", node["name"].as_str().unwrap(), node["metrics"]["rawTime"])
    }

    fn check(ops: Vec<OpMetrics>, group_by: GroupBy, expected: &str) {
        let answer = answer(ops, group_by);
        assert_eq!(outline(&answer[group_by.fields()[0]]), expected);
    }

    #[test]
    fn groups_ops() {
        let ops = || vec![op("add.1", "fusion", 10), op("copy", "copy", 5), op("region.2", "copy", 5)];
        check(ops(), GroupBy::Program, "by_program:100(jit_f(8):15(fusion:10(add.1:10) copy:5(copy:5)))");
        check(ops(), GroupBy::Category, "by_category:100(fusion:10(add.1:10) copy:5(copy:5))");
        check(
            ops(),
            GroupBy::Provenance,
            "by_provenance:100(jit_f(8):15(jit(f):15(while:15(body:15(add:15(fusion:10(add.1:10) copy:5(copy:5)))))))",
        );
    }

    #[test]
    fn names_duplicates_after_the_longest() {
        let mut ops = vec![op("add.1", "fusion", 10), op("add.2", "fusion", 20)];
        for op in &mut ops {
            op.deduplicated_name = "add".into();
        }
        let expected = "by_category:100(fusion:30(add.2 and its duplicate(s):30(add.2:20 add.1:10)))";
        check(ops, GroupBy::Category, expected);
    }

    #[test]
    fn replaces_the_root_of_idle_profiles() {
        check(vec![op("IDLE", "IDLE", 7)], GroupBy::Program, "IDLE:7");
        check(vec![], GroupBy::Program, "by_program:100");
    }

    #[test]
    fn hides_ops_with_children_but_counts_their_time() {
        let mut parent = op("while", "while", 30);
        parent.self_time_ps = 20;
        check(
            vec![parent, op("add", "fusion", 10)],
            GroupBy::Program,
            "by_program:100(jit_f(8):30(fusion:10(add:10)))",
        );
    }
}
