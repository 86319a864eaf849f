//! The table of flows on a real server: each ends there as it does in the fold.

#[allow(dead_code, reason = "the tests of the fold read the rest")]
#[path = "../../flow/tests/cases/mod.rs"]
pub mod table;

use std::collections::BTreeMap;
use std::path::Path;

use rfx_schemas::report::{AttemptReport, CallReport, JobReport, Report};
use rfx_tests::world::World;
use table::{Case, Expected};
use tokio::task::JoinSet;

/// Runs at once.
const AT_ONCE: usize = 6;

/// The function that all cases use.
const POOL: &str = "\
from typing import Any

import rfx

@rfx.function(name=\"t.answer\")
def answer(
    ctx: rfx.Context,
    kinds: list[str] | None = None,
    output: Any = None,
    outputs: list[Any] | None = None,
) -> Any:
    nth = lambda values: values[min(ctx.attempt, len(values)) - 1]
    kind = nth(kinds) if kinds else \"passed\"
    if kind == \"failed\":
        rfx.fail(\"it was told to\")
    if kind == \"error\":
        raise ValueError(\"it was told to\")
    if kind == \"skipped\":
        rfx.skip(\"it was told to\")
    return nth(outputs) if outputs else output
";

/// How a step ended. Of a poll only the last look is in a report, and how many came before it.
fn ended(report: &Report, at: usize) -> Expected {
    let step = &report.steps[at];
    let attempts = |job: &JobReport| {
        let kinds = job.attempts.iter().map(|attempt| attempt.kind.to_string());
        kinds.chain([format!("unmet {}", job.unmet)]).collect::<Vec<_>>()
    };
    let mut jobs: Vec<_> = if step.composite { Vec::new() } else { step.jobs.iter().map(attempts).collect() };
    if step.parent.is_some() {
        jobs.sort();
    }
    let verdict = step.verdict.map(|verdict| verdict.to_string()).unwrap_or_default();
    Expected { path: step.path.clone(), verdict, jobs }
}

/// What the table says, in the words of a report.
fn expected(case: &Case, report: &Report, at: usize) -> Expected {
    let path = &report.steps[at].path;
    let found = case.steps.iter().find(|step| step.path == *path).cloned();
    let mut step = found.unwrap_or_else(|| panic!("{}: nothing is said about {path}", case.name));
    for job in &mut step.jobs {
        let last = job.len() - 1;
        let looks: Vec<_> = job.iter().enumerate().map(|(n, kind)| n < last && kind == "unmet").collect();
        let mut looks_left = looks.iter();
        job.retain(|_| looks_left.next() == Some(&false));
        job.push(format!("unmet {}", looks.iter().filter(|look| **look).count()));
    }
    if report.steps[at].parent.is_some() {
        step.jobs.sort();
    }
    step
}

/// What the jobs of a run have called, and what was to be undone.
fn calls(report: &Report) -> impl Iterator<Item = &CallReport> {
    report.steps.iter().flat_map(|step| &step.calls).chain(&report.undos)
}

/// How calls and undos ended, in the order of the table.
fn calls_ended(report: &Report) -> Vec<Expected> {
    let mut ended: BTreeMap<&str, Expected> = BTreeMap::new();
    for call in calls(report) {
        let verdict = call.verdict.map(|verdict| verdict.to_string()).unwrap_or_default();
        let first = || Expected { path: call.path.clone(), verdict, jobs: Vec::new() };
        let kinds = call.attempts.iter().map(|attempt| attempt.kind.to_string()).collect();
        ended.entry(&call.path).or_insert_with(first).jobs.push(kinds);
    }
    ended.into_values().collect()
}

/// Checks that each of the steps that a case names was released when those before it had ended.
fn assert_order(case: &Case, report: &Report) {
    let attempts = |path: &String| -> Vec<&AttemptReport> {
        let step = report.steps.iter().filter(|step| step.path == *path);
        let jobs = step.flat_map(|step| &step.jobs).flat_map(|job| &job.attempts);
        jobs.chain(calls(report).filter(|call| call.path == *path).flat_map(|call| &call.attempts)).collect()
    };
    for pair in case.order.windows(2) {
        let ended = attempts(&pair[0]).iter().map(|attempt| attempt.ended).max();
        let released = attempts(&pair[1]).iter().map(|attempt| attempt.released).min();
        assert!(ended.is_some() && ended <= released, "{}: {} before {}", case.name, pair[0], pair[1]);
    }
}

pub fn assert_case(case: &Case, code: i32, dir: &Path, said: &str) {
    let name = &case.name;
    assert_eq!(code, case.exit, "{name}: {said}");
    let bytes = std::fs::read(dir.join("report.json")).expect("a report");
    let report = rfx_report::json::read(&bytes).expect("a readable report");
    let verdict = report.verdict.expect("it has ended").to_string();
    assert_eq!(verdict, case.verdict, "{name}: {said}");
    let in_plan = case.steps.iter().filter(|step| !step.path.contains(' ')).count();
    assert_eq!(report.steps.len(), in_plan, "{name}: {said}");
    let of_calls = case.steps.iter().filter(|step| step.path.contains(' '));
    assert_eq!(calls_ended(&report), of_calls.cloned().collect::<Vec<_>>(), "{name}: {said}");
    let leaks = report.undos.iter().filter(|undo| undo.leak.is_some()).count();
    assert_eq!(leaks, case.leaks, "{name}: {said}");
    for at in 0..report.steps.len() {
        assert_eq!(ended(&report, at), expected(case, &report, at), "{name}: {said}");
    }
    let breach = report.breaches.first().and_then(|breach| breach.split(':').next());
    assert_eq!(breach, case.breach.as_deref(), "{name}: {said}");
    assert_order(case, &report);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_ends_as_the_table_says() {
    let mut world = World::new().await;
    world.file("pool/pool.toml", "name = \"t\"\n");
    world.file("pool/t.py", POOL);
    let pool = world.dir().join("pool").display().to_string();
    let _worker = world.worker(["--pool", &pool, "--slots", "8"]).await;
    let library = table::library().display().to_string();
    let mut running = JoinSet::new();
    let mut ended = Vec::new();
    for case in table::all() {
        if running.len() >= AT_ONCE {
            ended.extend(running.join_next().await);
        }
        let dir = world.dir().join(format!("report-{}", case.name));
        let mut command = world.command("rfx-publish");
        command.arg("run").arg(&case.path).args(["--pool", &library, "--report"]).arg(&dir).args(&case.args);
        running.spawn(async move { (case, rfx_tests::process::run(command).await, dir) });
    }
    // All of them first: a case that is wrong must not take the server from under the others.
    ended.extend(running.join_all().await.into_iter().map(Ok));
    for one in ended {
        let (case, ran, dir) = one.expect("no panic in it");
        assert_case(&case, ran.code, &dir, &format!("{}{}", ran.stdout, ran.stderr));
    }
}
