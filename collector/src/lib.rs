//! The collector: folds recorded facts into a report for every run. It publishes no jobs, and runs
//! do not depend on it: whatever it missed, it reads again from the stream.

mod folder;

use std::time::Duration;

use folder::Folder;
use rfx_config::settings;
use rfx_schemas::record::{Presence, Role, presence_key};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::topology::{Bucket, PRESENCE_EVERY};
use rfx_transport::facts::{Entry, Scope};
use rfx_transport::lease::{LeaseKeeper, RENEW};
use rfx_transport::{Transport, TransportError};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

/// Why reports cannot be made any more.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A report cannot be written.
    #[error(transparent)]
    Write(#[from] rfx_report::files::WriteError),
    /// NATS is not as needed.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Reports of runs that go on are written again at most this often.
const LIVE: Duration = Duration::from_secs(2);

/// Makes reports until shutdown. Of several collectors one is active; the others stand by.
pub async fn run(
    settings: &settings::Collector,
    transport: Transport,
    shutdown: CancellationToken,
) -> Result<(), CollectError> {
    transport.ensure().await?;
    // Said at once, not when the first run has ended.
    rfx_report::files::prepare(&settings.reports)?;
    let presence = Presence::new(Role::Collector, transport.member().clone(), Stamp::now());
    let key = presence_key(&presence);
    let mut lease = LeaseKeeper::new(transport.clone(), "collector", transport.member().clone());
    let mut tend = interval(RENEW);
    let mut tick = interval(PRESENCE_EVERY);
    let mut live = interval(LIVE);
    let mut active: Option<Active> = None;
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = tend.tick() => match lease.tend().await {
                Ok(true) if active.is_none() => active = Some(Active::begin(settings, &transport)),
                Ok(false) if active.take().is_some() => tracing::info!("another collector is active, standing by"),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "could not tend the lease"),
            },
            _ = tick.tick() => {
                if let Err(error) = transport.kv_put(Bucket::Presence, &key, &presence).await {
                    tracing::debug!(%error, "could not say that this collector is up");
                }
            }
            _ = live.tick() => if let Some(active) = &mut active {
                active.folder.write_live(Stamp::now());
            },
            entries = read(&mut active) => {
                let entries = entries?;
                if let Some(active) = &mut active {
                    active.folder.fold(entries).await;
                }
            }
        }
    }
    lease.release().await;
    if let Err(error) = transport.kv_delete(Bucket::Presence, &key).await {
        tracing::debug!(%error, "the presence record runs out by itself");
    }
    Ok(())
}

/// The collector that folds.
struct Active {
    reader: rfx_transport::facts::FactReader,
    folder: Folder,
}

impl Active {
    /// Folds from the first fact that the stream has; runs whose report is final are passed over.
    fn begin(settings: &settings::Collector, transport: &Transport) -> Self {
        tracing::info!(reports = %settings.reports.display(), "collecting");
        let reader = transport.facts(Scope::All, transport.member(), 1);
        Self { reader, folder: Folder::new(transport.clone(), settings.reports.clone()) }
    }
}

/// Reads what comes; waits for ever while standing by. Folding is not done in here: this is dropped
/// whenever something else comes first.
async fn read(active: &mut Option<Active>) -> Result<Vec<Entry>, CollectError> {
    let Some(active) = active else { return std::future::pending().await };
    let mut entries = Vec::new();
    active.reader.read(&mut entries).await?;
    Ok(entries)
}
