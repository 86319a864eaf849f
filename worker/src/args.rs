//! The command line of `rfx-worker`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Serve functions: pull jobs of a group, execute them, record their outcomes.
#[derive(Debug, Parser)]
#[command(name = "rfx-worker", version, about, max_term_width = 100)]
pub struct Args {
    /// Settings file [default: ./rfx.toml if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// NATS servers, comma-separated
    #[arg(long, value_name = "URL")]
    pub nats: Option<String>,
    /// The group whose jobs to pull
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// A label of this place, such as provider=aws; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// A folder with pool.toml and functions; may be repeated
    #[arg(long, global = true, value_name = "DIR")]
    pub pool: Vec<PathBuf>,
    /// Attempts at once, for the queue main or the one named; may be repeated
    #[arg(long, value_name = "[QUEUE=]N")]
    pub slots: Vec<String>,
    /// The Python to run pools with
    #[arg(long, global = true, value_name = "PATH")]
    pub python: Option<String>,
    /// Open a pool again when one of its files changes, for development
    #[arg(long)]
    pub reload: bool,
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do instead of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Print what would be served, as JSON, without a server
    Describe,
    /// Execute a recorded attempt in this terminal, without a server: what rfx-publish step starts
    Execute {
        /// The file that says which
        #[arg(value_name = "FILE")]
        attempt: PathBuf,
    },
    /// List the Python environments that are kept for pools, or remove old ones
    Environments {
        /// Remove those that were not used for so long, such as 30d; what is in use stays
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        prune: Option<Duration>,
    },
}

/// `30d` or `12h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write it as 30d or 12h");
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| wrong())
}

/// The command line of this process. One that cannot be read ends it, as `--help` does.
pub fn of_process() -> Args {
    Args::parse()
}

impl Args {
    /// What the flags set, by key of the settings.
    pub fn flags(&self) -> Vec<(String, String)> {
        let mut flags = Vec::new();
        let mut set = |key: &str, value: Option<String>| {
            flags.extend(value.map(|value| (key.to_owned(), value)));
        };
        set("nats.url", self.nats.clone());
        set("worker.group", self.group.clone());
        set("worker.python", self.python.clone());
        set("worker.reload", self.reload.then(|| "true".to_owned()));
        for label in &self.label {
            let (key, value) = label.split_once('=').unwrap_or((label, ""));
            set(&format!("worker.labels.{key}"), Some(value.to_owned()));
        }
        for slots in &self.slots {
            let (queue, count) = slots.split_once('=').unwrap_or(("main", slots));
            set(&format!("worker.slots.{queue}"), Some(count.to_owned()));
        }
        flags
    }
}
