//! The steps of the page, and which of their jobs it lists.

use rfx_schemas::report::{JobReport, Report, StepReport};
use rfx_schemas::verdict::Verdict;

use super::evidence::{AttemptView, Budget};
use crate::pick::{self, Mark};
use crate::text;

/// Most jobs of a step that are listed although they passed.
const PASSED: usize = 200;
/// Most other jobs of a step that are listed.
const OTHERS: usize = 2_000;
/// Most jobs that the page lists in all, shared out evenly: browsers lay out some thousand rows at once.
const PAGE: usize = 8_000;
/// Jobs of a step whose evidence is open from the start.
const OPEN: usize = 3;

/// A step with the jobs that are listed.
pub(super) struct StepView {
    pub(super) number: usize,
    pub(super) mark: Mark,
    pub(super) name: String,
    pub(super) uses: String,
    pub(super) place: String,
    pub(super) reason: Option<String>,
    pub(super) total: String,
    pub(super) counts: Vec<Count>,
    pub(super) duration: String,
    pub(super) open: bool,
    pub(super) jobs: Vec<JobView>,
    pub(super) unlisted: Option<String>,
}

/// A number in the table of steps.
pub(super) struct Count {
    pub(super) word: &'static str,
    pub(super) number: String,
    pub(super) zero: bool,
}

/// A job in its step's list.
pub(super) struct JobView {
    pub(super) mark: Mark,
    pub(super) name: String,
    pub(super) message: String,
    pub(super) attempts: usize,
    pub(super) duration: String,
    pub(super) worker: String,
    pub(super) open: bool,
    pub(super) evidence: Vec<AttemptView>,
    pub(super) left_out: bool,
}

/// All steps, numbered from 1.
pub(super) fn views(report: &Report, columns: &[Verdict], budget: &mut Budget) -> Vec<StepView> {
    let share = PAGE / report.steps.len().max(1);
    let number = |(at, step)| StepView::of(at + 1, step, columns, share, budget);
    report.steps.iter().enumerate().map(number).collect()
}

impl StepView {
    fn of(number: usize, step: &StepReport, columns: &[Verdict], share: usize, budget: &mut Budget) -> Self {
        let listed = listed(step, share);
        let unlisted = step.jobs.len() - listed.len();
        let open = !matches!(step.verdict, Some(Verdict::Passed | Verdict::Skipped)) && !step.jobs.is_empty();
        let count = |verdict: &Verdict| {
            let jobs = step.counts.get(*verdict);
            Count {
                word: verdict.as_str(),
                number: if jobs == 0 { "·".to_owned() } else { text::count(jobs as usize) },
                zero: jobs == 0,
            }
        };
        Self {
            number,
            mark: Mark::of(step.verdict),
            name: pick::step_name(step),
            uses: text::one_line(&step.uses, pick::MESSAGE_LIMIT),
            place: pick::place(step),
            reason: step.reason.as_deref().map(|reason| text::one_line(reason, pick::MESSAGE_LIMIT)),
            total: text::count(step.jobs.len()),
            counts: columns.iter().map(count).collect(),
            duration: pick::step_took(step),
            open,
            jobs: listed.iter().enumerate().map(|(at, job)| JobView::of(job, at < OPEN, budget)).collect(),
            unlisted: (unlisted > 0).then(|| text::count(unlisted)),
        }
    }
}

/// The jobs to list, those to look at first; within that, by item.
fn listed(step: &StepReport, share: usize) -> Vec<&JobReport> {
    let has_passed = |job: &&JobReport| job.verdict == Some(Verdict::Passed);
    let (passed, mut listed): (Vec<&JobReport>, Vec<_>) = step.jobs.iter().partition(has_passed);
    listed.sort_by_key(|job| pick::rank(job.verdict));
    listed.truncate(OTHERS.min(share.max(PASSED)));
    listed.extend(passed.into_iter().take(PASSED.min(share)));
    listed
}

impl JobView {
    fn of(job: &JobReport, early: bool, budget: &mut Budget) -> Self {
        let mut evidence = budget.attempts(job);
        let quiet = matches!(job.verdict, Some(Verdict::Passed | Verdict::Flaky));
        let message =
            if quiet { String::new() } else { pick::error(job).map(pick::message).unwrap_or_default() };
        if let Some([only]) = evidence.as_deref_mut() {
            only.leave_out(&message);
        }
        Self {
            mark: Mark::of(job.verdict),
            name: pick::job_name(job),
            message,
            attempts: job.attempts.len(),
            duration: job.attempts.last().map(|last| text::human(pick::took(last))).unwrap_or_default(),
            worker: job.attempts.last().map(pick::worker).unwrap_or_default(),
            open: early && pick::is_concern(job.verdict),
            left_out: evidence.is_none(),
            evidence: evidence.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn what_to_look_at_comes_first_and_nothing_else_moves() {
        let report = fixtures::every_verdict();
        let words: Vec<_> =
            listed(&report.steps[1], PAGE).iter().map(|job| Mark::of(job.verdict).word).collect();
        let order = ["failed", "error", "lost", "failed", "flaky", "cancelled", "skipped", "passed"];
        assert_eq!(words, order);
    }

    #[test]
    fn many_steps_share_the_page() {
        let report = fixtures::many(3_000, 2_500);
        assert_eq!(listed(&report.steps[0], PAGE).len(), 2_000 + 200);
        assert_eq!(listed(&report.steps[0], 80).len(), 200 + 80);
    }
}
