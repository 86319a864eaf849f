//! The command line of `rfx`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// rfx: remote functions for testing data flows end to end.
#[derive(Debug, Parser)]
#[command(name = "rfx", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run nats-server, publisher, worker and collector on this machine, until Ctrl-C
    Dev(Dev),
}

/// How to run everything on one machine.
#[derive(Debug, Args)]
pub struct Dev {
    /// Settings file [default: ./rfx.toml if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A folder with pool.toml and functions; may be repeated
    #[arg(long, value_name = "DIR")]
    pub pool: Vec<PathBuf>,
    /// Leave pools as they are when their files change [default: they are opened again]
    #[arg(long)]
    pub no_reload: bool,
    /// Port of the nats-server; 0 takes a free one
    #[arg(long, default_value_t = 4222, value_name = "PORT")]
    pub port: u16,
    /// Keep what the nats-server stores in this folder [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Folder for reports, one folder a run
    #[arg(long, value_name = "DIR")]
    pub reports: Option<PathBuf>,
}
