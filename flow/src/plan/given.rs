//! What a run is given: target, data and inputs, from the flow and the command line.

use std::collections::BTreeMap;

use rfx_expr::{Scope, Template};
use rfx_schemas::id::RunId;
use serde_json::{Map, Value, json};

use super::Planner;
use crate::diagnostic::Problem;
use crate::model::{Input, InputKind};
use crate::over::short;

impl Planner<'_> {
    pub(super) fn target(&mut self) {
        let declared = &self.root.flow.target;
        self.target = declared.iter().map(|(n, v)| (n.to_string(), v.clone())).collect();
        for used in self.library.used_by(self.root) {
            let Ok(used) = used.checked() else { continue };
            for (name, value) in &used.flow.target {
                self.target.entry(name.to_string()).or_insert_with(|| value.clone());
            }
        }
        for (name, value) in &self.request.target {
            if value.is_empty() {
                let help = format!("write --target {name}=URL");
                self.option("--target", name, format!("target {name} is given nothing"), help);
            }
            if self.target.insert(name.clone(), value.clone()).is_none() {
                let known: Vec<_> = declared.iter().map(|(n, _)| n.as_str()).collect();
                self.unknown_option("--target", name, &known);
            }
        }
    }

    pub(super) fn data(&mut self) {
        let declared: Vec<_> = self.root.flow.data.iter().map(|(n, _)| n.as_str()).collect();
        for name in self.request.data.keys().filter(|name| !name.contains(':')) {
            if !declared.contains(&name.as_str()) {
                self.unknown_option("--data", name, &declared);
            }
        }
    }

    pub(super) fn inputs(&mut self, run: RunId) -> BTreeMap<String, Value> {
        let root = self.root;
        let declared = &root.flow.inputs;
        for name in self.request.inputs.keys() {
            if !root.flow.open && !declared.iter().any(|(known, _)| known.as_str() == name) {
                let known: Vec<_> = declared.iter().map(|(n, _)| n.as_str()).collect();
                self.unknown_option("--input", name, &known);
            }
        }
        let mut inputs = BTreeMap::new();
        for (name, input) in declared {
            match self.input(name.as_str(), input, run) {
                Some(value) => drop(inputs.insert(name.to_string(), value)),
                // Handed on as it is: what is not given is left to the function's own default.
                None if root.flow.whole.is_some() => {}
                None => drop(inputs.insert(name.to_string(), Value::Null)),
            }
        }
        if root.flow.open {
            for (name, text) in
                self.request.inputs.iter().filter(|(name, _)| !inputs.contains_key(*name)).collect::<Vec<_>>()
            {
                inputs.insert(name.clone(), self.given_input(name, InputKind::Any, text));
            }
        }
        inputs
    }

    fn input(&mut self, name: &str, input: &Input, run: RunId) -> Option<Value> {
        if let Some(text) = self.request.inputs.get(name) {
            return Some(self.given_input(name, input.kind(), text));
        }
        let source = input.source.as_ref().unwrap_or(&self.root.source).clone();
        if let Some((at, default)) = &input.default {
            let kind = input.kind();
            match self.default(default, run) {
                Ok(value) if kind.accepts(&value) => return Some(value),
                Ok(value) => {
                    let (value, kind) = (short(&value), kind.as_str());
                    let message = format!("input {name}: the default {value} is not of type {kind}");
                    let problem = Problem::new(&source, at.clone(), message);
                    self.problems.push(problem.help("change the type or the default"));
                }
                Err(error) => {
                    let message = format!("input {name}: the default has no value: {error}");
                    let problem = Problem::new(&source, at.clone(), message);
                    self.problems.push(problem.help("give the input with --input"));
                }
            }
        } else if input.is_required() {
            let message = format!("input {name} is required and has no value");
            self.option("--input", name, message, format!("add --input {name}=…"));
        }
        None
    }

    fn given_input(&mut self, name: &str, kind: InputKind, text: &str) -> Value {
        let value = match kind {
            InputKind::String => Value::String(text.to_owned()),
            _ => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
        };
        if !kind.accepts(&value) {
            let expected = kind.as_str();
            let message = format!("input {name}: expected {expected}, got {text}");
            let help = format!("write it as JSON of type {expected}");
            self.option(&format!("--input {name}"), text, message, help);
        }
        value
    }

    /// The value of a default: a data set as a whole is not converted back and forth, since it may be big.
    fn default(&self, default: &Value, run: RunId) -> Result<Value, rfx_expr::EvalError> {
        let template = Template::parse(default).expect("the flow is checked");
        if let Template::Whole(expression) = &template
            && let Some(path) = expression.as_path()
            && let [variable, name] = &path.names[..]
            && variable == "data"
            && let Some((_, value)) = self.request.data.get(name)
        {
            return Ok(value.clone());
        }
        let mut scope = Scope::default();
        let reads = |name: &str| template.paths().iter().any(|path| path.names[0] == name);
        if reads("data") {
            let data: Map<_, _> =
                self.request.data.iter().map(|(n, (_, value))| (n.clone(), value.clone())).collect();
            scope.set("data", &Value::Object(data));
        }
        scope.set("target", &json!(self.target));
        scope.set("run", &json!({"id": run}));
        template.eval(&scope)
    }
}
