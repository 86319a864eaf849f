//! Which jobs may be published now, with their inputs.

use std::cmp::Reverse;

use rfx_schemas::id::{Attempt, JobId};
use rfx_schemas::outcome::{Failure, kind};
use rfx_schemas::payload::Json;
use rfx_schemas::plan::Phase;
use rfx_schemas::stamp::Stamp;
use serde_json::Value;

use super::job::Standing;
use super::step::Status;
use super::{RunState, job_id};
use crate::data::item_key;

/// Jobs of one step that are released together, so that what they share is made once.
const CHUNK: usize = 64;

/// An attempt to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleasedJob {
    /// Which job.
    pub job: JobId,
    /// Which attempt.
    pub attempt: Attempt,
    /// What people call its item.
    pub key: Option<String>,
    /// Its item, when the step's expectations read it.
    pub item: Option<Json>,
    /// Its input.
    pub input: Json,
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
        let count = self.steps.len();
        let mut idle = 0;
        // Steps that run side by side take turns, a chunk each.
        while released.len() < room && idle < count {
            let at = self.turn % count;
            self.turn = self.turn.wrapping_add(1);
            let taken = self.release_step(at, (room - released.len()).min(CHUNK), &mut released);
            idle = if taken == 0 { idle + 1 } else { 0 };
        }
        released
    }

    /// When the next attempt waits to be released, if one waits for a moment.
    pub fn next_timer(&self) -> Option<Stamp> {
        self.timers.peek().map(|Reverse((when, _))| *when)
    }

    fn wake(&mut self, now: Stamp) {
        while let Some(Reverse((when, job))) = self.timers.peek().copied() {
            if when > now {
                return;
            }
            self.timers.pop();
            if let Some(step) = self.steps.get_mut(job.step as usize).filter(|s| s.status == Status::Active) {
                step.due.push_back(job.item);
            }
        }
    }

    fn release_step(&mut self, at: usize, room: usize, released: &mut Vec<Release>) -> usize {
        let teardown = self.plan.steps[at].phase == Phase::Teardown;
        let held = if teardown { self.asks > 1 } else { self.ending.is_some() };
        if self.steps[at].status != Status::Active || held || self.finished.is_some() {
            return 0;
        }
        let limit = self.plan.steps[at].max_parallel.map_or(usize::MAX, |n| n as usize);
        let room = room.min(limit.saturating_sub(self.steps[at].outstanding));
        let mut items = Vec::new();
        while items.len() < room
            && let Some(item) = self.steps[at].take_next()
        {
            items.push(item);
        }
        if items.is_empty() {
            return 0;
        }
        let scope = self.with_scope(at);
        for item in &items {
            released.push(self.release_item(at, *item, &scope));
            self.steps[at].jobs[*item].standing = Standing::Released;
        }
        self.steps[at].outstanding += items.len();
        items.len()
    }

    fn release_item(&self, at: usize, number: usize, scope: &rfx_expr::Scope<'_>) -> Release {
        let step = &self.steps[at];
        let item = step.item(number);
        let (job, attempt) = (job_id(at, number), step.jobs[number].attempt);
        let key = item.and_then(item_key);
        let compiled = &self.compiled[at];
        let mut inner = scope.child();
        if let Some(item) = item {
            inner.set("item", item);
            inner.set("index", &Value::from(number));
        }
        match compiled.with.eval(&inner) {
            Ok(input) => {
                let item = item.filter(|_| compiled.expects_item).map(Json::of);
                Release::Publish(ReleasedJob { job, attempt, key, item, input: Json::of(&input) })
            }
            Err(error) => {
                let failure = Failure::new(kind::TEMPLATE, format!("the input cannot be made: {error}"));
                Release::Refuse(Refusal { job, attempt, key, failure })
            }
        }
    }
}
