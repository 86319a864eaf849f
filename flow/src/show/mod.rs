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

use rfx_schemas::plan::Plan;

/// The plan as it is recorded with a run, indented. A run's id is not in it, unless an input's default
/// reads it.
pub fn json(plan: &Plan) -> String {
    serde_json::to_string_pretty(plan).expect("plans have string keys")
}

/// How many jobs the plan comes to, as far as that is known. Steps that are left out have none.
pub fn jobs(plan: &Plan) -> String {
    let calls = plan.steps.iter().enumerate().filter(|(at, step)| {
        let runs = !words::is_left_out(plan, *at);
        runs && step.call().is_some()
    });
    let (mut known, mut open) = (0_u64, 0_u64);
    for (_, step) in calls {
        match step.jobs {
            Some(jobs) => known = known.saturating_add(jobs),
            None => open += 1,
        }
    }
    match open {
        0 => words::several(known, "job"),
        _ => {
            let (known, open) = (words::several(known, "job"), words::several(open, "step"));
            format!("{known}, and those of {open} whose number comes at run time")
        }
    }
}
