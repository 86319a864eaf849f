//! What a runner says of its pool, first of all.

use std::time::Duration;

use rfx_schemas::rules::{Isolation, Retry};
use rfx_schemas::verdict::OutcomeKind;
use serde::Deserialize;

/// A pool, as its runner found it.
#[derive(Debug, Clone, Deserialize)]
pub struct Hello {
    /// The version of the protocol that the runner speaks.
    pub protocol: u32,
    /// The interpreter's version, or what else says what executes.
    #[serde(default)]
    pub python: String,
    /// Whether it is a zygote, which forks runners, rather than a runner itself.
    #[serde(default)]
    pub forks: bool,
    /// Why it is none.
    #[serde(default)]
    pub reason: Option<String>,
    /// Whether it can be started for many calls at once, if it is a program of the pool's own.
    #[serde(default)]
    pub shared: bool,
    /// What it offers.
    pub functions: Vec<FunctionInfo>,
    /// What could not be imported.
    #[serde(default)]
    pub broken: Vec<BrokenInfo>,
}

/// A function of a pool.
#[derive(Debug, Clone, Deserialize)]
pub struct FunctionInfo {
    /// Its dotted name.
    pub name: String,
    /// Its version.
    #[serde(default = "first_version")]
    pub version: String,
    /// Its documentation.
    #[serde(default)]
    pub doc: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Who answers for it.
    #[serde(default)]
    pub owner: Option<String>,
    /// The lane that its jobs take.
    #[serde(default)]
    pub queue: Option<String>,
    /// Longest time that an attempt may run, in seconds.
    #[serde(default)]
    pub timeout: Option<f64>,
    /// Keys of shared state that it reads or writes.
    #[serde(default)]
    pub state: Vec<String>,
    /// In what process it wants to be executed.
    #[serde(default)]
    pub isolation: Option<Isolation>,
    /// When it is tried again.
    #[serde(default)]
    pub retry: Option<RetryInfo>,
    /// Names of secrets that it needs.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Inputs that its author shows.
    #[serde(default)]
    pub examples: Vec<serde_json::Value>,
    /// JSON Schema of its input.
    #[serde(default)]
    pub input_schema: serde_json::Value,
    /// JSON Schema of its output.
    #[serde(default)]
    pub output_schema: serde_json::Value,
    /// Its file, relative to the pool.
    #[serde(default)]
    pub file: Option<String>,
    /// Its line there.
    #[serde(default)]
    pub line: Option<u32>,
    /// Digest of its code.
    #[serde(default)]
    pub digest: Option<String>,
}

fn first_version() -> String {
    "1".to_owned()
}

/// `file:line`, as far as known.
pub fn place(file: Option<&str>, line: Option<u32>) -> Option<String> {
    match (file, line) {
        (Some(file), Some(line)) => Some(format!("{file}:{line}")),
        (file, _) => file.map(str::to_owned),
    }
}

/// When a function is tried again, as its author says it.
#[derive(Debug, Clone, Deserialize)]
pub struct RetryInfo {
    /// Most attempts, the first among them.
    pub max_attempts: u32,
    /// Wait before the second, in seconds.
    #[serde(default)]
    pub backoff: Option<f64>,
    /// The longest wait, in seconds.
    #[serde(default)]
    pub max_backoff: Option<f64>,
    /// Outcomes that are tried again.
    #[serde(default)]
    pub on: Option<Vec<OutcomeKind>>,
}

impl RetryInfo {
    /// The rule; what is not said is as in flows.
    pub fn rule(&self) -> Retry {
        let or = |seconds: Option<f64>, default| {
            seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or(default)
        };
        let rest = Retry::default();
        let again = [OutcomeKind::Failed, OutcomeKind::Error];
        Retry {
            max_attempts: self.max_attempts.max(1),
            backoff: or(self.backoff, rest.backoff),
            max_backoff: or(self.max_backoff, rest.max_backoff),
            on: self
                .on
                .as_ref()
                .map_or(rest.on, |on| on.iter().copied().filter(|kind| again.contains(kind)).collect()),
            lost: rest.lost,
        }
    }
}

/// A module that could not be imported.
#[derive(Debug, Clone, Deserialize)]
pub struct BrokenInfo {
    /// The module.
    pub module: String,
    /// Where it stopped.
    #[serde(default)]
    pub file: Option<String>,
    /// Where it stopped.
    #[serde(default)]
    pub line: Option<u32>,
    /// One line.
    pub error: String,
    /// The whole story.
    #[serde(default)]
    pub traceback: String,
}
