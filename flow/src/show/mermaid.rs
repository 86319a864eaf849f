//! A plan as a Mermaid flowchart: phases and composites as frames, an arrow for each "waits for".

use rfx_schemas::plan::{Phase, Plan, PlannedStep};

use super::order::Order;
use super::words;

/// The flowchart. Steps are called `s` and their position in the plan, so no name can break it.
pub fn mermaid(plan: &Plan) -> String {
    let mut text = "flowchart TD\n".to_owned();
    Chart { plan, order: Order::of(plan) }.body(None, 1, &mut text);
    for (at, step) in plan.steps.iter().enumerate() {
        for needed in &step.needs {
            line(&mut text, 1, &format!("s{needed} --> s{at}"));
        }
    }
    text
}

struct Chart<'a> {
    plan: &'a Plan,
    order: Order,
}

impl Chart<'_> {
    /// The phases of a composite, or of the run's own flow, in frames. A composite that has `steps` only
    /// is a frame already.
    fn body(&self, composite: Option<usize>, depth: usize, text: &mut String) {
        let phases = self.order.phases(self.plan, composite);
        let framed = composite.is_none() || phases.iter().any(|(phase, _)| *phase != Phase::Main);
        let mut before = None;
        for (phase, steps) in phases {
            if !framed {
                steps.iter().for_each(|at| self.step(*at, depth, text));
                continue;
            }
            let id = composite.map_or_else(|| phase.key().to_owned(), |at| format!("s{at}_{}", phase.key()));
            line(text, depth, &format!("subgraph {id}[\"{}\"]", phase.key()));
            steps.iter().for_each(|at| self.step(*at, depth + 1, text));
            line(text, depth, "end");
            if let Some(before) = before.replace(id.clone()) {
                let when = if phase == Phase::OnFailure { "|if something failed|" } else { "" };
                line(text, depth, &format!("{before} -.->{when} {id}"));
            }
        }
    }

    fn step(&self, at: usize, depth: usize, text: &mut String) {
        let step = &self.plan.steps[at];
        let label = quoted(&label(step));
        if step.flow().is_none() {
            return line(text, depth, &format!("s{at}[{label}]"));
        }
        line(text, depth, &format!("subgraph s{at}[{label}]"));
        self.body(Some(at), depth + 1, text);
        line(text, depth, "end");
    }
}

fn line(text: &mut String, depth: usize, line: &str) {
    text.push_str(&format!("{:indent$}{line}\n", "", indent = 2 * depth));
}

fn label(step: &PlannedStep) -> Vec<String> {
    let mut lines = vec![step.name.to_string(), step.uses()];
    lines.extend(words::lineage(step));
    lines.extend(words::fan_out(step));
    lines.extend(step.call().map(words::place));
    lines.extend(words::rules(step));
    lines
}

/// Lines as a label. All but letters, digits and what is harmless is written by its number: quotes end
/// labels, back quotes make them Markdown, `%%` and `;` are read even inside of them, and behind a colon
/// Mermaid takes `#…;` for a colour.
fn quoted(lines: &[String]) -> String {
    let mut label = String::from('"');
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            label.push_str("<br/>");
        }
        for c in line.chars() {
            match c {
                ' ' | '_' | '.' | ',' | '@' | '/' | '-' | '?' => label.push(c),
                c if c.is_alphanumeric() => label.push(c),
                c => label.push_str(&format!("#{};", u32::from(c))),
            }
        }
    }
    label.push('"');
    label
}
