//! Log lines on stderr, as text for people or as JSON for machines.

use std::fmt;
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::time::SystemTime;

use steadfast::config::LogFormat;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload::Handle;

/// Changes the level of a log that was started.
pub(crate) type SetLevel = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Starts logging at `level`, which `RUST_LOG` overrides. What it answers changes the level.
///
/// # Errors
///
/// A sentence, if neither can be understood.
pub(crate) fn init(level: &str, format: LogFormat) -> Result<SetLevel, String> {
    let filter = from_environment(level)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            let log = log.with_ansi(colours()).event_format(Text);
            let log = log.with_filter_reloading();
            let set = set_level(log.reload_handle());
            log.try_init().map_err(|error| error.to_string())?;
            Ok(set)
        }
        LogFormat::Json => {
            std::panic::set_hook(Box::new(log_panic));
            let log = log.json().flatten_event(true).with_timer(Rfc3339);
            let log = log.with_filter_reloading();
            let set = set_level(log.reload_handle());
            log.try_init().map_err(|error| error.to_string())?;
            Ok(set)
        }
    }
}

fn set_level<S: 'static>(log: Handle<EnvFilter, S>) -> SetLevel {
    Box::new(move |level| {
        let filter = from_environment(level)?;
        log.reload(filter).map_err(|error| error.to_string())
    })
}

fn from_environment(level: &str) -> Result<EnvFilter, String> {
    filter(level, std::env::var("RUST_LOG").ok().as_deref())
}

/// A panic as one line like all others; the default is text of several lines.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("a panic");
    let place = panic.location().map(ToString::to_string);
    tracing::error!(place, panic = message, "a thread panicked");
}

/// Whether lines have colours: on a terminal, unless <https://no-color.org> is asked for.
fn colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stderr().is_terminal()
}

fn filter(level: &str, environment: Option<&str>) -> Result<EnvFilter, String> {
    let (source, directives) = match environment {
        Some(value) if !value.is_empty() => ("RUST_LOG", value),
        _ => ("logging.level", level),
    };
    EnvFilter::try_new(directives).map_err(|error| format!("{source} = {directives:?}: {error}"))
}

/// `2025-07-17 12:34:56 INFO message key=value`, in UTC.
struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = event.metadata().level();
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        write!(writer, "{} ", now.replace('T', " ").trim_end_matches('Z'))?;
        if writer.has_ansi_escapes() {
            write!(writer, "\x1b[{}m{level}\x1b[0m ", colour(*level))?;
        } else {
            write!(writer, "{level} ")?;
        }
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// The number of the terminal colour for `level`.
fn colour(level: tracing::Level) -> u8 {
    match level {
        tracing::Level::ERROR => 31,
        tracing::Level::WARN => 33,
        tracing::Level::INFO => 32,
        tracing::Level::DEBUG => 34,
        tracing::Level::TRACE => 35,
    }
}

/// The time of a JSON line.
struct Rfc3339;

impl FormatTime for Rfc3339 {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(
            writer,
            "{}",
            humantime::format_rfc3339_millis(SystemTime::now())
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn text_lines_read_as_documented() {
        let captured = Captured::default();
        let writer = captured.clone();
        let log = tracing_subscriber::fmt()
            .with_ansi(false)
            .event_format(Text)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::info!(uploads = 5, "Network resilience");
        });
        let line = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        let (time, rest) = line.split_at("2025-07-17 12:34:56".len());
        assert_eq!(rest, " INFO Network resilience uploads=5\n");
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000-00-00 00:00:00");
    }

    #[test]
    fn a_panic_is_one_line_of_json() {
        let captured = Captured::default();
        let writer = captured.clone();
        let log = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_timer(Rfc3339)
            .with_writer(move || writer.clone())
            .finish();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(log_panic));
        tracing::subscriber::with_default(log, || {
            let _ = std::panic::catch_unwind(|| panic!("a \"quoted\"\nmessage"));
        });
        std::panic::set_hook(before);
        let lines = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(line["message"], "a thread panicked");
        assert_eq!(line["panic"], "a \"quoted\"\nmessage");
        assert!(line["place"].as_str().unwrap().contains("logging.rs"));
    }

    #[test]
    fn the_environment_wins_unless_it_is_empty() {
        let level = |config, environment| filter(config, environment).map(|f| f.to_string());
        assert_eq!(level("warn", None).unwrap(), "warn");
        assert_eq!(level("warn", Some("")).unwrap(), "warn");
        assert_eq!(
            level("warn", Some("steadfast=debug")).unwrap(),
            "steadfast=debug"
        );
        assert!(
            level("warn", Some("a=b=c"))
                .unwrap_err()
                .contains("RUST_LOG")
        );
    }
}
