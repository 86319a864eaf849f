//! A run that is ended early, by a cancel or its deadline.

use rfx_schemas::fact::Cause;
use rfx_schemas::id::{Attempt, JobId};
use rfx_schemas::plan::Phase;
use rfx_schemas::verdict::Verdict;

use super::frame::Status;
use super::job::Standing;
use super::{RunState, job_id};

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
        let open = |(id, local, step): (u32, usize, usize)| {
            let instance = self.instance(id, local);
            let composite = self.compiled[step].inner.is_some();
            !self.is_undo(id, step)
                && match instance.status {
                    Status::Pending => true,
                    // What is left of one that has begun are its own steps, which are looked at by themselves.
                    Status::Active => !composite || instance.cursor < instance.jobs.len(),
                    Status::Ended(..) => false,
                }
        };
        self.has_open_calls(false) || self.all_steps().into_iter().any(open)
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
        self.settle_calls(false, verdict);
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
        self.settle_calls(true, Verdict::Cancelled);
        self.abandon_undos("teardown was skipped by a second cancel");
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
        if self.asks < 2 {
            self.abandon_undos("the run had ended");
        }
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

    /// Gives every job of a step that has none this verdict.
    pub(super) fn settle_rest(&mut self, id: u32, local: usize, verdict: Verdict) {
        let step = self.step_of(id, local);
        self.instance_mut(id, local).repeats_until = None;
        let items = self.instance(id, local).jobs.clone();
        for item in items {
            let standing = self.steps[step].jobs[item as usize].standing;
            if !matches!(standing, Standing::Done(_)) {
                self.settle_job(id, local, item as usize, verdict, standing == Standing::Released);
            }
        }
    }

    /// Gives every execution of a composite that has not begun this verdict.
    pub(super) fn settle_unopened(&mut self, id: u32, local: usize, verdict: Verdict) {
        let step = self.step_of(id, local);
        let instance = self.instance_mut(id, local);
        let items: Vec<_> = instance.jobs[instance.cursor..].to_vec();
        instance.cursor = instance.jobs.len();
        for item in items {
            self.steps[step].lone.add(verdict);
            self.settle_job(id, local, item as usize, verdict, false);
        }
    }

    /// Jobs that were published, or may have been, and have no outcome: those of teardown, or all others.
    pub fn unsettled(&self, teardown: bool) -> Vec<(JobId, Attempt)> {
        let mut jobs = Vec::new();
        for (id, local, step) in self.all_steps() {
            let instance = self.instance(id, local);
            let call = self.compiled[step].inner.is_none();
            if instance.status != Status::Active || !call || self.is_undo(id, step) != teardown {
                continue;
            }
            for item in &instance.jobs {
                let job = &self.steps[step].jobs[*item as usize];
                if !matches!(job.standing, Standing::Done(_)) {
                    jobs.push((job_id(step, *item as usize), job.attempt));
                }
            }
        }
        jobs.extend(self.unsettled_calls(teardown));
        jobs
    }
}
