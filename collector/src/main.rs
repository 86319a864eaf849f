//! `rfx-collector`: settings → connection → collect.

mod args;

use std::process::ExitCode;

use args::Args;
use clap::Parser as _;
use rfx_collector::CollectError;
use rfx_config::process::{self, Failure, Signals};
use rfx_config::settings::Settings;
use rfx_config::telemetry;
use rfx_schemas::exit;
use rfx_transport::connect::connect;

fn main() -> ExitCode {
    let args = Args::parse();
    process::main("rfx-collector", async |signals| run(args, signals).await)
}

async fn run(args: Args, signals: Signals) -> Result<u8, Failure> {
    let settings = Settings::load(args.config.as_deref(), &args.flags()).map_err(Failure::usage)?;
    let telemetry = telemetry::start("rfx-collector", &settings.log, &settings.telemetry);
    let transport = connect(&settings.nats, "rfx-collector").await.map_err(Failure::unavailable)?;
    let shutdown = process::shutdown_token(signals);
    let collected = rfx_collector::run(&settings.collector, transport.clone(), shutdown).await;
    transport.close().await;
    telemetry.shutdown().await;
    match collected {
        Ok(()) => Ok(exit::PASSED),
        Err(error @ CollectError::Write(_)) => Err(Failure::usage(error)),
        Err(error @ CollectError::Transport(_)) => Err(Failure::unavailable(error)),
    }
}
