//! What is said about a step, in short.

use std::time::Duration;

use jiff::SignedDuration;
use rfx_schemas::gate::Allowance;
use rfx_schemas::plan::{Call, Does, Over, Phase, Plan, PlannedStep};

use super::Path;

/// Most characters of an expression or a reason that are shown.
const MOST: usize = 80;
/// Most steps of a path that are named.
const NAMED: usize = 12;

/// A duration as flows write it: `10m`, `1h 30m`, `1s 500ms`.
pub fn took(duration: Duration) -> String {
    SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{}h", duration.as_secs() / 3600), |signed| format!("{signed:#}"))
}

/// A measured duration without more digits than it is worth: seconds, below ten of them milliseconds.
pub fn rounded(duration: Duration) -> Duration {
    let unit = if duration >= Duration::from_secs(10) { 1_000_000_000 } else { 1_000_000 };
    let nanos = (duration.as_nanos() + unit / 2) / unit * unit;
    u64::try_from(nanos).map_or(duration, Duration::from_nanos)
}

/// The flow and its number of jobs, and below what it says about itself.
pub fn about(plan: &Plan) -> String {
    let mut text = format!("{}: {}\n", plan.flow, super::jobs(plan));
    let lines = plan.description.lines().map(|line| one_line(line, usize::MAX));
    for line in lines.filter(|line| !line.is_empty()) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// The longest path in a line: how many steps, and which.
pub fn path_line(plan: &Plan, path: &Path) -> String {
    let mut names: Vec<_> = path.steps.iter().take(NAMED).map(|at| plan.path(*at)).collect();
    if path.steps.len() > NAMED {
        names.push(format!("{} more", path.steps.len() - NAMED));
    }
    match names.is_empty() {
        true => "longest path: no steps".to_owned(),
        false => {
            format!("longest path: {}, {}", several(path.steps.len() as u64, "step"), names.join(" → "))
        }
    }
}

/// Whether something holds of the step, or of a composite that it is in.
pub(super) fn is_within(plan: &Plan, at: usize, holds: impl Fn(&PlannedStep) -> bool) -> bool {
    let mut next = Some(at);
    while let Some(at) = next {
        if holds(&plan.steps[at]) {
            return true;
        }
        next = plan.steps[at].parent.map(|parent| parent as usize);
    }
    false
}

/// `1 job`, `3 jobs`.
pub fn several(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// What gives a step more than one job, and how many it has; nothing for a single job.
pub(super) fn fan_out(step: &PlannedStep) -> Option<String> {
    let over = match &step.over {
        Over::Once => None,
        Over::Each(_) => Some("each".to_owned()),
        Over::Matrix(_) => Some("matrix".to_owned()),
        Over::Times(_) => Some("repeat".to_owned()),
        Over::For(time) => Some(format!("repeat for {}", took(*time))),
    };
    let batch = step.batch.map(|size| format!("batches of {size}"));
    let jobs = match (step.jobs, &step.over) {
        (Some(1), Over::Once) | (None, Over::For(_)) => None,
        (Some(jobs), _) => Some(several(jobs, "job")),
        (None, _) => Some("? jobs, known at run time".to_owned()),
    };
    let parallel = step.max_parallel.map(|most| format!("{most} at once"));
    let parts: Vec<_> = [over, batch, jobs, parallel].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Where a call runs: `group/queue`.
pub(super) fn place(call: &Call) -> String {
    format!("{}/{}", call.group, call.queue)
}

/// What a step waits for, named as its own flow does; those of its phase by their names alone.
pub(super) fn waits(plan: &Plan, step: &PlannedStep) -> Option<String> {
    let name = |needed: &u32| {
        let needed = &plan.steps[*needed as usize];
        if needed.phase == step.phase { needed.name.to_string() } else { needed.path() }
    };
    let names: Vec<_> = step.needs.iter().map(name).collect();
    (!names.is_empty()).then(|| format!("after {}", names.join(", ")))
}

/// The name of a step among the others of its composite: only those of `steps` go without their phase.
pub(super) fn inner_name(step: &PlannedStep) -> String {
    if step.phase == Phase::Main { step.name.to_string() } else { step.path() }
}

/// What a composite's flow extends.
pub(super) fn lineage(step: &PlannedStep) -> Option<String> {
    let extends = step.flow().map(|flow| &flow.extends).filter(|extends| !extends.is_empty())?;
    Some(format!("extends {}", extends.join(", ")))
}

/// Whether it runs at all, and what becomes of an attempt that does not pass.
pub(super) fn rules(step: &PlannedStep) -> Vec<String> {
    let mut rules = Vec::new();
    rules.extend(step.left_out.as_ref().map(|why| one_line(why, MOST)));
    rules.extend(step.condition.as_ref().map(|condition| format!("if {}", one_line(condition, MOST))));
    if let Does::Call(call) = &step.does {
        rules.extend(call.until.as_ref().map(|until| {
            let expect = one_line(&until.expect.join(" and "), MOST);
            format!("until {expect}, every {}, within {}", took(until.every), took(until.within))
        }));
        rules.extend((call.retry.max_attempts > 1).then(|| format!("{} attempts", call.retry.max_attempts)));
        rules.extend(call.expect_failure.map(|_| "meant to fail".to_owned()));
    }
    rules.extend(step.allow_failure.map(|allowed| match allowed {
        Allowance::Any => "may fail".to_owned(),
        allowed => format!("{allowed} may fail"),
    }));
    rules
}

/// A text from strangers in one line of at most `most` characters, without what steers a terminal.
fn one_line(text: &str, most: usize) -> String {
    let shows = |c: &char| {
        let steers = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c.is_whitespace() || !(c.is_control() || steers)
    };
    let shown: String = text.chars().filter(shows).collect();
    let line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().nth(most).is_none() {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
