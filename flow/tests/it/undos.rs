//! What must hold of what a run was to undo.

use std::collections::BTreeMap;

use proptest::prop_assert;
use proptest::test_runner::TestCaseError;
use rfx_flow::{Child, RunState};
use rfx_schemas::id::JobId;
use rfx_schemas::plan::{Phase, Plan};

use crate::world::{Event, World};

fn outer_phase(plan: &Plan, step: usize) -> Phase {
    let planned = &plan.steps[step];
    planned.parent.map_or(planned.phase, |parent| outer_phase(plan, parent as usize))
}

/// When each undo was recorded and began, by its job: only those that did.
fn spans(world: &World, state: &RunState) -> Vec<(JobId, usize, usize)> {
    let mut jobs = BTreeMap::new();
    for (at, child) in state.children().iter().enumerate().filter(|(_, child)| child.is_undo()) {
        jobs.insert(child.caller(), state.child_id(at));
    }
    let mut noted = BTreeMap::new();
    let mut begun: Vec<(JobId, usize, usize)> = Vec::new();
    for (at, event) in world.events.iter().enumerate() {
        match event {
            Event::Noted { job, attempt, number } => {
                if let Some(job) = jobs.get(&(*job, *attempt, *number)) {
                    noted.insert(*job, at);
                }
            }
            Event::Started { job, undo: true, .. } if begun.last().is_none_or(|(last, ..)| last != job) => {
                begun.push((*job, noted[job], at));
            }
            _ => {}
        }
    }
    begun
}

/// Whether an undo was recorded before its attempt had an outcome.
fn in_order(world: &World, state: &RunState, job: JobId) -> bool {
    let of = state.child(job).map(Child::caller);
    let noted = |e: &Event| matches!(e, Event::Noted { job, attempt, number } if of == Some((*job, *attempt, *number)));
    let ended = |e: &Event| matches!(e, Event::Recorded { job, attempt, .. } if of.is_some_and(|of| (of.0, of.1) == (*job, *attempt)));
    let at = |wanted: &dyn Fn(&Event) -> bool| world.events.iter().position(wanted).unwrap_or(usize::MAX);
    at(&noted) < at(&ended)
}

/// Everything that was to be undone was, or is a leak; one after the other, the last done first, what
/// setup did after the steps of teardown, and all else before them.
pub fn each_is_undone_in_reverse(world: &World, state: &RunState) -> Result<(), TestCaseError> {
    let leaks = state.children().iter().filter(|child| child.leak().is_some()).count();
    prop_assert!(state.leaks() as usize == leaks);
    let undone = |child: &&Child| child.is_undo() && child.job().verdict().is_some();
    let undos = state.children().iter().filter(|child| child.is_undo());
    prop_assert!(undos.clone().count() == undos.filter(undone).count());
    let late = |job: &JobId| {
        let root = state.child(*job).expect("a child").root();
        matches!(outer_phase(&world.plan, root), Phase::Setup | Phase::Teardown)
    };
    let begun = spans(world, state);
    for (number, (job, noted, at)) in begun.iter().enumerate() {
        prop_assert!(!begun[..number].iter().any(|(other, ..)| other == job), "{} is begun in between", job);
        for (other, other_noted, other_at) in &begun[..number] {
            // Its turn may have been decided when a worker that was given up recorded the next one.
            let known = other_at > noted && late(job) == late(other) && in_order(world, state, *job);
            prop_assert!(!known || other_noted > noted, "{other} ({other_at}) before {job} ({at})");
        }
    }
    let teardown = |event: &Event| match event {
        Event::Started { root: Some(root), .. } => {
            outer_phase(&world.plan, *root as usize) == Phase::Teardown
        }
        _ => false,
    };
    let first = world.events.iter().position(teardown);
    let last = world.events.iter().rposition(teardown);
    for (job, noted, at) in &begun {
        if late(job) {
            prop_assert!(
                last.is_none_or(|last| last < *at),
                "{} before a step of teardown",
                world.path(job.step)
            );
        } else {
            let in_time =
                first.is_none_or(|first| at < &first || noted > &first) || !in_order(world, state, *job);
            prop_assert!(in_time, "{} behind a step of teardown", world.path(job.step));
        }
    }
    Ok(())
}
