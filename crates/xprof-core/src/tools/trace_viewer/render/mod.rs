//! Writes timeline answers: the windows of all hosts as JSON or as a protocol buffer.
//!
//! Takes windows, host after host in the order of the request, gives bytes.
//! It must not select, thin or sort events: rows are written as they are.

pub mod json;
pub mod pb;
pub mod text;

use super::window::{Process, Row, RowKind, Window};
use crate::tools::HostPart;

/// How far apart the process ids of two hosts are. parity: they overlap if a host has a device id above this.
const IDS_PER_HOST: u32 = 1000;

/// The window of one host of the request.
pub type Part = HostPart<Window>;

/// The text of a flow's category; empty where nothing is shown.
pub fn category_text(category: u8) -> &'static str {
    const TEXTS: [&str; 18] = [
        "",
        "",
        "tf_exec",
        "tfrt_exec",
        "batch_sched",
        "PjRt",
        "as_batch_sched",
        "tfrt_rt",
        "tpu_embed",
        "gpu_launch",
        "batcher",
        "tpu_stream",
        "tpu_launch",
        "pathways_exec",
        "pjrt_library_call",
        "threadpool_event",
        "jax_serving",
        "sparsecore_offload",
    ];
    TEXTS.get(usize::from(category)).copied().unwrap_or("")
}

/// One process of the answer: usually one device of one host.
pub struct Member<'a> {
    /// Its id.
    pub pid: u32,
    /// Index of the host.
    pub host: usize,
    /// The host's window.
    pub window: &'a Window,
    /// The device.
    pub process: &'a Process,
    /// Its rows.
    pub rows: &'a [Row],
}

/// The processes of all hosts by id. Hosts that do not have the event that was asked for have none.
pub fn members(parts: &[Part]) -> Vec<Member<'_>> {
    let mut members = Vec::new();
    for (host, part) in parts.iter().enumerate().filter(|(_, part)| !part.artifact.not_found) {
        members.extend(members_of(&part.artifact, host, IDS_PER_HOST.wrapping_mul(host as u32 + 1)));
    }
    members.sort_by_key(|m| m.pid);
    members
}

/// The processes of one host; `base` is added to their ids.
pub fn members_of(window: &Window, host: usize, base: u32) -> Vec<Member<'_>> {
    let of = |(i, process): (usize, &'_ Process)| {
        let start = window.rows.partition_point(|row| (row.process as usize) < i);
        let end = window.rows.partition_point(|row| row.process as usize <= i);
        (base.wrapping_add(process.device_id), start..end.max(start))
    };
    let ids = window.processes.iter().enumerate().map(of);
    let members = ids.zip(&window.processes);
    members.map(|((pid, rows), process)| Member { pid, host, window, process, rows: &window.rows[rows] }).collect()
}

/// Begin of the first and end of the last event of all hosts, in picoseconds.
pub fn span(parts: &[Part]) -> (u64, u64) {
    let windows = || parts.iter().map(|p| &*p.artifact).filter(|w| (w.min_ps, w.max_ps) != (0, 0));
    (windows().map(|w| w.min_ps).min().unwrap_or(0), windows().map(|w| w.max_ps).max().unwrap_or(0))
}

/// Switches that a client may offer, with their present values.
pub fn details(parts: &[Part], full_dma: bool) -> impl Iterator<Item = (&'static str, bool)> {
    let has_tpu = parts.iter().any(|p| p.artifact.has_tpu);
    std::iter::once(("mpmd_pipeline_view", false)).chain(has_tpu.then_some(("full_dma", full_dma)))
}

impl Row {
    fn is_thread(&self) -> bool {
        matches!(self.kind, RowKind::Thread(_))
    }
}
