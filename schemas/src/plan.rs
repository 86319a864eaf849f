//! The plan of a run: what its flow, inputs, data and placement come to. Recorded once, with the
//! submission, so that any driver can go on from it; nothing in it changes afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::{Function, Group, Local, Queue, Version};
use crate::payload::Payload;
use crate::stamp::micros;

/// The jobs that a flow gives for one run, written down as steps that unfold into jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The flow's name.
    pub flow: String,
    /// What the flow says about itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Inputs, after defaults and the command line.
    #[serde(default)]
    pub inputs: BTreeMap<String, Value>,
    /// The system under test, by name of its parts.
    #[serde(default)]
    pub target: BTreeMap<String, String>,
    /// Data sets by name.
    #[serde(default)]
    pub data: BTreeMap<String, DataSet>,
    /// Steps, setup first and teardown last; jobs name them by position.
    pub steps: Vec<PlannedStep>,
    /// Templates of the flow's outputs.
    #[serde(default)]
    pub outputs: BTreeMap<String, Value>,
    /// When the whole run must have ended, counted from its submission.
    #[serde(with = "micros")]
    pub deadline: Duration,
}

/// A data set, kept by what it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSet {
    /// Where it came from, as the user named it.
    pub file: String,
    /// How many rows, when it is a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The rows.
    pub value: Payload,
}

/// When a step's turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before all else.
    Setup,
    /// The test itself; skipped when a setup step did not pass.
    Main,
    /// After all else, however that ended.
    Teardown,
}

impl Phase {
    /// The key under which a flow lists the steps of this phase, and expressions read them.
    pub fn key(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Main => "steps",
            Self::Teardown => "teardown",
        }
    }
}

/// One step with everything resolved: a retry or a takeover never moves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its name, unique in its phase.
    pub name: Local,
    /// Its phase.
    pub phase: Phase,
    /// The function that its jobs call.
    pub uses: Function,
    /// Which version of it; none was known when nobody served it at submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Where its jobs run.
    pub group: Group,
    /// In which lane.
    pub queue: Queue,
    /// Steps that must have ended before it starts, by position in the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<u32>,
    /// Expression that must be true, else the step is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Template whose list gives one job an item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Value>,
    /// How many items, when known before the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// Template of a job's input.
    pub with: Value,
    /// Expressions over the output that must be true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
    /// Longest time that an attempt may run.
    #[serde(with = "micros")]
    pub timeout: Duration,
    /// How long a job may wait while nobody serves its function.
    #[serde(with = "micros")]
    pub queue_timeout: Duration,
    /// When to try again.
    #[serde(default)]
    pub retry: Retry,
    /// Most jobs of the step released at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Whether an expression reads its output, so that the fold must keep it.
    #[serde(default)]
    pub keep_output: bool,
}

impl PlannedStep {
    /// The step as flows and reports name it: `steps.device`, `setup.tenant`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.phase.key(), self.name)
    }
}

/// When a job is tried again after an attempt that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Most attempts, the first among them.
    pub max_attempts: u32,
    /// Wait before the second attempt; doubled before each further one, with jitter.
    #[serde(with = "micros")]
    pub backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 1, backoff: Duration::from_secs(1) }
    }
}
