//! The worker: pulls jobs of its group, executes functions, records outcomes, acknowledges. It
//! decides nothing about the flow and publishes no jobs.
//!
//! As a library it is the way to serve native Rust functions: fill a [`native::Registry`] and give it
//! to [`main`], or to [`run`] in a process that is yours.

// The examples in Rust of the page on functions are compiled with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../../docs/functions.md")]
mod page {}

mod args;
mod attempt;
pub mod builtin;
mod calls;
mod catalogue;
mod child;
mod desk;
mod doubles;
mod entry;
mod environment;
mod executable;
mod execute;
mod expect;
mod flows;
pub mod guard;
mod lane;
mod manifest;
pub mod native;
mod pools;
mod runner;
pub mod secrets;
mod settle;
mod site;
mod slots;
mod sweep;
mod text;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rfx_config::settings;
use rfx_config::telemetry::Spans;
use rfx_schemas::record::{BrokenModule, FunctionRecord, Presence, Role, function_key, presence_key};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::topology::{Bucket, PRESENCE_EVERY};
use rfx_transport::{Transport, TransportError};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use catalogue::Catalogue;
pub use entry::main;
use environment::Environments;
pub use environment::{Cached, Marker};
use guard::Guard;
use native::Registry;
pub use pools::PoolError;
use runner::Pool;
pub use runner::StartError;
pub use schemars;
use site::Site;
use sweep::Mark;

/// How often functions are announced again: the catalogue forgets what was not seen for 30 days.
const ANNOUNCE: Duration = Duration::from_secs(60 * 60);

/// Why a worker cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A pool cannot be served.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The SDK cannot be laid out.
    #[error("cannot write the Python package to the temporary folder")]
    Sdk(#[source] std::io::Error),
    /// NATS is not as needed.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Serves until shutdown, then drains: what was not started is handed back, what runs may end.
pub async fn run(
    settings: &settings::Worker,
    transport: Transport,
    mut registry: Registry,
    spans: Spans,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let sdk = runner::sdk::lay_out().map_err(WorkerError::Sdk)?;
    builtin::add(&mut registry).expect("the names are valid");
    let environments = Environments::of(settings);
    let mark = Mark::new();
    // Dropped after everything else: what is left then has no owner.
    let _guard = Guard::start(&mark);
    let opening = Catalogue::open(settings, &registry, &environments, sdk.path(), &mark);
    let opened = tokio::select! {
        opened = opening => opened?,
        // Building an environment takes its time; what is started for it ends with it.
        () = shutdown.cancelled() => return Ok(()),
    };
    let Catalogue { functions, records, broken, pools, held } = opened;
    pools.iter().for_each(Pool::warm_up);
    report_broken(&broken);
    // Before anything is announced: on a fresh server this sets the buckets up, too. Heartbeats go by
    // what the consumers have, which need not be what the settings say.
    let mut ack_wait = transport.topology().ack_wait();
    for queue in settings.slots.keys() {
        ack_wait = ack_wait.min(transport.ensure_consumer(&settings.group, queue).await?);
    }
    let member = transport.member().clone();
    let site = Arc::new(Site {
        ack_wait,
        transport: transport.clone(),
        group: settings.group.clone(),
        member: member.clone(),
        functions,
        pools,
        spans,
        max_deliveries: settings.max_deliveries,
        draining: AtomicBool::new(false),
        running: site::Running::default(),
        limits: site::Limits::default(),
    });
    let mut lanes = JoinSet::new();
    for (queue, slots) in &settings.slots {
        let (site, queue, slots) = (Arc::clone(&site), queue.clone(), *slots as usize);
        lanes.spawn(lane::serve(site, queue, slots, settings.drain, shutdown.clone()));
    }
    let presence = Presence {
        group: Some(settings.group.clone()),
        labels: settings.labels.clone(),
        slots: settings.slots.clone(),
        functions: u32::try_from(records.len()).unwrap_or(u32::MAX),
        broken,
        ..Presence::new(Role::Worker, member, Stamp::now())
    };
    let said = tend(&site, lanes, records, presence).await;
    for pool in &site.pools {
        pool.close().await;
    }
    // In use until here: no other worker may remove them before.
    drop(held);
    said.map_err(WorkerError::from)
}

/// The Python environments that this machine keeps for pools with these settings; those that were not
/// used for as long as `prune` says, and are not in use, are removed and come back instead.
pub fn environments(
    settings: &settings::Worker,
    prune: Option<Duration>,
) -> std::io::Result<Vec<environment::Cached>> {
    match prune {
        Some(unused) => environment::prune(&settings.environments, unused),
        None => environment::list(&settings.environments),
    }
}

/// What a worker with these settings would serve, and the modules that cannot be imported.
pub async fn describe(
    settings: &settings::Worker,
    mut registry: Registry,
) -> Result<(Vec<FunctionRecord>, Vec<BrokenModule>), WorkerError> {
    let sdk = runner::sdk::lay_out().map_err(WorkerError::Sdk)?;
    builtin::add(&mut registry).expect("the names are valid");
    let environments = Environments::of(settings);
    let mark = Mark::new();
    let _guard = Guard::start(&mark);
    let opening = Catalogue::open(settings, &registry, &environments, sdk.path(), &mark);
    let Catalogue { records, broken, pools, .. } = opening.await?;
    for pool in &pools {
        pool.close().await;
    }
    Ok((records, broken))
}

/// Announces what is served, hears of cancelled runs, and waits for the lanes to end.
async fn tend(
    site: &Site,
    mut lanes: JoinSet<Result<(), TransportError>>,
    records: Vec<FunctionRecord>,
    presence: Presence,
) -> Result<(), TransportError> {
    let transport = &site.transport;
    let mut cancels = transport.cancels().await?;
    let mut tick = interval(PRESENCE_EVERY);
    let mut announced: Option<Instant> = None;
    loop {
        tokio::select! {
            ended = lanes.join_next() => match ended {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return Err(error),
                Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                None => break,
            },
            Some(run) = cancels.next() => site.running.cancel(run),
            _ = tick.tick() => {
                if announced.is_none_or(|at| at.elapsed() > ANNOUNCE) && announce(transport, &records).await {
                    announced = Some(Instant::now());
                }
                if let Err(error) = transport.kv_put(Bucket::Presence, &presence_key(&presence), &presence).await {
                    tracing::debug!(%error, "could not say that this worker is up");
                }
            }
        }
    }
    if let Err(error) = transport.kv_delete(Bucket::Presence, &presence_key(&presence)).await {
        tracing::debug!(%error, "the presence record runs out by itself");
    }
    Ok(())
}

/// Puts every function into the catalogue; whether all are there.
async fn announce(transport: &Transport, records: &[FunctionRecord]) -> bool {
    for record in records {
        let key = function_key(&record.group, &record.name, &record.version);
        let record = FunctionRecord { seen: Stamp::now(), ..record.clone() };
        if let Err(error) = transport.kv_put(Bucket::Functions, &key, &record).await {
            tracing::warn!(%error, "could not announce the functions, trying again");
            return false;
        }
    }
    tracing::info!(functions = records.len(), "serving");
    true
}

fn report_broken(broken: &[BrokenModule]) {
    for module in broken {
        let source = module.source.as_deref().unwrap_or("?");
        tracing::warn!(pool = module.pool, module = module.module, source, "{}", module.error);
    }
}
