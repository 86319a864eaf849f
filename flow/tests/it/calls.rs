//! The fold of calls and undos, one rule a test. What the broker may do to them is in `simulation`.

use std::time::Duration;

use rfx_flow::{ReleasedCall, ReleasedJob, RunState};
use rfx_schemas::fact::{Called, Caller, Fact, Finished};
use rfx_schemas::id::{Attempt, JobId};
use rfx_schemas::payload::{Json, Payload};
use rfx_schemas::trace::TraceContext;
use rfx_schemas::verdict::{Counts, OutcomeKind, Verdict};
use serde_json::{Value, json};

use crate::common::{at, ended, release, run, state};

const ONE: &str = "flow: x\nsteps:\n  a: { uses: f.a }\n";

fn caller(job: JobId, number: u32) -> Caller {
    Caller { group: "local".parse().expect("a group"), job, attempt: Attempt::FIRST, number }
}

fn called(queue: &str, limited: bool) -> Box<Called> {
    Box::new(Called {
        function: "f.b".parse().expect("a function"),
        version: None,
        group: "local".parse().expect("a group"),
        queue: queue.parse().expect("a queue"),
        timeout: Duration::from_secs(60),
        input: Payload::Inline(Json::of(&json!({"n": 1}))),
        digest: String::new(),
        limited,
        trace: TraceContext::of_run(run(), None),
    })
}

fn call(state: &mut RunState, job: JobId, number: u32) {
    state.apply(&Fact::Call(caller(job, number), called("main", false)), at(1));
}

fn undo(state: &mut RunState, job: JobId, number: u32) {
    state.apply(&Fact::Undo(caller(job, number), called("main", false)), at(1));
}

fn released(state: &mut RunState) -> Vec<ReleasedCall> {
    state.release_calls(at(9), 100)
}

/// The end of a call.
fn end(state: &mut RunState, job: JobId, attempt: Attempt, kind: OutcomeKind, when: i64) {
    let job = ReleasedJob {
        job,
        attempt,
        frame: 0,
        key: None,
        item: None,
        index: 0,
        input: Json::of(&Value::Null),
    };
    state.apply(&ended(&job, kind, &json!({"id": 7})), at(when));
}

/// A run of one job that is out.
fn one(text: &str) -> (RunState, ReleasedJob) {
    let mut state = state(text);
    let job = release(&mut state, at(0), 10).pop().expect("a job");
    (state, job)
}

#[test]
fn a_call_is_a_job_of_its_own_whose_verdict_is_its_callers() {
    let (mut state, job) = one(ONE);
    call(&mut state, job.job, 1);
    call(&mut state, job.job, 1);
    let child = released(&mut state).pop().expect("a call");
    assert_eq!((child.job, child.input), (JobId { step: 1, item: 0 }, called("main", false).input));
    assert_eq!(state.path(1), "steps.a/call-1 f.b");
    assert!(state.returns().is_empty());
    end(&mut state, child.job, child.attempt, OutcomeKind::Failed, 2);
    let (to, answer) = state.returns().pop().expect("an answer");
    assert_eq!((&to, answer.job, answer.verdict), (&caller(job.job, 1), Some(child.job), Verdict::Failed));
    assert_eq!(answer.output, Some(Payload::Inline(Json::of(&json!({"id": 7})))));
    assert!(state.returns().is_empty(), "said once");
    state.release_again();
    assert_eq!(state.returns().len(), 1, "not recorded yet");
    state.apply(&Fact::Returned(to, answer), at(3));
    state.release_again();
    assert!(state.returns().is_empty());
    state.apply(&ended(&job, OutcomeKind::Passed, &Value::Null), at(4));
    assert_eq!(state.complete(), Some(Verdict::Passed));
    assert_eq!(state.counts(), Counts { passed: 1, ..Counts::default() });
}

#[test]
fn the_run_waits_for_calls_whose_caller_has_ended_and_teardown_for_them() {
    let (mut state, job) = one("flow: x\nsteps:\n  a: { uses: f.a }\nteardown:\n  t: { uses: f.t }\n");
    call(&mut state, job.job, 1);
    state.apply(&ended(&job, OutcomeKind::Passed, &Value::Null), at(1));
    assert!(release(&mut state, at(2), 10).is_empty());
    let child = released(&mut state).pop().expect("a call");
    end(&mut state, child.job, child.attempt, OutcomeKind::Passed, 2);
    assert!(state.returns().is_empty(), "nobody waits");
    assert_eq!(release(&mut state, at(3), 10).len(), 1);
}

#[test]
fn who_calls_is_looked_at() {
    let (mut state, job) = one(ONE);
    let stranger = Caller { group: "other".parse().expect("a group"), ..caller(job.job, 1) };
    state.apply(&Fact::Call(stranger, called("main", false)), at(1));
    call(&mut state, JobId { step: 7, item: 0 }, 1);
    assert_eq!((state.anomalies().unreadable, state.children().len()), (2, 0));
    state.apply(&ended(&job, OutcomeKind::Passed, &Value::Null), at(1));
    call(&mut state, job.job, 1);
    assert_eq!((state.children().len(), state.complete()), (0, Some(Verdict::Passed)), "behind its end");
}

#[test]
fn nothing_that_a_limited_lane_waits_for_may_be_in_it() {
    let (mut state, job) = one(ONE);
    let apply = |state: &mut RunState, job, number, queue, limited| {
        state.apply(&Fact::Call(caller(job, number), called(queue, limited)), at(1));
    };
    apply(&mut state, job.job, 1, "main", true);
    let (_, refused) = state.returns().pop().expect("an answer");
    assert_eq!((refused.job, refused.verdict), (None, Verdict::Error));
    let error = refused.error.expect("why");
    assert!(error.message.starts_with("queue main of group local admits few jobs"), "{error:?}");
    apply(&mut state, job.job, 2, "other", true);
    let child = released(&mut state).pop().expect("elsewhere it may");
    // Back into the first lane, from one that is not limited.
    apply(&mut state, child.job, 1, "main", false);
    let (to, refused) = state.returns().pop().expect("an answer");
    assert_eq!((to.job, refused.verdict), (child.job, Verdict::Error));
    assert_eq!(state.children().len(), 1, "a refused call is no job");
}

#[test]
fn undos_are_released_one_by_one_from_the_last_and_are_tried_again() {
    let (mut state, job) = one("flow: x\nsteps:\n  a: { uses: f.a }\nteardown:\n  t: { uses: f.t }\n");
    undo(&mut state, job.job, 1);
    undo(&mut state, job.job, 2);
    assert!(released(&mut state).is_empty(), "not before teardown");
    state.apply(&ended(&job, OutcomeKind::Failed, &Value::Null), at(1));
    let second = released(&mut state).pop().expect("the last");
    assert_eq!(state.path(second.job.step as usize), "steps.a/undo-2 f.b");
    end(&mut state, second.job, second.attempt, OutcomeKind::Error, 1);
    let again = released(&mut state).pop().expect("tried again");
    assert_eq!((again.job, again.attempt.get()), (second.job, 2));
    assert!(release(&mut state, at(9), 10).is_empty(), "teardown waits");
    end(&mut state, again.job, again.attempt, OutcomeKind::Skipped, 2);
    let first = released(&mut state).pop().expect("the first");
    end(&mut state, first.job, first.attempt, OutcomeKind::Passed, 3);
    let teardown = release(&mut state, at(9), 10).pop().expect("teardown");
    state.apply(&ended(&teardown, OutcomeKind::Passed, &Value::Null), at(4));
    assert_eq!((state.complete(), state.leaks()), (Some(Verdict::Failed), 0), "skipped: nothing was there");
}

#[test]
fn a_leak_makes_the_run_an_error_whatever_its_gate_admits() {
    let text = "flow: x\ngate: { max_failed: 1 }\nsteps:\n  a: { uses: f.a }\n";
    let (mut state, job) = one(text);
    undo(&mut state, job.job, 1);
    state.apply(&ended(&job, OutcomeKind::Failed, &Value::Null), at(1));
    for attempt in 1..=3 {
        let undo = state.release_calls(at(100 * attempt), 9).pop().expect("an attempt");
        end(&mut state, undo.job, undo.attempt, OutcomeKind::Failed, 100 * attempt);
    }
    assert_eq!((state.leaks(), state.complete()), (1, Some(Verdict::Error)));
    let leak = &state.children()[0];
    assert_eq!((leak.leak(), leak.input()), (Some("failed"), Some(&called("main", false).input)));
}

#[test]
fn what_is_not_undone_when_the_run_ends_is_a_leak_and_behind_its_end_nothing_is_noted() {
    let (mut state, job) = one(ONE);
    undo(&mut state, job.job, 1);
    let finished = Finished {
        verdict: Verdict::Passed,
        counts: Counts::default(),
        breaches: Vec::new(),
        unmade: Vec::new(),
        outputs: None,
    };
    state.apply(&Fact::Finished(finished), at(2));
    assert_eq!(state.children()[0].leak(), Some("the run had ended"));
    undo(&mut state, job.job, 2);
    assert_eq!(state.children().len(), 1);
}
