//! What an attempt asks of its run: to call another function and wait for what it comes to, and to keep
//! in mind what undoes what it is about to do. Both are facts under the attempt's own subject; the
//! driver does the rest, and answers there.
//!
//! Where it runs is decided here, once, so that the fold of the facts stays pure. An attempt that is
//! executed again finds what it has asked for, and must ask for the same.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rfx_schemas::encoding::encode;
use rfx_schemas::fact::{Called, Returned};
use rfx_schemas::job::{Job, JobMessage};
use rfx_schemas::name::{Function, Group, Queue, Version};
use rfx_schemas::outcome::{Failure, kind};
use rfx_schemas::payload::{INLINE_LIMIT, Json, Payload, hex};
use rfx_schemas::subject::{AttemptFact, FactSubject, JobSubject, RunFact};
use rfx_schemas::trace::TraceContext;
use rfx_schemas::verdict::Verdict;
use rfx_transport::{Guarded, Published, TransportError};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use crate::secrets::Secrets;
use crate::site::Site;
use crate::slots::{Crowded, Slot};

/// First and longest wait between two looks for what a call came to.
const SOON: Duration = Duration::from_millis(5);
const OFTEN: Duration = Duration::from_millis(100);
/// How often whoever waits looks whether its attempt has been ended.
const ENDED: Duration = Duration::from_secs(1);
/// How long a fact that is known to be there is looked for: replicas lag.
const LAG: Duration = Duration::from_secs(10);
/// Inputs of undos above this many bytes travel as a blob: drivers keep them until teardown.
const KEPT: usize = 4 * 1024;

/// What is to be called, as the function says.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The function.
    pub(crate) function: Function,
    /// Its version; else the one that this worker serves, if it runs here.
    pub(crate) version: Option<Version>,
    /// Where; else here.
    pub(crate) group: Option<Group>,
    /// In which lane; else the function's own.
    pub(crate) queue: Option<Queue>,
    /// Longest time that it may run; else the caller's.
    pub(crate) timeout: Option<Duration>,
    /// JSON text.
    pub(crate) input: Bytes,
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// Its verdict.
    pub(crate) verdict: Verdict,
    /// What went wrong.
    pub(crate) error: Option<Failure>,
    /// What it gave back, as JSON text.
    pub(crate) output: Option<Bytes>,
}

/// Why nothing was called.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The attempt was executed before, and asked for something else.
    #[error(
        "{what} of this attempt was {before} when it was executed before, and is {now} with this input: what a \
         function calls must follow from its input alone, since it may be executed again"
    )]
    Nondeterministic { what: String, before: String, now: String },
    /// The input holds a secret.
    #[error(
        "the input of {function} holds the secret {secret}, and secrets are not stored: let {function} name it"
    )]
    Secret { function: Function, secret: String },
    /// The input is no JSON.
    #[error("the input is not JSON")]
    Input(#[source] serde_json::Error),
    /// Too many wait.
    #[error(transparent)]
    Crowded(#[from] Crowded),
    /// Nobody asks any more.
    #[error("the attempt has been ended: its run is over, or somebody else recorded its outcome")]
    Ended,
    /// NATS is not as needed.
    #[error("the call could not be recorded or answered")]
    Transport(#[from] TransportError),
}

impl CallError {
    /// Its kind, as failures have one.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Nondeterministic { .. } => kind::NONDETERMINISTIC,
            Self::Secret { .. } => kind::SECRET,
            Self::Input(_) => "InputError",
            Self::Crowded(_) => kind::CALL,
            Self::Ended => kind::CANCELLED,
            Self::Transport(_) => kind::BROKER,
        }
    }
}

/// An attempt, as whoever calls and undoes.
#[derive(Clone)]
pub(crate) struct Caller(Arc<Inner>);

struct Inner {
    site: Arc<Site>,
    subject: JobSubject,
    timeout: Duration,
    trace: TraceContext,
    slot: Arc<Slot>,
    /// What makes the attempt an error, whatever its function makes of it.
    fault: Mutex<Option<Failure>>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Caller").field(&self.0.subject).finish()
    }
}

impl Caller {
    /// The caller that an attempt is.
    pub(crate) fn new(
        site: &Arc<Site>,
        subject: &JobSubject,
        (message, job): (&JobMessage, &Job),
        deliveries: u64,
        slot: &Arc<Slot>,
    ) -> Self {
        Self(Arc::new(Inner {
            site: Arc::clone(site),
            subject: JobSubject { job: job.job, attempt: job.attempt, ..subject.clone() },
            timeout: message.timeout,
            trace: message.trace.attempt(message.run, job.job, job.attempt, deliveries),
            slot: Arc::clone(slot),
            fault: Mutex::default(),
        }))
    }

    /// Calls a function, the `n`-th time in this attempt, and waits for its verdict, without a slot.
    pub(crate) async fn call(
        &self,
        n: u32,
        request: Request,
        secrets: &Secrets,
    ) -> Result<Answer, CallError> {
        let called = self.called(request, secrets, INLINE_LIMIT).await?;
        let fact = AttemptFact::Call(n);
        let asking = async {
            self.record(fact, &called).await?;
            self.answer(n).await
        };
        let returned = Box::pin(self.0.slot.without(asking)).await??;
        let output = match &returned.output {
            Some(output) => {
                Some(self.0.site.transport.load(self.0.subject.run, output).await?.text().clone())
            }
            None => None,
        };
        Ok(Answer { verdict: returned.verdict, error: returned.error, output })
    }

    /// Records what undoes what the function is about to do, the `n`-th such thing in this attempt.
    pub(crate) async fn undo(&self, n: u32, request: Request, secrets: &Secrets) -> Result<(), CallError> {
        let called = self.called(request, secrets, KEPT).await?;
        self.record(AttemptFact::Undo(n), &called).await?;
        // What is recorded behind the end of the run is not undone any more: so nothing may be done.
        match self.is_over().await? {
            true => Err(CallError::Ended),
            false => Ok(()),
        }
    }

    /// What makes the attempt an error, whatever its function made of it.
    pub(crate) fn fault(&self) -> Option<Failure> {
        self.0.fault.lock().expect("no panic holds it").clone()
    }

    async fn called(&self, request: Request, secrets: &Secrets, inline: usize) -> Result<Called, CallError> {
        let Inner { site, subject, timeout, trace, .. } = &*self.0;
        if let Some(secret) = secrets.found_in(&request.input) {
            return Err(CallError::Secret { function: request.function, secret: secret.to_owned() });
        }
        // Keys in one order: the same input in another one is the same call.
        let input: serde_json::Value = serde_json::from_slice(&request.input).map_err(CallError::Input)?;
        let input = Json::of(&input);
        let digest = digest(&request.function, request.version.as_ref(), input.text());
        let input = match input.text().len() > inline {
            true => Payload::Blob(site.transport.put_blob(subject.run, input.text()).await?),
            false => Payload::Inline(input),
        };
        let here = request.group.as_ref().is_none_or(|group| *group == site.group);
        let served = site.find(&request.function, request.version.as_ref()).filter(|_| here);
        let queue = request.queue.or_else(|| served.as_ref().map(|served| served.queue.clone()));
        Ok(Called {
            version: request.version.or_else(|| served.map(|served| served.version.clone())),
            group: request.group.unwrap_or_else(|| site.group.clone()),
            queue: queue.unwrap_or_else(Queue::main),
            timeout: request.timeout.unwrap_or(*timeout),
            function: request.function,
            input,
            digest,
            limited: site.is_limited(&subject.queue).await,
            trace: *trace,
        })
    }

    fn fact(&self, fact: AttemptFact) -> FactSubject {
        let JobSubject { run, group, job, attempt, .. } = &self.0.subject;
        FactSubject::Attempt { run: *run, group: group.clone(), job: *job, attempt: *attempt, fact }
    }

    /// Records what is asked for; one that is there already must be the same.
    async fn record(&self, fact: AttemptFact, called: &Called) -> Result<(), CallError> {
        let transport = &self.0.site.transport;
        let subject = self.fact(fact);
        let message = Guarded::new(transport.subjects().fact(&subject), encode(called));
        if let Published::Stored(_) = transport.publish(message).await? {
            return Ok(());
        }
        let before: Called = self.find(&subject).await?;
        if before.digest == called.digest {
            return Ok(());
        }
        let named = |called: &Called| {
            let version = called.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
            format!("{}{version} (input {})", called.function, &called.digest[..called.digest.len().min(12)])
        };
        let error = CallError::Nondeterministic {
            what: fact.to_string(),
            before: named(&before),
            now: named(called),
        };
        let failure = Failure::new(error.kind(), error.to_string());
        self.0.fault.lock().expect("no panic holds it").get_or_insert(failure);
        Err(error)
    }

    /// Reads a fact that is there; the replica that is asked may not have it yet.
    async fn find(&self, subject: &FactSubject) -> Result<Called, CallError> {
        let (transport, started) = (&self.0.site.transport, Instant::now());
        loop {
            match transport.read_fact(subject).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) if started.elapsed() > LAG => return Err(CallError::Ended),
                Err(error) if started.elapsed() > LAG => return Err(error.into()),
                Ok(None) | Err(_) => sleep(OFTEN).await,
            }
        }
    }

    /// Waits for what a call came to. Bounded by the attempt's timeout, under which this runs.
    async fn answer(&self, n: u32) -> Result<Returned, CallError> {
        let subject = self.fact(AttemptFact::Return(n));
        let (mut wait, mut looked) = (SOON, Instant::now());
        loop {
            match self.0.site.transport.read_fact(&subject).await {
                Ok(Some(returned)) => return Ok(returned),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "looking again for what a call came to"),
            }
            if looked.elapsed() > ENDED {
                looked = Instant::now();
                if matches!(self.is_over().await, Ok(true)) {
                    return Err(CallError::Ended);
                }
            }
            sleep(wait).await;
            wait = (wait * 3 / 2).min(OFTEN);
        }
    }

    /// Whether the outcome of the attempt is recorded, or the end of its run.
    async fn is_over(&self) -> Result<bool, TransportError> {
        let transport = &self.0.site.transport;
        let run = FactSubject::Run { run: self.0.subject.run, fact: RunFact::Finished };
        let ended = self.fact(AttemptFact::Ended);
        let (run, ended) = tokio::try_join!(transport.has_fact(&run), transport.has_fact(&ended))?;
        Ok(run || ended)
    }
}

/// What tells one call from another: what is called, and with what.
fn digest(function: &Function, version: Option<&Version>, input: &[u8]) -> String {
    let version = version.map_or("", |version| version.as_str());
    let head = format!("{function}\0{version}\0");
    hex(&Sha256::new().chain_update(head).chain_update(input).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_by_function_version_and_input() {
        let name = |text: &str| text.parse::<Function>().expect("a name");
        let one: Version = "1".parse().expect("a version");
        let all = [
            digest(&name("a.b"), None, b"{}"),
            digest(&name("a.c"), None, b"{}"),
            digest(&name("a.b"), Some(&one), b"{}"),
            digest(&name("a.b"), None, b"[]"),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(all[0], digest(&name("a.b"), None, b"{}"));
    }
}
