//! Flows used as functions, in the fold: what a random flow meets too seldom.

use std::collections::BTreeMap;

use rfx_flow::diagnostic::Source;
use rfx_flow::{Library, Request, RunState, check, plan};
use rfx_schemas::verdict::{OutcomeKind, Verdict};
use serde_json::json;

use crate::common::{at, checked, ended, nothing_known, release, run};

fn state(text: &str, inner: &str) -> RunState {
    let mut library = Library::default();
    library.add(Source::new("inner.yaml", inner), None);
    let planned = plan(&checked(text), &library, run(), &Request::default(), &nothing_known());
    let planned = planned.unwrap_or_else(|problems| panic!("{problems}"));
    RunState::new(run(), planned.into(), BTreeMap::new(), at(0)).expect("a plan of ours")
}

const INNER: &str = "flow: inner\ninputs: { n: { type: integer } }\nsteps:\n  a: { uses: f.a, with: { n: \"${{ inputs.n }}\" } }\n";

#[test]
fn a_long_list_of_wrong_inputs_is_as_many_errors() {
    let text = "flow: x\nsteps:\n  list: { uses: f.list }\n  all: { uses: inner, each: \"${{ steps.list.output }}\", with: { n: \"${{ item }}\" } }\n";
    let mut state = state(text, INNER);
    let list = release(&mut state, at(0), 10);
    let texts = json!(vec!["no number"; 30_000]);
    state.apply(&ended(&list[0], OutcomeKind::Passed, &texts), at(1));
    assert_eq!(state.complete(), Some(Verdict::Error));
    assert_eq!(state.counts().error, 30_000);
    let (_, why) = state.note(1, 7);
    assert_eq!(why, Some("input n: expected integer, got \"no number\""));
}

#[test]
fn what_a_composite_allows_is_counted_with_all_that_is_inside() {
    let inner = "flow: inner\nsteps:\n  a: { uses: f.a }\n  b: { uses: f.b, needs: a, each: \"${{ steps.a.output }}\" }\n";
    let text = "flow: x\nsteps:\n  all: { uses: inner, allow_failure: true }\n  c: { uses: f.c }\ngate: { max_failed: 0 }\n";
    let mut state = state(text, inner);
    for job in release(&mut state, at(0), 10) {
        state.apply(&ended(&job, OutcomeKind::Passed, &json!(3)), at(1));
    }
    let counts = state.counts();
    assert_eq!((counts.error, counts.allowed), (1, 1), "b has no list to run over");
    assert_eq!((state.complete(), state.breaches()), (Some(Verdict::Passed), Vec::new()));
}

#[test]
fn a_poll_that_a_cancel_cuts_off_has_not_failed() {
    let text = "flow: x\nsteps:\n  a: { uses: f.a, until: { expect: output.done, every: 1s, within: 1h } }\n";
    let mut state = state(text, INNER);
    let jobs = release(&mut state, at(0), 10);
    let cause = rfx_schemas::fact::Cause::Asked;
    let cancelled = rfx_schemas::fact::Cancelled { by: "a@b".to_owned(), reason: "test".to_owned(), cause };
    state.apply(&rfx_schemas::fact::Fact::Cancelled(1, cancelled), at(1));
    state.apply(&ended(&jobs[0], OutcomeKind::Unmet, &json!({"done": false})), at(2));
    assert_eq!(state.complete(), Some(Verdict::Cancelled));
}

#[test]
fn executions_are_opened_a_few_at_a_time_however_deep() {
    let text = "flow: x\nsteps:\n  all: { uses: middle, each: \"${{ [1, 2, 3].map(n, n) }}\" }\n";
    let mut library = Library::default();
    library.add(Source::new("inner.yaml", INNER), None);
    let middle = "flow: middle\nsteps:\n  in: { uses: inner, repeat: { count: 5000 }, with: { n: \"${{ item }}\" } }\n";
    library.add(Source::new("middle.yaml", middle), None);
    let planned = plan(&checked(text), &library, run(), &Request::default(), &nothing_known());
    let planned = planned.unwrap_or_else(|problems| panic!("{problems}"));
    let mut state = RunState::new(run(), planned.into(), BTreeMap::new(), at(0)).expect("a plan of ours");
    assert_eq!(release(&mut state, at(0), 100_000).len(), 3 * 512, "three times as many as one may have");
}

#[test]
fn a_field_that_may_be_missing_is_asked_for_first() {
    let text = "flow: x\ninputs: { rows: { type: array, default: [{ name: a }, { name: b, note: null }] } }\nsteps:\n  a: { uses: f.a, each: \"${{ inputs.rows }}\", with: { n: \"${{ has(item.size) ? item.size : 1 }}\", t: \"${{ item.?note.orValue('') }}\" } }\n";
    assert!(check(Source::new("flow.yaml", text)).is_ok());
    state(text, INNER);
}

#[test]
fn a_flow_is_not_repeated_for_a_time_and_has_the_versions_that_it_says() {
    let wrong = |text: &str| {
        let mut library = Library::default();
        library.add(Source::new("inner.yaml", INNER), None);
        let planned = plan(&checked(text), &library, run(), &Request::default(), &nothing_known());
        planned.expect_err("wrong").to_string()
    };
    let soak = wrong("flow: x\nsteps:\n  a: { uses: inner, repeat: { for: 1m }, with: { n: 1 } }\n");
    assert!(soak.contains("inner is a flow, and is not repeated for a time"), "{soak}");
    let version = wrong("flow: x\nsteps:\n  a: { uses: inner@2, with: { n: 1 } }\n");
    assert!(version.contains("the flow inner has no version 2 (it has 1)"), "{version}");
}

#[test]
fn an_output_that_a_composite_lacks_is_told_of() {
    let inner =
        "flow: inner\nsteps:\n  a: { uses: f.a }\noutputs: { id: \"${{ steps.a.output.idd }}\", ok: 1 }\n";
    let text = "flow: x\nsteps:\n  all: { uses: inner, each: [p, q] }\n  b: { uses: f.b, with: { v: \"${{ steps.all.output }}\" } }\n";
    let mut state = state(text, inner);
    for _ in 0..2 {
        for job in release(&mut state, at(0), 10) {
            state.apply(&ended(&job, OutcomeKind::Passed, &json!({"id": 1})), at(1));
        }
    }
    assert_eq!(state.complete(), Some(Verdict::Passed));
    let (_, unmade) = state.outputs();
    assert_eq!(unmade.len(), 2);
    assert!(unmade[0].starts_with("steps.all p: id: steps.a.output.idd"), "{unmade:?}");
}
