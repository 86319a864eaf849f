//! The fold under the broker's freedoms: facts repeated, late, out of any order that their causes
//! allow, drivers restarted or doubled at any point. Over random flows, every job gets exactly one
//! verdict, the same one for every reader of the facts.

use crate::common::{at, ended, planned, run};
use proptest::prelude::*;
use rfx_flow::{Release, ReleasedJob, RunState};
use rfx_schemas::fact::Fact;
use rfx_schemas::verdict::{OutcomeKind, Verdict};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// A random flow: steps that need earlier ones, run over lists, and are tried again.
fn any_flow() -> impl Strategy<Value = String> {
    let step = (0usize..4, 0u32..4, 1u32..3, any::<prop::sample::Index>(), any::<bool>(), any::<bool>());
    prop::collection::vec(step, 1..7).prop_map(|steps| {
        let mut text = "flow: x\nsetup:\n  up: { uses: f.up }\nsteps:\n".to_owned();
        for (at, (items, parallel, attempts, needs, reads, has_needs)) in steps.iter().enumerate() {
            let mut step =
                format!("  s{at}: {{ uses: f.s, retry: {{ max_attempts: {attempts}, backoff: 1s }}");
            if *items > 0 {
                step += &format!(", each: {:?}", (0..*items).collect::<Vec<_>>());
            }
            if *parallel > 0 {
                step += &format!(", max_parallel: {parallel}");
            }
            if at > 0 && *has_needs {
                let needed = needs.index(at);
                step += &match reads {
                    true => format!(", with: {{ v: \"${{{{ steps.s{needed}.output }}}}\" }}"),
                    false => format!(", needs: [s{needed}]"),
                };
            }
            text += &step;
            text += " }\n";
        }
        text + "teardown:\n  down: { uses: f.down, with: { v: \"${{ setup.up.output }}\" } }\n"
    })
}

fn kind(choice: u8) -> OutcomeKind {
    match choice {
        0..=5 => OutcomeKind::Passed,
        6 => OutcomeKind::Failed,
        7 => OutcomeKind::Error,
        8 => OutcomeKind::Skipped,
        _ => OutcomeKind::Lost,
    }
}

fn fresh(text: &str) -> RunState {
    RunState::new(run(), planned(text).into(), BTreeMap::new(), at(0)).expect("a plan of ours")
}

/// The stream: guarded, so that each attempt has one outcome.
#[derive(Default)]
struct Stream {
    facts: Vec<Fact>,
    subjects: BTreeSet<(u32, u32, u32)>,
}

impl Stream {
    fn record(&mut self, job: &ReleasedJob, kind: OutcomeKind) {
        let subject = (job.job.step, job.job.item, job.attempt.get());
        if self.subjects.insert(subject) {
            self.facts.push(ended(job, kind, &json!({"id": job.job.item})));
        }
    }
}

fn jobs(released: Vec<Release>, stream: &mut Stream) -> Vec<ReleasedJob> {
    released
        .into_iter()
        .filter_map(|release| match release {
            Release::Publish(job) => Some(job),
            Release::Refuse(refusal) => {
                let input = rfx_schemas::payload::Json::of(&json!(null));
                let job = ReleasedJob {
                    job: refusal.job,
                    attempt: refusal.attempt,
                    frame: 0,
                    key: None,
                    item: None,
                    index: 0,
                    input,
                };
                stream.record(&job, OutcomeKind::Error);
                None
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_job_gets_one_verdict_whatever_is_repeated_or_restarted(
        text in any_flow(),
        choices in prop::collection::vec((0u8..10, any::<prop::sample::Index>(), 0u8..12), 1..200),
        window in 1usize..8,
    ) {
        let mut stream = Stream::default();
        let mut driver = fresh(&text);
        let mut read = 0;
        let mut queue: Vec<ReleasedJob> = Vec::new();
        let mut choices = choices.into_iter().cycle();
        for tick in 0..5_000 {
            if driver.complete().is_some() {
                break;
            }
            let now = at(tick * 100);
            let (choice, which, fate) = choices.next().expect("endless");
            // A world in which only faults happen proves nothing: every other time a job gets done.
            let fate = if tick % 2 == 0 { fate } else { 11 };
            let released = driver.release(now, window);
            queue.extend(jobs(released, &mut stream));
            match fate {
                // The driver dies; the next one starts from the facts, and publishes again what it finds open.
                0 => {
                    driver = fresh(&text);
                    read = 0;
                }
                // A worker died before recording: the job is handed over again, later.
                1 | 2 if !queue.is_empty() => {
                    let job = queue.remove(which.index(queue.len()));
                    queue.push(job);
                }
                // A job runs twice; the guard keeps the second outcome out.
                3 if !queue.is_empty() => {
                    let job = queue.remove(which.index(queue.len()));
                    stream.record(&job, kind(choice));
                    stream.record(&job, OutcomeKind::Failed);
                }
                // A fact is read again.
                4 if read > 0 => driver.apply(&stream.facts[which.index(read)].clone(), now),
                _ if !queue.is_empty() => {
                    let job = queue.remove(which.index(queue.len()));
                    stream.record(&job, kind(choice));
                }
                _ => {}
            }
            // The driver reads some of what is new.
            let upto = stream.facts.len() - usize::from(fate == 5 && stream.facts.len() > read);
            for fact in &stream.facts[read..upto.max(read)] {
                driver.apply(fact, now);
            }
            read = upto.max(read);
        }
        let verdict = driver.complete();
        prop_assert!(verdict.is_some(), "the run never ends:\n{}", text);
        // I1: one verdict each, and no job unaccounted for.
        for step in driver.steps().iter().filter(|step| !step.jobs.is_empty()) {
            prop_assert_eq!(step.counts.total() as usize, step.jobs.len());
        }
        // I6: any other reader of the same facts, with repeats, comes to the same.
        let mut reader = fresh(&text);
        for (number, fact) in stream.facts.iter().enumerate() {
            reader.apply(fact, at(1));
            reader.apply(&stream.facts[number / 2], at(2));
        }
        let verdicts = |state: &RunState| (0..state.steps().len()).map(|s| state.verdict(s)).collect::<Vec<_>>();
        prop_assert_eq!(verdicts(&reader), verdicts(&driver));
        // I5: teardown has its verdict, after all else has one.
        let down = driver.verdict(driver.steps().len() - 1);
        prop_assert!(matches!(down, Some(v) if v != Verdict::Cancelled));
    }
}
