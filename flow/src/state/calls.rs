//! Jobs that the plan does not know: the calls that attempts make of other functions. What undoes
//! something is one too; when that is released is said in `undo.rs`.
//!
//! They are numbered behind the plan's steps in the order of their facts. A call is a job with a
//! verdict of its own, which it gives to its caller alone: neither step nor run is judged by it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rfx_schemas::fact::{Called, Caller, Returned};
use rfx_schemas::id::{Attempt, JobId};
use rfx_schemas::outcome::{Failure, Outcome, kind};
use rfx_schemas::payload::Payload;
use rfx_schemas::plan::{Call, Phase};
use rfx_schemas::rules::Retry;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::Verdict;

use super::job::{Applied, Standing};
use super::release::ReleasedCall;
use super::{Child, JobState, ROOT, RunState, number};
use crate::over::MOST_JOBS;

/// How deep calls may nest: functions that call each other without end are stopped there.
const DEPTH: u8 = 64;
/// Most attempts of what undoes something, before it is a leak.
const UNDO_ATTEMPTS: u32 = 3;

/// All calls of a run.
#[derive(Default)]
pub(super) struct Calls {
    pub all: Vec<Child>,
    /// What was asked for already; refused calls are no jobs.
    known: BTreeMap<(JobId, Attempt, bool, u32), Option<u32>>,
    /// One copy of what many calls share.
    shared: HashMap<String, Arc<Call>>,
    /// Calls whose turn has come, and that attempt.
    pub due: VecDeque<(u32, Attempt)>,
    /// What callers wait for and is not recorded yet; and those of them that nobody has handed out.
    returns: BTreeMap<Caller, Returned>,
    unsaid: BTreeSet<Caller>,
    /// Calls without a verdict: of teardown, and all others.
    open: [usize; 2],
    /// What is to be undone, in the order in which it was done: before teardown's steps, and after.
    pub early: Vec<u32>,
    pub late: Vec<u32>,
    /// What is being undone.
    pub undoing: Option<u32>,
    pub leaks: u32,
}

/// Whoever calls.
struct Parent<'a> {
    call: &'a Call,
    job: &'a JobState,
    depth: u8,
    root: u32,
    teardown: bool,
    /// The frame that waits for its calls.
    frame: u32,
}

impl RunState {
    fn parent(&self, job: JobId) -> Option<Parent<'_>> {
        if let Some(child) = self.child(job) {
            let Child { call, job, depth, root, teardown, undo, .. } = child;
            let frame = if *undo { ROOT } else { job.frame };
            return Some(Parent { call, job, depth: *depth, root: *root, teardown: *teardown, frame });
        }
        let call = self.plan.steps.get(job.step as usize)?.call()?;
        let state = self.steps[job.step as usize].jobs.get(job.item as usize)?;
        let teardown = self.undoes(job.step as usize);
        Some(Parent { call, job: state, depth: 0, root: job.step, teardown, frame: state.frame })
    }

    /// Takes that an attempt calls a function, or says what undoes something.
    pub(super) fn called(&mut self, caller: &Caller, called: &Called, undo: bool) {
        let asked = (caller.job, caller.attempt, undo, caller.number);
        let Some(parent) = self.parent(caller.job).filter(|p| p.call.group == caller.group) else {
            self.anomalies.unreadable += 1;
            return;
        };
        let current = parent.job.verdict().is_none() && parent.job.attempt == caller.attempt;
        // Behind the outcome of its attempt nobody waits for an answer. What is to be undone may be
        // there all the same: the attempt was executed twice. Behind the run's end the worker looks, and
        // does nothing that were to be undone.
        if self.calls.known.contains_key(&asked) || (!undo && !current) || self.finished.is_some() {
            return;
        }
        if !undo && let Some(refusal) = self.refusal(&parent, caller.job, called) {
            self.calls.known.insert(asked, None);
            let failure = Failure::new(kind::CALL, refusal);
            self.answer(caller.clone(), None, Verdict::Error, Some(failure), None);
            return;
        }
        let (frame, root) = (if undo { ROOT } else { parent.frame }, parent.root);
        let (depth, teardown, queue_timeout) =
            (parent.depth + 1, undo || parent.teardown, parent.call.queue_timeout);
        let key = self.caller_key(caller.job);
        let child = Child {
            caller: (caller.job, caller.attempt, caller.number),
            undo,
            call: self.share(called, undo, queue_timeout),
            job: JobState::new(frame, 0),
            input: Some(Box::new(called.input.clone())),
            key,
            trace: called.trace,
            depth,
            root,
            teardown,
            limited: called.limited,
            leak: None,
        };
        let at = number(self.calls.all.len());
        self.calls.known.insert(asked, Some(at));
        self.calls.all.push(child);
        match undo {
            true => self.note_undo(at),
            false => {
                self.calls.open[usize::from(teardown)] += 1;
                self.steps[root as usize].calls = true;
                self.frames.get_mut(&frame).expect("its caller is open there").calls += 1;
                self.calls.due.push_back((at, Attempt::FIRST));
            }
        }
    }

    /// Why a call may not be made.
    fn refusal(&self, parent: &Parent<'_>, job: JobId, called: &Called) -> Option<String> {
        if parent.depth >= DEPTH {
            return Some(format!(
                "calls nest more than {DEPTH} deep: {} is called without end",
                called.function
            ));
        }
        if self.calls.all.len() >= MOST_JOBS as usize {
            return Some(format!("the run has more than {MOST_JOBS} calls"));
        }
        // Nothing that a limited lane's job waits for may be in that lane: the job keeps its place there.
        let (mut limited, mut around) = (called.limited, Some(job));
        while let Some(outer) = around {
            let call = self.call_of(outer)?;
            if limited && call.group == called.group && call.queue == called.queue {
                let queue = &called.queue;
                return Some(format!(
                    "queue {queue} of group {} admits few jobs at once, and {} keeps its place there while it \
                     waits: let {} run on another queue",
                    called.group, call.uses, called.function
                ));
            }
            let child = self.child(outer).filter(|child| !child.undo);
            limited = child.is_some_and(|child| child.limited);
            around = child.map(|child| child.caller.0);
        }
        None
    }

    fn share(&mut self, called: &Called, undo: bool, queue_timeout: Duration) -> Arc<Call> {
        let Called { function, version, group, queue, timeout, .. } = called;
        let version_text = version.as_ref().map_or("", |version| version.as_str());
        let name = format!("{function}@{version_text} {group} {queue} {timeout:?} {queue_timeout:?} {undo}");
        let make = || {
            Arc::new(Call {
                uses: function.clone(),
                version: version.clone(),
                group: group.clone(),
                queue: queue.clone(),
                timeout: *timeout,
                queue_timeout,
                retry: Retry { max_attempts: if undo { UNDO_ATTEMPTS } else { 1 }, ..Retry::default() },
                until: None,
                expect_failure: None,
                secrets: Vec::new(),
            })
        };
        Arc::clone(self.calls.shared.entry(name).or_insert_with(make))
    }

    fn caller_key(&self, job: JobId) -> Option<Box<str>> {
        if let Some(child) = self.child(job) {
            return child.key.clone();
        }
        let state = self.job(job)?;
        self.frames.get(&state.frame)?;
        self.job_key(state.frame, self.local[job.step as usize], job.step as usize, state.ordinal as usize)
    }

    /// Takes the outcome of an attempt of a call.
    pub(super) fn call_outcome(&mut self, outcome: &Outcome, at: Stamp) {
        let held = self.child(outcome.job).map(|child| self.is_held_call(child));
        let Some(held) = held else {
            self.anomalies.unreadable += 1;
            return;
        };
        let ending = held.then(|| self.early_verdict().0);
        let position = outcome.job.step as usize - self.plan.steps.len();
        let child = &mut self.calls.all[position];
        let call = Arc::clone(&child.call);
        match child.job.apply(self.run, outcome, at, &call, ending) {
            Applied::Duplicate => {
                self.anomalies.duplicate_outcomes += 1;
                return;
            }
            Applied::Again(when) => self.timers.push(std::cmp::Reverse((when, outcome.job))),
            Applied::Done(verdict) => {
                self.settle_call(position, verdict, outcome.error.clone(), outcome.output.clone());
            }
        }
        self.clock = self.clock.max(at);
        self.anomalies.redelivered += u64::from(outcome.deliveries > 1);
    }

    /// Whether a call may not begin any more.
    pub(super) fn is_held_call(&self, child: &Child) -> bool {
        if child.teardown { self.asks > 1 } else { self.ending.is_some() }
    }

    /// Gives a call its verdict, and its caller the answer.
    pub(super) fn settle_call(
        &mut self,
        at: usize,
        verdict: Verdict,
        error: Option<Failure>,
        output: Option<Payload>,
    ) {
        let job = self.child_id(at);
        let child = &mut self.calls.all[at];
        child.job.standing = Standing::Done(verdict);
        if child.undo {
            let why = error.map(|error| format!("{}: {}", error.kind, error.message));
            self.end_undo(at, verdict, why);
            return;
        }
        child.input = None;
        let (frame, (caller, attempt, number)) = (child.job.frame, child.caller);
        self.calls.open[usize::from(child.teardown)] -= 1;
        self.frames.get_mut(&frame).expect("it waits for its calls").calls -= 1;
        self.dirty.insert(frame);
        let group = self.call_of(caller).map(|call| call.group.clone());
        if let Some(group) = group {
            let caller = Caller { group, job: caller, attempt, number };
            self.answer(caller, Some(job), verdict, error, output);
        }
    }

    fn answer(
        &mut self,
        caller: Caller,
        job: Option<JobId>,
        verdict: Verdict,
        error: Option<Failure>,
        output: Option<Payload>,
    ) {
        if self.waits(&caller) {
            self.calls.unsaid.insert(caller.clone());
            self.calls.returns.insert(caller, Returned { job, verdict, error, output });
        }
    }

    /// Whether an attempt has no outcome yet, and so may wait for its calls.
    fn waits(&self, caller: &Caller) -> bool {
        let job = self.job(caller.job);
        job.is_some_and(|job| job.verdict().is_none() && job.attempt == caller.attempt)
    }

    /// What calls came to that is not recorded yet: to be recorded. Each is given once, until
    /// [`RunState::release_again`].
    pub fn returns(&mut self) -> Vec<(Caller, Returned)> {
        let mut due = Vec::new();
        for caller in std::mem::take(&mut self.calls.unsaid) {
            match self.waits(&caller) {
                true => due.extend(self.calls.returns.get(&caller).map(|said| (caller, said.clone()))),
                false => drop(self.calls.returns.remove(&caller)),
            }
        }
        due
    }

    /// Takes that what a call came to is recorded.
    pub(super) fn returned(&mut self, caller: &Caller) {
        self.calls.returns.remove(caller);
        self.calls.unsaid.remove(caller);
    }

    /// Up to `room` attempts of calls and undos whose turn has come at `now`; they count as released from
    /// here on. Not bounded by what is out: callers wait for them.
    pub fn release_calls(&mut self, now: Stamp, room: usize) -> Vec<ReleasedCall> {
        self.wake(now);
        let mut released = Vec::new();
        while released.len() < room
            && self.finished.is_none()
            && let Some((at, attempt)) = self.calls.due.pop_front()
        {
            let held = self.is_held_call(&self.calls.all[at as usize]);
            let job = self.child_id(at as usize);
            let child = &mut self.calls.all[at as usize];
            let due = matches!(child.job.standing, Standing::New | Standing::Waiting);
            if let (true, false, Some(input)) = (due && child.job.attempt == attempt, held, &child.input) {
                let (key, input) = (child.key.as_deref().map(String::from), Payload::clone(input));
                child.job.standing = Standing::Released;
                released.push(ReleasedCall { job, attempt, key, input });
            }
        }
        released
    }

    /// Puts every call that is out in line once more, and every answer that is not recorded.
    pub(super) fn call_again(&mut self) {
        for (at, child) in self.calls.all.iter_mut().enumerate() {
            if child.job.standing == Standing::Released {
                child.job.standing = Standing::Waiting;
                self.calls.due.push_back((number(at), child.job.attempt));
            }
        }
        self.calls.unsaid.extend(self.calls.returns.keys().cloned());
    }

    /// Whether calls of teardown, or all others, have no verdict.
    pub(super) fn has_open_calls(&self, teardown: bool) -> bool {
        self.calls.open[usize::from(teardown)] > 0
    }

    /// Gives every call of teardown, or every other one, this verdict.
    pub(super) fn settle_calls(&mut self, teardown: bool, verdict: Verdict) {
        // From the last on: whoever is called is behind its caller.
        for at in (0..self.calls.all.len()).rev() {
            let child = &self.calls.all[at];
            if child.teardown == teardown && !child.undo && child.job.verdict().is_none() {
                self.settle_call(at, verdict, None, None);
            }
        }
    }

    /// Calls, and what is being undone, that were published, or may have been, and have no outcome.
    pub(super) fn unsettled_calls(&self, teardown: bool) -> impl Iterator<Item = (JobId, Attempt)> {
        let begun = move |(at, child): &(usize, &Child)| {
            !child.undo || self.calls.undoing.is_some_and(|undoing| undoing as usize == *at)
        };
        let open =
            move |(_, child): &(usize, &Child)| child.teardown == teardown && child.job.verdict().is_none();
        let all = self.calls.all.iter().enumerate().filter(open).filter(begun);
        all.map(|(at, child)| (self.child_id(at), child.job.attempt))
    }

    /// The phase of the run's own flow that a step of the plan is inside of.
    pub(super) fn outer_phase(&self, step: usize) -> Phase {
        let planned = &self.plan.steps[step];
        planned.parent.map_or(planned.phase, |parent| self.outer_phase(parent as usize))
    }
}
