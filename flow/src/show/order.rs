//! The order in which steps can begin: by flow, then phase, then by what they wait for.

use rfx_schemas::plan::{Phase, Plan};

/// The steps of the run's own flow, and of every composite, each in the order in which they can begin.
/// Steps that can begin together stand as in the plan.
pub(super) struct Order {
    /// By composite, the run's own flow first.
    bodies: Vec<Vec<usize>>,
}

impl Order {
    /// The order of a plan. Steps that wait for each other, which no plan of ours has, come last.
    pub fn of(plan: &Plan) -> Self {
        let waves = waves(plan);
        let mut bodies = vec![Vec::new(); plan.steps.len() + 1];
        for (at, step) in plan.steps.iter().enumerate() {
            bodies[step.parent.map_or(0, |parent| parent as usize + 1)].push(at);
        }
        for body in &mut bodies {
            body.sort_by_key(|at| (plan.steps[*at].phase, waves[*at], *at));
        }
        Self { bodies }
    }

    /// The same by phase; phases without steps are left out.
    pub fn phases(&self, plan: &Plan, composite: Option<usize>) -> Vec<(Phase, &[usize])> {
        let mut phases = Vec::new();
        for steps in self.inside(composite).chunk_by(|a, b| plan.steps[*a].phase == plan.steps[*b].phase) {
            phases.push((plan.steps[steps[0]].phase, steps));
        }
        phases
    }

    /// The steps of a composite, or of the run's own flow.
    pub fn inside(&self, composite: Option<usize>) -> &[usize] {
        &self.bodies[composite.map_or(0, |at| at + 1)]
    }
}

/// Steps that a step waits for inside its own phase of its own flow.
pub(super) fn waits_for(plan: &Plan, at: usize) -> impl Iterator<Item = usize> {
    let step = &plan.steps[at];
    let beside = |other: &usize| {
        let other = &plan.steps[*other];
        other.parent == step.parent && other.phase == step.phase
    };
    step.needs.iter().map(|needed| *needed as usize).filter(beside)
}

/// How many others must have ended one after the other before a step can begin, in its phase.
fn waves(plan: &Plan) -> Vec<usize> {
    let mut waves = vec![usize::MAX; plan.steps.len()];
    let mut waiting = vec![0_usize; plan.steps.len()];
    let mut followers = vec![Vec::new(); plan.steps.len()];
    for (at, waiting) in waiting.iter_mut().enumerate() {
        for needed in waits_for(plan, at) {
            *waiting += 1;
            followers[needed].push(at);
        }
    }
    let mut turn: Vec<_> = (0..plan.steps.len()).filter(|at| waiting[*at] == 0).collect();
    let mut wave = 0;
    while !turn.is_empty() {
        let mut next = Vec::new();
        for at in turn {
            waves[at] = wave;
            for follower in &followers[at] {
                waiting[*follower] -= 1;
                if waiting[*follower] == 0 {
                    next.push(*follower);
                }
            }
        }
        turn = next;
        wave += 1;
    }
    waves
}
