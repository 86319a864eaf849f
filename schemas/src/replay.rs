//! A recorded attempt as a file: all that is needed to execute it once more, in a terminal. The publisher writes
//! it, a worker's program reads it; nothing of it goes to a server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{Attempt, JobId, RunId};
use crate::name::{Function, Group, Queue, Version};
use crate::outcome::{Failure, StateScope};
use crate::rules::ExpectFailure;
use crate::stamp::micros;
use crate::verdict::OutcomeKind;

/// An attempt to execute once more. It is JSON, so that people can read and change it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// The run.
    pub run: RunId,
    /// The flow's name.
    pub flow: String,
    /// The step, as `steps.device`.
    pub step: String,
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: Attempt,
    /// What people call the job's item.
    #[serde(default)]
    pub key: Option<String>,
    /// The function to call.
    pub function: Function,
    /// Which version of it; none takes the newest.
    #[serde(default)]
    pub version: Option<Version>,
    /// Where it ran.
    pub group: Group,
    /// In which lane.
    pub queue: Queue,
    /// The system under test.
    #[serde(default)]
    pub target: BTreeMap<String, String>,
    /// Names of the secrets that it is given, from the environment.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Longest time that the attempt may run: the function sees it, and nothing ends it here.
    #[serde(with = "micros")]
    pub timeout: Duration,
    /// The input.
    pub input: Value,
    /// Expressions over the output that must be true.
    #[serde(default)]
    pub expect: Vec<String>,
    /// Expressions over the output that the step polls for.
    #[serde(default)]
    pub until: Vec<String>,
    /// How the job is meant to fail.
    #[serde(default)]
    pub expect_failure: Option<ExpectFailure>,
    /// Values that the expectations read besides `output`, by variable.
    #[serde(default)]
    pub scope: Option<Value>,
    /// The job's item, when they read it.
    #[serde(default)]
    pub item: Option<Value>,
    /// The item's number.
    #[serde(default)]
    pub index: u32,
    /// The shared state that the attempt saw.
    #[serde(default)]
    pub state: Vec<Seen>,
    /// The folder that its artifacts go to.
    pub artifacts: PathBuf,
    /// What to look with.
    #[serde(default)]
    pub debug: Option<Debug>,
    /// How it ended; none when that is not recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
}

/// A key of the shared state, as the attempt saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The key.
    pub key: String,
    /// Whose state.
    pub scope: StateScope,
    /// Its revision; 0 when it was not there.
    pub revision: u64,
    /// Its value.
    #[serde(default)]
    pub value: Option<Value>,
}

/// A debugger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Debug {
    /// pdb, in the terminal.
    Pdb,
    /// debugpy, which an editor connects to at this port.
    Debugpy(u16),
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// How.
    pub kind: OutcomeKind,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<Failure>,
    /// What it gave back.
    #[serde(default)]
    pub output: Option<Value>,
    /// Digest of the code that ran.
    #[serde(default)]
    pub digest: Option<String>,
}
