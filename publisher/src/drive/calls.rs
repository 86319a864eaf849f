//! What attempts call: published like the plan's jobs, and answered where their callers look.

use rfx_flow::ReleasedCall;
use rfx_report::Recorder;
use rfx_schemas::encoding::encode;
use rfx_schemas::fact::{Caller, Returned};
use rfx_schemas::job::{Job, JobMessage};
use rfx_schemas::plan::Phase;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::subject::{AttemptFact, FactSubject, JobSubject};
use rfx_transport::{Guarded, Transport};

use super::Driver;
use super::publish::{Outbox, deadline};

impl Driver {
    /// Publishes calls whose turn has come, and records what calls came to. The window does not bound
    /// them: callers are out already, and wait.
    pub(super) fn release_calls(&mut self) {
        let room = self.outbox.room();
        for call in self.recorder.state_mut().release_calls(Stamp::now(), room) {
            self.outbox.add_call(&self.recorder, call, self.again);
        }
        for (caller, returned) in self.recorder.state_mut().returns() {
            self.outbox.add_return(&self.recorder, caller, &returned);
        }
    }
}

impl Outbox {
    fn add_call(&mut self, recorder: &Recorder, released: ReleasedCall, again: bool) {
        let state = recorder.state();
        let child = state.child(released.job).expect("what was released is known");
        let (plan, call, run) = (state.plan(), child.call(), state.run());
        let phase = if child.is_teardown() { Phase::Teardown } else { plan.steps[child.root()].phase };
        let subject = JobSubject {
            group: call.group.clone(),
            queue: call.queue.clone(),
            function: call.uses.clone(),
            run,
            job: released.job,
            attempt: released.attempt,
        };
        let job = Job {
            job: released.job,
            attempt: released.attempt,
            key: released.key,
            item: None,
            index: None,
            input: released.input,
            released: Stamp::now(),
        };
        let message = JobMessage {
            run,
            flow: plan.flow.clone(),
            step: state.path(released.job.step as usize),
            phase,
            function: call.uses.clone(),
            version: call.version.clone(),
            expect: Vec::new(),
            until: Vec::new(),
            expect_failure: None,
            // Those of the caller's step are not its own.
            secrets: Vec::new(),
            scope: None,
            target: plan.target.clone(),
            isolation: plan.isolation,
            timeout: call.timeout,
            deadline: deadline(recorder, phase),
            trace: child.trace(),
            jobs: vec![job],
        };
        self.publish_job(subject, encode(&message), Vec::new(), again);
    }

    /// Begins to record what a call came to. Already there is as good: every driver says the same.
    fn add_return(&mut self, recorder: &Recorder, caller: Caller, returned: &Returned) {
        let run = recorder.state().run();
        let Caller { group, job, attempt, number } = caller;
        let fact = FactSubject::Attempt { run, group, job, attempt, fact: AttemptFact::Return(number) };
        let transport: Transport = self.transport.clone();
        let message = Guarded::new(transport.subjects().fact(&fact), encode(returned));
        self.begin(async move { transport.publish(message).await.map(drop) });
    }
}
