//! A run that is ended early, by a cancel or its deadline.

use rfx_schemas::fact::Cause;
use rfx_schemas::plan::Phase;
use rfx_schemas::verdict::Verdict;

use super::RunState;
use super::frame::Status;

impl RunState {
    /// Why the run is being ended early, until its jobs are settled.
    pub fn ending(&self) -> Option<Cause> {
        self.ending.filter(|_| self.body_open())
    }

    /// Whether it is recorded that the jobs of a run that is ended early are settled.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// How often a cancel was asked for.
    pub fn asks(&self) -> u32 {
        self.asks
    }

    /// Whether anything but teardown has jobs without a verdict.
    fn body_open(&self) -> bool {
        self.all_steps().into_iter().any(|(id, local, step)| {
            let instance = self.instance(id, local);
            let composite = self.compiled[step].inner.is_some();
            !self.is_undo(id, step)
                && match instance.status {
                    Status::Pending => true,
                    // What is left of one that has begun are its own steps, which are looked at by themselves.
                    Status::Active => !composite || instance.cursor < instance.jobs.len(),
                    Status::Ended(..) => false,
                }
        })
    }

    /// What becomes of a job that has no verdict when the run is ended early, and why.
    pub(super) fn early_verdict(&self) -> (Verdict, &'static str) {
        match self.ending {
            Some(Cause::Deadline) => (Verdict::Lost, "the run's deadline passed"),
            Some(Cause::Asked) | None => (Verdict::Cancelled, "the run was cancelled"),
        }
    }

    /// Gives every job before teardown that has no verdict the one that the ending means: no attempt
    /// of them can have an outcome any more.
    pub(super) fn settle(&mut self) {
        if self.ending.is_none() {
            return;
        }
        let (verdict, reason) = self.early_verdict();
        // The innermost first: what is settled there settles what is around it.
        for (id, local, step) in self.all_steps() {
            if self.is_undo(id, step) {
                continue;
            }
            match self.instance(id, local).status {
                Status::Pending => self.skip(id, local, verdict, reason),
                Status::Active if self.compiled[step].inner.is_some() => {
                    self.settle_unopened(id, local, verdict)
                }
                Status::Active => self.settle_rest(id, local, verdict),
                Status::Ended(..) => {}
            }
        }
        self.advance();
    }

    /// Settles what is left of teardown, as a second cancel asks. Called when no attempt of it can
    /// have an outcome any more.
    pub fn abandon_teardown(&mut self) {
        for (id, local, step) in self.all_steps() {
            if self.is_undo(id, step) && self.instance(id, local).status == Status::Active {
                match self.compiled[step].inner.is_some() {
                    true => self.settle_unopened(id, local, Verdict::Cancelled),
                    false => self.settle_rest(id, local, Verdict::Cancelled),
                }
            }
        }
        self.advance();
    }

    /// The end of the run is recorded: whoever recorded it knows a verdict for all that is open here.
    pub(super) fn close_all(&mut self) {
        // A composite that closes gives its caller a turn, which may begin something: until nothing is left.
        self.asks = self.asks.max(2);
        self.ending.get_or_insert(Cause::Asked);
        self.settle();
        for (id, local, step) in self.all_steps() {
            match self.instance(id, local).status {
                Status::Pending if self.plan.steps[step].phase == Phase::Teardown => {
                    self.skip(id, local, Verdict::Cancelled, "teardown was skipped by a second cancel");
                }
                _ => {}
            }
        }
        self.abandon_teardown();
    }
}
