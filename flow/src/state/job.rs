//! One job of a run, as small as it can be: a driver holds one of these for every job.

use std::time::Duration;

use rfx_schemas::id::{Attempt, JobId, RunId};
use rfx_schemas::outcome::{Outcome, kind};
use rfx_schemas::plan::Call;
use rfx_schemas::rules::Retry;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::{OutcomeKind, Verdict};

/// Longest wait before a job that nobody could serve is tried again.
const UNSERVED_CAP: Duration = Duration::from_secs(60);

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Never released.
    New,
    /// To be released again, when its time has come.
    Waiting,
    /// Handed to the caller to publish; its end is not known. Of a composite: its steps run.
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
    /// The execution of a flow that it belongs to.
    pub(super) frame: u32,
    /// Its number among the jobs of its step there.
    pub(super) ordinal: u32,
    /// Attempts that ended without passing, by the function's doing.
    tries: u16,
    /// Attempts that were lost.
    lost: u16,
    /// Attempts that no worker could serve.
    unserved: u16,
    /// When the first of those ended.
    unserved_since: Stamp,
    /// When the first attempt of polling started.
    polling_since: Stamp,
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

impl JobState {
    pub(super) fn new(frame: u32, ordinal: u32) -> Self {
        Self {
            attempt: Attempt::FIRST,
            standing: Standing::New,
            frame,
            ordinal,
            tries: 0,
            lost: 0,
            unserved: 0,
            unserved_since: Stamp::default(),
            polling_since: Stamp::default(),
        }
    }

    /// The verdict, once it has one.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.standing {
            Standing::Done(verdict) => Some(verdict),
            Standing::New | Standing::Waiting | Standing::Released => None,
        }
    }

    /// Takes an outcome that was recorded at `at`. Invariant: the first outcome of an attempt
    /// counts, whatever comes after it. Nothing is tried again while the run is being ended; `ending` is the
    /// verdict of what then has none.
    pub(super) fn apply(
        &mut self,
        run: RunId,
        outcome: &Outcome,
        at: Stamp,
        call: &Call,
        ending: Option<Verdict>,
    ) -> Applied {
        if matches!(self.standing, Standing::Done(_)) || outcome.attempt != self.attempt {
            return Applied::Duplicate;
        }
        let wait = match outcome.kind {
            OutcomeKind::Failed | OutcomeKind::Error => self.try_again(run, outcome, &call.retry),
            OutcomeKind::Lost if is(outcome, kind::UNSERVED) => self.serve_again(at, call.queue_timeout),
            OutcomeKind::Lost => self.find_again(outcome, &call.retry),
            OutcomeKind::Unmet => self.poll_again(outcome, at, call),
            OutcomeKind::Passed | OutcomeKind::Skipped | OutcomeKind::Cancelled => None,
        };
        match wait {
            Some(wait) if ending.is_none() => {
                self.attempt = self.attempt.next();
                self.standing = Standing::Waiting;
                Applied::Again(at.after(wait))
            }
            wait => {
                // A poll that would go on has not failed: the run's end cut it off.
                let cut_off = ending.filter(|_| outcome.kind == OutcomeKind::Unmet && wait.is_some());
                let verdict =
                    cut_off.unwrap_or_else(|| Verdict::of_job(outcome.kind, u32::from(self.tries) + 1));
                self.standing = Standing::Done(verdict);
                Applied::Done(verdict)
            }
        }
    }

    fn try_again(&mut self, run: RunId, outcome: &Outcome, retry: &Retry) -> Option<Duration> {
        let last = u32::from(self.tries) + 1 >= retry.max_attempts || self.tries == u16::MAX;
        if last || !retry.on.contains(&outcome.kind) {
            return None;
        }
        let doubled = retry.backoff.saturating_mul(1 << self.tries.min(16)).min(retry.max_backoff);
        self.tries = self.tries.saturating_add(1);
        Some(doubled.mul_f64(jitter(run, outcome.job, self.attempt)))
    }

    fn serve_again(&mut self, at: Stamp, queue_timeout: Duration) -> Option<Duration> {
        if self.unserved == 0 {
            self.unserved_since = at;
        }
        let wait = Duration::from_secs(1 << self.unserved.min(10)).min(UNSERVED_CAP);
        self.unserved = self.unserved.saturating_add(1);
        (at.after(wait).since(self.unserved_since) <= queue_timeout).then_some(wait)
    }

    /// What we lost has a budget of its own. Not so where another try ends like the last one.
    fn find_again(&mut self, outcome: &Outcome, retry: &Retry) -> Option<Duration> {
        let again = is(outcome, kind::BROKER) || is(outcome, kind::MISSING);
        if !again || u32::from(self.lost) >= retry.lost || self.lost == u16::MAX {
            return None;
        }
        let wait = Duration::from_secs(1 << self.lost.min(6));
        self.lost += 1;
        Some(wait)
    }

    /// Polling goes on until the next call would start after its time. The time counts from the start
    /// of the first call, by the stream's clock: clocks of workers and drivers differ.
    fn poll_again(&mut self, outcome: &Outcome, at: Stamp, call: &Call) -> Option<Duration> {
        let until = call.until.as_ref()?;
        if self.polling_since == Stamp::default() {
            self.polling_since = at.before(outcome.ended.since(outcome.started));
        }
        (at.after(until.every).since(self.polling_since) <= until.within).then_some(until.every)
    }
}

fn is(outcome: &Outcome, kind: &str) -> bool {
    outcome.error.as_ref().is_some_and(|e| e.kind == kind)
}

/// Between 1 and 1.5, by run, job and attempt alone: a takeover computes the same moment.
fn jitter(run: RunId, job: JobId, attempt: Attempt) -> f64 {
    let span = rfx_schemas::trace::span_id(run, &format!("jitter {job} {attempt}"));
    1.0 + f64::from(u16::from_be_bytes([span[0], span[1]])) / f64::from(u16::MAX) / 2.0
}
