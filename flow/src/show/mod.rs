//! A plan made fit to look at: as a tree, as a Mermaid picture, as rows of a table, as JSON, with its
//! longest path. Pure: the same plan gives the same bytes, and nothing is run or asked.

mod mermaid;
mod order;
mod path;
mod table;
mod tree;
mod words;

#[cfg(test)]
mod tests;

pub use mermaid::mermaid;
pub use path::{Path, longest_path};
pub use table::{HEADER, rows};
pub use tree::tree;
pub use words::{about, path_line, rounded, several, took};

use rfx_schemas::plan::{Phase, Plan};

/// The plan as it is recorded with a run, indented. A run's id is not in it, unless an input's default
/// reads it.
pub fn json(plan: &Plan) -> String {
    serde_json::to_string_pretty(plan).expect("plans have string keys")
}

/// Calls that a run which passes may make: not those of `on_failure`, nor those that are left out.
pub fn counting(plan: &Plan) -> impl Iterator<Item = usize> {
    let after_failure = |at| words::is_within(plan, at, |step| step.phase == Phase::OnFailure);
    let calls = (0..plan.steps.len()).filter(|at| plan.steps[*at].call().is_some());
    calls.filter(move |at| !after_failure(*at) && !is_left_out(plan, *at))
}

/// How many jobs the plan comes to, as far as that is known. Steps that are left out have none.
pub fn jobs(plan: &Plan) -> String {
    let (mut known, mut open) = (0_u64, 0_u64);
    for (at, step) in plan.steps.iter().enumerate() {
        if step.call().is_some() && !is_left_out(plan, at) {
            match step.jobs {
                Some(jobs) => known = known.saturating_add(jobs),
                None => open += 1,
            }
        }
    }
    let known = several(known, "job");
    match open {
        0 => known,
        _ => format!("{known}, and those of {} whose number comes at run time", several(open, "step")),
    }
}

/// Whether a step, or a composite that it is in, is left out by choice.
pub fn is_left_out(plan: &Plan, at: usize) -> bool {
    words::is_within(plan, at, |step| step.left_out.is_some())
}
