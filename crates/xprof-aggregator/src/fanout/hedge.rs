//! A second chance for jobs that take long: the same job on another worker, and the first answer counts.
//!
//! Takes two ways to the same result, gives the first that succeeds. It is off unless asked for: it costs work.

use std::time::Duration;

use tokio::sync::{Semaphore, TryAcquireError};
use xprof_service::metrics::{Counter, Metrics};

use crate::error::Result;

/// Of so many jobs that may be under way, one may have a second chance at the same time: when everything is slow, more work
/// does not make it faster.
const JOBS_PER_HEDGE: usize = 10;

/// Who gets a second chance, and when.
#[derive(Debug)]
pub struct Hedge {
    after: Duration,
    free: Semaphore,
    won: Counter,
    lost: Counter,
    none_free: Counter,
}

impl Hedge {
    /// After that time, of `max_jobs` jobs under way; none if the time is zero.
    pub fn new(after: Duration, max_jobs: usize, metrics: &Metrics) -> Option<Self> {
        let count = |outcome| {
            let help = "Map jobs that took long: sent a second time, and which of the two answered first.";
            metrics.counter("xprof_fanout_hedges_total", help, &[("outcome", outcome)])
        };
        (!after.is_zero()).then(|| Self {
            after,
            free: Semaphore::new(max_jobs.div_ceil(JOBS_PER_HEDGE)),
            won: count("won"),
            lost: count("lost"),
            none_free: count("not_sent"),
        })
    }

    /// The result of `first`, or that of `second` if it is there before. `second` begins late and gives nothing if it cannot
    /// help; a failure counts only if it is the first one's.
    pub async fn race<T>(
        &self,
        first: impl Future<Output = Result<T>>,
        second: impl Future<Output = Option<T>>,
    ) -> Result<T> {
        let mut first = std::pin::pin!(first);
        tokio::select! {
            result = &mut first => return result,
            () = tokio::time::sleep(self.after) => {}
        }
        let _permit = match self.free.try_acquire() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                self.none_free.inc();
                return first.await;
            }
        };
        let mut second = std::pin::pin!(second);
        let failed = tokio::select! {
            result = &mut first => match result {
                Ok(value) => {
                    self.lost.inc();
                    return Ok(value);
                }
                Err(error) => error,
            },
            value = &mut second => match value {
                Some(value) => {
                    self.won.inc();
                    return Ok(value);
                }
                None => {
                    self.lost.inc();
                    return first.await;
                }
            },
        };
        // What the first way could not do the second may.
        match second.await {
            Some(value) => {
                self.won.inc();
                Ok(value)
            }
            None => {
                self.lost.inc();
                Err(failed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::error::Error;

    const AFTER: Duration = Duration::from_secs(1);

    async fn after<T>(s: u64, value: T) -> T {
        tokio::time::sleep(Duration::from_secs(s)).await;
        value
    }

    fn late<T>() -> Result<T> {
        Err(Error::TimedOut("1s".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_counts() {
        let metrics = Metrics::new();
        let hedge = Hedge::new(AFTER, 10, &metrics).unwrap();
        assert_eq!(hedge.race(after(0, Ok(1)), after(0, Some(2))).await.unwrap(), 1, "no second chance is needed");
        assert_eq!(metrics.value("xprof_fanout_hedges_total"), Some(0));
        assert_eq!(hedge.race(pending(), after(3, Some(2))).await.unwrap(), 2);
        assert_eq!(hedge.race(after(3, Ok(1)), pending()).await.unwrap(), 1);
        assert_eq!(hedge.race(after(9, Ok(1)), after(3, None)).await.unwrap(), 1);
        assert_eq!(hedge.race(after(3, late()), after(9, Some(2))).await.unwrap(), 2);
        assert!(hedge.race::<u8>(after(3, late()), after(9, None)).await.is_err());
        let text = metrics.render();
        assert!(text.contains("outcome=\"won\"} 2") && text.contains("outcome=\"lost\"} 3"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn few_get_a_second_chance_at_once() {
        let metrics = Metrics::new();
        let hedge = Hedge::new(AFTER, 10, &metrics).unwrap();
        let (one, two) = tokio::join!(
            hedge.race(after(9, Ok(1)), after(1, Some(2))),
            hedge.race(after(9, Ok(1)), after(1, Some(2)))
        );
        assert_eq!(one.unwrap() + two.unwrap(), 3, "one of them waits for its first worker");
        assert!(metrics.render().contains("outcome=\"not_sent\"} 1"));
        assert!(Hedge::new(Duration::ZERO, 10, &metrics).is_none());
    }
}
