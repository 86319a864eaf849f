//! The command line of `rfx-collector`.

use std::path::PathBuf;

use clap::Parser;

/// Fold recorded facts into a report for every run.
#[derive(Debug, Parser)]
#[command(name = "rfx-collector", version, about, max_term_width = 100)]
pub struct Args {
    /// Settings file [default: ./rfx.toml if there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// NATS servers, comma-separated
    #[arg(long, value_name = "URL")]
    pub nats: Option<String>,
    /// Folder for reports, one folder a run
    #[arg(long, value_name = "DIR")]
    pub reports: Option<String>,
}

impl Args {
    /// What the flags set, by key of the settings.
    pub fn flags(&self) -> Vec<(&'static str, &str)> {
        let nats = self.nats.as_deref().map(|url| ("nats.url", url));
        let reports = self.reports.as_deref().map(|dir| ("collector.reports", dir));
        nats.into_iter().chain(reports).collect()
    }
}
