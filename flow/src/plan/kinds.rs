//! The types of what expressions and templates of a step come to.

use rfx_expr::{Path, Template};
use serde_json::Value;

use super::edges::{Edges, Job};
use crate::model::InputKind;
use crate::types::{Field, Type};

impl Edges<'_> {
    /// What expressions read as a step's output.
    pub(super) fn output(&self, at: usize) -> Type {
        let gives = self.facing[at].gives.clone();
        if self.layer.checked.flow.steps[at].over.has_items() { Type::list_of(gives) } else { gives }
    }

    /// The type of the first part of a path, and how many names that is.
    pub(super) fn root(&self, path: &Path, job: &Job) -> Option<(Type, usize)> {
        let name = path.names.get(1);
        match path.names[0].as_str() {
            "inputs" => Some((self.input(name?), 2)),
            "data" => Some((self.data(name?), 2)),
            "target" | "run" => name.map(|_| (Type::text(), 2)),
            "item" | "items" => {
                let item = job.item.clone()?;
                Some((if job.batch { Type::list_of(item) } else { item }, 1))
            }
            "index" => Some((Type::integer(), 1)),
            "output" => Some((job.output.clone()?, 1)),
            _ => Some((self.output(self.source_step(path)?), 3)),
        }
    }

    fn input(&self, name: &str) -> Type {
        let inputs = &self.layer.checked.flow.inputs;
        let declared = || {
            inputs.iter().find(|(n, _)| n.as_str() == name).map_or(InputKind::Any, |(_, input)| input.kind())
        };
        self.remembered(false, name, || match self.layer.known.get(name) {
            // What one run is given need not be what the next one is: only its shape counts.
            Some(value) if value.is_array() || value.is_object() => Type::of_value(value),
            _ => Type::of_kind(declared()),
        })
    }

    fn data(&self, name: &str) -> Type {
        let set = self.layer.data.get(name).and_then(|key| self.planner.request.data.get(key));
        self.remembered(true, name, || set.map_or_else(Type::any, |(_, value)| Type::of_value(value)))
    }

    fn remembered(&self, data: bool, name: &str, find: impl FnOnce() -> Type) -> Type {
        self.known.borrow_mut().entry((data, name.to_owned())).or_insert_with(find).clone()
    }

    /// The type of a template's value.
    pub(super) fn type_of(&self, value: &Value, job: &Job) -> Type {
        match Template::parse(value) {
            Ok(Template::Literal(literal)) => Type::of_value(&literal),
            Ok(Template::Whole(expression)) => match (expression.as_path(), expression.constant()) {
                (Some(path), _) => self.path(path, job),
                (None, Some(constant)) => Type::of_value(&constant),
                (None, None) => Type::any(),
            },
            Ok(Template::Text(_)) => Type::text(),
            Ok(Template::List(_)) | Ok(Template::Map(_)) => self.inside(value, job),
            Err(_) => Type::any(),
        }
    }

    fn inside(&self, value: &Value, job: &Job) -> Type {
        match value {
            Value::Object(fields) => {
                Type::map(fields.iter().map(|(name, value)| (name.clone(), self.type_of(value, job))), true)
            }
            Value::Array(items) => {
                let mut types = items.iter().map(|item| self.type_of(item, job));
                let first = types.next().unwrap_or_else(Type::any);
                Type::list_of(if types.all(|other| other == first) { first } else { Type::any() })
            }
            scalar => Type::of_value(scalar),
        }
    }

    fn path(&self, path: &Path, job: &Job) -> Type {
        let Some((mut kind, from)) = self.root(path, job) else { return Type::any() };
        for name in &path.names[from.min(path.names.len())..] {
            match kind.field(name) {
                Field::Known(next) => kind = next,
                // Said by itself.
                Field::Absent { .. } | Field::NoMap | Field::Open => return Type::any(),
            }
        }
        kind
    }
}
