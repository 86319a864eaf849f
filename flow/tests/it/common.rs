//! What the tests of the flow crate share: flows as text, and a world that answers jobs.

use std::collections::BTreeMap;

use rfx_flow::diagnostic::Source;
use rfx_flow::{Catalogue, Checked, Library, Release, ReleasedJob, Request, RunState, check, plan};
use rfx_schemas::fact::{Ended, Fact};
use rfx_schemas::id::RunId;
use rfx_schemas::outcome::Outcome;
use rfx_schemas::payload::{Json, Payload};
use rfx_schemas::plan::Plan;
use rfx_schemas::record::FunctionRecord;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::OutcomeKind;
use serde_json::{Value, json};

/// The run of every test.
pub fn run() -> RunId {
    "0190b5b2-7c1e-7abc-8def-0123456789ab".parse().expect("a run id")
}

/// A moment, seconds into the run.
pub fn at(seconds: i64) -> Stamp {
    Stamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

/// A flow that must be right.
pub fn checked(text: &str) -> Checked {
    check(Source::new("flow.yaml", text)).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A catalogue that knows nothing and minds nothing.
pub fn nothing_known() -> Catalogue {
    let fallback = "local".parse().expect("a group");
    Catalogue { functions: Vec::new(), groups: Vec::new(), fallback, complete: false, broken: Vec::new() }
}

/// The plan of a flow without data.
pub fn planned(text: &str) -> Plan {
    plan(&checked(text), &Library::default(), run(), &Request::default(), &nothing_known())
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// A run of it.
pub fn state(text: &str) -> RunState {
    RunState::new(run(), planned(text).into(), BTreeMap::new(), at(0)).expect("a plan of ours")
}

/// The jobs that a state releases; inputs that cannot be made are a failure of the test.
pub fn release(state: &mut RunState, now: Stamp, room: usize) -> Vec<ReleasedJob> {
    let released = state.release(now, room);
    let job = |release| match release {
        Release::Publish(job) => job,
        Release::Refuse(refusal) => panic!("refused: {refusal:?}"),
    };
    released.into_iter().map(job).collect()
}

/// The fact that an attempt ended.
pub fn ended(job: &ReleasedJob, kind: OutcomeKind, output: &Value) -> Fact {
    let outcome = Outcome {
        job: job.job,
        attempt: job.attempt,
        kind,
        key: None,
        output: Some(Payload::Inline(Json::of(output))),
        input: None,
        assertions: Vec::new(),
        error: None,
        tail: String::new(),
        released: at(0),
        started: at(0),
        ended: at(0),
        worker: "w".parse().expect("a member"),
        group: "local".parse().expect("a group"),
        deliveries: 1,
        digest: None,
        artifacts: Vec::new(),
        state: Vec::new(),
    };
    Fact::Ended(Ended { outcomes: vec![outcome] })
}

/// A catalogue with a few functions whose schemas are known.
pub fn some_functions() -> Catalogue {
    let record = |name: &str, input: Value, output: Value, state: &[&str]| FunctionRecord {
        input,
        output,
        state: state.iter().map(|key| (*key).to_owned()).collect(),
        seen: at(0),
        ..FunctionRecord::new(
            name.parse().expect("a name"),
            "1".parse().expect("a version"),
            "local".parse().expect("a group"),
            "test",
        )
    };
    let named = json!({
        "type": "object", "additionalProperties": false, "required": ["name"],
        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
    });
    let tenant = json!({
        "type": "object", "additionalProperties": false, "required": ["id", "size"],
        "properties": {"id": {"type": "string"}, "size": {"type": "integer"}},
    });
    let functions = vec![
        record("f.any", Value::Null, Value::Null, &[]),
        record("tenants.create", named, tenant, &[]),
        record("stock.book", Value::Null, Value::Null, &["stock"]),
        record("stock.count", Value::Null, Value::Null, &["stock"]),
    ];
    Catalogue { functions, complete: true, ..nothing_known() }
}
