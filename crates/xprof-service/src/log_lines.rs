//! Log lines on their way to standard error: gathered for a moment and written together.
//!
//! Takes whole lines from any thread, writes them in their order. A request must not wait for whoever reads the log: lines of
//! `info` and below cost a copy, and are left out and counted when the reader falls far behind. Warnings are written at once.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line may wait for others.
const GATHER: Duration = Duration::from_millis(20);

/// Lines that wait, at most. A reader that is this far behind does not catch up.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// Where lines go. Clones are the same.
#[derive(Clone)]
pub(crate) struct LogLines(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    came: Condvar,
    /// Locked before `waiting` by those who write, so that lines keep their order.
    out: Mutex<Box<dyn Write + Send>>,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    n_left_out: u64,
}

impl LogLines {
    /// Lines to `out`, written by a thread of their own.
    pub(crate) fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Self::new(out);
        let writer = lines.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || writer.write_for_ever())?;
        Ok(lines)
    }

    fn new(out: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Shared { waiting: Mutex::default(), came: Condvar::new(), out: Mutex::new(Box::new(out)) }))
    }

    fn write_for_ever(&self) {
        loop {
            let mut waiting = self.waiting();
            while waiting.bytes.is_empty() {
                waiting = self.0.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            drop(waiting);
            std::thread::sleep(GATHER);
            self.flush();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.bytes.len() + line.len() > MAX_WAITING_BYTES {
            waiting.n_left_out += 1;
            return;
        }
        let is_first = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        drop(waiting);
        if is_first {
            self.0.came.notify_one();
        }
    }

    /// Writes everything that waits.
    pub(crate) fn flush(&self) {
        let mut out = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { mut bytes, n_left_out } = std::mem::take(&mut *self.waiting());
        if n_left_out > 0 {
            bytes.extend_from_slice(
                format!("{n_left_out} log lines were left out: the log is read too slowly\n").as_bytes(),
            );
        }
        // Nobody could be told that the log cannot be written.
        let _ = out.write_all(&bytes).and_then(|()| out.flush());
    }
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, is_urgent: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line { lines: self, is_urgent: *metadata.level() <= Level::WARN }
    }
}

/// Takes one line.
pub(crate) struct Line<'a> {
    lines: &'a LogLines,
    is_urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.is_urgent {
            self.lines.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that can be seen.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(lines: &LogLines, text: &str, is_urgent: bool) {
        Line { lines, is_urgent }.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn lines_keep_their_order_and_warnings_do_not_wait() {
        let log = Log::default();
        let lines = LogLines::new(log.clone());
        line(&lines, "one\n", false);
        line(&lines, "two\n", false);
        assert_eq!(log.text(), "");
        line(&lines, "bad\n", true);
        assert_eq!(log.text(), "one\ntwo\nbad\n");
        line(&lines, "last\n", false);
        lines.flush();
        assert!(log.text().ends_with("bad\nlast\n"));
    }

    #[test]
    fn a_slow_reader_stops_nobody_and_is_told_what_it_missed() {
        let log = Log::default();
        let lines = LogLines::new(log.clone());
        let long = "x".repeat(MAX_WAITING_BYTES / 2);
        for _ in 0..5 {
            line(&lines, &long, false);
        }
        lines.flush();
        let text = log.text();
        assert!(
            text.len() > MAX_WAITING_BYTES && text.ends_with("3 log lines were left out: the log is read too slowly\n")
        );
        line(&lines, "next\n", true);
        assert!(log.text().ends_with("slowly\nnext\n"));
    }

    #[test]
    fn its_thread_writes_without_being_asked() {
        let log = Log::default();
        let lines = LogLines::start(log.clone()).unwrap();
        line(&lines, "one\n", false);
        let began = std::time::Instant::now();
        while log.text().is_empty() {
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        assert_eq!(log.text(), "one\n");
    }
}
