//! A plan as a tree: phases, their steps in the order in which they can begin, composites with theirs.

use rfx_schemas::plan::{Plan, PlannedStep};

use super::order::Order;
use super::words;

/// The tree. A line a step, with what is not as usual about it.
pub fn tree(plan: &Plan) -> String {
    let order = Order::of(plan);
    let mut text = words::about(plan);
    for (phase, steps) in order.phases(plan, None) {
        text.push_str(&format!("\n{}\n", phase.key()));
        branch(plan, &order, steps, "", &mut text);
    }
    text
}

fn branch(plan: &Plan, order: &Order, steps: &[usize], indent: &str, text: &mut String) {
    for (place, at) in steps.iter().enumerate() {
        let (fork, below) = if place + 1 == steps.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let step = &plan.steps[*at];
        text.push_str(&format!("{indent}{fork}{}\n", line(plan, step)));
        branch(plan, order, order.inside(Some(*at)), &format!("{indent}{below}"), text);
    }
}

fn line(plan: &Plan, step: &PlannedStep) -> String {
    let name = if step.parent.is_some() { words::inner_name(step) } else { step.name.to_string() };
    let mut parts = vec![format!("{name}: {}", step.uses())];
    parts.extend(words::lineage(step));
    parts.extend(words::fan_out(step));
    parts.extend(step.call().map(words::place));
    parts.extend(words::waits(plan, step));
    parts.extend(words::rules(step));
    parts.join(" · ")
}
