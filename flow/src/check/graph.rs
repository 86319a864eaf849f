//! The steps of a flow as a graph: no cycles, and no state shared by what runs side by side.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use crate::diagnostic::Problem;

impl Checker<'_> {
    pub(super) fn cycles(&mut self) {
        let mut done = vec![false; self.edges.len()];
        for start in 0..self.edges.len() {
            let mut trail = Vec::new();
            if let Some(round) = cycle(&self.edges, start, &mut trail, &mut done) {
                let names: Vec<_> = round.iter().map(|at| self.flow.steps[*at].name.as_str()).collect();
                let step = &self.flow.steps[round[0]];
                let message = format!("steps wait for each other: {} → {}", names.join(" → "), names[0]);
                let mut problem =
                    Problem::new(self.source, step.at.clone(), message).label("this step waits for itself");
                for other in &round[1..] {
                    problem = problem.and(self.flow.steps[*other].at.clone(), "by way of this one");
                }
                self.problems.push(problem.help("take one of the needs, or one of the reads, out"));
                return;
            }
        }
    }

    /// Steps that declare the same key of state, and may run at the same time.
    pub(super) fn coupling(&mut self) {
        let mut by_key: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, step) in self.flow.steps.iter().enumerate() {
            for (_, key) in &step.state {
                by_key.entry(key).or_default().push(at);
            }
        }
        for (key, steps) in by_key {
            for (nth, one) in steps.iter().enumerate() {
                for other in &steps[nth + 1..] {
                    self.coupled(key, *one, *other);
                }
            }
        }
    }

    fn coupled(&mut self, key: &str, one: usize, other: usize) {
        let steps = &self.flow.steps;
        let ordered = steps[one].phase != steps[other].phase
            || leads_to(&self.edges, other, one)
            || leads_to(&self.edges, one, other);
        if ordered || one == other {
            return;
        }
        let place = |step: usize| {
            let keys = steps[step].state.iter();
            keys.filter(|(_, k)| k == key).map(|(at, _)| at.clone()).next().unwrap_or(steps[step].at.clone())
        };
        let (a, b) = (&steps[one].name, &steps[other].name);
        let message = format!("{a} and {b} run at the same time and both use the state {key}");
        let problem = Problem::new(self.source, place(other), message)
            .label(format!("used by {b}"))
            .and(place(one), format!("used by {a}"));
        self.problems
            .push(problem.help(format!("order them: {b}: {{ needs: {a} }}, or give each its own key")));
    }
}

/// Whether `from` waits for `to`, directly or by others.
pub(crate) fn leads_to(edges: &[BTreeSet<usize>], from: usize, to: usize) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        if seen.insert(at) {
            open.extend(&edges[at]);
        }
    }
    false
}

/// The steps of a cycle that `at` leads into. `done` marks steps known to lead into none.
fn cycle(
    edges: &[BTreeSet<usize>],
    at: usize,
    trail: &mut Vec<usize>,
    done: &mut [bool],
) -> Option<Vec<usize>> {
    let mut stack = vec![(at, edges[at].iter())];
    if done[at] {
        return None;
    }
    trail.push(at);
    while let Some((node, rest)) = stack.last_mut() {
        match rest.next() {
            Some(next) => {
                if let Some(from) = trail.iter().position(|t| t == next) {
                    return Some(trail[from..].to_vec());
                }
                if !done[*next] {
                    trail.push(*next);
                    stack.push((*next, edges[*next].iter()));
                }
            }
            None => {
                done[*node] = true;
                trail.pop();
                stack.pop();
            }
        }
    }
    None
}
