//! `runs` and `show`: what became of runs.

use std::path::PathBuf;

use rfx_config::process::{Failure, print};
use rfx_publisher::drive::load_outputs;
use rfx_publisher::find::{self, find, standing};
use rfx_report::Recorder;
use rfx_report::summary::{Style, summary};
use rfx_schemas::exit;
use rfx_schemas::stamp::Stamp;
use rfx_transport::Transport;
use rfx_transport::facts::Scope;
use rfx_transport::run::Loaded;

use super::{Desk, color, find_failure, write_report};

/// Lists runs, newest first.
pub async fn list(desk: Desk, last: usize) -> Result<u8, Failure> {
    let transport = desk.connect().await?;
    transport.ensure().await.map_err(Failure::unavailable)?;
    let runs = transport.runs().await.map_err(Failure::unavailable)?;
    let mut table = super::table(["run", "flow", "submitted", "by", "verdict", "jobs"]);
    for run in runs.iter().rev().take(last) {
        let jobs = run
            .finished
            .as_ref()
            .map_or_else(String::new, |(f, _)| rfx_publisher::progress::counts(&f.counts));
        let submitted = &run.submitted;
        table.add_row([
            submitted.run.to_string(),
            submitted.flow.clone(),
            run.at.to_string(),
            submitted.by.clone(),
            standing(run),
            jobs,
        ]);
    }
    match runs.len() {
        0 => print("no runs\n")?,
        _ => print(&format!("{table}\n"))?,
    }
    Ok(exit::PASSED)
}

/// Shows a run as its facts make it now.
pub async fn show(desk: Desk, text: &str, report: Option<PathBuf>) -> Result<u8, Failure> {
    let transport = desk.connect().await?;
    let run = find(&transport, text).await.map_err(find_failure)?;
    let loaded = find::load(&transport, run).await.map_err(find_failure)?;
    let recorder = fold(&transport, loaded).await?;
    let folded = recorder.report(Stamp::now());
    let mut text = summary(&folded, Style { color: color(), width: None, brief: false });
    if let Some(dir) = report {
        text.push_str(&write_report(&transport, &dir, &folded).await?);
    }
    print(&text)?;
    Ok(exit::PASSED)
}

/// Folds a run's facts up to now.
pub(super) async fn fold(transport: &Transport, loaded: Loaded) -> Result<Recorder, Failure> {
    let Loaded { submitted, sequence, at, plan, data } = loaded;
    let run = submitted.run;
    let mut recorder = Recorder::new(submitted, at, plan, data).map_err(Failure::usage)?;
    let mut reader = transport.facts(Scope::Run(run), transport.member(), sequence);
    let mut entries = Vec::new();
    loop {
        reader.read(&mut entries).await.map_err(Failure::unavailable)?;
        let caught_up = entries.last().is_some_and(|e| e.pending == 0);
        for entry in entries.drain(..) {
            match entry.fact {
                Ok(mut fact) => {
                    // What steps go over may be a big output, which is not in the fact itself.
                    let loaded = load_outputs(transport, recorder.state(), &mut fact).await;
                    loaded.map_err(Failure::unavailable)?;
                    recorder.apply(&fact, entry.at);
                }
                Err(_) => recorder.unreadable(),
            }
        }
        if caught_up {
            return Ok(recorder);
        }
    }
}
