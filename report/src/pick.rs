//! What every rendering asks of a report, so that all of them give the same answer.

use std::time::Duration;

use rfx_schemas::outcome::{Assertion, Failure};
use rfx_schemas::plan::Phase;
use rfx_schemas::report::{AttemptReport, Detail, JobReport, Report, StepReport};
use rfx_schemas::stamp::Stamp;
use rfx_schemas::verdict::{OutcomeKind, Verdict};

use crate::text;

/// Longest name of a job or worker that a rendering shows.
const NAME_LIMIT: usize = 120;

/// Longest message that stands in a line of its own.
pub(crate) const MESSAGE_LIMIT: usize = 300;

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
        Self::of(Some(Verdict::of_job(kind, 1)))
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

/// Every job to look at, in the order of the plan.
pub(crate) fn concerns(report: &Report) -> impl Iterator<Item = (&StepReport, &JobReport)> {
    jobs(report).filter(|(_, job)| is_concern(job.verdict))
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

/// Jobs that have no verdict yet.
pub(crate) fn open(report: &Report) -> usize {
    jobs(report).filter(|(_, job)| job.verdict.is_none()).count()
}

/// `7 passed, 1 failed, 0 skipped`, and whatever else there is.
pub(crate) fn counts(report: &Report) -> String {
    let usual = [Verdict::Passed, Verdict::Failed, Verdict::Skipped];
    let shown = Verdict::ALL.into_iter().filter(|v| usual.contains(v) || report.counts.get(*v) > 0);
    let counted = shown.map(|v| format!("{} {v}", report.counts.get(v)));
    let open =
        Some(open(report)).filter(|open| *open > 0).map(|open| format!("{open} {}", Mark::of(None).word));
    counted.chain(open).collect::<Vec<_>>().join(", ")
}

/// Verdicts that a table of the report's steps needs a column for.
pub(crate) fn columns(report: &Report) -> Vec<Verdict> {
    let usual = [Verdict::Passed, Verdict::Failed];
    let needed = |v: &Verdict| usual.contains(v) || report.steps.iter().any(|step| step.counts.get(*v) > 0);
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
