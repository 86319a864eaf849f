//! One attempt: find the function, give it its input, judge what it gave back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rfx_schemas::job::{Job, JobMessage};
use rfx_schemas::outcome::{Assertion, Failure, Outcome, kind};
use rfx_schemas::payload::{Json, Payload};
use rfx_schemas::rules::Isolation;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::subject::JobSubject;
use rfx_schemas::verdict::OutcomeKind;
use rfx_transport::TransportError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::calls::Caller;
use crate::desk::{Desk, Leavings};
use crate::executable::Ran;
use crate::expect::{self, Given};
use crate::native::{Calls, Context};
use crate::runner::frames::Call;
use crate::secrets::Secrets;
use crate::served::{Kind, Served};
use crate::site::Site;
use crate::text::shorten;

/// Longest message, traceback and diff that an outcome carries, in bytes.
const MESSAGE: usize = 4 * 1024;
const TRACEBACK: usize = 32 * 1024;
/// Most assertions that an outcome carries, and the longest text of one, in bytes: 400 KiB in all.
const ASSERTIONS: usize = 100;
const VALUE: usize = 1024;

/// How a function ended, before its outcome is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// How.
    pub kind: OutcomeKind,
    /// Its output, as JSON text.
    pub output: Option<Bytes>,
    /// What went wrong.
    pub error: Option<Failure>,
    /// Comparisons that were recorded.
    pub assertions: Vec<Assertion>,
    /// What it printed.
    pub tail: String,
    /// What it left besides.
    pub leavings: Leavings,
    /// How long the function took, if that is known.
    pub took: Option<Duration>,
}

impl Ending {
    /// An ending with nothing but its kind.
    pub fn of(kind: OutcomeKind) -> Self {
        Self {
            kind,
            output: None,
            error: None,
            assertions: Vec::new(),
            tail: String::new(),
            leavings: Leavings::default(),
            took: None,
        }
    }

    /// An ending with a failure.
    pub fn failed(kind: OutcomeKind, failure: Failure) -> Self {
        Self { error: Some(failure), ..Self::of(kind) }
    }

    fn lost(what: &str, message: impl Into<String>) -> Self {
        Self::failed(OutcomeKind::Lost, Failure::new(what, message))
    }
}

/// An attempt that is to be executed.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) site: &'a Arc<Site>,
    pub(crate) subject: &'a JobSubject,
    pub(crate) message: &'a JobMessage,
    pub(crate) job: &'a Job,
    pub(crate) deliveries: u64,
    pub(crate) caller: &'a Caller,
    pub(crate) cancel: &'a CancellationToken,
}

/// Executes one attempt. Whatever happens is an outcome; how long the function took comes with it.
pub(crate) async fn execute(attempt: Attempt<'_>) -> (Outcome, Duration) {
    let Attempt { site, message, job, .. } = attempt;
    let begun = Instant::now();
    let started = Stamp::now();
    // Kept to the end: the pool of this attempt stays open, also when another one takes its place.
    let served = site.find(&message.function, message.version.as_ref());
    let digest = served.as_ref().and_then(|s| s.digest.clone());
    let ending = match served {
        None => Ending::lost(kind::UNSERVED, site.why_not(&message.function, message.version.as_ref())),
        Some(_) if started > message.deadline => {
            Ending::lost(kind::DEADLINE, "the run's deadline passed while it waited")
        }
        Some(served) => run(attempt, &served).await,
    };
    let ended = Stamp::now();
    let took = ending.took.unwrap_or_else(|| begun.elapsed());
    let (output, ending) = match store(site, message, ending.output.clone()).await {
        Ok(output) => (output, ending),
        Err(error) => (None, Ending::lost(kind::BROKER, format!("the output could not be stored: {error}"))),
    };
    // Cut off by the run's deadline, not by its own timeout: that is nothing the test said.
    let timed_out = ending.error.as_ref().is_some_and(|e| e.kind == kind::TIMED_OUT);
    let ending = match timed_out && ended >= message.deadline {
        true => Ending::lost(kind::DEADLINE, "the run's deadline passed while it ran"),
        false => ending,
    };
    let outcome = Outcome {
        job: job.job,
        attempt: job.attempt,
        kind: ending.kind,
        key: job.key.clone(),
        output,
        input: (ending.kind != OutcomeKind::Passed).then(|| job.input.clone()),
        assertions: few(ending.assertions),
        error: ending.error.map(bounded),
        tail: ending.tail,
        released: job.released,
        started,
        ended,
        worker: site.member.clone(),
        group: site.group.clone(),
        deliveries: attempt.deliveries,
        digest,
        artifacts: ending.leavings.artifacts,
        state: ending.leavings.state,
    };
    (outcome, took)
}

async fn run(attempt: Attempt<'_>, served: &Served) -> Ending {
    let Attempt { site, message, job, .. } = attempt;
    let input = match site.transport.load(message.run, &job.input).await {
        Ok(json) => json,
        Err(error) => return unreadable(&error),
    };
    let secrets = match Secrets::resolve(&message.secrets, |name| std::env::var(name).ok()) {
        Ok(secrets) => secrets,
        Err(missing) => return *missing,
    };
    let ending = call(attempt, served, input.text().clone(), &secrets).await;
    let ending = match attempt.caller.fault() {
        Some(fault) => Ending { kind: OutcomeKind::Error, error: Some(fault), ..ending },
        None => ending,
    };
    let judged =
        ending.kind == OutcomeKind::Passed && !(message.expect.is_empty() && message.until.is_empty());
    let ending = if judged { Box::pin(judge(site, message, job, ending)).await } else { ending };
    // Last, since what is expected may read what is then taken out.
    secrets.redact(match message.expect_failure {
        Some(rule) => expect::failure(rule, ending),
        None => ending,
    })
}

/// Has the function executed by whoever can.
async fn call(attempt: Attempt<'_>, served: &Served, input: Bytes, secrets: &Secrets) -> Ending {
    let Attempt { site, subject, message, job, deliveries, caller, cancel } = attempt;
    let last = Instant::now() + message.deadline.since(Stamp::now());
    let deadline = last.min(Instant::now() + message.timeout);
    let trace = message.trace.attempt(message.run, job.job, job.attempt, deliveries);
    let call = |isolation| Call {
        kind: "call",
        function: message.function.as_str(),
        version: message.version.as_ref().map(|v| v.as_str()),
        run: message.run.to_string(),
        flow: &message.flow,
        step: &message.step,
        job: job.job.to_string(),
        attempt: job.attempt.get(),
        group: subject.group.as_str(),
        queue: subject.queue.as_str(),
        isolation,
        deadline: seconds(Stamp::now().after(deadline - Instant::now())),
        target: &message.target,
        secrets: secrets.reveal(),
        traceparent: trace.to_string(),
        key: job.key.as_deref(),
    };
    let desk = || Arc::new(Desk::new(site, message, job.job, trace, secrets.clone(), caller));
    // Boxed: they are many times the size of a native call, and every attempt moves about.
    match &served.kind {
        Kind::Native(native) => {
            let calls = Calls::of(caller);
            let context = Context::new(message, job, trace, secrets.clone(), deadline, cancel.clone(), calls);
            native.run(context, input).await
        }
        Kind::Pool { pool, isolation } => {
            let call = call(pool.pool().isolation(message.isolation.unwrap_or(*isolation)));
            let (desk, limits) = (desk(), (message.timeout, last));
            let calling = pool.pool().call(&call, input, limits, cancel.clone(), Arc::clone(&desk));
            let ending = Box::pin(calling).await;
            Ending { leavings: desk.leave(), ..ending }
        }
        Kind::Executable { program, .. } => {
            let ran = Box::pin(program.call(&call(Isolation::Fresh), &input, deadline, cancel)).await;
            Box::pin(kept(ran, &desk())).await
        }
    }
}

/// What a program left, with its files where they outlive its folder.
async fn kept(ran: Ran, desk: &Desk) -> Ending {
    let Ran { mut ending, artifacts, folder } = ran;
    for artifact in artifacts {
        if let Err(why) = desk.keep_file(&artifact).await {
            ending.tail.push_str(&format!("\nrfx: {why}\n"));
        }
    }
    // Aside: what a program leaves may be many files. It is gone even if this is never run.
    drop(tokio::task::spawn_blocking(move || drop(folder)));
    Ending { leavings: desk.leave(), ..ending }
}

/// A time as Python has it: seconds since 1970.
pub(crate) fn seconds(stamp: Stamp) -> f64 {
    Duration::from_micros(u64::try_from(stamp.as_micros()).unwrap_or(0)).as_secs_f64()
}

/// Reads what the step's expectations read, and has it judge what passed.
async fn judge(site: &Site, message: &JobMessage, job: &Job, ending: Ending) -> Ending {
    let value = |payload: Option<Payload>| async move {
        match payload {
            None => Ok(None),
            Some(payload) => site.transport.load(message.run, &payload).await.map(|json| json.parse().ok()),
        }
    };
    let (scope, item) = match tokio::try_join!(value(message.scope.clone()), value(job.item.clone())) {
        Ok(given) => given,
        Err(error) => return unreadable(&error),
    };
    let given =
        Given { scope: scope.as_ref(), item: item.as_ref(), index: job.index.unwrap_or(job.job.item) };
    expect::by_step(&message.until, &message.expect, &given, ending)
}

async fn store(
    site: &Site,
    message: &JobMessage,
    output: Option<Bytes>,
) -> Result<Option<Payload>, TransportError> {
    match output {
        None => Ok(None),
        Some(text) => site.transport.store(message.run, Json::from_text(text)).await.map(Some),
    }
}

fn unreadable(error: &TransportError) -> Ending {
    Ending::lost(kind::MISSING, format!("a value of the job cannot be read: {error}"))
}

/// At most [`ASSERTIONS`] of them, those that did not hold first, each within bounds: an
/// outcome must fit into a message whatever a function records.
fn few(mut assertions: Vec<Assertion>) -> Vec<Assertion> {
    if assertions.len() > ASSERTIONS {
        let left_out = assertions.len() - ASSERTIONS;
        // A stable sort: both kinds stay in the order in which they were recorded.
        assertions.sort_by_key(|a| a.passed);
        assertions.truncate(ASSERTIONS);
        let note = format!("{left_out} more assertions were left out");
        assertions.push(Assertion { label: note, passed: true, expected: None, seen: None, message: None });
    }
    let short = |text: Option<String>| text.map(|t| shorten(&t, VALUE));
    let bound = |a: Assertion| Assertion {
        label: shorten(&a.label, VALUE),
        expected: short(a.expected),
        seen: short(a.seen),
        message: short(a.message),
        ..a
    };
    assertions.into_iter().map(bound).collect()
}

fn bounded(failure: Failure) -> Failure {
    Failure {
        kind: shorten(&failure.kind, 200),
        message: shorten(&failure.message, MESSAGE),
        traceback: failure.traceback.map(|t| shorten(&t, TRACEBACK)),
        diff: failure.diff.map(|d| shorten(&d, TRACEBACK)),
    }
}
