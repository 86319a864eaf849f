//! The variables that an expression may read.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, Value};
use serde_json::Value as Json;

use crate::library::LIBRARY;

/// Variables by name. A child sees its parent's and adds its own, so that what a whole step shares
/// is converted once and not for every job.
pub struct Scope<'p> {
    pub(crate) context: Context<'p, 'static>,
    /// The longest list or map in any variable: what one comprehension can loop over.
    pub(crate) longest: u64,
}

impl Default for Scope<'_> {
    fn default() -> Self {
        Self { context: Context::with_env(Arc::clone(&LIBRARY)), longest: 1 }
    }
}

impl Scope<'_> {
    /// A scope inside this one.
    pub fn child(&self) -> Scope<'_> {
        Scope { context: self.context.new_inner_scope(), longest: self.longest }
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &Json) {
        let mut longest = self.longest;
        self.context.add_variable_from_value(name, into_cel(value, &mut longest));
        self.longest = longest;
    }
}

fn into_cel(value: &Json, longest: &mut u64) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(int), ..) => Value::Int(int),
            (None, Some(uint), _) => Value::UInt(uint),
            (None, None, float) => Value::Float(float.unwrap_or(f64::NAN)),
        },
        Json::String(s) => Value::String(Arc::new(s.clone())),
        Json::Array(items) => {
            *longest = (*longest).max(items.len() as u64);
            Value::List(Arc::new(items.iter().map(|item| into_cel(item, longest)).collect()))
        }
        Json::Object(fields) => {
            *longest = (*longest).max(fields.len() as u64);
            let entries =
                fields.iter().map(|(k, v)| (Key::String(Arc::new(k.clone())), into_cel(v, longest)));
            Value::Map(Map { map: Arc::new(entries.collect::<HashMap<_, _>>()) })
        }
    }
}
