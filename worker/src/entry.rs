//! The process of a worker: arguments → settings → connection → serve → drain. `rfx-worker` is this
//! with no functions of its own; a worker of yours is this with yours.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use rfx_config::process::{self, Failure, Signals};
use rfx_config::settings::Settings;
use rfx_config::telemetry;
use rfx_schemas::exit;
use rfx_transport::connect::connect;

use crate::WorkerError;
use crate::args::{self, Args, Command};
use crate::native::Registry;
use crate::text::shorten;
use crate::{Cached, Marker};

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
    match args.command {
        Some(Command::Describe) => return describe(&settings, registry).await,
        Some(Command::Execute { attempt }) => {
            return crate::execute::execute(&settings.worker, registry, &attempt).await;
        }
        Some(Command::Environments { prune }) => return environments(&settings, prune),
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
    // Building environments may take long, which people want to see; tools want the answer alone.
    let _telemetry = std::io::stderr()
        .is_terminal()
        .then(|| telemetry::start("rfx-worker", &settings.log, &settings.telemetry));
    let described = crate::describe(&settings.worker, registry);
    let (functions, broken) = described.await.map_err(Failure::usage)?;
    let text = serde_json::json!({"functions": functions, "broken": broken});
    process::print(&format!("{text:#}\n"))?;
    Ok(exit::PASSED)
}

/// Prints the environments that are kept, or those that were removed.
fn environments(settings: &Settings, prune: Option<Duration>) -> Result<u8, Failure> {
    let all = crate::environments(&settings.worker, prune).map_err(Failure::usage)?;
    let mut text = String::new();
    for Cached { folder, marker, unused } in all {
        let what = match marker {
            Some(Marker { python, requirements, pool, .. }) => {
                format!("Python {python}, for pool {pool}: {}", shorten(&requirements.join(" "), 200))
            }
            None => "not complete".to_owned(),
        };
        let days = unused.as_secs() / (24 * 60 * 60);
        text.push_str(&format!("{}  unused for {days} d  {what}\n", folder.display()));
    }
    process::print(&text)?;
    Ok(exit::PASSED)
}
