//! The commands of `rfx-publish`: what each asks for, does, and prints.

mod call;
mod functions;
mod plan;
mod pool;
mod run;
mod runs;
mod scaffold;
mod schema;
mod step;

use std::io::IsTerminal as _;
use std::path::Path;

use comfy_table::{Table, TableStyle};
use rfx_config::process::{Failure, Signals, until_signal};
use rfx_config::settings::Settings;
use rfx_publisher::drive::DriveError;
use rfx_publisher::find::FindError;
use rfx_publisher::submit::SubmitError;
use rfx_report::files;
use rfx_schemas::exit;
use rfx_schemas::payload::BlobRef;
use rfx_schemas::report::Report;
use rfx_transport::Transport;
use rfx_transport::connect::connect;

use crate::args::Command;

/// What every command has at hand.
pub struct Desk {
    /// The settings.
    pub settings: Settings,
    /// Ctrl-C and SIGTERM.
    pub signals: Signals,
}

impl Desk {
    /// Connects.
    pub async fn connect(&self) -> Result<Transport, Failure> {
        connect(&self.settings.nats, "rfx-publish").await.map_err(Failure::unavailable)
    }
}

/// Does what was asked for; gives the exit code.
pub async fn dispatch(desk: Desk, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Run(args) => run::run(desk, args).await,
        Command::Check(args) => until_signal(plan::check(desk, args)).await,
        Command::Plan(args) => until_signal(plan::show(desk, args)).await,
        Command::Runs { last } => until_signal(runs::list(desk, last)).await,
        Command::Show { run, report } => until_signal(runs::show(desk, &run, report)).await,
        Command::Cancel { run } => run::cancel(desk, &run).await,
        Command::Resume { run, report } => run::resume(desk, &run, report).await,
        Command::Functions { command } => until_signal(functions::functions(desk, command)).await,
        Command::Call(args) => call::call(desk, args).await,
        Command::Init { folder } => scaffold::init(&folder),
        Command::New { what } => scaffold::new(&what),
        Command::Step(args) => step::step(desk, args).await,
        Command::Schema => schema::show(),
        Command::Serve => run::serve(desk).await,
    }
}

/// Writes a report's files, and those that attempts left, and says where they are.
pub async fn write_report(transport: &Transport, dir: &Path, report: &Report) -> Result<String, Failure> {
    let written = files::write(dir, report).map_err(Failure::usage)?;
    let paths = [written.html, written.junit, written.json];
    let mut said: String = paths.iter().map(|path| format!("  {}\n", path.display())).collect();
    let (run, from) = (report.run, transport.clone());
    let load = |blob: BlobRef| {
        let from = from.clone();
        async move { from.get_blob(run, &blob).await }
    };
    let artifacts = files::write_artifacts(dir, report, load).await.map_err(Failure::usage)?;
    if artifacts.written > 0 {
        said.push_str(&format!("  {}\n", dir.join("artifacts").display()));
    }
    let missing = [
        (artifacts.left_out, "files beyond 1,000 and 256 MiB are left out"),
        (artifacts.gone, "files are gone"),
    ];
    for (count, what) in missing.into_iter().filter(|(count, _)| *count > 0) {
        said.push_str(&format!("  {count} {what}\n"));
    }
    Ok(said)
}

/// A table for people: no lines, two spaces between columns.
pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).force_no_tty();
    table.set_header(header.map(str::to_uppercase));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Whether what goes to stdout may have colours.
pub fn color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Whether what goes to stderr may have colours.
pub fn color_of_errors() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A submission that failed, for the one error printer.
pub fn submit_failure(error: SubmitError) -> Failure {
    match error {
        SubmitError::Problems(problems) => Failure::rendered(exit::USAGE, problems.render(color_of_errors())),
        SubmitError::Transport(error) => Failure::unavailable(error),
        error @ SubmitError::File { .. } => Failure::usage(error),
    }
}

/// A drive that failed.
pub fn drive_failure(error: DriveError) -> Failure {
    match error {
        DriveError::Plan(_) => Failure::usage(error),
        DriveError::Transport(_) | DriveError::NoFacts => Failure::unavailable(error),
    }
}

/// A search that failed.
pub fn find_failure(error: FindError) -> Failure {
    match error {
        FindError::Transport(error) => Failure::unavailable(error),
        error => Failure::usage(error),
    }
}
