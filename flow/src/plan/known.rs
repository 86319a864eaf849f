//! What can be said of a flow's lists and inputs before the run.

use std::collections::BTreeMap;

use rfx_expr::{Scope, Template};
use serde_json::{Map, Value, json};

use super::Planner;
use super::layout::Layer;
use crate::model::Step;
use crate::over::{combinations, jobs};

impl Planner<'_> {
    /// Inputs of a composite that are known before the run.
    pub(super) fn known_inputs(&self, outer: &Layer, step: &Step, inside: &Layer) -> BTreeMap<String, Value> {
        let inputs = inside.checked.flow.inputs.iter();
        let value = |(name, input): &(rfx_schemas::name::Local, crate::model::Input)| {
            let value = match step.with.1.get(name.as_str()) {
                Some(given) => self.constant(outer, given)?,
                None => match &input.default {
                    Some((_, default)) => self.constant(inside, default)?,
                    None => Value::Null,
                },
            };
            Some((name.to_string(), value))
        };
        inputs.filter_map(value).collect()
    }

    /// How many jobs a step has in one execution of its flow, if that is known before the run.
    pub(super) fn count(&self, layer: &Layer, step: &Step) -> Option<u64> {
        let items = match &step.over {
            crate::model::Over::Once => 1,
            crate::model::Over::Times(times) => u64::from(*times),
            crate::model::Over::For(_) => return None,
            crate::model::Over::Each((_, list)) => self.length(layer, list)?,
            crate::model::Over::Matrix((_, matrix)) => {
                let constant = |value: &Value| self.constant(layer, value);
                let axes = matrix.axes.iter().map(|(name, list)| Some((name.clone(), constant(list)?)));
                let axes = axes.collect::<Option<Vec<_>>>()?;
                let include = matrix.include.iter().map(constant).collect::<Option<Vec<_>>>()?;
                let exclude = matrix.exclude.iter().map(constant).collect::<Option<Vec<_>>>()?;
                combinations(&axes, &include, &exclude).ok()?.len() as u64
            }
        };
        Some(jobs(items, step.batch))
    }

    fn length(&self, layer: &Layer, list: &Value) -> Option<u64> {
        match self.peek(layer, list) {
            Some(value) => value.as_array().map(|list| list.len() as u64),
            None => self.constant(layer, list)?.as_array().map(|list| list.len() as u64),
        }
    }

    /// An input or a data set that a template names and nothing else: not copied, since it may be big.
    pub(super) fn peek<'v>(&'v self, layer: &'v Layer, value: &'v Value) -> Option<&'v Value> {
        let template = Template::parse(value).ok()?;
        let Template::Whole(expression) = &template else {
            return if matches!(template, Template::Literal(_)) { Some(value) } else { None };
        };
        let path = expression.as_path()?;
        let base = match (path.names[0].as_str(), path.names.get(1)) {
            ("inputs", Some(name)) => layer.known.get(name)?,
            ("data", Some(name)) => &self.request.data.get(layer.data.get(name)?)?.1,
            _ => return None,
        };
        path.names[2..].iter().try_fold(base, |value, name| value.get(name))
    }

    /// The value of a template that reads only what is known before the run.
    fn constant(&self, layer: &Layer, value: &Value) -> Option<Value> {
        if let Some(value) = self.peek(layer, value) {
            return Some(value.clone());
        }
        let template = Template::parse(value).ok()?;
        let mut read: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for path in template.paths() {
            let (variable, name) = (path.names[0].as_str(), path.names.get(1)?.as_str());
            let value = match variable {
                "inputs" => layer.known.get(name)?.clone(),
                "data" => self.request.data.get(layer.data.get(name)?)?.1.clone(),
                "target" => json!(self.target.get(name)?),
                "run" => json!(layer.run),
                _ => return None,
            };
            read.entry(variable).or_default().insert(name.to_owned(), value);
        }
        let mut scope = Scope::default();
        for (variable, fields) in read {
            scope.set(variable, &Value::Object(fields));
        }
        template.eval(&scope).ok()
    }
}
