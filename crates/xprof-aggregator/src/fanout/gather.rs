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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use tokio::sync::oneshot;
    use xprof_core::artifact::AnyArtifact;
    use xprof_core::diag::{Problem, ProblemKind};
    use xprof_core::tools::{Params, registry};
    use xprof_service::storage::TraceIdentity;

    use super::super::Trace;
    use super::*;

    fn artifact() -> AnyArtifact {
        registry::find("overview_page").unwrap().decode(bytes::Bytes::new()).unwrap()
    }

    fn job(place: usize) -> Job {
        let identity = TraceIdentity { path: format!("/{place}").into(), size_bytes: 1, modified_unix_ns: 1 };
        Job {
            tool: registry::find("overview_page").unwrap(),
            trace: Trace { host: Arc::from(format!("h{place}")), identity },
            params: Params::new(),
            request_id: Arc::from("r"),
            deadline: Instant::now() + Duration::from_secs(60),
            places: vec![place],
        }
    }

    /// A part that can be told from others.
    fn part(place: usize) -> Part {
        let problem = Problem { kind: ProblemKind::UnsortedLine, count: place as u64 + 1, example: String::new() };
        Part { artifact: artifact(), problems: vec![problem] }
    }

    #[tokio::test]
    async fn parts_keep_their_places_in_whatever_order_they_arrive() {
        for arrival in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| oneshot::channel::<Part>()).unzip();
            let mut senders: Vec<_> = senders.into_iter().map(Some).collect();
            let receivers = std::sync::Mutex::new(receivers.into_iter().map(Some).collect::<Vec<_>>());
            // The plan puts the largest first, so jobs are not in the order of places either.
            let jobs = vec![job(2), job(0), job(3), job(1)];
            let gathering = gather(jobs, 4, 4, |job| {
                let receiver = receivers.lock().unwrap()[job.places[0]].take().unwrap();
                async move { Ok(receiver.await.unwrap()) }
            });
            let arrive = async {
                for place in arrival {
                    senders[place].take().unwrap().send(part(place)).ok().unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let (gathered, ()) = tokio::join!(gathering, arrive);
            let marks: Vec<_> = gathered.unwrap().parts.iter().map(|p| p.as_ref().unwrap().problems[0].count).collect();
            assert_eq!(marks, [1, 2, 3, 4], "arrival {arrival:?}");
        }
    }

    #[tokio::test]
    async fn one_part_can_stand_in_several_places() {
        let job = Job { places: vec![0, 2], ..job(0) };
        let gathered = gather(vec![job], 3, 1, |_| async { Ok(part(0)) }).await.unwrap();
        assert!(gathered.parts[0].is_some() && gathered.parts[1].is_none() && gathered.parts[2].is_some());
    }
}
