//! What the tests that span crates share: log directories, real processes on free ports, HTTP requests.
//!
//! A test owns everything that it uses: its own directory, its own ports, its own processes.

mod cluster;
mod logdir;

pub use cluster::{Cluster, Process, Reply, free_port, program};
pub use logdir::{LogDir, shared};

/// Every tool that is made of op statistics, for tests that ask all of them.
pub const OP_STATS_TOOLS: &[&str] = &[
    "framework_op_stats",
    "hlo_stats",
    "input_pipeline_analyzer",
    "kernel_stats",
    "op_profile",
    "overview_page",
    "pod_viewer",
    "roofline_model",
    "smart_suggestion",
];
