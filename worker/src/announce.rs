//! What a worker says of itself: its functions in the catalogue, and that it is up.
//!
//! A function that is not served any more is taken out of the catalogue by the worker that put it there,
//! unless another one has put it there since, or may still serve it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rfx_schemas::record::{FunctionRecord, Presence, function_key, presence_key};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::topology::Bucket;
use rfx_transport::{Transport, TransportError};
use tokio::time::Instant;

use crate::catalogue::Shown;

/// How often functions are announced again: the catalogue forgets what was not seen for 30 days.
const AGAIN: Duration = Duration::from_secs(60 * 60);

/// Announces what one worker serves.
pub struct Announcer {
    transport: Transport,
    presence: Presence,
    put: BTreeMap<String, Put>,
    /// What is in the catalogue and not served here any more.
    gone: BTreeMap<String, Put>,
}

/// A function as it was put into the catalogue.
struct Put {
    record: FunctionRecord,
    revision: u64,
    at: Instant,
}

impl Announcer {
    /// Announces for the worker with this presence.
    pub fn new(transport: Transport, presence: Presence) -> Self {
        Self { transport, presence, put: BTreeMap::new(), gone: BTreeMap::new() }
    }

    /// Brings the catalogue up to date, and says that this worker is up. To be called every few seconds:
    /// what does not succeed is tried again.
    pub async fn announce(&mut self, shown: &Shown) {
        if let Err(error) = self.put_all(shown).await {
            tracing::warn!(%error, "could not announce the functions, trying again");
        }
        self.presence.functions = u32::try_from(shown.records.len()).unwrap_or(u32::MAX);
        self.presence.broken.clone_from(&shown.broken);
        self.presence.pools = shown.pools();
        let key = presence_key(&self.presence);
        if let Err(error) = self.transport.kv_put(Bucket::Presence, &key, &self.presence).await {
            tracing::debug!(%error, "could not say that this worker is up");
        }
        // After that: whoever lets go of the same function sees that it is gone here, too.
        if let Err(error) = self.withdraw().await {
            tracing::warn!(%error, "functions that are gone stay in the catalogue until they are forgotten");
            self.gone.clear();
        }
    }

    /// Says that this worker is not up any more. Its functions stay: others may serve them, or it later.
    pub async fn leave(&self) {
        let key = presence_key(&self.presence);
        if let Err(error) = self.transport.kv_delete(Bucket::Presence, &key).await {
            tracing::debug!(%error, "the presence record runs out by itself");
        }
    }

    async fn put_all(&mut self, shown: &Shown) -> Result<(), TransportError> {
        let mut keys = BTreeSet::new();
        let mut count = 0;
        for record in &shown.records {
            let key = function_key(&record.group, &record.name, &record.version);
            keys.insert(key.clone());
            if self.put.get(&key).is_some_and(|put| put.is_as(record) && put.at.elapsed() < AGAIN) {
                continue;
            }
            let seen = FunctionRecord { seen: Stamp::now(), ..record.clone() };
            let revision = self.transport.kv_put(Bucket::Functions, &key, &seen).await?;
            self.gone.remove(&key);
            self.put.insert(key, Put { record: seen, revision, at: Instant::now() });
            count += 1;
        }
        let served = |key: &String, _: &mut Put| !keys.contains(key);
        let gone: BTreeMap<_, _> = self.put.extract_if(.., served).collect();
        if count > 0 || !gone.is_empty() {
            tracing::info!(functions = shown.records.len(), gone = gone.len(), "serving");
        }
        self.gone.extend(gone);
        Ok(())
    }

    /// Takes out of the catalogue what nobody serves. What others may serve is looked at again.
    async fn withdraw(&mut self) -> Result<(), TransportError> {
        if self.gone.is_empty() {
            return Ok(());
        }
        let pattern = match &self.presence.group {
            Some(group) => format!("worker.{group}.>"),
            None => "worker.>".to_owned(),
        };
        let others: Vec<Presence> = self.transport.kv_list(Bucket::Presence, &pattern).await?;
        let free =
            |_: &String, put: &mut Put| !others.iter().any(|o| may_serve(o, &self.presence, &put.record));
        for (key, put) in self.gone.extract_if(.., free).collect::<Vec<_>>() {
            if self.transport.kv_delete_at(Bucket::Functions, &key, put.revision).await? {
                tracing::info!(function = %put.record.name, version = %put.record.version, "nobody serves it any more");
            } else {
                tracing::debug!(key, "another worker has announced it since");
            }
        }
        Ok(())
    }
}

impl Put {
    fn is_as(&self, record: &FunctionRecord) -> bool {
        FunctionRecord { seen: record.seen, ..self.record.clone() } == *record
    }
}

/// Whether another worker may serve what is gone here. One that has the same of the pool does not have it
/// either; one that does not say what it has may.
fn may_serve(other: &Presence, own: &Presence, gone: &FunctionRecord) -> bool {
    if other.member == own.member {
        return false;
    }
    match other.pools.get(&gone.pool) {
        Some(digest) => own.pools.get(&gone.pool) != Some(digest),
        None => other.pools.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use rfx_schemas::record::Role;
    use serde_json::json;

    use super::*;

    fn presence(member: &str, pools: &[(&str, &str)]) -> Presence {
        let presence = Presence::new(Role::Worker, member.parse().expect("a member"), Stamp::now());
        let pools = pools.iter().map(|(pool, digest)| ((*pool).to_owned(), (*digest).to_owned())).collect();
        Presence { pools, ..presence }
    }

    #[test]
    fn what_others_may_serve_stays() {
        let gone: FunctionRecord = serde_json::from_value(json!({
            "name": "a.b", "version": "1", "group": "local", "queue": "main", "pool": "p", "seen": Stamp::now(),
        }))
        .expect("a record");
        let own = presence("one", &[("native", "1"), ("p", "new")]);
        let none_left = presence("one", &[("native", "1")]);
        for (other, may) in [
            (presence("one", &[("native", "1"), ("p", "old")]), false),
            (presence("two", &[("native", "1"), ("p", "old")]), true),
            (presence("two", &[("native", "1"), ("p", "new")]), false),
            (presence("two", &[("native", "1")]), false),
            (presence("two", &[]), true),
        ] {
            assert_eq!(may_serve(&other, &own, &gone), may, "{:?}", other.pools);
        }
        assert!(may_serve(&presence("two", &[("p", "old")]), &none_left, &gone));
    }
}
