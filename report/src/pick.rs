//! What every rendering asks of a report, so that all of them give the same answer.

use std::time::Duration;

use rfx_schemas::outcome::{Assertion, Failure};
use rfx_schemas::plan::{About, Phase};
use rfx_schemas::report::{AttemptReport, Detail, JobReport, Report, StepReport};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::{Counts, OutcomeKind, Verdict};
use serde_json::Value;

use crate::text;
use crate::tree::Tree;

/// Longest name of a job or worker that a rendering shows.
const NAME_LIMIT: usize = 120;

/// Longest message that stands in a line of its own.
pub(crate) const MESSAGE_LIMIT: usize = 300;

/// Most lines of a message where it may have several.
const MESSAGE_LINES: usize = 12;

/// A verdict as people see it: a word, a sign that tells it apart without colour, a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) word: &'static str,
    pub(crate) sign: &'static str,
}

impl Mark {
    /// The mark of a verdict; none means that it goes on.
    pub(crate) fn of(verdict: Option<Verdict>) -> Self {
        let sign = match verdict {
            Some(Verdict::Passed) => "✓",
            Some(Verdict::Flaky) => "≈",
            Some(Verdict::Failed) => "✗",
            Some(Verdict::Error) => "!",
            Some(Verdict::Lost) => "?",
            Some(Verdict::Skipped) => "–",
            Some(Verdict::Cancelled) => "■",
            None => "…",
        };
        Self { word: verdict.map_or("running", Verdict::as_str), sign }
    }

    /// The mark of one attempt.
    pub(crate) fn of_attempt(kind: OutcomeKind) -> Self {
        match kind {
            // Of no verdict: the job may still see what it looks for.
            OutcomeKind::Unmet => Self { word: "unmet", sign: "○" },
            kind => Self::of(Some(Verdict::of_job(kind, 1))),
        }
    }
}

/// Whether somebody should look at it: the test said no, or there was no answer.
pub(crate) fn is_concern(verdict: Option<Verdict>) -> bool {
    matches!(verdict, Some(Verdict::Failed | Verdict::Error | Verdict::Lost))
}

/// Where a job stands in a list that begins with what to look at.
pub(crate) fn rank(verdict: Option<Verdict>) -> u8 {
    match verdict {
        Some(Verdict::Failed | Verdict::Error | Verdict::Lost) => 0,
        Some(Verdict::Flaky) => 1,
        None => 2,
        Some(Verdict::Cancelled) => 3,
        Some(Verdict::Skipped) => 4,
        Some(Verdict::Passed) => 5,
    }
}

/// Every job to look at, in the order of the plan, and every execution of a composite that no job in
/// it explains: its input was refused, or it gave what was not expected. Without what is allowed.
pub(crate) fn concerns(report: &Report) -> Vec<(&StepReport, &JobReport)> {
    let tree = Tree::of(report);
    to_look_at(report).filter(|(at, _, job)| !tree.allows(*at, job.verdict)).map(|(_, s, j)| (s, j)).collect()
}

/// Every one of them that does not fail the run.
pub(crate) fn allowed(report: &Report) -> Vec<(&StepReport, &JobReport)> {
    let tree = Tree::of(report);
    to_look_at(report).filter(|(at, _, job)| tree.allows(*at, job.verdict)).map(|(_, s, j)| (s, j)).collect()
}

fn to_look_at(report: &Report) -> impl Iterator<Item = (usize, &StepReport, &JobReport)> {
    let steps = report.steps.iter().enumerate();
    let all = steps.flat_map(|(at, step)| step.jobs.iter().map(move |job| (at, step, job)));
    all.filter(|(_, step, job)| tells(step, job) && is_concern(job.verdict))
}

/// Whether it speaks for itself: a job does, an execution of a composite only with a reason.
pub(crate) fn tells(step: &StepReport, job: &JobReport) -> bool {
    !step.composite || job.reason.is_some()
}

/// Every job that passed only after an attempt that did not.
pub(crate) fn flaky(report: &Report) -> impl Iterator<Item = (&StepReport, &JobReport)> {
    jobs(report).filter(|(_, job)| job.verdict == Some(Verdict::Flaky))
}

fn jobs(report: &Report) -> impl Iterator<Item = (&StepReport, &JobReport)> {
    let calls = report.steps.iter().filter(|step| !step.composite);
    calls.flat_map(|step| step.jobs.iter().map(move |job| (step, job)))
}

/// The step as people name it: `device`, `setup.tenant`, `host/device`.
pub(crate) fn step_name(step: &StepReport) -> String {
    let main = Phase::Main.key();
    let path = step.path.strip_prefix(main).and_then(|rest| rest.strip_prefix('.')).unwrap_or(&step.path);
    text::one_line(path, NAME_LIMIT)
}

/// The step as its own flow names it, for where the tree shows what is around it.
pub(crate) fn own_name(step: &StepReport) -> String {
    let name = step_name(step);
    name.rsplit_once('/').map_or(name.clone(), |(_, own)| own.to_owned())
}

/// What the flow of a composite extends: `host_eu extends host, base`.
pub(crate) fn lineage(step: &StepReport) -> Option<String> {
    let lineage = format!("extends {}", step.extends.join(", "));
    (!step.extends.is_empty()).then(|| text::one_line(&lineage, MESSAGE_LIMIT))
}

/// `1 job`, `3 jobs`.
pub(crate) fn counted(number: usize, what: &str) -> String {
    format!("{} {what}{}", text::count(number), if number == 1 { "" } else { "s" })
}

/// `3 executions`: what a composite has where other steps have jobs.
pub(crate) fn executions(step: &StepReport) -> String {
    match step.jobs.len() {
        0 => "·".to_owned(),
        some => counted(some, "execution"),
    }
}

/// `3 executions: 1 passed, 2 failed`.
pub(crate) fn executions_by_verdict(step: &StepReport) -> String {
    let some = Verdict::ALL.into_iter().map(|v| (step.counts.get(v), v)).filter(|(n, _)| *n > 0);
    let counted: Vec<_> = some.map(|(n, v)| format!("{n} {v}")).collect();
    if step.jobs.is_empty() || counted.is_empty() {
        return executions(step);
    }
    format!("{}: {}", executions(step), counted.join(", "))
}

/// The verdict in words, with what takes the edge off it.
pub(crate) fn word(verdict: Option<Verdict>, allowed: bool) -> String {
    let word = Mark::of(verdict).word;
    if allowed { format!("{word}, allowed") } else { word.to_owned() }
}

/// Who answers for it, its tags and labels, in words.
pub(crate) fn about(about: &About) -> Vec<(&'static str, String)> {
    let short = |text: &str| text::one_line(text, MESSAGE_LIMIT);
    let labels: Vec<_> = about.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let all = [
        ("owner", about.owner.as_deref().map(short).unwrap_or_default()),
        ("tags", short(&about.tags.join(", "))),
        ("labels", short(&labels.join(", "))),
    ];
    all.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}

/// Where the step ran: its group, with the lane when that is not the usual one.
pub(crate) fn place(step: &StepReport) -> String {
    let place =
        if step.queue == "main" { step.group.clone() } else { format!("{}/{}", step.group, step.queue) };
    text::one_line(&place, NAME_LIMIT)
}

/// The job as people name it: by its item, else by its id.
pub(crate) fn job_name(job: &JobReport) -> String {
    let key = job.key.as_deref().map(|key| text::one_line(key, NAME_LIMIT));
    key.filter(|key| !key.is_empty()).unwrap_or_else(|| job.job.to_string())
}

/// Who executed the attempt.
pub(crate) fn worker(attempt: &AttemptReport) -> String {
    text::one_line(&attempt.worker, NAME_LIMIT)
}

/// How long the function ran in this attempt.
pub(crate) fn took(attempt: &AttemptReport) -> Duration {
    attempt.ended.since(attempt.started)
}

/// What there is to see of the attempt that decided the verdict.
pub(crate) fn detail(job: &JobReport) -> Option<&Detail> {
    job.attempts.last()?.detail.as_deref()
}

/// What went wrong in the attempt that decided the verdict.
pub(crate) fn error(job: &JobReport) -> Option<&Failure> {
    detail(job)?.error.as_ref()
}

/// `type: message` in one line.
pub(crate) fn message(error: &Failure) -> String {
    text::one_line(&format!("{}: {}", error.kind, error.message), MESSAGE_LIMIT)
}

/// What went wrong with the job or the execution, in one line.
pub(crate) fn said(job: &JobReport) -> Option<String> {
    let reason = || job.reason.as_deref().map(|reason| text::one_line(reason, MESSAGE_LIMIT));
    error(job).map(message).or_else(reason)
}

/// The same, in as many lines as its author gave it: paths of an input, comparisons.
pub(crate) fn said_lines(job: &JobReport) -> Vec<String> {
    match (error(job), job.reason.as_deref()) {
        (Some(error), _) => {
            lines(&format!("{}: {}", text::one_line(&error.kind, MESSAGE_LIMIT), error.message))
        }
        (None, Some(reason)) => lines(reason),
        (None, None) => Vec::new(),
    }
}

/// A text from a function or an expression in its lines.
pub(crate) fn lines(text: &str) -> Vec<String> {
    text::lines(text, MESSAGE_LINES, MESSAGE_LIMIT)
}

/// Why outputs have no value, one line each.
pub(crate) fn unmade(report: &Report) -> impl Iterator<Item = String> {
    report.unmade.iter().map(|why| text::one_line(why, MESSAGE_LIMIT))
}

/// What the flow's gate was not kept to, one line each.
pub(crate) fn breaches(report: &Report) -> impl Iterator<Item = String> {
    report.breaches.iter().map(|breach| text::one_line(breach, MESSAGE_LIMIT))
}

/// The flow's outputs, one line each.
pub(crate) fn outputs(report: &Report) -> Vec<String> {
    let line = |value: &Value| text::one_line(&value.to_string(), MESSAGE_LIMIT);
    match &report.outputs {
        None => Vec::new(),
        Some(Value::Object(all)) => {
            let named = |(name, value): (&String, &Value)| {
                format!("{}: {}", text::one_line(name, NAME_LIMIT), line(value))
            };
            all.iter().map(named).collect()
        }
        Some(value) => vec![line(value)],
    }
}

/// How many attempts the job had, with those of polling that are not listed.
pub(crate) fn tries(job: &JobReport) -> usize {
    job.attempts.len() + job.unmet as usize
}

/// `polled 12 times`, if it polls and has not seen at its first look what it polls for.
pub(crate) fn polled(job: &JobReport) -> Option<String> {
    let waits = job.attempts.last().is_some_and(|last| last.kind == OutcomeKind::Unmet);
    match tries(job) {
        _ if job.unmet == 0 && !waits => None,
        1 => Some("polled once".to_owned()),
        some => Some(format!("polled {} times", text::count(some))),
    }
}

/// Comparisons that did not hold.
pub(crate) fn broken(detail: &Detail) -> impl Iterator<Item = &Assertion> {
    detail.assertions.iter().filter(|assertion| !assertion.passed)
}

/// From the first release to the last end among the step's attempts; none if it has none.
pub(crate) fn span(step: &StepReport) -> Option<(Stamp, Stamp)> {
    let attempts = || step.jobs.iter().flat_map(|job| &job.attempts);
    let first = attempts().map(|attempt| attempt.released).min()?;
    let last = attempts().map(|attempt| attempt.ended.max(attempt.released)).max()?;
    Some((first, last))
}

/// How long the step took, for people; a step without jobs took no time at all.
pub(crate) fn step_took(step: &StepReport) -> String {
    if step.jobs.is_empty() { "·".to_owned() } else { text::human(step.duration) }
}

/// How many jobs there are; executions of composites are none.
pub(crate) fn total(report: &Report) -> usize {
    jobs(report).count()
}

/// Jobs that have no verdict yet.
pub(crate) fn open(report: &Report) -> usize {
    jobs(report).filter(|(_, job)| job.verdict.is_none()).count()
}

/// `7 passed, 2 failed, 1 of them allowed, 0 skipped`, and whatever else there is.
pub(crate) fn counts(report: &Report) -> String {
    let counts = &report.counts;
    let usual = [Verdict::Passed, Verdict::Failed, Verdict::Skipped];
    let last = if counts.error > 0 { Verdict::Error } else { Verdict::Failed };
    let mut shown = Vec::new();
    for verdict in Verdict::ALL {
        let of = counts.get(verdict);
        if usual.contains(&verdict) || of > 0 {
            shown.push(format!("{of} {verdict}"));
        }
        if verdict == last {
            shown.extend(allowed_part(counts));
        }
    }
    let open = open(report);
    shown.extend((open > 0).then(|| format!("{open} {}", Mark::of(None).word)));
    shown.join(", ")
}

/// How many of what failed do not fail the run.
pub(crate) fn allowed_part(counts: &Counts) -> Option<String> {
    match (counts.allowed, counts.failed + counts.error) {
        (0, _) => None,
        (1, 1) => Some("allowed".to_owned()),
        (allowed, all) if allowed >= all => Some("all of them allowed".to_owned()),
        (allowed, _) => Some(format!("{allowed} of them allowed")),
    }
}

/// Verdicts that a table of the report's steps needs a column for.
pub(crate) fn columns(report: &Report) -> Vec<Verdict> {
    let usual = [Verdict::Passed, Verdict::Failed];
    let calls = || report.steps.iter().filter(|step| !step.composite);
    let needed = |v: &Verdict| usual.contains(v) || calls().any(|step| step.counts.get(*v) > 0);
    Verdict::ALL.into_iter().filter(needed).collect()
}

/// Labels and contents of one failed comparison, for a list of lines.
pub(crate) fn compared(assertion: &Assertion) -> Vec<(&'static str, &str)> {
    let parts = [
        ("expected", assertion.expected.as_deref()),
        ("seen", assertion.seen.as_deref()),
        ("message", assertion.message.as_deref()),
    ];
    parts.into_iter().filter_map(|(label, text)| text.map(|text| (label, text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn every_verdict_has_a_sign_of_its_own() {
        let signs: std::collections::BTreeSet<_> =
            Verdict::ALL.into_iter().map(Some).chain([None]).map(|v| Mark::of(v).sign).collect();
        assert_eq!(signs.len(), Verdict::ALL.len() + 1);
    }

    #[test]
    fn counts_name_what_is_there() {
        assert_eq!(counts(&fixtures::failed()), "1 passed, 1 failed, 0 skipped");
        assert_eq!(counts(&fixtures::running()), "1 passed, 0 failed, 0 skipped, 1 running");
        let all = "4 passed, 1 flaky, 2 failed, 1 error, 1 lost, 1 skipped, 1 cancelled";
        assert_eq!(counts(&fixtures::every_verdict()), all);
        let some = "10 passed, 3 failed, 2 error, 1 of them allowed, 1 skipped";
        assert_eq!(counts(&fixtures::composites()), some, "executions are no jobs");
    }

    #[test]
    fn what_no_job_explains_is_told_and_what_is_allowed_is_told_apart() {
        let report = fixtures::composites();
        let names = |jobs: Vec<(&StepReport, &JobReport)>| -> Vec<String> {
            jobs.into_iter().map(|(step, job)| format!("{} {}", step_name(step), job_name(job))).collect()
        };
        let told =
            ["host eu-3", "host/device eu-2/web-03", "host/device/found eu-2/web-02", "host/check eu-2"];
        assert_eq!(names(concerns(&report)), told);
        assert_eq!(names(allowed(&report)), ["host/device/push eu-2/web-02"]);
    }

    #[test]
    fn polls_that_are_not_listed_are_counted() {
        let report = fixtures::composites();
        let polls: Vec<_> = report.steps[5].jobs.iter().map(polled).collect();
        assert_eq!(polls, [None, Some("polled 30 times".into()), Some("polled 12 times".into())]);
    }

    #[test]
    fn a_step_spans_all_its_attempts_and_a_skipped_one_nothing() {
        let report = fixtures::every_verdict();
        let device = report.steps.iter().find(|step| step.name == "device").unwrap();
        let (from, to) = span(device).unwrap();
        assert!(device.jobs.iter().flat_map(|j| &j.attempts).all(|a| from <= a.released && a.ended <= to));
        let skipped = report.steps.iter().find(|step| step.jobs.is_empty()).unwrap();
        assert_eq!(span(skipped), None);
    }
}
