//! The steps of the page as a tree, and which of their jobs it lists. Composites fold their steps.

use rfx_schemas::report::{JobReport, Report, StepReport};
use rfx_schemas::verdict::Verdict;

use super::calls::{self, CallsView};
use super::evidence::{AttemptView, Budget};
use crate::pick::{self, Mark};
use crate::text;
use crate::tree::Tree;

/// Most jobs of a step that are listed although they passed.
const PASSED: usize = 200;
/// Most executions of a composite that are listed although they passed: they tell nothing.
const EXECUTIONS: usize = 20;
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
    pub(super) allowed: bool,
    pub(super) depth: usize,
    pub(super) composite: bool,
    /// How many composites end with this step.
    pub(super) closes: usize,
    pub(super) name: String,
    pub(super) uses: String,
    pub(super) lineage: Option<String>,
    pub(super) about: Vec<(&'static str, String)>,
    pub(super) place: String,
    pub(super) reason: Option<String>,
    pub(super) total: String,
    /// Its jobs in words, or its executions.
    pub(super) counted: String,
    pub(super) counts: Vec<Count>,
    pub(super) duration: String,
    pub(super) open: bool,
    pub(super) jobs: Vec<JobView>,
    pub(super) unlisted: Option<String>,
    pub(super) calls: Option<CallsView>,
}

/// A number in the table of steps.
pub(super) struct Count {
    pub(super) word: &'static str,
    pub(super) number: String,
    pub(super) zero: bool,
    pub(super) allowed: bool,
}

/// A job in its step's list.
pub(super) struct JobView {
    pub(super) mark: Mark,
    pub(super) name: String,
    pub(super) allowed: bool,
    pub(super) message: String,
    pub(super) polled: Option<String>,
    pub(super) attempts: usize,
    pub(super) duration: String,
    pub(super) worker: String,
    pub(super) open: bool,
    pub(super) evidence: Vec<AttemptView>,
    pub(super) left_out: bool,
}

/// All steps, numbered from 1.
pub(super) fn views(report: &Report, tree: &Tree, columns: &[Verdict], budget: &mut Budget) -> Vec<StepView> {
    let share = PAGE / report.steps.len().max(1);
    let steps = report.steps.iter().enumerate();
    let mut views: Vec<_> = steps
        .map(|(at, step)| StepView::of(report, at, tree, share, budget).counted(step, columns))
        .collect();
    // What needs a look must be seen, however deep it is: from the innermost on.
    for at in (0..views.len()).rev() {
        if let Some(parent) = tree.parent(at).filter(|_| views[at].open) {
            views[parent].open = true;
        }
    }
    views
}

impl StepView {
    fn of(report: &Report, at: usize, tree: &Tree, share: usize, budget: &mut Budget) -> Self {
        let step = &report.steps[at];
        let listed = listed(step, share);
        let unlisted = if is_plain(step) { 0 } else { step.jobs.len() - listed.len() };
        let allowed = tree.allows(at, step.verdict);
        // One that never had a turn has its reason from what is around it.
        let reason = if step.jobs.is_empty() { tree.reason(report, at) } else { step.reason.as_deref() };
        let jobs = listed.iter().enumerate().map(|(number, job)| {
            let early = number < OPEN && !tree.allows(at, job.verdict);
            JobView::of(job, early, tree.allows(at, job.verdict), budget)
        });
        Self {
            number: at + 1,
            mark: Mark::of(step.verdict),
            allowed,
            depth: tree.depth(at),
            composite: step.composite,
            closes: tree.closes(at),
            name: pick::own_name(step),
            uses: text::one_line(&step.uses, pick::MESSAGE_LIMIT),
            lineage: pick::lineage(step),
            about: pick::about(&step.about),
            place: pick::place(step),
            reason: reason.map(|reason| pick::lines(reason).join("\n")),
            total: text::count(step.jobs.len()),
            counted: String::new(),
            counts: Vec::new(),
            duration: pick::step_took(step),
            open: !allowed && needs_a_look(step),
            jobs: jobs.collect(),
            unlisted: (unlisted > 0).then(|| text::count(unlisted)),
            calls: calls::view(&step.calls, "call"),
        }
    }

    /// With its jobs counted, by verdict for the table; executions are none, and stand in words.
    fn counted(mut self, step: &StepReport, columns: &[Verdict]) -> Self {
        if step.composite {
            self.counted = pick::executions_by_verdict(step);
            return self;
        }
        let count = |verdict: &Verdict| {
            let jobs = step.counts.get(*verdict);
            Count {
                word: verdict.as_str(),
                number: if jobs == 0 { "·".to_owned() } else { text::count(jobs as usize) },
                zero: jobs == 0,
                allowed: self.allowed && matches!(verdict, Verdict::Failed | Verdict::Error),
            }
        };
        self.counted = pick::counted(step.jobs.len(), "job");
        self.counts = columns.iter().map(count).collect();
        self
    }
}

/// Whether the step is open from the start; a composite only for what none of its steps tells.
fn needs_a_look(step: &StepReport) -> bool {
    match step.composite {
        true => step.jobs.iter().any(|job| pick::tells(step, job) && pick::is_concern(job.verdict)),
        false => !matches!(step.verdict, Some(Verdict::Passed | Verdict::Skipped)) && !step.jobs.is_empty(),
    }
}

/// Whether it is a composite over nothing, whose one execution has neither name nor reason: its row
/// tells all.
fn is_plain(step: &StepReport) -> bool {
    matches!(step.jobs.as_slice(), [only] if step.composite && only.key.is_none() && only.reason.is_none())
}

/// The jobs to list, those to look at first; within that, by item.
fn listed(step: &StepReport, share: usize) -> Vec<&JobReport> {
    if is_plain(step) {
        return Vec::new();
    }
    let has_passed = |job: &&JobReport| job.verdict == Some(Verdict::Passed);
    let (passed, mut listed): (Vec<&JobReport>, Vec<_>) = step.jobs.iter().partition(has_passed);
    listed.sort_by_key(|job| pick::rank(job.verdict));
    listed.truncate(OTHERS.min(share.max(PASSED)));
    let most = if step.composite { EXECUTIONS } else { PASSED };
    listed.extend(passed.into_iter().take(most.min(share)));
    listed
}

impl JobView {
    fn of(job: &JobReport, early: bool, allowed: bool, budget: &mut Budget) -> Self {
        let mut evidence = budget.attempts(job);
        let quiet = matches!(job.verdict, Some(Verdict::Passed | Verdict::Flaky));
        let message = if quiet { String::new() } else { pick::said_lines(job).join("\n") };
        if let Some([only]) = evidence.as_deref_mut() {
            only.leave_out(&message);
        }
        Self {
            mark: Mark::of(job.verdict),
            name: pick::job_name(job),
            allowed,
            message,
            polled: pick::polled(job),
            attempts: pick::tries(job),
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
    fn what_needs_a_look_is_open_with_all_that_is_around_it() {
        let mut report = fixtures::composites();
        let open = |report: &Report| -> Vec<usize> {
            let tree = Tree::of(report);
            let views = views(report, &tree, &[], &mut Budget::of_page());
            views.iter().enumerate().filter(|(_, view)| view.open).map(|(at, _)| at).collect()
        };
        assert_eq!(open(&report), [1, 3, 5, 6], "not the allowed step, and not what passed");
        report.steps[1].allowed = true;
        report.counts.allowed = 5;
        assert_eq!(open(&report), Vec::<usize>::new(), "all of it is allowed");
    }

    #[test]
    fn of_executions_that_passed_only_a_few_are_listed() {
        let mut report = fixtures::many(3_000, 10);
        assert_eq!(listed(&report.steps[0], PAGE).len(), 10 + 200);
        report.steps[0].composite = true;
        assert_eq!(listed(&report.steps[0], PAGE).len(), 10 + 20);
    }

    #[test]
    fn the_one_execution_of_a_composite_is_listed_only_if_it_tells_something() {
        let mut report = fixtures::composites();
        let host = &mut report.steps[1];
        host.jobs.truncate(1);
        host.jobs[0].key = None;
        assert!(listed(host, PAGE).is_empty());
        host.jobs[0].reason = Some("refused".into());
        assert_eq!(listed(host, PAGE).len(), 1);
    }

    #[test]
    fn many_steps_share_the_page() {
        let report = fixtures::many(3_000, 2_500);
        assert_eq!(listed(&report.steps[0], PAGE).len(), 2_000 + 200);
        assert_eq!(listed(&report.steps[0], 80).len(), 200 + 80);
    }
}
