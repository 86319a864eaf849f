//! A plan as rows of a table; who shows it draws the table.

use rfx_schemas::plan::{Call, Plan};

use super::words;

/// What the columns are called.
pub const HEADER: [&str; 8] = ["step", "uses", "jobs", "after", "group", "queue", "timeout", "attempts"];

/// A row a step, in the order of the plan.
pub fn rows(plan: &Plan) -> Vec<[String; 8]> {
    (0..plan.steps.len()).map(|at| row(plan, at)).collect()
}

fn row(plan: &Plan, at: usize) -> [String; 8] {
    let step = &plan.steps[at];
    let needs: Vec<_> = step.needs.iter().map(|needed| plan.steps[*needed as usize].path()).collect();
    let of_call = |show: &dyn Fn(&Call) -> String| step.call().map(show).unwrap_or_default();
    [
        format!("{:indent$}{}", "", step.path(), indent = 2 * plan.depth(at)),
        step.uses(),
        step.jobs.map_or_else(|| "?".to_owned(), |jobs| jobs.to_string()),
        needs.join(", "),
        of_call(&|call| call.group.to_string()),
        of_call(&|call| call.queue.to_string()),
        of_call(&|call| words::took(call.timeout)),
        of_call(&|call| call.retry.max_attempts.to_string()),
    ]
}
