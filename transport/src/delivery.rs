//! One job as the broker handed it over. It is settled by value, so it cannot be settled twice.

use std::time::Duration;

use async_nats::jetstream::{self, AckKind};
use bytes::Bytes;
use rfx_schemas::job::AGAIN_HEADER;
use rfx_schemas::stamp::Stamp;
use tokio::time::timeout;

use crate::ANSWER;

/// A job message that is this worker's until it is settled or its time is up.
pub struct Delivery {
    message: jetstream::Message,
    client: async_nats::Client,
    /// Its place in the stream.
    pub sequence: u64,
    /// How often the broker has handed it over, this time included.
    pub delivered: u64,
    /// When the stream stored it.
    pub stored: Stamp,
}

impl Delivery {
    pub(crate) fn new(message: jetstream::Message, client: async_nats::Client) -> Option<Self> {
        let info = message.info().ok()?;
        let (sequence, delivered) = (info.stream_sequence, u64::try_from(info.delivered).unwrap_or(1));
        let stored = stamp(info.published.unix_timestamp_nanos());
        Some(Self { message, client, sequence, delivered, stored })
    }

    /// The subject that it waited on.
    pub fn subject(&self) -> &str {
        self.message.subject.as_str()
    }

    /// The message.
    pub fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    /// Whether a driver says that it may have been done already.
    pub fn again(&self) -> bool {
        self.message.headers.as_ref().is_some_and(|h| h.get(AGAIN_HEADER).is_some())
    }

    /// Says that it is being worked on, so that the broker gives it to nobody else meanwhile.
    pub async fn progress(&self) {
        self.say(AckKind::Progress).await;
    }

    /// Settles it: done, whatever the outcome. Only after the outcome is recorded; so an ack that
    /// gets lost costs a look, not a second execution.
    pub async fn ack(self) {
        self.say(AckKind::Ack).await;
    }

    /// Settles it and waits until the server has said so. True when it has: while draining, the
    /// connection closes right after. (The library's own `double_ack` takes "no responders" for a yes.)
    pub async fn ack_checked(self) -> bool {
        let Some(reply) = self.message.reply.clone() else { return false };
        let request = async_nats::Request::new().payload("+ACK".into());
        match timeout(ANSWER, self.client.send_request(reply, request)).await {
            Ok(Ok(answer)) => answer.status.is_none(),
            _ => false,
        }
    }

    /// Hands it back at once, for another worker.
    pub async fn hand_back(self) {
        self.say(AckKind::Nak(None)).await;
    }

    /// While disconnected these block without limit, hence the deadline; all of them are safe to lose.
    async fn say(&self, kind: AckKind) {
        match timeout(Duration::from_secs(2), self.message.ack_with(kind)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, sequence = self.sequence, "could not settle a delivery")
            }
            Err(_) => tracing::debug!(sequence = self.sequence, "could not settle a delivery in time"),
        }
    }
}

pub(crate) fn stamp(nanos: i128) -> Stamp {
    Stamp::from_micros(i64::try_from(nanos / 1_000).unwrap_or(i64::MAX))
}
