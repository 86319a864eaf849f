//! What must hold across a flow: every expression compiles and reads what exists, edges lead
//! somewhere and never round, steps that run side by side do not share state.
//!
//! Types are not looked at here: they need the catalogue, and are part of planning.

pub(crate) mod graph;
pub(crate) mod reads;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rfx_expr::{Expression, Template};
use rfx_schemas::plan::Phase;

use crate::diagnostic::{Problem, Problems, Source, did_you_mean};
use crate::model::{Flow, Step};
use crate::{parse, yaml};
use reads::Reads;

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
    check_flow(source, flow, problems)
}

/// Checks a flow that was read before.
pub(crate) fn check_flow(source: Source, flow: Flow, problems: Vec<Problem>) -> Result<Checked, Problems> {
    let mut checker = Checker::new(&source, &flow, problems);
    checker.run();
    let Checker { problems, edges, read, .. } = checker;
    Problems::from_list(problems)?;
    Ok(Checked { flow, source, edges, read })
}

struct Checker<'a> {
    source: &'a Source,
    flow: &'a Flow,
    by_name: BTreeMap<(Phase, &'a str), usize>,
    problems: Vec<Problem>,
    edges: Vec<BTreeSet<usize>>,
    read: BTreeSet<usize>,
}

impl<'a> Checker<'a> {
    fn new(source: &'a Source, flow: &'a Flow, problems: Vec<Problem>) -> Self {
        let names = flow.steps.iter().enumerate().map(|(at, step)| ((step.phase, step.name.as_str()), at));
        Self {
            source,
            flow,
            by_name: names.collect(),
            problems,
            edges: vec![BTreeSet::new(); flow.steps.len()],
            read: BTreeSet::new(),
        }
    }

    fn run(&mut self) {
        let flow = self.flow;
        for (_, input) in &flow.inputs {
            if let Some((at, default)) = &input.default {
                let source = input.source.as_ref().unwrap_or(self.source);
                self.template(source, at, default, Reads::Given, None);
            }
        }
        for (at, step) in flow.steps.iter().enumerate() {
            self.step(at, step);
        }
        for (_, (at, output)) in &flow.outputs {
            self.template(self.source, at, output, Reads::Step, None);
        }
        self.cycles();
        let keys: Vec<_> = flow.steps.iter().map(|step| step.state.clone()).collect();
        self.problems.extend(graph::coupling(self.source, flow, &self.edges, &keys));
    }

    fn step(&mut self, at: usize, step: &Step) {
        let items = match (step.over.has_items(), step.batch) {
            (false, _) => reads::Items::None,
            (true, None) => reads::Items::One,
            (true, Some(_)) => reads::Items::Batch,
        };
        for (place, list) in step.over.templates() {
            self.template(self.source, &place, list, Reads::Step, Some(at));
        }
        self.template(self.source, &step.with.0, &step.with.1, Reads::Job(items), Some(at));
        if let Some((place, text)) = &step.condition
            && let Some(condition) = self.bare(place, text, Reads::Step, Some(at))
        {
            self.unreachable(step, place, &condition);
        }
        let until = step.until.iter().flat_map(|until| &until.expect);
        for (place, text) in step.expect.iter().chain(until) {
            let Some(expect) = self.bare(place, text, Reads::Output(items), Some(at)) else { continue };
            if expect.constant().is_some() {
                let problem = Problem::new(self.source, place.clone(), "this expectation reads nothing")
                    .label("always the same")
                    .help("compare something with it: output.count > 0");
                self.problems.push(problem);
            }
        }
        for (place, name) in &step.needs {
            self.needs(at, step, place, name);
        }
        self.useless(step);
    }

    /// A step whose condition is false whatever happens.
    fn unreachable(&mut self, step: &Step, at: &Range<usize>, condition: &Expression) {
        let message = match condition.constant() {
            Some(serde_json::Value::Bool(false)) => format!("step {} never runs", step.name),
            Some(serde_json::Value::Bool(true)) | None => return,
            Some(other) => format!("if must be true or false, this is {other}"),
        };
        let problem = Problem::new(self.source, at.clone(), message).label("always the same");
        self.problems.push(problem.help("take the step out; --skip leaves one out for a run"));
    }

    /// A step that never has a job.
    fn useless(&mut self, step: &Step) {
        let empty =
            step.over.templates().into_iter().find(|(_, list)| list.as_array().is_some_and(Vec::is_empty));
        if let Some((at, _)) = empty {
            let problem = Problem::new(self.source, at, format!("step {} has no jobs", step.name));
            self.problems.push(problem.label("an empty list").help("give it items, or take the step out"));
        }
        if let crate::model::Over::Each((at, list)) = &step.over {
            let literal = Template::parse(list).is_ok_and(|t| matches!(t, Template::Literal(_)));
            if literal && !list.is_array() {
                let problem =
                    Problem::new(self.source, at.clone(), format!("each must be a list, this is {list}"));
                self.problems.push(
                    problem
                        .label("not a list")
                        .help("write [a, b], or \"${{ inputs.hosts }}\" for a list from elsewhere"),
                );
            }
        }
    }

    fn needs(&mut self, at: usize, step: &Step, place: &Range<usize>, name: &str) {
        match self.find(step.phase, name) {
            Some(needed) => {
                self.edges[at].insert(needed);
            }
            None => {
                let (phase, known) = (step.phase.key(), self.names(step.phase));
                let elsewhere = Phase::ALL.into_iter().find(|other| self.find(*other, name).is_some());
                let help = match elsewhere {
                    Some(other) => {
                        format!("it is in {}: phases run one after the other by themselves", other.key())
                    }
                    None => did_you_mean(name, known.iter().copied())
                        .unwrap_or_else(|| format!("the steps of {phase} are {}", known.join(", "))),
                };
                let message = format!("step {} needs {name}, which is no step of {phase}", step.name);
                let problem = Problem::new(self.source, place.clone(), message).label("no such step");
                self.problems.push(problem.and(step.at.clone(), "needed by this step").help(help));
            }
        }
    }

    fn find(&self, phase: Phase, name: &str) -> Option<usize> {
        self.by_name.get(&(phase, name)).copied()
    }

    fn names(&self, phase: Phase) -> Vec<&'a str> {
        self.flow.steps.iter().filter(|s| s.phase == phase).map(|s| s.name.as_str()).collect()
    }
}
