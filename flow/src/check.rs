//! What must hold across a flow: every expression compiles and reads what exists, edges lead
//! somewhere and never round.

use std::collections::BTreeSet;
use std::ops::Range;

use rfx_expr::{Expression, Path, Template, TemplateError};
use rfx_schemas::plan::Phase;

use crate::diagnostic::{Problem, Problems, Source, did_you_mean};
use crate::model::{At, Flow, Step};
use crate::{parse, yaml};

/// A flow that is right in itself; whether its functions exist is asked when it is planned.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The flow.
    pub flow: Flow,
    /// Its text.
    pub source: Source,
    /// What each step waits for, by position: `needs` and what its expressions read.
    pub edges: Vec<BTreeSet<usize>>,
    /// Steps whose output some expression reads.
    pub read: BTreeSet<usize>,
}

/// Parses and checks a flow's text; all that is wrong is found at once.
pub fn check(source: Source) -> Result<Checked, Problems> {
    let root = yaml::parse(&source).map_err(Problems::one)?;
    let mut problems = Vec::new();
    let flow = parse::flow(&source, &root, &mut problems);
    let mut checker = Checker {
        source: &source,
        flow: &flow,
        problems,
        edges: vec![BTreeSet::new(); flow.steps.len()],
        read: BTreeSet::new(),
    };
    checker.run();
    let Checker { problems, edges, read, .. } = checker;
    Problems::from_list(problems)?;
    Ok(Checked { flow, source, edges, read })
}

/// What an expression of a flow may read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// Inputs' defaults: data and target.
    Given,
    /// A step's `if` and `each`: what is given, and other steps.
    Step,
    /// A step's `with`: also the item, when it has `each`.
    Job { each: bool },
    /// A step's `expect`: also the output.
    Output { each: bool },
}

impl Reads {
    fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Given => &["data", "target", "run"],
            Self::Step | Self::Job { each: false } => &["inputs", "data", "target", "run", "setup", "steps"],
            Self::Job { each: true } => {
                &["inputs", "data", "target", "run", "setup", "steps", "item", "index"]
            }
            Self::Output { each: false } => &["output", "inputs", "data", "target", "run", "setup", "steps"],
            Self::Output { each: true } => {
                &["output", "inputs", "data", "target", "run", "setup", "steps", "item", "index"]
            }
        }
    }
}

struct Checker<'a> {
    source: &'a Source,
    flow: &'a Flow,
    problems: Vec<Problem>,
    edges: Vec<BTreeSet<usize>>,
    read: BTreeSet<usize>,
}

impl Checker<'_> {
    fn run(&mut self) {
        let flow = self.flow;
        for (_, input) in &flow.inputs {
            if let Some(default) = &input.default {
                self.template(default, Reads::Given, None);
            }
        }
        for (at, step) in flow.steps.iter().enumerate() {
            self.step(at, step);
        }
        for (_, output) in &flow.outputs {
            self.template(output, Reads::Step, None);
        }
        self.cycles();
    }

    fn step(&mut self, at: usize, step: &Step) {
        let each = step.each.is_some();
        if let Some(list) = &step.each {
            self.template(list, Reads::Step, Some(at));
        }
        self.template(&step.with, Reads::Job { each }, Some(at));
        if let Some(condition) = &step.condition {
            self.bare(condition, Reads::Step, Some(at));
        }
        for expect in &step.expect {
            self.bare(expect, Reads::Output { each }, Some(at));
        }
        for (place, name) in &step.needs {
            self.needs(at, step, place, name);
        }
    }

    fn needs(&mut self, at: usize, step: &Step, place: &Range<usize>, name: &str) {
        match self.find(step.phase, name) {
            Some(needed) => {
                self.edges[at].insert(needed);
            }
            None => {
                let known: Vec<_> = self
                    .flow
                    .steps
                    .iter()
                    .filter(|s| s.phase == step.phase)
                    .map(|s| s.name.as_str())
                    .collect();
                let help = did_you_mean(name, known.iter().copied())
                    .unwrap_or_else(|| format!("the steps of {} are {}", step.phase.key(), known.join(", ")));
                let problem = Problem::new(
                    self.source,
                    place.clone(),
                    format!("step {} needs {name}, which is no step of {}", step.name, step.phase.key()),
                );
                self.problems.push(problem.label("no such step").help(help));
            }
        }
    }

    fn find(&self, phase: Phase, name: &str) -> Option<usize> {
        self.flow.steps.iter().position(|s| s.phase == phase && s.name.as_str() == name)
    }

    fn template(&mut self, (at, value): &At<serde_json::Value>, reads: Reads, step: Option<usize>) {
        match Template::parse(value) {
            Ok(template) => {
                for expression in template.expressions() {
                    self.expression(expression, at, reads, step);
                }
            }
            Err(TemplateError { text, error }) => {
                let start = self.locate(at, &text) + error.offset;
                self.wrong_expression(start, &error.message);
            }
        }
    }

    fn bare(&mut self, (at, text): &At<String>, reads: Reads, step: Option<usize>) {
        if text.contains("${{") {
            let problem = Problem::new(self.source, at.clone(), "this key takes a bare expression");
            self.problems.push(problem.help("leave out ${{ and }}"));
            return;
        }
        match Expression::parse(text) {
            Ok(expression) => self.expression(&expression, at, reads, step),
            Err(error) => {
                let start = self.locate(at, text) + error.offset;
                self.wrong_expression(start, &error.message);
            }
        }
    }

    fn wrong_expression(&mut self, at: usize, message: &str) {
        let problem =
            Problem::new(self.source, at..at + 1, format!("this expression cannot be read: {message}"));
        self.problems.push(problem.help("expressions are CEL: https://cel.dev, docs/flows.md has examples"));
    }

    /// Where a text stands in the file: as written inside its node, else at the node's start.
    fn locate(&self, at: &Range<usize>, text: &str) -> usize {
        let end = self.source.text().len();
        let written = &self.source.text()[at.start.min(end)..];
        written.find(text).map_or(at.start, |inside| at.start + inside)
    }

    fn expression(&mut self, expression: &Expression, at: &Range<usize>, reads: Reads, step: Option<usize>) {
        for path in expression.paths() {
            let start = self.locate(at, expression.text()) + path.offset;
            let place = start..start + path.to_string().len();
            self.path(path, place, reads, step);
        }
    }

    fn path(&mut self, path: &Path, at: Range<usize>, reads: Reads, step: Option<usize>) {
        let variable = path.names[0].as_str();
        if !reads.variables().contains(&variable) {
            self.unknown_variable(variable, at, reads);
            return;
        }
        let flow = self.flow;
        match (variable, path.names.get(1)) {
            ("inputs", Some(name)) => {
                self.known("input", name, at, flow.inputs.iter().map(|(n, _)| n.as_str()))
            }
            ("data", Some(name)) => {
                self.known("data set", name, at, flow.data.iter().map(|(n, _)| n.as_str()))
            }
            ("target", Some(name)) => {
                self.known("target", name, at, flow.target.iter().map(|(n, _)| n.as_str()))
            }
            ("run", Some(name)) => self.known("field of run", name, at, ["id"].into_iter()),
            ("setup", Some(name)) => self.edge(Phase::Setup, name, path, at, step),
            ("steps", Some(name)) => self.edge(Phase::Main, name, path, at, step),
            ("setup" | "steps", None) => {
                let problem = Problem::new(self.source, at, format!("{variable} cannot be read as a whole"));
                self.problems.push(problem.help(format!("name a step: {variable}.my_step.output")));
            }
            _ => {}
        }
    }

    fn unknown_variable(&mut self, variable: &str, at: Range<usize>, reads: Reads) {
        let help = match variable {
            "item" | "index" => "only a step with each has items, and only in with and expect".to_owned(),
            "output" => {
                "only expect reads the step's own output; name the step: steps.my_step.output".to_owned()
            }
            other => did_you_mean(other, reads.variables().iter().copied())
                .unwrap_or_else(|| format!("here, expressions read {}", reads.variables().join(", "))),
        };
        let problem = Problem::new(self.source, at, format!("there is no {variable} to read here"));
        self.problems.push(problem.label("not known here").help(help));
    }

    fn known<'n>(&mut self, what: &str, name: &str, at: Range<usize>, known: impl Iterator<Item = &'n str>) {
        let known: Vec<_> = known.collect();
        if known.contains(&name) {
            return;
        }
        let help = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| match known.is_empty() {
            true => format!("the flow declares no {what}"),
            false => format!("there is {}", known.join(", ")),
        });
        let problem = Problem::new(self.source, at, format!("there is no {what} {name}"));
        self.problems.push(problem.label("not declared").help(help));
    }

    /// An expression that reads another step: waits for it.
    fn edge(&mut self, phase: Phase, name: &str, path: &Path, at: Range<usize>, step: Option<usize>) {
        let Some(other) = self.find(phase, name) else {
            let steps = self.flow.steps.iter().filter(|s| s.phase == phase);
            let known: Vec<_> = steps.map(|s| s.name.as_str()).collect();
            self.known("step", name, at, known.into_iter());
            return;
        };
        match path.names.get(2).map(String::as_str) {
            Some("output") => {
                self.read.insert(other);
            }
            Some("verdict") => {}
            _ => {
                let problem =
                    Problem::new(self.source, at, format!("a step has output and verdict, not {path}"));
                self.problems.push(problem.help(format!("write {}.{name}.output", phase.key())));
                return;
            }
        }
        let Some(step) = step else { return };
        if self.flow.steps[step].phase < phase {
            let message = format!(
                "{} cannot read {}.{name}, which runs after it",
                self.flow.steps[step].path(),
                phase.key()
            );
            self.problems.push(
                Problem::new(self.source, at, message).help("setup reads setup; steps read setup and steps"),
            );
            return;
        }
        self.edges[step].insert(other);
    }

    fn cycles(&mut self) {
        let mut done = vec![false; self.edges.len()];
        for start in 0..self.edges.len() {
            let mut trail = Vec::new();
            if let Some(round) = cycle(&self.edges, start, &mut trail, &mut done) {
                let names: Vec<_> = round.iter().map(|at| self.flow.steps[*at].name.as_str()).collect();
                let step = &self.flow.steps[round[0]];
                let message = format!("steps wait for each other: {} → {}", names.join(" → "), names[0]);
                let problem =
                    Problem::new(self.source, step.at.clone(), message).label("this step waits for itself");
                self.problems.push(problem.help("take one of the needs, or one of the reads, out"));
                return;
            }
        }
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
