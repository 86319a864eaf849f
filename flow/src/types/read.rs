//! What expressions read of a value before it exists: its fields and its elements.

use super::{Scalar, Shape, Type};

/// What reading a field of a value gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// A value of this type, if the field is there.
    Known(Type),
    /// The value definitely has no such field.
    Absent {
        /// The fields that it may have.
        known: Vec<String>,
    },
    /// The value is definitely not a map.
    NoMap,
    /// The field may be there.
    Open,
}

/// What an element of a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A value of this type.
    Known(Type),
    /// The value is definitely not a list.
    NoList,
    /// Not known.
    Open,
}

impl Type {
    /// What reading `.name` gives.
    pub fn field(&self, name: &str) -> Field {
        let (mut found, mut absent) = (Vec::new(), None);
        for alternative in &self.alternatives() {
            match &alternative.0 {
                Shape::Any => return Field::Open,
                Shape::Map(map) => match map.get(name) {
                    kind if kind.is_never() => absent.get_or_insert_with(Vec::new).extend(map.known()),
                    kind if kind.is_any() && !map.fields.contains_key(name) => return Field::Open,
                    kind => found.push(kind.clone()),
                },
                _ => {}
            }
        }
        // Null in data that is at hand is a value that is not known yet.
        if self.alternatives().iter().all(|kind| matches!(kind.0, Shape::Scalar(Scalar::Null))) {
            return Field::Open;
        }
        match absent {
            _ if !found.is_empty() => Field::Known(Self::union(found)),
            _ if self.is_never() => Field::Open,
            Some(known) => Field::Absent { known },
            None => Field::NoMap,
        }
    }

    /// What an element of it is.
    pub fn item(&self) -> Item {
        let (mut found, mut list) = (Vec::new(), self.is_never());
        for alternative in &self.alternatives() {
            match &alternative.0 {
                Shape::Any => return Item::Open,
                Shape::List(of) => {
                    list = true;
                    found.extend(of.first.iter().chain([&of.rest]).cloned());
                }
                _ => {}
            }
        }
        match Self::union(found) {
            _ if !list => Item::NoList,
            item if item.is_never() => Item::Open,
            item => Item::Known(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node() -> Type {
        Type::of_schema(&json!({"$ref": "#/$defs/Node", "$defs": {"Node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["name"],
            "additionalProperties": false,
        }}}))
    }

    #[test]
    fn reading_a_field_says_what_is_known() {
        let absent =
            |known: &[&str]| Field::Absent { known: known.iter().map(ToString::to_string).collect() };
        let open = Type::map([("a".to_owned(), Type::text())], false);
        let closed = Type::map([("a".to_owned(), Type::text())], true);
        let texts = Type::of_schema(&json!({"type": "object", "additionalProperties": {"type": "string"}}));
        let either = Type::union([closed.clone(), Type::map([("b".to_owned(), Type::integer())], true)]);
        for (kind, name, field) in [
            (Type::any(), "a", Field::Open),
            (open.clone(), "a", Field::Known(Type::text())),
            (open, "b", Field::Open),
            (closed.clone(), "b", absent(&["a"])),
            (closed.clone().nullable(), "a", Field::Known(Type::text())),
            (closed.nullable(), "b", absent(&["a"])),
            (texts, "b", Field::Known(Type::text())),
            (either.clone(), "b", Field::Known(Type::integer())),
            (either, "c", absent(&["a", "b"])),
            (Type::text(), "a", Field::NoMap),
            (Type::text().nullable(), "a", Field::NoMap),
            (Type::list_of(Type::any()), "a", Field::NoMap),
            (Type::never(), "a", Field::Open),
            (node(), "name", Field::Known(Type::text())),
            (node(), "size", absent(&["children", "name", "next"])),
        ] {
            assert_eq!(kind.field(name), field, "{kind} .{name}");
        }
    }

    #[test]
    fn fields_are_read_through_a_schema_that_contains_itself() {
        let mut kind = node();
        for _ in 0..100 {
            kind = match kind.field("next") {
                Field::Known(next) => next,
                other => panic!("{other:?}"),
            };
        }
        assert_eq!(kind.field("name"), Field::Known(Type::text()));
    }

    #[test]
    fn an_element_says_what_is_known() {
        let either = Type::union([Type::text(), Type::integer()]);
        for (kind, item) in [
            (Type::any(), Item::Open),
            (Type::text(), Item::NoList),
            (Type::map([], false), Item::NoList),
            (Type::list_of(Type::any()), Item::Known(Type::any())),
            (Type::list_of(Type::text()).nullable(), Item::Known(Type::text())),
            (Type::of_value(&json!([])), Item::Open),
            (Type::never(), Item::Open),
            (
                Type::of_schema(
                    &json!({"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false}),
                ),
                Item::Known(either),
            ),
        ] {
            assert_eq!(kind.item(), item, "{kind}");
        }
    }
}
