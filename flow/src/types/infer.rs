//! Types of values that are there: literals, and data sets of many rows, whose rows are merged into one type.

use std::mem;

use serde_json::Value;

use super::{Entry, List, Map, Scalar, Shape, Type};

/// Lists of up to this many items are known item by item.
const MAX_ITEMS: usize = 16;

/// How many values of a column are known one by one before only their kind is.
const MAX_VALUES: usize = 8;

/// How many fields rows may have together before a row may have any.
const MAX_FIELDS: usize = 256;

impl Type {
    /// The type of a value, which is as good as the value itself but for long lists: their items are merged.
    /// Takes time in proportion to the value.
    pub fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self(Shape::Scalar(Scalar::Null)),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => Self(Shape::OneOf(vec![value.clone()])),
            Value::Array(items) if items.len() <= MAX_ITEMS => {
                let first = items.iter().map(Self::of_value).collect();
                Self::list(List { first, rest: Self::never(), min: items.len() })
            }
            Value::Array(items) => {
                let rest = items.iter().map(Self::of_value).fold(Self::never(), Self::join);
                Self::list(List { first: Vec::new(), rest, min: items.len() })
            }
            Value::Object(fields) => {
                Self::map(fields.iter().map(|(name, value)| (name.clone(), Self::of_value(value))), true)
            }
        }
    }

    /// What either of two types of values allows, or a bit more: one alternative for each kind.
    fn join(self, other: Self) -> Self {
        if self.shares_kind(&other) {
            return self.join_kind(other);
        }
        let mut alternatives = match self.0 {
            Shape::Union(alternatives) => alternatives,
            shape => vec![Self(shape)],
        };
        let others = match other.0 {
            Shape::Union(alternatives) => alternatives,
            shape => vec![Self(shape)],
        };
        for new in others {
            match alternatives.iter_mut().find(|old| old.shares_kind(&new)) {
                Some(old) => old.absorb(new),
                None => alternatives.push(new),
            }
        }
        Self::union(alternatives)
    }

    fn absorb(&mut self, other: Self) {
        *self = mem::replace(self, Self::never()).join(other);
    }

    fn join_kind(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Shape::Map(a), Shape::Map(b)) => Self(Shape::Map(Box::new(a.join(*b)))),
            (Shape::List(a), Shape::List(b)) => Self::list(a.join(*b)),
            (Shape::OneOf(mut values), Shape::OneOf(others)) => {
                for other in others {
                    if !values.contains(&other) {
                        values.push(other);
                    }
                }
                if values.len() > MAX_VALUES { widest(&values) } else { Self(Shape::OneOf(values)) }
            }
            (Shape::OneOf(values), shape) | (shape, Shape::OneOf(values)) => {
                widest(&values).join_kind(Self(shape))
            }
            (Shape::Scalar(a), Shape::Scalar(b)) if b.contains(a) => Self(Shape::Scalar(b)),
            (shape, _) => Self(shape),
        }
    }
}

/// The kind of values of one kind.
fn widest(values: &[Value]) -> Type {
    let scalars = values.iter().filter_map(Scalar::of);
    let widest = scalars.reduce(|a, b| if b.contains(a) { b } else { a });
    widest.map_or(Type::any(), |scalar| Type(Shape::Scalar(scalar)))
}

impl List {
    /// Positions that both know stay apart; all others become the rest.
    fn join(mut self, mut other: Self) -> Self {
        let both = self.first.len().min(other.first.len());
        self.rest.absorb(other.rest);
        for kind in self.first.split_off(both).into_iter().chain(other.first.split_off(both)) {
            self.rest.absorb(kind);
        }
        for (mine, other) in self.first.iter_mut().zip(other.first) {
            mine.absorb(other);
        }
        Self { min: self.min.min(other.min), ..self }
    }
}

impl Map {
    fn join(mut self, other: Self) -> Self {
        for (name, entry) in &mut self.fields {
            if !other.fields.contains_key(name) {
                entry.required = false;
                entry.kind.absorb(other.rest.clone());
            }
        }
        for (name, Entry { kind, required }) in other.fields {
            if let Some(entry) = self.fields.get_mut(&name) {
                entry.required &= required;
                entry.kind.absorb(kind);
            } else if !self.rest.is_any() {
                let kind = self.rest.clone().join(kind);
                self.fields.insert(name, Entry { kind, required: false });
            }
        }
        self.rest.absorb(other.rest);
        if self.fields.len() > MAX_FIELDS {
            self.fields.clear();
            self.rest = Type::any();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(rows: impl IntoIterator<Item = Value>) -> Type {
        let rows: Vec<Value> = rows.into_iter().collect();
        assert!(rows.len() > MAX_ITEMS);
        match Type::of_value(&Value::Array(rows)).0 {
            Shape::List(list) => list.rest,
            shape => panic!("{shape:?}"),
        }
    }

    #[test]
    fn rows_become_one_type() {
        let map = |fields: &[(&str, Type, bool)]| {
            let entry = |(name, kind, required): &(&str, Type, bool)| {
                ((*name).to_owned(), Entry { kind: kind.clone(), required: *required })
            };
            let fields = fields.iter().map(entry).collect();
            Type(Shape::Map(Box::new(Map { fields, rest: Type::never() })))
        };
        let row = |i: usize| {
            let mut row =
                json!({"id": i, "os": if i.is_multiple_of(2) { "linux" } else { "macos" }, "note": null});
            if i.is_multiple_of(3) {
                row["note"] = json!("x");
                row["size"] = json!(1.5 * i as f64);
            }
            row
        };
        let expected = map(&[
            ("id", Type::integer(), true),
            ("os", Type(Shape::OneOf(vec![json!("linux"), json!("macos")])), true),
            ("note", Type(Shape::OneOf(vec![json!("x")])).nullable(), true),
            ("size", Type(Shape::Scalar(Scalar::Number)), false),
        ]);
        assert_eq!(item((0..1000).map(row)), expected);
    }

    #[test]
    fn rows_of_lists_keep_what_stands_where() {
        let Shape::List(pair) = item((0..30).map(|i| json!([i, format!("n{i}")]))).0 else {
            panic!("no list")
        };
        assert_eq!(pair.first, [Type::integer(), Type::text()]);
        assert_eq!((pair.max(), pair.min), (Some(2), 2));
        let Shape::List(any) = item((0..30).map(|i| json!(vec![i; i % 4]))).0 else { panic!("no list") };
        assert_eq!((any.get(0), any.max(), any.min), (&Type::integer(), None, 0));
    }

    #[test]
    fn rows_with_ever_new_fields_stay_small() {
        let kind = item((0..10_000).map(|i| json!({format!("k{i}"): i})));
        assert!(matches!(&kind.0, Shape::Map(map) if map.rest.is_any() && map.fields.len() <= MAX_FIELDS));
    }

    #[test]
    fn a_hundred_thousand_rows_are_as_small_as_ten() {
        let row =
            |i: u32| json!({"id": i, "name": format!("device-{i}"), "tags": ["a", "b"], "at": {"x": i}});
        let rows = |count| item((0..count).map(row));
        assert_eq!(rows(100_000), rows(100));
    }
}
