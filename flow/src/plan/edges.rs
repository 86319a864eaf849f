//! Types: whether what a step is given can be what its function or flow takes, and whether what an
//! expression reads can be there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use rfx_expr::{Expression, Path, Template};
use rfx_schemas::plan::Phase;
use rfx_schemas::record::FunctionRecord;
use serde_json::{Map, Value, json};

use super::Planner;
use super::layout::Layer;
use crate::check::graph::coupling;
use crate::check::reads::locate;
use crate::diagnostic::{Problem, did_you_mean};
use crate::model::{Flow, InputKind, Over, Step};
use crate::types::{Field, Item, Mismatch, MismatchKind, Type};

/// What a step takes and gives, as far as it is known.
#[derive(Debug)]
pub(super) struct Facing {
    takes: Type,
    pub gives: Type,
    /// Keys of shared state that it says it uses.
    state: Vec<String>,
}

impl Default for Facing {
    fn default() -> Self {
        Self { takes: Type::any(), gives: Type::any(), state: Vec::new() }
    }
}

impl Facing {
    pub(super) fn of_function(record: Option<&FunctionRecord>) -> Self {
        let Some(record) = record else { return Self::default() };
        let (takes, gives) = (Type::of_schema(&record.input), Type::of_schema(&record.output));
        Self { takes, gives, state: record.state.clone() }
    }

    pub(super) fn of_flow(flow: &Flow) -> Self {
        let gives = match flow.whole {
            Some(_) => Type::any(),
            None => Type::map(flow.outputs.iter().map(|(name, _)| (name.to_string(), Type::any())), true),
        };
        let takes = if flow.open { Type::any() } else { Type::of_schema(&input_schema(flow)) };
        Self { takes, gives, state: Vec::new() }
    }
}

/// The JSON Schema of what a flow takes.
pub fn input_schema(flow: &Flow) -> Value {
    let mut properties = Map::new();
    for (name, input) in &flow.inputs {
        let mut schema = match (input.kind(), input.is_required()) {
            (InputKind::Any, _) => json!({}),
            (kind, true) => json!({"type": kind.as_str()}),
            (kind, false) => json!({"type": [kind.as_str(), "null"]}),
        };
        if let Some(text) = &input.description {
            schema["description"] = json!(text);
        }
        if let Some((_, default)) = &input.default {
            schema["default"] = default.clone();
        }
        properties.insert(name.to_string(), schema);
    }
    let required = flow.inputs.iter().filter(|(_, input)| input.is_required());
    let required: Vec<_> = required.map(|(name, _)| name.as_str()).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

impl Planner<'_> {
    /// Checks every edge of a flow; `facing` says what its steps take and give, by position.
    pub(super) fn edges(&mut self, layer: &Layer, facing: &[Facing]) {
        let mut edges =
            Edges { planner: self, layer, facing, known: RefCell::default(), problems: Vec::new() };
        for at in 0..layer.checked.flow.steps.len() {
            edges.step(at);
        }
        for (_, (at, output)) in &layer.checked.flow.outputs {
            edges.template(at, output, &Job::default());
        }
        let mut problems = edges.problems;
        if facing.iter().any(|faces| !faces.state.is_empty()) {
            let checked = &layer.checked;
            let keys: Vec<_> =
                checked.flow.steps.iter().zip(facing).map(|(step, faces)| uses(step, faces)).collect();
            problems.extend(coupling(&checked.source, &checked.flow, &checked.edges, &keys));
        }
        self.problems.extend(problems);
    }
}

/// What the expressions of a job may read besides the run.
#[derive(Default)]
pub(super) struct Job {
    pub item: Option<Type>,
    pub batch: bool,
    pub output: Option<Type>,
}

pub(super) struct Edges<'a> {
    pub planner: &'a Planner<'a>,
    pub layer: &'a Layer,
    pub facing: &'a [Facing],
    /// Types of inputs and data: those of what is known before the run take a while to find.
    pub known: RefCell<BTreeMap<(bool, String), Type>>,
    problems: Vec<Problem>,
}

impl Edges<'_> {
    fn step(&mut self, at: usize) {
        let layer = self.layer;
        let step = &layer.checked.flow.steps[at];
        for (place, list) in step.over.templates() {
            self.template(&place, list, &Job::default());
        }
        let item = self.item(step);
        let mut job = Job { item, batch: step.batch.is_some(), output: None };
        self.template(&step.with.0, &step.with.1, &job);
        self.given(at, &job);
        if let Some((place, text)) = &step.condition {
            self.bare(place, text, &Job::default());
        }
        job.output = Some(self.facing[at].gives.clone());
        let until = step.until.iter().flat_map(|until| &until.expect);
        for (place, text) in step.expect.iter().chain(until) {
            self.bare(place, text, &job);
        }
    }

    /// The type of the items that a step runs over.
    fn item(&mut self, step: &Step) -> Option<Type> {
        let item = match &step.over {
            Over::Once => return None,
            Over::Times(_) | Over::For(_) => Type::integer(),
            Over::Each((at, list)) => self.item_of(at, list, "each"),
            Over::Matrix((at, matrix)) => {
                let axes =
                    matrix.axes.iter().map(|(name, list)| (name.clone(), self.item_of(at, list, name)));
                let axes: Vec<_> = axes.collect();
                if matrix.include.is_empty() { Type::map(axes, true) } else { Type::any() }
            }
        };
        Some(item)
    }

    fn item_of(&mut self, at: &Range<usize>, list: &Value, what: &str) -> Type {
        let found = self.type_of(list, &Job::default());
        match found.item() {
            Item::Known(item) => item,
            Item::Open => Type::any(),
            Item::NoList => {
                let problem = Problem::new(
                    &self.layer.checked.source,
                    at.clone(),
                    format!("{what} must be a list, this is {found}"),
                );
                let problem = self.origin(problem.label("not a list"), list);
                self.problems.push(problem.help("name a list: an input, data, or an output that is one"));
                Type::any()
            }
        }
    }

    /// Whether what a step is given is what its function takes.
    fn given(&mut self, at: usize, job: &Job) {
        let step = &self.layer.checked.flow.steps[at];
        let given = self.type_of(&step.with.1, job);
        for mismatch in self.facing[at].takes.mismatches(&given) {
            let problem = self.mismatch(step, &mismatch);
            self.problems.push(problem);
        }
    }

    fn mismatch(&self, step: &Step, mismatch: &Mismatch) -> Problem {
        let source = &self.layer.checked.source;
        let uses = &step.uses.name;
        let parameter = mismatch.path.first().and_then(|name| step.parameters.get(name));
        let shown = path_text(&mismatch.path);
        let (at, message, help) = match &mismatch.kind {
            MismatchKind::Missing { expected } => {
                let at = parameter.cloned().unwrap_or_else(|| step.uses.at.clone());
                let help =
                    format!("add it: with: {{ {}: … }}", mismatch.path.first().map_or("", String::as_str));
                (at, format!("{uses} needs {shown}, {expected}"), help)
            }
            MismatchKind::Unknown { known } => {
                let name = mismatch.path.last().map_or("", String::as_str);
                let help =
                    did_you_mean(name, known.iter().map(String::as_str)).unwrap_or_else(|| {
                        match known.is_empty() {
                            true => "it takes nothing here".to_owned(),
                            false => format!("it takes {}", known.join(", ")),
                        }
                    });
                (
                    parameter.cloned().unwrap_or_else(|| step.with.0.clone()),
                    format!("{uses} takes no {shown}"),
                    help,
                )
            }
            MismatchKind::Type { expected, got } => {
                let at = parameter.cloned().unwrap_or_else(|| step.with.0.clone());
                let what = if shown.is_empty() { "the input".to_owned() } else { shown };
                let help = match self.planner.library.find(&step.uses) {
                    Some(flow) => format!("{uses} is the flow {}", flow.name()),
                    None => format!("rfx-publish functions show {uses} tells what it takes"),
                };
                (at, format!("{what} of {uses}: expected {expected}, got {got}"), help)
            }
        };
        let problem = Problem::new(source, at, message).label("not what it takes");
        let value = mismatch.path.first().and_then(|name| step.with.1.get(name));
        let problem = match value {
            Some(value) => self.origin(problem, value),
            None => problem,
        };
        problem.help(help)
    }

    /// Marks the step that a value comes from, the other end of the edge.
    fn origin(&self, problem: Problem, value: &Value) -> Problem {
        let Ok(Template::Whole(expression)) = Template::parse(value) else { return problem };
        let Some(path) = expression.as_path() else { return problem };
        match self.source_step(path) {
            Some(from) => {
                let step = &self.layer.checked.flow.steps[from];
                problem.and(step.uses.at.clone(), format!("it comes from here: {}", self.output(from)))
            }
            None => problem,
        }
    }

    /// The step whose output a path reads.
    pub(super) fn source_step(&self, path: &Path) -> Option<usize> {
        let phase = match path.names[0].as_str() {
            "setup" => Phase::Setup,
            "steps" => Phase::Main,
            _ => return None,
        };
        let (name, field) = (path.names.get(1)?, path.names.get(2)?);
        let steps = &self.layer.checked.flow.steps;
        let found = steps.iter().position(|s| s.phase == phase && s.name.as_str() == name);
        found.filter(|_| field == "output")
    }

    fn template(&mut self, at: &Range<usize>, value: &Value, job: &Job) {
        let Ok(template) = Template::parse(value) else { return };
        for expression in template.expressions() {
            self.paths(at, expression, job);
        }
    }

    fn bare(&mut self, at: &Range<usize>, text: &str, job: &Job) {
        if let Ok(expression) = Expression::parse(text) {
            self.paths(at, &expression, job);
        }
    }

    /// Whether what an expression reads can be there.
    fn paths(&mut self, at: &Range<usize>, expression: &Expression, job: &Job) {
        let source = &self.layer.checked.source;
        for path in expression.paths() {
            let Some((mut kind, from)) = self.root(path, job) else { continue };
            for (nth, name) in path.names.iter().enumerate().skip(from) {
                let read = path.names[..nth].join(".");
                let (message, help) = match kind.field(name) {
                    Field::Known(next) => {
                        kind = next;
                        continue;
                    }
                    Field::Open => break,
                    Field::Absent { .. } if is_tested(expression, &path.names[..=nth]) => break,
                    Field::Absent { known } => {
                        let help =
                            did_you_mean(name, known.iter().map(String::as_str)).unwrap_or_else(|| {
                                if known.is_empty() {
                                    "it has no fields".to_owned()
                                } else {
                                    format!("it has {}", known.join(", "))
                                }
                            });
                        (format!("{read} has no field {name}"), help)
                    }
                    Field::NoMap => (
                        format!("{read} has no field {name}: it is {kind}"),
                        "read the value itself, or a field of a map".to_owned(),
                    ),
                };
                let start = locate(source, at, expression.text()) + path.offset;
                let mut problem = Problem::new(source, start..start + path.to_string().len(), message);
                problem = problem.label("not there");
                if let Some(from) = self.source_step(path) {
                    let step = &self.layer.checked.flow.steps[from];
                    problem = problem.and(step.uses.at.clone(), format!("gives {}", self.facing[from].gives));
                }
                self.problems.push(problem.help(help));
                break;
            }
        }
    }
}

/// Keys of state that a step or its function declares, and where.
fn uses(step: &Step, faces: &Facing) -> Vec<(Range<usize>, String)> {
    let of_function = faces.state.iter().map(|key| (step.uses.at.clone(), key.clone()));
    step.state.iter().cloned().chain(of_function).collect()
}

/// Whether an expression asks itself if a field is there: `has(item.x) && item.x > 3`.
fn is_tested(expression: &Expression, names: &[String]) -> bool {
    expression.paths().iter().any(|path| path.tested && path.names == names)
}

/// `apps[0].name`
fn path_text(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            text.push_str(&format!("[{part}]"));
        } else {
            text.push_str(if text.is_empty() { "" } else { "." });
            text.push_str(part);
        }
    }
    text
}
