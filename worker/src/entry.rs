//! The process of a worker: arguments → settings → connection → serve → drain. `rfx-worker` is this
//! with no functions of its own; a worker of yours is this with yours.

use std::process::ExitCode;

use rfx_config::process::{self, Failure, Signals};
use rfx_config::settings::Settings;
use rfx_config::telemetry;
use rfx_schemas::exit;
use rfx_transport::connect::connect;

use crate::WorkerError;
use crate::args::{self, Args, Command};
use crate::native::Registry;

/// The whole of a worker's process: reads the command line as `rfx-worker` does, and serves what is
/// in the registry beside the pools.
pub fn main(registry: Registry) -> ExitCode {
    crate::guard::stand_in();
    let args = args::of_process();
    process::main("rfx-worker", async |signals| run(args, registry, signals).await)
}

async fn run(args: Args, registry: Registry, signals: Signals) -> Result<u8, Failure> {
    let flags = args.flags();
    let flags: Vec<_> = flags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let mut settings = Settings::load(args.config.as_deref(), &flags).map_err(Failure::usage)?;
    if !args.pool.is_empty() {
        settings.worker.pools.clone_from(&args.pool);
    }
    match &args.command {
        Some(Command::Describe) => return describe(&settings, registry).await,
        Some(Command::Execute { attempt }) => {
            return crate::execute::execute(&settings.worker, registry, attempt).await;
        }
        None => {}
    }
    let telemetry = telemetry::start("rfx-worker", &settings.log, &settings.telemetry);
    let transport = connect(&settings.nats, "rfx-worker").await.map_err(Failure::unavailable)?;
    let shutdown = process::shutdown_token(signals);
    let serving = crate::run(&settings.worker, transport.clone(), registry, telemetry.spans(), shutdown);
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
async fn describe(settings: &Settings, registry: Registry) -> Result<u8, Failure> {
    let described = crate::describe(&settings.worker, registry);
    let (functions, broken) = described.await.map_err(Failure::usage)?;
    let text = serde_json::json!({"functions": functions, "broken": broken});
    process::print(&format!("{text:#}\n"))?;
    Ok(exit::PASSED)
}
