//! The command line of `rfx-publish`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Submit flows, drive their runs, and ask about them.
#[derive(Debug, Parser)]
#[command(name = "rfx-publish", version, about, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// Settings file [default: ./rfx.toml if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// NATS servers, comma-separated
    #[arg(long, global = true, value_name = "URL")]
    pub nats: Option<String>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 passed, 1 failed or error, 2 wrong usage or input, 3 lost by rfx, \
4 nothing to run, 5 cancelled, 6 timed out waiting, 69 broker unavailable, 70 bug, 130 interrupted";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a flow and wait for its verdict
    Run(RunArgs),
    /// Check a flow and its data, without running it
    Check(LookArgs),
    /// Show the jobs that a flow comes to, without running it
    Plan(ShowPlanArgs),
    /// List runs, newest first
    Runs {
        /// Most runs to list
        #[arg(long, default_value_t = 20, value_name = "N")]
        last: usize,
    },
    /// Show a run: its summary, or its report with --report
    Show {
        /// A run's id, the end of one, or `latest`
        run: String,
        /// Write report.json, junit.xml and report.html into this folder
        #[arg(long, value_name = "DIR")]
        report: Option<PathBuf>,
    },
    /// Cancel a run: stop its jobs, then tear down; once more skips the teardown
    Cancel {
        /// A run's id, the end of one, or `latest`
        run: String,
    },
    /// Drive a run on whose publisher is gone, and wait for its verdict
    Resume {
        /// A run's id, the end of one, or `latest`
        run: String,
        /// Write report.json, junit.xml and report.html into this folder
        #[arg(long, value_name = "DIR")]
        report: Option<PathBuf>,
    },
    /// The functions that workers offer
    Functions {
        /// Which of them
        #[command(subcommand)]
        command: Option<Functions>,
    },
    /// Call one function, or a flow of a pool, as a run: its output goes to stdout as JSON, the rest to stderr
    Call(CallArgs),
    /// Step inside: execute a recorded attempt here, in the terminal, with its input, target and state
    Step(StepArgs),
    /// Begin a project: a pool with a function and its test, and a flow that uses it
    Init {
        /// The folder, which is made
        #[arg(default_value = ".", value_name = "DIR")]
        folder: PathBuf,
    },
    /// Begin a function or a flow in the project around
    New {
        /// Which
        #[command(subcommand)]
        what: New,
    },
    /// Print the JSON Schema of flows, for editors
    Schema,
    /// Stay up and drive every run whose own publisher is gone
    Serve,
}

/// Which functions to show.
#[derive(Debug, Subcommand)]
pub enum Functions {
    /// All of them, or those that fit
    List(FilterArgs),
    /// Those whose name, documentation, tags, owner or pool hold some words, the best first
    Search {
        /// The words
        #[arg(required_unless_present_any = ["tag", "owner", "input_type", "from", "group"])]
        text: Vec<String>,
        /// Which of them
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// All about one: inputs, output, examples, versions, who serves it, what it last came to
    Show {
        /// Its dotted name, or NAME@VERSION; the newest version otherwise
        name: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the catalogue as one HTML page that needs no server
    Docs {
        /// The file, or a folder in which it is index.html
        #[arg(long, default_value = "functions.html", value_name = "DIR|FILE")]
        to: PathBuf,
        /// The functions and flows of a pool's folder, without a server; may be repeated
        #[arg(long, value_name = "DIR")]
        pool: Vec<PathBuf>,
    },
}

/// Which functions are meant.
#[derive(Debug, Default, Args)]
pub struct FilterArgs {
    /// With this tag; may be repeated
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Of this owner
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// With an input of this type (Host, string, array, date, …), at any depth, or of this name
    #[arg(long, value_name = "TYPE")]
    pub input_type: Option<String>,
    /// From this pool
    #[arg(long = "pool", id = "from", value_name = "NAME")]
    pub pool: Option<String>,
    /// Announced by this group
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// A flow and what the run says about it.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The flow's file
    pub flow: PathBuf,
    /// A data set's file; may be repeated
    #[arg(long, value_name = "NAME=FILE")]
    pub data: Vec<String>,
    /// An input's value, as JSON or text; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub input: Vec<String>,
    /// A part of the system under test; may be repeated
    #[arg(long, value_name = "NAME=URL")]
    pub target: Vec<String>,
    /// Where steps, or one of them, run: provider=aws, or group=NAME; may be repeated
    #[arg(long = "where", value_name = "[STEP:]LABELS")]
    pub places: Vec<String>,
    /// Run once in every live group, or in each that has the labels
    #[arg(long, value_name = "LABELS", num_args = 0..=1, default_missing_value = "")]
    pub each_group: Option<String>,
    /// In what process functions of pools are executed, whatever they say: warm, fresh or shared
    #[arg(long, value_name = "KIND")]
    pub isolation: Option<rfx_schemas::rules::Isolation>,
    /// Only this step, tag:NAME or owner:NAME, with what it needs; may be repeated
    #[arg(long, value_name = "STEP")]
    pub only: Vec<String>,
    /// Not this step, tag:NAME or owner:NAME; may be repeated
    #[arg(long, value_name = "STEP")]
    pub skip: Vec<String>,
    /// A folder whose flows may be used; check and plan also take the functions of a pool there, without a
    /// server; may be repeated
    #[arg(long, value_name = "DIR")]
    pub pool: Vec<PathBuf>,
}

/// A flow to look at.
#[derive(Debug, Args)]
pub struct LookArgs {
    /// The flow
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Without a server: functions and places stay open
    #[arg(long)]
    pub offline: bool,
}

/// A plan to show.
#[derive(Debug, Args)]
pub struct ShowPlanArgs {
    /// The flow
    #[command(flatten)]
    pub look: LookArgs,
    /// How to show it
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: PlanFormat,
}

/// How a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PlanFormat {
    /// A row a step, with the longest path and the expected time
    #[default]
    Table,
    /// Phases and steps in their order, flows inside of them, and the same
    Tree,
    /// The plan as it is recorded with a run
    Json,
    /// A Mermaid flowchart
    Mermaid,
}

/// How to run a flow.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The flow
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Write report.json, junit.xml and report.html into this folder
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Fail at once when no worker serves a function, rather than wait for one
    #[arg(long)]
    pub require_workers: bool,
    /// Submit and leave; a resident publisher (`rfx-publish serve`) drives the run
    #[arg(long, conflicts_with = "report")]
    pub detach: bool,
    /// Only the verdict and what did not pass
    #[arg(long, short)]
    pub quiet: bool,
}

/// What to begin.
#[derive(Debug, Subcommand)]
pub enum New {
    /// A function in a module of its own, with a unit test
    Function {
        /// Its dotted name: MODULE.FUNCTION
        name: String,
        /// The pool's folder [default: the nearest one]
        #[arg(long, value_name = "DIR")]
        pool: Option<PathBuf>,
    },
    /// A flow, in the folder flows
    Flow {
        /// Its name
        name: String,
    },
}

/// What to call.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// The function, or a flow of a pool: NAME or NAME@VERSION
    #[arg(value_name = "NAME")]
    pub function: String,
    /// Its input: a JSON object, @FILE with one, or - to read one from stdin
    #[arg(long, value_name = "JSON")]
    pub input: Option<String>,
    /// A field of its input, or one inside as OUTER.INNER=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// A part of the system under test; may be repeated
    #[arg(long, value_name = "NAME=URL")]
    pub target: Vec<String>,
    /// Where it runs, by labels: provider=aws
    #[arg(long = "where", value_name = "LABELS")]
    pub places: Vec<String>,
    /// The group in which it runs
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// A secret of the worker to give to it; may be repeated
    #[arg(long, value_name = "NAME")]
    pub secret: Vec<String>,
    /// Longest time that it may take, such as 30s
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// A folder whose flows may be called; may be repeated
    #[arg(long, value_name = "DIR")]
    pub pool: Vec<PathBuf>,
    /// Write report.json, junit.xml and report.html into this folder
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Fail at once when no worker serves it, rather than wait for one
    #[arg(long)]
    pub require_workers: bool,
    /// On stderr only what did not pass
    #[arg(long, short)]
    pub quiet: bool,
}

/// Which attempt to execute here, and how to look at it.
#[derive(Debug, Args)]
pub struct StepArgs {
    /// A run's id, the end of one, or `latest`
    pub run: String,
    /// Its job: an id such as 1-3, or a step, with the key of its item: steps.device[web-1]
    pub job: String,
    /// Which attempt [default: the last one]
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
    /// The pool's folder; may be repeated [default: those of the settings, else the nearest one]
    #[arg(long, value_name = "DIR")]
    pub pool: Vec<PathBuf>,
    /// A file with another input, as JSON
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Print the input and execute nothing
    #[arg(long)]
    pub print_input: bool,
    /// The folder that artifacts go to
    #[arg(long, default_value = "artifacts", value_name = "DIR")]
    pub artifacts: PathBuf,
    /// Stop at the first line of the function, and where it raises, in pdb
    #[arg(long, conflicts_with = "debugpy")]
    pub pdb: bool,
    /// Wait for an editor to connect at this port, and stop at the function
    #[arg(long, value_name = "PORT")]
    pub debugpy: Option<u16>,
    /// The Python to run the pool with [default: that of the settings]
    #[arg(long, value_name = "PATH")]
    pub python: Option<String>,
}

impl Cli {
    /// What the flags set, by key of the settings.
    pub fn flags(&self) -> Vec<(&'static str, &str)> {
        self.nats.iter().map(|url| ("nats.url", url.as_str())).collect()
    }
}
