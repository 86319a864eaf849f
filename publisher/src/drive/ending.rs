//! Ending a run early, by a cancel or its deadline: stop what waits, stop what runs, record an end
//! for each attempt that may have been published, and only then tear down.

use std::collections::BTreeSet;
use std::time::Duration;

use rfx_flow::Child;
use rfx_schemas::encoding::encode;
use rfx_schemas::fact::{Cause, Settled};
use rfx_schemas::name::{Group, Queue};
use rfx_schemas::subject::{FactSubject, RunFact};
use rfx_transport::Guarded;
use tokio::time::{Instant, timeout_at};

use super::publish::{ended_early, outcome};
use super::{DriveError, Driver};

/// How long running attempts have for their finalizers.
const GRACE: Duration = Duration::from_secs(10);
/// How long attempts that may be with a worker are waited for at least.
const LEAST: Duration = Duration::from_secs(1);
/// How long reading what is recorded may take: far longer than any reader lags.
const READ: Duration = Duration::from_secs(10 * 60);

impl Driver {
    /// Settles every job before teardown.
    pub(super) async fn end_early(&mut self, cause: Cause) -> Result<(), DriveError> {
        self.clearing = Some(cause);
        self.wait_out().await?;
        let purged = self.purge(false).await?;
        // At the deadline workers stop by themselves: each job carries it.
        if cause == Cause::Asked {
            self.transport.announce_cancel(self.run()).await;
        }
        // What was purged never ends by itself; only what workers hold is worth waiting for. How many
        // those are was asked a moment before the purge, hence the least wait.
        let (soon, deadline) = (Instant::now() + LEAST, Instant::now() + GRACE);
        loop {
            let open = self.open_attempts(false).len();
            let early = Instant::now() < soon;
            let waiting = open > purged || (open > 0 && early);
            // What was purged by an earlier try, or was never published before this driver took over, is
            // open too: only the lanes tell whether workers hold any of it.
            let held = early || self.delivered(false).await? > 0;
            if !waiting || !held || !self.read_until(deadline).await? {
                break;
            }
        }
        self.purge(false).await?;
        self.record_ends(cause, false).await?;
        // What tears a composite down may be out already, and was purged with the rest: it is released
        // once more when that is folded.
        self.again = true;
        self.record_settled().await?;
        self.clearing = None;
        Ok(())
    }

    /// Ends what is left of teardown, as a second cancel asks.
    pub(super) async fn abandon_teardown(&mut self) -> Result<(), DriveError> {
        if self.open_attempts(true).is_empty() {
            self.recorder.state_mut().abandon_teardown();
            return Ok(());
        }
        self.wait_out().await?;
        self.purge(true).await?;
        self.record_ends(Cause::Asked, true).await?;
        self.recorder.state_mut().abandon_teardown();
        Ok(())
    }

    /// Attempts that may be under way: those that this driver has released, or, when another drove
    /// before it, all that may have been.
    fn open_attempts(&self, teardown: bool) -> Vec<(rfx_schemas::id::JobId, rfx_schemas::id::Attempt)> {
        let state = self.recorder.state();
        let mut open = state.unsettled(teardown);
        open.retain(|(job, _)| self.again || state.is_released(*job));
        open
    }

    /// Waits until what this driver has begun to publish is stored: only then a purge is whole.
    async fn wait_out(&mut self) -> Result<(), DriveError> {
        while let Some(done) = self.outbox.next().await {
            done?;
        }
        Ok(())
    }

    /// Takes the run's jobs out of every lane that they may be in; how many only waited there.
    async fn purge(&mut self, teardown: bool) -> Result<usize, DriveError> {
        let mut waited = 0;
        for (group, queue) in self.lanes(teardown) {
            // With workers are those that were delivered and not acknowledged yet, of any run.
            let delivered = self.transport.lane_delivered(&group, &queue).await?;
            let purged = self.transport.purge_lane(&group, &queue, self.run()).await?;
            waited += purged.saturating_sub(delivered);
        }
        Ok(usize::try_from(waited).unwrap_or(usize::MAX))
    }

    /// Jobs, of any run, that workers hold of the lanes that this run uses.
    async fn delivered(&mut self, teardown: bool) -> Result<u64, DriveError> {
        let mut held = 0;
        for (group, queue) in self.lanes(teardown) {
            held += self.transport.lane_delivered(&group, &queue).await?;
        }
        Ok(held)
    }

    /// The lanes that the run's jobs may be in.
    fn lanes(&self, teardown: bool) -> BTreeSet<(Group, Queue)> {
        let state = self.recorder.state();
        let steps = state.plan().steps.iter().enumerate().filter(|(at, _)| state.undoes(*at) == teardown);
        let children = state.children().iter().filter(|child| child.is_teardown() == teardown);
        let calls = steps.filter_map(|(_, step)| step.call()).chain(children.map(Child::call));
        calls.map(|call| (call.group.clone(), call.queue.clone())).collect()
    }

    /// Records an end for each attempt without one, and reads until all of them are folded.
    async fn record_ends(&mut self, cause: Cause, teardown: bool) -> Result<(), DriveError> {
        let mut recorded = BTreeSet::new();
        let deadline = Instant::now() + READ;
        loop {
            let open = self.open_attempts(teardown);
            if open.is_empty() {
                return Ok(());
            }
            // What the last of them have called is known only when that is read.
            let without: Vec<_> = open.into_iter().filter(|open| recorded.insert(*open)).collect();
            for chunk in without.chunks(256) {
                for at in chunk {
                    let (kind, failure) = ended_early(cause);
                    let ended = outcome(&self.recorder, &self.transport, *at, None, kind, failure);
                    self.outbox.record(&self.recorder, ended);
                }
                self.wait_out().await?;
            }
            // Each of them has an end in the stream now, a worker's or ours: which one counts is known
            // when it is read, not before.
            if !self.read_until(deadline).await? {
                return Err(DriveError::NoFacts);
            }
        }
    }

    /// Records that all before teardown has ended, and reads until that is folded.
    async fn record_settled(&mut self) -> Result<(), DriveError> {
        let settled = Settled { by: self.transport.member().clone() };
        let subject = FactSubject::Run { run: self.run(), fact: RunFact::Settled };
        let subject = self.transport.subjects().fact(&subject);
        self.transport.publish(Guarded::new(subject, encode(&settled))).await?;
        let deadline = Instant::now() + READ;
        while !self.recorder.state().is_settled() {
            if !self.read_until(deadline).await? {
                return Err(DriveError::NoFacts);
            }
        }
        Ok(())
    }

    /// Reads and folds what comes before the deadline, renewing the lease; false when that has passed.
    async fn read_until(&mut self, deadline: Instant) -> Result<bool, DriveError> {
        let slice = deadline.min(Instant::now() + Duration::from_secs(1));
        let reading = self.source.read(&mut self.buffer);
        match timeout_at(slice, reading).await {
            Ok(Ok(true)) => self.fold().await?,
            Ok(Ok(false)) => return Err(DriveError::NoFacts),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                if let Err(error) = self.lease.tend().await {
                    tracing::debug!(%error, "could not renew the lease");
                }
            }
        }
        Ok(Instant::now() < deadline)
    }
}
