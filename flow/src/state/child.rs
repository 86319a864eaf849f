//! A call, or something that is to be undone, and what may be asked about it.

use std::sync::Arc;

use rfx_schemas::id::{Attempt, JobId};
use rfx_schemas::payload::Payload;
use rfx_schemas::plan::Call;
use rfx_schemas::trace::TraceContext;

use super::{JobState, RunState, number};

/// A call, or something that is to be undone.
#[derive(Debug)]
pub struct Child {
    pub(super) caller: (JobId, Attempt, u32),
    pub(super) undo: bool,
    pub(super) call: Arc<Call>,
    pub(super) job: JobState,
    /// Until it has its verdict; a leak keeps it for the report.
    pub(super) input: Option<Box<Payload>>,
    pub(super) key: Option<Box<str>>,
    pub(super) trace: TraceContext,
    pub(super) depth: u8,
    /// The step of the plan whose job has called, itself or through others.
    pub(super) root: u32,
    pub(super) teardown: bool,
    pub(super) limited: bool,
    /// Why it was not undone.
    pub(super) leak: Option<Box<str>>,
}

impl Child {
    /// The job and the attempt of it that has called, and the how-manieth of its calls this is.
    pub fn caller(&self) -> (JobId, Attempt, u32) {
        self.caller
    }

    /// Whether it undoes something, rather than giving its caller an answer.
    pub fn is_undo(&self) -> bool {
        self.undo
    }

    /// What is called, and where.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// Its state as a job.
    pub fn job(&self) -> &JobState {
        &self.job
    }

    /// What people call the item of the job that has called.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The span of its caller.
    pub fn trace(&self) -> TraceContext {
        self.trace
    }

    /// The step of the plan that it belongs to.
    pub fn root(&self) -> usize {
        self.root as usize
    }

    /// Whether it belongs to teardown: it runs on when the run is ended early.
    pub fn is_teardown(&self) -> bool {
        self.teardown
    }

    /// How many calls it is inside of, itself counted.
    pub fn depth(&self) -> usize {
        usize::from(self.depth)
    }

    /// What it is called with, as long as it is needed.
    pub fn input(&self) -> Option<&Payload> {
        self.input.as_deref()
    }

    /// Why it was not undone, when that is sure.
    pub fn leak(&self) -> Option<&str> {
        self.leak.as_deref()
    }
}

impl RunState {
    /// Every call and every undo, in the order of their facts: the job of the n-th has the number of
    /// the plan's steps plus n.
    pub fn children(&self) -> &[Child] {
        &self.calls.all
    }

    /// The call or undo that a job is.
    pub fn child(&self, job: JobId) -> Option<&Child> {
        let at = (job.step as usize).checked_sub(self.plan.steps.len())?;
        self.calls.all.get(at).filter(|_| job.item == 0)
    }

    /// The job that a call is.
    pub fn child_id(&self, at: usize) -> JobId {
        JobId { step: number(self.plan.steps.len() + at), item: 0 }
    }

    /// What a job calls; none for executions of composites, and for what is no job.
    pub fn call_of(&self, job: JobId) -> Option<&Call> {
        match self.plan.steps.get(job.step as usize) {
            Some(step) => step.call(),
            None => self.child(job).map(Child::call),
        }
    }

    /// What people call a step, or a call: `steps.device/call-1 hosts.register`.
    pub fn path(&self, step: usize) -> String {
        let Some(child) = step.checked_sub(self.plan.steps.len()).map(|at| &self.calls.all[at]) else {
            return self.plan.path(step);
        };
        format!("{} {}", self.chain(child), child.call.uses)
    }

    fn chain(&self, child: &Child) -> String {
        let (job, _, number) = child.caller;
        let outer = match self.child(job) {
            Some(outer) => self.chain(outer),
            None => self.plan.path(job.step as usize),
        };
        format!("{outer}/{}-{number}", if child.undo { "undo" } else { "call" })
    }

    /// How many of the undos are leaks: what they should have undone is still there.
    pub fn leaks(&self) -> u32 {
        self.calls.leaks
    }
}

#[cfg(test)]
mod tests {
    use super::Child;

    #[test]
    fn a_run_keeps_little_of_a_call() {
        assert!(size_of::<Child>() <= 200, "{} bytes", size_of::<Child>());
    }
}
