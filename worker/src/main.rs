//! `rfx-worker`: settings → connection → serve → drain.

mod args;

use std::process::ExitCode;

use args::{Args, Command};
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
    if let Some(Command::Describe) = args.command {
        return describe(&settings).await;
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

/// Prints the functions and what could not be imported, for tools that check flows without a server.
async fn describe(settings: &Settings) -> Result<u8, Failure> {
    let described = rfx_worker::describe(&settings.worker, Registry::default());
    let (functions, broken) = described.await.map_err(Failure::usage)?;
    let text = serde_json::json!({"functions": functions, "broken": broken});
    process::print(&format!("{text:#}\n"))?;
    Ok(exit::PASSED)
}
