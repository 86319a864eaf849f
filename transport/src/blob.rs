//! Values too big for a message: stored in chunks under their run, named by what they hold.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use rfx_schemas::id::RunId;
use rfx_schemas::payload::{BlobRef, CHUNK, Json, Payload};

use tokio::time::{Instant, sleep};

use crate::Transport;
use crate::error::TransportError;
use crate::publish::Guarded;

/// How long a blob is looked for.
const PERSIST: Duration = Duration::from_secs(10);

impl Transport {
    /// Stores bytes. Storing the same bytes again stores nothing.
    pub async fn put_blob(&self, run: RunId, bytes: &Bytes) -> Result<BlobRef, TransportError> {
        let reference = BlobRef::of(bytes);
        let chunk = |at: u32| {
            let start = at as usize * CHUNK;
            let body = bytes.slice(start..bytes.len().min(start + CHUNK));
            self.publish(Guarded::new(self.subjects().blob(run, &reference.digest, at), body))
        };
        try_join_all((0..reference.chunks).map(chunk)).await?;
        Ok(reference)
    }

    /// The bytes behind a reference, checked against it. A replica may lag behind what was stored,
    /// and a leader may be elected just now: so it is read again for a while.
    pub async fn get_blob(&self, run: RunId, reference: &BlobRef) -> Result<Bytes, TransportError> {
        let started = Instant::now();
        loop {
            match self.read_blob(run, reference).await {
                Err(error) if started.elapsed() < PERSIST => tracing::debug!(%error, "reading a blob again"),
                read => return read,
            }
            sleep(Duration::from_millis(250)).await;
        }
    }

    async fn read_blob(&self, run: RunId, reference: &BlobRef) -> Result<Bytes, TransportError> {
        let filter = self.subjects().blob_chunks(run, &reference.digest);
        let mut chunks = self.scan(&self.topology().blobs(), &filter).await?;
        chunks.sort_by_key(|c| self.subjects().parse_chunk(&c.subject).unwrap_or(u32::MAX));
        let mut whole = BytesMut::new();
        chunks.iter().for_each(|c| whole.extend_from_slice(&c.payload));
        let whole = whole.freeze();
        if BlobRef::of(&whole) == *reference {
            return Ok(whole);
        }
        Err(TransportError::MissingBlob { digest: reference.digest.clone() })
    }

    /// The payload for JSON text: inline, or stored as a blob first.
    pub async fn store(&self, run: RunId, json: Json) -> Result<Payload, TransportError> {
        let (payload, big) = Payload::of(json);
        if let Some(bytes) = big {
            Box::pin(self.put_blob(run, &bytes)).await?;
        }
        Ok(payload)
    }

    /// The JSON text of a payload.
    pub async fn load(&self, run: RunId, payload: &Payload) -> Result<Json, TransportError> {
        match payload {
            Payload::Inline(json) => Ok(json.clone()),
            Payload::Blob(reference) => Ok(Json::from_text(Box::pin(self.get_blob(run, reference)).await?)),
        }
    }
}
