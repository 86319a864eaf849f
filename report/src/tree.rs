//! The steps of a report as the tree that they are: what is inside of which composite, and what that
//! makes allowed. Holds positions only, so that each rendering keeps its own walk over the steps.

use rfx_schemas::report::{JobReport, Report, StepReport};
use rfx_schemas::verdict::Verdict;

use crate::pick;

/// Where each step of a report stands.
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    parent: Option<usize>,
    depth: usize,
    composite: bool,
    allowed: bool,
}

impl Tree {
    /// The tree of the report's steps.
    ///
    /// Invariant: a parent stands before its steps, and nothing stands between them that is not
    /// inside of it. A report that says otherwise was not written by rfx; its step is put outside.
    pub(crate) fn of(report: &Report) -> Self {
        let mut nodes: Vec<Node> = Vec::with_capacity(report.steps.len());
        let mut around: Vec<usize> = Vec::new();
        for (at, step) in report.steps.iter().enumerate() {
            let parent = step.parent.map(|parent| parent as usize).filter(|parent| around.contains(parent));
            while around.last().copied() != parent {
                around.pop();
            }
            let allowed = step.allowed || parent.is_some_and(|parent| nodes[parent].allowed);
            nodes.push(Node { parent, depth: around.len(), composite: step.composite, allowed });
            if step.composite {
                around.push(at);
            }
        }
        let tree = Self { nodes };
        if tree.allowed_jobs(report) > report.counts.allowed { tree.strict(report) } else { tree }
    }

    /// How many composites the step is inside of.
    pub(crate) fn depth(&self, step: usize) -> usize {
        self.nodes[step].depth
    }

    /// The composite that the step is a step of.
    pub(crate) fn parent(&self, step: usize) -> Option<usize> {
        self.nodes[step].parent
    }

    /// How many composites end with this step, itself counted if it is one.
    pub(crate) fn closes(&self, step: usize) -> usize {
        let own = self.nodes[step].depth + usize::from(self.nodes[step].composite);
        own - self.nodes.get(step + 1).map_or(0, |next| next.depth)
    }

    /// Whether a job of the step that ended so does not fail the run, since the step or a composite
    /// around it may fail.
    pub(crate) fn allows(&self, step: usize, verdict: Option<Verdict>) -> bool {
        self.nodes[step].allowed && matches!(verdict, Some(Verdict::Failed | Verdict::Error))
    }

    /// Why the step ended as it did: its own reason, else that of what is around it.
    pub(crate) fn reason<'a>(&self, report: &'a Report, step: usize) -> Option<&'a str> {
        let own = report.steps[step].reason.as_deref();
        own.or_else(|| self.reason(report, self.parent(step)?))
    }

    /// Who answers for the step: itself says so, or what is around it, or the flow.
    pub(crate) fn owner<'a>(&self, report: &'a Report, step: usize) -> Option<&'a str> {
        let own = report.steps[step].about.owner.as_deref();
        own.or_else(|| match self.parent(step) {
            Some(parent) => self.owner(report, parent),
            None => report.about.owner.as_deref(),
        })
    }

    /// The same tree, but what a step inside of a composite says of itself is not believed: over several
    /// executions it was allowed in some and not in others, and no failure that counts may be hushed.
    fn strict(mut self, report: &Report) -> Self {
        for at in 0..self.nodes.len() {
            let node = self.nodes[at];
            self.nodes[at].allowed = match node.parent {
                None => report.steps[at].allowed,
                Some(parent) => self.nodes[parent].allowed,
            };
        }
        self
    }

    fn allowed_jobs(&self, report: &Report) -> u32 {
        let of_step = |(at, step): (usize, &StepReport)| {
            let counted = |job: &&JobReport| pick::tells(step, job);
            step.jobs.iter().filter(counted).filter(|job| self.allows(at, job.verdict)).count()
        };
        u32::try_from(report.steps.iter().enumerate().map(of_step).sum::<usize>()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn composites_hold_their_steps_and_all_of_them_are_closed() {
        let report = fixtures::composites();
        let tree = Tree::of(&report);
        let depths: Vec<_> = (0..report.steps.len()).map(|at| tree.depth(at)).collect();
        assert_eq!(depths, [0, 0, 1, 1, 2, 2, 1, 0, 1]);
        for (name, report) in fixtures::table() {
            let tree = Tree::of(&report);
            let closed: usize = (0..report.steps.len()).map(|at| tree.closes(at)).sum();
            assert_eq!(closed, report.steps.iter().filter(|step| step.composite).count(), "{name}");
        }
    }

    #[test]
    fn a_parent_that_is_none_puts_the_step_outside() {
        let mut report = fixtures::composites();
        for parent in [0, 8, 99] {
            report.steps[4].parent = Some(parent);
            assert_eq!(Tree::of(&report).depth(4), 0, "{parent}");
        }
    }

    #[test]
    fn a_step_that_was_not_always_allowed_is_not_hushed() {
        let mut report = fixtures::composites();
        let failed = Some(Verdict::Failed);
        assert!(Tree::of(&report).allows(4, failed) && !Tree::of(&report).allows(4, Some(Verdict::Lost)));
        report.counts.allowed -= 1;
        assert!(!Tree::of(&report).allows(4, failed));
        report.steps[1].allowed = true;
        assert!(Tree::of(&report).allows(4, failed), "what is around it is sure");
    }

    #[test]
    fn who_answers_for_the_whole_answers_for_its_parts() {
        let report = fixtures::composites();
        let owners: Vec<_> = [2, 4, 8].map(|at| Tree::of(&report).owner(&report, at).unwrap()).into();
        assert_eq!(owners, ["team-host", "team-<apps>", "team-estate"]);
    }

    #[test]
    fn a_step_in_a_skipped_composite_has_the_reason_of_that() {
        let report = fixtures::composites();
        assert_eq!(Tree::of(&report).reason(&report, 8), Some("if: inputs.cleanup is false"));
    }
}
