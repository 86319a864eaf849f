//! When an attempt is followed by another one, and what its ending is judged by.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::stamp::micros;
use crate::verdict::OutcomeKind;

/// When a job is tried again after an attempt that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Most attempts, the first among them; those that were lost or unmet do not count.
    pub max_attempts: u32,
    /// Wait before the second attempt; doubled before each further one, with jitter.
    #[serde(with = "micros")]
    pub backoff: Duration,
    /// The longest that the wait grows to, before jitter.
    #[serde(default = "default_max_backoff", with = "micros")]
    pub max_backoff: Duration,
    /// Outcomes that are tried again: failed, error or both.
    #[serde(default = "default_on")]
    pub on: Vec<OutcomeKind>,
    /// How often a job that was lost by us is tried again, besides.
    #[serde(default = "default_lost")]
    pub lost: u32,
}

fn default_max_backoff() -> Duration {
    Duration::from_secs(10 * 60)
}

fn default_on() -> Vec<OutcomeKind> {
    vec![OutcomeKind::Failed, OutcomeKind::Error]
}

fn default_lost() -> u32 {
    2
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            backoff: Duration::from_secs(1),
            max_backoff: default_max_backoff(),
            on: default_on(),
            lost: default_lost(),
        }
    }
}

/// Polling: the function is called again and again until what it gives back is as wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Until {
    /// Expressions over the output; all must be true.
    pub expect: Vec<String>,
    /// Wait from the end of one call to the start of the next.
    #[serde(with = "micros")]
    pub every: Duration,
    /// How long in all, from the start of the first call.
    #[serde(with = "micros")]
    pub within: Duration,
}

/// In what process a function of a pool is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// A process that is kept and takes one attempt at a time, as long as attempts pass.
    #[default]
    Warm,
    /// A process of its own, which ends with the attempt.
    Fresh,
    /// A process that executes many attempts at once.
    Shared,
}

impl Isolation {
    /// Every kind, in order.
    pub const ALL: [Self; 3] = [Self::Warm, Self::Fresh, Self::Shared];

    /// Its word, as people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Fresh => "fresh",
            Self::Shared => "shared",
        }
    }
}

impl std::fmt::Display for Isolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Isolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no isolation; use warm, fresh or shared"))
    }
}

/// How a job is meant to fail. An attempt that does so passes; one that passes has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpectFailure {
    /// The test says no, or the function raises.
    Any,
    /// The test says no: an assertion, `fail()`, or an `expect`.
    Failed,
    /// The function raises.
    Error,
}
