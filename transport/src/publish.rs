//! Guarded publishing: a message is stored only if its subject holds none yet.
//!
//! All acks come on one subscription, told apart by the last token of their subject; the client
//! library's own future per ack costs a quarter of the throughput (measured, `docs/performance.md`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt as _;
use rfx_schemas::job::AGAIN_HEADER;
use serde::Deserialize;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::error::TransportError;
use crate::{ANSWER, Transport};

/// Publishes whose acks are awaited at once, of one connection. 256 is best: 64 reaches 0.84 of it,
/// 2,048 reaches 0.87 (measured on two cores).
const IN_FLIGHT: usize = 256;

/// How long a publish is tried. Elections of an R3 stream take up to 9 s; a server that restarts on
/// its store somewhat longer.
const PERSIST: Duration = Duration::from_secs(60);

/// Answers that say that the subject holds a message already; an R3 stream says it either way.
const CONFLICT: [u64; 2] = [10_071, 10_164];

/// The answer that a message is above the stream's or the server's limit.
const TOO_LARGE: u64 = 10_054;

/// A message to be stored unless its subject holds one.
#[derive(Debug, Clone)]
pub struct Guarded {
    /// Where.
    pub subject: String,
    /// What.
    pub payload: Bytes,
    /// Whether what it asks for may have been done already.
    pub again: bool,
}

impl Guarded {
    /// A message that was never published before.
    pub fn new(subject: String, payload: Bytes) -> Self {
        Self { subject, payload, again: false }
    }
}

/// What became of a guarded publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Stored, at this sequence of the stream.
    Stored(u64),
    /// The subject holds a message already: another's, or ours from a try whose ack was lost.
    AlreadyThere,
}

pub(crate) struct Publisher {
    client: Client,
    prefix: String,
    waiting: Waiting,
    next: AtomicU64,
    permits: Semaphore,
}

/// Who waits for which ack. Tokens are never used twice: an ack that comes late must not be taken
/// for another publish's.
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Ack>>>>;

/// A place among the waiting; given up when dropped, however the publish ends.
struct Place<'a> {
    waiting: &'a Waiting,
    token: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.lock().expect("no panic holds it").remove(&self.token);
    }
}

enum Ack {
    Answer(Bytes),
    NoResponders,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Publisher {
    pub(crate) async fn start(client: Client) -> Result<Self, TransportError> {
        let inbox = client.new_inbox();
        let mut acks = client
            .subscribe(format!("{inbox}.*"))
            .await
            .map_err(|e| TransportError::failed("listening for publish acks", e))?;
        let waiting = Waiting::default();
        let table = Arc::clone(&waiting);
        let skip = inbox.len() + 1;
        // Ends with the subscription, that is, with the connection.
        tokio::spawn(async move {
            while let Some(message) = acks.next().await {
                let Some(token) = message.subject.as_str().get(skip..).and_then(|n| n.parse().ok()) else {
                    continue;
                };
                let sender = table.lock().expect("no panic holds it").remove(&token);
                let ack = match message.status {
                    Some(_) => Ack::NoResponders,
                    None => Ack::Answer(message.payload),
                };
                // A publish that was given up has nobody waiting.
                if let Some(sender) = sender {
                    drop(sender.send(ack));
                }
            }
        });
        let (prefix, permits) = (format!("{inbox}."), Semaphore::new(IN_FLIGHT));
        Ok(Self { client, prefix, waiting, next: AtomicU64::new(0), permits })
    }

    async fn once(&self, subject: &str, headers: HeaderMap, payload: Bytes) -> Once {
        let (sender, receiver) = oneshot::channel();
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().expect("no panic holds it").insert(token, sender);
        let _place = Place { waiting: &self.waiting, token };
        let reply = format!("{}{token}", self.prefix);
        let sending = self.client.publish_with_reply_and_headers(subject.to_owned(), reply, headers, payload);
        let waiting = async {
            sending.await.map_err(|error| match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => Once::Never(error.to_string()),
                _ => Once::Later(error.to_string()),
            })?;
            receiver.await.map_err(|_| Once::Later("the connection is closed".to_owned()))
        };
        match timeout(ANSWER, waiting).await {
            Ok(Ok(Ack::Answer(bytes))) => read(&bytes),
            Ok(Ok(Ack::NoResponders)) => Once::Later("no stream takes the subject".to_owned()),
            Ok(Err(once)) => once,
            Err(_) => Once::Later("no ack".to_owned()),
        }
    }
}

/// What one try came to.
enum Once {
    Done(Published),
    Later(String),
    Never(String),
}

fn read(bytes: &[u8]) -> Once {
    match serde_json::from_slice::<Answer>(bytes) {
        Ok(Answer { seq, error: None }) => Once::Done(Published::Stored(seq)),
        Ok(Answer { error: Some(error), .. }) if CONFLICT.contains(&error.err_code) => {
            Once::Done(Published::AlreadyThere)
        }
        // Too large: the same message will not fare better. A full store may be emptied.
        Ok(Answer { error: Some(error), .. }) if error.err_code == TOO_LARGE => {
            Once::Never(error.description)
        }
        Ok(Answer { error: Some(error), .. }) => Once::Later(error.description),
        Err(error) => Once::Later(error.to_string()),
    }
}

impl Transport {
    /// Stores a message unless its subject holds one. Safe to repeat, by the subject: so it is
    /// tried through lost acks, elections and restarts of the server, for a minute.
    pub async fn publish(&self, message: Guarded) -> Result<Published, TransportError> {
        let publisher = &self.inner.publisher;
        let _permit = publisher.permits.acquire().await.expect("never closed");
        let started = Instant::now();
        let mut again = message.again;
        let mut wait = Duration::from_millis(50);
        loop {
            match publisher.once(&message.subject, headers(again), message.payload.clone()).await {
                Once::Done(published) => return Ok(published),
                Once::Never(reason) => {
                    return Err(TransportError::Refused {
                        what: format!("publishing to {}", message.subject),
                        reason,
                    });
                }
                Once::Later(_) if self.is_forbidden(&message.subject) => {
                    return Err(self.no_answer(format!("publishing to {}", message.subject), ANSWER));
                }
                Once::Later(reason) if started.elapsed() > PERSIST => {
                    tracing::debug!(reason, "gave up a publish");
                    return Err(self.no_answer(format!("publishing to {}", message.subject), PERSIST));
                }
                Once::Later(reason) => tracing::debug!(reason, subject = message.subject, "publishing again"),
            }
            again = true;
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }
}

impl Transport {
    /// Whether the server has said that this user may not publish there; it sends no ack then.
    fn is_forbidden(&self, subject: &str) -> bool {
        let complaint = self.complaint().unwrap_or_default().to_lowercase();
        complaint.contains("permissions violation") && complaint.contains(&subject.to_lowercase())
    }
}

/// Reads a publish ack; an error is the server's words.
pub(crate) fn ack(bytes: &[u8]) -> Result<Published, String> {
    match read(bytes) {
        Once::Done(published) => Ok(published),
        Once::Later(reason) | Once::Never(reason) => Err(reason),
    }
}

fn headers(again: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
    if again {
        headers.insert(AGAIN_HEADER, "1");
    }
    headers
}
