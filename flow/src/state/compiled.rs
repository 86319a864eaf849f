//! A step's expressions, compiled once a run, and the scopes that they are evaluated in.

use std::collections::BTreeMap;
use std::sync::Arc;

use rfx_expr::{Expression, Path, Scope, Template};
use rfx_schemas::plan::{Does, Over, PlannedStep};
use serde_json::{Map, Value, json};

use super::RunState;
use super::frame::Items;
use crate::over::{batches, combinations, short};

/// The plan of a run cannot be read: it was written by an rfx that knows other expressions.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the plan's step {step} cannot be read: {message}")]
pub struct PlanError {
    step: String,
    message: String,
}

/// A step's expressions.
pub(super) struct Compiled {
    pub condition: Option<Expression>,
    list: List,
    batch: Option<u32>,
    pub with: Template,
    pub expect: Vec<Expression>,
    /// Of a composite.
    pub inner: Option<Inner>,
    /// What its input reads of the run, besides the item. Apart from the rest, since this scope is
    /// made again for every few jobs.
    with_paths: Vec<Path>,
    /// What its condition and its list read of the run.
    start_paths: Vec<Path>,
    /// What its expectations read of the run.
    pub expect_paths: Vec<Path>,
    /// Whether its expectations read the item.
    pub expects_item: bool,
}

/// What a composite says about its own flow.
pub(super) struct Inner {
    /// Defaults of its inputs.
    pub defaults: BTreeMap<String, Template>,
    pub output: Template,
    pub output_paths: Vec<Path>,
}

/// Where a step's items come from.
enum List {
    None,
    Numbers,
    Each(Template),
    Matrix { axes: Vec<(String, Template)>, include: Vec<Template>, exclude: Vec<Template> },
}

impl List {
    fn templates(&self) -> Vec<&Template> {
        match self {
            Self::None | Self::Numbers => Vec::new(),
            Self::Each(list) => vec![list],
            Self::Matrix { axes, include, exclude } => {
                axes.iter().map(|(_, list)| list).chain(include).chain(exclude).collect()
            }
        }
    }
}

impl Compiled {
    pub(super) fn new(step: &PlannedStep) -> Result<Self, PlanError> {
        let wrong = |e: &dyn std::fmt::Display| PlanError { step: step.path(), message: e.to_string() };
        let template = |v: &Value| Template::parse(v).map_err(|e| wrong(&e));
        let templates = |all: &[Value]| all.iter().map(template).collect::<Result<Vec<_>, _>>();
        let expression = |text: &String| Expression::parse(text).map_err(|e| wrong(&e));
        let expressions = |all: &[String]| all.iter().map(expression).collect::<Result<Vec<_>, _>>();
        let condition = step.condition.as_ref().map(expression).transpose()?;
        let list = match &step.over {
            Over::Once => List::None,
            Over::Times(_) | Over::For(_) => List::Numbers,
            Over::Each(list) => List::Each(template(list)?),
            Over::Matrix(matrix) => List::Matrix {
                axes: matrix
                    .axes
                    .iter()
                    .map(|(name, list)| Ok((name.clone(), template(list)?)))
                    .collect::<Result<_, PlanError>>()?,
                include: templates(&matrix.include)?,
                exclude: templates(&matrix.exclude)?,
            },
        };
        let with = template(&step.with)?;
        let expect = expressions(&step.expect)?;
        let until = step.call().and_then(|call| call.until.as_ref());
        let until = until.map(|until| expressions(&until.expect)).transpose()?.unwrap_or_default();
        let inner = match &step.does {
            Does::Call(_) => None,
            Does::Flow(flow) => {
                let rules = flow.inputs.iter();
                let defaults = rules.filter_map(|(name, rule)| Some((name, rule.default.as_ref()?)));
                let defaults = defaults.map(|(name, value)| Ok((name.clone(), template(value)?)));
                let output = template(&flow.output)?;
                let output_paths = of_run(output.paths());
                Some(Inner { defaults: defaults.collect::<Result<_, PlanError>>()?, output, output_paths })
            }
        };
        let expected = || expect.iter().chain(&until).flat_map(Expression::paths);
        let lists = list.templates().into_iter().flat_map(Template::paths);
        Ok(Self {
            with_paths: of_run(with.paths()),
            start_paths: of_run(lists.chain(condition.iter().flat_map(Expression::paths))),
            expects_item: expected().any(|p| matches!(p.names[0].as_str(), "item" | "items")),
            expect_paths: of_run(expected()),
            batch: step.batch,
            condition,
            list,
            with,
            expect,
            inner,
        })
    }
}

/// What is read of the run, rather than of the job.
fn of_run<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Vec<Path> {
    let of_job = |p: &&Path| matches!(p.names[0].as_str(), "item" | "items" | "index" | "output");
    paths.into_iter().filter(|path| !of_job(path)).cloned().collect()
}

impl RunState {
    /// The scope of a step's `if` and its list: only what they read, since converting costs.
    pub(super) fn start_scope(&self, frame: u32, step: usize) -> Scope<'static> {
        self.scope(frame, &self.compiled[step].start_paths)
    }

    /// The scope of a step's `with`, to which each job adds its item.
    pub(super) fn with_scope(&self, frame: u32, step: usize) -> Scope<'static> {
        self.scope(frame, &self.compiled[step].with_paths)
    }

    pub(super) fn scope(&self, frame: u32, paths: &[Path]) -> Scope<'static> {
        let mut scope = Scope::default();
        for (name, value) in self.variables(frame, paths) {
            scope.set(&name, &value);
        }
        scope
    }

    /// What a step's expectations read of the run, to go with its jobs; none when they read nothing.
    pub fn expect_scope(&self, step: usize, frame: u32) -> Option<Value> {
        // Released before the execution was closed, by what another driver recorded: it will be refused.
        if !self.frames.contains_key(&frame) {
            return None;
        }
        let variables = self.variables(frame, &self.compiled[step].expect_paths);
        (!variables.is_empty()).then_some(Value::Object(variables))
    }

    /// Whether what a step's expectations read differs between the executions of its flow.
    pub fn expects_of_frame(&self, step: usize) -> bool {
        let of_frame = |path: &Path| matches!(path.names[0].as_str(), "inputs" | "setup" | "steps");
        self.compiled[step].expect_paths.iter().any(of_frame)
    }

    fn variables(&self, frame: u32, paths: &[Path]) -> Map<String, Value> {
        let mut all = Map::new();
        for path in paths {
            let variable = path.names[0].as_str();
            let name = path.names.get(1).map(String::as_str);
            let fields = all.entry(variable).or_insert_with(|| json!({}));
            let Value::Object(fields) = fields else { continue };
            match (variable, name) {
                ("run", _) => drop(fields.insert("id".to_owned(), json!(self.run))),
                (_, Some(name)) if fields.contains_key(name) => {}
                (_, Some(name)) => drop(fields.insert(name.to_owned(), self.variable(frame, variable, name))),
                (_, None) => fields.extend(self.whole(frame, variable)),
            }
        }
        all
    }

    fn variable(&self, frame: u32, variable: &str, name: &str) -> Value {
        match variable {
            "inputs" => self.frames[&frame].inputs.get(name).cloned().unwrap_or_default(),
            "target" => self.plan.target.get(name).cloned().map(Value::String).unwrap_or_default(),
            "data" => self.data_set(frame, name).map(|v| Value::clone(v)).unwrap_or_default(),
            "setup" => self.step_value(frame, rfx_schemas::plan::Phase::Setup, name),
            _ => self.step_value(frame, rfx_schemas::plan::Phase::Main, name),
        }
    }

    /// A data set of the flow that a frame executes.
    fn data_set(&self, frame: u32, name: &str) -> Option<&Arc<Value>> {
        let composite = self.frames[&frame].of.map(|(step, _)| &self.plan.steps[step as usize]);
        match composite.and_then(PlannedStep::flow) {
            Some(flow) => self.data.get(flow.data.get(name)?),
            None => self.data.get(name),
        }
    }

    fn whole(&self, frame: u32, variable: &str) -> Vec<(String, Value)> {
        match variable {
            "inputs" => self.frames[&frame].inputs.clone().into_iter().collect(),
            "target" => self.plan.target.iter().map(|(k, v)| (k.clone(), json!(v))).collect(),
            "data" => {
                let composite = self.frames[&frame].of.map(|(step, _)| &self.plan.steps[step as usize]);
                // Those of other flows have their flow's name before a colon.
                let names: Vec<_> = match composite.and_then(PlannedStep::flow) {
                    Some(flow) => flow.data.keys().cloned().collect(),
                    None => self.data.keys().filter(|name| !name.contains(':')).cloned().collect(),
                };
                let sets = names.into_iter().filter_map(|name| {
                    let set = Value::clone(self.data_set(frame, &name)?);
                    Some((name, set))
                });
                sets.collect()
            }
            _ => Vec::new(),
        }
    }

    fn step_value(&self, frame: u32, phase: rfx_schemas::plan::Phase, name: &str) -> Value {
        let frame = &self.frames[&frame];
        let found = self.body(frame).find(phase, name).map(|local| &frame.steps[local]);
        let Some(step) = found else { return Value::Null };
        json!({"output": step.output(), "verdict": step.verdict().map(|v| v.as_str())})
    }

    /// What a step runs over, or why that cannot be said.
    pub(super) fn items(&self, frame: u32, step: usize) -> Result<Items, String> {
        let compiled = &self.compiled[step];
        let list = match &compiled.list {
            List::None => return Ok(Items::None),
            List::Numbers => return Ok(Items::Numbers),
            List::Each(each) => match (self.shared_list(frame, each), compiled.batch) {
                (Some(shared), None) => return Ok(Items::List(shared)),
                (Some(shared), Some(_)) => shared.as_array().cloned().unwrap_or_default(),
                (None, _) => match each.eval(&self.start_scope(frame, step)) {
                    Ok(Value::Array(list)) => list,
                    Ok(other) => return Err(format!("each must be a list, this is {}", short(&other))),
                    Err(error) => return Err(error.to_string()),
                },
            },
            List::Matrix { axes, include, exclude } => {
                let scope = self.start_scope(frame, step);
                let eval = |template: &Template| template.eval(&scope).map_err(|e| e.to_string());
                let all = |list: &[Template]| list.iter().map(eval).collect::<Result<Vec<_>, _>>();
                let axes: Result<Vec<_>, String> =
                    axes.iter().map(|(name, list)| Ok((name.clone(), eval(list)?))).collect();
                combinations(&axes?, &all(include)?, &all(exclude)?)?
            }
        };
        let list = match compiled.batch {
            Some(size) => batches(list, size),
            None => list,
        };
        Ok(Items::List(Arc::new(Value::Array(list))))
    }

    /// A data set as a whole is shared, not copied: it may have a hundred thousand rows.
    fn shared_list(&self, frame: u32, each: &Template) -> Option<Arc<Value>> {
        let Template::Whole(expression) = each else { return None };
        let set = self.data_set(frame, expression.text().strip_prefix("data.")?)?;
        set.is_array().then(|| Arc::clone(set))
    }

    /// The flow's outputs, none when it has none, and why some of them, or of its composites', have no
    /// value: those are null, and cost no other.
    pub fn outputs(&self) -> (Option<Value>, Vec<String>) {
        let mut unmade = self.unmade.clone();
        let mut outputs = Map::new();
        for (name, value) in &self.plan.outputs {
            let made = Template::parse(value).map_err(|e| e.to_string()).and_then(|template| {
                let paths: Vec<_> = template.paths().into_iter().cloned().collect();
                template.eval(&self.scope(super::ROOT, &paths)).map_err(|e| e.to_string())
            });
            let value = made.unwrap_or_else(|why| {
                unmade.push(format!("{name}: {why}"));
                Value::Null
            });
            outputs.insert(name.clone(), value);
        }
        ((!outputs.is_empty()).then_some(Value::Object(outputs)), unmade)
    }
}
