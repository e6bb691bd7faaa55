//! Collects the parts of a request in the order of its hosts.
//!
//! Takes jobs and a way to run one, gives parts. A damaged trace spares the other hosts; any other failure ends the request,
//! and dropping the rest of the jobs cancels them.

use futures::{StreamExt as _, stream};

use super::Part;
use super::plan::Job;
use crate::error::{Error, Result};

/// The parts that were made, and the traces that were not.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Parts by place in the request's order; none where the trace failed.
    pub parts: Vec<Option<Part>>,
    /// The failures by place, in order.
    pub failed: Vec<(usize, Error)>,
}

/// Runs all jobs, at most `at_once` of them at a time.
pub async fn gather<F>(jobs: Vec<Job>, n_places: usize, at_once: usize, run: impl Fn(Job) -> F) -> Result<Gathered>
where
    F: Future<Output = Result<Part>>,
{
    let mut gathered = Gathered { parts: Vec::new(), failed: Vec::new() };
    gathered.parts.resize_with(n_places, || None);
    let mut results = stream::iter(jobs)
        .map(|job| {
            let places = job.places.clone();
            let running = run(job);
            async move { (places, running.await) }
        })
        .buffer_unordered(at_once.max(1));
    while let Some((places, result)) = results.next().await {
        match result {
            Ok(part) => places.iter().for_each(|&place| gathered.parts[place] = Some(part.clone())),
            Err(error) if error.spares_other_hosts() => {
                gathered.failed.extend(places.into_iter().map(|place| (place, error.clone())));
            }
            Err(error) => return Err(error),
        }
    }
    drop(results);
    gathered.failed.sort_by_key(|(place, _)| *place);
    match gathered.failed.first() {
        Some((_, error)) if gathered.failed.len() == n_places => Err(error.clone()),
        _ => Ok(gathered),
    }
}
