//! Leases: who drives a run, who folds. Correctness never rests on them; they keep work from being
//! done twice for nothing.

use std::time::Duration;

use rfx_schemas::name::Member;
use rfx_schemas::record::Lease;
use rfx_schemas::topology::Bucket;
use tokio::time::Instant;

use crate::Transport;
use crate::error::TransportError;

/// How often a holder renews.
pub const RENEW: Duration = Duration::from_secs(3);
/// A lease that has not changed for this long, on the taker's own clock, is free.
pub const EXPIRY: Duration = Duration::from_secs(15);

/// One process' view of one lease.
pub struct LeaseKeeper {
    transport: Transport,
    key: String,
    me: Member,
    expiry: Duration,
    held: Option<u64>,
    renewed: u64,
    /// The revision that another holder was last seen at, and since when.
    seen: Option<(u64, Instant)>,
}

impl LeaseKeeper {
    /// A view of the lease `key`, which `me` may come to hold.
    pub fn new(transport: Transport, key: impl Into<String>, me: Member) -> Self {
        Self { transport, key: key.into(), me, expiry: EXPIRY, held: None, renewed: 0, seen: None }
    }

    /// The same with another patience, for tests of takeover.
    #[must_use]
    pub fn with_expiry(self, expiry: Duration) -> Self {
        Self { expiry, ..self }
    }

    /// Takes the lease if it is free, renews it if it is held; true when it is held now.
    pub async fn tend(&mut self) -> Result<bool, TransportError> {
        let revision = match self.held {
            Some(revision) => revision,
            None => match self.free().await? {
                Some(revision) => revision,
                None => return Ok(false),
            },
        };
        self.renewed += 1;
        let lease = Lease { holder: self.me.clone(), renewed: self.renewed };
        self.held = self.transport.kv_cas(Bucket::Lease, &self.key, &lease, revision).await?;
        self.seen = None;
        Ok(self.held.is_some())
    }

    /// Lets go, so that the next one need not wait.
    pub async fn release(&mut self) {
        if self.held.take().is_some()
            && let Err(error) = self.transport.kv_delete(Bucket::Lease, &self.key).await
        {
            tracing::debug!(%error, key = self.key, "the lease runs out by itself");
        }
    }

    /// The revision to take the lease at, when it is free.
    async fn free(&mut self) -> Result<Option<u64>, TransportError> {
        let Some(found) = self.transport.kv_revision(Bucket::Lease, &self.key).await? else {
            return Ok(Some(0));
        };
        if found.deleted {
            return Ok(Some(found.revision));
        }
        match self.seen {
            Some((revision, since)) if revision == found.revision => {
                Ok((since.elapsed() >= self.expiry).then_some(revision))
            }
            _ => {
                self.seen = Some((found.revision, Instant::now()));
                Ok(None)
            }
        }
    }
}

/// Where a key stands, whatever its value.
pub(crate) struct Revision {
    pub(crate) revision: u64,
    pub(crate) deleted: bool,
}

impl Transport {
    pub(crate) async fn kv_revision(
        &self,
        bucket: Bucket,
        key: &str,
    ) -> Result<Option<Revision>, TransportError> {
        let subject = self.topology().key(bucket, key);
        let found = self.last_of(&self.topology().bucket_stream(bucket), &subject).await?;
        Ok(found.map(|f| Revision { revision: f.sequence, deleted: f.deleted }))
    }
}
