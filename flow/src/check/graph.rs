//! The steps of a flow as a graph: no cycles, and no state shared by what runs side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Checker;
use crate::diagnostic::{Problem, Source};
use crate::model::Flow;

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
}

/// Steps that declare the same key of state, and may run at the same time. `keys` says for each step
/// which keys it declares, and where.
pub(crate) fn coupling(
    source: &Source,
    flow: &Flow,
    edges: &[BTreeSet<usize>],
    keys: &[Vec<(Range<usize>, String)>],
) -> Vec<Problem> {
    let mut by_key: BTreeMap<&str, Vec<(usize, &Range<usize>)>> = BTreeMap::new();
    for (at, declared) in keys.iter().enumerate() {
        for (place, key) in declared {
            by_key.entry(key).or_default().push((at, place));
        }
    }
    let mut problems = Vec::new();
    for (key, users) in by_key {
        for (nth, (one, place)) in users.iter().enumerate() {
            for (other, other_place) in &users[nth + 1..] {
                let (a, b) = (&flow.steps[*one], &flow.steps[*other]);
                let ordered =
                    a.phase != b.phase || leads_to(edges, *other, *one) || leads_to(edges, *one, *other);
                if ordered || one == other {
                    continue;
                }
                let (a, b) = (&a.name, &b.name);
                let message = format!("{a} and {b} may run at the same time, and both use the state {key}");
                let problem = Problem::new(source, (*other_place).clone(), message)
                    .label(format!("used by {b}"))
                    .and((*place).clone(), format!("used by {a}"));
                problems.push(
                    problem.help(format!("order them: {b}: {{ needs: {a} }}, or give each its own key")),
                );
            }
        }
    }
    problems
}

/// Whether `from` waits for `to`, directly or by others.
fn leads_to(edges: &[BTreeSet<usize>], from: usize, to: usize) -> bool {
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
