//! The bodies of facts. A fact is recorded once and never changed; all else is a fold over facts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::encoding::Message;
use crate::id::{Attempt, JobId, RunId};
use crate::name::{Function, Group, Member, Queue, Version};
use crate::outcome::{Failure, Outcome};
use crate::payload::Payload;
use crate::stamp::{Stamp, micros};
use crate::trace::TraceContext;
use crate::verdict::{Counts, Verdict};

/// `submitted`: the run exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submitted {
    /// The run.
    pub run: RunId,
    /// The flow's name, for lists that don't load the plan.
    pub flow: String,
    /// The [`Plan`](crate::plan::Plan) as JSON.
    pub plan: Payload,
    /// When, by the submitter's clock; what follows counts from the stream's time.
    pub submitted: Stamp,
    /// Who, as `user@host`.
    pub by: String,
    /// The run's span.
    pub trace: TraceContext,
    /// CI's span, when it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci: Option<TraceContext>,
}

/// `cancelled-<n>`: somebody asked to end the run early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Who, as `user@host`.
    pub by: String,
    /// Why: a command, Ctrl-C, SIGTERM, the deadline.
    pub reason: String,
    /// What becomes of jobs that have no verdict yet: cancelled, or lost at the deadline.
    #[serde(default)]
    pub cause: Cause,
}

/// What ended a run early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Somebody asked for it.
    #[default]
    Asked,
    /// It took longer than its deadline.
    Deadline,
}

/// `settled`: the run is ended early, and no attempt of a job before teardown can have an outcome any
/// more; those without one get their verdict here, and teardown begins. A fact, and not each
/// reader's own decision: what begins here is numbered here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The driver that ended them.
    pub by: Member,
}

/// `finished`: every job has a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// The run's verdict.
    pub verdict: Verdict,
    /// Verdicts of its jobs.
    pub counts: Counts,
    /// What the flow's gate asks for and the run did not keep to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breaches: Vec<String>,
    /// Why outputs of the flow have no value; those are null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmade: Vec<String>,
    /// The flow's outputs, when it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Payload>,
}

/// `start-<n>`: a worker is about to execute what was delivered before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Who.
    pub worker: Member,
    /// When.
    pub started: Stamp,
}

/// `ended`: the outcomes of the attempts in one job message; never empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// One an attempt.
    pub outcomes: Vec<Outcome>,
}

/// `call-<n>` and `undo-<n>`: an attempt calls a function, or says what undoes what it is about to do.
/// Where that runs is decided here, by the worker, so that every reader sees the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Called {
    /// The function.
    pub function: Function,
    /// Which version of it; none takes what the worker has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Where it runs.
    pub group: Group,
    /// In which lane.
    pub queue: Queue,
    /// Longest time that an attempt of it may run.
    #[serde(with = "micros")]
    pub timeout: Duration,
    /// What it is called with.
    pub input: Payload,
    /// Digest of what is called with what: an attempt that is executed again must ask for the same.
    pub digest: String,
    /// Whether the caller's own lane admits few jobs at once: then nothing that it waits for may be
    /// in that lane.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub limited: bool,
    /// The caller's span.
    pub trace: TraceContext,
}

/// `return-<n>`: what a call came to, recorded by the driver where the caller may read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Returned {
    /// The job that the call was; none when it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// Its verdict.
    pub verdict: Verdict,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What it gave back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
}

/// Which call, or which undo, of which attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Caller {
    /// The group whose worker recorded it.
    pub group: Group,
    /// The job that calls.
    pub job: JobId,
    /// Its attempt.
    pub attempt: Attempt,
    /// The number of the call among those of the attempt, from 1.
    pub number: u32,
}

impl Message for Submitted {
    const KIND: &'static str = "submitted";
}
impl Message for Cancelled {
    const KIND: &'static str = "cancelled";
}
impl Message for Settled {
    const KIND: &'static str = "settled";
}
impl Message for Finished {
    const KIND: &'static str = "finished";
}
impl Message for Started {
    const KIND: &'static str = "started";
}
impl Message for Ended {
    const KIND: &'static str = "ended";
}
impl Message for Called {
    const KIND: &'static str = "called";
}
impl Message for Returned {
    const KIND: &'static str = "returned";
}

/// A fact with its body, as a fold takes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// See [`Submitted`].
    Submitted(Box<Submitted>),
    /// See [`Cancelled`]; the number counts the asks from 1.
    Cancelled(u32, Cancelled),
    /// See [`Settled`].
    Settled(Settled),
    /// See [`Finished`].
    Finished(Finished),
    /// See [`Started`].
    Started(Started),
    /// See [`Ended`].
    Ended(Ended),
    /// A call; see [`Called`].
    Call(Caller, Box<Called>),
    /// What is to undo something; see [`Called`].
    Undo(Caller, Box<Called>),
    /// See [`Returned`].
    Returned(Caller, Returned),
}
