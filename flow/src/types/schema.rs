//! JSON Schemas as types. Keywords that are not known here are passed over, which only makes a type wider.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map as Keywords, Value};

use super::{Entry, List, Map, Scalar, Shape, Type};

/// How many references are followed one inside the other to merge the parts of an `allOf`.
const HOPS: u8 = 3;

/// The most alternatives that an `allOf` of unions is spelled out into.
const MAX_ALTERNATIVES: usize = 32;

/// Keywords that say something about maps or lists only.
const STRUCTURAL: [&str; 6] =
    ["properties", "required", "additionalProperties", "items", "prefixItems", "minItems"];

/// A place in a schema.
#[derive(Clone, PartialEq)]
pub(super) struct Reference {
    root: Arc<Value>,
    pointer: String,
}

impl Reference {
    /// What stands there; anything if nothing does.
    pub(super) fn resolve(&self) -> Type {
        self.read(HOPS)
    }

    fn read(&self, hops: u8) -> Type {
        let reader = Reader { root: &self.root, hops };
        self.root.pointer(&self.pointer).map_or(Type::any(), |schema| reader.read(schema))
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.pointer)
    }
}

impl Type {
    /// What a JSON Schema (draft 2020-12) allows.
    pub fn of_schema(schema: &Value) -> Self {
        Reader { root: &Arc::new(schema.clone()), hops: HOPS }.read(schema)
    }

    /// What both allow. Where that is hard to say it is what one of them allows, which is never too little.
    fn meet(self, other: Self, hops: u8) -> Self {
        match (self.0, other.0) {
            (Shape::Any, shape) | (shape, Shape::Any) => Self(shape),
            (a, b) if a == b => Self(a),
            (Shape::Ref(_), shape) | (shape, Shape::Ref(_)) if hops == 0 => Self(shape),
            (Shape::Ref(reference), shape) | (shape, Shape::Ref(reference)) => {
                reference.read(hops - 1).meet(Self(shape), hops - 1)
            }
            (Shape::Union(alternatives), shape) | (shape, Shape::Union(alternatives)) => {
                if alternatives.len() * Self(shape.clone()).alternatives().len() > MAX_ALTERNATIVES {
                    return Self(Shape::Union(alternatives));
                }
                Self::union(alternatives.into_iter().map(|kind| kind.meet(Self(shape.clone()), hops)))
            }
            (Shape::Scalar(a), Shape::Scalar(b)) if a.contains(b) => Self(Shape::Scalar(b)),
            (Shape::Scalar(a), Shape::Scalar(b)) if b.contains(a) => Self(Shape::Scalar(a)),
            (Shape::OneOf(mut values), Shape::Scalar(scalar))
            | (Shape::Scalar(scalar), Shape::OneOf(mut values)) => {
                values.retain(|value| scalar.accepts(value));
                Self::one_of(values)
            }
            (Shape::OneOf(mut values), Shape::OneOf(others)) => {
                values.retain(|value| others.iter().any(|other| same(value, other)));
                Self::one_of(values)
            }
            (Shape::List(a), Shape::List(b)) => Self::list(a.meet(&b, hops)),
            (Shape::Map(a), Shape::Map(b)) => Self(Shape::Map(Box::new(a.meet(&b, hops)))),
            _ => Self::never(),
        }
    }

    fn one_of(values: Vec<Value>) -> Self {
        let (scalars, others): (Vec<_>, Vec<_>) = values.into_iter().partition(|v| Scalar::of(v).is_some());
        let scalars = (!scalars.is_empty()).then_some(Self(Shape::OneOf(scalars)));
        Self::union(scalars.into_iter().chain(others.iter().map(Self::of_value)))
    }
}

impl Scalar {
    pub(super) fn accepts(self, value: &Value) -> bool {
        Self::of(value).is_some_and(|scalar| self.contains(scalar))
    }
}

/// Whether two scalars are the same to JSON Schema, to which 1 is 1.0.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && (a.is_f64() != b.is_f64()) && a.as_f64() == b.as_f64())
}

impl List {
    fn meet(&self, other: &Self, hops: u8) -> Self {
        let both = |a: &Type, b: &Type| a.clone().meet(b.clone(), hops);
        let first =
            (0..self.first.len().max(other.first.len())).map(|i| both(self.get(i), other.get(i))).collect();
        Self { first, rest: both(&self.rest, &other.rest), min: self.min.max(other.min) }
    }
}

impl Map {
    fn meet(&self, other: &Self, hops: u8) -> Self {
        let both = |a: &Type, b: &Type| a.clone().meet(b.clone(), hops);
        let entry = |name: &String| Entry {
            kind: both(self.get(name), other.get(name)),
            required: self.requires(name) || other.requires(name),
        };
        let names = self.fields.keys().chain(other.fields.keys());
        let fields: BTreeMap<_, _> = names.map(|name| (name.clone(), entry(name))).collect();
        Self { fields, rest: both(&self.rest, &other.rest) }
    }
}

/// Reads the parts of one schema.
struct Reader<'a> {
    root: &'a Arc<Value>,
    hops: u8,
}

impl Reader<'_> {
    fn read(&self, schema: &Value) -> Type {
        let Value::Object(keywords) = schema else {
            return if *schema == Value::Bool(false) { Type::never() } else { Type::any() };
        };
        let mut parts = vec![self.typed(keywords)];
        if let Some(Value::String(to)) = keywords.get("$ref") {
            parts.push(self.reference(to));
        }
        if let Some(Value::Array(values)) = keywords.get("enum") {
            parts.push(Type::one_of(values.clone()));
        }
        if let Some(value) = keywords.get("const") {
            parts.push(Type::one_of(vec![value.clone()]));
        }
        for keyword in ["anyOf", "oneOf"] {
            let branches = self.list(keywords, keyword);
            if !branches.is_empty() {
                parts.push(Type::union(branches));
            }
        }
        parts.extend(self.list(keywords, "allOf"));
        parts.into_iter().fold(Type::any(), |whole, part| whole.meet(part, self.hops))
    }

    fn list(&self, keywords: &Keywords<String, Value>, keyword: &str) -> Vec<Type> {
        let schemas = keywords.get(keyword).and_then(Value::as_array);
        schemas.into_iter().flatten().map(|schema| self.read(schema)).collect()
    }

    fn reference(&self, to: &str) -> Type {
        match to.strip_prefix('#') {
            Some(pointer) => {
                Type(Shape::Ref(Reference { root: Arc::clone(self.root), pointer: pointer.to_owned() }))
            }
            None => Type::any(),
        }
    }

    /// What `type` and the keywords for maps and lists say. Without `type` those only bind maps and lists.
    fn typed(&self, keywords: &Keywords<String, Value>) -> Type {
        let names = match keywords.get("type") {
            Some(Value::String(name)) => vec![name.as_str()],
            Some(Value::Array(names)) => names.iter().map(|name| name.as_str().unwrap_or_default()).collect(),
            _ if STRUCTURAL.iter().any(|keyword| keywords.contains_key(*keyword)) => {
                vec!["null", "boolean", "string", "number", "array", "object"]
            }
            _ => return Type::any(),
        };
        Type::union(names.into_iter().map(|name| match name {
            "null" => Type(Shape::Scalar(Scalar::Null)),
            "boolean" => Type(Shape::Scalar(Scalar::Boolean)),
            "string" => Type::text(),
            "integer" => Type::integer(),
            "number" => Type(Shape::Scalar(Scalar::Number)),
            "array" => self.array(keywords),
            "object" => self.object(keywords),
            _ => Type::any(),
        }))
    }

    fn array(&self, keywords: &Keywords<String, Value>) -> Type {
        let rest = keywords.get("items").map_or(Type::any(), |schema| self.read(schema));
        let min = keywords.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        let min = usize::try_from(min).unwrap_or(usize::MAX);
        Type::list(List { first: self.list(keywords, "prefixItems"), rest, min })
    }

    fn object(&self, keywords: &Keywords<String, Value>) -> Type {
        let rest = match keywords.get("additionalProperties") {
            // Names of a pattern are no additional ones.
            Some(schema) if !keywords.contains_key("patternProperties") => self.read(schema),
            _ => Type::any(),
        };
        let properties = keywords.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut fields: BTreeMap<_, _> = properties
            .map(|(name, schema)| (name.clone(), Entry { kind: self.read(schema), required: false }))
            .collect();
        let required = keywords.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            let free = || Entry { kind: rest.clone(), required: true };
            fields.entry(name.to_owned()).or_insert_with(free).required = true;
        }
        Type(Shape::Map(Box::new(Map { fields, rest })))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_of_merges_its_parts() {
        let defs =
            json!({"Base": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}});
        for (all_of, merged) in [
            (json!([{}, {"type": "string"}]), json!({"type": "string"})),
            (json!([{"type": "number"}, {"type": "integer"}]), json!({"type": "integer"})),
            (json!([{"type": ["string", "null"]}, {"type": ["integer", "null"]}]), json!({"type": "null"})),
            (json!([{"type": "integer"}, {"enum": ["a", 1, 1.5]}]), json!({"enum": [1]})),
            (json!([{"enum": [1, 2]}, {"const": 2.0}]), json!({"enum": [2]})),
            (json!([{"type": "string"}, {"type": "integer"}]), json!(false)),
            (
                json!([{"$ref": "#/$defs/Base"}, {"type": "object", "properties": {"a": {"type": "integer"}}}]),
                json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}),
            ),
            (
                json!([
                    {"type": "object", "properties": {"a": {}}, "additionalProperties": false},
                    {"type": "object", "properties": {"b": {}}},
                ]),
                json!({
                    "type": "object", "properties": {"a": {}, "b": false}, "additionalProperties": false
                }),
            ),
        ] {
            let whole = Type::of_schema(&json!({"allOf": all_of, "$defs": defs}));
            assert_eq!(whole, Type::of_schema(&merged), "{all_of}");
        }
    }

    #[test]
    fn what_is_not_understood_is_anything() {
        for schema in [
            json!(null),
            json!(true),
            json!({}),
            json!("string"),
            json!({"type": "date"}),
            json!({"format": "uuid", "pattern": "^a$", "not": {"type": "null"}}),
            json!({"anyOf": []}),
            json!({"anyOf": [{"type": "string"}, {}]}),
            json!({"$ref": "https://example.org/schema.json"}),
        ] {
            assert_eq!(Type::of_schema(&schema), Type::any(), "{schema}");
        }
        for schema in [
            json!({"$ref": "#/$defs/Lost"}),
            json!({"$ref": "#"}),
            json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}),
            json!({"allOf": [{"$ref": "#"}, {"allOf": [{"$ref": "#"}, {"$ref": "#/allOf/1"}]}]}),
        ] {
            for value in [json!("a"), json!({"a": 1})] {
                assert_eq!(Type::of_schema(&schema).mismatches(&Type::of_value(&value)), [], "{schema}");
            }
        }
    }

    #[test]
    fn an_all_of_of_many_unions_stays_small() {
        let union = |i: u32| json!({"anyOf": (0..20).map(|j| json!({"const": i + j})).collect::<Vec<_>>()});
        let all_of: Vec<_> = (0..20).map(union).collect();
        let whole = Type::of_schema(&json!({"allOf": all_of}));
        assert!(whole.alternatives().len() <= MAX_ALTERNATIVES);
    }
}
