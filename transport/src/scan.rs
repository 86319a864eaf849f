//! Reading what is stored, by batched direct get: many messages a request, no consumer, so that
//! nothing is left behind on the server and permissions stay narrow.

use async_nats::{Message, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use rfx_schemas::stamp::Stamp;
use serde_json::json;
use tokio::time::timeout;

use crate::delivery::stamp;
use crate::error::TransportError;
use crate::{ANSWER, Transport};

/// Messages a request brings at most; the server's own default limit is higher.
const PAGE: usize = 500;

/// A stored message.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) payload: Bytes,
    pub(crate) sequence: u64,
    pub(crate) time: Stamp,
    /// A key-value delete or purge marker.
    pub(crate) deleted: bool,
}

impl Transport {
    /// All messages of a stream whose subject matches `filter`, in stream order.
    pub(crate) async fn scan(&self, stream: &str, filter: &str) -> Result<Vec<Stored>, TransportError> {
        let mut all: Vec<Stored> = Vec::new();
        let mut from = 1;
        loop {
            let (page, more) = self.page(stream, filter, from).await?;
            let Some(last) = page.last() else { return Ok(all) };
            from = last.sequence + 1;
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    /// One page, and whether there is more.
    async fn page(
        &self,
        stream: &str,
        filter: &str,
        from: u64,
    ) -> Result<(Vec<Stored>, bool), TransportError> {
        let what = || format!("reading {filter} of {stream}");
        let inbox = self.client().new_inbox();
        let mut answers =
            self.client().subscribe(inbox.clone()).await.map_err(|e| TransportError::failed(what(), e))?;
        let request = json!({"seq": from, "next_by_subj": filter, "batch": PAGE});
        let body = Bytes::from(request.to_string());
        let sending =
            self.client().publish_with_reply(self.api(&format!("DIRECT.GET.{stream}")), inbox, body);
        match timeout(ANSWER, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(TransportError::failed(what(), error)),
            Err(_) => return Err(self.no_answer(what(), ANSWER)),
        }
        let mut page = Vec::new();
        loop {
            let message = match timeout(ANSWER, answers.next()).await {
                Ok(Some(message)) => message,
                Ok(None) | Err(_) => return Err(self.no_answer(what(), ANSWER)),
            };
            match message.status {
                None => page.extend(stored(message)),
                Some(StatusCode::NO_RESPONDERS) => {
                    let reason = format!("stream {stream} does not exist, or has no leader now");
                    return Err(TransportError::Refused { what: what(), reason });
                }
                Some(StatusCode::NOT_FOUND) => return Ok((page, false)),
                // 204: the end of the batch, with what is left.
                Some(_) => {
                    let left = header(&message, "Nats-Num-Pending").and_then(|n| n.parse::<u64>().ok());
                    return Ok((page, left.unwrap_or(0) > 0));
                }
            }
        }
    }
}

pub(crate) fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.headers.as_ref()?.get(name).map(async_nats::HeaderValue::as_str)
}

/// A direct-get answer names the message's place in its headers.
pub(crate) fn stored(message: Message) -> Option<Stored> {
    let subject = header(&message, "Nats-Subject")?.to_owned();
    let sequence = header(&message, "Nats-Sequence")?.parse().ok()?;
    let time = header(&message, "Nats-Time-Stamp").and_then(parse_time).unwrap_or_default();
    let deleted =
        header(&message, "KV-Operation").is_some() || header(&message, "Nats-Marker-Reason").is_some();
    Some(Stored { subject, payload: message.payload, sequence, time, deleted })
}

fn parse_time(text: &str) -> Option<Stamp> {
    let time = time_of(text)?;
    Some(stamp(time))
}

/// Nanoseconds since 1970 of an RFC 3339 time.
fn time_of(text: &str) -> Option<i128> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_nanosecond)
}
