//! What functions use, on real workers: `tests/context/table.json` says what each function is to give, and
//! `python/tests/test_parity.py` holds `rfx.testing` to the same table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rfx_schemas::report::{AttemptReport, Report, StepReport};
use rfx_schemas::trace::TraceContext;
use rfx_schemas::verdict::OutcomeKind;
use rfx_tests::eventually;
use rfx_tests::process::{Process, python, root, with};
use rfx_tests::world::World;
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::Value;

use crate::telemetry::Endpoint;

const TOKEN: &str = "hunter222";

/// A function and what it is to give.
#[derive(Deserialize)]
struct Case {
    uses: String,
    #[serde(default)]
    with: BTreeMap<String, Value>,
    kind: OutcomeKind,
    output: Option<Value>,
    #[serde(rename = "type")]
    error: Option<String>,
    message: Option<String>,
    /// Texts of artifacts.
    #[serde(default)]
    artifacts: BTreeMap<String, String>,
    #[serde(default)]
    count: usize,
    /// Where it is not executed.
    #[serde(default)]
    not: Vec<String>,
}

fn table(isolation: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(root().join("tests/context/table.json")).expect("the table");
    let all: Vec<Case> = serde_json::from_str(&text).expect("a list of cases");
    all.into_iter().filter(|case| !case.not.iter().any(|not| not == isolation)).collect()
}

/// A worker of the pool of the table, and of more.
pub(crate) async fn worker(world: &World, name: &str, pools: &[&str], args: &[&str]) -> Process {
    let mut command = world.command("rfx-worker");
    command
        .env("RFX_SECRET_TOKEN", TOKEN)
        .env("CONTEXT_DIARY", world.dir().join("diary"))
        .args(["--python", &python(), "--pool"])
        .arg(root().join("tests/context"));
    for pool in pools {
        command.arg("--pool").arg(world.dir().join(pool));
    }
    let worker = Process::start(&mut with(command, args), &world.dir().join(format!("{name}.log")));
    worker.printed("serving").await;
    worker
}

/// Runs a flow to its end; its report, and the folder of it.
pub(crate) async fn run(world: &World, flow: &str, more: &[&str]) -> (Report, PathBuf, String) {
    let path = world.file("flow.yaml", flow).display().to_string();
    let dir = world.dir().join("report");
    let args = ["run", &path, "--report", dir.to_str().expect("a plain path")];
    let ran = world.publish(args.iter().copied().chain(more.iter().copied())).await;
    let bytes = std::fs::read(dir.join("report.json")).unwrap_or_else(|e| panic!("{e}: {}", ran.stderr));
    (rfx_report::json::read(&bytes).expect("a report"), dir, format!("{}{}", ran.stdout, ran.stderr))
}

pub(crate) fn last(step: &StepReport) -> &AttemptReport {
    step.jobs[0].attempts.last().expect("it was executed")
}

pub(crate) fn step<'a>(report: &'a Report, name: &str) -> &'a StepReport {
    report.steps.iter().find(|step| step.name == name).unwrap_or_else(|| panic!("no step {name}"))
}

pub(crate) fn output(attempt: &AttemptReport) -> Value {
    attempt.detail.as_ref().and_then(|detail| detail.output.clone()).unwrap_or(Value::Null)
}

/// Type and message of what went wrong.
pub(crate) fn error(attempt: &AttemptReport) -> (&str, &str) {
    let error = attempt.detail.as_ref().and_then(|detail| detail.error.as_ref());
    error.map_or(("", ""), |error| (&error.kind, &error.message))
}

/// All outputs of a step, in the order of its jobs.
pub(crate) fn outputs(step: &StepReport) -> Vec<Value> {
    step.jobs.iter().map(|job| output(job.attempts.last().expect("it was executed"))).collect()
}

fn flow(cases: &[Case]) -> String {
    let step = |(at, case): (usize, &Case)| {
        let with = serde_json::to_string(&case.with).expect("JSON");
        format!("  s{at}: {{ uses: {}, with: {with}, timeout: 30s, allow_failure: true }}\n", case.uses)
    };
    format!("flow: table\nsteps:\n{}", cases.iter().enumerate().map(step).collect::<String>())
}

/// What is not as the table says.
fn wrong(case: &Case, step: &StepReport, dir: &std::path::Path) -> Option<String> {
    let attempt = last(step);
    let folder = dir.join(format!("artifacts/{}-1", step.jobs[0].job));
    let kept = std::fs::read_dir(&folder).map_or(0, Iterator::count);
    let holds = |(name, text): (&String, &String)| {
        std::fs::read(folder.join(name)).is_ok_and(|bytes| bytes == text.as_bytes())
    };
    let (kind, message) = error(attempt);
    let right = attempt.kind == case.kind
        && case.output.as_ref().is_none_or(|expected| *expected == output(attempt))
        && case.error.as_ref().is_none_or(|expected| expected == kind)
        && case.message.as_ref().is_none_or(|expected| expected == message)
        && case.artifacts.iter().all(holds)
        && kept == case.count;
    let Case { uses, with, .. } = case;
    let (output, tail) = (output(attempt), attempt.detail.as_ref().map(|detail| &detail.tail));
    (!right).then(|| {
        format!("{uses} {with:?}: {} {kind} {message:?} {output} {kept} artifacts {tail:?}", attempt.kind)
    })
}

async fn all_give_what_they_should(isolation: &str) {
    let world = World::new().await;
    let mut worker = worker(&world, "worker", &[], &["--slots", "6"]).await;
    let cases = table(isolation);
    let (report, dir, said) = run(&world, &flow(&cases), &["--isolation", isolation]).await;
    let steps = cases.iter().zip(&report.steps);
    let wrong: Vec<_> = steps.filter_map(|(case, step)| wrong(case, step, &dir)).collect();
    assert!(wrong.is_empty(), "{isolation}:\n{}\n{said}", wrong.join("\n"));
    let folder = |uses: &str| {
        let at = cases.iter().position(|case| case.uses == uses).expect("in the table");
        dir.join(format!("artifacts/{at}-0-1"))
    };
    let raw = std::fs::read(folder("files.all_kinds").join("raw.bin")).expect("an artifact");
    assert_eq!(raw, (0..=255).collect::<Vec<u8>>(), "byte for byte");
    let log = std::fs::read_to_string(folder("files.secret").join("log.txt")).expect("an artifact");
    assert_eq!(log, "token=[secret];");
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0), "{}", worker.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_use_warm() {
    all_give_what_they_should("warm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_use_fresh() {
    all_give_what_they_should("fresh").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_use_shared() {
    all_give_what_they_should("shared").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_a_function_are_below_its_attempt() {
    let world = World::new().await;
    let endpoint = Endpoint::new();
    let mut command = world.command("rfx-worker");
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint.url)
        .args(["--python", &python(), "--slots", "4", "--pool"])
        .arg(root().join("tests/context"));
    let mut worker = Process::start(&mut command, &world.dir().join("worker.log"));
    worker.printed("serving").await;
    let mut expected = Vec::new();
    for isolation in ["warm", "fresh", "shared"] {
        let flow = "flow: x\nsteps:\n  a: { uses: uses.traced, repeat: { count: 3 } }\n";
        let (report, _, said) = run(&world, flow, &["--isolation", isolation]).await;
        for traces in outputs(&report.steps[0]) {
            let trace = |at: usize| traces[at].as_str().and_then(|t| t.parse::<TraceContext>().ok());
            let [Some(attempt), Some(outer), Some(inner)] = [0, 1, 2].map(trace) else {
                panic!("{isolation}: {traces} {said}")
            };
            assert_eq!((attempt.trace, outer.trace), (*report.run.as_bytes(), inner.trace), "one trace");
            expected.push(written(&outer, &attempt, "outer"));
            expected.push(written(&inner, &outer, "inner"));
        }
    }
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0), "{}", worker.output());
    let all = || expected.iter().all(|span| endpoint.holds(span));
    eventually("the spans arrive", async || all().then_some(())).await;
}

/// A span as OTLP has it: its id (field 2), that of the one around it (4), and its name (5).
fn written(span: &TraceContext, parent: &TraceContext, name: &str) -> Vec<u8> {
    let name_size = u8::try_from(name.len()).expect("short");
    [&[0x12, 8][..], &span.span, &[0x22, 8], &parent.span, &[0x2a, name_size], name.as_bytes()].concat()
}
