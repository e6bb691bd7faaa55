//! Runs the jobs of a request and hands over their parts in the order of its hosts.
//!
//! Takes jobs, a way to run one, and a fold over parts. A damaged trace spares the other hosts: it is passed over when its
//! turn comes. Any other failure ends the request, and dropping the rest of the jobs cancels them.
//!
//! Parts arrive in any order; what came before its turn waits. No more than a window of jobs is under way, waiting, or
//! being folded, so that the memory of a request does not grow with the number of its hosts.

use std::collections::BTreeMap;
use std::pin::pin;

use futures::future::Fuse;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};

use super::Part;
use super::plan::Job;
use crate::error::{Error, Result};

/// Some parts whose turn has come, with their places in the request's order.
pub type Batch = Vec<(usize, Part)>;

/// Runs all jobs, at most `window` of them at a time, and folds their parts into `begin` in the order of places.
///
/// Gives what was folded and the failures by place, in order, also if all have failed. Jobs must be in the order of places if they are more than
/// the window. While one batch is folded, the jobs go on.
pub async fn gather<S, F, G>(
    jobs: Vec<Job>,
    window: usize,
    run: impl Fn(Job) -> F,
    begin: S,
    fold: impl Fn(S, Batch) -> G,
) -> Result<(S, Vec<(usize, Error)>)>
where
    F: Future<Output = Result<Part>>,
    G: Future<Output = Result<S>>,
{
    let mut jobs = jobs.into_iter();
    let mut running = FuturesUnordered::new();
    let mut turns = Turns::default();
    let mut idle = Some(begin);
    let mut folding = pin!(Fuse::terminated());
    loop {
        while turns.n_open() < window.max(1)
            && let Some(job) = jobs.next()
        {
            turns.n_begun += 1;
            let places = job.places.clone();
            let part = run(job);
            running.push(async move { (places, part.await) });
        }
        if let Some(state) = idle.take() {
            let batch = turns.take();
            if !batch.is_empty() {
                folding.set(fold(state, batch).fuse());
            } else if !running.is_empty() {
                idle = Some(state);
            } else if jobs.len() > 0 {
                // All that was under way has failed.
                idle = Some(state);
                continue;
            } else {
                return Ok((state, turns.failed));
            }
        }
        tokio::select! {
            Some((places, result)) = running.next() => turns.arrive(places, &result)?,
            state = &mut folding => {
                idle = Some(state?);
                turns.folded();
            }
        }
    }
}

/// Whose turn it is, and what arrived before its turn.
#[derive(Default)]
struct Turns {
    next_place: usize,
    waiting: BTreeMap<usize, Waiting>,
    failed: Vec<(usize, Error)>,
    n_begun: usize,
    /// Jobs whose part had its first turn, but may still be in the batch that is folded.
    n_turned: usize,
    n_folded: usize,
}

struct Waiting {
    result: Result<Part>,
    /// Whether the part has had no turn yet. One that stands in several places waits for its later turns without a share
    /// in the window: it could block it.
    is_first: bool,
}

impl Turns {
    /// Jobs that count for the window.
    fn n_open(&self) -> usize {
        self.n_begun - self.n_folded
    }

    fn arrive(&mut self, places: Vec<usize>, result: &Result<Part>) -> Result<()> {
        if let Err(error) = result
            && !error.spares_other_hosts()
        {
            return Err(error.clone());
        }
        for (i, place) in places.into_iter().enumerate() {
            self.waiting.insert(place, Waiting { result: result.clone(), is_first: i == 0 });
        }
        Ok(())
    }

    /// What follows without a gap on what was taken before.
    fn take(&mut self) -> Batch {
        let mut batch = Batch::new();
        while let Some(Waiting { result, is_first }) = self.waiting.remove(&self.next_place) {
            match result {
                Ok(part) => batch.push((self.next_place, part)),
                Err(error) => self.failed.push((self.next_place, error)),
            }
            self.n_turned += usize::from(is_first);
            self.next_place += 1;
        }
        if batch.is_empty() {
            self.folded();
        }
        batch
    }

    /// The last batch is folded.
    fn folded(&mut self) {
        self.n_folded = self.n_turned;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use tokio::sync::oneshot;
    use xprof_core::artifact::AnyArtifact;
    use xprof_core::diag::{Problem, ProblemKind};
    use xprof_core::tools::{Params, registry};
    use xprof_service::storage::TraceIdentity;

    use super::super::Trace;
    use super::*;
    use crate::error::Fault;

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

    fn damaged() -> Error {
        Error::Job { file: String::new(), code: "malformed_trace", message: String::new(), fault: Fault::Trace }
    }

    /// Folds into the list of what parts say of themselves.
    async fn collect(mut seen: Vec<(usize, u64)>, batch: Batch) -> Result<Vec<(usize, u64)>> {
        // Folding takes a while.
        tokio::task::yield_now().await;
        seen.extend(batch.into_iter().map(|(place, part)| (place, part.problems[0].count)));
        Ok(seen)
    }

    /// A promise per place, kept in the order `arrival`; places in `bad` fail.
    async fn gathered(jobs: Vec<Job>, window: usize, arrival: &[usize], bad: &[usize]) -> Vec<(usize, u64)> {
        let (senders, receivers): (Vec<_>, Vec<_>) = arrival.iter().map(|_| oneshot::channel::<()>()).unzip();
        let mut senders: Vec<_> = senders.into_iter().map(Some).collect();
        let receivers = std::sync::Mutex::new(receivers.into_iter().map(Some).collect::<Vec<_>>());
        let run = |job: Job| {
            let place = job.places[0];
            let receiver = receivers.lock().unwrap()[place].take().unwrap();
            async move {
                receiver.await.unwrap();
                if bad.contains(&place) { Err(damaged()) } else { Ok(part(place)) }
            }
        };
        let gathering = gather(jobs, window, run, Vec::new(), collect);
        let arrive = async {
            for place in arrival {
                senders[*place].take().unwrap().send(()).unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (gathered, ()) = tokio::join!(gathering, arrive);
        let (seen, failed) = gathered.unwrap();
        assert_eq!(failed.iter().map(|(place, _)| *place).collect::<Vec<_>>(), bad);
        seen
    }

    #[tokio::test]
    async fn parts_take_their_turns_in_whatever_order_they_arrive() {
        for arrival in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            // The plan puts the largest first if all fit, so jobs are not in the order of places either.
            let jobs = || vec![job(2), job(0), job(3), job(1)];
            let seen = gathered(jobs(), 4, &arrival, &[]).await;
            assert_eq!(seen, [(0, 1), (1, 2), (2, 3), (3, 4)], "arrival {arrival:?}");
            let seen = gathered(jobs(), 4, &arrival, &[0, 2]).await;
            assert_eq!(seen, [(1, 2), (3, 4)], "arrival {arrival:?}");
            for window in 1..4 {
                let seen = gathered((0..4).map(job).collect(), window, &arrival, &[1, 2]).await;
                assert_eq!(seen, [(0, 1), (3, 4)], "arrival {arrival:?}, window {window}");
            }
        }
    }

    #[tokio::test]
    async fn a_window_of_parts_is_held_and_no_more() {
        const WINDOW: usize = 4;
        let (held, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let run = |job: Job| {
            let (held, most) = (&held, &most);
            async move {
                // Every fifth part comes far too late for its turn.
                let n_yields = if job.places[0].is_multiple_of(5) { 50 } else { job.places[0] % 3 };
                for _ in 0..n_yields {
                    tokio::task::yield_now().await;
                }
                most.fetch_max(held.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                Ok(part(job.places[0]))
            }
        };
        let fold = |n_seen: usize, batch: Batch| {
            let held = &held;
            async move {
                for _ in 0..7 {
                    tokio::task::yield_now().await;
                }
                assert!(batch.iter().zip(n_seen..).all(|((place, _), turn)| *place == turn));
                held.fetch_sub(batch.len(), Ordering::Relaxed);
                Ok(n_seen + batch.len())
            }
        };
        let (n_seen, _) = gather((0..100).map(job).collect(), WINDOW, run, 0, fold).await.unwrap();
        assert_eq!((n_seen, most.into_inner()), (100, WINDOW));
    }

    #[tokio::test]
    async fn one_part_can_stand_in_several_places() {
        let jobs = || vec![Job { places: vec![0, 3, 4], ..job(0) }, Job { places: vec![1, 5], ..job(1) }, job(2)];
        for window in 1..4 {
            let run = |job: Job| async move { Ok(part(job.places[0])) };
            let (seen, _) = gather(jobs(), window, run, Vec::new(), collect).await.unwrap();
            assert_eq!(seen, [(0, 1), (1, 2), (2, 3), (3, 1), (4, 1), (5, 2)]);
        }
    }

    #[tokio::test]
    async fn damaged_traces_are_told_and_other_failures_end_the_request() {
        let all_bad = gather((0..5).map(job).collect(), 2, |_| async { Err(damaged()) }, Vec::new(), collect).await;
        let (seen, failed) = all_bad.unwrap();
        assert_eq!((seen, failed.len(), failed[4].1.code()), (vec![], 5, "malformed_trace"));
        let run = |job: Job| async move {
            if job.places[0] == 3 { Err(Error::Internal(String::new())) } else { Ok(part(job.places[0])) }
        };
        let one_fatal = gather((0..5).map(job).collect(), 2, run, Vec::new(), collect).await;
        assert_eq!(one_fatal.unwrap_err().code(), "internal");
        let fold = |(), _| async { Err(Error::Internal(String::new())) };
        let odd_fold = gather(vec![job(0)], 2, |_| async { Ok(part(0)) }, (), fold).await;
        assert_eq!(odd_fold.unwrap_err().code(), "internal");
    }
}
