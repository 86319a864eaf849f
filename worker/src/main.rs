//! `rfx-worker`: settings → connection → serve → drain.

mod args;

use std::process::ExitCode;

use args::Args;
use clap::Parser as _;
use rfx_config::process::{self, Failure, Signals};
use rfx_config::settings::Settings;
use rfx_config::telemetry;
use rfx_schemas::exit;
use rfx_transport::connect::connect;
use rfx_worker::WorkerError;
use rfx_worker::native::Registry;

fn main() -> ExitCode {
    let args = Args::parse();
    process::main("rfx-worker", async |signals| run(args, signals).await)
}

async fn run(args: Args, signals: Signals) -> Result<u8, Failure> {
    let flags = args.flags();
    let flags: Vec<_> = flags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let mut settings = Settings::load(args.config.as_deref(), &flags).map_err(Failure::usage)?;
    if !args.pool.is_empty() {
        settings.worker.pools.clone_from(&args.pool);
    }
    let telemetry = telemetry::start("rfx-worker", &settings.log, &settings.telemetry);
    let transport = connect(&settings.nats, "rfx-worker").await.map_err(Failure::unavailable)?;
    let shutdown = process::shutdown_token(signals);
    let serving = rfx_worker::run(
        &settings.worker,
        transport.clone(),
        Registry::default(),
        telemetry.spans(),
        shutdown,
    );
    let served = serving.await;
    transport.close().await;
    telemetry.shutdown().await;
    match served {
        Ok(()) => Ok(exit::PASSED),
        Err(error @ (WorkerError::Pool(_) | WorkerError::Sdk(_))) => Err(Failure::usage(error)),
        Err(error @ WorkerError::Transport(_)) => Err(Failure::unavailable(error)),
    }
}
