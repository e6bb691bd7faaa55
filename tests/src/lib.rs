//! What the tests that span crates share: log directories, real processes on free ports, HTTP requests.
//!
//! A test owns everything that it uses: its own directory, its own ports, its own processes.

mod cluster;
mod logdir;

pub use cluster::{Cluster, Process, Reply, free_port, program};
pub use logdir::{LogDir, shared};
