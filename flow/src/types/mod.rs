//! What is known about a value before it exists, so that a flow can be checked before it runs.
//!
//! A [`Type`] stands for a set of JSON values. Invariant: the set is never smaller than the truth; what is not
//! understood is anything. So where two types have nothing in common, no run can ever get it right.

mod compare;
mod describe;
mod infer;
#[cfg(test)]
mod properties;
mod read;
mod schema;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::InputKind;
pub use compare::{Mismatch, MismatchKind};
pub use read::{Field, Item};
use schema::Reference;

/// What is known about a value before it exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Type(Shape);

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Any,
    Scalar(Scalar),
    /// One of these scalars.
    OneOf(Vec<Value>),
    List(Box<List>),
    Map(Box<Map>),
    /// Any of these; none of them is a union itself. Without any it is the type that has no value.
    Union(Vec<Type>),
    /// A part of a schema, read when it is needed, since it may contain itself.
    Ref(Reference),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Null,
    Boolean,
    Text,
    Integer,
    Number,
}

#[derive(Debug, Clone, PartialEq)]
struct List {
    /// The first items, if there are so many.
    first: Vec<Type>,
    /// All items behind them.
    rest: Type,
    /// How many items there are at least.
    min: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct Map {
    fields: BTreeMap<String, Entry>,
    /// All other fields; no value for a closed map.
    rest: Type,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    kind: Type,
    /// Whether the field is always there.
    required: bool,
}

impl Type {
    /// Anything.
    pub fn any() -> Self {
        Self(Shape::Any)
    }

    /// What an input of a flow accepts.
    pub fn of_kind(kind: InputKind) -> Self {
        match kind {
            InputKind::Any => Self::any(),
            InputKind::String => Self::text(),
            InputKind::Integer => Self::integer(),
            InputKind::Number => Self(Shape::Scalar(Scalar::Number)),
            InputKind::Boolean => Self(Shape::Scalar(Scalar::Boolean)),
            InputKind::Array => Self::list_of(Self::any()),
            InputKind::Object => Self::map([], false),
        }
    }

    /// Any text.
    pub fn text() -> Self {
        Self(Shape::Scalar(Scalar::Text))
    }

    /// Any whole number.
    pub fn integer() -> Self {
        Self(Shape::Scalar(Scalar::Integer))
    }

    /// A list of any length, which may be empty.
    pub fn list_of(item: Self) -> Self {
        Self::list(List { first: Vec::new(), rest: item, min: 0 })
    }

    /// A map that has all these fields; if it is closed, it has no others.
    pub fn map(fields: impl IntoIterator<Item = (String, Self)>, closed: bool) -> Self {
        let fields = fields.into_iter().map(|(name, kind)| (name, Entry { kind, required: true })).collect();
        Self(Shape::Map(Box::new(Map { fields, rest: if closed { Self::never() } else { Self::any() } })))
    }

    /// This, or null.
    #[must_use]
    pub fn nullable(self) -> Self {
        Self::union([self, Self(Shape::Scalar(Scalar::Null))])
    }

    fn never() -> Self {
        Self(Shape::Union(Vec::new()))
    }

    fn is_any(&self) -> bool {
        matches!(self.0, Shape::Any)
    }

    fn is_never(&self) -> bool {
        matches!(&self.0, Shape::Union(alternatives) if alternatives.is_empty())
    }

    fn list(list: List) -> Self {
        Self(Shape::List(Box::new(list)))
    }

    fn union(types: impl IntoIterator<Item = Self>) -> Self {
        let mut alternatives = Vec::new();
        for kind in types {
            match kind.0 {
                Shape::Any => return Self::any(),
                Shape::Union(inner) => alternatives.extend(inner),
                shape => alternatives.push(Self(shape)),
            }
        }
        let mut distinct: Vec<Self> = Vec::new();
        for kind in alternatives {
            if !distinct.contains(&kind) {
                distinct.push(kind);
            }
        }
        if distinct.len() == 1 { distinct.remove(0) } else { Self(Shape::Union(distinct)) }
    }

    /// The types that this one is a union of: no unions, no references.
    fn alternatives(&self) -> Vec<Cow<'_, Self>> {
        let (mut found, mut seen) = (Vec::new(), Vec::new());
        flatten(Cow::Borrowed(self), &mut seen, &mut found);
        if found.is_empty() && !self.is_never() {
            // A schema that is nothing but itself says nothing.
            found.push(Cow::Owned(Self::any()));
        }
        found
    }
}

/// Collects the alternatives of a type.
///
/// Invariant: each reference is followed once, since nothing is gained by being an alternative of oneself.
fn flatten<'a>(kind: Cow<'a, Type>, seen: &mut Vec<Reference>, into: &mut Vec<Cow<'a, Type>>) {
    let reference = match kind {
        Cow::Borrowed(Type(Shape::Union(inner))) => {
            return inner.iter().for_each(|kind| flatten(Cow::Borrowed(kind), seen, into));
        }
        Cow::Owned(Type(Shape::Union(inner))) => {
            return inner.into_iter().for_each(|kind| flatten(Cow::Owned(kind), seen, into));
        }
        Cow::Borrowed(Type(Shape::Ref(reference))) => reference.clone(),
        Cow::Owned(Type(Shape::Ref(reference))) => reference,
        plain => return into.push(plain),
    };
    if !seen.contains(&reference) {
        let target = reference.resolve();
        seen.push(reference);
        flatten(Cow::Owned(target), seen, into);
    }
}

impl Scalar {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Null),
            Value::Bool(_) => Some(Self::Boolean),
            Value::String(_) => Some(Self::Text),
            // To JSON Schema 3.0 is a whole number.
            Value::Number(n) if n.as_f64().is_none_or(|n| n.fract() == 0.0) => Some(Self::Integer),
            Value::Number(_) => Some(Self::Number),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Whether every value of the other is one of this.
    fn contains(self, other: Self) -> bool {
        self == other || (self == Self::Number && other == Self::Integer)
    }
}

impl List {
    fn get(&self, index: usize) -> &Type {
        self.first.get(index).unwrap_or(&self.rest)
    }

    /// The most items that it can have, if that is known.
    fn max(&self) -> Option<usize> {
        self.rest.is_never().then_some(self.first.len())
    }
}

impl Map {
    fn get(&self, name: &str) -> &Type {
        self.fields.get(name).map_or(&self.rest, |entry| &entry.kind)
    }

    fn requires(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|entry| entry.required)
    }

    fn known(&self) -> impl Iterator<Item = String> {
        self.fields.iter().filter(|(_, entry)| !entry.kind.is_never()).map(|(name, _)| name.clone())
    }
}
