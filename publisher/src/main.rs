//! `rfx-publish`: settings → command → exit code.

mod args;
mod command;

use std::process::ExitCode;

use args::Cli;
use clap::Parser as _;
use command::Desk;
use rfx_config::process::{self, Failure, Signals, Threads};
use rfx_config::settings::{Log, Settings};
use rfx_config::telemetry;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A client drives one run: facts in, jobs out, each a small piece.
    let threads = if matches!(cli.command, args::Command::Serve) { Threads::Many } else { Threads::One };
    process::main_on(threads, "rfx-publish", async |signals| run(cli, signals).await)
}

async fn run(cli: Cli, signals: Signals) -> Result<u8, Failure> {
    let settings = Settings::load(cli.config.as_deref(), &cli.flags()).map_err(Failure::usage)?;
    // A client's stderr is for its user: only what is wrong is logged, unless more was asked for.
    let log = match (&cli.command, settings.log.level.as_str()) {
        (args::Command::Serve, _) => settings.log.clone(),
        (_, "info") => Log { level: "warn".to_owned(), ..settings.log.clone() },
        _ => settings.log.clone(),
    };
    let telemetry = telemetry::start("rfx-publish", &log, &settings.telemetry);
    let code = command::dispatch(Desk { settings, signals }, cli.command).await;
    telemetry.shutdown().await;
    code
}
