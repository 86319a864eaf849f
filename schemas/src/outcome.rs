//! How one attempt ended, with what an engineer needs to see.

use serde::{Deserialize, Serialize};

use crate::id::{Attempt, JobId};
use crate::name::{Group, Member};
use crate::payload::{BlobRef, Payload};
use crate::stamp::Stamp;
use crate::verdict::OutcomeKind;

/// Most bytes of a function's output (stdout and stderr) that an outcome keeps: the first quarter
/// and the last three.
pub const TAIL_LIMIT: usize = 16 * 1024;

/// The recorded end of one attempt. The first one in stream order counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which job.
    pub job: JobId,
    /// Which attempt of it.
    pub attempt: Attempt,
    /// How it ended.
    pub kind: OutcomeKind,
    /// What people call its item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the function gave back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    /// What it was called with; kept unless it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Payload>,
    /// Comparisons that were recorded on the way, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assertions: Vec<Assertion>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What it printed, shortened to [`TAIL_LIMIT`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
    /// When the driver released the attempt.
    pub released: Stamp,
    /// When the function started.
    pub started: Stamp,
    /// When it ended.
    pub ended: Stamp,
    /// Who executed it; the driver's own name where none did.
    pub worker: Member,
    /// Where.
    pub group: Group,
    /// How often the broker handed the attempt over.
    pub deliveries: u64,
    /// Digest of the code that ran, as its worker announced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Files that it left, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// What it read of the shared state, each key as it was the first time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<StateRead>,
}

/// A file that an attempt left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name, unique in the attempt; no path.
    pub name: String,
    /// Its media type, such as `text/html`.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where its bytes are: always a blob, since they need not be JSON.
    pub content: BlobRef,
}

/// A key of the shared state as an attempt saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateRead {
    /// The key, as the function named it.
    pub key: String,
    /// Whose state: of the run, or of the flow over its runs.
    pub scope: StateScope,
    /// Its revision; 0 when it was not there.
    pub revision: u64,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Payload>,
}

/// How long shared state lives, and who shares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateScope {
    /// The jobs of one run.
    #[default]
    Run,
    /// All runs of a flow.
    Flow,
}

/// One recorded comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assertion {
    /// The expression or the label that the author gave.
    pub label: String,
    /// Whether it held.
    pub passed: bool,
    /// What it should have been, as JSON text or prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// What the author says about it, or why it could not be evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What went wrong in an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind: an exception's class, `expect`, `TimedOut`, `unserved`, ….
    #[serde(rename = "type")]
    pub kind: String,
    /// One line to read first.
    pub message: String,
    /// Where, in the author's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceback: Option<String>,
    /// Expected against seen, as a unified diff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into(), traceback: None, diff: None }
    }
}

/// The kinds of failure that rfx itself gives.
pub mod kind {
    /// An `expect` of the step did not hold.
    pub const EXPECT: &str = "expect";
    /// What the step polls for is not there yet, or was not within its time.
    pub const UNTIL: &str = "until";
    /// It passed, and was meant to fail.
    pub const EXPECT_FAILURE: &str = "expect_failure";
    /// The worker does not know a secret that the step names.
    pub const SECRET: &str = "secret";
    /// The attempt ran longer than its timeout.
    pub const TIMED_OUT: &str = "TimedOut";
    /// The function used more memory than its pool allows.
    pub const MEMORY: &str = "OutOfMemory";
    /// The process that ran the function ended under it.
    pub const CRASHED: &str = "Crashed";
    /// No worker of the group could serve the job.
    pub const UNSERVED: &str = "unserved";
    /// Nobody served the function within the step's queue timeout.
    pub const NO_WORKER: &str = "no worker";
    /// The broker did not take the job.
    pub const BROKER: &str = "broker";
    /// The job was delivered too often without an outcome.
    pub const POISON: &str = "poison";
    /// The run's deadline passed first.
    pub const DEADLINE: &str = "deadline";
    /// The run was cancelled.
    pub const CANCELLED: &str = "cancelled";
    /// Something was asked for behind the end of its attempt, by what the attempt has left running.
    pub const ENDED: &str = "Ended";
    /// A value that the job refers to could not be read.
    pub const MISSING: &str = "missing";
    /// The step's input could not be made from its template.
    pub const TEMPLATE: &str = "template";
    /// The run does not let the attempt call another function: too deep, or into a lane that waits for it.
    pub const CALL: &str = "call";
    /// An attempt that was executed again called another function, or with another input.
    pub const NONDETERMINISTIC: &str = "nondeterministic";
}
