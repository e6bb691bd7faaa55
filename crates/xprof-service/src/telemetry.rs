//! Logs: `tracing` events on standard error, as text for people or one JSON object per line for collectors.
//!
//! A request must not wait for whoever reads the log: a thread of its own writes the lines, several at a time, and lines are
//! left out when the reader falls far behind.
//!
//! House rules for messages: lower case, no final dot, values in fields.

use std::fmt::Debug;
use std::io::{self, BufWriter, Write, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{FmtSpan, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::ConfigError;

/// How long lines may wait for others. A person does not notice, and under load hundreds come together: to wake the writing
/// thread for each one took an eighth of the server's time.
const GATHER: Duration = Duration::from_millis(4);

/// Writes what waits when it is dropped.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Installs the process-wide subscriber. `filter` is `--log`, `format` is `--log_format`.
pub fn init(filter: &str, format: &str) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|_| ConfigError::invalid("--log", filter, "a level or a list such as info,xprof_service=debug"))?;
    let (lines, guard) = NonBlocking::new(Gathered(BufWriter::new(stderr())));
    let layer = tracing_subscriber::fmt::layer().with_writer(lines).with_span_events(FmtSpan::NONE);
    let registry = tracing_subscriber::registry().with(filter);
    let done = if format == "json" {
        registry.with(layer.json().flatten_event(true).with_current_span(false)).try_init()
    } else if io::IsTerminal::is_terminal(&stderr()) {
        registry.with(layer).try_init()
    } else {
        // Colour codes only where a person looks: never in files and collectors. The usual way to write fields weighs for each
        // whether it is coloured, which costs more than the field.
        registry.with(layer.with_ansi(false).fmt_fields(PlainFields)).try_init()
    };
    // A second call is a test that starts two services in one process; the first subscriber stays.
    if done.is_ok() {
        *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    }
    Ok(())
}

/// Writes at once after a pause, and after that what has gathered.
struct Gathered<W: Write>(BufWriter<W>);

impl<W: Write> Write for Gathered<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// Called when no more lines wait.
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        std::thread::sleep(GATHER);
        Ok(())
    }
}

/// `message name="text" number=5`, as the usual way without colours writes it.
struct PlainFields;

impl<'w> FormatFields<'w> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> std::fmt::Result {
        let mut line = Line { out: writer, separator: "", result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'w> {
    out: Writer<'w>,
    separator: &'static str,
    result: std::fmt::Result,
}

impl Line<'_> {
    fn name(&mut self, field: &Field) -> std::fmt::Result {
        self.out.write_str(self.separator)?;
        self.separator = " ";
        match field.name() {
            "message" => Ok(()),
            name => {
                self.out.write_str(name.strip_prefix("r#").unwrap_or(name))?;
                self.out.write_char('=')
            }
        }
    }

    /// A text in quotes. Most texts hold nothing that must be escaped, and looking for it by bytes is much faster.
    fn text(&mut self, text: &str) -> std::fmt::Result {
        if text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\') {
            self.out.write_char('"')?;
            self.out.write_str(text)?;
            self.out.write_char('"')
        } else {
            write!(self.out, "{text:?}")
        }
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            self.result = self.name(field).and_then(|()| match field.name() {
                "message" => self.out.write_str(value),
                _ => self.text(value),
            });
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.result.is_ok() {
            self.result = self.name(field).and_then(|()| write!(self.out, "{value:?}"));
        }
    }
}

/// Writes the lines that wait. The last thing that a program does.
pub fn flush() {
    drop(WRITER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What both ways to write fields make of the same events.
    fn check(log: impl Fn()) -> String {
        let written = |plain: bool| {
            let out = Log::default();
            let to = out.clone();
            let layer =
                tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_writer(move || to.clone());
            let registry = tracing_subscriber::registry();
            if plain {
                tracing::subscriber::with_default(registry.with(layer.fmt_fields(PlainFields)), &log);
            } else {
                tracing::subscriber::with_default(registry.with(layer), &log);
            }
            String::from_utf8(out.0.lock().unwrap().clone()).unwrap()
        };
        let (ours, usual) = (written(true), written(false));
        assert_eq!(ours, usual);
        ours
    }

    #[test]
    fn writes_fields_as_the_usual_way_does() {
        let text = check(|| {
            let span = tracing::info_span!("map_job", host = "h0", n = 3, debug = ?Some("x"), display = %"a b");
            let _in = span.enter();
            tracing::info!(
                run = "a/b c",
                empty = "",
                quoted = "\"\\\n\u{e9}",
                n = 5_u64,
                ms = 1.5,
                yes = true,
                r#type = 1,
                "request"
            );
            tracing::warn!(error = %"two\nlines", "what {} it", "is");
        });
        assert!(text.contains("request run=\"a/b c\" empty=\"\" quoted="), "{text}");
    }
}
