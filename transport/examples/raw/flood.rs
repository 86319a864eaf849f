//! Throughput: as many jobs at once as the publisher has in flight.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures_util::StreamExt as _;

use crate::Error;
use crate::pattern::{Publisher, connect, outcomes, set_up, tear_down, work};

const WORKERS: usize = 2;

/// Jobs a second.
pub async fn measure(url: &str, jobs: usize, python: bool) -> Result<f64, Error> {
    let client = connect(url).await?;
    let js = jetstream::new(client.clone());
    set_up(&js).await?;
    for _ in 0..WORKERS {
        let client = connect(url).await?;
        tokio::spawn(async move { work(client, python).await.expect("a worker") });
    }
    let mut messages = outcomes(connect(url).await?).await?;
    let consuming = tokio::spawn(async move {
        for _ in 0..jobs {
            messages.next().await.expect("an outcome").expect("an outcome");
        }
    });
    let (publisher, mut acked) = Publisher::<()>::new(client).await?;
    let started = Instant::now();
    let publishing = async {
        for number in 0..jobs {
            publisher.job(number).await.expect("published");
        }
        for _ in 0..jobs {
            acked.recv().await;
        }
    };
    let all = async { tokio::join!(publishing, consuming) };
    tokio::time::timeout(Duration::from_secs(300), all).await?.1?;
    let rate = jobs as f64 / started.elapsed().as_secs_f64();
    tear_down(&js).await?;
    Ok(rate)
}
