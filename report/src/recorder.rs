//! The fold of facts into a report: what `RunState` decides, with what engineers look at kept beside.
//!
//! Memory is bounded by about 200 bytes a job, plus what did not pass.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rfx_flow::{Child, PlanError, RunState};
use rfx_schemas::exit;
use rfx_schemas::fact::{Fact, Finished, Submitted};
use rfx_schemas::id::JobId;
use rfx_schemas::outcome::Outcome;
use rfx_schemas::payload::{Payload, hex};
use rfx_schemas::plan::{Plan, PlannedStep};
use rfx_schemas::report::{AttemptReport, CallReport, Detail, JobReport, Report, SCHEMA, StepReport};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::{OutcomeKind, Verdict};
use serde_json::Value;

/// Steps of up to this many jobs keep output and printed text of what passed, too.
const SMALL_STEP: usize = 200;

/// A run's facts, folded for a report.
pub struct Recorder {
    state: RunState,
    submitted: Submitted,
    at: Stamp,
    steps: Vec<Recorded>,
    /// Of calls and undos, as the state has them.
    calls: Vec<Kept>,
    /// Names of workers and digests: there are few, on many attempts.
    texts: HashSet<Arc<str>>,
    cancelled: Option<String>,
    finished: Option<(Finished, Stamp)>,
    unreadable: u64,
}

/// What is kept of a step.
#[derive(Default)]
struct Recorded {
    jobs: Vec<Kept>,
    first: Option<Stamp>,
    last: Option<Stamp>,
}

/// What is kept of a job.
#[derive(Default)]
struct Kept {
    key: Option<Box<str>>,
    unmet: u32,
    attempts: Vec<AttemptReport>,
}

impl Kept {
    fn keep(&mut self, outcome: &Outcome, worker: Arc<str>, digest: Option<Arc<str>>, small: bool) {
        self.key = outcome.key.as_deref().map(Box::from);
        // Of polling, the last look is kept: there may be thousands.
        if self.attempts.last().is_some_and(|last| last.kind == OutcomeKind::Unmet) {
            self.attempts.pop();
            self.unmet += 1;
        }
        self.attempts.reserve_exact(1);
        self.attempts.push(AttemptReport {
            attempt: outcome.attempt,
            kind: outcome.kind,
            worker,
            released: outcome.released,
            started: outcome.started,
            ended: outcome.ended,
            deliveries: u32::try_from(outcome.deliveries).unwrap_or(u32::MAX),
            digest,
            detail: detail(outcome, small),
        });
    }
}

impl Recorder {
    /// A run that was submitted, as the stream stored it at `at`.
    pub fn new(
        submitted: Submitted,
        at: Stamp,
        plan: Plan,
        data: BTreeMap<String, Value>,
    ) -> Result<Self, PlanError> {
        let mut steps = Vec::new();
        steps.resize_with(plan.steps.len(), Recorded::default);
        Ok(Self {
            state: RunState::new(submitted.run, Arc::new(plan), data, at)?,
            submitted,
            at,
            steps,
            calls: Vec::new(),
            texts: HashSet::new(),
            cancelled: None,
            finished: None,
            unreadable: 0,
        })
    }

    /// The state that the facts make.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// The state, to release jobs from.
    pub fn state_mut(&mut self) -> &mut RunState {
        &mut self.state
    }

    /// The submission.
    pub fn submitted(&self) -> &Submitted {
        &self.submitted
    }

    /// When the stream stored the submission.
    pub fn at(&self) -> Stamp {
        self.at
    }

    /// The recorded end.
    pub fn finished(&self) -> Option<&Finished> {
        self.finished.as_ref().map(|(finished, _)| finished)
    }

    /// Takes a fact that was recorded at `at`.
    pub fn apply(&mut self, fact: &Fact, at: Stamp) {
        match fact {
            Fact::Ended(ended) => {
                for outcome in ended.outcomes.iter().filter(|o| self.state.awaits(o)).collect::<Vec<_>>() {
                    self.keep(outcome);
                }
            }
            Fact::Cancelled(1, cancelled) => {
                self.cancelled = Some(format!("{} by {}", cancelled.reason, cancelled.by));
            }
            Fact::Finished(finished) => self.finished = Some((finished.clone(), at)),
            Fact::Submitted(_) | Fact::Started(_) | Fact::Cancelled(..) | Fact::Settled(_) => {}
            Fact::Call(..) | Fact::Undo(..) | Fact::Returned(..) => {}
        }
        self.state.apply(fact, at);
    }

    /// Counts a fact that could not be read.
    pub fn unreadable(&mut self) {
        self.unreadable += 1;
    }

    fn keep(&mut self, outcome: &Outcome) {
        let (step, item) = (outcome.job.step as usize, outcome.job.item as usize);
        let call = step.checked_sub(self.steps.len());
        let small = match call {
            Some(_) => self.state.children().len() <= SMALL_STEP,
            None => self.state.steps()[step].jobs.len() <= SMALL_STEP,
        };
        let worker = self.text(outcome.worker.as_str());
        let digest = outcome.digest.as_deref().map(|digest| self.text(digest));
        if let Some(at) = call {
            if self.calls.len() <= at {
                self.calls.resize_with(at + 1, Kept::default);
            }
            return self.calls[at].keep(outcome, worker, digest, small);
        }
        let recorded = &mut self.steps[step];
        recorded.first = Some(recorded.first.map_or(outcome.released, |first| first.min(outcome.released)));
        recorded.last = Some(recorded.last.map_or(outcome.ended, |last| last.max(outcome.ended)));
        if recorded.jobs.len() <= item {
            recorded.jobs.resize_with(item + 1, Kept::default);
        }
        recorded.jobs[item].keep(outcome, worker, digest, small);
    }

    /// The one copy of a text that many attempts have.
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    /// The report as the facts so far make it; `now` ends the duration of what goes on.
    pub fn report(&self, now: Stamp) -> Report {
        let verdict = self.finished.as_ref().map(|(finished, _)| finished.verdict);
        let plan = self.state.plan();
        let outputs = self.finished.as_ref().and_then(|(finished, _)| finished.outputs.as_ref());
        let mut anomalies = self.state.anomalies();
        anomalies.unreadable += self.unreadable;
        let ended = self.finished.as_ref().map(|(_, at)| *at);
        Report {
            schema: SCHEMA,
            run: self.submitted.run,
            flow: plan.flow.clone(),
            description: plan.description.clone(),
            about: plan.about.clone(),
            verdict,
            exit_code: verdict.map(exit::of_verdict),
            counts: self.state.counts(),
            breaches: self
                .finished
                .as_ref()
                .map(|(finished, _)| finished.breaches.clone())
                .unwrap_or_default(),
            unmade: self.finished.as_ref().map(|(finished, _)| finished.unmade.clone()).unwrap_or_default(),
            by: self.submitted.by.clone(),
            submitted: self.at,
            finished: ended,
            duration: ended.unwrap_or(now).since(self.at),
            trace: hex(&self.submitted.trace.trace),
            cancelled: self.cancelled.clone(),
            target: plan.target.clone(),
            inputs: plan.inputs.clone(),
            data: plan.data.iter().map(|(name, set)| (name.clone(), set.file.clone())).collect(),
            outputs: outputs.map(shown),
            anomalies,
            steps: self.steps(),
            undos: self.calls(Child::is_undo).into_iter().map(|(_, undo)| undo).collect(),
        }
    }

    fn steps(&self) -> Vec<StepReport> {
        let plan = self.state.plan();
        let mut steps: Vec<_> = (0..plan.steps.len()).map(|at| self.step(at, &plan.steps[at])).collect();
        for (root, call) in self.calls(|child| !child.is_undo()) {
            steps[root].calls.push(call);
        }
        steps
    }

    /// The calls, or the undos, with the step that they belong to.
    fn calls(&self, which: impl Fn(&Child) -> bool) -> Vec<(usize, CallReport)> {
        let children = self.state.children().iter().enumerate().filter(|(_, child)| which(child));
        let report = |(at, child): (usize, &Child)| {
            let (job, (caller, attempt, _), call) = (self.state.child_id(at), child.caller(), child.call());
            let version = call.version.as_ref().map(|version| format!("@{version}"));
            let report = CallReport {
                job,
                path: self.state.path(job.step as usize),
                caller,
                attempt,
                key: child.key().map(Box::from),
                uses: format!("{}{}", call.uses, version.unwrap_or_default()),
                group: call.group.to_string(),
                queue: call.queue.to_string(),
                verdict: child.job().verdict(),
                leak: child.leak().map(str::to_owned),
                input: child.leak().and(child.input()).map(shown),
                attempts: self.calls.get(at).map(|kept| kept.attempts.clone()).unwrap_or_default(),
            };
            (child.root(), report)
        };
        children.map(report).collect()
    }

    fn step(&self, at: usize, planned: &PlannedStep) -> StepReport {
        let (state, recorded) = (&self.state.steps()[at], &self.steps[at]);
        let jobs = state.jobs.iter().enumerate().map(|(item, job)| {
            let kept = recorded.jobs.get(item);
            let (name, reason) = self.state.note(at, item);
            let number = |n| u32::try_from(n).expect("plans stay below 2^32 steps and items");
            JobReport {
                job: JobId { step: number(at), item: number(item) },
                key: kept.and_then(|k| k.key.clone()).or_else(|| name.map(Box::from)),
                verdict: job.verdict(),
                reason: reason.map(Box::from),
                unmet: kept.map_or(0, |k| k.unmet),
                attempts: kept.map(|k| k.attempts.clone()).unwrap_or_default(),
            }
        });
        let (group, queue) = match planned.call() {
            Some(call) => (call.group.to_string(), call.queue.to_string()),
            None => (String::new(), String::new()),
        };
        StepReport {
            name: planned.name.to_string(),
            path: self.state.plan().path(at),
            phase: planned.phase,
            parent: planned.parent,
            uses: planned.uses(),
            extends: planned.flow().map(|flow| flow.extends.clone()).unwrap_or_default(),
            composite: planned.flow().is_some(),
            about: planned.about.clone(),
            group,
            queue,
            verdict: self.state.verdict(at),
            // Why one execution skipped it is no reason for a step that passed in others.
            reason: state.reason.clone().filter(|_| !self.state.verdict(at).is_some_and(Verdict::is_pass)),
            allowed: state.allowed,
            counts: state.counts,
            duration: self.duration(at, planned, recorded),
            jobs: jobs.collect(),
            calls: Vec::new(),
        }
    }

    /// From the first release to the last end; of a composite, among all the steps inside.
    fn duration(&self, at: usize, planned: &PlannedStep, recorded: &Recorded) -> Duration {
        let span = |recorded: &Recorded| Some((recorded.first?, recorded.last?));
        let spans: Vec<_> = match planned.flow() {
            None => span(recorded).into_iter().collect(),
            Some(_) => {
                let plan = self.state.plan();
                let inside = |step: &usize| plan.is_inside(*step, at);
                (at + 1..plan.steps.len())
                    .take_while(inside)
                    .filter_map(|step| span(&self.steps[step]))
                    .collect()
            }
        };
        let first = spans.iter().map(|(first, _)| *first).min();
        let last = spans.iter().map(|(_, last)| *last).max();
        first.zip(last).map_or(Duration::ZERO, |(first, last)| last.since(first))
    }

    /// The verdict, once the end of the run is recorded.
    pub fn verdict(&self) -> Option<Verdict> {
        self.finished().map(|f| f.verdict)
    }
}

fn detail(outcome: &Outcome, small: bool) -> Option<Box<Detail>> {
    let artifacts = outcome.artifacts.clone();
    if outcome.kind == OutcomeKind::Passed && !small {
        let detail = Detail { artifacts, ..Detail::default() };
        return (detail != Detail::default()).then(|| Box::new(detail));
    }
    let detail = Detail {
        artifacts,
        error: outcome.error.clone(),
        assertions: outcome.assertions.clone(),
        input: outcome.input.as_ref().map(shown),
        output: outcome.output.as_ref().map(shown),
        tail: outcome.tail.clone(),
    };
    (detail != Detail::default()).then(|| Box::new(detail))
}

/// A payload as a report shows it: its value, or what it refers to.
fn shown(payload: &Payload) -> Value {
    match payload {
        Payload::Inline(json) => json.parse().unwrap_or(Value::Null),
        Payload::Blob(blob) => Value::String(format!("{} bytes, sha256 {}", blob.size, blob.digest)),
    }
}
