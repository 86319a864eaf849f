//! The fold of facts into the state of a run, and what follows from it: what is released, skipped,
//! tried again, torn down, finished.
//!
//! Invariant: pure. The same facts give the same state, whatever was repeated; time comes in with
//! each fact (the stream's own) and with each question. Jobs are numbered as their steps begin, so
//! the order of the facts, which the stream gives, decides their numbers.

mod advance;
mod calls;
mod child;
mod compiled;
mod ending;
mod frame;
mod job;
mod open;
mod release;
mod settle;
mod undo;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use rfx_schemas::fact::{Cause, Ended, Fact};
use rfx_schemas::id::{JobId, RunId};
use rfx_schemas::outcome::Outcome;
use rfx_schemas::plan::{Phase, Plan};
use rfx_schemas::report::Anomalies;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::{Counts, Verdict};
use serde_json::Value;

use calls::Calls;
pub use child::Child;
use compiled::Compiled;
pub use compiled::PlanError;
use frame::{Body, Frame, Instance};
pub use job::{JobState, Standing};
pub use release::{Refusal, Release, ReleasedCall, ReleasedJob};

/// The execution of the run's own flow.
const ROOT: u32 = 0;

/// The state of one run.
pub struct RunState {
    run: RunId,
    plan: Arc<Plan>,
    data: BTreeMap<String, Arc<Value>>,
    compiled: Vec<Compiled>,
    bodies: Vec<Body>,
    /// By step of the plan: its number among the steps of its flow.
    local: Vec<usize>,
    steps: Vec<StepState>,
    /// Executions of flows that go on; that of the run stays.
    frames: BTreeMap<u32, Frame>,
    next_frame: u32,
    /// Executions in which something may follow.
    dirty: BTreeSet<u32>,
    /// Composites that may begin further executions.
    opening: BTreeSet<(u32, usize)>,
    /// Steps of executions that may have jobs to release, in turns.
    ready: VecDeque<(u32, usize)>,
    ending: Option<Cause>,
    asks: u32,
    settled: bool,
    finished: Option<Verdict>,
    timers: BinaryHeap<Reverse<(Stamp, JobId)>>,
    anomalies: Anomalies,
    /// When the run was submitted, and when the last outcome that counts was recorded.
    submitted: Stamp,
    clock: Stamp,
    /// Failed jobs that their step, or a composite around it, allows.
    allowed: u32,
    /// Jobs that are released and have no outcome.
    outstanding: usize,
    /// Why executions of composites lack an output.
    unmade: Vec<String>,
    /// What attempts have called, and what is to be undone.
    calls: Calls,
}

/// A step of the plan, over all executions of its flow.
#[derive(Debug, Default)]
pub struct StepState {
    /// Its jobs, by their number; of a composite: its executions.
    pub jobs: Vec<JobState>,
    /// Verdicts of its jobs; each time that it was skipped counts as one.
    pub counts: Counts,
    /// Jobs that are released and have no outcome.
    pub outstanding: usize,
    /// Why it was skipped or could not begin, the first time.
    pub reason: Option<String>,
    /// Whether its failures are allowed, so far as it has ended.
    pub allowed: bool,
    /// Whether its jobs call other functions.
    calls: bool,
    /// Verdicts of a composite that no job inside explains: it was skipped, had no input, or gave what
    /// was not expected.
    lone: Counts,
    /// Of a composite: what people call its executions, and why they ended as they did.
    notes: Vec<Note>,
}

/// What is kept of an execution of a composite.
#[derive(Debug, Default)]
struct Note {
    key: Option<Box<str>>,
    reason: Option<Box<str>>,
}

impl RunState {
    /// The state of a run that was just submitted, as the stream stored it at `submitted`.
    pub fn new(
        run: RunId,
        plan: Arc<Plan>,
        data: BTreeMap<String, Value>,
        submitted: Stamp,
    ) -> Result<Self, PlanError> {
        let compiled = plan.steps.iter().map(Compiled::new).collect::<Result<Vec<_>, _>>()?;
        let bodies = frame::bodies(&plan);
        let mut local = vec![0; plan.steps.len()];
        for body in &bodies {
            body.steps.iter().enumerate().for_each(|(number, step)| local[*step as usize] = number);
        }
        let mut steps = Vec::new();
        steps.resize_with(plan.steps.len(), StepState::default);
        let data = data.into_iter().map(|(name, value)| (name, Arc::new(value))).collect();
        let mut state = Self {
            run,
            data,
            compiled,
            bodies,
            local,
            steps,
            frames: BTreeMap::new(),
            next_frame: ROOT,
            dirty: BTreeSet::new(),
            opening: BTreeSet::new(),
            ready: VecDeque::new(),
            ending: None,
            asks: 0,
            settled: false,
            finished: None,
            timers: BinaryHeap::new(),
            anomalies: Anomalies::default(),
            submitted,
            clock: submitted,
            allowed: 0,
            outstanding: 0,
            unmade: Vec::new(),
            calls: Calls::default(),
            plan,
        };
        let inputs = state.plan.inputs.clone();
        state.open(None, inputs, None, false);
        state.advance();
        Ok(state)
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The steps, as in the plan.
    pub fn steps(&self) -> &[StepState] {
        &self.steps
    }

    /// The verdict of a step, once it has ended in every execution of its flow.
    pub fn verdict(&self, step: usize) -> Option<Verdict> {
        let planned = &self.plan.steps[step];
        let Some(parent) = planned.parent else {
            return self.frames[&ROOT].steps[self.local[step]].verdict();
        };
        self.verdict(parent as usize)?;
        // Inside a composite that was skipped, nothing had a turn: the skipped composite says so.
        Some(self.steps[step].counts.verdict())
    }

    /// What at-least-once delivery did.
    pub fn anomalies(&self) -> Anomalies {
        self.anomalies
    }

    /// Whether the fold must see a job's output: then its value must be inline.
    pub fn reads_output(&self, job: JobId) -> bool {
        self.plan.steps.get(job.step as usize).is_some_and(|step| step.keep_output)
    }

    /// Verdicts of all jobs; what was skipped as a whole counts as one.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (step, planned) in self.steps.iter().zip(&self.plan.steps) {
            counts.merge(if planned.call().is_some() { &step.counts } else { &step.lone });
        }
        // What a composite allows, too.
        counts.allowed = self.allowed;
        counts
    }

    /// The verdict, once every step has one.
    pub fn complete(&self) -> Option<Verdict> {
        let root = &self.frames[&ROOT];
        if root.phase().is_some() || root.calls > 0 || self.has_undos() {
            return None;
        }
        let verdict = self.gated(settle::frame_verdict(root));
        // As a step of teardown that ends with an error.
        let leaks = Counts { error: self.leaks(), ..Counts::default() };
        Some(Verdict::gravest([verdict, leaks.verdict()]))
    }

    /// A verdict as the flow's gate makes it.
    fn gated(&self, verdict: Verdict) -> Verdict {
        let Some(gate) = &self.plan.gate else { return verdict };
        let failed = matches!(verdict, Verdict::Failed | Verdict::Error);
        let kept = self.breaches().is_empty();
        match verdict {
            Verdict::Passed | Verdict::Flaky | Verdict::Skipped if !kept => Verdict::Failed,
            _ if failed && kept && gate.max_failed.is_some() => Verdict::Passed,
            verdict => verdict,
        }
    }

    /// What the flow's gate asks for and the run has not kept to.
    pub fn breaches(&self) -> Vec<String> {
        let gate = self.plan.gate.as_ref();
        gate.map(|gate| gate.breaches(&self.counts(), self.clock.since(self.submitted))).unwrap_or_default()
    }

    /// Whether the end of the run is recorded.
    pub fn is_finished(&self) -> bool {
        self.finished.is_some()
    }

    /// Jobs that are released and have no outcome.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// What people call a job of a composite, and why it ended as it did.
    pub fn note(&self, step: usize, item: usize) -> (Option<&str>, Option<&str>) {
        let note = self.steps[step].notes.get(item);
        (note.and_then(|n| n.key.as_deref()), note.and_then(|n| n.reason.as_deref()))
    }

    /// Takes a fact that was recorded at `at`; outputs that [`RunState::reads_output`] must be inline.
    pub fn apply(&mut self, fact: &Fact, at: Stamp) {
        match fact {
            Fact::Submitted(_) | Fact::Started(_) => {}
            Fact::Cancelled(ask, cancelled) => {
                self.asks = self.asks.max(*ask);
                self.ending.get_or_insert(cancelled.cause);
                self.dirty.extend(self.frames.keys());
            }
            Fact::Ended(Ended { outcomes }) => outcomes.iter().for_each(|o| self.outcome(o, at)),
            Fact::Call(caller, called) => self.called(caller, called, false),
            Fact::Undo(caller, called) => self.called(caller, called, true),
            Fact::Returned(caller, _) => self.returned(caller),
            Fact::Settled(_) => {
                self.settled = true;
                self.settle();
                // Whoever settled has emptied the lanes, of the teardown of composites too.
                self.release_again();
            }
            Fact::Finished(finished) => {
                self.finished = Some(finished.verdict);
                self.close_all();
            }
        }
        self.advance();
    }

    /// Whether this outcome would be the first of its attempt, and the attempt the job's current one.
    pub fn awaits(&self, outcome: &Outcome) -> bool {
        let job = self.job(outcome.job);
        job.is_some_and(|j| !matches!(j.standing, Standing::Done(_)) && j.attempt == outcome.attempt)
    }

    /// Whether this driver has released a job and waits for its outcome.
    pub fn is_released(&self, job: JobId) -> bool {
        self.job(job).is_some_and(|j| j.standing == Standing::Released)
    }

    fn job(&self, job: JobId) -> Option<&JobState> {
        match self.steps.get(job.step as usize) {
            Some(step) => step.jobs.get(job.item as usize),
            None => self.child(job).map(Child::job),
        }
    }

    /// The steps of the flow that a frame executes.
    fn body(&self, frame: &Frame) -> &Body {
        &self.bodies[self.body_of(frame.of)]
    }

    /// The place among the flows of the plan of that which such an execution has.
    fn body_of(&self, of: Option<(u32, u32)>) -> usize {
        of.map_or(self.plan.steps.len(), |(step, _)| step as usize)
    }

    /// The position in the plan of a frame's step.
    fn step_of(&self, frame: u32, local: usize) -> usize {
        self.body(&self.frames[&frame]).steps[local] as usize
    }

    fn instance(&self, frame: u32, local: usize) -> &Instance {
        &self.frames[&frame].steps[local]
    }

    fn instance_mut(&mut self, frame: u32, local: usize) -> &mut Instance {
        &mut self.frames.get_mut(&frame).expect("frames with open steps are kept").steps[local]
    }

    /// Whether a step of a frame undoes something, so that it runs on when the run is ended early.
    fn is_undo(&self, frame: u32, step: usize) -> bool {
        self.frames[&frame].undo || self.plan.steps[step].phase == Phase::Teardown
    }

    /// Whether a step undoes something, itself or as a part of a composite that does.
    pub fn undoes(&self, step: usize) -> bool {
        let planned = &self.plan.steps[step];
        planned.phase == Phase::Teardown || planned.parent.is_some_and(|parent| self.undoes(parent as usize))
    }

    /// Whether nothing of a step may begin any more.
    fn is_held(&self, frame: u32, step: usize) -> bool {
        if self.is_undo(frame, step) { self.asks > 1 } else { self.ending.is_some() }
    }

    /// Each step of each execution that goes on, the innermost first: frame, number there, position in
    /// the plan.
    fn all_steps(&self) -> Vec<(u32, usize, usize)> {
        let frames = self.frames.iter().rev();
        frames
            .flat_map(|(id, frame)| {
                let steps = self.body(frame).steps.iter().enumerate();
                steps.map(|(local, step)| (*id, local, *step as usize))
            })
            .collect()
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("plans stay below 2^32 steps and items")
}

fn job_id(step: usize, item: usize) -> JobId {
    JobId { step: number(step), item: number(item) }
}
