//! From a request to map jobs: one per trace, the largest first.
//!
//! Takes the selected traces, gives jobs and where each part belongs. Pure.

use std::sync::Arc;
use std::time::Instant;

use xprof_core::answer::Format;
use xprof_core::tools::Params;
use xprof_core::tools::registry::Entry;
use xprof_service::storage::TraceIdentity;

/// One selected trace of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The host's name.
    pub host: Arc<str>,
    /// Which version of which file.
    pub identity: TraceIdentity,
}

impl Trace {
    /// The file's base name: what messages to users call it.
    pub fn file_name(&self) -> String {
        self.identity.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// One request, ready to be worked on.
#[derive(Debug, Clone)]
pub struct Request {
    /// The tool.
    pub tool: &'static Entry,
    /// As the tool writes it, or as CSV.
    pub format: Format,
    /// The parameters that a tool may look at.
    pub params: Params,
    /// The traces in the order of the request; one may come twice.
    pub traces: Vec<Trace>,
    /// For logs here and on workers.
    pub request_id: Arc<str>,
    /// When the client stops waiting.
    pub deadline: Instant,
}

/// One map job.
#[derive(Debug, Clone)]
pub struct Job {
    /// What to map.
    pub tool: &'static Entry,
    /// The trace.
    pub trace: Trace,
    /// Only the parameters on which map depends.
    pub params: Params,
    /// For logs.
    pub request_id: Arc<str>,
    /// When the client stops waiting.
    pub deadline: Instant,
    /// The places of its part in the request's order.
    pub places: Vec<usize>,
}

/// The jobs of a request, the largest first: the last job to finish decides when the answer comes.
pub fn plan(request: &Request) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::with_capacity(request.traces.len());
    for (place, trace) in request.traces.iter().enumerate() {
        match jobs.iter_mut().find(|job| job.trace == *trace) {
            Some(job) => job.places.push(place),
            None => jobs.push(Job {
                tool: request.tool,
                trace: trace.clone(),
                params: request.params.only(request.tool.map_params),
                request_id: Arc::clone(&request.request_id),
                deadline: request.deadline,
                places: vec![place],
            }),
        }
    }
    // Stable: equal sizes stay in the order of hosts, so that a plan never depends on anything but the request.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.trace.identity.size_bytes));
    jobs
}
