//! From a signal to the exit: stop accepting, let running work finish, give up after the grace period.
//!
//! ```text
//! running ──SIGTERM, SIGINT──▶ draining ──work done──▶ exit 0
//!                                 │ grace period over ─▶ exit 75
//!                                 └ second signal ─────▶ exit at once
//! ```

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Shared by everything that has to know that the process is going away. Clones are the same.
#[derive(Debug, Clone)]
pub struct Shutdown {
    draining: CancellationToken,
    grace: Duration,
}

/// How draining ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All work finished.
    Clean,
    /// The grace period ended first.
    Cut,
}

impl Shutdown {
    /// Begins only when [`Shutdown::begin`] is called.
    pub fn manual(grace: Duration) -> Self {
        Self { draining: CancellationToken::new(), grace }
    }

    /// Begins with SIGTERM or SIGINT; a second signal exits the process at once.
    pub fn on_signals(grace: Duration) -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut term = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let this = Self::manual(grace);
        let shutdown = this.clone();
        tokio::spawn(async move {
            let name = tokio::select! { _ = term.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" };
            tracing::info!(signal = name, grace_s = grace.as_secs_f64(), "shutting down");
            shutdown.begin();
            let (name, code) =
                tokio::select! { _ = term.recv() => ("SIGTERM", 143), _ = interrupt.recv() => ("SIGINT", 130) };
            tracing::warn!(signal = name, "second signal, exiting at once");
            std::process::exit(code);
        });
        Ok(this)
    }

    /// Starts draining.
    pub fn begin(&self) {
        self.draining.cancel();
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits until draining begins.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Waits for the draining to begin and then for the end of the grace period. For a `select!` against the running server.
    pub async fn grace_over(&self) {
        self.draining().await;
        tokio::time::sleep(self.grace).await;
    }

    /// Runs a server, which stops by itself some time after draining begins, but no longer than the grace period.
    pub async fn bound<T>(&self, server: impl Future<Output = T>) -> (Option<T>, Drained) {
        tokio::select! {
            value = server => (Some(value), Drained::Clean),
            () = self.grace_over() => (None, Drained::Cut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ends_cleanly_or_after_the_grace_period() {
        let shutdown = Shutdown::manual(Duration::from_millis(20));
        assert_eq!(shutdown.bound(async { 7 }).await, (Some(7), Drained::Clean));
        assert!(!shutdown.is_draining());
        shutdown.begin();
        assert_eq!(shutdown.bound(std::future::pending::<()>()).await, (None, Drained::Cut));
    }
}
