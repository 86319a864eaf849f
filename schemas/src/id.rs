//! Ids of runs, jobs and attempts.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::stamp::Stamp;

/// Why a text is not an id of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct IdError {
    text: String,
    expected: &'static str,
}

fn refuse(text: &str, expected: &'static str) -> IdError {
    IdError { text: text.to_owned(), expected }
}

/// One execution of a flow: a UUID of version 7, so that ids sort by the time of submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(Uuid);

impl RunId {
    /// A new id. Only the submitting shell calls this.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The sixteen bytes, from which trace and span ids are derived.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// When the id was made, to the millisecond.
    pub fn made(&self) -> Stamp {
        let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |t| t.to_unix());
        Stamp::from_micros(i64::try_from(seconds).unwrap_or(0) * 1_000_000 + i64::from(nanos / 1_000))
    }

    /// The last twelve digits: random, so enough to tell runs apart where people read them.
    pub fn short(&self) -> String {
        let text = self.0.simple().to_string();
        text[20..].to_owned()
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl FromStr for RunId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let expected = "a run id, such as 0190b5b2-7c1e-7000-8000-000000000001";
        let id = Uuid::try_parse(text).map_err(|_| refuse(text, expected))?;
        let canonical = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
        if canonical && id.get_version_num() == 7 { Ok(Self(id)) } else { Err(refuse(text, expected)) }
    }
}

impl TryFrom<String> for RunId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.to_string()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.hyphenated())
    }
}

/// One step instance of a run, `<step no>-<item no>` of its plan, both from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId {
    /// Position of the step in the plan.
    pub step: u32,
    /// Position of the item in what the step runs over; 0 for a step without `each`.
    pub item: u32,
}

/// A number without leading zeros or sign, so that each id has one spelling.
fn plain_number(text: &str) -> Option<u32> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}

impl FromStr for JobId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.split_once('-')
            .and_then(|(step, item)| Some(Self { step: plain_number(step)?, item: plain_number(item)? }))
            .ok_or_else(|| refuse(text, "a job id, such as 3-0 (step 3, item 0)"))
    }
}

impl TryFrom<String> for JobId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> String {
        id.to_string()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.step, self.item)
    }
}

/// One start of a job's function that the driver asked for, counted by us from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(NonZeroU32);

impl Attempt {
    /// The first attempt of every job.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The attempt with this number; 0 is none.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number, from 1.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl FromStr for Attempt {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        plain_number(text).and_then(Self::new).ok_or_else(|| refuse(text, "an attempt, a number from 1"))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_are_version_7_in_one_spelling() {
        let id = RunId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<RunId>().is_err());
        assert!("6ba7b810-9dad-11d1-80b4-00c04fd430c8".parse::<RunId>().is_err(), "version 1");
        assert_eq!(id.short().len(), 12);
    }

    #[test]
    fn job_ids_have_one_spelling() {
        assert_eq!("3-14".parse(), Ok(JobId { step: 3, item: 14 }));
        for wrong in ["3", "3-", "-3", "03-1", "3-1-2", "+3-1", "3-4294967296"] {
            assert!(wrong.parse::<JobId>().is_err(), "{wrong}");
        }
        assert!("0".parse::<Attempt>().is_err());
    }
}
