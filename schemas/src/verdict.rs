//! How an attempt can end, and what that makes of a job, a step and a run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How one attempt ended. Each way is data: a failing test is never an error of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeKind {
    /// The function answered and every expectation held.
    Passed,
    /// The test said no: an assertion, `fail()`, or an `expect` of the step.
    Failed,
    /// The function gave no answer: an exception, crash, timeout, or an output that cannot be read.
    Error,
    /// We gave no answer: poison, unserved, deadline in the queue, broker.
    Lost,
    /// The function answered, and what the step polls for is not there yet.
    Unmet,
    /// The function asked to be skipped.
    Skipped,
    /// The run was cancelled before the attempt ended.
    Cancelled,
}

impl OutcomeKind {
    /// The word used in reports, labels and the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Lost => "lost",
            Self::Unmet => "unmet",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What became of a job, a step or a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Passed at the first attempt.
    Passed,
    /// Passed after an attempt that did not.
    Flaky,
    /// Not run, on purpose: its condition was false, what it needs did not pass, or it asked for it.
    Skipped,
    /// The test said no.
    Failed,
    /// The function gave no answer.
    Error,
    /// We gave no answer.
    Lost,
    /// Ended by a cancel.
    Cancelled,
}

impl Verdict {
    /// Every verdict, in the order reports list them.
    pub const ALL: [Self; 7] =
        [Self::Passed, Self::Flaky, Self::Failed, Self::Error, Self::Lost, Self::Skipped, Self::Cancelled];

    /// The gravest first.
    const GRAVEST: [Self; 7] =
        [Self::Cancelled, Self::Lost, Self::Error, Self::Failed, Self::Flaky, Self::Passed, Self::Skipped];

    /// The gravest of some; skipped when there are none.
    pub fn gravest(of: impl IntoIterator<Item = Self>) -> Self {
        let mut counts = Counts::default();
        of.into_iter().for_each(|verdict| counts.add(verdict));
        counts.verdict()
    }

    /// The word used in reports, expressions and the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Flaky => "flaky",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether what needs this may go on.
    pub fn is_pass(self) -> bool {
        matches!(self, Self::Passed | Self::Flaky)
    }

    /// The verdict of a job whose last attempt ended with `kind`, after `attempts` of them.
    pub fn of_job(kind: OutcomeKind, attempts: u32) -> Self {
        match kind {
            OutcomeKind::Passed if attempts > 1 => Self::Flaky,
            OutcomeKind::Passed => Self::Passed,
            OutcomeKind::Failed | OutcomeKind::Unmet => Self::Failed,
            OutcomeKind::Error => Self::Error,
            OutcomeKind::Lost => Self::Lost,
            OutcomeKind::Skipped => Self::Skipped,
            OutcomeKind::Cancelled => Self::Cancelled,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many of each verdict: the aggregate that a step and a run are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Passed at the first attempt.
    pub passed: u32,
    /// Passed after an attempt that did not.
    pub flaky: u32,
    /// The test said no.
    pub failed: u32,
    /// The function gave no answer.
    pub error: u32,
    /// We gave no answer.
    pub lost: u32,
    /// Not run, on purpose.
    pub skipped: u32,
    /// Ended by a cancel.
    pub cancelled: u32,
    /// How many of `failed` and `error` their step allows: they do not fail the run.
    #[serde(skip_serializing_if = "is_zero")]
    pub allowed: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
pub(crate) fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Counts {
    /// Counts one more verdict.
    pub fn add(&mut self, verdict: Verdict) {
        *self.slot(verdict) += 1;
    }

    /// Counts all of `other` too.
    pub fn merge(&mut self, other: &Self) {
        for verdict in Verdict::ALL {
            *self.slot(verdict) += other.get(verdict);
        }
        self.allowed += other.allowed;
    }

    /// How many had this verdict.
    pub fn get(&self, verdict: Verdict) -> u32 {
        match verdict {
            Verdict::Passed => self.passed,
            Verdict::Flaky => self.flaky,
            Verdict::Failed => self.failed,
            Verdict::Error => self.error,
            Verdict::Lost => self.lost,
            Verdict::Skipped => self.skipped,
            Verdict::Cancelled => self.cancelled,
        }
    }

    /// How many there are in all.
    pub fn total(&self) -> u32 {
        Verdict::ALL.iter().map(|v| self.get(*v)).sum()
    }

    /// The verdict of the whole: the gravest there is. What is ours (`lost`) outranks what the
    /// tests said, since then their answer is not whole; nothing at all counts as skipped.
    pub fn verdict(&self) -> Verdict {
        let worst = Verdict::GRAVEST.into_iter().find(|v| self.get(*v) > 0);
        worst.unwrap_or(Verdict::Skipped)
    }

    fn slot(&mut self, verdict: Verdict) -> &mut u32 {
        match verdict {
            Verdict::Passed => &mut self.passed,
            Verdict::Flaky => &mut self.flaky,
            Verdict::Failed => &mut self.failed,
            Verdict::Error => &mut self.error,
            Verdict::Lost => &mut self.lost,
            Verdict::Skipped => &mut self.skipped,
            Verdict::Cancelled => &mut self.cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_verdict_is_the_verdict_of_the_whole() {
        let mut counts = Counts::default();
        assert_eq!(counts.verdict(), Verdict::Skipped);
        counts.add(Verdict::Passed);
        counts.add(Verdict::Skipped);
        assert_eq!(counts.verdict(), Verdict::Passed);
        counts.add(Verdict::Failed);
        assert_eq!(counts.verdict(), Verdict::Failed);
        counts.add(Verdict::Lost);
        assert_eq!(counts.verdict(), Verdict::Lost);
        assert_eq!(counts.total(), 4);
    }

    #[test]
    fn a_pass_after_another_attempt_is_flaky() {
        assert_eq!(Verdict::of_job(OutcomeKind::Passed, 1), Verdict::Passed);
        assert_eq!(Verdict::of_job(OutcomeKind::Passed, 2), Verdict::Flaky);
        assert_eq!(Verdict::of_job(OutcomeKind::Lost, 2), Verdict::Lost);
    }
}
