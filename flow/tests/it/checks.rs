//! What must hold of every run that has ended, whatever happened on the way.

use std::collections::BTreeMap;

use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq};
use rfx_flow::RunState;
use rfx_schemas::id::{Attempt, JobId};
use rfx_schemas::plan::{Phase, Plan};
use rfx_schemas::verdict::{Counts, Verdict};

use crate::driver::{Driver, fresh};
use crate::world::{Event, World};

type Checked = Result<(), TestCaseError>;

/// A state, as far as readers of the same facts must agree on it.
#[derive(Debug, PartialEq)]
pub struct Seen {
    verdict: Option<Verdict>,
    counts: Counts,
    steps: Vec<SeenStep>,
    calls: Vec<SeenCall>,
}

#[derive(Debug, PartialEq)]
struct SeenStep {
    path: String,
    verdict: Option<Verdict>,
    allowed: bool,
    counts: Counts,
    reason: Option<String>,
    jobs: Vec<(Option<Verdict>, u32)>,
}

/// A call: its path and item, its verdict, its attempts, whether it is a leak.
type SeenCall = (String, Option<String>, Option<Verdict>, u32, bool);

pub fn seen(state: &RunState) -> Seen {
    let steps = state.steps().iter().enumerate().map(|(at, step)| SeenStep {
        path: state.plan().path(at),
        verdict: state.verdict(at),
        allowed: step.allowed,
        counts: step.counts,
        reason: step.reason.clone(),
        jobs: step.jobs.iter().map(|job| (job.verdict(), job.attempt.get())).collect(),
    });
    let calls = state.children().iter().enumerate().map(|(at, child)| {
        let (path, job) = (state.path(state.child_id(at).step as usize), child.job());
        let key = child.key().map(str::to_owned);
        (path, key, job.verdict(), job.attempt.get(), child.leak().is_some())
    });
    let (steps, calls) = (steps.collect(), calls.collect());
    Seen { verdict: state.complete(), counts: state.counts(), steps, calls }
}

/// What other interleavings of the same run must agree on: all but the numbers of jobs, and the
/// first of several reasons.
pub fn verdicts(state: &RunState) -> Seen {
    let mut seen = seen(state);
    for step in &mut seen.steps {
        step.jobs.sort();
        step.reason = None;
    }
    seen.calls.sort();
    seen
}

/// I1: every job has exactly one verdict, and none is left.
pub fn one_verdict_each(state: &RunState) -> Checked {
    prop_assert!(state.complete().is_some());
    for (at, step) in state.steps().iter().enumerate() {
        let path = state.plan().path(at);
        let done = step.jobs.iter().filter(|job| job.verdict().is_some()).count();
        prop_assert_eq!(done, step.jobs.len(), "{}: jobs without a verdict", path);
        prop_assert!(step.counts.total() as usize >= done, "{}: {:?}", path, step.counts);
        prop_assert_eq!(step.outstanding, 0, "{}", path);
        prop_assert!(state.verdict(at).is_some(), "{} has no verdict", path);
        if state.plan().steps[at].parent.is_none() {
            prop_assert_eq!(step.counts.total() as usize, step.jobs.len().max(1), "{}", path);
        }
    }
    for (at, child) in state.children().iter().enumerate() {
        let path = state.path(state.child_id(at).step as usize);
        prop_assert!(child.job().verdict().is_some(), "{} has no verdict", path);
    }
    Ok(())
}

/// I3: an attempt is executed again only if its outcome was not recorded when it started.
pub fn executed_again_only_if_not_recorded(world: &World) -> Checked {
    for event in &world.events {
        if let Event::Started { job, attempt, recorded, .. } = event {
            prop_assert!(!recorded, "{job} attempt {attempt} was executed after it was recorded");
        }
    }
    Ok(())
}

/// I6: any reader of the same facts comes to the same, whatever is repeated to it.
pub fn readers_agree(world: &World, drivers: &[Driver]) -> Checked {
    let facts = &world.facts;
    let mut reader = fresh(&world.plan);
    for (number, (fact, at)) in facts.iter().enumerate() {
        reader.apply(fact, *at);
        let (repeated, at) = &facts[number / 2];
        reader.apply(repeated, *at);
    }
    let reader = seen(&reader);
    for driver in drivers {
        prop_assert_eq!(&reader, &seen(&driver.state));
    }
    Ok(())
}

/// An execution of a flow: the composite, and the items of it and those around it.
type Frame = (Option<u32>, Vec<String>);

/// I5: a teardown job starts when all else in its execution of a flow has ended, and nothing there
/// starts after it; and teardown has its one verdict in each execution.
pub fn teardown_comes_last(world: &World, state: &RunState) -> Checked {
    let plan = &world.plan;
    let mut ends: BTreeMap<(JobId, Attempt), usize> = BTreeMap::new();
    for (at, event) in world.events.iter().enumerate() {
        if let Event::Recorded { job, attempt, .. } = event {
            ends.insert((*job, *attempt), at);
        }
    }
    // For each execution of a flow: when its last other job started and ended, and when its first
    // teardown job started.
    let mut last: BTreeMap<Frame, (usize, JobId)> = BTreeMap::new();
    let mut first: BTreeMap<Frame, (usize, JobId)> = BTreeMap::new();
    for (at, event) in world.events.iter().enumerate() {
        let Event::Started { job, attempt, key, root: Some(root), .. } = event else { continue };
        for (frame, phase) in frames(plan, *root, key.as_deref()) {
            if phase == Phase::Teardown {
                first.entry(frame).or_insert((at, *job));
            } else {
                let end = ends.get(&(*job, *attempt)).copied().unwrap_or(usize::MAX).max(at);
                let entry = last.entry(frame).or_insert((0, *job));
                *entry = (*entry).max((end, *job));
            }
        }
    }
    for (frame, (started, job)) in &first {
        let Some((ended, other)) = last.get(frame) else { continue };
        let (path, other) = (world.path(job.step), world.path(other.step));
        prop_assert!(
            ended < started,
            "{path} started at {started}, {other} ended at {ended}:\n{:#?}",
            world.events
        );
    }
    for composite in 0..plan.steps.len() {
        let inside =
            (0..plan.steps.len()).filter(|at| plan.steps[*at].parent.map(|p| p as usize) == Some(composite));
        let once: Vec<_> = inside.filter(|at| plan.steps[*at].over.is_once()).collect();
        let totals: Vec<_> = once.iter().map(|at| state.steps()[*at].counts.total()).collect();
        prop_assert!(totals.windows(2).all(|pair| pair[0] == pair[1]), "{:?}: {:?}", once, totals);
    }
    Ok(())
}

/// The executions of flows that a job is inside of, with the phase that it belongs to there.
fn frames(plan: &Plan, step: u32, key: Option<&str>) -> Vec<(Frame, Phase)> {
    let items: Vec<_> = key.into_iter().flat_map(|key| key.split(" / ")).map(str::to_owned).collect();
    let mut chain = vec![step];
    while let Some(parent) = plan.steps[chain[chain.len() - 1] as usize].parent {
        chain.push(parent);
    }
    let mut used = 0;
    let mut frames = Vec::new();
    for step in chain.into_iter().rev() {
        let planned = &plan.steps[step as usize];
        frames.push(((planned.parent, items[..used].to_vec()), planned.phase));
        used = (used + usize::from(!planned.over.is_once())).min(items.len());
    }
    frames
}
