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

/// Most pairs of steps that are told about.
const COUPLED: usize = 20;

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
    by_key.retain(|_, users| users.len() > 1);
    if by_key.is_empty() {
        return Vec::new();
    }
    let waits = Waits::of(edges);
    let mut problems = Vec::new();
    for (key, users) in by_key {
        for (nth, (one, place)) in users.iter().enumerate() {
            for (other, other_place) in &users[nth + 1..] {
                let (a, b) = (&flow.steps[*one], &flow.steps[*other]);
                let ordered = a.phase != b.phase || waits.leads(*other, *one) || waits.leads(*one, *other);
                if ordered || one == other || problems.len() >= COUPLED {
                    continue;
                }
                let (a, b) = (&a.name, &b.name);
                let message = format!("{a} and {b} may run at the same time, and both use the state {key}");
                let problem = Problem::new(source, (*other_place).clone(), message)
                    .label(format!("used by {b}"))
                    .and((*place).clone(), format!("used by {a}"));
                let help = format!("order them: {b}: {{ needs: {a} }}, or give each its own key");
                problems.push(problem.help(help));
            }
        }
    }
    problems
}

/// For each step, all that it waits for, directly or by others: a bit a step.
struct Waits {
    bits: Vec<Vec<u64>>,
}

impl Waits {
    fn of(edges: &[BTreeSet<usize>]) -> Self {
        let words = edges.len().div_ceil(64);
        let mut waits = Self { bits: vec![Vec::new(); edges.len()] };
        for start in 0..edges.len() {
            let mut open = vec![start];
            while let Some(at) = open.last().copied() {
                let missing =
                    edges[at].iter().find(|next| waits.bits[**next].is_empty() && !open.contains(next));
                if let Some(next) = missing.filter(|_| waits.bits[at].is_empty()) {
                    open.push(*next);
                    continue;
                }
                open.pop();
                let mut own = vec![0; words];
                for next in &edges[at] {
                    own[next / 64] |= 1 << (next % 64);
                    // Empty where steps wait for each other, which is said by itself.
                    own.iter_mut().zip(&waits.bits[*next]).for_each(|(own, theirs)| *own |= theirs);
                }
                waits.bits[at] = own;
            }
        }
        waits
    }

    fn leads(&self, from: usize, to: usize) -> bool {
        self.bits[from][to / 64] & (1 << (to % 64)) != 0
    }
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
