//! What reaches a collector, and that a collector that is not there costs one warning.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue as Pair, any_value};
use prost::Message;

use super::*;
use crate::settings::LogFormat;
use crate::testing;

const PATIENCE: Duration = Duration::from_secs(20);

/// A collector: the path and body of each request that it answered.
fn collector() -> (String, Receiver<(String, ExportTraceServiceRequest)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            let sender = sender.clone();
            std::thread::spawn(move || {
                while let Some(request) = answer(&stream) {
                    if sender.send(request).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, requests)
}

/// Reads one request of a connection and says that it was taken; none at its end.
fn answer(stream: &TcpStream) -> Option<(String, ExportTraceServiceRequest)> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_lowercase()),
        }
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    let path = lines[0].split(' ').nth(1)?.to_owned();
    Some((path, ExportTraceServiceRequest::decode(body.as_slice()).expect("an OTLP request")))
}

fn settings(endpoint: &str) -> Telemetry {
    Telemetry { endpoint: Some(endpoint.to_owned()), ..Telemetry::default() }
}

fn quiet() -> Log {
    Log { level: "off".to_owned(), format: LogFormat::Text }
}

fn context(byte: u8, sampled: bool) -> TraceContext {
    TraceContext { trace: [byte; 16], span: [byte + 1; 8], sampled }
}

fn attempt(trace: TraceContext) -> AttemptSpan {
    AttemptSpan {
        trace,
        parent: [7; 8],
        name: "tenants.create".to_owned(),
        started: Stamp::from_micros(1_700_000_000_000_001),
        ended: Stamp::from_micros(1_700_000_000_250_002),
        ok: false,
        message: Some("expected 3, saw 2".to_owned()),
        attributes: vec![("rfx.job".into(), "0-1".to_owned())],
        links: vec![context(40, true)],
    }
}

fn texts(pairs: &[Pair]) -> Vec<(&str, String)> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.clone()) {
        Some(any_value::Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.as_str(), text(&pair.value))).collect()
}

#[tokio::test]
async fn a_span_arrives_with_the_ids_and_times_it_was_given() {
    let (address, requests) = collector();
    let guard = start("rfx-worker", &quiet(), &settings(&format!("{address}/")));
    assert!(guard.spans().is_enabled());
    guard.spans().record(attempt(context(1, true)));
    guard.spans().record(attempt(context(30, false)));
    guard.shutdown().await;

    let (path, request) = requests.recv_timeout(PATIENCE).expect("a request");
    assert_eq!(path, "/v1/traces");
    assert!(requests.try_recv().is_err(), "one request");
    let scope = &request.resource_spans[0].scope_spans[0];
    let [span] = scope.spans.as_slice() else { panic!("the span that is not sampled stays here: {scope:?}") };
    assert_eq!((span.trace_id.as_slice(), span.span_id.as_slice()), ([1; 16].as_slice(), [2; 8].as_slice()));
    assert_eq!(span.parent_span_id, [7; 8]);
    assert_eq!(span.name, "tenants.create");
    assert_eq!(span.start_time_unix_nano, 1_700_000_000_000_001_000);
    assert_eq!(span.end_time_unix_nano, 1_700_000_000_250_002_000);
    assert_eq!(span.status.as_ref().map(|status| status.message.as_str()), Some("expected 3, saw 2"));
    assert_eq!(texts(&span.attributes), [("rfx.job", "0-1".to_owned())]);
    assert_eq!(span.links[0].span_id, [41; 8]);
}

#[tokio::test]
async fn the_resource_says_who_sends() {
    let (address, requests) = collector();
    let mut telemetry = settings(&address);
    telemetry.attributes.insert("host.name".to_owned(), "given".to_owned());
    telemetry.traces_endpoint = Some(format!("{address}/own/path"));
    let guard = start("rfx-worker", &quiet(), &telemetry);
    guard.spans().record(attempt(context(1, true)));
    guard.shutdown().await;

    let (path, request) = requests.recv_timeout(PATIENCE).expect("a request");
    assert_eq!(path, "/own/path");
    let resource = request.resource_spans[0].resource.as_ref().expect("a resource");
    let found = texts(&resource.attributes);
    let value = |name: &str| found.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
    assert_eq!(value("service.name"), Some("rfx-worker"));
    assert_eq!(value("service.version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(value("host.name"), Some("given"), "what is set wins over what is found");
    assert!(value("service.instance.id").is_some() && value("process.pid").is_some());
}

#[test]
fn the_service_name_that_is_set_wins() {
    let telemetry = Telemetry {
        service_name: Some("nightly".to_owned()),
        attributes: [("service.name".to_owned(), "other".to_owned())].into(),
        ..Telemetry::default()
    };
    let name = resource("rfx-worker", &telemetry).get(&"service.name".into());
    assert_eq!(name.map(|name| name.to_string()), Some("nightly".to_owned()));
}

#[test]
fn spans_can_be_shared_by_all_tasks() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Spans>();
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_sent() {
    let guard = start("rfx-worker", &quiet(), &Telemetry::default());
    assert!(!guard.spans().is_enabled());
    guard.spans().record(attempt(context(1, true)));
    guard.shutdown().await;
}

#[tokio::test]
async fn https_needs_nothing_but_an_endpoint() {
    let guard = start("rfx-worker", &quiet(), &settings("https://127.0.0.1:1"));
    assert!(guard.spans().is_enabled());
    guard.shutdown().await;
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_nothing_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let started = Instant::now();
    let guard = start("rfx-worker", &quiet(), &settings(&address));
    for _ in 0..2 * QUEUE {
        guard.spans().record(attempt(context(1, true)));
    }
    guard.shutdown().await;
    assert!(started.elapsed() < SHUTDOWN + Duration::from_secs(3), "{:?}", started.elapsed());
}

/// Runs in a process of its own: logging is started once per process.
#[expect(clippy::disallowed_methods, reason = "the child ends as a binary does, not as a test")]
fn run_as_a_binary(endpoint: &str) -> ! {
    let log = Log { level: "debug,hyper_util=off,reqwest=off".to_owned(), format: LogFormat::Text };
    let code = process::main("rfx-worker", async |_| {
        let guard = start("rfx-worker", &log, &settings(endpoint));
        for batch in 0..10 {
            for _ in 0..BATCH {
                guard.spans().record(attempt(context(batch, true)));
            }
            tokio::task::yield_now().await;
        }
        guard.shutdown().await;
        Ok(rfx_schemas::exit::FAILED)
    });
    std::process::exit(i32::from(code == std::process::ExitCode::from(rfx_schemas::exit::FAILED)))
}

#[test]
fn a_collector_that_is_not_there_costs_one_warning_and_changes_nothing() {
    if let Some(endpoint) = testing::role() {
        run_as_a_binary(&endpoint);
    }
    let name = "telemetry::tests::a_collector_that_is_not_there_costs_one_warning_and_changes_nothing";
    for dead_or_no_url in ["http://127.0.0.1:1", "user:secret@collector:4318"] {
        let started = Instant::now();
        let mut child = testing::child(name, dead_or_no_url);
        let said = testing::all(child.stderr.take());
        let status = child.wait().expect("it ends");
        assert!(
            started.elapsed() < Duration::from_secs(4) + Duration::from_secs(2),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(said.matches("WARN").count(), 1, "{said}");
        assert_eq!(said.matches("ERROR").count(), 0, "{said}");
        assert!(!said.contains("secret"), "{said}");
        assert_eq!(status.code(), Some(1), "the exit code is the run's: {said}");
    }
}
