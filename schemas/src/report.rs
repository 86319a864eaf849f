//! The report of a run: what `report.json` holds, and what every other rendering is made from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{Attempt, JobId, RunId};
use crate::outcome::{Artifact, Assertion, Failure};
use crate::plan::{About, Phase};
use crate::stamp::{Stamp, micros};
use crate::verdict::{Counts, OutcomeKind, Verdict};

/// Version of the report's shape.
pub const SCHEMA: u32 = 1;

/// A folded run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The run.
    pub run: RunId,
    /// The flow's name.
    pub flow: String,
    /// What the flow says about itself.
    #[serde(default)]
    pub description: String,
    /// Who answers for it, its tags and labels.
    #[serde(flatten)]
    pub about: About,
    /// The verdict; none while the run goes on.
    pub verdict: Option<Verdict>,
    /// The exit code that `rfx-publish run` ends with.
    pub exit_code: Option<u8>,
    /// Verdicts of its jobs.
    pub counts: Counts,
    /// What the flow's gate asks for and the run did not keep to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breaches: Vec<String>,
    /// Why outputs of the flow have no value; those are null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmade: Vec<String>,
    /// Who submitted it.
    pub by: String,
    /// When.
    pub submitted: Stamp,
    /// When its last job had a verdict.
    #[serde(default)]
    pub finished: Option<Stamp>,
    /// From submission to the end, in microseconds.
    #[serde(with = "micros")]
    pub duration: Duration,
    /// The trace to look for in Jaeger, in hex.
    pub trace: String,
    /// Why it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<String>,
    /// The system under test.
    #[serde(default)]
    pub target: BTreeMap<String, String>,
    /// Inputs after defaults.
    #[serde(default)]
    pub inputs: BTreeMap<String, Value>,
    /// Data sets: where each came from.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    /// The flow's outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Value>,
    /// What happened that should not, and did no harm.
    #[serde(default)]
    pub anomalies: Anomalies,
    /// Its steps, in the order of the plan.
    pub steps: Vec<StepReport>,
    /// What was to be undone, in the order in which it was done; what was not is a leak.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undos: Vec<CallReport>,
}

/// What at-least-once delivery did, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Anomalies {
    /// Outcomes that came after the first one of their attempt, and were ignored.
    pub duplicate_outcomes: u64,
    /// Attempts that the broker handed over more than once.
    pub redelivered: u64,
    /// Facts that could not be read.
    pub unreadable: u64,
}

/// A step of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// Its name with its phase and the composites that it is inside of: `steps.host/device`.
    pub path: String,
    /// Its phase.
    pub phase: Phase,
    /// The composite that it is a step of, by position in `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// The function that it calls, with the version, or the flow.
    pub uses: String,
    /// What that flow extends, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extends: Vec<String>,
    /// Whether it is a composite: its jobs are executions of a flow, and are not counted as jobs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub composite: bool,
    /// Who answers for it, its tags and labels.
    #[serde(flatten)]
    pub about: About,
    /// Where it ran.
    pub group: String,
    /// In which lane.
    pub queue: String,
    /// Its verdict; none while it goes on.
    pub verdict: Option<Verdict>,
    /// Why it was skipped, or ended as it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it may have failed: then it does not fail the run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allowed: bool,
    /// Verdicts of its jobs.
    pub counts: Counts,
    /// From its first release to its last end, in microseconds.
    #[serde(with = "micros")]
    pub duration: Duration,
    /// Its jobs, by item.
    pub jobs: Vec<JobReport>,
    /// What they have called, themselves and through others, in the order of the calls. Counted nowhere:
    /// whoever called has judged it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallReport>,
}

/// A call that an attempt made, or what was to undo something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallReport {
    /// Which job it is.
    pub job: JobId,
    /// Where it comes from: `steps.device/call-1 hosts.register`.
    pub path: String,
    /// The job that has called.
    pub caller: JobId,
    /// In which attempt.
    pub attempt: Attempt,
    /// What people call the item of the job that has called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Box<str>>,
    /// The function, with the version.
    pub uses: String,
    /// Where it ran.
    pub group: String,
    /// In which lane.
    pub queue: String,
    /// Its verdict; none while it goes on, or waits.
    pub verdict: Option<Verdict>,
    /// Why it was not undone: what should be gone is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leak: Option<String>,
    /// What it was called with; of leaks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptReport>,
}

/// A job of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobReport {
    /// Which.
    pub job: JobId,
    /// What people call its item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Box<str>>,
    /// Its verdict; none while it goes on.
    pub verdict: Option<Verdict>,
    /// Why a composite's execution ended as it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// How often what it polls for was not there yet; of those attempts only the last is listed.
    #[serde(default, skip_serializing_if = "crate::verdict::is_zero")]
    pub unmet: u32,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptReport>,
}

/// An attempt of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// Which.
    pub attempt: Attempt,
    /// How it ended.
    pub kind: OutcomeKind,
    /// Who executed it.
    pub worker: Arc<str>,
    /// When the driver released it.
    pub released: Stamp,
    /// When the function started.
    pub started: Stamp,
    /// When it ended.
    pub ended: Stamp,
    /// How often the broker handed it over.
    pub deliveries: u32,
    /// Digest of the code that ran, as its worker announced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Arc<str>>,
    /// What there is to see; nothing for most that passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<Detail>>,
}

/// What an engineer looks at in an attempt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Detail {
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Comparisons that were recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assertions: Vec<Assertion>,
    /// What it was called with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// What it gave back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// What it printed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
    /// Files that it left. Beside the report they are in `artifacts/<job>-<attempt>/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
}
