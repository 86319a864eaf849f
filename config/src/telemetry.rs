//! Spans over OTLP, and the start of logging. The only file that knows OpenTelemetry.
//!
//! Invariant: nothing here delays or fails a job. The queue is bounded and never waits, a collector
//! that is not there costs one warning, and the end of the process waits at most [`SHUTDOWN`].

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::trace::TraceContext;

use crate::settings::{Log, Telemetry};
use crate::{logging, process};

/// Longest wait for the last export, for everything together.
pub const SHUTDOWN: Duration = Duration::from_secs(3);

/// Spans that may wait for export; about 1 KB each. More are dropped and counted.
const QUEUE: usize = 8_192;

/// Spans in one request.
const BATCH: usize = 512;

/// How long a span waits for others before it is sent: short, so that a trace can be watched.
const DELAY: Duration = Duration::from_secs(1);

/// Longest wait for one answer of the collector.
const ANSWER: Duration = Duration::from_secs(5);

/// Keeps telemetry going; [`Guard::shutdown`] sends what is left.
#[derive(Debug)]
pub struct Guard {
    spans: Spans,
}

/// Takes finished spans. Cheap to clone; does nothing when no endpoint is set.
#[derive(Debug, Clone, Default)]
pub struct Spans {
    pipeline: Option<Arc<Pipeline>>,
}

/// The span of an attempt, after it ended. Its ids are given, not made.
#[derive(Debug, Clone)]
pub struct AttemptSpan {
    /// The trace, this span's own id, and whether it is kept.
    pub trace: TraceContext,
    /// The span it hangs under; zero for none.
    pub parent: [u8; 8],
    /// What it is called: the function's name, never an id.
    pub name: String,
    /// When it started.
    pub started: Stamp,
    /// When it ended.
    pub ended: Stamp,
    /// Whether its status is ok.
    pub ok: bool,
    /// What was wrong, when it is not ok.
    pub message: Option<String>,
    /// What is known of it, by the names in `docs/telemetry.md`.
    pub attributes: Vec<(std::borrow::Cow<'static, str>, String)>,
    /// Spans that led to it without being its parent.
    pub links: Vec<TraceContext>,
}

/// The way from a finished span to the collector.
#[derive(Debug)]
struct Pipeline {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    tally: Arc<Tally>,
}

/// What became of the spans so far.
#[derive(Debug, Default)]
struct Tally {
    recorded: AtomicU64,
    sent: AtomicU64,
    warned: AtomicBool,
}

/// An exporter that says once that it does not work.
#[derive(Debug)]
struct Quiet {
    exporter: SpanExporter,
    endpoint: String,
    tally: Arc<Tally>,
}

/// Why spans cannot be exported at all.
#[derive(Debug, thiserror::Error)]
enum EndpointError {
    #[error("it is not a URL that starts with http:// or https://")]
    NotHttp,
    #[error("the HTTP client cannot be built: {0}")]
    Client(String),
    #[error(transparent)]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Starts logging to stderr and, if an endpoint is set, exporting spans. Once per process.
///
/// `service` is the binary's name, such as `rfx-worker`: `service.name` unless the settings say another.
pub fn start(service: &str, log: &Log, telemetry: &Telemetry) -> Guard {
    logging::init(log);
    let Some(endpoint) = endpoint(telemetry) else {
        return Guard { spans: Spans::default() };
    };
    match Pipeline::start(&endpoint, &resource(service, telemetry)) {
        Ok(pipeline) => Guard { spans: Spans { pipeline: Some(Arc::new(pipeline)) } },
        Err(error) => {
            let endpoint = logging::without_secrets(&endpoint);
            tracing::warn!(endpoint, %error, "no spans are sent; check telemetry.endpoint");
            Guard { spans: Spans::default() }
        }
    }
}

impl Guard {
    /// Where finished spans go.
    pub fn spans(&self) -> Spans {
        self.spans.clone()
    }

    /// Sends what is left, for at most [`SHUTDOWN`]. Needs the tokio runtime.
    pub async fn shutdown(self) {
        let Some(pipeline) = self.spans.pipeline else { return };
        // The SDK's own shutdown blocks its thread, whatever its timeout.
        let finish = tokio::task::spawn_blocking(move || pipeline.finish());
        if tokio::time::timeout(SHUTDOWN, finish).await.is_err() {
            tracing::debug!("the last export took too long and was left behind");
        }
    }
}

impl Spans {
    /// Whether anything becomes of a span: saves building one.
    pub fn is_enabled(&self) -> bool {
        self.pipeline.is_some()
    }

    /// Hands a finished span to the exporter; never blocks. Spans that are not sampled are left out,
    /// spans beyond the queue's bound are dropped and counted.
    pub fn record(&self, span: AttemptSpan) {
        if let Some(pipeline) = &self.pipeline
            && span.trace.sampled
        {
            pipeline.tally.recorded.fetch_add(1, Ordering::Relaxed);
            pipeline.processor.on_end(pipeline.data(span));
        }
    }
}

impl Pipeline {
    fn start(endpoint: &str, resource: &Resource) -> Result<Self, EndpointError> {
        let tally = Arc::new(Tally::default());
        let exporter = Quiet {
            exporter: exporter(endpoint)?,
            endpoint: logging::without_secrets(endpoint),
            tally: Arc::clone(&tally),
        };
        let bounds = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let mut processor = BatchSpanProcessor::new(exporter, bounds);
        processor.set_resource(resource);
        let scope = InstrumentationScope::builder("rfx").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self { processor, scope, tally })
    }

    /// A span as the SDK exports it. `SpanBuilder` can set neither ids nor an end, so it is not used.
    fn data(&self, span: AttemptSpan) -> SpanData {
        let mut links = SpanLinks::default();
        links.links = span.links.iter().map(|link| Link::with_context(context(link))).collect();
        let attributes = span.attributes.into_iter().map(|(key, value)| KeyValue::new(key, value));
        SpanData {
            span_context: context(&span.trace),
            parent_span_id: SpanId::from_bytes(span.parent),
            parent_span_is_remote: true,
            span_kind: SpanKind::Consumer,
            name: span.name.into(),
            start_time: span.started.into(),
            end_time: span.ended.into(),
            attributes: attributes.collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: match span.ok {
                true => Status::Ok,
                false => Status::error(span.message.unwrap_or_default()),
            },
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// Sends what is queued and says what was lost, if nothing was said before.
    fn finish(&self) {
        let result = self.processor.shutdown_with_timeout(SHUTDOWN.mul_f32(0.9));
        let recorded = self.tally.recorded.load(Ordering::Relaxed);
        let lost = recorded.saturating_sub(self.tally.sent.load(Ordering::Relaxed));
        if lost > 0 && !self.tally.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(lost, recorded, "spans were dropped: the collector takes them too slowly");
        }
        tracing::debug!(lost, recorded, ?result, "telemetry ended");
    }
}

impl opentelemetry_sdk::trace::SpanExporter for Quiet {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let result = self.exporter.export(batch).await;
        match &result {
            Ok(()) => drop(self.tally.sent.fetch_add(count, Ordering::Relaxed)),
            Err(error) if !self.tally.warned.swap(true, Ordering::Relaxed) => {
                tracing::warn!(
                    endpoint = self.endpoint, %error,
                    "spans cannot be sent, everything else goes on; rfx speaks OTLP over HTTP, usually port 4318"
                );
            }
            Err(_) => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

fn context(context: &TraceContext) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(context.trace),
        SpanId::from_bytes(context.span),
        if context.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() },
        true,
        TraceState::default(),
    )
}

/// Where spans are posted.
fn endpoint(telemetry: &Telemetry) -> Option<String> {
    let base = || telemetry.endpoint.as_ref().map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
    telemetry.traces_endpoint.clone().or_else(base)
}

fn exporter(endpoint: &str) -> Result<SpanExporter, EndpointError> {
    let url = reqwest::Url::parse(endpoint).map_err(|_| EndpointError::NotHttp)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EndpointError::NotHttp);
    }
    // A second install is refused, and what is installed then serves as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = || reqwest::blocking::Client::builder().timeout(ANSWER).connect_timeout(ANSWER / 2).build();
    // The blocking client refuses to be built on a thread of the runtime.
    let client = std::thread::scope(|scope| scope.spawn(client).join());
    let client = client.map_err(|_| EndpointError::Client("it panicked".to_owned()))?;
    let client = client.map_err(|error| EndpointError::Client(error.to_string()))?;
    let builder = SpanExporter::builder().with_http().with_http_client(client).with_endpoint(endpoint);
    Ok(builder.with_timeout(ANSWER).with_protocol(Protocol::HttpBinary).build()?)
}

/// Who sends the spans. Set attributes win over what we find out; `service_name` wins over all.
fn resource(service: &str, telemetry: &Telemetry) -> Resource {
    let set = telemetry.attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let name = telemetry.service_name.iter().map(|name| KeyValue::new("service.name", name.clone()));
    let found = [
        KeyValue::new("service.name", service.to_owned()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", uuid::Uuid::now_v7().to_string()),
        KeyValue::new("host.name", process::host()),
        KeyValue::new("process.pid", i64::from(std::process::id())),
    ];
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(found.into_iter().chain(set).chain(name))
        .build()
}
