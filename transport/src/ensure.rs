//! The topology of `schemas`, applied: streams and consumers are created where they are missing,
//! read back, and refused by name where they are not as needed. Nothing there is ever changed.

use async_nats::jetstream::{ErrorCode, consumer, context, stream};
use rfx_schemas::name::{Group, Queue};
use rfx_schemas::topology::{ConsumerSpec, Retention, StreamSpec};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

use crate::error::TransportError;
use crate::{ANSWER, Transport};

/// A fresh cluster needs a while before it can place streams.
const PERSIST: Duration = Duration::from_secs(20);

impl Transport {
    /// Makes sure that every stream and bucket is there and as needed.
    pub async fn ensure(&self) -> Result<(), TransportError> {
        for spec in self.topology().streams() {
            self.ensure_stream(&spec).await?;
        }
        Ok(())
    }

    /// Makes a stream with nothing but a name and a subject, as another program might have: for
    /// tests of what is refused.
    #[doc(hidden)]
    pub async fn make_foreign_stream(&self, name: &str, subject: &str) -> Result<(), TransportError> {
        let config = stream::Config {
            name: name.to_owned(),
            subjects: vec![subject.to_owned()],
            ..Default::default()
        };
        let made = self.js().create_stream(config).await;
        made.map(drop).map_err(|e| TransportError::failed("making a stream", e))
    }

    /// Makes a lane that admits so many jobs at once, as an operator might: for tests.
    #[doc(hidden)]
    pub async fn make_limited_lane(
        &self,
        group: &Group,
        queue: &Queue,
        max_ack_pending: i64,
    ) -> Result<(), TransportError> {
        let spec = ConsumerSpec { max_ack_pending, ..self.topology().consumer(group, queue) };
        let made = self.js().create_consumer_on_stream(consumer_config(&spec), self.topology().jobs()).await;
        made.map(drop).map_err(|e| TransportError::failed("making a consumer", e))
    }

    async fn ensure_stream(&self, spec: &StreamSpec) -> Result<(), TransportError> {
        let what = format!("setting up stream {}", spec.name);
        let started = Instant::now();
        loop {
            let error = match timeout(ANSWER, self.js().get_or_create_stream(config(spec))).await {
                Ok(Ok(found)) => return verify(spec, &found.cached_info().config),
                Ok(Err(error)) if permanent(&error) => {
                    return Err(TransportError::Refused { what, reason: error.to_string() });
                }
                Ok(Err(error)) => TransportError::failed(what.clone(), error),
                Err(_) => self.no_answer(what.clone(), ANSWER),
            };
            if started.elapsed() > PERSIST {
                return Err(error);
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Makes sure that a lane has its consumer, and gives the `ack_wait` that it has. An existing one
    /// is taken as it is: its limits are the operator's to set.
    pub async fn ensure_consumer(&self, group: &Group, queue: &Queue) -> Result<Duration, TransportError> {
        let spec = self.topology().consumer(group, queue);
        let jobs = self.topology().jobs();
        let what = format!("setting up consumer {} of {jobs}", spec.name);
        let asking = self.js().get_consumer_from_stream::<consumer::pull::Config, _, _>(&spec.name, &jobs);
        match timeout(ANSWER, asking).await {
            Ok(Ok(found)) => return Ok(found.cached_info().config.ack_wait),
            Ok(Err(error)) => tracing::debug!(%error, consumer = spec.name, "creating it"),
            Err(_) => return Err(self.no_answer(what, ANSWER)),
        }
        self.ensure().await?;
        match timeout(ANSWER, self.js().create_consumer_on_stream(consumer_config(&spec), &jobs)).await {
            Ok(Ok(_)) => Ok(spec.ack_wait),
            Ok(Err(error)) => Err(TransportError::failed(what, error)),
            Err(_) => Err(self.no_answer(what, ANSWER)),
        }
    }
}

fn permanent(error: &context::CreateStreamError) -> bool {
    match error.kind() {
        context::CreateStreamErrorKind::JetStream(error) => {
            matches!(
                error.error_code(),
                ErrorCode::STREAM_SUBJECT_OVERLAP | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
            )
        }
        _ => false,
    }
}

fn config(spec: &StreamSpec) -> stream::Config {
    stream::Config {
        name: spec.name.clone(),
        description: Some(spec.description.to_owned()),
        subjects: spec.subjects.clone(),
        retention: match spec.retention {
            Retention::WorkQueue => stream::RetentionPolicy::WorkQueue,
            Retention::Limits => stream::RetentionPolicy::Limits,
        },
        storage: stream::StorageType::File,
        num_replicas: spec.replicas,
        max_age: spec.max_age.unwrap_or_default(),
        max_consumers: spec.max_consumers.unwrap_or(-1),
        max_messages_per_subject: if spec.last_only { 1 } else { -1 },
        discard: if spec.last_only { stream::DiscardPolicy::New } else { stream::DiscardPolicy::Old },
        allow_rollup: spec.last_only,
        deny_delete: spec.last_only,
        allow_direct: true,
        allow_message_ttl: true,
        ..Default::default()
    }
}

fn consumer_config(spec: &ConsumerSpec) -> consumer::pull::Config {
    consumer::pull::Config {
        durable_name: Some(spec.name.clone()),
        filter_subject: spec.filter.clone(),
        ack_policy: consumer::AckPolicy::Explicit,
        ack_wait: spec.ack_wait,
        // Poison is settled by the worker, by the delivery count: the server would only hide it.
        max_deliver: -1,
        max_ack_pending: spec.max_ack_pending,
        ..Default::default()
    }
}

/// Servers drop settings that they do not know without a word: what came back decides.
fn verify(spec: &StreamSpec, found: &stream::Config) -> Result<(), TransportError> {
    let needed = config(spec);
    let checks: [(&'static str, String, String); 5] = [
        ("retention", format!("{:?}", found.retention), format!("{:?}", needed.retention)),
        ("subjects", found.subjects.join(" "), needed.subjects.join(" ")),
        ("allow_direct", found.allow_direct.to_string(), needed.allow_direct.to_string()),
        ("allow_msg_ttl", found.allow_message_ttl.to_string(), needed.allow_message_ttl.to_string()),
        (
            "max_msgs_per_subject",
            found.max_messages_per_subject.to_string(),
            needed.max_messages_per_subject.to_string(),
        ),
    ];
    match checks.into_iter().find(|(_, found, needed)| found != needed) {
        None => Ok(()),
        Some((setting, found, needed)) => {
            Err(TransportError::Mismatch { stream: spec.name.clone(), setting, found, needed })
        }
    }
}
