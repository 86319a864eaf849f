//! The raw limit of rfx's message pattern, for `cargo xtask bench` to measure rfx against: a guarded
//! job publish on a subject of its own, a pull, a guarded outcome, an ack, the outcome consumed.
//! Nothing but async-nats, and nothing done with a job.
//!
//! `raw URL JOBS` prints jobs/s. Two workers, 256-byte messages, 256 publishes in flight, pulls of 500.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, consumer, stream};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt as _;
use slab::Slab;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

const IN_FLIGHT: usize = 256;
const BATCH: usize = 500;
const WORKERS: usize = 2;
const BODY: usize = 256;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Publishes under a guard, all acks on one subscription.
struct Publisher<T> {
    client: Client,
    prefix: String,
    waiting: Arc<Mutex<Slab<(T, OwnedSemaphorePermit)>>>,
    permits: Arc<Semaphore>,
}

impl<T: Send + 'static> Publisher<T> {
    async fn new(client: Client) -> Result<(Self, mpsc::UnboundedReceiver<T>), Error> {
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

    async fn publish(&self, subject: String, body: Bytes, tag: T) -> Result<(), Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await?;
        let slot = self.waiting.lock().expect("no panic holds it").insert((tag, permit));
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        let reply = format!("{}{slot}", self.prefix);
        Ok(self.client.publish_with_reply_and_headers(subject, reply, headers, body).await?)
    }
}

async fn connect(url: &str) -> Result<Client, Error> {
    Ok(async_nats::ConnectOptions::new().client_capacity(65_536).connect(url).await?)
}

async fn work(client: Client) -> Result<(), Error> {
    let js = jetstream::new(client.clone());
    let lane: consumer::PullConsumer = js.get_consumer_from_stream("work", "RAW_JOBS").await?;
    let (publisher, mut done) = Publisher::<jetstream::Message>::new(client).await?;
    tokio::spawn(async move {
        while let Some(message) = done.recv().await {
            message.ack().await.expect("acknowledged");
        }
    });
    let mut jobs = lane.stream().max_messages_per_batch(BATCH).messages().await?;
    while let Some(message) = jobs.next().await {
        // The consumer goes when the measurement is over.
        let Ok(message) = message else { return Ok(()) };
        let number = message.info()?.stream_sequence;
        let body = message.payload.clone();
        publisher.publish(format!("raw.outcome.run.local.{number}-0.1.ended"), body, message).await?;
    }
    Ok(())
}

async fn set_up(js: &jetstream::Context) -> Result<(), Error> {
    for (name, subject, retention) in [
        ("RAW_JOBS", "raw.job.>", stream::RetentionPolicy::WorkQueue),
        ("RAW_OUTCOMES", "raw.outcome.>", stream::RetentionPolicy::Limits),
    ] {
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

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args: Vec<_> = std::env::args().collect();
    let (url, jobs) =
        (args.get(1).ok_or("raw URL JOBS")?, args.get(2).ok_or("raw URL JOBS")?.parse::<usize>()?);
    let client = connect(url).await?;
    let js = jetstream::new(client.clone());
    set_up(&js).await?;
    for _ in 0..WORKERS {
        let client = connect(url).await?;
        tokio::spawn(async move { work(client).await.expect("a worker") });
    }
    let reader = jetstream::new(connect(url).await?);
    let config = consumer::pull::Config { ack_policy: consumer::AckPolicy::None, ..Default::default() };
    let outcomes = reader.create_consumer_on_stream(config, "RAW_OUTCOMES").await?;
    let consuming = tokio::spawn(async move {
        let mut messages =
            outcomes.stream().max_messages_per_batch(BATCH).messages().await.expect("a reader");
        for _ in 0..jobs {
            messages.next().await.expect("an outcome").expect("an outcome");
        }
    });
    let (publisher, mut acked) = Publisher::<()>::new(client).await?;
    let started = Instant::now();
    let publishing = async {
        let body = Bytes::from(vec![b'x'; BODY]);
        for number in 0..jobs {
            let subject = format!("raw.job.local.main.noop.0193a5b2c3d4e5f6.{number}-0.1");
            publisher.publish(subject, body.clone(), ()).await.expect("published");
        }
        for _ in 0..jobs {
            acked.recv().await;
        }
    };
    let all = async { tokio::join!(publishing, consuming) };
    tokio::time::timeout(Duration::from_secs(300), all).await?.1?;
    let rate = jobs as f64 / started.elapsed().as_secs_f64();
    std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{rate:.0}\n"))?;
    for name in ["RAW_JOBS", "RAW_OUTCOMES"] {
        js.delete_stream(name).await?;
    }
    Ok(())
}
