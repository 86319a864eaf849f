//! From a delivery to its ack. Invariant: record before ack, always; so a lost ack costs a look,
//! and a lost record a second execution, but never an outcome.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rfx_config::telemetry::AttemptSpan;
use rfx_schemas::encoding::{decode, encode};
use rfx_schemas::fact::{Ended, Started};
use rfx_schemas::id::RunId;
use rfx_schemas::job::{Job, JobMessage};
use rfx_schemas::outcome::{Failure, Outcome, kind};
use rfx_schemas::plan::Phase;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::subject::{AttemptFact, FactSubject, JobSubject};
use rfx_schemas::verdict::OutcomeKind;
use rfx_transport::{Guarded, TransportError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::attempt::{Attempt, execute};
use crate::calls::Caller;
use crate::lane::Held;
use crate::site::Site;
use crate::slots::Slot;

/// Executes what was delivered, records the outcome, then acknowledges; with heartbeats on the way. Gives
/// how long the functions took.
pub(crate) async fn attempt(site: &Arc<Site>, held: Held, slot: &Arc<Slot>) -> Duration {
    let Held { delivery, subject } = held;
    let span =
        tracing::debug_span!("attempt", run = %subject.run, job = %subject.job, attempt = %subject.attempt);
    let (deliveries, payload) = (delivery.delivered, delivery.payload().clone());
    let work = async {
        let (ended, took) = match decode::<JobMessage>(&payload) {
            Ok(message) => outcomes(site, &subject, &message, deliveries, slot).await,
            Err(error) => (unserved(site, &subject, deliveries, &error.to_string()), Duration::ZERO),
        };
        slot.ended();
        let recorded = match record(site, &subject, AttemptFact::Ended, encode(&ended)).await {
            // It will not fare better the next time: what is left out must not cost the verdict.
            Err(TransportError::Refused { reason, .. }) => {
                Box::pin(record(
                    site,
                    &subject,
                    AttemptFact::Ended,
                    encode(&bare(subject.run, ended, &reason)),
                ))
                .await
            }
            recorded => recorded,
        };
        (recorded, took)
    }
    .instrument(span);
    tokio::pin!(work);
    let (recorded, took) = loop {
        tokio::select! {
            biased;
            ended = &mut work => break ended,
            () = sleep(site.ack_wait / 3) => delivery.progress().await,
        }
    };
    match recorded {
        Ok(()) if site.draining.load(Ordering::Acquire) => {
            if !delivery.ack_checked().await {
                tracing::warn!(run = %subject.run, job = %subject.job, "an ack was lost; the look will find the outcome");
            }
        }
        Ok(()) => delivery.ack().await,
        // Not acknowledged: the broker hands it over again, and the look decides.
        Err(error) => {
            tracing::error!(%error, run = %subject.run, job = %subject.job, "could not record an outcome")
        }
    }
    took
}

async fn outcomes(
    site: &Arc<Site>,
    subject: &JobSubject,
    message: &JobMessage,
    deliveries: u64,
    slot: &Arc<Slot>,
) -> (Ended, Duration) {
    if deliveries > site.max_deliveries && starts(site, subject, deliveries).await >= site.max_deliveries {
        let failure = poison(site, deliveries);
        let ended = Ended {
            outcomes: message.jobs.iter().map(|job| lost(site, job, deliveries, failure.clone())).collect(),
        };
        return (ended, Duration::ZERO);
    }
    if deliveries > 1 {
        let started = Started { worker: site.member.clone(), started: Stamp::now() };
        let recording = record(site, subject, AttemptFact::Started(deliveries), encode(&started));
        // Boxed, as all that is rare here: every attempt's future has room for it otherwise.
        if let Err(error) = Box::pin(recording).await {
            tracing::debug!(%error, "could not record a start");
        }
    }
    let place = site.running.enter(message.run);
    // Teardown runs on when its run is cancelled: it must have its verdict.
    let token = if message.phase == Phase::Teardown { CancellationToken::new() } else { place.token.clone() };
    let mut outcomes = Vec::with_capacity(message.jobs.len());
    let mut took = Duration::ZERO;
    for job in &message.jobs {
        let caller = Caller::new(site, subject, (message, job), deliveries, slot);
        let (caller, cancel) = (&caller, &token);
        let attempt = Attempt { site, subject, message, job, deliveries, caller, cancel };
        let (outcome, own) = execute(attempt).await;
        took += own;
        trace(site, message, &outcome);
        outcomes.push(outcome);
    }
    (Ended { outcomes }, took)
}

/// How often the attempt was started. Not every delivery is a start: a worker that drains hands back
/// what it had not begun. The first start is not recorded, the others are.
async fn starts(site: &Site, subject: &JobSubject, deliveries: u64) -> u64 {
    let looks = (2..=deliveries.min(64)).map(|n| async move {
        let fact = fact(subject, AttemptFact::Started(n));
        // What cannot be read counts as a start: poison must end.
        site.transport.has_fact(&fact).await.unwrap_or(true)
    });
    let found = futures_util::future::join_all(looks).await;
    1 + found.into_iter().filter(|started| *started).count() as u64
}

fn fact(subject: &JobSubject, fact: AttemptFact) -> FactSubject {
    FactSubject::Attempt {
        run: subject.run,
        group: subject.group.clone(),
        job: subject.job,
        attempt: subject.attempt,
        fact,
    }
}

fn trace(site: &Site, message: &JobMessage, outcome: &Outcome) {
    if outcome.kind != OutcomeKind::Passed {
        let error = outcome.error.as_ref().map(|e| e.message.as_str());
        let (run, job, attempt) = (message.run, outcome.job, outcome.attempt);
        tracing::info!(%run, %job, %attempt, step = message.step, outcome = %outcome.kind, error, "attempt ended");
    }
    if !site.spans.is_enabled() {
        return;
    }
    site.spans.record(span(message.run, message, outcome));
}

fn span(run: RunId, message: &JobMessage, outcome: &Outcome) -> AttemptSpan {
    let trace = message.trace.attempt(run, outcome.job, outcome.attempt, outcome.deliveries);
    let mut attributes = vec![
        ("rfx.run.id".into(), run.to_string()),
        ("rfx.flow".into(), message.flow.clone()),
        ("rfx.step".into(), message.step.clone()),
        ("rfx.job.id".into(), outcome.job.to_string()),
        ("rfx.attempt".into(), outcome.attempt.to_string()),
        ("rfx.function".into(), message.function.to_string()),
        ("rfx.group".into(), outcome.group.to_string()),
        ("rfx.worker".into(), outcome.worker.to_string()),
        ("rfx.outcome".into(), outcome.kind.to_string()),
        ("messaging.system".into(), "nats".to_owned()),
    ];
    attributes.extend(outcome.key.clone().map(|key| ("rfx.job.key".into(), key)));
    attributes.extend(outcome.error.as_ref().map(|e| ("error.type".into(), e.kind.clone())));
    AttemptSpan {
        trace,
        parent: message.trace.span,
        name: message.function.to_string(),
        started: outcome.started,
        ended: outcome.ended,
        ok: matches!(outcome.kind, OutcomeKind::Passed | OutcomeKind::Skipped),
        message: outcome.error.as_ref().map(|e| e.message.clone()),
        attributes,
        links: Vec::new(),
    }
}

async fn record(
    site: &Site,
    subject: &JobSubject,
    fact: AttemptFact,
    body: bytes::Bytes,
) -> Result<(), TransportError> {
    let fact = self::fact(subject, fact);
    // Already there is as good: the first outcome counts, whoever recorded it.
    site.transport.publish(Guarded::new(site.transport.subjects().fact(&fact), body)).await.map(drop)
}

/// The same verdicts without what makes them too big to be stored.
fn bare(run: RunId, mut ended: Ended, reason: &str) -> Ended {
    for outcome in &mut ended.outcomes {
        tracing::warn!(%run, job = %outcome.job, reason, "an outcome is recorded without its details");
        outcome.assertions = Vec::new();
        outcome.input = None;
        outcome.tail = format!("left out, since the server refused the outcome: {reason}");
        if outcome.kind == OutcomeKind::Passed && outcome.output.is_some() {
            outcome.kind = OutcomeKind::Error;
            outcome.error =
                Some(Failure::new("OutputError", format!("the output could not be stored: {reason}")));
        }
        outcome.output = None;
    }
    ended
}

fn poison(site: &Site, deliveries: u64) -> Failure {
    let message = format!(
        "it was handed over {deliveries} times and never ended (worker.max_deliveries is {}): it ends the workers that take it",
        site.max_deliveries
    );
    Failure::new(kind::POISON, message)
}

fn lost(site: &Site, job: &Job, deliveries: u64, failure: Failure) -> Outcome {
    let now = Stamp::now();
    Outcome {
        job: job.job,
        attempt: job.attempt,
        kind: OutcomeKind::Lost,
        key: job.key.clone(),
        output: None,
        input: Some(job.input.clone()),
        assertions: Vec::new(),
        error: Some(failure),
        tail: String::new(),
        released: job.released,
        started: now,
        ended: now,
        worker: site.member.clone(),
        group: site.group.clone(),
        deliveries,
        digest: None,
        artifacts: Vec::new(),
        state: Vec::new(),
    }
}

/// For a message that this rfx cannot read: only its subject says what it is about.
fn unserved(site: &Site, subject: &JobSubject, deliveries: u64, why: &str) -> Ended {
    let job = Job {
        job: subject.job,
        attempt: subject.attempt,
        key: None,
        item: None,
        index: None,
        input: rfx_schemas::payload::Payload::null(),
        released: Stamp::now(),
    };
    let mut outcome = lost(site, &job, deliveries, Failure::new(kind::UNSERVED, why));
    outcome.input = None;
    Ended { outcomes: vec![outcome] }
}
