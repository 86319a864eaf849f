//! The worker: pulls jobs of its group, executes functions, records outcomes, acknowledges. It
//! decides nothing about the flow and publishes no jobs.
//!
//! As a library it is the way to serve native Rust functions: fill a [`native::Registry`] and give it
//! to [`main`], or to [`run`] in a process that is yours.

// The examples in Rust of the page on functions are compiled with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../../docs/functions.md")]
mod page {}

mod announce;
mod args;
mod attempt;
pub mod builtin;
mod calls;
mod catalogue;
mod changes;
mod child;
mod desk;
mod doubles;
mod entry;
mod environment;
mod executable;
mod execute;
mod expect;
mod file;
mod flows;
pub mod guard;
mod lane;
mod manifest;
pub mod native;
mod open;
mod pools;
mod reload;
mod runner;
pub mod secrets;
mod served;
mod settle;
mod site;
mod slots;
pub mod sweep;
mod text;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use rfx_config::settings;
use rfx_config::telemetry::Spans;
use rfx_schemas::record::{BrokenModule, FunctionRecord, Presence, Role};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::topology::PRESENCE_EVERY;
use rfx_transport::{Transport, TransportError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use announce::Announcer;
use catalogue::{Catalogue, Shown};
use changes::Watch;
pub use entry::main;
pub use environment::{Cached, Marker};
use guard::Guard;
use native::Registry;
use open::Opener;
pub use pools::PoolError;
use reload::Pools;
pub use runner::StartError;
pub use schemars;
use site::Site;
use sweep::Mark;

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
    let mark = Mark::default();
    // Dropped after everything else: what is left then has no owner.
    let _guard = Guard::start(&mark);
    // Before anything is opened: what changes from now on is noticed.
    let watch = settings.reload.then(|| Watch::new(&settings.pools));
    let native = catalogue::native(&settings.group, &registry);
    let opening = Pools::open(Opener::new(settings, sdk.path(), &mark), &settings.pools, native);
    let mut pools = tokio::select! {
        opened = opening => opened?,
        // Building an environment takes its time; what is started for it ends with it.
        () = shutdown.cancelled() => return Ok(()),
    };
    pools.warm_up();
    let Catalogue { functions, shown } = pools.catalogue();
    reload::report_broken(&shown.broken, settings.reload);
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
        functions: RwLock::new(functions),
        spans,
        max_deliveries: settings.max_deliveries,
        draining: AtomicBool::new(false),
        running: site::Running::default(),
        lanes: settings.slots.len(),
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
        ..Presence::new(Role::Worker, member, Stamp::now())
    };
    let (tell, shown) = watch::channel(shown);
    let over = shutdown.child_token();
    let following = async {
        if let Some(watch) = &watch {
            pools.follow(watch, &site, &tell, &over).await;
        }
    };
    let announcer = Announcer::new(transport, presence);
    let tending = tend(&site, lanes, shown, announcer);
    let (said, ()) = tokio::join!(tending.inspect(|_| over.cancel()), following);
    pools.close().await;
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
    let mark = Mark::default();
    let _guard = Guard::start(&mark);
    let native = catalogue::native(&settings.group, &registry);
    let pools = Pools::open(Opener::new(settings, sdk.path(), &mark), &settings.pools, native).await?;
    let Shown { records, broken } = pools.catalogue().shown;
    pools.close().await;
    Ok((records, broken))
}

/// Announces what is served, hears of cancelled runs, and waits for the lanes to end.
async fn tend(
    site: &Site,
    mut lanes: JoinSet<Result<(), TransportError>>,
    mut shown: watch::Receiver<Shown>,
    mut announcer: Announcer,
) -> Result<(), TransportError> {
    let mut cancels = site.transport.cancels().await?;
    let mut tick = interval(PRESENCE_EVERY);
    loop {
        tokio::select! {
            ended = lanes.join_next() => match ended {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return Err(error),
                Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                None => break,
            },
            Some(run) = cancels.next() => site.running.cancel(run),
            // At once: whoever has changed a function wants to run it.
            Ok(()) = shown.changed() => tick.reset_immediately(),
            _ = tick.tick() => {
                let now = shown.borrow_and_update().clone();
                announcer.announce(&now).await;
            }
        }
    }
    announcer.leave().await;
    Ok(())
}
