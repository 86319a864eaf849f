//! One job of a run, as small as it can be: a driver holds one of these for every job.

use std::time::Duration;

use rfx_schemas::id::{Attempt, JobId, RunId};
use rfx_schemas::outcome::{Outcome, kind};
use rfx_schemas::plan::Retry;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::{OutcomeKind, Verdict};

/// Longest wait before a job that nobody could serve is tried again.
const UNSERVED_CAP: Duration = Duration::from_secs(60);

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// To be released, now or at this moment.
    Waiting(Option<Stamp>),
    /// Handed to the caller to publish; its end is not known.
    Released,
    /// It has its verdict.
    Done(Verdict),
}

/// A job's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobState {
    /// The attempt that it is at.
    pub attempt: Attempt,
    /// Where it stands.
    pub standing: Standing,
    /// Attempts that ended without passing, by the function's doing.
    tries: u16,
    /// Attempts that no worker could serve.
    unserved: u16,
    /// When the first of those ended.
    unserved_since: Stamp,
}

/// What an outcome meant for its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Its attempt has an outcome already, or was never asked for: ignored.
    Duplicate,
    /// The job is tried again at this moment.
    Again(Stamp),
    /// The job has its verdict.
    Done(Verdict),
}

impl Default for JobState {
    fn default() -> Self {
        Self {
            attempt: Attempt::FIRST,
            standing: Standing::Waiting(None),
            tries: 0,
            unserved: 0,
            unserved_since: Stamp::default(),
        }
    }
}

impl JobState {
    /// The verdict, once it has one.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.standing {
            Standing::Done(verdict) => Some(verdict),
            Standing::Waiting(_) | Standing::Released => None,
        }
    }

    /// Takes an outcome that was recorded at `at`. Invariant: the first outcome of an attempt
    /// counts, whatever comes after it.
    pub fn apply(&mut self, run: RunId, outcome: &Outcome, at: Stamp, rules: &Rules<'_>) -> Applied {
        if matches!(self.standing, Standing::Done(_)) || outcome.attempt != self.attempt {
            return Applied::Duplicate;
        }
        let wait = match outcome.kind {
            OutcomeKind::Failed | OutcomeKind::Error => self.try_again(run, outcome.job, rules.retry),
            OutcomeKind::Lost if is_unserved(outcome) => self.serve_again(at, rules.queue_timeout),
            _ => None,
        };
        match wait {
            Some(wait) if !rules.ending => {
                let when = at.after(wait);
                self.attempt = self.attempt.next();
                self.standing = Standing::Waiting(Some(when));
                Applied::Again(when)
            }
            _ => {
                let verdict = Verdict::of_job(outcome.kind, u32::from(self.tries) + 1);
                self.standing = Standing::Done(verdict);
                Applied::Done(verdict)
            }
        }
    }

    fn try_again(&mut self, run: RunId, job: JobId, retry: &Retry) -> Option<Duration> {
        self.tries = self.tries.saturating_add(1);
        if u32::from(self.tries) >= retry.max_attempts {
            // The last try is not one "before" the verdict.
            self.tries -= 1;
            return None;
        }
        let doubled = retry.backoff.saturating_mul(1 << (self.tries - 1).min(16));
        Some(doubled.mul_f64(jitter(run, job, self.attempt)))
    }

    fn serve_again(&mut self, at: Stamp, queue_timeout: Duration) -> Option<Duration> {
        if self.unserved == 0 {
            self.unserved_since = at;
        }
        let wait = Duration::from_secs(1 << self.unserved.min(10)).min(UNSERVED_CAP);
        self.unserved = self.unserved.saturating_add(1);
        (at.after(wait).since(self.unserved_since) <= queue_timeout).then_some(wait)
    }
}

/// What decides whether a job is tried again.
pub struct Rules<'a> {
    /// The step's.
    pub retry: &'a Retry,
    /// The step's.
    pub queue_timeout: Duration,
    /// Whether the run is being ended: then nothing is tried again.
    pub ending: bool,
}

fn is_unserved(outcome: &Outcome) -> bool {
    outcome.error.as_ref().is_some_and(|e| e.kind == kind::UNSERVED)
}

/// Between 1 and 1.5, by run, job and attempt alone: a takeover computes the same moment.
fn jitter(run: RunId, job: JobId, attempt: Attempt) -> f64 {
    let span = rfx_schemas::trace::span_id(run, &format!("jitter {job} {attempt}"));
    1.0 + f64::from(u16::from_be_bytes([span[0], span[1]])) / f64::from(u16::MAX) / 2.0
}
