//! The fold of facts: order, phases, retries, endings, one rule a test.

use crate::common::{at, ended, release, state};
use rfx_flow::RunState;
use rfx_schemas::fact::{Cancelled, Cause, Fact, Finished, Settled};
use rfx_schemas::id::Attempt;
use rfx_schemas::outcome::{Failure, kind};
use rfx_schemas::verdict::{Counts, OutcomeKind, Verdict};
use serde_json::{Value, json};

fn verdict(state: &RunState, name: &str) -> Option<Verdict> {
    let at = state.plan().steps.iter().position(|s| s.path() == name).expect(name);
    state.verdict(at)
}

fn reason<'a>(state: &'a RunState, name: &str) -> &'a str {
    let at = state.plan().steps.iter().position(|s| s.path() == name).expect(name);
    state.steps()[at].reason.as_deref().unwrap_or_default()
}

/// Ends every released job of this state with what `answer` says, until nothing is released.
fn play(state: &mut RunState, mut answer: impl FnMut(&str, u32, u32) -> OutcomeKind) {
    let mut now = at(0);
    loop {
        let jobs = release(state, now, 100);
        if jobs.is_empty() {
            match state.next_timer() {
                Some(timer) => now = timer,
                None => return,
            }
            continue;
        }
        for job in jobs {
            let path = state.plan().steps[job.job.step as usize].path();
            let kind = answer(&path, job.job.item, job.attempt.get());
            state.apply(&ended(&job, kind, &json!({"id": job.job.item})), now);
        }
    }
}

fn passes(_: &str, _: u32, _: u32) -> OutcomeKind {
    OutcomeKind::Passed
}

const FLOW: &str = "flow: x\n\
    setup:\n  up: { uses: f.up }\n\
    steps:\n  one: { uses: f.one, each: [7, 8, 9], with: { n: \"${{ item }}\", of: \"${{ setup.up.output.id }}\" } }\n  two: { uses: f.two, with: { all: \"${{ steps.one.output }}\" } }\n\
    teardown:\n  down: { uses: f.down, with: { id: \"${{ setup.up.output.id }}\" } }\n";

#[test]
fn phases_and_reads_make_the_order() {
    let mut state = state(FLOW);
    let mut order = Vec::new();
    play(&mut state, |path, item, _| {
        order.push(format!("{path} {item}"));
        OutcomeKind::Passed
    });
    assert_eq!(
        order,
        ["setup.up 0", "steps.one 0", "steps.one 1", "steps.one 2", "steps.two 0", "teardown.down 0"]
    );
    assert_eq!(state.complete(), Some(Verdict::Passed));
}

#[test]
fn inputs_come_from_items_and_outputs() {
    let mut state = state(FLOW);
    let up = release(&mut state, at(0), 10);
    state.apply(&ended(&up[0], OutcomeKind::Passed, &json!({"id": "t1"})), at(0));
    let one = release(&mut state, at(0), 10);
    assert_eq!(one[2].input.parse().expect("JSON"), json!({"n": 9, "of": "t1"}));
    assert_eq!(one[2].key.as_deref(), Some("9"));
    for (number, job) in one.iter().enumerate().rev() {
        state.apply(&ended(job, OutcomeKind::Passed, &json!(number)), at(0));
    }
    let two = release(&mut state, at(0), 10);
    assert_eq!(two[0].input.parse().expect("JSON"), json!({"all": [0, 1, 2]}), "in the order of the items");
}

#[test]
fn what_needs_a_failed_step_is_skipped_and_teardown_runs() {
    let mut state = state(FLOW);
    play(&mut state, |path, item, _| {
        if path == "steps.one" && item == 1 { OutcomeKind::Failed } else { OutcomeKind::Passed }
    });
    assert_eq!(verdict(&state, "steps.one"), Some(Verdict::Failed));
    assert_eq!(reason(&state, "steps.two"), "steps.one did not pass");
    assert_eq!(verdict(&state, "teardown.down"), Some(Verdict::Passed));
    assert_eq!(state.complete(), Some(Verdict::Failed));
}

#[test]
fn a_failed_setup_skips_the_test_and_what_it_would_have_undone() {
    let mut state = state(FLOW);
    play(&mut state, |_, _, _| OutcomeKind::Error);
    assert_eq!(reason(&state, "steps.one"), "setup.up did not pass");
    assert_eq!(reason(&state, "teardown.down"), "nothing to undo: setup.up did not pass");
    let counts = Counts { error: 1, skipped: 3, ..Counts::default() };
    assert_eq!(state.counts(), counts);
}

#[test]
fn a_job_is_tried_again_at_the_server_time_of_its_end_plus_backoff() {
    let text = "flow: x\nsteps:\n  a: { uses: f.a, retry: { max_attempts: 3, backoff: 10s } }\n";
    let mut state = state(text);
    let first = release(&mut state, at(0), 10);
    state.apply(&ended(&first[0], OutcomeKind::Failed, &Value::Null), at(100));
    let timer = state.next_timer().expect("a wait");
    assert!(timer >= at(110) && timer <= at(115), "backoff with jitter: {timer}");
    assert!(release(&mut state, at(109), 10).is_empty());
    let second = release(&mut state, timer, 10);
    assert_eq!(second[0].attempt, Attempt::FIRST.next());
    state.apply(&ended(&second[0], OutcomeKind::Passed, &Value::Null), at(200));
    assert_eq!(state.complete(), Some(Verdict::Flaky));
}

#[test]
fn the_first_outcome_of_an_attempt_counts() {
    let mut state = state("flow: x\nsteps:\n  a: { uses: f.a }\n");
    let jobs = release(&mut state, at(0), 10);
    state.apply(&ended(&jobs[0], OutcomeKind::Passed, &Value::Null), at(1));
    state.apply(&ended(&jobs[0], OutcomeKind::Failed, &Value::Null), at(2));
    assert_eq!((state.complete(), state.anomalies().duplicate_outcomes), (Some(Verdict::Passed), 1));
}

#[test]
fn what_no_worker_can_serve_is_tried_outside_the_retry_budget_until_its_timeout() {
    let text = "flow: x\ndefaults: { queue_timeout: 10s }\nsteps:\n  a: { uses: f.a }\n";
    let mut state = state(text);
    let mut now = at(0);
    let mut tries = 0;
    while let Some(job) = release(&mut state, now, 10).pop() {
        tries += 1;
        let mut fact = ended(&job, OutcomeKind::Lost, &Value::Null);
        if let Fact::Ended(ended) = &mut fact {
            ended.outcomes[0].error = Some(Failure::new(kind::UNSERVED, "not here"));
        }
        state.apply(&fact, now);
        now = state.next_timer().unwrap_or(now);
    }
    assert_eq!(tries, 4, "after 1, 2 and 4 s; another 8 s would be past the timeout");
    assert_eq!(state.complete(), Some(Verdict::Lost));
}

#[test]
fn max_parallel_and_room_bound_what_is_out() {
    let text = "flow: x\nsteps:\n  a: { uses: f.a, each: [1, 2, 3, 4, 5], max_parallel: 2 }\n  b: { uses: f.b, each: [1, 2, 3] }\n";
    let mut state = state(text);
    let first = release(&mut state, at(0), 4);
    assert_eq!(first.len(), 4);
    assert_eq!(first.iter().filter(|j| j.job.step == 0).count(), 2);
    assert_eq!(release(&mut state, at(0), 100).len(), 1, "the rest of b");
    state.apply(&ended(&first[0], OutcomeKind::Passed, &Value::Null), at(0));
    assert_eq!(release(&mut state, at(0), 100).len(), 1);
}

#[test]
fn conditions_decide_instead_of_needs() {
    let text = "flow: x\nsteps:\n  a: { uses: f.a }\n  b: { uses: f.b, if: steps.a.verdict == \"failed\" }\n  c: { uses: f.c, if: steps.a.verdict == \"lost\" }\n";
    let mut state = state(text);
    play(&mut state, |path, _, _| if path == "steps.a" { OutcomeKind::Failed } else { OutcomeKind::Passed });
    assert_eq!(verdict(&state, "steps.b"), Some(Verdict::Passed));
    assert_eq!(reason(&state, "steps.c"), "its condition is false: steps.a.verdict == \"lost\"");
}

fn cancel(state: &mut RunState, ask: u32, cause: Cause) {
    let cancelled = Cancelled { by: "a@b".to_owned(), reason: "test".to_owned(), cause };
    state.apply(&Fact::Cancelled(ask, cancelled), at(1));
}

fn settle(state: &mut RunState) {
    state.apply(&Fact::Settled(Settled { by: "driver".parse().expect("a member") }), at(2));
}

#[test]
fn a_cancel_settles_the_test_and_leaves_teardown() {
    let mut state = state(FLOW);
    let up = release(&mut state, at(0), 10);
    state.apply(&ended(&up[0], OutcomeKind::Passed, &json!({"id": 1})), at(0));
    let one = release(&mut state, at(0), 2);
    cancel(&mut state, 1, Cause::Asked);
    assert_eq!(state.ending(), Some(Cause::Asked));
    assert!(release(&mut state, at(1), 10).is_empty(), "nothing more is released");
    state.apply(&ended(&one[0], OutcomeKind::Passed, &Value::Null), at(1));
    settle(&mut state);
    assert_eq!((state.ending(), verdict(&state, "steps.two")), (None, Some(Verdict::Cancelled)));
    play(&mut state, passes);
    assert_eq!(state.complete(), Some(Verdict::Cancelled));
    assert_eq!(state.counts(), Counts { passed: 3, cancelled: 3, ..Counts::default() });
}

#[test]
fn a_reader_of_a_cancelled_run_sees_its_teardown_as_the_driver_did() {
    let mut driver = state(FLOW);
    let mut facts = Vec::new();
    let up = release(&mut driver, at(0), 10);
    facts.push(ended(&up[0], OutcomeKind::Passed, &json!({"id": 1})));
    let cancelled = Cancelled { by: "a@b".to_owned(), reason: "test".to_owned(), cause: Cause::Asked };
    facts.push(Fact::Cancelled(1, cancelled));
    facts.push(Fact::Settled(Settled { by: "driver".parse().expect("a member") }));
    facts.iter().for_each(|fact| driver.apply(fact, at(1)));
    let down = release(&mut driver, at(1), 10);
    facts.push(ended(&down[0], OutcomeKind::Passed, &Value::Null));
    driver.apply(&facts[3], at(2));
    let mut reader = state(FLOW);
    facts.iter().for_each(|fact| reader.apply(fact, at(1)));
    for state in [&driver, &reader] {
        assert_eq!(verdict(state, "teardown.down"), Some(Verdict::Passed));
        assert_eq!(state.complete(), Some(Verdict::Cancelled));
    }
}

#[test]
fn a_cancel_that_is_read_again_is_no_second_one() {
    let mut state = state(FLOW);
    let up = release(&mut state, at(0), 10);
    state.apply(&ended(&up[0], OutcomeKind::Passed, &json!({"id": 1})), at(0));
    cancel(&mut state, 1, Cause::Asked);
    cancel(&mut state, 1, Cause::Asked);
    settle(&mut state);
    assert_eq!((state.asks(), release(&mut state, at(2), 10).len()), (1, 1), "teardown runs");
}

#[test]
fn what_was_out_may_be_released_again_and_counts_once() {
    let mut state = state("flow: x\nsteps:\n  a: { uses: f.a, each: [1, 2], max_parallel: 1 }\n");
    let first = release(&mut state, at(0), 10);
    state.release_again();
    let again = release(&mut state, at(0), 10);
    assert_eq!((&again, state.outstanding()), (&first, 1));
    state.apply(&ended(&first[0], OutcomeKind::Passed, &Value::Null), at(1));
    assert_eq!(release(&mut state, at(1), 10).len(), 1, "the other one");
}

#[test]
fn teardown_is_not_tried_again_after_a_second_cancel() {
    let text =
        "flow: x\nsteps:\n  a: { uses: f.a }\nteardown:\n  b: { uses: f.b, retry: { max_attempts: 3 } }\n";
    let mut state = state(text);
    let a = release(&mut state, at(0), 10);
    state.apply(&ended(&a[0], OutcomeKind::Passed, &Value::Null), at(0));
    let b = release(&mut state, at(0), 10);
    cancel(&mut state, 1, Cause::Asked);
    cancel(&mut state, 2, Cause::Asked);
    state.apply(&ended(&b[0], OutcomeKind::Failed, &Value::Null), at(1));
    assert_eq!((state.unsettled(true), state.complete()), (Vec::new(), Some(Verdict::Failed)));
}

#[test]
fn what_has_no_input_is_not_repeated() {
    let text = "flow: x\nsteps:\n  a: { uses: f.a }\n  b: { uses: f.b, repeat: { for: 1h }, with: { v: \"${{ steps.a.output.no }}\" } }\n";
    let mut state = state(text);
    let a = release(&mut state, at(0), 10);
    state.apply(&ended(&a[0], OutcomeKind::Passed, &json!({"id": 1})), at(1));
    let refused = state.release(at(1), 10);
    let [rfx_flow::Release::Refuse(refusal)] = refused.as_slice() else { panic!("{refused:?}") };
    let mut fact = ended(&a[0], OutcomeKind::Error, &Value::Null);
    if let Fact::Ended(ended) = &mut fact {
        ended.outcomes[0].job = refusal.job;
        ended.outcomes[0].error = Some(refusal.failure.clone());
    }
    state.apply(&fact, at(2));
    assert_eq!((state.complete(), state.counts().error), (Some(Verdict::Error), 1));
}

#[test]
fn a_second_cancel_skips_what_is_left_of_teardown() {
    let mut state = state(FLOW);
    play(&mut state, |path, _, _| if path == "setup.up" { OutcomeKind::Passed } else { OutcomeKind::Failed });
    let mut state = crate::common::state(FLOW);
    let up = release(&mut state, at(0), 10);
    state.apply(&ended(&up[0], OutcomeKind::Passed, &json!({"id": 1})), at(0));
    cancel(&mut state, 1, Cause::Asked);
    cancel(&mut state, 2, Cause::Asked);
    settle(&mut state);
    assert_eq!(reason(&state, "teardown.down"), "teardown was skipped by a second cancel");
    assert_eq!(state.complete(), Some(Verdict::Cancelled));
}

#[test]
fn at_the_deadline_what_has_no_verdict_is_lost_by_us() {
    let mut state = state(FLOW);
    let _up = release(&mut state, at(0), 10);
    cancel(&mut state, 1, Cause::Deadline);
    settle(&mut state);
    play(&mut state, passes);
    assert_eq!(state.complete(), Some(Verdict::Lost));
}

#[test]
fn a_reader_of_the_end_has_a_verdict_for_every_job() {
    let mut state = state(FLOW);
    let up = release(&mut state, at(0), 10);
    state.apply(&ended(&up[0], OutcomeKind::Passed, &json!({"id": 1})), at(0));
    cancel(&mut state, 1, Cause::Asked);
    let finished = Finished {
        verdict: Verdict::Cancelled,
        counts: Counts::default(),
        breaches: Vec::new(),
        unmade: Vec::new(),
        outputs: None,
    };
    state.apply(&Fact::Finished(finished), at(9));
    assert_eq!(state.complete(), Some(Verdict::Cancelled));
    assert!(state.is_finished());
}

#[test]
fn an_input_that_cannot_be_made_is_refused_with_the_reason() {
    let text = "flow: x\nsteps:\n  a: { uses: f.a }\n  b: { uses: f.b, with: { v: \"${{ steps.a.output.nope }}\" } }\n";
    let mut state = state(text);
    let jobs = release(&mut state, at(0), 10);
    state.apply(&ended(&jobs[0], OutcomeKind::Passed, &json!({"id": 1})), at(0));
    let released = state.release(at(0), 10);
    let [rfx_flow::Release::Refuse(refusal)] = released.as_slice() else { panic!("{released:?}") };
    assert!(refusal.failure.message.contains("steps.a.output.nope"), "{refusal:?}");
}

#[test]
fn outputs_of_the_flow_are_made_from_its_steps() {
    let text = "flow: x\nsteps:\n  a: { uses: f.a, each: [1, 2] }\n  b: { uses: f.b }\noutputs: { ids: \"${{ steps.a.output.map(o, o.id) }}\", none: \"${{ steps.b.output.nope }}\" }\n";
    let mut state = state(text);
    play(&mut state, passes);
    let (outputs, unmade) = state.outputs();
    assert_eq!(outputs, Some(json!({"ids": [0, 1], "none": null})), "one without a value costs no other");
    assert!(unmade[0].starts_with("none: steps.b.output.nope"), "{unmade:?}");
}
