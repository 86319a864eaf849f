//! What a function last came to, by the latest runs that the server still knows. The work is bounded: so many
//! plans are looked at, so many runs folded, and nobody waits for longer than a few seconds.

use std::time::Duration;

use rfx_config::process::Failure;
use rfx_publisher::find;
use rfx_report::catalogue::terminal::Last;
use rfx_schemas::name::Function;
use rfx_schemas::plan::{Does, Plan};
use rfx_schemas::record::parse_use;
use rfx_schemas::report::{JobReport, Report};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::{Counts, Verdict};
use rfx_transport::Transport;
use rfx_transport::run::Summary;

use crate::command::{find_failure, runs};

/// Plans that are looked at, from the latest on.
const PLANS: usize = 40;
/// Runs that are folded.
const RUNS: usize = 5;
/// Most jobs of a run that is folded only for a look: a fraction of a second.
const MOST_JOBS: u32 = 5_000;
/// Longest time that all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The latest first. None when the server does not say in time: the rest can be shown without.
pub async fn find(transport: &Transport, name: &Function) -> Option<Vec<Last>> {
    match tokio::time::timeout(PATIENCE, read(transport, name)).await {
        Ok(Ok(found)) => Some(found),
        Ok(Err(_)) => {
            tracing::warn!("earlier runs cannot be read: their outcomes are not shown");
            None
        }
        Err(_) => {
            tracing::warn!("earlier runs took too long to read: their outcomes are not shown");
            None
        }
    }
}

async fn read(transport: &Transport, name: &Function) -> Result<Vec<Last>, Failure> {
    let runs = transport.runs().await.map_err(Failure::unavailable)?;
    let mut found = Vec::new();
    let small = |run: &&Summary| run.finished.as_ref().is_some_and(|(f, _)| f.counts.total() <= MOST_JOBS);
    for run in runs.iter().rev().filter(small).take(PLANS) {
        let loaded = find::load(transport, run.submitted.run).await.map_err(find_failure)?;
        if !calls(&loaded.plan, name) {
            continue;
        }
        let recorder = runs::fold(transport, loaded).await?;
        found.extend(last(run, &recorder.report(Stamp::now()), name));
        if found.len() == RUNS {
            break;
        }
    }
    Ok(found)
}

fn calls(plan: &Plan, name: &Function) -> bool {
    plan.steps.iter().any(|step| match &step.does {
        Does::Call(call) => call.uses == *name,
        Does::Flow(flow) => flow.uses == *name,
    })
}

/// What the function's jobs came to; none when none of them had its turn.
fn last(run: &Summary, report: &Report, name: &Function) -> Option<Last> {
    let mut last = Last {
        run: run.submitted.run,
        at: run.at,
        flow: run.submitted.flow.clone(),
        versions: Vec::new(),
        digests: Vec::new(),
        counts: Counts::default(),
        why: None,
    };
    for step in &report.steps {
        let Ok((uses, version)) = parse_use(&step.uses) else { continue };
        if uses != *name || step.jobs.is_empty() {
            continue;
        }
        last.counts.merge(&step.counts);
        add(&mut last.versions, version.map(String::from));
        for attempt in step.jobs.iter().flat_map(|job| &job.attempts) {
            add(&mut last.digests, attempt.digest.as_deref().map(str::to_owned));
        }
        last.why = last.why.or_else(|| step.jobs.iter().find_map(why));
    }
    (last.counts.total() > 0).then_some(last)
}

fn add(all: &mut Vec<String>, one: Option<String>) {
    all.extend(one.filter(|one| !all.contains(one)));
}

fn why(job: &JobReport) -> Option<String> {
    if job.verdict.is_some_and(Verdict::is_pass) {
        return None;
    }
    let detail = job.attempts.last().and_then(|attempt| attempt.detail.as_ref());
    let message = detail.and_then(|detail| detail.error.as_ref()).map(|error| error.message.clone());
    message.or_else(|| job.reason.as_deref().map(str::to_owned))
}
