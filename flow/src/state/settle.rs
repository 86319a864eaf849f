//! From outcomes to verdicts: of jobs, of steps, of executions of flows.

use std::cmp::Reverse;

use rfx_expr::Template;
use rfx_schemas::outcome::{Outcome, kind};
use rfx_schemas::payload::Payload;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::{Counts, OutcomeKind, Verdict};
use serde_json::Value;

use super::RunState;
use super::frame::{Frame, Status};
use super::job::{Applied, Standing};
use crate::over::short;

/// Most outputs without a value that are told about.
const UNMADE: usize = 20;

/// The gravest verdict of a flow's steps. What is allowed to fail has passed.
pub(super) fn frame_verdict(frame: &Frame) -> Verdict {
    let mut counts = Counts::default();
    for step in &frame.steps {
        match step.status {
            Status::Ended(_, true) => counts.add(Verdict::Passed),
            Status::Ended(verdict, false) => counts.add(verdict),
            Status::Pending | Status::Active => {}
        }
    }
    counts.verdict()
}

impl RunState {
    pub(super) fn outcome(&mut self, outcome: &Outcome, at: Stamp) {
        let (step, item) = (outcome.job.step as usize, outcome.job.item as usize);
        if step >= self.plan.steps.len() {
            return self.call_outcome(outcome, at);
        }
        let call = self.plan.steps.get(step).and_then(|planned| planned.call());
        let (Some(call), Some(job)) = (call, self.steps.get_mut(step).and_then(|s| s.jobs.get_mut(item)))
        else {
            self.anomalies.unreadable += 1;
            return;
        };
        let (id, ordinal, was_released) = (job.frame, job.ordinal, job.standing == Standing::Released);
        if matches!(job.standing, Standing::Done(_)) {
            self.anomalies.duplicate_outcomes += 1;
            return;
        }
        let ending = self.is_held(id, step).then(|| self.early_verdict().0);
        let job = &mut self.steps[step].jobs[item];
        let applied = job.apply(self.run, outcome, at, call, ending);
        if applied == Applied::Duplicate {
            self.anomalies.duplicate_outcomes += 1;
            return;
        }
        self.clock = self.clock.max(at);
        self.anomalies.redelivered += u64::from(outcome.deliveries > 1);
        let local = self.local[step];
        match applied {
            Applied::Duplicate => unreachable!("returned above"),
            Applied::Again(when) => {
                self.timers.push(Reverse((when, outcome.job)));
                if was_released {
                    self.withdraw(id, local, step);
                }
                self.stand_in_line(id, local);
            }
            Applied::Done(verdict) => {
                if outcome.kind == OutcomeKind::Passed
                    && let Some(slot) = self.instance_mut(id, local).outputs.get_mut(ordinal as usize)
                {
                    *slot = inline(outcome);
                }
                // Without an input nothing is executed, so repeating it would only fill the stream.
                if outcome.error.as_ref().is_some_and(|error| error.kind == kind::TEMPLATE) {
                    self.instance_mut(id, local).repeats_until = None;
                }
                self.settle_job(id, local, item, verdict, was_released);
            }
        }
    }

    /// A job is not out any more.
    pub(super) fn withdraw(&mut self, id: u32, local: usize, step: usize) {
        self.instance_mut(id, local).outstanding -= 1;
        self.steps[step].outstanding -= 1;
        self.outstanding -= usize::from(self.compiled[step].inner.is_none());
    }

    /// Gives a job its verdict; the last one ends the step.
    pub(super) fn settle_job(&mut self, id: u32, local: usize, item: usize, verdict: Verdict, was_out: bool) {
        let step = self.step_of(id, local);
        self.steps[step].jobs[item].standing = Standing::Done(verdict);
        self.steps[step].counts.add(verdict);
        if was_out {
            self.withdraw(id, local, step);
        }
        let clock = self.clock;
        let instance = self.instance_mut(id, local);
        instance.counts.add(verdict);
        if instance.repeats_until.is_some_and(|until| clock < until) && !self.is_held(id, step) {
            self.add_job(id, local, step);
            let keep = self.plan.steps[step].keep_output;
            let instance = self.instance_mut(id, local);
            if keep {
                instance.outputs.push(Value::Null);
            }
        }
        if self.instance(id, local).is_whole() {
            self.end_step(id, local);
        } else if self.compiled[step].inner.is_some() {
            // In its turn, and not from here: a list of bad inputs would nest as deep as it is long.
            self.opening.insert((id, local));
        } else {
            self.stand_in_line(id, local);
        }
    }

    fn end_step(&mut self, id: u32, local: usize) {
        let step = self.step_of(id, local);
        let planned = &self.plan.steps[step];
        let composite = planned.call().is_none();
        let instance = self.instance(id, local);
        let (counts, inside) = (instance.counts, instance.failures);
        let failing = counts.failed + counts.error;
        let admitted = planned.allow_failure.is_some_and(|allowed| allowed.admits(failing, counts.total()));
        let allowed = failing > 0 && counts.lost + counts.cancelled == 0 && admitted;
        let failures = if composite { inside } else { failing };
        let instance = self.instance_mut(id, local);
        instance.status = Status::Ended(counts.verdict(), allowed);
        instance.shrink();
        if allowed {
            self.allowed += failures;
            self.steps[step].allowed = true;
            self.steps[step].counts.allowed += failing;
        } else {
            self.frames.get_mut(&id).expect("it holds the step").failures += failures;
        }
        self.note_end(id, local);
    }

    /// Ends an execution of a flow all of whose steps have ended. Whether there was one to end.
    pub(super) fn close(&mut self, id: u32) -> bool {
        let Some((step, item)) = self.frames[&id].of else { return false };
        let (step, item) = (step as usize, item as usize);
        let job = self.steps[step].jobs[item];
        let mut verdict = frame_verdict(&self.frames[&id]);
        let output = self.plan.steps[step].keep_output.then(|| self.output_of(id, step));
        let (output, unmade) = output.map_or((None, Vec::new()), |(output, unmade)| (Some(output), unmade));
        if verdict.is_pass() && !unmade.is_empty() {
            self.note_unmade(step, item, unmade);
        }
        if verdict.is_pass()
            && let Some(reason) = self.unexpected(&job, step, output.as_ref())
        {
            verdict = Verdict::Failed;
            self.steps[step].lone.add(verdict);
            self.steps[step].notes[item].reason = Some(reason.into());
        }
        let lone = u32::from(verdict == Verdict::Failed && self.steps[step].notes[item].reason.is_some());
        let frame = self.frames.remove(&id).expect("it is the one to close");
        let local = self.local[step];
        let outer = self.instance_mut(job.frame, local);
        outer.failures += frame.failures + lone;
        if verdict.is_pass()
            && let Some(slot) = outer.outputs.get_mut(job.ordinal as usize)
        {
            *slot = output.unwrap_or_default();
        }
        self.settle_job(job.frame, local, item, verdict, job.standing == Standing::Released);
        true
    }

    /// What an execution of a flow gives; null where it has no value, and why.
    fn output_of(&self, id: u32, step: usize) -> (Value, Vec<String>) {
        let Some(inner) = &self.compiled[step].inner else { return (Value::Null, Vec::new()) };
        let scope = self.scope(id, &inner.output_paths);
        let mut unmade = Vec::new();
        let mut made = |name: &str, field: &Template| {
            field.eval(&scope).unwrap_or_else(|error| {
                unmade.push(format!("{name}{error}"));
                Value::Null
            })
        };
        let output = match &inner.output {
            // One output that has no value costs no other.
            Template::Map(fields) => {
                fields.iter().map(|(name, field)| (name.clone(), made(&format!("{name}: "), field))).collect()
            }
            whole => made("", whole),
        };
        (output, unmade)
    }

    /// Keeps why an execution lacks an output, for the report: of some, since all may lack it alike.
    fn note_unmade(&mut self, step: usize, item: usize, unmade: Vec<String>) {
        // Where a run leaves steps out on purpose, what reads them has no value.
        if self.plan.steps.iter().any(|step| step.left_out.is_some()) {
            return;
        }
        let key =
            self.steps[step].notes[item].key.as_deref().map(|key| format!(" {key}")).unwrap_or_default();
        let path = self.plan.path(step);
        let room = UNMADE.saturating_sub(self.unmade.len());
        self.unmade.extend(unmade.into_iter().take(room).map(|why| format!("{path}{key}: {why}")));
    }

    /// What of a composite's output is not as its step expects.
    fn unexpected(&self, job: &super::JobState, step: usize, output: Option<&Value>) -> Option<String> {
        let compiled = &self.compiled[step];
        if compiled.expect.is_empty() {
            return None;
        }
        let mut scope = self.scope(job.frame, &compiled.expect_paths);
        scope.set("output", output.unwrap_or(&Value::Null));
        if let Some(item) = self.instance(job.frame, self.local[step]).item(job.ordinal as usize) {
            scope.set("item", &item);
            scope.set("index", &Value::from(job.ordinal));
        }
        let said = compiled.expect.iter().filter_map(|expect| match expect.check(&scope) {
            Ok(check) if check.passed => None,
            Ok(check) => {
                let expected = check.expected.map(|e| format!(": expected {e}")).unwrap_or_default();
                let seen = check.seen.map(|seen| format!(", seen {}", short(&seen))).unwrap_or_default();
                Some(format!("{}{expected}{seen}", expect.text()))
            }
            Err(error) => Some(error.to_string()),
        });
        let said: Vec<_> = said.collect();
        (!said.is_empty()).then(|| said.join("\n"))
    }
}

/// The output of an outcome; null where it has none.
fn inline(outcome: &Outcome) -> Value {
    match &outcome.output {
        Some(Payload::Inline(json)) => json.parse().unwrap_or(Value::Null),
        _ => Value::Null,
    }
}
