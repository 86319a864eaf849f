//! Logs: lines on stderr, for people or as JSON, with the ids of the spans they are written in.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::settings::{Log, LogFormat};

pub(crate) use crate::settings::without_secrets;

/// Starts logging. Whoever started it before in this process is left in charge.
pub(crate) fn init(log: &Log) {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = !no_color && io::stderr().is_terminal();
    drop(tracing::subscriber::set_global_default(subscriber(log, io::stderr, colour)));
}

fn subscriber<W>(log: &Log, writer: W, colour: bool) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // A stderr that is gone must not become a panic in whoever logs.
    let lines = fmt::layer().with_writer(writer).with_ansi(colour).log_internal_errors(false);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    registry().with(filter(&log.level)).with(lines)
}

fn filter(level: &str) -> EnvFilter {
    // The settings have checked it; one made by hand may be wrong.
    let filter = EnvFilter::builder().parse(level).unwrap_or_else(|_| EnvFilter::new("info"));
    if level.contains("opentelemetry") {
        return filter;
    }
    // The SDK would log each failed export; the exporter says it once.
    filter.add_directive("opentelemetry=off".parse().expect("a directive written here"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, format: LogFormat) -> String {
        let buffer = Buffer::default();
        let copy = buffer.clone();
        let log = Log { level: level.to_owned(), format };
        tracing::subscriber::with_default(subscriber(&log, move || copy.clone(), false), || {
            let _span = tracing::info_span!("attempt", run = "r1", job = "0-1").entered();
            let _inner = tracing::info_span!("record", fact = "ended").entered();
            tracing::info!(slots = 4, "started");
            tracing::debug!("a detail");
            tracing::error!(target: "opentelemetry_sdk", "export failed");
        });
        let bytes = buffer.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_line_for_people_names_run_and_job() {
        let text = logged("info", LogFormat::Text);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("attempt{run=\"r1\" job=\"0-1\"}:record"), "{text}");
        assert!(text.contains("started slots=4"), "{text}");
        assert!(!text.contains('\u{1b}'), "no colour: {text}");
    }

    #[test]
    fn a_json_line_has_run_and_job_as_fields() {
        let text = logged("info", LogFormat::Json);
        let line: serde_json::Value = serde_json::from_str(text.trim()).expect("one JSON object");
        assert_eq!(line["message"], "started");
        assert_eq!(line["slots"], 4);
        assert_eq!(line["spans"][0]["run"], "r1");
        assert_eq!(line["spans"][0]["job"], "0-1");
        assert_eq!(line["span"]["fact"], "ended");
    }

    #[test]
    fn the_sdk_is_quiet_unless_asked_for() {
        assert!(!logged("debug", LogFormat::Text).contains("export failed"));
        assert!(logged("info,opentelemetry=error", LogFormat::Text).contains("export failed"));
        assert!(logged("=!", LogFormat::Text).contains("started"), "a wrong level logs as info does");
    }
}
