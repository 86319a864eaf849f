//! Which jobs may be published now, with their inputs.

use std::cmp::Reverse;

use rfx_expr::{EvalError, Scope};
use rfx_schemas::id::{Attempt, JobId};
use rfx_schemas::outcome::{Failure, kind};
use rfx_schemas::payload::{Json, Payload};
use rfx_schemas::stamp::Stamp;
use serde_json::Value;

use super::frame::Status;
use super::job::Standing;
use super::{RunState, job_id, number};

/// Jobs of one step that are released together, so that steps side by side take turns.
const CHUNK: usize = 64;
/// Most jobs out at once of a step whose jobs call others: each that waits keeps a process, and what
/// it waits for may stand in line behind more like it.
const CALLERS: u32 = 256;

/// An attempt to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleasedJob {
    /// Which job.
    pub job: JobId,
    /// Which attempt.
    pub attempt: Attempt,
    /// The execution of a flow that it belongs to.
    pub frame: u32,
    /// What people call its item.
    pub key: Option<String>,
    /// Its item, when the step's expectations read it.
    pub item: Option<Json>,
    /// The item's number. Inside of a composite, others than those of its own list have lower numbers
    /// in the plan's step: there it is not that of the job.
    pub index: u32,
    /// Its input.
    pub input: Json,
}

/// An attempt of a call, or of what undoes something, to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleasedCall {
    /// Which job.
    pub job: JobId,
    /// Which attempt.
    pub attempt: Attempt,
    /// What people call the item of the job that has called.
    pub key: Option<String>,
    /// Its input, as its caller has stored it.
    pub input: Payload,
}

/// An attempt whose input cannot be made: to be recorded as an error.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Which job.
    pub job: JobId,
    /// Which attempt.
    pub attempt: Attempt,
    /// What people call its item.
    pub key: Option<String>,
    /// Why.
    pub failure: Failure,
}

/// What to do with an attempt whose turn has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Release {
    /// Publish it.
    Publish(ReleasedJob),
    /// Record that it has no input.
    Refuse(Refusal),
}

impl RunState {
    /// Up to `room` attempts whose turn has come at `now`; they count as released from here on.
    pub fn release(&mut self, now: Stamp, room: usize) -> Vec<Release> {
        self.wake(now);
        let mut released = Vec::new();
        if self.finished.is_some() {
            return released;
        }
        while released.len() < room
            && let Some((id, local)) = self.ready.pop_front()
        {
            // A step that ended, or an execution that was closed, meanwhile.
            if !self.frames.contains_key(&id) {
                continue;
            }
            self.instance_mut(id, local).queued = false;
            let chunk = (room - released.len()).min(CHUNK);
            self.release_step(id, local, chunk, &mut released);
            self.stand_in_line(id, local);
        }
        released
    }

    /// Puts every attempt that is out in line once more: what was published may have been taken out of
    /// the stream again, by another driver or when the run was ended. What still waits there is
    /// refused by its guard, and what has its outcome is not executed again.
    pub fn release_again(&mut self) {
        self.call_again();
        for (id, local, step) in self.all_steps() {
            let instance = self.instance(id, local);
            if instance.status != Status::Active || self.compiled[step].inner.is_some() {
                continue;
            }
            for (ordinal, item) in instance.jobs.clone().into_iter().enumerate() {
                let job = &mut self.steps[step].jobs[item as usize];
                if job.standing == Standing::Released {
                    job.standing = Standing::Waiting;
                    let attempt = job.attempt;
                    self.withdraw(id, local, step);
                    self.instance_mut(id, local).due.push_back((number(ordinal), attempt));
                }
            }
            self.stand_in_line(id, local);
        }
    }

    /// When the next attempt waits to be released, if one waits for a moment.
    pub fn next_timer(&self) -> Option<Stamp> {
        self.timers.peek().map(|Reverse((when, _))| *when)
    }

    pub(super) fn wake(&mut self, now: Stamp) {
        while let Some(Reverse((when, id))) = self.timers.peek().copied() {
            if when > now {
                return;
            }
            self.timers.pop();
            let Some(job) = self.job(id).filter(|job| job.standing == Standing::Waiting).copied() else {
                continue;
            };
            if let Some(call) = (id.step as usize).checked_sub(self.plan.steps.len()) {
                self.calls.due.push_back((number(call), job.attempt));
                continue;
            }
            let local = self.local[id.step as usize];
            self.instance_mut(job.frame, local).due.push_back((job.ordinal, job.attempt));
            self.stand_in_line(job.frame, local);
        }
    }

    /// Whether a step has a job that may be released.
    pub(super) fn has_work(&self, id: u32, local: usize) -> bool {
        let (instance, step) = (self.instance(id, local), self.step_of(id, local));
        let most = if self.steps[step].calls { CALLERS } else { u32::MAX };
        let limit = self.plan.steps[step].max_parallel.unwrap_or(u32::MAX).min(most);
        instance.status == Status::Active
            && instance.outstanding < limit
            && (!instance.due.is_empty() || instance.cursor < instance.jobs.len())
            && !self.is_held(id, step)
    }

    fn release_step(&mut self, id: u32, local: usize, room: usize, released: &mut Vec<Release>) {
        let step = self.step_of(id, local);
        for _ in 0..room {
            if !self.has_work(id, local) {
                return;
            }
            let Some(ordinal) = self.take_next(id, local, step) else { continue };
            let release = self.release_job(id, local, step, ordinal);
            released.push(release);
        }
    }

    /// The next job of a step to release, if there is one.
    fn take_next(&mut self, id: u32, local: usize, step: usize) -> Option<usize> {
        let instance = self.instance_mut(id, local);
        if let Some((ordinal, attempt)) = instance.due.pop_front() {
            let item = instance.jobs[ordinal as usize] as usize;
            let job = &self.steps[step].jobs[item];
            // Its attempt may have ended meanwhile, and the next one has a wait of its own.
            let is_due = job.standing == Standing::Waiting && job.attempt == attempt;
            return is_due.then_some(ordinal as usize);
        }
        let ordinal = instance.cursor;
        instance.cursor += 1;
        let item = *instance.jobs.get(ordinal)? as usize;
        (self.steps[step].jobs[item].standing == Standing::New).then_some(ordinal)
    }

    fn release_job(&mut self, id: u32, local: usize, step: usize, ordinal: usize) -> Release {
        let item = self.instance(id, local).jobs[ordinal] as usize;
        let release = self.make(id, local, step, ordinal);
        self.steps[step].jobs[item].standing = Standing::Released;
        self.steps[step].outstanding += 1;
        self.outstanding += 1;
        self.instance_mut(id, local).outstanding += 1;
        release
    }

    /// What a job is released with, made once more for whoever looks into it; nothing changes by it. None when its
    /// step has not begun or has ended, or when it is an execution of a flow.
    pub fn remake(&mut self, job: JobId) -> Option<Release> {
        let state = *self.job(job)?;
        let step = job.step as usize;
        let (id, local) = (state.frame, *self.local.get(step)?);
        let is_open = self.frames.contains_key(&id) && self.compiled[step].inner.is_none();
        let is_active = is_open && self.instance(id, local).status == Status::Active;
        is_active.then(|| self.make(id, local, step, state.ordinal as usize))
    }

    /// What a job is released with.
    fn make(&mut self, id: u32, local: usize, step: usize, ordinal: usize) -> Release {
        let item = self.instance(id, local).jobs[ordinal] as usize;
        let (job, attempt) = (job_id(step, item), self.steps[step].jobs[item].attempt);
        let key = self.job_key(id, local, step, ordinal).map(String::from);
        let input = self.input(id, local, step, ordinal);
        let expects_item = self.compiled[step].expects_item;
        let instance = self.instance(id, local);
        let item = expects_item.then(|| instance.item(ordinal)).flatten().map(|item| Json::of(&item));
        match input {
            Ok(input) => {
                let input = Json::of(&input);
                let index = number(ordinal);
                Release::Publish(ReleasedJob { job, attempt, frame: id, key, item, index, input })
            }
            Err(error) => {
                let failure = Failure::new(kind::TEMPLATE, format!("the input cannot be made: {error}"));
                Release::Refuse(Refusal { job, attempt, key, failure })
            }
        }
    }

    /// The input of a job. What all jobs of the step read is converted once.
    pub(super) fn input(
        &mut self,
        id: u32,
        local: usize,
        step: usize,
        ordinal: usize,
    ) -> Result<Value, EvalError> {
        let kept = self.instance_mut(id, local).scope.take();
        let scope: Box<Scope<'static>> = kept.unwrap_or_else(|| Box::new(self.with_scope(id, step)));
        let mut inner = scope.child();
        let instance = self.instance(id, local);
        if let Some(item) = instance.item(ordinal) {
            let name = if self.plan.steps[step].batch.is_some() { "items" } else { "item" };
            inner.set(name, &item);
            inner.set("index", &Value::from(ordinal));
        }
        let input = self.compiled[step].with.eval(&inner);
        drop(inner);
        if self.instance(id, local).jobs.len() > 1 {
            self.instance_mut(id, local).scope = Some(scope);
        }
        input
    }
}
