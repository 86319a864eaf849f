//! A step's expressions, compiled once a run, and the scopes that they are evaluated in.

use std::sync::Arc;

use rfx_expr::{Expression, Path, Scope, Template};
use rfx_schemas::plan::{Phase, PlannedStep};
use serde_json::{Map, Value, json};

use super::RunState;

/// The plan of a run cannot be read: it was written by an rfx that knows other expressions.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the plan's step {step} cannot be read: {message}")]
pub struct PlanError {
    step: String,
    message: String,
}

/// A step's expressions.
pub(super) struct Compiled {
    pub(super) condition: Option<Expression>,
    pub(super) each: Option<Template>,
    pub(super) with: Template,
    /// What its input reads of the run, besides the item. Apart from the rest, since this scope is
    /// made again for every few jobs.
    with_paths: Vec<Path>,
    /// What its condition and its list read of the run.
    start_paths: Vec<Path>,
    /// What its expectations read of the run.
    expect_paths: Vec<Path>,
    /// Whether its expectations read the item.
    pub(super) expects_item: bool,
}

impl Compiled {
    pub(super) fn new(step: &PlannedStep) -> Result<Self, PlanError> {
        let wrong = |e: &dyn std::fmt::Display| PlanError { step: step.path(), message: e.to_string() };
        let template = |v: &Value| Template::parse(v).map_err(|e| wrong(&e));
        let expression = |text: &String| Expression::parse(text).map_err(|e| wrong(&e));
        let condition = step.condition.as_ref().map(expression).transpose()?;
        let each = step.each.as_ref().map(template).transpose()?;
        let with = template(&step.with)?;
        let expect = step.expect.iter().map(expression).collect::<Result<Vec<_>, _>>()?;
        let of_run = |p: &&Path| !matches!(p.names[0].as_str(), "item" | "index" | "output");
        let with_paths = with.paths().into_iter().filter(of_run).cloned().collect();
        let lists = each.iter().flat_map(Template::paths);
        let start_paths = lists.chain(condition.iter().flat_map(Expression::paths)).cloned().collect();
        let expected = || expect.iter().flat_map(Expression::paths);
        let expects_item = expected().any(|p| p.names[0] == "item");
        let expect_paths = expected().filter(of_run).cloned().collect();
        Ok(Self { condition, each, with, with_paths, start_paths, expect_paths, expects_item })
    }
}

impl RunState {
    /// The scope of a step's `if` and `each`: only what they read, since converting costs.
    pub(super) fn start_scope(&self, at: usize) -> Scope<'static> {
        self.scope(&self.compiled[at].start_paths)
    }

    /// The scope of a step's `with`, to which each job adds its item.
    pub(super) fn with_scope(&self, at: usize) -> Scope<'static> {
        self.scope(&self.compiled[at].with_paths)
    }

    fn scope(&self, paths: &[Path]) -> Scope<'static> {
        let mut scope = Scope::default();
        for (name, value) in self.variables(paths) {
            scope.set(&name, &value);
        }
        scope
    }

    /// What a step's expectations read of the run, to go with its jobs; none when they read nothing.
    pub fn expect_scope(&self, step: usize) -> Option<Value> {
        let variables = self.variables(&self.compiled[step].expect_paths);
        (!variables.is_empty()).then_some(Value::Object(variables))
    }

    fn variables(&self, paths: &[Path]) -> Map<String, Value> {
        let mut all = Map::new();
        for path in paths {
            let variable = path.names[0].as_str();
            let name = path.names.get(1).map(String::as_str);
            let fields = all.entry(variable).or_insert_with(|| json!({}));
            let Value::Object(fields) = fields else { continue };
            match (variable, name) {
                ("run", _) => drop(fields.insert("id".to_owned(), json!(self.run))),
                (_, Some(name)) if fields.contains_key(name) => {}
                (_, Some(name)) => drop(fields.insert(name.to_owned(), self.variable(variable, name))),
                (_, None) => fields.extend(self.whole(variable)),
            }
        }
        all
    }

    fn variable(&self, variable: &str, name: &str) -> Value {
        match variable {
            "inputs" => self.plan.inputs.get(name).cloned().unwrap_or_default(),
            "target" => self.plan.target.get(name).cloned().map(Value::String).unwrap_or_default(),
            "data" => self.data.get(name).map(|v| Value::clone(v)).unwrap_or_default(),
            "setup" => self.step_value(Phase::Setup, name),
            _ => self.step_value(Phase::Main, name),
        }
    }

    fn whole(&self, variable: &str) -> Vec<(String, Value)> {
        match variable {
            "inputs" => self.plan.inputs.clone().into_iter().collect(),
            "target" => self.plan.target.iter().map(|(k, v)| (k.clone(), json!(v))).collect(),
            "data" => self.data.iter().map(|(k, v)| (k.clone(), Value::clone(v))).collect(),
            _ => Vec::new(),
        }
    }

    fn step_value(&self, phase: Phase, name: &str) -> Value {
        let at = self.plan.steps.iter().position(|s| s.phase == phase && s.name.as_str() == name);
        let Some(step) = at.map(|at| &self.steps[at]) else { return Value::Null };
        json!({"output": step.output(), "verdict": step.verdict().map(|v| v.as_str())})
    }

    /// The list that a step runs over, or why there is none.
    pub(super) fn items(&self, at: usize) -> Result<Option<Arc<Value>>, String> {
        let Some(each) = &self.compiled[at].each else { return Ok(None) };
        if let Some(shared) = self.shared_list(each) {
            return Ok(Some(shared));
        }
        match each.eval(&self.start_scope(at)) {
            Ok(list @ Value::Array(_)) => Ok(Some(Arc::new(list))),
            Ok(other) => {
                let text: String = other.to_string().chars().take(80).collect();
                Err(format!("each must be a list, this is {text}"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// A data set as a whole is shared, not copied: it may have a hundred thousand rows.
    fn shared_list(&self, each: &Template) -> Option<Arc<Value>> {
        let Template::Whole(expression) = each else { return None };
        let set = self.data.get(expression.text().strip_prefix("data.")?)?;
        set.is_array().then(|| Arc::clone(set))
    }

    /// The flow's outputs; none when it has none. One that has no value is null: it costs no other.
    pub fn outputs(&self) -> Option<Value> {
        let outputs = self.plan.outputs.iter().map(|(name, value)| {
            let value = Template::parse(value).ok().and_then(|template| {
                let paths: Vec<_> = template.paths().into_iter().cloned().collect();
                template.eval(&self.scope(&paths)).ok()
            });
            (name.clone(), value.unwrap_or_default())
        });
        let outputs: Map<_, _> = outputs.collect();
        (!outputs.is_empty()).then_some(Value::Object(outputs))
    }
}
