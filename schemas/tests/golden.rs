//! Golden files: the bytes of every message, which this test and a Python one read. A change here
//! is a change of the wire: bump the version and keep the old files. `RFX_BLESS=1` writes them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use rfx_schemas::encoding::{Message, decode, encode};
use rfx_schemas::fact::{Called, Cancelled, Cause, Ended, Finished, Returned, Settled, Started, Submitted};
use rfx_schemas::id::{Attempt, JobId, RunId};
use rfx_schemas::job::{Job, JobMessage};
use rfx_schemas::outcome::{Artifact, Assertion, Failure, Outcome, StateRead, StateScope};
use rfx_schemas::payload::{BlobRef, Json, Payload};
use rfx_schemas::plan::Phase;
use rfx_schemas::rules::{ExpectFailure, Isolation};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::trace::TraceContext;
use rfx_schemas::verdict::{Counts, OutcomeKind, Verdict};
use serde_json::{Value, json};

fn run() -> RunId {
    "0190b5b2-7c1e-7abc-8def-0123456789ab".parse().expect("a run id")
}

fn trace() -> TraceContext {
    TraceContext::of_run(run(), None)
}

fn inline(value: &Value) -> Payload {
    Payload::Inline(Json::of(value))
}

fn at(seconds: i64) -> Stamp {
    Stamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

fn check<T: Message + PartialEq + Debug>(name: &str, message: &T) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let (packed, readable) = (dir.join(format!("{name}.v1.msgpack")), dir.join(format!("{name}.v1.json")));
    let bytes = encode(message);
    let envelope = json!({"v": 1, "kind": T::KIND, "body": message});
    if std::env::var_os("RFX_BLESS").is_some() {
        std::fs::create_dir_all(&dir).expect("a folder");
        std::fs::write(&packed, &bytes).expect("written");
        let text = serde_json::to_string_pretty(&envelope).expect("writable") + "\n";
        std::fs::write(&readable, text).expect("written");
    }
    let golden = std::fs::read(&packed).unwrap_or_else(|e| panic!("{}: {e}", packed.display()));
    assert_eq!(golden, bytes, "{name}: what this rfx writes has changed");
    assert_eq!(&decode::<T>(&golden).expect(name), message, "{name}: what this rfx reads has changed");
    let text = std::fs::read_to_string(&readable).unwrap_or_else(|e| panic!("{}: {e}", readable.display()));
    assert_eq!(serde_json::from_str::<Value>(&text).expect(name), envelope, "{name}");
}

#[test]
fn job() {
    let id = JobId { step: 3, item: 14 };
    let job = |attempt, input| Job {
        job: id,
        attempt,
        key: Some("web-1".to_owned()),
        item: Some(inline(&json!({"name": "web-1"}))),
        index: None,
        input,
        released: at(1),
    };
    let blob = Payload::Blob(BlobRef::of(b"big"));
    let message = JobMessage {
        run: run(),
        flow: "host_vulnerabilities".to_owned(),
        step: "steps.device".to_owned(),
        phase: Phase::Main,
        function: "devices.populate".parse().expect("a function"),
        version: Some("1".parse().expect("a version")),
        expect: vec!["output.ok".to_owned()],
        until: vec!["output.done".to_owned()],
        expect_failure: Some(ExpectFailure::Any),
        secrets: vec!["TOKEN".to_owned()],
        scope: Some(inline(&json!({"inputs": {"min": 1}}))),
        target: BTreeMap::from([("api".to_owned(), "http://127.0.0.1:8080".to_owned())]),
        isolation: Some(Isolation::Fresh),
        timeout: Duration::from_secs(30),
        deadline: at(86_400),
        trace: trace().step(run(), 3),
        jobs: vec![
            job(Attempt::FIRST, inline(&json!({"é": [1, 2.5, null]}))),
            job(Attempt::FIRST.next(), blob),
        ],
    };
    check("job", &message);
}

#[test]
fn ended() {
    let outcome = Outcome {
        job: JobId { step: 0, item: 0 },
        attempt: Attempt::FIRST,
        kind: OutcomeKind::Failed,
        key: Some("web-1".to_owned()),
        output: Some(inline(&json!({"os": 0}))),
        input: Some(Payload::null()),
        assertions: vec![Assertion {
            label: "output.os > 0".to_owned(),
            passed: false,
            expected: Some("> 0".to_owned()),
            seen: Some("0".to_owned()),
            message: None,
        }],
        error: Some(Failure {
            diff: Some("-1\n+0\n".to_owned()),
            ..Failure::new("expect", "output.os > 0 is false")
        }),
        tail: "printed\n".to_owned(),
        released: at(1),
        started: at(2),
        ended: at(3),
        worker: "host-1-00000001".parse().expect("a member"),
        group: "aws-eu1".parse().expect("a group"),
        deliveries: 2,
        digest: Some("ab".repeat(32)),
        artifacts: vec![Artifact {
            name: "page.html".to_owned(),
            media_type: "text/html".to_owned(),
            size: 3,
            content: BlobRef::of(b"big"),
        }],
        state: vec![StateRead {
            key: "tenant".to_owned(),
            scope: StateScope::Flow,
            revision: 7,
            value: Some(inline(&json!("t-1"))),
        }],
    };
    check("ended", &Ended { outcomes: vec![outcome] });
}

#[test]
fn facts_about_runs() {
    let submitted = Submitted {
        run: run(),
        flow: "host_vulnerabilities".to_owned(),
        plan: inline(&json!({"flow": "host_vulnerabilities"})),
        submitted: at(0),
        by: "ci@host".to_owned(),
        trace: trace(),
        ci: None,
    };
    check("submitted", &submitted);
    check("cancelled", &Cancelled { by: "a@b".to_owned(), reason: "Ctrl-C".to_owned(), cause: Cause::Asked });
    check("settled", &Settled { by: "host-1-00000001".parse().expect("a member") });
    check("started", &Started { worker: "host-1-00000001".parse().expect("a member"), started: at(2) });
    let counts = Counts { passed: 3, failed: 1, ..Counts::default() };
    let outputs = Some(inline(&json!({"report": []})));
    check(
        "finished",
        &Finished {
            verdict: Verdict::Failed,
            counts,
            breaches: vec!["max_failed: 1 of 4".to_owned()],
            unmade: vec!["report: no such key".to_owned()],
            outputs,
        },
    );
}

#[test]
fn facts_about_calls() {
    let called = Called {
        function: "hosts.register".parse().expect("a function"),
        version: Some("1".parse().expect("a version")),
        group: "aws-eu1".parse().expect("a group"),
        queue: "main".parse().expect("a queue"),
        timeout: Duration::from_secs(30),
        input: inline(&json!({"name": "web-1"})),
        digest: "ab".repeat(32),
        limited: true,
        trace: trace().attempt(run(), JobId { step: 0, item: 0 }, Attempt::FIRST, 1),
    };
    check("called", &called);
    let returned = Returned {
        job: Some(JobId { step: 9, item: 0 }),
        verdict: Verdict::Error,
        error: Some(Failure::new("ValueError", "no such host")),
        output: Some(inline(&json!({"id": 7}))),
    };
    check("returned", &returned);
}
