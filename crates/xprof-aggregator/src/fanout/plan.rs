//! From a request to map jobs: one per trace, in the order in which they should begin.
//!
//! Takes the selected traces, gives jobs and where each part belongs. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;
use std::time::Instant;

use xprof_core::answer::Format;
use xprof_core::tools::Params;
use xprof_core::tools::registry::Entry;
use xprof_service::storage::TraceIdentity;

/// One selected trace of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// The places of its part in the request's order, ascending.
    pub places: Vec<usize>,
}

/// The jobs of a request. At most `window` jobs are under way, or done before their turn, at once.
///
/// If all fit into the window, the largest comes first: the last job to finish decides when the answer comes. If not, jobs
/// begin in the order in which their parts are needed.
pub fn plan(request: &Request, window: usize) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::with_capacity(request.traces.len());
    let mut known: HashMap<&Trace, usize> = HashMap::with_capacity(request.traces.len());
    for (place, trace) in request.traces.iter().enumerate() {
        match known.entry(trace) {
            Slot::Occupied(found) => jobs[*found.get()].places.push(place),
            Slot::Vacant(free) => {
                free.insert(jobs.len());
                jobs.push(Job {
                    tool: request.tool,
                    trace: trace.clone(),
                    params: request.params.only(request.tool.map_params),
                    request_id: Arc::clone(&request.request_id),
                    deadline: request.deadline,
                    places: vec![place],
                });
            }
        }
    }
    if jobs.len() <= window {
        // Stable: equal sizes stay in the order of hosts, so that a plan never depends on anything but the request.
        jobs.sort_by_key(|job| std::cmp::Reverse(job.trace.identity.size_bytes));
    }
    jobs
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use xprof_core::tools::registry;

    use super::*;

    /// A request for traces of these sizes; equal sizes are the same trace.
    fn check(sizes: &[u64], window: usize, expected: &[&[usize]]) {
        let trace = |size: &u64| Trace {
            host: Arc::from(format!("h{size}")),
            identity: TraceIdentity { path: format!("/{size}").into(), size_bytes: *size, modified_unix_ns: 1 },
        };
        let request = Request {
            tool: registry::find("overview_page").unwrap(),
            format: Format::Native,
            params: Params::new(),
            traces: sizes.iter().map(trace).collect(),
            request_id: Arc::from("r"),
            deadline: Instant::now() + Duration::from_secs(60),
        };
        let places: Vec<Vec<usize>> = plan(&request, window).into_iter().map(|job| job.places).collect();
        assert_eq!(places, expected);
    }

    #[test]
    fn begins_with_the_largest_if_all_fit() {
        check(&[5, 9, 7], 3, &[&[1], &[2], &[0]]);
        check(&[5, 9, 7], 2, &[&[0], &[1], &[2]]);
    }

    #[test]
    fn maps_a_trace_once() {
        check(&[5, 9, 5, 9, 7, 5], 8, &[&[1, 3], &[4], &[0, 2, 5]]);
        check(&[5, 9, 5, 9, 7, 5], 1, &[&[0, 2, 5], &[1, 3], &[4]]);
    }
}
