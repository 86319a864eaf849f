//! What a plan may be expected to take, by an earlier run of the same flow that the server still knows.

use std::collections::HashMap;
use std::time::Duration;

use rfx_config::process::Failure;
use rfx_flow::show;
use rfx_publisher::find;
use rfx_schemas::plan::Plan;
use rfx_schemas::report::Report;
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::Verdict;
use rfx_transport::Transport;
use rfx_transport::run::Summary;

use super::super::{find_failure, runs};

/// Most jobs of a run that is folded only to look at a plan: about a second.
const MOST_JOBS: u32 = 20_000;
/// Longest time that looking for it may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the steps of an earlier run took.
pub struct History {
    durations: HashMap<String, Duration>,
    /// Which run: `0123456789ab of 2026-11-20 (passed)`.
    of: String,
}

impl History {
    /// The newest run of the flow that passed, else the newest that has ended. None when the server
    /// knows none, or does not say: a plan can be looked at without.
    pub async fn find(transport: &Transport, flow: &str) -> Option<Self> {
        match tokio::time::timeout(PATIENCE, read(transport, flow)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(%error, "earlier runs cannot be read: no time is expected");
                None
            }
            Err(_) => {
                tracing::warn!("earlier runs took too long to read: no time is expected");
                None
            }
        }
    }

    fn new(run: &Summary, verdict: Verdict, plan: &Plan, report: &Report) -> Self {
        let id = run.submitted.run.to_string();
        let (id, at) = (id.rsplit('-').next().unwrap_or(&id), run.at.to_string());
        let day = at.split('T').next().unwrap_or(&at);
        // What did not get its turn says nothing about its time. In a run that passed it had one: its
        // condition was false, or its list empty.
        let ran = |verdict| !matches!(verdict, None | Some(Verdict::Skipped | Verdict::Cancelled));
        let steps = report.steps.iter().enumerate();
        let steps = steps
            .filter(|(at, step)| (is_fine(verdict) || ran(step.verdict)) && !show::is_left_out(plan, *at));
        let durations = steps.map(|(_, step)| (step.path.clone(), step.duration)).collect();
        Self { durations, of: format!("{id} of {day} ({verdict})") }
    }

    /// How long a step took.
    pub fn of_step(&self, plan: &Plan, at: usize) -> Option<Duration> {
        self.durations.get(&plan.path(at)).copied()
    }

    /// The expected time in a line; with `unknown` steps that were not in that run.
    pub fn line(&self, total: Duration, unknown: u64) -> String {
        let took = show::took(show::rounded(total));
        let unknown = match unknown {
            0 => String::new(),
            unknown => format!("; without {} that it did not run", show::several(unknown, "step")),
        };
        format!("expected {took}, by run {}{unknown}", self.of)
    }
}

async fn read(transport: &Transport, flow: &str) -> Result<Option<History>, Failure> {
    let runs = transport.runs().await.map_err(Failure::unavailable)?;
    let Some((run, verdict)) = choose(&runs, flow) else { return Ok(None) };
    let loaded = find::load(transport, run.submitted.run).await.map_err(find_failure)?;
    let recorder = runs::fold(transport, loaded).await?;
    let report = recorder.report(Stamp::now());
    Ok(Some(History::new(run, verdict, recorder.state().plan(), &report)))
}

/// The run to go by: of those that have ended and are not too big, the newest that passed, else the
/// newest.
fn choose<'a>(runs: &'a [Summary], flow: &str) -> Option<(&'a Summary, Verdict)> {
    let ended = runs.iter().rev().filter(|run| run.submitted.flow == flow).filter_map(|run| {
        let (finished, _) = run.finished.as_ref()?;
        (finished.counts.total() <= MOST_JOBS).then_some((run, finished.verdict))
    });
    let ended: Vec<_> = ended.collect();
    let passed = ended.iter().find(|(_, verdict)| is_fine(*verdict));
    passed.or(ended.first()).copied()
}

fn is_fine(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Passed | Verdict::Flaky)
}

#[cfg(test)]
mod tests {
    use rfx_schemas::fact::{Finished, Submitted};
    use rfx_schemas::id::RunId;
    use rfx_schemas::payload::Payload;
    use rfx_schemas::trace::TraceContext;
    use rfx_schemas::verdict::Counts;

    use super::*;

    fn run(flow: &str, ended: Option<(Verdict, u32)>) -> Summary {
        let (run, at) = (RunId::new(), Stamp::now());
        let submitted = Submitted {
            run,
            flow: flow.to_owned(),
            plan: Payload::null(),
            submitted: at,
            by: "me@here".to_owned(),
            trace: TraceContext::of_run(run, None),
            ci: None,
        };
        let finished = ended.map(|(verdict, passed)| {
            let counts = Counts { passed, ..Counts::default() };
            (Finished { verdict, counts, breaches: Vec::new(), unmade: Vec::new(), outputs: None }, at)
        });
        Summary { submitted, at, finished }
    }

    #[test]
    fn the_newest_run_that_passed_is_gone_by_else_the_newest() {
        let chosen = |runs: &[Summary]| {
            choose(runs, "x").map(|(chosen, _)| runs.iter().position(|run| std::ptr::eq(run, chosen)))
        };
        let mut runs = vec![run("x", None), run("y", Some((Verdict::Passed, 1)))];
        assert_eq!(chosen(&runs), None, "none of this flow has ended");
        runs.extend([run("x", Some((Verdict::Failed, 1))), run("x", Some((Verdict::Error, 1)))]);
        assert_eq!(chosen(&runs), Some(Some(3)));
        runs.extend([run("x", Some((Verdict::Flaky, 1))), run("x", Some((Verdict::Failed, 1)))]);
        runs.push(run("x", Some((Verdict::Passed, MOST_JOBS + 1))));
        assert_eq!(chosen(&runs), Some(Some(4)), "the newest is too big");
    }
}
