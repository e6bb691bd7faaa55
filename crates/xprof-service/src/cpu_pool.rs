//! One rayon pool for all conversion work, awaited from tokio.
//!
//! Takes a closure and the span it belongs to; gives its result through a oneshot.
//! A job whose caller has gone away is skipped, and a panic costs one job, never the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::Span;

use crate::metrics::{Gauge, Metrics};

/// The pool. Clones are the same.
#[derive(Clone)]
pub struct CpuPool {
    pool: Arc<rayon::ThreadPool>,
    pending: Gauge,
    running: Gauge,
}

impl std::fmt::Debug for CpuPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CpuPool({} threads)", self.pool.current_num_threads())
    }
}

/// Why a job has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Abandoned {
    /// A defect; the text is the panic's.
    #[error("the conversion failed unexpectedly: {0}")]
    Panicked(String),
    /// The pool was shut down.
    #[error("the conversion pool has stopped")]
    Stopped,
}

impl CpuPool {
    /// Starts the threads; 0 takes the number of CPUs of the container.
    pub fn new(threads: usize, metrics: &Metrics) -> std::io::Result<Self> {
        let threads = if threads == 0 { crate::limits::cpus() } else { threads };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("convert-{i}"))
            .build()
            .map_err(std::io::Error::other)?;
        metrics.gauge("xprof_cpu_threads", "Threads of the conversion pool.").set(threads as i64);
        Ok(Self {
            pool: Arc::new(pool),
            pending: metrics.gauge("xprof_cpu_pending_jobs", "Conversion jobs that wait for a thread."),
            running: metrics.gauge("xprof_cpu_running_jobs", "Conversion jobs that run."),
        })
    }

    /// How many threads.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `work` on the pool inside `span`. Dropping the future skips the job if it has not begun;
    /// a job that has begun is stopped by the `Diag` that it carries.
    pub async fn run<T, F>(&self, span: Span, work: F) -> Result<T, Abandoned>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let waiting = self.pending.hold(1);
        let running = self.running.clone();
        self.pool.spawn(move || {
            drop(waiting);
            if sender.is_closed() {
                return;
            }
            let _running = running.hold(1);
            let result = catch_unwind(AssertUnwindSafe(|| span.in_scope(work)));
            // The receiver may be gone by now: then nobody wants the result.
            drop(sender.send(result.map_err(|panic| Abandoned::Panicked(panic_text(panic.as_ref())))));
        });
        receiver.await.unwrap_or(Err(Abandoned::Stopped))
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_string()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn returns_values_and_survives_panics() {
        let metrics = Metrics::new();
        let pool = CpuPool::new(1, &metrics).unwrap();
        assert_eq!(pool.run(Span::none(), || 6 * 7).await, Ok(42));
        let got: Result<(), _> = pool.run(Span::none(), || panic!("odd input")).await;
        assert_eq!(got, Err(Abandoned::Panicked("odd input".into())));
        assert_eq!(pool.run(Span::none(), || 1).await, Ok(1));
    }

    #[tokio::test]
    async fn skips_abandoned_jobs() {
        let metrics = Metrics::new();
        let pool = CpuPool::new(1, &metrics).unwrap();
        let (release, gate) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(Span::none(), move || gate.recv().is_ok()).await }
        });
        let ran = Arc::new(AtomicUsize::new(0));
        let second = tokio::spawn({
            let (pool, ran) = (pool.clone(), Arc::clone(&ran));
            async move { pool.run(Span::none(), move || ran.fetch_add(1, Ordering::SeqCst)).await }
        });
        while metrics.value("xprof_cpu_pending_jobs") != Some(1) || metrics.value("xprof_cpu_running_jobs") != Some(1) {
            tokio::task::yield_now().await;
        }
        second.abort();
        assert!(second.await.is_err());
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(true));
        assert_eq!(pool.run(Span::none(), || ()).await, Ok(()));
        assert_eq!(ran.load(Ordering::SeqCst), 0);
    }
}
