//! Key-value buckets, by plain publishes and direct gets: what least-privilege users may do.
//!
//! A read may be stale (direct get on R3), so decisions rest on compare-and-set, never on a read.

use async_nats::RequestErrorKind::NoResponders;
use bytes::Bytes;
use rfx_schemas::topology::Bucket;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

use crate::error::TransportError;
use crate::{ANSWER, Transport};

/// A value with the revision that a compare-and-set names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// The value.
    pub value: T,
    /// Its revision.
    pub revision: u64,
}

impl Transport {
    /// Puts a value, whatever is there.
    pub async fn kv_put<T: Serialize + Sync>(
        &self,
        bucket: Bucket,
        key: &str,
        value: &T,
    ) -> Result<u64, TransportError> {
        self.kv_write(bucket, key, json(value), None).await?.ok_or_else(|| TransportError::Refused {
            what: format!("putting {key}"),
            reason: "the stream guards a subject that nobody guarded".to_owned(),
        })
    }

    /// Puts a value if the key is at `revision` (0: if it is not there). None when it is elsewhere.
    pub async fn kv_cas<T: Serialize + Sync>(
        &self,
        bucket: Bucket,
        key: &str,
        value: &T,
        revision: u64,
    ) -> Result<Option<u64>, TransportError> {
        let value = json(value);
        let written = self.kv_write(bucket, key, value.clone(), Some(revision)).await?;
        if written.is_some() || revision != 0 {
            return Ok(written);
        }
        // A key that was removed is not there, but what removed it has a revision.
        let subject = self.topology().key(bucket, key);
        match self.last_of(&self.topology().bucket_stream(bucket), &subject).await? {
            Some(last) if last.deleted => self.kv_write(bucket, key, value, Some(last.sequence)).await,
            _ => Ok(None),
        }
    }

    /// Removes a key.
    pub async fn kv_delete(&self, bucket: Bucket, key: &str) -> Result<(), TransportError> {
        self.kv_send(bucket, key, removal(), Bytes::new()).await.map(drop)
    }

    /// Removes a key if it is at `revision`; false when it is elsewhere.
    pub async fn kv_delete_at(
        &self,
        bucket: Bucket,
        key: &str,
        revision: u64,
    ) -> Result<bool, TransportError> {
        let mut headers = removal();
        headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string());
        self.kv_send(bucket, key, headers, Bytes::new()).await.map(|removed| removed.is_some())
    }

    /// A key's value; none when it is not there.
    pub async fn kv_get<T: DeserializeOwned>(
        &self,
        bucket: Bucket,
        key: &str,
    ) -> Result<Option<Entry<T>>, TransportError> {
        let subject = self.topology().key(bucket, key);
        let found = self.last_of(&self.topology().bucket_stream(bucket), &subject).await?;
        let Some(found) = found.filter(|f| !f.deleted) else { return Ok(None) };
        let value = serde_json::from_slice(&found.payload);
        let value = value.map_err(|e| TransportError::unreadable(format!("key {key}"), e))?;
        Ok(Some(Entry { value, revision: found.sequence }))
    }

    /// All values whose key matches `pattern` (`>` for all). What cannot be read is left out and logged:
    /// a newer rfx may have put it there.
    pub async fn kv_list<T: DeserializeOwned>(
        &self,
        bucket: Bucket,
        pattern: &str,
    ) -> Result<Vec<T>, TransportError> {
        let filter = self.topology().key(bucket, pattern);
        let found = self.scan(&self.topology().bucket_stream(bucket), &filter).await?;
        let read = |stored: crate::scan::Stored| match serde_json::from_slice(&stored.payload) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::warn!(key = stored.subject, %error, "left out a record that cannot be read");
                None
            }
        };
        Ok(found.into_iter().filter(|s| !s.deleted).filter_map(read).collect())
    }

    async fn kv_write(
        &self,
        bucket: Bucket,
        key: &str,
        value: Bytes,
        revision: Option<u64>,
    ) -> Result<Option<u64>, TransportError> {
        let mut headers = async_nats::HeaderMap::new();
        if let Some(revision) = revision {
            headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string());
        }
        self.kv_send(bucket, key, headers, value).await
    }

    /// None for a conflict, which the client library does not always name (error 10164).
    async fn kv_send(
        &self,
        bucket: Bucket,
        key: &str,
        headers: async_nats::HeaderMap,
        value: Bytes,
    ) -> Result<Option<u64>, TransportError> {
        let what = format!("writing {key} in {}", self.topology().bucket(bucket));
        let started = Instant::now();
        let answer = loop {
            let request = async_nats::Request::new().headers(headers.clone()).payload(value.clone());
            let sending = self.client().send_request(self.topology().key(bucket, key), request);
            match timeout(ANSWER, sending).await {
                Ok(Ok(answer)) => break answer,
                // A bucket that was made just now, or whose leader changes, has no listener for a while.
                Ok(Err(error)) if error.kind() == NoResponders && started.elapsed() < ANSWER => {
                    sleep(Duration::from_millis(50)).await;
                }
                Ok(Err(error)) => return Err(TransportError::failed(what, error)),
                Err(_) => return Err(self.no_answer(what, ANSWER)),
            }
        };
        match crate::publish::ack(&answer.payload) {
            Ok(crate::Published::Stored(revision)) => Ok(Some(revision)),
            Ok(crate::Published::AlreadyThere) => Ok(None),
            Err(reason) => Err(TransportError::Refused { what, reason }),
        }
    }
}

fn removal() -> async_nats::HeaderMap {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("KV-Operation", "DEL");
    headers
}

fn json<T: Serialize>(value: &T) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("records have string keys"))
}
