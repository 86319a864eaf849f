//! One step of a run: its items, its jobs, its verdict.

use std::collections::VecDeque;
use std::sync::Arc;

use rfx_schemas::verdict::{Counts, Verdict};
use serde_json::Value;

use super::job::{JobState, Standing};

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Status {
    /// Waits for its phase or for what it needs.
    #[default]
    Pending,
    /// Its jobs are known and run.
    Active,
    /// Every job has a verdict; or it was skipped, and why.
    Ended(Verdict, Option<String>),
}

/// A step's state.
#[derive(Debug, Default)]
pub struct StepState {
    /// Where it stands.
    pub status: Status,
    /// The list that it runs over; none for a step without `each`.
    pub items: Option<Arc<Value>>,
    /// Its jobs, by item.
    pub jobs: Vec<JobState>,
    /// Outputs by item, when an expression reads them.
    pub outputs: Vec<Value>,
    /// Verdicts so far.
    pub counts: Counts,
    /// Jobs that are released and have no outcome.
    pub outstanding: usize,
    /// The next item that was never released.
    pub cursor: usize,
    /// Items whose wait for another attempt is over.
    pub due: VecDeque<u32>,
}

impl StepState {
    /// The verdict, once every job has one.
    pub fn verdict(&self) -> Option<Verdict> {
        match &self.status {
            Status::Ended(verdict, _) => Some(*verdict),
            Status::Pending | Status::Active => None,
        }
    }

    /// Why it was skipped.
    pub fn reason(&self) -> Option<&str> {
        match &self.status {
            Status::Ended(_, reason) => reason.as_deref(),
            Status::Pending | Status::Active => None,
        }
    }

    /// Unfolds into jobs.
    pub fn start(&mut self, items: Option<Arc<Value>>, keep_outputs: bool) {
        let count = items.as_ref().map_or(1, |list| list.as_array().map_or(0, Vec::len));
        self.items = items;
        self.jobs = vec![JobState::default(); count];
        self.outputs = vec![Value::Null; if keep_outputs { count } else { 0 }];
        self.status = match count {
            0 => Status::Ended(Verdict::Skipped, Some("its list is empty".to_owned())),
            _ => Status::Active,
        };
    }

    /// Ends without having run.
    pub fn skip(&mut self, verdict: Verdict, reason: impl Into<String>) {
        self.status = Status::Ended(verdict, Some(reason.into()));
    }

    /// Counts a job's verdict; the last one ends the step.
    pub fn settle(&mut self, verdict: Verdict) {
        self.counts.add(verdict);
        if self.counts.total() as usize == self.jobs.len() {
            self.status = Status::Ended(self.counts.verdict(), None);
            self.due = VecDeque::new();
        }
    }

    /// Gives every job without a verdict this one.
    pub fn settle_rest(&mut self, verdict: Verdict) {
        for at in 0..self.jobs.len() {
            if !matches!(self.jobs[at].standing, Standing::Done(_)) {
                self.jobs[at].standing = Standing::Done(verdict);
                self.settle(verdict);
            }
        }
        self.outstanding = 0;
    }

    /// What expressions read as its output: the one value, or the list of them.
    pub fn output(&self) -> Value {
        match self.items {
            Some(_) => Value::Array(self.outputs.clone()),
            None => self.outputs.first().cloned().unwrap_or(Value::Null),
        }
    }

    /// The item of a job.
    pub fn item(&self, at: usize) -> Option<&Value> {
        self.items.as_ref().and_then(|list| list.get(at))
    }

    /// The next item to release, if there is one.
    pub fn take_next(&mut self) -> Option<usize> {
        while let Some(item) = self.due.pop_front() {
            if matches!(self.jobs[item as usize].standing, Standing::Waiting(_)) {
                return Some(item as usize);
            }
        }
        while self.cursor < self.jobs.len() {
            let at = self.cursor;
            self.cursor += 1;
            if self.jobs[at].standing == Standing::Waiting(None) {
                return Some(at);
            }
        }
        None
    }
}
