//! The only code of rfx that speaks NATS: connections, the topology, guarded publishing, the pull
//! loop, facts, key-value, blobs, leases.
//!
//! What stands on a subject and how a message reads is `schemas`' part; what follows from a fact is
//! the callers' part. Every wait here has a deadline and every retry a bound.

pub mod blob;
pub mod connect;
pub mod delivery;
mod ensure;
mod error;
pub mod facts;
pub mod kv;
pub mod lease;
pub mod look;
mod publish;
mod pull;
pub mod run;
mod scan;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use rfx_schemas::name::Member;
use rfx_schemas::subject::Subjects;
use rfx_schemas::topology::Topology;
use tokio::sync::watch;

pub use error::TransportError;
pub use publish::{Guarded, Published};
pub use pull::{Puller, Target};

/// Longest wait for an answer from the server. Leader elections take 4–9 s (measured on R3), so
/// what must not fail is tried again beyond it.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// One connection to NATS, with the topology of one namespace.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

struct Inner {
    client: async_nats::Client,
    js: jetstream::Context,
    api: String,
    topology: Topology,
    subjects: Subjects,
    publisher: publish::Publisher,
    connected: watch::Receiver<u64>,
    complaint: Arc<Mutex<Option<String>>>,
    server: String,
    member: Member,
}

impl Transport {
    /// The subjects of the namespace.
    pub fn subjects(&self) -> &Subjects {
        &self.inner.subjects
    }

    /// The topology of the namespace.
    pub fn topology(&self) -> &Topology {
        &self.inner.topology
    }

    /// Counts connections: it changes when the client has connected again.
    pub fn connections(&self) -> watch::Receiver<u64> {
        self.inner.connected.clone()
    }

    /// Largest message that the server takes, in bytes.
    pub fn max_payload(&self) -> usize {
        self.inner.client.server_info().max_payload
    }

    /// What this connection's process calls itself; no other has the name.
    pub fn member(&self) -> &Member {
        &self.inner.member
    }

    /// Where the server is, for messages.
    pub fn server(&self) -> &str {
        &self.inner.server
    }

    pub(crate) fn client(&self) -> &async_nats::Client {
        &self.inner.client
    }

    pub(crate) fn js(&self) -> &jetstream::Context {
        &self.inner.js
    }

    /// A subject of the JetStream API, in the domain that was asked for.
    pub(crate) fn api(&self, operation: &str) -> String {
        format!("{}.{operation}", self.inner.api)
    }

    /// What the server last complained about; a publish that permissions refuse looks like a
    /// timeout otherwise.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.inner.complaint.lock().expect("no panic holds it").clone()
    }

    /// Waits until everything that was sent has left, and closes the connection.
    pub async fn close(&self) {
        let flushed = tokio::time::timeout(ANSWER, self.inner.client.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::debug!("the connection was closed before everything was sent");
        }
        if let Err(error) = self.inner.client.drain().await {
            tracing::debug!(%error, "the connection was closed already");
        }
    }

    /// Speaks to a run's workers. Best effort: nothing depends on it.
    pub async fn announce_cancel(&self, run: rfx_schemas::id::RunId) {
        let subject = self.subjects().control(run);
        let body = serde_json::to_vec(&rfx_schemas::live::Control::Cancel).unwrap_or_default();
        let sent = tokio::time::timeout(ANSWER, self.client().publish(subject, body.into())).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!(%run, "could not tell the workers that the run is cancelled");
        }
    }

    /// Says how far a job is. Best effort: nothing depends on it.
    pub async fn announce_progress(
        &self,
        run: rfx_schemas::id::RunId,
        job: rfx_schemas::id::JobId,
        message: String,
    ) {
        let subject = self.subjects().progress(run, job);
        let sent = tokio::time::timeout(ANSWER, self.client().publish(subject, message.into())).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!(%run, %job, "could not say how far a job is");
        }
    }

    /// Hears which runs are cancelled.
    pub async fn cancels(&self) -> Result<Cancels, TransportError> {
        let subscription = self.client().subscribe(self.subjects().all_controls()).await;
        let subscription = subscription.map_err(|e| TransportError::Failed {
            what: "listening for cancelled runs".to_owned(),
            source: Box::new(e),
        })?;
        Ok(Cancels { subscription, subjects: self.subjects().clone() })
    }
}

/// The runs that are cancelled from now on, as far as word of it arrives.
pub struct Cancels {
    subscription: async_nats::Subscriber,
    subjects: Subjects,
}

impl Cancels {
    /// The next one.
    pub async fn next(&mut self) -> Option<rfx_schemas::id::RunId> {
        use futures_util::StreamExt as _;
        loop {
            let message = self.subscription.next().await?;
            if let Ok(run) = self.subjects.parse_control(message.subject.as_str()) {
                return Some(run);
            }
        }
    }
}
