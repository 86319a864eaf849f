//! Latency: one job at a time, each published when the outcome of the one before has been read.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures_util::StreamExt as _;

use crate::Error;
use crate::pattern::{Publisher, connect, outcomes, set_up, tear_down, work};

/// Hops before the clock starts.
const WARM_UP: usize = 100;

/// Mean microseconds of publish → pull → record → consume.
pub async fn measure(url: &str, hops: usize, python: bool) -> Result<f64, Error> {
    let client = connect(url).await?;
    let js = jetstream::new(client.clone());
    set_up(&js).await?;
    let worker = connect(url).await?;
    tokio::spawn(async move { work(worker, python).await.expect("a worker") });
    let mut outcomes = outcomes(connect(url).await?).await?;
    // Acks of the client's publishes are not waited for: the outcome says that the job was stored.
    let (publisher, _acked) = Publisher::<()>::new(client).await?;
    let hopping = async {
        let mut started = Instant::now();
        for number in 0..WARM_UP + hops {
            if number == WARM_UP {
                started = Instant::now();
            }
            publisher.job(number).await?;
            outcomes.next().await.ok_or("no more outcomes")??;
        }
        Ok::<_, Error>(started.elapsed())
    };
    let took = tokio::time::timeout(Duration::from_secs(120), hopping).await??;
    tear_down(&js).await?;
    Ok(took.as_secs_f64() * 1e6 / hops as f64)
}
