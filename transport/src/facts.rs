//! Reading facts in stream order, from any point on: one named, ack-none consumer per process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::{self, consumer};
use rfx_schemas::encoding::{DecodeError, decode};
use rfx_schemas::fact::{Caller, Fact};
use rfx_schemas::id::RunId;
use rfx_schemas::name::Member;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::subject::{AttemptFact, FactSubject, RunFact};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::delivery::stamp;
use crate::error::TransportError;
use crate::pull::{Pulled, Puller};
use crate::{ANSWER, Transport};

/// Facts asked for at once. Fewer than 200 cost throughput (measured).
const ROOM: usize = 500;
/// The server removes a reader's consumer this long after its last pull.
const INACTIVE: Duration = Duration::from_secs(60);

/// Consumers that this process has made; in their names, since a removed one may linger, and one that another
/// reader has read to its end gives nothing any more.
static MADE: AtomicU64 = AtomicU64::new(1);

/// Which facts to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Of every run.
    All,
    /// Of one run.
    Run(RunId),
}

/// A recorded fact.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place in the stream.
    pub sequence: u64,
    /// When the stream stored it: the clock that folds go by.
    pub at: Stamp,
    /// How many more were waiting behind it: at 0 the reader has caught up.
    pub pending: u64,
    /// What its subject says.
    pub subject: FactSubject,
    /// Its body, or why it cannot be read.
    pub fact: Result<Fact, Unreadable>,
}

/// A fact whose body cannot be read: it is counted, never folded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

/// Reads facts in order, going on by itself after reconnects and lost consumers. The reading is
/// done by a task of its own, so that waiting here is safe to cancel; it ends with this handle.
pub struct FactReader {
    batches: mpsc::Receiver<Result<Vec<Entry>, TransportError>>,
    task: tokio::task::JoinHandle<()>,
}

/// The task's state.
struct Reading {
    transport: Transport,
    scope: Scope,
    name: String,
    next: u64,
    puller: Option<Puller>,
    /// The consumer's own count of what it delivered: a gap means that something was dropped.
    delivered: u64,
    buffer: Vec<jetstream::Message>,
}

impl Transport {
    /// A reader of facts from the sequence `from` on (1 for all).
    pub fn facts(&self, scope: Scope, me: &Member, from: u64) -> FactReader {
        let name = match scope {
            Scope::All => format!("facts-{me}"),
            Scope::Run(run) => format!("facts-{me}-{}", run.short()),
        };
        let reading = Reading {
            transport: self.clone(),
            scope,
            name,
            next: from.max(1),
            puller: None,
            delivered: 0,
            buffer: Vec::new(),
        };
        // A few batches ahead keep the reader busy while one is folded; more would only cost memory.
        let (sender, batches) = mpsc::channel(4);
        FactReader { batches, task: tokio::spawn(reading.run(sender)) }
    }

    /// The sequence of the last recorded fact: what a decision by time must have read.
    pub async fn last_fact(&self) -> Result<u64, TransportError> {
        let what = "asking for the last fact";
        let stream = self.topology().events();
        match timeout(ANSWER, self.js().get_stream(stream)).await {
            Ok(Ok(stream)) => Ok(stream.cached_info().state.last_sequence),
            Ok(Err(error)) => Err(TransportError::failed(what, error)),
            Err(_) => Err(self.no_answer(what, ANSWER)),
        }
    }
}

impl FactReader {
    /// Waits for facts and adds what has come. Safe to cancel.
    pub async fn read(&mut self, into: &mut Vec<Entry>) -> Result<(), TransportError> {
        match self.batches.recv().await {
            Some(batch) => into.extend(batch?),
            // The task ends only behind an error, which was handed out before.
            None => std::future::pending().await,
        }
        Ok(())
    }
}

impl Drop for FactReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reading {
    async fn run(mut self, batches: mpsc::Sender<Result<Vec<Entry>, TransportError>>) {
        loop {
            let mut batch = Vec::new();
            let read = self.read(&mut batch).await.map(|()| batch);
            let failed = read.is_err();
            if batches.send(read).await.is_err() || failed {
                return;
            }
        }
    }

    async fn read(&mut self, into: &mut Vec<Entry>) -> Result<(), TransportError> {
        loop {
            if self.puller.is_none() {
                self.puller = Some(self.open().await?);
            }
            let Some(puller) = &mut self.puller else { continue };
            match puller.wait(ROOM, ROOM / 2, &mut self.buffer).await {
                Pulled::Messages => {}
                Pulled::Gone => self.puller = None,
            }
            self.drain(into);
            if !into.is_empty() {
                return Ok(());
            }
        }
    }

    fn drain(&mut self, into: &mut Vec<Entry>) {
        for message in std::mem::take(&mut self.buffer) {
            let Ok(info) = message.info() else { continue };
            if info.consumer_sequence != self.delivered + 1 {
                // The client dropped something, or the server began anew: start again behind what was read.
                tracing::debug!(
                    expected = self.delivered + 1,
                    got = info.consumer_sequence,
                    "a gap in facts"
                );
                self.puller = None;
                return;
            }
            self.delivered += 1;
            let pending = info.pending;
            let (sequence, at) = (info.stream_sequence, stamp(info.published.unix_timestamp_nanos()));
            if sequence < self.next {
                continue;
            }
            self.next = sequence + 1;
            match self.transport.subjects().parse_fact(message.subject.as_str()) {
                Ok(subject) => {
                    let fact = body(&subject, &message.payload).map_err(|e| Unreadable(e.to_string()));
                    into.push(Entry { sequence, at, pending, subject, fact });
                }
                Err(error) => tracing::warn!(%error, sequence, "left out a fact of an unknown kind"),
            }
        }
    }

    async fn open(&mut self) -> Result<Puller, TransportError> {
        let mut wait = Duration::from_millis(100);
        let mut tries = 0;
        loop {
            match self.create().await {
                Ok(puller) => return Ok(puller),
                // Elections and restarts take a while; a reader that gives up stalls a run.
                Err(error) if tries < 40 => tracing::debug!(%error, "opening the reader of facts again"),
                Err(error) => return Err(error),
            }
            tries += 1;
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }

    async fn create(&mut self) -> Result<Puller, TransportError> {
        let transport = &self.transport;
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let config = consumer::pull::Config {
            name: Some(format!("{}-{made}", self.name)),
            filter_subject: match self.scope {
                Scope::All => transport.subjects().all_facts(),
                Scope::Run(run) => transport.subjects().facts_of_run(run),
            },
            deliver_policy: consumer::DeliverPolicy::ByStartSequence { start_sequence: self.next },
            ack_policy: consumer::AckPolicy::None,
            inactive_threshold: INACTIVE,
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        let what = "opening the reader of facts";
        let creating = transport.js().create_consumer_on_stream(config, transport.topology().events());
        let consumer = match timeout(ANSWER, creating).await {
            Ok(Ok(consumer)) => consumer,
            Ok(Err(error)) => return Err(TransportError::failed(what, error)),
            Err(_) => return Err(transport.no_answer(what, ANSWER)),
        };
        self.delivered = 0;
        Puller::over(transport, consumer, true).await
    }
}

fn body(subject: &FactSubject, payload: &[u8]) -> Result<Fact, DecodeError> {
    Ok(match subject {
        FactSubject::Run { fact: RunFact::Submitted, .. } => Fact::Submitted(Box::new(decode(payload)?)),
        FactSubject::Run { fact: RunFact::Cancelled(n), .. } => Fact::Cancelled(*n, decode(payload)?),
        FactSubject::Run { fact: RunFact::Settled, .. } => Fact::Settled(decode(payload)?),
        FactSubject::Run { fact: RunFact::Finished, .. } => Fact::Finished(decode(payload)?),
        FactSubject::Attempt { fact, group, job, attempt, .. } => {
            let caller = |number| Caller { group: group.clone(), job: *job, attempt: *attempt, number };
            match *fact {
                AttemptFact::Ended => Fact::Ended(decode(payload)?),
                AttemptFact::Started(_) => Fact::Started(decode(payload)?),
                AttemptFact::Call(n) => Fact::Call(caller(n), Box::new(decode(payload)?)),
                AttemptFact::Undo(n) => Fact::Undo(caller(n), Box::new(decode(payload)?)),
                AttemptFact::Return(n) => Fact::Returned(caller(n), decode(payload)?),
            }
        }
    })
}
