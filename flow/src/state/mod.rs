//! The fold of facts into the state of a run, and what follows from it: what is released, skipped,
//! tried again, torn down, finished.
//!
//! Invariant: pure. The same facts give the same state, whatever was repeated; time comes in with
//! each fact (the stream's own) and with each question.

mod compiled;
mod job;
mod release;
mod step;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use rfx_schemas::fact::{Cause, Ended, Fact};
use rfx_schemas::id::{JobId, RunId};
use rfx_schemas::outcome::Outcome;
use rfx_schemas::plan::{Phase, Plan};
use rfx_schemas::report::Anomalies;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::{Counts, OutcomeKind, Verdict};
use serde_json::Value;

use compiled::Compiled;
pub use compiled::PlanError;
use job::{Applied, Rules, Standing};
pub use release::{Refusal, Release, ReleasedJob};
pub use step::{Status, StepState};

/// The state of one run.
pub struct RunState {
    run: RunId,
    plan: Arc<Plan>,
    data: BTreeMap<String, Arc<Value>>,
    compiled: Vec<Compiled>,
    steps: Vec<StepState>,
    ending: Option<Cause>,
    asks: u32,
    finished: Option<Verdict>,
    timers: BinaryHeap<Reverse<(Stamp, JobId)>>,
    anomalies: Anomalies,
    turn: usize,
}

impl RunState {
    /// The state of a run that was just submitted.
    pub fn new(run: RunId, plan: Arc<Plan>, data: BTreeMap<String, Value>) -> Result<Self, PlanError> {
        let compiled = plan.steps.iter().map(Compiled::new).collect::<Result<Vec<_>, _>>()?;
        let mut steps = Vec::new();
        steps.resize_with(plan.steps.len(), StepState::default);
        let data = data.into_iter().map(|(name, value)| (name, Arc::new(value))).collect();
        let mut state = Self {
            run,
            plan,
            data,
            compiled,
            steps,
            ending: None,
            asks: 0,
            finished: None,
            timers: BinaryHeap::new(),
            anomalies: Anomalies::default(),
            turn: 0,
        };
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

    /// What at-least-once delivery did.
    pub fn anomalies(&self) -> Anomalies {
        self.anomalies
    }

    /// Whether the fold must see a job's output: then its value must be inline.
    pub fn reads_output(&self, job: JobId) -> bool {
        self.plan.steps.get(job.step as usize).is_some_and(|step| step.keep_output)
    }

    /// Why the run is being ended early, until its jobs are settled.
    pub fn ending(&self) -> Option<Cause> {
        self.ending.filter(|_| self.body_open())
    }

    /// How often a cancel was asked for.
    pub fn asks(&self) -> u32 {
        self.asks
    }

    /// Verdicts of all jobs; a skipped step counts as one.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for step in &self.steps {
            counts.merge(&step.counts);
            if let (Some(verdict), true) = (step.verdict(), step.jobs.is_empty()) {
                counts.add(verdict);
            }
        }
        counts
    }

    /// The verdict, once every step has one.
    pub fn complete(&self) -> Option<Verdict> {
        let ended = self.steps.iter().all(|s| s.verdict().is_some());
        ended.then(|| self.counts().verdict())
    }

    /// Whether the end of the run is recorded.
    pub fn is_finished(&self) -> bool {
        self.finished.is_some()
    }

    /// Jobs that are released and have no outcome.
    pub fn outstanding(&self) -> usize {
        self.steps.iter().map(|s| s.outstanding).sum()
    }

    /// Takes a fact that was recorded at `at`; outputs that [`RunState::reads_output`] must be inline.
    pub fn apply(&mut self, fact: &Fact, at: Stamp) {
        match fact {
            Fact::Submitted(_) | Fact::Started(_) => {}
            Fact::Cancelled(_, cancelled) => {
                self.asks += 1;
                self.ending.get_or_insert(cancelled.cause);
            }
            Fact::Ended(Ended { outcomes }) => outcomes.iter().for_each(|o| self.outcome(o, at)),
            Fact::Finished(finished) => {
                self.finished = Some(finished.verdict);
                self.settle();
                self.skip_pending();
                self.steps
                    .iter_mut()
                    .filter(|s| s.status == Status::Active)
                    .for_each(|s| s.settle_rest(Verdict::Cancelled));
            }
        }
        self.advance();
    }

    /// Gives every job before teardown that has no verdict the one that the ending means. Called
    /// when no attempt of them can have an outcome any more.
    pub fn settle(&mut self) {
        let (verdict, reason) = match self.ending {
            Some(Cause::Asked) => (Verdict::Cancelled, "the run was cancelled"),
            Some(Cause::Deadline) | None => (Verdict::Lost, "the run's deadline passed"),
        };
        for (step, planned) in self.steps.iter_mut().zip(&self.plan.steps) {
            if planned.phase == Phase::Teardown {
                continue;
            }
            match step.status {
                Status::Pending => step.skip(verdict, reason),
                Status::Active => step.settle_rest(verdict),
                Status::Ended(..) => {}
            }
        }
        self.advance();
    }

    /// Skips what has not begun, as a second cancel asks. Whether there was anything.
    fn skip_pending(&mut self) -> bool {
        let mut changed = false;
        for step in self.steps.iter_mut().filter(|s| s.status == Status::Pending) {
            step.skip(Verdict::Cancelled, "teardown was skipped by a second cancel");
            changed = true;
        }
        changed
    }

    /// Settles what is left of teardown, as a second cancel asks. Called when no attempt of it can
    /// have an outcome any more.
    pub fn abandon_teardown(&mut self) {
        for (step, planned) in self.steps.iter_mut().zip(&self.plan.steps) {
            if planned.phase == Phase::Teardown && step.status == Status::Active {
                step.settle_rest(Verdict::Cancelled);
            }
        }
        self.advance();
    }

    /// Whether this outcome would be the first of its attempt, and the attempt the job's current one.
    pub fn awaits(&self, outcome: &Outcome) -> bool {
        let job =
            self.steps.get(outcome.job.step as usize).and_then(|s| s.jobs.get(outcome.job.item as usize));
        job.is_some_and(|j| !matches!(j.standing, Standing::Done(_)) && j.attempt == outcome.attempt)
    }

    /// Jobs of a phase group without a verdict: attempts of them may be under way.
    pub fn unsettled(&self, teardown: bool) -> Vec<(JobId, rfx_schemas::id::Attempt)> {
        let mut jobs = Vec::new();
        for (at, (step, planned)) in self.steps.iter().zip(&self.plan.steps).enumerate() {
            if step.status != Status::Active || (planned.phase == Phase::Teardown) != teardown {
                continue;
            }
            let open = step.jobs.iter().enumerate().filter(|(_, j)| !matches!(j.standing, Standing::Done(_)));
            jobs.extend(open.map(|(item, j)| (job_id(at, item), j.attempt)));
        }
        jobs
    }

    /// Whether this driver has released a job and waits for its outcome.
    pub fn is_released(&self, job: JobId) -> bool {
        let step = self.steps.get(job.step as usize);
        step.and_then(|s| s.jobs.get(job.item as usize)).is_some_and(|j| j.standing == Standing::Released)
    }

    fn body_open(&self) -> bool {
        let mut body = self.steps.iter().zip(&self.plan.steps).filter(|(_, p)| p.phase != Phase::Teardown);
        body.any(|(s, _)| s.verdict().is_none())
    }

    fn outcome(&mut self, outcome: &Outcome, at: Stamp) {
        let (step_no, item) = (outcome.job.step as usize, outcome.job.item as usize);
        let (Some(step), Some(planned)) = (self.steps.get_mut(step_no), self.plan.steps.get(step_no)) else {
            self.anomalies.unreadable += 1;
            return;
        };
        let Some(job) = step.jobs.get_mut(item) else {
            self.anomalies.unreadable += 1;
            return;
        };
        let was_released = job.standing == Standing::Released;
        let ending = self.ending.is_some() && planned.phase != Phase::Teardown;
        let rules = Rules { retry: &planned.retry, queue_timeout: planned.queue_timeout, ending };
        let applied = job.apply(self.run, outcome, at, &rules);
        if applied == Applied::Duplicate {
            self.anomalies.duplicate_outcomes += 1;
            return;
        }
        self.anomalies.redelivered += u64::from(outcome.deliveries > 1);
        step.outstanding -= usize::from(was_released);
        match applied {
            Applied::Duplicate => unreachable!("returned above"),
            Applied::Again(when) => self.timers.push(Reverse((when, outcome.job))),
            Applied::Done(verdict) => {
                if outcome.kind == OutcomeKind::Passed
                    && let Some(slot) = step.outputs.get_mut(item)
                {
                    *slot = inline(outcome);
                }
                step.settle(verdict);
            }
        }
    }

    /// Starts, skips and ends steps until nothing follows any more.
    fn advance(&mut self) {
        while self.advance_once() {}
    }

    fn advance_once(&mut self) -> bool {
        let Some(phase) = self.phase() else { return false };
        if phase == Phase::Main && self.asks == 0 && self.skip_after_setup() {
            return true;
        }
        if phase == Phase::Teardown && self.asks > 1 {
            return self.skip_pending();
        }
        let mut changed = false;
        for at in 0..self.steps.len() {
            if self.steps[at].status == Status::Pending
                && self.plan.steps[at].phase == phase
                && self.needs(at).all(|n| n.verdict().is_some())
                && (phase == Phase::Teardown || self.ending.is_none())
            {
                self.begin(at);
                changed = true;
            }
        }
        changed
    }

    /// The phase whose turn it is; none when all have ended.
    fn phase(&self) -> Option<Phase> {
        let open = |(s, _): &(&StepState, _)| s.verdict().is_none();
        self.steps.iter().zip(&self.plan.steps).filter(open).map(|(_, p)| p.phase).min()
    }

    fn needs(&self, at: usize) -> impl Iterator<Item = &StepState> {
        self.plan.steps[at].needs.iter().map(|n| &self.steps[*n as usize])
    }

    /// Skips the test itself when a setup step did not pass. Whether it changed anything.
    fn skip_after_setup(&mut self) -> bool {
        let setup = self.plan.steps.iter().zip(&self.steps).filter(|(p, _)| p.phase == Phase::Setup);
        let mut culprits = setup.filter(|(_, s)| s.verdict().is_some_and(|v| !v.is_pass()));
        let Some(reason) = culprits.next().map(|(p, _)| format!("{} did not pass", p.path())) else {
            return false;
        };
        let mut changed = false;
        for (step, planned) in self.steps.iter_mut().zip(&self.plan.steps) {
            if planned.phase == Phase::Main && step.status == Status::Pending {
                step.skip(Verdict::Skipped, reason.clone());
                changed = true;
            }
        }
        changed
    }

    /// A step's turn has come: it starts, or is skipped with a reason.
    fn begin(&mut self, at: usize) {
        match self.may_start(at) {
            Ok(()) => match self.items(at) {
                Ok(items) => {
                    let keep = self.plan.steps[at].keep_output;
                    self.steps[at].start(items, keep);
                }
                Err(reason) => self.steps[at].skip(Verdict::Error, reason),
            },
            Err((verdict, reason)) => self.steps[at].skip(verdict, reason),
        }
    }

    fn may_start(&self, at: usize) -> Result<(), (Verdict, String)> {
        let planned = &self.plan.steps[at];
        let failed = |n: &&u32| !self.steps[**n as usize].verdict().is_some_and(Verdict::is_pass);
        if planned.phase == Phase::Teardown {
            let setup = |n: &&u32| self.plan.steps[**n as usize].phase == Phase::Setup;
            if let Some(n) = planned.needs.iter().filter(setup).find(failed) {
                let path = self.plan.steps[*n as usize].path();
                return Err((Verdict::Skipped, format!("nothing to undo: {path} did not pass")));
            }
        }
        if let Some(condition) = &self.compiled[at].condition {
            return match condition.eval(&self.start_scope(at)) {
                Ok(Value::Bool(true)) => Ok(()),
                Ok(Value::Bool(false)) => {
                    Err((Verdict::Skipped, format!("its condition is false: {}", condition.text())))
                }
                Ok(other) => Err((
                    Verdict::Error,
                    format!("{}: if must be true or false, this is {other}", condition.text()),
                )),
                Err(error) => Err((Verdict::Error, error.to_string())),
            };
        }
        if planned.phase != Phase::Teardown
            && let Some(n) = planned.needs.iter().find(failed)
        {
            return Err((Verdict::Skipped, format!("{} did not pass", self.plan.steps[*n as usize].path())));
        }
        Ok(())
    }
}

fn job_id(step: usize, item: usize) -> JobId {
    let number = |n| u32::try_from(n).expect("plans stay below 2^32 steps and items");
    JobId { step: number(step), item: number(item) }
}

/// The output of an outcome; null where it has none.
fn inline(outcome: &Outcome) -> Value {
    match &outcome.output {
        Some(rfx_schemas::payload::Payload::Inline(json)) => json.parse().unwrap_or(Value::Null),
        _ => Value::Null,
    }
}
