//! The resident publisher: stands by for every run, and drives those whose own publisher is gone.

use std::collections::{BTreeSet, HashMap};

use rfx_config::settings;
use rfx_schemas::fact::Fact;
use rfx_schemas::id::RunId;
use rfx_schemas::record::{Presence, Role, presence_key};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::subject::{FactSubject, RunFact};
use rfx_schemas::topology::{Bucket, PRESENCE_EVERY};
use rfx_transport::facts::{Entry, Scope};
use rfx_transport::{Transport, TransportError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::drive::{Driver, Source};
use crate::find;

/// Facts that may wait for one run's driver; a full feed makes the shared reader wait.
const FEED: usize = 4_096;

/// Wait before standing by again for a run that could not be driven.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// A resident publisher.
struct Resident {
    transport: Transport,
    window: usize,
    feeds: HashMap<RunId, mpsc::Sender<Entry>>,
    drivers: JoinSet<RunId>,
}

/// Stays up until shutdown. Runs go on without it: each is driven by the next publisher.
pub async fn serve(
    settings: &settings::Publisher,
    transport: Transport,
    shutdown: CancellationToken,
) -> Result<(), TransportError> {
    transport.ensure().await?;
    let mut resident = Resident {
        transport: transport.clone(),
        window: settings.window as usize,
        feeds: HashMap::new(),
        drivers: JoinSet::new(),
    };
    let from = transport.last_fact().await? + 1;
    let mut reader = transport.facts(Scope::All, transport.member(), from);
    for run in open_runs(&transport).await? {
        resident.stand_by(run);
    }
    let presence = Presence::new(Role::Publisher, transport.member().clone(), Stamp::now());
    let presence = Presence { resident: true, ..presence };
    let key = presence_key(&presence);
    let mut tick = interval(PRESENCE_EVERY);
    let mut entries = Vec::new();
    tracing::info!("standing by for runs");
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = tick.tick() => {
                if let Err(error) = transport.kv_put(Bucket::Presence, &key, &presence).await {
                    tracing::debug!(%error, "could not say that this publisher is up");
                }
            }
            Some(ended) = resident.drivers.join_next() => match ended {
                Ok(run) => {
                    resident.feeds.remove(&run);
                    let finished = FactSubject::Run { run, fact: RunFact::Finished };
                    if matches!(transport.has_fact(&finished).await, Ok(false)) {
                        resident.stand_by(run);
                    }
                }
                Err(error) => tracing::error!(%error, "a bug of rfx ended a driver"),
            },
            read = reader.read(&mut entries) => {
                read?;
                for entry in std::mem::take(&mut entries) {
                    resident.take(entry).await;
                }
            }
        }
    }
    if let Err(error) = transport.kv_delete(Bucket::Presence, &key).await {
        tracing::debug!(%error, "the presence record runs out by itself");
    }
    resident.drivers.shutdown().await;
    Ok(())
}

async fn open_runs(transport: &Transport) -> Result<BTreeSet<RunId>, TransportError> {
    let runs = transport.runs().await?;
    Ok(runs.into_iter().filter(|r| r.finished.is_none()).map(|r| r.submitted.run).collect())
}

impl Resident {
    /// Gives a fact to its run's driver.
    async fn take(&mut self, entry: Entry) {
        let run = entry.subject.run();
        if matches!((&entry.subject, &entry.fact), (FactSubject::Run { .. }, Ok(Fact::Submitted(_)))) {
            self.stand_by(run);
        }
        if let Some(feed) = self.feeds.get(&run)
            && feed.send(entry).await.is_err()
        {
            self.feeds.remove(&run);
        }
    }

    fn stand_by(&mut self, run: RunId) {
        if self.feeds.contains_key(&run) {
            return;
        }
        let (sender, feed) = mpsc::channel(FEED);
        self.feeds.insert(run, sender);
        let (transport, window) = (self.transport.clone(), self.window);
        self.drivers.spawn(async move {
            if let Err(error) = drive(&transport, run, feed, window).await {
                tracing::error!(%run, error = %chain(&*error), "lost a run, standing by for it again");
                sleep(AGAIN).await;
            }
            run
        });
    }
}

async fn drive(
    transport: &Transport,
    run: RunId,
    feed: mpsc::Receiver<Entry>,
    window: usize,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let loaded = find::load(transport, run).await?;
    let replay = Some(transport.facts(Scope::Run(run), transport.member(), loaded.sequence));
    let mut driver = Driver::new(transport, loaded, Source::Shared { replay, feed }, window, false)?;
    let verdict = driver.drive(|_, _| {}).await?;
    tracing::info!(%run, %verdict, "the run has ended");
    Ok(())
}

fn chain(error: &(dyn std::error::Error + Send + Sync)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
}
