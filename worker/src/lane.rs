//! One lane of the group: pull by free slots, look before what may be a repeat, execute, record,
//! acknowledge, in that order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rfx_schemas::name::Queue;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::subject::JobSubject;
use rfx_transport::delivery::Delivery;
use rfx_transport::look::Look;
use rfx_transport::{Puller, TransportError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::settle;
use crate::site::Site;
use crate::slots::Slots;

/// A delivery older than this since its release is looked up before it starts.
const FRESH: Duration = Duration::from_secs(30);
/// Jobs are held beyond the free slots if they are expected to start within this time.
const AHEAD: Duration = Duration::from_millis(20);
/// Most jobs held.
const HELD: usize = 256;
/// How often a look that fails is tried again before the jobs are handed back.
const LOOKS: usize = 5;
/// Wait before looking again, and before opening a lane again that has lost its consumer.
const REOPEN: Duration = Duration::from_millis(500);

/// A job that waits for a slot.
pub(crate) struct Held {
    pub(crate) delivery: Delivery,
    pub(crate) subject: JobSubject,
}

/// A lane's state.
struct Lane {
    site: Arc<Site>,
    queue: Queue,
    slots: Arc<Slots>,
    puller: Puller,
    held: VecDeque<Held>,
    running: JoinSet<Duration>,
    /// Mean duration of attempts, as far as known.
    mean: Option<Duration>,
    connected: watch::Receiver<u64>,
    connected_at: Stamp,
}

/// Serves one lane until shutdown, then hands back what was not started and waits for what was.
pub async fn serve(
    site: Arc<Site>,
    queue: Queue,
    slots: usize,
    drain: Duration,
    shutdown: CancellationToken,
) -> Result<(), TransportError> {
    let puller = site.transport.pull_lane(&site.group, &queue).await?;
    let connected = site.transport.connections();
    let mut lane = Lane {
        site,
        queue,
        slots: Slots::new(slots),
        puller,
        held: VecDeque::new(),
        running: JoinSet::new(),
        mean: None,
        connected,
        connected_at: Stamp::now(),
    };
    lane.pull_until(&shutdown).await;
    lane.drain(drain).await;
    Ok(())
}

impl Lane {
    async fn pull_until(&mut self, shutdown: &CancellationToken) {
        let mut heartbeat = interval(self.site.ack_wait / 3);
        let mut deliveries = Vec::new();
        loop {
            if self.connected.has_changed().unwrap_or(false) {
                self.look_again().await;
            }
            self.start_held();
            let (room, least) = self.room();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                Some(done) = self.running.join_next(), if !self.running.is_empty() => self.ended(done),
                open = self.puller.jobs(room, least, &mut deliveries), if room > 0 => {
                    if !open && !self.reopen(shutdown).await {
                        return;
                    }
                    let new = std::mem::take(&mut deliveries);
                    self.admit(new).await;
                }
                () = self.slots.given_back() => {}
                _ = heartbeat.tick() => {
                    for held in &self.held {
                        held.delivery.progress().await;
                    }
                }
            }
        }
    }

    /// How many more jobs there is room for, and how many are worth asking for: while jobs are
    /// held, no slot waits for the answer.
    fn room(&self) -> (usize, usize) {
        let ahead = match self.mean {
            Some(mean) if mean < AHEAD => {
                let rounds = AHEAD.as_secs_f64() / mean.as_secs_f64().max(1e-6);
                // The estimate is small and positive; HELD bounds it.
                ((self.slots.all() as f64 * rounds) as usize).min(HELD)
            }
            _ => 0,
        };
        let capacity = self.slots.all() + ahead;
        let room = capacity.saturating_sub(self.slots.taken() + self.held.len());
        let least = if self.held.is_empty() { 1 } else { (capacity / 4).max(1) };
        (room, least)
    }

    fn start_held(&mut self) {
        while let Some(held) = self.held.front() {
            let Some(slot) = self.slots.take(self.site.bounds(&held.subject.function)) else { return };
            let Some(held) = self.held.pop_front() else { return };
            let site = Arc::clone(&self.site);
            // Boxed before it is spawned: the future is kilobytes, and spawning moves it twice.
            self.running.spawn(Box::pin(async move { settle::attempt(&site, held, &Arc::new(slot)).await }));
        }
    }

    fn ended(&mut self, done: Result<Duration, tokio::task::JoinError>) {
        let mut next = Some(done);
        while let Some(done) = next {
            match done {
                Ok(took) => {
                    let mean = self.mean.map_or(took, |mean| (mean * 7 + took) / 8);
                    self.mean = Some(mean);
                    self.slots.pace(mean);
                }
                // Not acknowledged, so the broker hands it over again; the poison limit bounds it.
                Err(error) => tracing::error!(%error, "a bug of rfx ended an attempt"),
            }
            next = self.running.try_join_next();
        }
    }

    /// Takes in what was delivered; what may be a repeat only after a look.
    async fn admit(&mut self, deliveries: Vec<Delivery>) {
        let now = Stamp::now();
        let mut doubtful = Vec::new();
        for delivery in deliveries {
            let subject = match self.site.transport.subjects().parse_job(delivery.subject()) {
                Ok(subject) => subject,
                Err(error) => {
                    tracing::error!(%error, "left a job alone that no rfx has published");
                    continue;
                }
            };
            let fresh = delivery.delivered == 1
                && !delivery.again()
                && delivery.stored > self.connected_at
                && now.since(delivery.stored) < FRESH;
            let held = Held { delivery, subject };
            if fresh { self.held.push_back(held) } else { doubtful.push(held) }
        }
        if !doubtful.is_empty() {
            self.look(doubtful).await;
        }
    }

    /// After a lost connection, others may have done what is held here meanwhile.
    async fn look_again(&mut self) {
        self.connected.mark_unchanged();
        self.connected_at = Stamp::now();
        let held: Vec<_> = self.held.drain(..).collect();
        if !held.is_empty() {
            self.look(held).await;
        }
    }

    async fn look(&mut self, doubtful: Vec<Held>) {
        let subjects: Vec<_> = doubtful.iter().map(|held| held.subject.clone()).collect();
        let mut looked = self.site.transport.look(&subjects).await;
        for _ in 0..LOOKS {
            if looked.is_ok() {
                break;
            }
            tokio::time::sleep(REOPEN).await;
            for held in &doubtful {
                held.delivery.progress().await;
            }
            looked = self.site.transport.look(&subjects).await;
        }
        match looked {
            Ok(looks) => {
                for (held, look) in doubtful.into_iter().zip(looks) {
                    match look {
                        Look::Open => self.held.push_back(held),
                        Look::Recorded | Look::Over => held.delivery.ack().await,
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "could not look whether jobs are done already, handing them back");
                for held in doubtful {
                    held.delivery.hand_back().await;
                }
            }
        }
    }

    /// Opens the lane again; false at shutdown.
    async fn reopen(&mut self, shutdown: &CancellationToken) -> bool {
        loop {
            let opening = async {
                self.site.transport.ensure_consumer(&self.site.group, &self.queue).await?;
                self.site.transport.pull_lane(&self.site.group, &self.queue).await
            };
            tokio::select! {
                () = shutdown.cancelled() => return false,
                opened = opening => match opened {
                    Ok(puller) => {
                        self.puller = puller;
                        return true;
                    }
                    Err(error) => tracing::warn!(%error, queue = %self.queue, "opening the lane again"),
                },
            }
            tokio::time::sleep(REOPEN).await;
        }
    }

    async fn drain(mut self, patience: Duration) {
        self.site.draining.store(true, std::sync::atomic::Ordering::Release);
        let mut late = Vec::new();
        self.puller.last_jobs(Duration::from_secs(2), &mut late).await;
        let back = late.len() + self.held.len();
        for delivery in late.into_iter().chain(self.held.drain(..).map(|held| held.delivery)) {
            delivery.hand_back().await;
        }
        let running = self.running.len();
        tracing::info!(queue = %self.queue, running, handed_back = back, "draining");
        let waiting = async { while self.running.join_next().await.is_some() {} };
        if timeout(patience, waiting).await.is_err() {
            tracing::warn!(
                left = self.running.len(),
                "gave up waiting for running jobs; other workers get them"
            );
            self.running.shutdown().await;
        }
    }
}
