//! Our own pull loop over a durable or ephemeral consumer.
//!
//! The client library's `batch` loses wakeups with a heartbeat, and its `stream` hoards jobs while
//! the worker is busy and waits out `expires` after trouble. Here one long-lived inbox takes what
//! pulls bring; what was asked for and has not come yet is counted, and asked for again when the
//! server says that it won't come, when heartbeats stop, or when the connection is new.

use std::time::Duration;

use async_nats::jetstream::consumer::Consumer;
use async_nats::jetstream::consumer::pull::{BatchConfig, Config};
use async_nats::{Message, StatusCode, Subscriber, jetstream};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::delivery::Delivery;
use crate::error::TransportError;
use crate::{ANSWER, Transport};

/// How long the server keeps a pull open.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that an idle pull is still open.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without any word for this long, a pull is taken for lost.
const SILENCE: Duration = Duration::from_millis(2 * 5_000 + 500);
/// Wait before asking again after a refusal; doubled up to the second.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Which consumer to pull from.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its stream.
    pub stream: String,
    /// Its name.
    pub consumer: String,
}

/// The loop's state. Not a task: it lives in its caller's `select!`.
pub struct Puller {
    consumer: Consumer<Config>,
    transport: Transport,
    inbox: Subscriber,
    subject: String,
    connected: watch::Receiver<u64>,
    /// Whether what was sent into a lost connection is gone for good: so it is without acks.
    unacknowledged: bool,
    /// Asked for and not come.
    requested: usize,
    number: u64,
    last_word: Instant,
    pause: Duration,
    not_before: Instant,
}

/// What one wait brought.
pub(crate) enum Pulled {
    /// Messages, in the buffer.
    Messages,
    /// The consumer is gone.
    Gone,
}

impl Puller {
    pub(crate) async fn new(transport: &Transport, target: &Target) -> Result<Self, TransportError> {
        let what = format!("opening consumer {} of {}", target.consumer, target.stream);
        let asking = transport.js().get_consumer_from_stream(&target.consumer, &target.stream);
        let consumer = match timeout(ANSWER, asking).await {
            Ok(Ok(consumer)) => consumer,
            Ok(Err(error)) => return Err(TransportError::failed(what, error)),
            Err(_) => return Err(transport.no_answer(what, ANSWER)),
        };
        Self::over(transport, consumer, false).await
    }

    /// A loop over a consumer; `unacknowledged` if it has no acks.
    pub(crate) async fn over(
        transport: &Transport,
        consumer: Consumer<Config>,
        unacknowledged: bool,
    ) -> Result<Self, TransportError> {
        let subject = transport.client().new_inbox();
        let inbox = transport.client().subscribe(format!("{subject}.*")).await;
        let inbox = inbox.map_err(|e| TransportError::failed("listening for jobs", e))?;
        let mut connected = transport.connections();
        connected.mark_unchanged();
        let now = Instant::now();
        Ok(Self {
            consumer,
            transport: transport.clone(),
            inbox,
            subject,
            connected,
            unacknowledged,
            requested: 0,
            number: 0,
            last_word: now,
            pause: PAUSE,
            not_before: now,
        })
    }

    /// Waits for jobs and adds what has come, asking for as many as there is room for. False when the
    /// lane's consumer is gone. Safe to cancel: it takes
    /// messages only right before it returns.
    ///
    /// Fewer than `least` are not asked for: a pull of 10 reaches half the throughput of one of 200
    /// (measured), so a caller that holds jobs still waits until there is room for many.
    pub async fn jobs(&mut self, room: usize, least: usize, into: &mut Vec<Delivery>) -> bool {
        let mut buffer = Vec::new();
        let pulled = self.wait(room, least, &mut buffer).await;
        self.deliver(buffer, into);
        matches!(pulled, Pulled::Messages)
    }

    /// Stops pulling and adds what had been sent already, to be handed back.
    pub async fn last_jobs(&mut self, patience: Duration, into: &mut Vec<Delivery>) {
        let mut buffer = Vec::new();
        self.rest(patience, &mut buffer).await;
        self.deliver(buffer, into);
    }

    fn deliver(&self, buffer: Vec<jetstream::Message>, into: &mut Vec<Delivery>) {
        let client = self.transport.client();
        into.extend(buffer.into_iter().filter_map(|m| Delivery::new(m, client.clone())));
    }

    /// Waits until there is something, asking for as much as there is room for. Safe to cancel:
    /// what was taken is in the buffer, what was asked for is counted.
    pub(crate) async fn wait(
        &mut self,
        room: usize,
        least: usize,
        buffer: &mut Vec<jetstream::Message>,
    ) -> Pulled {
        loop {
            self.ask(room, least).await;
            let deadline = self.wake_at(room, least);
            tokio::select! {
                biased;
                changed = self.connected.changed() => {
                    // A new connection knows nothing of what was asked for on the old one.
                    self.requested = 0;
                    self.not_before = Instant::now();
                    if changed.is_err() || self.unacknowledged {
                        return Pulled::Gone;
                    }
                }
                message = self.inbox.next() => {
                    let Some(message) = message else { return Pulled::Gone };
                    if self.take(message, buffer) {
                        return Pulled::Gone;
                    }
                    // What has arrived already comes along, so that a batch costs one wake-up.
                    while let Some(Some(message)) = self.inbox.next().now_or_never() {
                        if self.take(message, buffer) {
                            return Pulled::Gone;
                        }
                    }
                    if !buffer.is_empty() {
                        return Pulled::Messages;
                    }
                }
                () = sleep_until(deadline) => {
                    if self.last_word.elapsed() >= SILENCE {
                        tracing::debug!(requested = self.requested, "no word from the server, pulling again");
                        self.requested = 0;
                        self.last_word = Instant::now();
                    }
                }
            }
        }
    }

    /// Stops listening; the server then gives to others what was asked for here. What it had sent
    /// already still comes, up to `patience`.
    pub(crate) async fn rest(&mut self, patience: Duration, buffer: &mut Vec<jetstream::Message>) {
        if !matches!(timeout(patience, self.inbox.drain()).await, Ok(Ok(()))) {
            return;
        }
        let deadline = Instant::now() + patience;
        loop {
            tokio::select! {
                message = self.inbox.next() => match message {
                    Some(message) => drop(self.take(message, buffer)),
                    None => return,
                },
                () = sleep_until(deadline) => return,
            }
        }
    }

    fn wake_at(&self, room: usize, least: usize) -> Instant {
        let silence = self.last_word + SILENCE;
        if self.missing(room) >= least { silence.min(self.not_before.max(Instant::now())) } else { silence }
    }

    fn missing(&self, room: usize) -> usize {
        room.saturating_sub(self.requested)
    }

    /// Asks for what there is room for, if that is worth a request.
    async fn ask(&mut self, room: usize, least: usize) {
        let missing = self.missing(room);
        if missing < least.max(1) || Instant::now() < self.not_before {
            return;
        }
        self.number += 1;
        let batch = BatchConfig {
            batch: missing,
            expires: Some(EXPIRES),
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        let inbox = format!("{}.{}", self.subject, self.number).into();
        match timeout(ANSWER, self.consumer.request_batch(batch, inbox)).await {
            Ok(Ok(())) => {
                self.requested += missing;
                self.last_word = Instant::now();
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "could not pull");
                self.back_off();
            }
            Err(_) => self.back_off(),
        }
    }

    fn back_off(&mut self) {
        self.not_before = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Takes a message or a word of the server; true when the consumer is gone.
    fn take(&mut self, message: Message, buffer: &mut Vec<jetstream::Message>) -> bool {
        self.last_word = Instant::now();
        let Some(status) = message.status else {
            self.requested = self.requested.saturating_sub(1);
            self.pause = PAUSE;
            buffer.push(jetstream::Message { message, context: self.transport.js().clone() });
            return false;
        };
        let pending = pending(&message);
        let text = message.description.unwrap_or_default();
        match status {
            StatusCode::IDLE_HEARTBEAT => {}
            // The pull's time was up, or there was nothing: this many won't come.
            StatusCode::NOT_FOUND | StatusCode::TIMEOUT => {
                self.requested = pending.map_or(0, |pending| self.requested.saturating_sub(pending));
            }
            // The server knows no such consumer: after a restart it has forgotten those in memory.
            StatusCode::NO_RESPONDERS => return true,
            _ if text.to_lowercase().contains("consumer deleted") => return true,
            other => {
                tracing::debug!(status = %other, text, "the server refused a pull");
                self.requested = pending.map_or(0, |pending| self.requested.saturating_sub(pending));
                self.back_off();
            }
        }
        false
    }
}

/// How many of a pull's messages won't come.
fn pending(message: &Message) -> Option<usize> {
    message.headers.as_ref()?.get("Nats-Pending-Messages")?.as_str().parse().ok()
}
