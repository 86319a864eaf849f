//! The sections besides `[nats]`, from merged values to checked ones.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;

use config::Value;
use rfx_schemas::name::Queue;
use tracing_subscriber::EnvFilter;

use super::parse::{self, Parsed};
use super::reader::Reader;
use super::{Collector, Log, LogFormat, Publisher, Telemetry, Worker, server};

/// Most attempts at once in one queue of one worker: far above what a machine serves.
const MAX_SLOTS: u32 = 4096;

/// Reads `[worker]`.
pub(super) fn worker(reader: &mut Reader<'_>) -> Worker {
    let pools = reader.get("worker.pools", parse::list);
    let slots = reader.entries("worker.slots", slots);
    if slots.is_empty() && !reader.has_refused("worker.slots") {
        reader.refuse("worker.slots", "a worker serves at least one queue, such as \"main=4\"");
    }
    Worker {
        group: reader.get("worker.group", parse::name),
        labels: reader.entries("worker.labels", label),
        slots,
        pools: pools.iter().map(|pool| reader.expand(pool)).collect(),
        python: reader.get("worker.python", parse::text),
        environments: reader.path("worker.environments").unwrap_or_else(|| environments(reader)),
        environment_timeout: reader.get("worker.environment_timeout", parse::duration("1s"..="24h")),
        reload: reader.get("worker.reload", parse::flag),
        drain: reader.get("worker.drain", parse::duration("0s"..="24h")),
        max_deliveries: reader.get("worker.max_deliveries", parse::number(1..=1000)),
    }
}

/// Where environments are kept unless a setting says so: in the user's cache folder, or without a home
/// in the temporary one.
fn environments(reader: &Reader<'_>) -> PathBuf {
    let cache = reader.variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| reader.variable("HOME").map(|home| PathBuf::from(home).join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("rfx/environments")
}

/// Reads `[publisher]`.
pub(super) fn publisher(reader: &mut Reader<'_>) -> Publisher {
    Publisher {
        group: reader.get("publisher.group", parse::name),
        window: reader.get("publisher.window", parse::number(1..=1_000_000)),
        report: reader.path("publisher.report"),
    }
}

/// Reads `[collector]`.
pub(super) fn collector(reader: &mut Reader<'_>) -> Collector {
    let reports = reader.get("collector.reports", parse::text);
    Collector { reports: reader.expand(&reports) }
}

/// Reads `[telemetry]`, and the standard `OTEL_…` variables that the SDK does not honour itself. They
/// are not ours, so a strange one is passed over, not refused.
pub(super) fn telemetry(reader: &mut Reader<'_>) -> Telemetry {
    let mut telemetry = Telemetry {
        endpoint: reader.get("telemetry.endpoint", parse::optional),
        traces_endpoint: reader.get("telemetry.traces_endpoint", parse::optional),
        service_name: reader.get("telemetry.service_name", parse::optional),
        attributes: reader.entries("telemetry.attributes", attribute),
    };
    let standard = |name| reader.variable(name).map(str::to_owned);
    if telemetry.endpoint.is_none() && telemetry.traces_endpoint.is_none() {
        telemetry.endpoint = standard("OTEL_EXPORTER_OTLP_ENDPOINT");
        telemetry.traces_endpoint = standard("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    }
    telemetry.service_name = telemetry.service_name.or_else(|| standard("OTEL_SERVICE_NAME"));
    for (key, value) in standard("OTEL_RESOURCE_ATTRIBUTES").iter().flat_map(|text| attributes(text)) {
        telemetry.attributes.entry(key).or_insert(value);
    }
    let is = |name, text| reader.variable(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(text));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        telemetry.endpoint = None;
        telemetry.traces_endpoint = None;
    }
    telemetry
}

/// Reads `[log]` and `RUST_LOG`.
pub(super) fn log(reader: &mut Reader<'_>) -> Log {
    let level = reader.get("log.level", |value| {
        let level = parse::text(value)?;
        filter(&level).map(|()| level)
    });
    let mut log = Log { level, format: reader.get("log.format", format) };
    if let Some(level) = reader.variable("RUST_LOG") {
        match filter(level) {
            Ok(()) => log.level = level.to_owned(),
            Err(reason) => reader.note(format!("RUST_LOG = {level:?}: {reason}")),
        }
    }
    log
}

fn label(key: &str, value: &Value) -> Parsed<(String, String)> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-./".contains(c);
    let text = parse::scalar(value)?;
    if key.is_empty() || !key.chars().all(valid) {
        return Err("a label's key is lower-case letters, digits and _ - . /".to_owned());
    }
    if text.is_empty() { Err("a label has a value".to_owned()) } else { Ok((key.to_owned(), text)) }
}

fn attribute(key: &str, value: &Value) -> Parsed<(String, String)> {
    Ok((key.to_owned(), parse::scalar(value)?))
}

fn slots(queue: &str, value: &Value) -> Parsed<(Queue, u32)> {
    let queue = parse::parsed(queue)?;
    match parse::number(0..=MAX_SLOTS)(value) {
        Ok(0) => Ok((queue, cores())),
        Ok(slots) => Ok((queue, slots)),
        Err(reason) => Err(format!("{reason}; 0 is one per core")),
    }
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, NonZero::get).try_into().unwrap_or(MAX_SLOTS)
}

/// The entries of `OTEL_RESOURCE_ATTRIBUTES` that can be read.
fn attributes(text: &str) -> BTreeMap<String, String> {
    let pair = |entry: &str| {
        let (key, value) = entry.split_once('=')?;
        Some((key.trim().to_owned(), server::decode(value.trim())?))
    };
    text.split(',').filter_map(pair).filter(|(key, _)| !key.is_empty()).collect()
}

fn filter(level: &str) -> Parsed<()> {
    EnvFilter::builder().parse(level).map(drop).map_err(|_| {
        "it must be error, warn, info, debug, trace or off, also for one part: \"info,rfx_worker=debug\""
            .to_owned()
    })
}

fn format(value: &Value) -> Parsed<LogFormat> {
    match parse::any_text(value)?.as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("it must be text or json".to_owned()),
    }
}
