//! The longest path through a plan: what a run takes at least, however many workers there are.

use std::collections::BTreeMap;
use std::time::Duration;

use rfx_schemas::plan::{Does, Phase, Plan};

use super::order::{Order, waits_for};

/// Steps of which each can begin only when the one before it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path {
    /// Calls by their position in the plan, in the order in which they begin.
    pub steps: Vec<usize>,
    /// The time that they take one after the other, as far as it is known.
    pub total: Duration,
}

impl Path {
    fn then(mut self, next: Self) -> Self {
        self.steps.extend(next.steps);
        self.total = self.total.saturating_add(next.total);
        self
    }
}

/// The longest path from setup over `steps` to teardown, by time and then by number of steps; of equal
/// ones that whose steps come first in the plan. `duration_of` gives the wall time of a step, by its
/// position, if it is known; an unknown one counts nothing.
///
/// A composite counts as the longest path inside it. If its own time is known and less, as that: the
/// steps of its executions overlap. Steps that are left out, and those of `on_failure`, which a run
/// that passes does not begin, count nothing and are not on the path.
pub fn longest_path(plan: &Plan, duration_of: impl Fn(usize) -> Option<Duration>) -> Path {
    Walk { plan, order: Order::of(plan), duration_of }.body(None)
}

struct Walk<'a, F> {
    plan: &'a Plan,
    order: Order,
    duration_of: F,
}

/// The longest way up to and with a step.
#[derive(Clone, Copy)]
struct Reached {
    time: Duration,
    steps: usize,
    before: Option<usize>,
}

impl<F: Fn(usize) -> Option<Duration>> Walk<'_, F> {
    /// Through a composite, or the run's own flow.
    fn body(&self, composite: Option<usize>) -> Path {
        let phases = self.order.phases(self.plan, composite).into_iter();
        phases
            .filter(|(phase, _)| *phase != Phase::OnFailure)
            .map(|(_, steps)| self.phase(steps))
            .fold(Path::default(), Path::then)
    }

    fn phase(&self, steps: &[usize]) -> Path {
        let mut own = BTreeMap::new();
        let mut reached: BTreeMap<usize, Reached> = BTreeMap::new();
        for at in steps {
            let path = self.step(*at);
            let needed =
                waits_for(self.plan, *at).filter_map(|needed| Some((needed, *reached.get(&needed)?)));
            let (before, (time, count)) = match longest(needed) {
                Some((needed, way)) => (Some(needed), (way.time, way.steps)),
                None => (None, (Duration::ZERO, 0)),
            };
            let way =
                Reached { time: time.saturating_add(path.total), steps: count + path.steps.len(), before };
            reached.insert(*at, way);
            own.insert(*at, path);
        }
        let mut back = Vec::new();
        let mut next = longest(reached.iter().map(|(at, way)| (*at, *way))).map(|(at, _)| at);
        while let Some(at) = next {
            back.extend(own.remove(&at));
            next = reached[&at].before;
        }
        back.into_iter().rev().fold(Path::default(), Path::then)
    }

    fn step(&self, at: usize) -> Path {
        let step = &self.plan.steps[at];
        let known = (self.duration_of)(at);
        match &step.does {
            _ if step.left_out.is_some() => Path::default(),
            Does::Call(_) => Path { steps: vec![at], total: known.unwrap_or_default() },
            Does::Flow(_) => {
                let inside = self.body(Some(at));
                Path { total: known.map_or(inside.total, |known| known.min(inside.total)), ..inside }
            }
        }
    }
}

/// The longest of some; the one whose step is first in the plan, of equal ones.
fn longest(ways: impl Iterator<Item = (usize, Reached)>) -> Option<(usize, Reached)> {
    ways.max_by_key(|(at, way)| (way.time, way.steps, std::cmp::Reverse(*at)))
}
