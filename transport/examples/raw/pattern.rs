//! The parts of the pattern: the guarded publisher, the worker, the reader of outcomes.

use std::sync::{Arc, Mutex};

use async_nats::jetstream::{self, consumer, stream};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt as _;
use slab::Slab;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::Error;
use crate::python::Python;

const IN_FLIGHT: usize = 256;
const BATCH: usize = 500;
const BODY: usize = 240;
const STREAMS: [&str; 2] = ["RAW_JOBS", "RAW_OUTCOMES"];

/// Publishes under a guard, all acks on one subscription.
pub struct Publisher<T> {
    client: Client,
    prefix: String,
    waiting: Arc<Mutex<Slab<(T, OwnedSemaphorePermit)>>>,
    permits: Arc<Semaphore>,
}

impl<T: Send + 'static> Publisher<T> {
    pub async fn new(client: Client) -> Result<(Self, mpsc::UnboundedReceiver<T>), Error> {
        let inbox = client.new_inbox();
        let mut acks = client.subscribe(format!("{inbox}.*")).await?;
        let waiting: Arc<Mutex<Slab<(T, OwnedSemaphorePermit)>>> = Arc::default();
        let (sender, receiver) = mpsc::unbounded_channel();
        let (table, skip) = (Arc::clone(&waiting), inbox.len() + 1);
        tokio::spawn(async move {
            while let Some(message) = acks.next().await {
                assert!(message.payload.starts_with(b"{\"stream\":"), "refused: {:?}", message.payload);
                let slot: usize = message.subject.as_str()[skip..].parse().expect("our own slot");
                let (tag, _permit) = table.lock().expect("no panic holds it").remove(slot);
                if sender.send(tag).is_err() {
                    return;
                }
            }
        });
        let permits = Arc::new(Semaphore::new(IN_FLIGHT));
        Ok((Self { client, prefix: format!("{inbox}."), waiting, permits }, receiver))
    }

    pub async fn publish(&self, subject: String, body: Bytes, tag: T) -> Result<(), Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await?;
        let slot = self.waiting.lock().expect("no panic holds it").insert((tag, permit));
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        let reply = format!("{}{slot}", self.prefix);
        Ok(self.client.publish_with_reply_and_headers(subject, reply, headers, body).await?)
    }
}

impl Publisher<()> {
    /// Publishes a job on a subject of its own.
    pub async fn job(&self, number: usize) -> Result<(), Error> {
        let subject = format!("raw.job.local.main.noop.0193a5b2c3d4e5f6.{number}-0.1");
        self.publish(subject, Bytes::from(format!("{{\"text\":\"{}\"}}", "x".repeat(BODY))), ()).await
    }
}

/// A connection of its own.
pub async fn connect(url: &str) -> Result<Client, Error> {
    Ok(async_nats::ConnectOptions::new().client_capacity(65_536).connect(url).await?)
}

/// Takes jobs, has them executed by a Python child if there is to be one, publishes their outcomes, and
/// acknowledges what was stored.
pub async fn work(client: Client, python: bool) -> Result<(), Error> {
    let js = jetstream::new(client.clone());
    let lane: consumer::PullConsumer = js.get_consumer_from_stream("work", "RAW_JOBS").await?;
    let (publisher, mut done) = Publisher::<jetstream::Message>::new(client).await?;
    tokio::spawn(async move {
        while let Some(message) = done.recv().await {
            message.ack().await.expect("acknowledged");
        }
    });
    let mut jobs = lane.stream().max_messages_per_batch(BATCH).messages().await?;
    let child = if python { Some(Python::start()?) } else { None };
    // The window of calls that are with the child.
    let (called, mut answered) = mpsc::channel(IN_FLIGHT);
    let calling = async move {
        while let Some(message) = jobs.next().await {
            // The consumer goes when the measurement is over.
            let Ok(message) = message else { return };
            let answer = child.as_ref().map(|child| child.call(message.payload.clone()));
            if called.send((message, answer)).await.is_err() {
                return;
            }
        }
    };
    let recording = async {
        while let Some((message, answer)) = answered.recv().await {
            let number = message.info()?.stream_sequence;
            let body = match answer {
                Some(answer) => answer.await?,
                None => message.payload.clone(),
            };
            publisher.publish(format!("raw.outcome.run.local.{number}-0.1.ended"), body, message).await?;
        }
        Ok(())
    };
    tokio::join!(calling, recording).1
}

/// Reads outcomes in order, without acks.
pub async fn outcomes(client: Client) -> Result<consumer::pull::Stream, Error> {
    let config = consumer::pull::Config { ack_policy: consumer::AckPolicy::None, ..Default::default() };
    let outcomes = jetstream::new(client).create_consumer_on_stream(config, "RAW_OUTCOMES").await?;
    Ok(outcomes.stream().max_messages_per_batch(BATCH).messages().await?)
}

/// Makes the streams anew, and the workers' consumer.
pub async fn set_up(js: &jetstream::Context) -> Result<(), Error> {
    let kinds = [
        ("raw.job.>", stream::RetentionPolicy::WorkQueue),
        ("raw.outcome.>", stream::RetentionPolicy::Limits),
    ];
    for (name, (subject, retention)) in STREAMS.into_iter().zip(kinds) {
        drop(js.delete_stream(name).await);
        let config = stream::Config {
            name: name.to_owned(),
            subjects: vec![subject.to_owned()],
            retention,
            allow_direct: true,
            ..Default::default()
        };
        js.create_stream(config).await?;
    }
    let config = consumer::pull::Config {
        durable_name: Some("work".to_owned()),
        ack_policy: consumer::AckPolicy::Explicit,
        max_ack_pending: 4_000,
        ..Default::default()
    };
    js.create_consumer_on_stream(config, "RAW_JOBS").await?;
    Ok(())
}

/// Removes what `set_up` made.
pub async fn tear_down(js: &jetstream::Context) -> Result<(), Error> {
    for name in STREAMS {
        js.delete_stream(name).await?;
    }
    Ok(())
}
