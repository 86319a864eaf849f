//! What the page shows of a job's attempts, within a budget for the whole page.

use rfx_schemas::outcome::{Artifact, Assertion};
use rfx_schemas::report::{AttemptReport, Detail, JobReport};

use crate::pick::{self, Mark};
use crate::{artifacts, calls, text};

/// Characters of evidence that the page holds. Beyond it jobs are listed with their message alone.
const PAGE: usize = 1_000_000;
/// Most characters of one text.
const TEXT: usize = 16 * 1024;

/// Most comparisons of one attempt.
const ASSERTIONS: usize = 100;
/// Most files of one attempt.
const FILES: usize = 100;

/// How much evidence the page still takes.
pub(super) struct Budget {
    left: usize,
}

/// An attempt with what there is to see of it.
pub(super) struct AttemptView {
    pub(super) mark: Mark,
    pub(super) number: u32,
    pub(super) facts: String,
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) assertions: Vec<AssertionView>,
    pub(super) unlisted: usize,
    pub(super) diff: Vec<DiffPart>,
    pub(super) blocks: Vec<Block>,
    pub(super) files: Vec<File>,
}

/// A file that an attempt left.
pub(super) struct File {
    /// Where it is, from the page's folder.
    pub(super) href: String,
    pub(super) label: String,
}

/// One recorded comparison.
pub(super) struct AssertionView {
    pub(super) passed: bool,
    pub(super) label: String,
    pub(super) expected: String,
    pub(super) seen: String,
    pub(super) message: String,
}

/// Neighbouring lines of a diff that are of one kind.
pub(super) struct DiffPart {
    pub(super) class: &'static str,
    pub(super) lines: String,
}

/// A longer text with a title.
pub(super) struct Block {
    pub(super) title: &'static str,
    pub(super) text: String,
    pub(super) open: bool,
}

impl Budget {
    /// The budget of a whole page.
    pub(super) fn of_page() -> Self {
        Self { left: PAGE }
    }

    /// The attempts of a job that have something to tell. None if the page has no room for them:
    /// `report.json` has all.
    pub(super) fn attempts(&mut self, job: &JobReport) -> Option<Vec<AttemptView>> {
        let tells = |attempt: &&AttemptReport| job.attempts.len() > 1 || attempt.detail.is_some();
        let view = |attempt| AttemptView { files: files(job, attempt), ..AttemptView::of(attempt) };
        let views: Vec<_> = job.attempts.iter().filter(tells).map(view).collect();
        let size: usize = views.iter().map(AttemptView::size).sum();
        if size == 0 {
            return Some(views);
        }
        self.left = self.left.checked_sub(size)?;
        Some(views)
    }
}

impl AttemptView {
    fn of(attempt: &AttemptReport) -> Self {
        let nothing = Detail::default();
        let detail = attempt.detail.as_deref().unwrap_or(&nothing);
        let error = detail.error.as_ref();
        let text = |title, text: Option<&String>, open| {
            let text = text::shorten(text?, TEXT).trim_end().to_owned();
            (!text.is_empty()).then_some(Block { title, text, open })
        };
        let assertions = assertions(&detail.assertions);
        let (input, output) =
            (detail.input.as_ref().map(text::value), detail.output.as_ref().map(text::value));
        let blocks = [
            text("Traceback", error.and_then(|error| error.traceback.as_ref()), true),
            text("Printed", Some(&detail.tail), true),
            text("Input", input.as_ref(), false),
            text("Output", output.as_ref(), false),
        ];
        Self {
            mark: Mark::of_attempt(attempt.kind),
            number: attempt.attempt.get(),
            facts: facts(attempt),
            kind: error.map(|error| text::one_line(&error.kind, pick::MESSAGE_LIMIT)).unwrap_or_default(),
            message: error.map(|error| text::shorten(&error.message, TEXT)).unwrap_or_default(),
            unlisted: detail.assertions.len() - assertions.len(),
            assertions,
            diff: error.and_then(|error| error.diff.as_deref()).map(diff).unwrap_or_default(),
            blocks: blocks.into_iter().flatten().collect(),
            files: Vec::new(),
        }
    }

    /// Leaves the error's message out if the line above the attempt already says all of it.
    pub(super) fn leave_out(&mut self, said: &str) {
        if said == format!("{}: {}", self.kind, self.message) {
            self.kind.clear();
            self.message.clear();
        }
    }

    /// Roughly how much the attempt adds to the page.
    fn size(&self) -> usize {
        let markup = 400 + 150 * (self.assertions.len() + self.diff.len() + self.blocks.len());
        let diff: usize = self.diff.iter().map(|part| part.lines.len()).sum();
        let blocks: usize = self.blocks.iter().map(|block| block.text.len()).sum();
        let assertions: usize = self.assertions.iter().map(AssertionView::size).sum();
        let files: usize = self.files.iter().map(|file| 50 + file.href.len() + file.label.len()).sum();
        markup + files + self.message.len() + diff + blocks + assertions
    }
}

impl AssertionView {
    fn of(assertion: &Assertion) -> Self {
        let short = |text: Option<&String>| text.map(|text| text::shorten(text, TEXT)).unwrap_or_default();
        Self {
            passed: assertion.passed,
            label: text::shorten(&assertion.label, pick::MESSAGE_LIMIT),
            expected: short(assertion.expected.as_ref()),
            seen: short(assertion.seen.as_ref()),
            message: short(assertion.message.as_ref()),
        }
    }

    fn size(&self) -> usize {
        self.label.len() + self.expected.len() + self.seen.len() + self.message.len()
    }
}

/// The files that an attempt left, where they are written beside the page.
fn files(job: &JobReport, attempt: &AttemptReport) -> Vec<File> {
    let artifacts = attempt.detail.iter().flat_map(|detail| &detail.artifacts);
    let file = |(number, artifact): (usize, &Artifact)| File {
        href: artifacts::path(job.job, attempt.attempt, number, &artifact.name),
        label: calls::artifact(artifact),
    };
    artifacts.take(FILES).enumerate().map(file).collect()
}

/// All comparisons; of too many the first that did not hold.
fn assertions(all: &[Assertion]) -> Vec<AssertionView> {
    let many = all.len() > ASSERTIONS;
    let listed = all.iter().filter(|assertion| !many || !assertion.passed).take(ASSERTIONS);
    listed.map(AssertionView::of).collect()
}

/// When and where, in one line.
fn facts(attempt: &AttemptReport) -> String {
    let waited = text::human(attempt.started.since(attempt.released));
    let mut facts = format!("ran {} after {waited} in the queue", text::human(pick::took(attempt)));
    facts.push_str(&format!(" · on {} · ended {}", pick::worker(attempt), attempt.ended));
    if attempt.deliveries > 1 {
        facts.push_str(&format!(" · handed over {} times", attempt.deliveries));
    }
    facts
}

/// A unified diff in parts that are coloured alike.
fn diff(diff: &str) -> Vec<DiffPart> {
    let mut parts: Vec<DiffPart> = Vec::new();
    for line in text::shorten(diff, TEXT).trim_end().lines() {
        let class = match line.as_bytes().first() {
            _ if line.starts_with("+++ ") || line.starts_with("--- ") => "hunk",
            Some(b'@') => "hunk",
            Some(b'+') => "add",
            Some(b'-') => "del",
            _ => "same",
        };
        match parts.last_mut().filter(|part| part.class == class) {
            Some(part) => part.lines.push_str(&format!("\n{line}")),
            None => parts.push(DiffPart { class, lines: line.to_owned() }),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn lines_of_a_diff_are_grouped_by_kind() {
        let parts = diff("--- a\n+++ b\n@@ -1 +1 @@\n same\n-old\n-older\n+new\n");
        let shown: Vec<_> = parts.iter().map(|part| (part.class, part.lines.as_str())).collect();
        let groups = [
            ("hunk", "--- a\n+++ b\n@@ -1 +1 @@"),
            ("same", " same"),
            ("del", "-old\n-older"),
            ("add", "+new"),
        ];
        assert_eq!(shown, groups);
    }

    #[test]
    fn of_too_many_comparisons_only_broken_ones_are_listed() {
        let one = |n: usize| Assertion {
            label: n.to_string(),
            passed: !n.is_multiple_of(50),
            expected: None,
            seen: None,
            message: None,
        };
        let all: Vec<_> = (0..200).map(one).collect();
        let labels: Vec<_> = assertions(&all).into_iter().map(|view| view.label).collect();
        assert_eq!(labels, ["0", "50", "100", "150"]);
        assert_eq!(assertions(&all[..100]).len(), 100);
    }

    #[test]
    fn a_spent_budget_leaves_evidence_out_but_never_for_jobs_that_have_none() {
        let report = fixtures::failed();
        let [quiet, loud] = report.steps[0].jobs.as_slice() else { panic!("two jobs") };
        let mut spent = Budget { left: 100 };
        assert!(spent.attempts(loud).is_none());
        assert!(spent.attempts(quiet).is_some_and(|views| views.is_empty()));
        assert_eq!(Budget::of_page().attempts(loud).map(|views| views.len()), Some(1));
    }
}
