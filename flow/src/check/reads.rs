//! What expressions may read, and whether it is there.

use std::ops::Range;

use rfx_expr::{Comparison, Expression, Path, Template, TemplateError};
use rfx_schemas::plan::Phase;
use rfx_schemas::verdict::Verdict;

use super::Checker;
use crate::diagnostic::{Problem, Source, did_you_mean};

/// What an expression of a flow may read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// Inputs' defaults: data and target.
    Given,
    /// A step's `if` and its list: what is given, and other steps.
    Step,
    /// A step's `with`: also the item.
    Job(Items),
    /// A step's `expect` and `until`: also the output.
    Output(Items),
}

/// What a job has of the list that its step runs over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Items {
    /// There is no list.
    None,
    /// An item.
    One,
    /// Some items.
    Batch,
}

impl Reads {
    fn variables(self) -> Vec<&'static str> {
        let mut all = match self {
            Self::Given => return vec!["data", "target", "run"],
            Self::Output(_) => vec!["output"],
            Self::Step | Self::Job(_) => Vec::new(),
        };
        all.extend(["inputs", "data", "target", "run", "setup", "steps"]);
        if let Self::Job(items) | Self::Output(items) = self {
            all.extend(match items {
                Items::None => &[][..],
                Items::One => &["item", "index"],
                Items::Batch => &["items", "index"],
            });
        }
        all
    }
}

impl Checker<'_> {
    pub(super) fn template(
        &mut self,
        source: &Source,
        at: &Range<usize>,
        value: &serde_json::Value,
        reads: Reads,
        step: Option<usize>,
    ) {
        match Template::parse(value) {
            Ok(template) => {
                for expression in template.expressions() {
                    self.expression(source, expression, at, reads, step);
                }
            }
            Err(TemplateError { text, error }) => {
                let start = locate(source, at, &text) + error.offset;
                self.wrong_expression(source, start, &error.message);
            }
        }
    }

    pub(super) fn bare(
        &mut self,
        at: &Range<usize>,
        text: &str,
        reads: Reads,
        step: Option<usize>,
    ) -> Option<Expression> {
        if text.contains("${{") {
            let problem = Problem::new(self.source, at.clone(), "this key takes a bare expression");
            self.problems.push(problem.help("leave out ${{ and }}"));
            return None;
        }
        match Expression::parse(text) {
            Ok(expression) => {
                self.expression(self.source, &expression, at, reads, step);
                Some(expression)
            }
            Err(error) => {
                let start = locate(self.source, at, text) + error.offset;
                self.wrong_expression(self.source, start, &error.message);
                None
            }
        }
    }

    fn wrong_expression(&mut self, source: &Source, at: usize, message: &str) {
        let problem = Problem::new(source, at..at + 1, format!("this expression cannot be read: {message}"));
        self.problems.push(problem.help("expressions are CEL: https://cel.dev, docs/flows.md has examples"));
    }

    fn expression(
        &mut self,
        source: &Source,
        expression: &Expression,
        at: &Range<usize>,
        reads: Reads,
        step: Option<usize>,
    ) {
        let start = locate(source, at, expression.text());
        for call in expression.calls().iter().filter(|call| !rfx_expr::knows(call)) {
            let begin = call.offset.saturating_sub(call.name.len());
            let written = expression.text().get(begin..call.offset) == Some(call.name.as_str());
            let begin = start + if written { begin } else { call.offset };
            let message = format!("there is no function {}", call.name);
            let problem = Problem::new(source, begin..begin + call.name.len(), message).label("not known");
            self.problems.push(problem.help(
                "expressions have CEL's functions: size, contains, startsWith, endsWith, matches, string, int, double",
            ));
        }
        for comparison in expression.comparisons() {
            self.verdict(source, comparison, start);
        }
        for path in expression.paths() {
            let begin = start + path.offset;
            self.path(source, path, begin..begin + path.to_string().len(), reads, step);
        }
    }

    /// A verdict is one of a few words: another one is never equal.
    fn verdict(&mut self, source: &Source, comparison: &Comparison, start: usize) {
        let Comparison { path, text } = comparison;
        let words = Verdict::ALL.map(Verdict::as_str);
        let is_verdict = matches!(path.names[0].as_str(), "setup" | "steps")
            && path.names.len() == 3
            && path.names[2] == "verdict";
        if !is_verdict || words.contains(&text.as_str()) {
            return;
        }
        let begin = start + path.offset;
        let help = did_you_mean(text, words).unwrap_or_else(|| format!("a verdict is {}", words.join(", ")));
        let problem =
            Problem::new(source, begin..begin + path.to_string().len(), format!("no verdict is {text:?}"));
        self.problems.push(problem.label("compared with another word").help(help));
    }

    fn path(&mut self, source: &Source, path: &Path, at: Range<usize>, reads: Reads, step: Option<usize>) {
        let variable = path.names[0].as_str();
        let variables = reads.variables();
        if !variables.contains(&variable) {
            self.unknown_variable(source, variable, at, &variables);
            return;
        }
        let flow = self.flow;
        let name = path.names.get(1).map(String::as_str);
        match (variable, name) {
            ("inputs", Some(name)) => {
                let known: Vec<_> = flow.inputs.iter().map(|(n, _)| n.as_str()).collect();
                self.known(source, "input", name, at, &known);
            }
            ("data", Some(name)) => {
                let known: Vec<_> = flow.data.iter().map(|(n, _)| n.as_str()).collect();
                self.known(source, "data set", name, at, &known);
            }
            ("target", Some(name)) => {
                let known: Vec<_> = flow.target.iter().map(|(n, _)| n.as_str()).collect();
                self.known(source, "target", name, at, &known);
            }
            ("run", Some(name)) => self.known(source, "field of run", name, at, &["id"]),
            ("setup", Some(name)) => self.edge(Phase::Setup, name, path, at, step),
            ("steps", Some(name)) => self.edge(Phase::Main, name, path, at, step),
            ("setup" | "steps", None) => {
                let problem = Problem::new(source, at, format!("{variable} cannot be read as a whole"));
                self.problems.push(problem.help(format!("name a step: {variable}.my_step.output")));
            }
            _ => {}
        }
    }

    fn unknown_variable(&mut self, source: &Source, variable: &str, at: Range<usize>, known: &[&str]) {
        let help = match variable {
            "item" if known.contains(&"items") => "with batch, items is the list of them".to_owned(),
            "items" if known.contains(&"item") => "without batch, item is the only one".to_owned(),
            "item" | "items" | "index" => {
                "only a step with each, matrix or repeat has items, and only in with, expect and until"
                    .to_owned()
            }
            "output" => {
                "only expect and until read the step's own output; name the step: steps.my_step.output"
                    .to_owned()
            }
            "on_failure" | "teardown" => "outputs of setup and steps can be read, these run last".to_owned(),
            other => did_you_mean(other, known.iter().copied())
                .unwrap_or_else(|| format!("here, expressions read {}", known.join(", "))),
        };
        let problem = Problem::new(source, at, format!("there is no {variable} to read here"));
        self.problems.push(problem.label("not known here").help(help));
    }

    fn known(&mut self, source: &Source, what: &str, name: &str, at: Range<usize>, known: &[&str]) {
        if known.contains(&name) {
            return;
        }
        let help = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| match known.is_empty() {
            true => format!("the flow declares no {what}"),
            false => format!("there is {}", known.join(", ")),
        });
        let problem = Problem::new(source, at, format!("there is no {what} {name}"));
        self.problems.push(problem.label("not declared").help(help));
    }

    /// An expression that reads another step: waits for it.
    fn edge(&mut self, phase: Phase, name: &str, path: &Path, at: Range<usize>, step: Option<usize>) {
        let Some(other) = self.find(phase, name) else {
            let known = self.names(phase);
            self.known(self.source, "step", name, at, &known);
            return;
        };
        match path.names.get(2).map(String::as_str) {
            Some("output") => {
                self.read.insert(other);
            }
            Some("verdict") => {}
            _ => {
                let message = format!("a step has output and verdict, not {path}");
                let problem = Problem::new(self.source, at, message);
                self.problems.push(problem.help(format!("write {}.{name}.output", phase.key())));
                return;
            }
        }
        let Some(step) = step else { return };
        let (reader, read) = (&self.flow.steps[step], &self.flow.steps[other]);
        if reader.phase < phase {
            let message = format!("{} cannot read {}, which runs after it", reader.path(), read.path());
            let problem = Problem::new(self.source, at, message).label("not there yet");
            let problem = problem.and(read.at.clone(), "runs later");
            self.problems.push(problem.help("setup reads setup; steps read setup and steps"));
            return;
        }
        self.edges[step].insert(other);
    }
}

/// Where a text stands in the file: as written inside its node, else at the node's start.
pub(crate) fn locate(source: &Source, at: &Range<usize>, text: &str) -> usize {
    let end = source.text().len();
    let written = &source.text()[at.start.min(end)..];
    written.find(text).map_or(at.start, |inside| at.start + inside)
}
