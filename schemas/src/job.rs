//! The job message: everything that any worker needs to execute, in one place.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::encoding::Message;
use crate::id::{Attempt, JobId, RunId};
use crate::name::{Function, Version};
use crate::payload::Payload;
use crate::plan::Phase;
use crate::rules::{ExpectFailure, Isolation};
use crate::stamp::{Stamp, micros};
use crate::trace::TraceContext;

/// Header that a driver sets on every publish but its first try: what it names may have been done
/// already, so the worker looks before it executes.
pub const AGAIN_HEADER: &str = "Rfx-Again";

/// One or more jobs of the same step: what they share once, then each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobMessage {
    /// The run.
    pub run: RunId,
    /// The flow's name.
    pub flow: String,
    /// The step, as `steps.device`.
    pub step: String,
    /// Its phase: what a cancel stops, and what it lets run.
    pub phase: Phase,
    /// The function to call.
    pub function: Function,
    /// Which version of it; none takes what the worker has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Expressions over the output that must be true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
    /// Expressions over the output that are polled for: as long as one is false, the attempt is unmet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub until: Vec<String>,
    /// How its jobs are meant to fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_failure: Option<ExpectFailure>,
    /// Names of the secrets that the worker gives to the function.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Values that the expectations read besides `output`, by variable; JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Payload>,
    /// The system under test.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub target: BTreeMap<String, String>,
    /// In what process to execute it, whatever the function and its pool say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Longest time that an attempt may run.
    #[serde(with = "micros")]
    pub timeout: Duration,
    /// When the whole run must have ended.
    pub deadline: Stamp,
    /// The step's span.
    pub trace: TraceContext,
    /// The jobs; never empty.
    pub jobs: Vec<Job>,
}

/// One attempt of one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Which job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: Attempt,
    /// What people call its item (`host-3`), for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The item, when the expectations read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Payload>,
    /// The item's number, when it is not that of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// What the function is called with.
    pub input: Payload,
    /// When the driver released it.
    pub released: Stamp,
}

impl Message for JobMessage {
    const KIND: &'static str = "job";
}
