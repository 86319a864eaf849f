//! `rfx dev`: a nats-server child, publisher, worker and collector in one process.

mod args;

use std::process::ExitCode;

use args::{Cli, Command, Dev};
use clap::Parser as _;
use rfx::server::{self, Recipe, Server};
use rfx_config::process::{self, Failure, Signals, print};
use rfx_config::settings::Settings;
use rfx_config::telemetry::{self, Spans};
use rfx_schemas::exit;
use rfx_transport::connect::connect;
use rfx_worker::guard::Guard;
use rfx_worker::native::Registry;
use rfx_worker::sweep::Mark;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    rfx_worker::guard::stand_in();
    let Command::Dev(args) = Cli::parse().command;
    process::main("rfx", async |signals| dev(args, signals).await)
}

async fn dev(args: Dev, mut signals: Signals) -> Result<u8, Failure> {
    let mut settings = Settings::load(args.config.as_deref(), &[]).map_err(Failure::usage)?;
    if !args.pool.is_empty() {
        settings.worker.pools = args.pool;
    }
    settings.worker.reload = !args.no_reload;
    if let Some(reports) = args.reports {
        settings.collector.reports = reports;
    }
    let telemetry = telemetry::start("rfx-dev", &settings.log, &settings.telemetry);
    let scratch = tempfile::Builder::new().prefix("rfx-dev-").tempdir().map_err(Failure::usage)?;
    let mark = Mark::default();
    // A server that outlives a killed `rfx dev` would keep its port.
    let _guard = Guard::start(&mark);
    let recipe = Recipe {
        program: server::find().map_err(Failure::usage)?,
        dir: args.store.unwrap_or_else(|| scratch.path().to_owned()),
        port: (args.port != 0).then_some(args.port),
        config: None,
        mark: Some(mark),
    };
    let server = Server::start(recipe).await.map_err(Failure::unavailable)?;
    settings.nats.url = server.url().to_owned();
    print(&format!(
        "rfx is up on {}\n  run a flow:  rfx-publish --nats {0} run FLOW.yaml\n  reports:     {}\n  Ctrl-C ends it all\n",
        server.url(),
        settings.collector.reports.display()
    ))?;
    let shutdown = CancellationToken::new();
    let second_signal = async {
        signals.next().await;
        shutdown.cancel();
        signals.next().await;
    };
    let served = tokio::select! {
        served = serve(&settings, telemetry.spans(), shutdown.clone()) => served,
        // Not by ending the process at once: the server, which is not of our group, would stay.
        () = second_signal => {
            server.crash();
            return Ok(exit::INTERRUPTED);
        }
    };
    server.stop().await;
    telemetry.shutdown().await;
    served.map(|()| exit::PASSED)
}

/// Runs the three services until shutdown, or until one of them fails.
async fn serve(settings: &Settings, spans: Spans, shutdown: CancellationToken) -> Result<(), Failure> {
    let mut services: JoinSet<Result<(), Failure>> = JoinSet::new();
    let mut transports = Vec::new();
    for name in ["rfx-worker", "rfx-publish", "rfx-collector"] {
        transports.push(connect(&settings.nats, name).await.map_err(Failure::unavailable)?);
    }
    let [worker, publisher, collector] = [0, 1, 2].map(|at: usize| transports[at].clone());
    let (all, stop) = (settings.clone(), shutdown.clone());
    services.spawn(async move {
        let serving = rfx_worker::run(&all.worker, worker, Registry::default(), spans, stop);
        serving.await.map_err(Failure::usage)
    });
    let (all, stop) = (settings.clone(), shutdown.clone());
    services.spawn(async move {
        rfx_publisher::serve::serve(&all.publisher, publisher, stop).await.map_err(Failure::unavailable)
    });
    let (all, stop) = (settings.clone(), shutdown.clone());
    services.spawn(async move {
        rfx_collector::run(&all.collector, collector, stop).await.map_err(Failure::usage)
    });
    let mut first = Ok(());
    while let Some(ended) = services.join_next().await {
        // One that fails takes the others with it; the first failure is the one to show.
        shutdown.cancel();
        let ended = ended.unwrap_or_else(|panic| Err(Failure::bug(panic)));
        first = first.and(ended);
    }
    for transport in transports {
        transport.close().await;
    }
    first
}
