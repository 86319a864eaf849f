//! Tasks of this repository: `cargo xtask demo | test | check | bench`.
//!
//! Each sets up what it needs and says what is missing by the name of the package to install.

mod bench;
mod check;
mod command;
mod demo;
mod process;
mod pythons;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the rfx repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the article's example through publisher, worker and collector, on a real nats-server
    Demo(demo::Args),
    /// Set up what is missing and run all tests, those of Python with each Python of 3.10 or later that is here
    Test {
        /// Only tests whose name holds this
        filter: Option<String>,
        /// Run the Python tests with this one only: 3.12, or a path [default: all that there are]
        #[arg(long, value_name = "VERSION|PATH")]
        python: Option<String>,
    },
    /// Formatting, lints, documentation, Python's lint and types
    Check,
    /// Measure rfx beside the raw limit of JetStream, in one run
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Demo(args) => demo::demo(&args),
        Task::Test { filter, python } => check::test(filter.as_deref(), python.as_deref()),
        Task::Check => check::check(),
        Task::Bench(args) => bench::bench(&args),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
