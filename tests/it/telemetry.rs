//! Traces: ids that follow from the run, CI's trace joined, and a dead endpoint that changes nothing.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rfx_schemas::trace::TraceContext;
use rfx_tests::eventually;
use rfx_tests::process::{Process, run, with};
use rfx_tests::world::World;
use rustix::process::Signal;

const FLOW: &str =
    "flow: x\nsteps:\n  a: { uses: rfx.echo, each: [1, 2, 3], with: { v: \"${{ item }}\" } }\n";
const CI: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// An OTLP/HTTP endpoint that keeps what it gets.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Endpoint {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&bodies);
        // Ends with the test's process; each connection is served to its end.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { url, bodies }
    }

    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        let bodies = self.bodies.lock().expect("no panic holds it");
        bodies.iter().any(|body| body.windows(bytes.len()).any(|window| window == bytes))
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<Vec<u8>>>) {
    let mut buffer = Vec::new();
    let mut chunk = [0; 8192];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        buffer.extend_from_slice(&chunk[..n]);
        while let Some(head) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&buffer[..head]).to_lowercase();
            let length = text
                .lines()
                .find_map(|l| l.strip_prefix("content-length:"))
                .map_or(0, |l| l.trim().parse().unwrap_or(0));
            if buffer.len() < head + 4 + length {
                break;
            }
            kept.lock().expect("no panic holds it").push(buffer[head + 4..head + 4 + length].to_vec());
            buffer.drain(..head + 4 + length);
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    }
}

fn worker(world: &World, endpoint: &str) -> Process {
    let mut command = world.command("rfx-worker");
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    Process::start(&mut command, &world.dir().join("worker.log"))
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_spans_of_the_runs_trace_or_of_cis() {
    let world = World::new().await;
    world.file("flow.yaml", FLOW);
    let endpoint = Endpoint::new();
    let mut worker = worker(&world, &endpoint.url);
    worker.printed("serving").await;
    let own = world.publish(["run", "flow.yaml"]).await;
    assert_eq!(own.code, 0, "{}", own.stderr);
    let mut command = world.command("rfx-publish");
    command.env("TRACEPARENT", CI);
    let joined = run(with(command, ["run", "flow.yaml"])).await;
    assert_eq!(joined.code, 0, "{}", joined.stderr);
    let transport = world.transport().await;
    let runs = transport.runs().await.expect("listed");
    let [own, joined] = [0, 1].map(|at: usize| runs[at].submitted.clone());
    assert_eq!(&own.trace.trace, own.run.as_bytes(), "the trace's id is the run's");
    let ci: TraceContext = CI.parse().expect("valid");
    assert_eq!((joined.trace.trace, joined.ci), (ci.trace, Some(ci)));
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0), "{}", worker.output());
    for submitted in [own, joined] {
        let job = "0-2".parse().expect("a job");
        let attempt = rfx_schemas::id::Attempt::FIRST;
        let span = submitted.trace.step(submitted.run, 0).attempt(submitted.run, job, attempt, 1);
        eventually("the span arrives", async || {
            (endpoint.holds(&span.trace) && endpoint.holds(&span.span)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_costs_one_warning_and_nothing_else() {
    let world = World::new().await;
    world.file("flow.yaml", FLOW);
    let mut worker = worker(&world, "http://127.0.0.1:9");
    worker.printed("serving").await;
    for _ in 0..3 {
        let ran = world.publish(["run", "flow.yaml"]).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0), "{}", worker.output());
    let output = worker.output();
    let warnings: Vec<_> =
        output.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
    assert_eq!(warnings.len(), 1, "{output}");
}
