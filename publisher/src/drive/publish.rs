//! Publishing what the fold releases, many at once.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use rfx_flow::{Refusal, Release, ReleasedJob};
use rfx_report::Recorder;
use rfx_schemas::encoding::encode;
use rfx_schemas::fact::Ended;
use rfx_schemas::id::{Attempt, JobId, RunId};
use rfx_schemas::job::{Job, JobMessage};
use rfx_schemas::name::Group;
use rfx_schemas::outcome::{Failure, Outcome, kind};
use rfx_schemas::payload::{Json, Payload};
use rfx_schemas::plan::{Call, Phase};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::subject::{AttemptFact, FactSubject, JobSubject};
use rfx_schemas::verdict::OutcomeKind;
use rfx_transport::{Guarded, Transport, TransportError};

type Publishing = Pin<Box<dyn Future<Output = Result<(), TransportError>> + Send>>;

/// What steps share, kept at once.
const SHARED: usize = 1_024;

/// Publishes under way at once. More than the connection's own limit only wait for it.
const AT_ONCE: usize = 512;

/// What a driver has on its way to the server.
pub(super) struct Outbox {
    pub(super) transport: Transport,
    under_way: FuturesUnordered<Publishing>,
    /// What the jobs of a step share, made once: by step, and by execution of its flow where that
    /// makes a difference.
    shared: HashMap<(u32, u32), JobMessage>,
}

impl Outbox {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, under_way: FuturesUnordered::new(), shared: HashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// How many more may be begun.
    pub(super) fn room(&self) -> usize {
        AT_ONCE.saturating_sub(self.under_way.len())
    }

    /// Waits until one is done, and takes along all that are; none when nothing is under way.
    pub(super) async fn next(&mut self) -> Option<Result<(), TransportError>> {
        let mut done = self.under_way.next().await?;
        while done.is_ok()
            && let Some(Some(more)) = self.under_way.next().now_or_never()
        {
            done = more;
        }
        Some(done)
    }

    /// Makes what the jobs of a step share, unless it is made.
    pub(super) async fn prepare(
        &mut self,
        recorder: &Recorder,
        release: &Release,
    ) -> Result<(), TransportError> {
        let Release::Publish(job) = release else { return Ok(()) };
        let key = shared_key(recorder, job);
        if !self.shared.contains_key(&key) {
            let shared = self.share(recorder, job).await?;
            // Executions come and go: what is left of those that ended must not pile up.
            if self.shared.len() >= SHARED {
                self.shared.clear();
            }
            self.shared.insert(key, shared);
        }
        Ok(())
    }

    /// Begins to publish, or to record, what was released and prepared.
    pub(super) fn add(&mut self, recorder: &Recorder, release: Release, again: bool) {
        match release {
            Release::Publish(job) => self.add_job(recorder, job, again),
            Release::Refuse(Refusal { job, attempt, key, failure }) => {
                let outcome =
                    outcome(recorder, &self.transport, (job, attempt), key, OutcomeKind::Error, failure);
                self.record(recorder, outcome);
            }
        }
    }

    fn add_job(&mut self, recorder: &Recorder, released: ReleasedJob, again: bool) {
        let step_no = released.job.step as usize;
        let shared = self.shared.get(&shared_key(recorder, &released)).expect("it is prepared");
        let call = call(recorder, step_no);
        let subject = JobSubject {
            group: call.group.clone(),
            queue: call.queue.clone(),
            function: call.uses.clone(),
            run: shared.run,
            job: released.job,
            attempt: released.attempt,
        };
        let (input, big) = Payload::of(released.input);
        let (item, big_item) = released.item.map_or((None, None), |item| {
            let (payload, big) = Payload::of(item);
            (Some(payload), big)
        });
        let job = Job {
            job: released.job,
            attempt: released.attempt,
            key: released.key,
            item,
            index: Some(released.index).filter(|index| *index != released.job.item),
            input,
            released: Stamp::now(),
        };
        let payload = encode(&JobMessage { jobs: vec![job], ..shared.clone() });
        self.publish_job(subject, payload, big.into_iter().chain(big_item).collect(), again);
    }

    /// Begins something whose end [`Outbox::next`] waits for.
    pub(super) fn begin(&mut self, doing: impl Future<Output = Result<(), TransportError>> + Send + 'static) {
        self.under_way.push(Box::pin(doing));
    }

    /// Begins to publish an attempt, behind the big values that it refers to.
    pub(super) fn publish_job(&mut self, subject: JobSubject, payload: Bytes, big: Vec<Bytes>, again: bool) {
        let transport = self.transport.clone();
        self.begin(async move {
            for bytes in big {
                transport.put_blob(subject.run, &bytes).await?;
            }
            let place = transport.subjects().job(&subject);
            match transport.publish(Guarded { again, ..Guarded::new(place, payload) }).await {
                // It will not fare better with the next driver: the run goes on without it.
                Err(TransportError::Refused { reason, .. }) => {
                    let failure = Failure::new(kind::BROKER, format!("the server refused the job: {reason}"));
                    let at = (subject.job, subject.attempt);
                    let lost = unexecuted(&transport, subject.group, at, None, OutcomeKind::Lost, failure);
                    transport.publish(ended(&transport, subject.run, lost)).await.map(drop)
                }
                published => published.map(drop),
            }
        });
    }

    /// What all jobs of a step share.
    async fn share(&mut self, recorder: &Recorder, job: &ReleasedJob) -> Result<JobMessage, TransportError> {
        let step_no = job.job.step as usize;
        let (state, submitted) = (recorder.state(), recorder.submitted());
        let (plan, run) = (state.plan(), state.run());
        let (planned, call) = (&plan.steps[step_no], call(recorder, step_no));
        let phase = if state.undoes(step_no) { Phase::Teardown } else { planned.phase };
        let scope = match state.expect_scope(step_no, job.frame) {
            Some(scope) => Some(self.transport.store(run, Json::of(&scope)).await?),
            None => None,
        };
        Ok(JobMessage {
            run,
            flow: plan.flow.clone(),
            step: plan.path(step_no),
            phase,
            function: call.uses.clone(),
            version: call.version.clone(),
            expect: planned.expect.clone(),
            until: call.until.as_ref().map(|until| until.expect.clone()).unwrap_or_default(),
            expect_failure: call.expect_failure,
            secrets: call.secrets.clone(),
            scope,
            target: plan.target.clone(),
            isolation: plan.isolation,
            timeout: call.timeout,
            deadline: deadline(recorder, phase),
            trace: submitted.trace.step(run, job.job.step),
            jobs: Vec::new(),
        })
    }

    /// Begins to record an outcome that no worker will.
    pub(super) fn record(&mut self, recorder: &Recorder, outcome: Outcome) {
        let message = ended(&self.transport, recorder.state().run(), outcome);
        let transport = self.transport.clone();
        // Already there is as good: then the worker was first.
        self.begin(async move { transport.publish(message).await.map(drop) });
    }
}

/// When an attempt must have ended.
pub(super) fn deadline(recorder: &Recorder, phase: Phase) -> Stamp {
    let deadline = recorder.state().plan().deadline;
    recorder.at().after(match phase {
        Phase::Teardown => deadline + super::TEARDOWN_TIME,
        Phase::Setup | Phase::Main | Phase::OnFailure => deadline,
    })
}

/// What jobs with the same key share all of.
fn shared_key(recorder: &Recorder, job: &ReleasedJob) -> (u32, u32) {
    let differs = recorder.state().expects_of_frame(job.job.step as usize);
    (job.job.step, if differs { job.frame } else { 0 })
}

/// What a step calls. Only calls are released: composites unfold into the steps inside.
fn call(recorder: &Recorder, step_no: usize) -> &Call {
    recorder.state().plan().steps[step_no].call().expect("released jobs are calls")
}

/// The message that records an outcome.
fn ended(transport: &Transport, run: RunId, outcome: Outcome) -> Guarded {
    let fact = FactSubject::Attempt {
        run,
        group: outcome.group.clone(),
        job: outcome.job,
        attempt: outcome.attempt,
        fact: AttemptFact::Ended,
    };
    Guarded::new(transport.subjects().fact(&fact), encode(&Ended { outcomes: vec![outcome] }))
}

/// An outcome that the driver gives, since no worker will.
pub(super) fn outcome(
    recorder: &Recorder,
    transport: &Transport,
    at: (JobId, Attempt),
    key: Option<String>,
    kind: OutcomeKind,
    failure: Failure,
) -> Outcome {
    let call = recorder.state().call_of(at.0).expect("only calls of functions have attempts");
    let group = call.group.clone();
    unexecuted(transport, group, at, key, kind, failure)
}

fn unexecuted(
    transport: &Transport,
    group: Group,
    (job, attempt): (JobId, Attempt),
    key: Option<String>,
    kind: OutcomeKind,
    failure: Failure,
) -> Outcome {
    let now = Stamp::now();
    Outcome {
        job,
        attempt,
        kind,
        key,
        output: None,
        input: None,
        assertions: Vec::new(),
        error: Some(failure),
        tail: String::new(),
        released: now,
        started: now,
        ended: now,
        worker: transport.member().clone(),
        group,
        deliveries: 0,
        digest: None,
        artifacts: Vec::new(),
        state: Vec::new(),
    }
}

/// The failure for attempts that a cancel or the deadline ended.
pub(super) fn ended_early(cause: rfx_schemas::fact::Cause) -> (OutcomeKind, Failure) {
    match cause {
        rfx_schemas::fact::Cause::Asked => {
            (OutcomeKind::Cancelled, Failure::new(kind::CANCELLED, "the run was cancelled"))
        }
        rfx_schemas::fact::Cause::Deadline => {
            (OutcomeKind::Lost, Failure::new(kind::DEADLINE, "the run's deadline passed"))
        }
    }
}
