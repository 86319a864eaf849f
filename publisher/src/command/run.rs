//! `run`, `resume`, `cancel` and `serve`: the commands that drive.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use rfx_config::process::{Failure, Signal, Signals, print, shutdown_token};
use rfx_flow::Catalogue;
use rfx_publisher::catalogue;
use rfx_publisher::drive::{Driver, Source, request_end};
use rfx_publisher::find::{self, find};
use rfx_publisher::progress::Progress;
use rfx_publisher::submit::{ci_trace, prepare, read_flow, submit};
use rfx_report::summary::{Style, summary};
use rfx_schemas::exit;
use rfx_schemas::fact::{Cause, Finished};
use rfx_schemas::id::RunId;
use rfx_schemas::plan::Plan;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::subject::{FactSubject, RunFact};
use rfx_transport::Transport;
use rfx_transport::facts::Scope;
use rfx_transport::run::Loaded;

use super::plan::{choices, load_catalogue};
use super::{Desk, color, color_of_errors, drive_failure, find_failure, submit_failure, write_report};
use crate::args::RunArgs;

/// How a run is watched.
#[derive(Default)]
pub(super) struct Watch {
    /// Where its report goes.
    pub(super) report: Option<PathBuf>,
    /// Only what did not pass.
    pub(super) quiet: bool,
    /// Whether this process submitted the run just now.
    pub(super) first: bool,
    /// Whether stdout is for something else: then all goes to stderr.
    pub(super) aside: bool,
}

impl Watch {
    fn say(&self, text: &str) -> Result<(), Failure> {
        match self.aside {
            false => print(text),
            true => {
                drop(std::io::stderr().write_all(text.as_bytes()));
                Ok(())
            }
        }
    }

    fn color(&self) -> bool {
        if self.aside { color_of_errors() } else { color() }
    }
}

/// Makes the folder for a report: said now, not when the run has ended.
pub(super) fn prepare_report(desk: &Desk, report: Option<PathBuf>) -> Result<Option<PathBuf>, Failure> {
    let report = report.or(desk.settings.publisher.report.clone());
    if let Some(dir) = &report {
        rfx_report::files::prepare(dir).map_err(Failure::usage)?;
    }
    Ok(report)
}

/// Submits a flow, drives its run, and answers with its verdict.
pub async fn run(desk: Desk, args: RunArgs) -> Result<u8, Failure> {
    let checked = read_flow(&args.plan.flow).map_err(submit_failure)?;
    let choices = choices(&args.plan)?;
    let transport = desk.connect().await?;
    let catalogue = load_catalogue(&desk, &transport).await?;
    let prepared = prepare(&checked, &args.plan.flow, &choices, &catalogue).map_err(submit_failure)?;
    if args.require_workers {
        require_workers(&prepared.plan, &catalogue)?;
    }
    let report = if args.detach { None } else { prepare_report(&desk, args.report)? };
    let loaded = submit(&transport, prepared, ci_trace()).await.map_err(Failure::unavailable)?;
    let run = loaded.submitted.run;
    if args.detach {
        return detach(&desk, &transport, run).await;
    }
    if !args.quiet {
        drop(writeln!(std::io::stderr(), "run {run}"));
    }
    let watch = Watch { report, quiet: args.quiet, first: true, aside: false };
    attend(desk, transport, loaded, watch).await
}

/// Drives a run on.
pub async fn resume(desk: Desk, text: &str, report: Option<PathBuf>) -> Result<u8, Failure> {
    let transport = desk.connect().await?;
    let run = find(&transport, text).await.map_err(find_failure)?;
    let loaded = find::load(&transport, run).await.map_err(find_failure)?;
    let report = prepare_report(&desk, report)?;
    attend(desk, transport, loaded, Watch { report, ..Watch::default() }).await
}

/// Asks for a run's end, and drives it there if nobody else does.
pub async fn cancel(mut desk: Desk, text: &str) -> Result<u8, Failure> {
    let transport = desk.connect().await?;
    let loaded = tokio::select! {
        asked = ask_for_end(&transport, text) => asked?,
        // The server may be gone: what is waited for would come much later, or never.
        _ = desk.signals.next() => return Ok(exit::INTERRUPTED),
    };
    attend(desk, transport, loaded, Watch { quiet: true, ..Watch::default() }).await?;
    Ok(exit::PASSED)
}

async fn ask_for_end(transport: &Transport, text: &str) -> Result<Loaded, Failure> {
    let run = find(transport, text).await.map_err(find_failure)?;
    let loaded = find::load(transport, run).await.map_err(find_failure)?;
    let finished = FactSubject::Run { run, fact: RunFact::Finished };
    if transport.has_fact(&finished).await.map_err(Failure::unavailable)? {
        return Err(Failure::usage(format!("run {run} has ended already; rfx-publish show {run} tells how")));
    }
    let first = FactSubject::Run { run, fact: RunFact::Cancelled(1) };
    let ask = if transport.has_fact(&first).await.map_err(Failure::unavailable)? { 2 } else { 1 };
    request_end(transport, run, ask, "rfx-publish cancel", Cause::Asked)
        .await
        .map_err(Failure::unavailable)?;
    // Workers can stop at once; the rest waits for whoever drives the run, or for its lease to be free.
    transport.announce_cancel(run).await;
    let said = if ask == 1 { "cancelling" } else { "cancelling, without the rest of teardown" };
    drop(writeln!(std::io::stderr(), "{said} run {run}"));
    Ok(loaded)
}

/// Stays up for every run.
pub async fn serve(desk: Desk) -> Result<u8, Failure> {
    let transport = desk.connect().await?;
    let shutdown = shutdown_token(desk.signals);
    rfx_publisher::serve::serve(&desk.settings.publisher, transport.clone(), shutdown)
        .await
        .map_err(Failure::unavailable)?;
    transport.close().await;
    Ok(exit::PASSED)
}

pub(super) fn require_workers(plan: &Plan, catalogue: &Catalogue) -> Result<(), Failure> {
    let missing = plan.steps.iter().enumerate().filter_map(|(at, step)| {
        let call = step.call()?;
        let up = catalogue.groups.iter().any(|g| g.group == call.group);
        let known = catalogue.functions.iter().any(|f| f.name == call.uses && f.group == call.group);
        let path = plan.path(at);
        (!up || !known).then(|| format!("  {path}: no worker of group {} serves {}", call.group, call.uses))
    });
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::other(
        exit::LOST,
        format!("workers are missing, nothing was submitted\n{}", missing.join("\n")),
    ))
}

async fn detach(desk: &Desk, transport: &Transport, run: RunId) -> Result<u8, Failure> {
    print(&format!("{run}\n"))?;
    if let Some(dir) = &desk.settings.publisher.report {
        let dir = dir.display();
        let text = format!(
            "publisher.report is left out with --detach: rfx-publish show {run} --report {dir} writes it when the run has ended"
        );
        drop(writeln!(std::io::stderr(), "{text}"));
    }
    if !catalogue::resident(transport).await.map_err(Failure::unavailable)? {
        let text = "no resident publisher is up: nobody drives the run until `rfx-publish serve` or `rfx-publish resume` does";
        drop(writeln!(std::io::stderr(), "{text}"));
    }
    transport.close().await;
    Ok(exit::PASSED)
}

/// What ended the watch.
enum Attended {
    Verdict(rfx_schemas::verdict::Verdict),
    Detached,
    Interrupted,
}

async fn attend(desk: Desk, transport: Transport, loaded: Loaded, watch: Watch) -> Result<u8, Failure> {
    let (code, _) = follow(desk, &transport, loaded, watch).await?;
    transport.close().await;
    Ok(code)
}

/// Drives a run to its end, or follows whoever does, and reports. Gives the exit code, and the end if it is
/// recorded.
pub(super) async fn follow(
    desk: Desk,
    transport: &Transport,
    loaded: Loaded,
    watch: Watch,
) -> Result<(u8, Option<Finished>), Failure> {
    let run = loaded.submitted.run;
    let source = Source::Own(transport.facts(Scope::Run(run), transport.member(), loaded.sequence));
    let window = desk.settings.publisher.window as usize;
    let mut driver = Driver::new(transport, loaded, source, window, watch.first).map_err(drive_failure)?;
    let mut progress = Progress::new(driver.recorder(), watch.quiet);
    let attended = drive(&mut driver, &mut progress, transport, desk.signals).await;
    progress.finish();
    let code = match attended? {
        Attended::Verdict(verdict) => exit::of_verdict(verdict),
        Attended::Interrupted => {
            let text = format!(
                "run {run} is left as it is; rfx-publish resume {run} drives it on, a resident publisher does so by itself"
            );
            drop(writeln!(std::io::stderr(), "{text}"));
            exit::INTERRUPTED
        }
        Attended::Detached => {
            watch.say(&format!("{run} goes on; rfx-publish show {run} tells how it stands\n"))?;
            exit::PASSED
        }
    };
    let report = driver.recorder().report(Stamp::now());
    watch.say(&summary(&report, Style { color: watch.color(), width: None, brief: watch.quiet }))?;
    if let Some(dir) = &watch.report {
        watch.say(&format!("report:\n{}", write_report(transport, dir, &report).await?))?;
    }
    Ok((code, driver.recorder().finished().cloned()))
}

/// Drives while listening to signals: the first asks for the end, the second skips teardown, the
/// third leaves.
async fn drive(
    driver: &mut Driver,
    progress: &mut Progress,
    transport: &Transport,
    mut signals: Signals,
) -> Result<Attended, Failure> {
    let run = driver.run();
    let mut asks = 0;
    loop {
        let signal = tokio::select! {
            verdict = driver.drive(|recorder, notice| progress.notice(recorder, notice)) => {
                return verdict.map(Attended::Verdict).map_err(drive_failure);
            }
            signal = signals.next() => signal,
        };
        if asks == 0 && signal == Signal::Interrupt && std::io::stdin().is_terminal() {
            match ask(progress, transport, &mut signals).await? {
                Answer::GoOn => continue,
                Answer::Detach => return Ok(Attended::Detached),
                Answer::Cancel => {}
            }
        }
        // Others may have asked before.
        asks = asks.max(driver.recorder().state().asks()) + 1;
        if asks > 2 {
            return Ok(Attended::Interrupted);
        }
        let reason = match signal {
            Signal::Interrupt => "Ctrl-C",
            Signal::Terminate => "SIGTERM",
        };
        tokio::select! {
            asked = request_end(transport, run, asks, reason, Cause::Asked) => asked.map_err(Failure::unavailable)?,
            // The server may be gone: whoever asks once more does not want to wait for it.
            _ = signals.next() => return Ok(Attended::Interrupted),
        }
        progress.line(match asks {
            1 => "cancelling: jobs are stopped, then teardown runs; once more skips the teardown",
            _ => "cancelling without the rest of teardown; once more leaves at once",
        });
    }
}

/// What a user wants after Ctrl-C.
enum Answer {
    Cancel,
    Detach,
    GoOn,
}

/// Asks on the terminal; another signal is an answer, too. The run waits meanwhile: its jobs go on,
/// nothing new is released.
async fn ask(progress: &Progress, transport: &Transport, signals: &mut Signals) -> Result<Answer, Failure> {
    let resident = tokio::select! {
        resident = catalogue::resident(transport) => resident.map_err(Failure::unavailable)?,
        _ = signals.next() => return Ok(Answer::Cancel),
    };
    let question = match resident {
        true => "\ncancel the run [c], leave it to the resident publisher [d], or go on [g]? ",
        false => "\ncancel the run [c], or go on [g]? ",
    };
    progress.suspend(|| drop(write!(std::io::stderr(), "{question}")));
    let (answered, answer) = tokio::sync::oneshot::channel();
    // A thread of its own, which may wait for ever: the process ends without it.
    std::thread::spawn(move || {
        let mut line = String::new();
        drop(std::io::stdin().lock().read_line(&mut line));
        drop(answered.send(line.trim().to_lowercase()));
    });
    let answer = tokio::select! {
        answer = answer => answer.unwrap_or_default(),
        _ = signals.next() => String::new(),
    };
    Ok(match answer.as_str() {
        "d" if resident => Answer::Detach,
        "g" | "n" => Answer::GoOn,
        _ => Answer::Cancel,
    })
}
