//! What fits what, as tables.

use serde_json::{Value, json};

use super::Type;
use crate::model::InputKind;

/// Each mismatch as `path: what`.
pub(super) fn told(want: &Type, given: &Type) -> Vec<String> {
    let mismatches = want.mismatches(given).into_iter();
    mismatches.map(|m| format!("{}: {}", m.path.join("."), m.kind)).collect()
}

fn check(schema: &Value, given: &Type, expected: &[&str]) {
    assert_eq!(told(&Type::of_schema(schema), given), expected, "{schema} given {given}");
}

fn app() -> Value {
    json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "size": {"type": "integer", "default": 1}},
        "required": ["name"],
        "additionalProperties": false,
    })
}

fn check_values(table: &[(&Value, Value, &[&str])]) {
    for (schema, value, expected) in table {
        check(schema, &Type::of_value(value), expected);
    }
}

#[test]
fn scalars_against_schemas() {
    let integer = json!({"type": "integer"});
    let color = json!({"type": "string", "enum": ["red", "blue"]});
    let color = json!({"$ref": "#/$defs/Color", "$defs": {"Color": color}});
    let one = json!({"const": {"a": 1}});
    check_values(&[
        (&integer, json!(3), &[]),
        (&integer, json!(3.0), &[]),
        (&integer, json!(3.5), &[": expected a whole number, got 3.5"]),
        (&integer, json!("x"), &[r#": expected a whole number, got a text "x""#]),
        (&integer, json!(true), &[": expected a whole number, got true"]),
        (&json!({"type": "number"}), json!(3), &[]),
        (&json!({"type": "string", "format": "date"}), json!("no date"), &[]),
        (&json!({"type": "string"}), json!(null), &[": expected a text, got null"]),
        (&json!({"const": 1}), json!(1.0), &[]),
        (&one, json!({"a": 1}), &[]),
        (&one, json!({"a": 2}), &["a: expected 1, got 2"]),
        (&json!({"enum": ["a", null]}), json!(null), &[]),
        (&color, json!("red"), &[]),
        (&color, json!("green"), &[r#": expected one of "red", "blue", got a text "green""#]),
    ]);
}

#[test]
fn maps_against_schemas() {
    let wrong = ["name: expected a text, got 1", r#"size: expected a whole number, got a text "1""#];
    let untyped = json!({"properties": {"a": {"type": "string"}}});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let named = json!({"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": false});
    let without = json!({"type": "object", "properties": {"a": false}});
    check_values(&[
        (&app(), json!({"name": "a"}), &[]),
        (&app(), json!({"size": 1}), &["name: missing, expected a text"]),
        (&app(), json!({"name": "a", "sise": 1}), &["sise: unknown, expected name, size"]),
        (&app(), json!({"name": 1, "size": "1"}), &wrong),
        (&untyped, json!({"b": 1}), &[]),
        (&untyped, json!(1), &[]),
        (&untyped, json!({"a": 1}), &["a: expected a text, got 1"]),
        (&texts, json!({"a": 1}), &["a: expected a text, got 1"]),
        (&named, json!({"x1": 1}), &[]),
        (&without, json!({"a": 1}), &["a: unknown, expected no fields"]),
        (&without, json!({"b": 1}), &[]),
    ]);
}

#[test]
fn lists_against_schemas() {
    let apps = json!({"type": "array", "items": app(), "minItems": 1});
    let pair = json!({
        "type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false,
        "minItems": 2, "maxItems": 2,
    });
    let no_list = ": expected a list of maps with name, size, got a map with name";
    let some_right = Value::from([vec![json!({"name": "a"})], vec![json!({}); 20]].concat());
    check_values(&[
        (&apps, json!([{"name": "a"}, {}]), &["1.name: missing, expected a text"]),
        (&apps, json!([]), &[": expected a list of at least 1 item, got a list of 0 items"]),
        (&apps, json!({"name": "a"}), &[no_list]),
        (&apps, json!(vec![json!({"name": 1}); 99]), &["0.name: expected a text, got 1"]),
        (&apps, some_right, &[]),
        (&pair, json!(["a", 1]), &[]),
        (&pair, json!(["a"]), &[": expected a list of 2 items, got a list of 1 item"]),
        (&pair, json!(["a", 1, 2]), &[": expected a list of 2 items, got a list of 3 items"]),
        (&pair, json!(["a", "b"]), &[r#"1: expected a whole number, got a text "b""#]),
    ]);
}

#[test]
fn unions_against_schemas() {
    let optional = json!({"anyOf": [app(), {"type": "null"}]});
    let either = json!({"anyOf": [app(), {"type": "object", "required": ["id"]}]});
    let neither = ": expected a map with name, size or a map with id, got a map with size";
    let scalar = json!({"oneOf": [{"type": "string"}, {"type": "boolean"}]});
    check_values(&[
        (&optional, json!(null), &[]),
        (&optional, json!({"size": 1}), &["name: missing, expected a text"]),
        (&optional, json!(1), &[": expected a map with name, size or null, got 1"]),
        (&either, json!({"size": 1}), &[neither]),
        (&either, json!({"id": 1, "x": 1}), &[]),
        (&scalar, json!(true), &[]),
        (&scalar, json!(1), &[": expected a text or true or false, got 1"]),
    ]);
}

#[test]
fn types_against_schemas() {
    let fields = |fields: &[(&str, Type)], closed| {
        Type::map(fields.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())), closed)
    };
    let numbers = json!({"type": "object", "additionalProperties": {"type": "integer"}});
    let maybe_sized = json!({
        "type": "object", "properties": {"name": {"type": "string"}, "extra": {}}, "additionalProperties": false
    });
    let table: &[(Value, Type, &[&str])] = &[
        (app(), Type::any(), &[]),
        (app(), Type::never(), &[]),
        (app(), Type::map([], false), &[]),
        (app(), Type::map([], true), &["name: missing, expected a text"]),
        (app(), fields(&[("size", Type::text())], false), &["size: expected a whole number, got a text"]),
        (app(), fields(&[("name", Type::text().nullable())], true), &[]),
        (
            app(),
            fields(&[("name", Type::integer().nullable())], true),
            &["name: expected a text, got a whole number or null"],
        ),
        (app(), fields(&[("host", Type::any())], false), &["host: unknown, expected name, size"]),
        // A map of numbers cannot have the name that is a text.
        (app(), Type::of_schema(&numbers), &["name: expected a text, got a whole number"]),
        // Fields that may not be there do no harm.
        (app(), Type::of_schema(&maybe_sized), &[]),
        (json!({"type": "integer"}), Type::of_schema(&json!({"type": "number"})), &[]),
        (json!({"type": "number"}), Type::integer(), &[]),
        (json!({"type": "string"}), Type::of_schema(&json!({"enum": [1, "a"]})), &[]),
        (
            json!({"type": "string"}),
            Type::of_schema(&json!({"enum": [1, 2]})),
            &[": expected a text, got one of 1, 2"],
        ),
        (json!({"enum": ["a", "b"]}), Type::text(), &[]),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            Type::list_of(Type::integer()),
            &["0: expected a text, got a whole number"],
        ),
        (json!({"type": "array", "items": {"type": "string"}}), Type::of_value(&json!([])), &[]),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            Type::list_of(Type::integer()),
            &["0: expected a text, got a whole number"],
        ),
        (
            json!({"type": "string"}),
            Type::list_of(Type::text()).nullable(),
            &[": expected a text, got a list of texts or null"],
        ),
    ];
    for (schema, given, expected) in table {
        check(schema, given, expected);
    }
}

/// A schema that contains itself in many ways.
fn tree(leaf: &str) -> Value {
    let node = json!({"anyOf": [{"$ref": "#/$defs/Node"}, {"$ref": "#/$defs/Leaf"}]});
    json!({
        "type": "object", "required": ["a", "z"],
        "properties": {"a": {"$ref": "#/$defs/Node"}, "z": {"type": leaf}},
        "$defs": {
            "Leaf": {"type": leaf},
            "Node": {
                "type": "object",
                "properties": {"left": node, "middle": node, "right": node, "value": {"type": leaf}},
                "required": ["left", "middle", "right"],
            },
        },
    })
}

#[test]
fn schemas_that_contain_themselves_are_compared() {
    let (texts, numbers) = (Type::of_schema(&tree("string")), Type::of_schema(&tree("integer")));
    assert_eq!(told(&texts, &texts), [""; 0]);
    assert_eq!(told(&texts, &numbers), ["z: expected a text, got a whole number"]);
    let leaf = json!({"left": 1, "middle": 2, "right": 3});
    let value = json!({"a": {"left": leaf, "middle": leaf, "right": "x"}, "z": 1});
    assert_eq!(
        told(&numbers, &Type::of_value(&value)),
        ["a.right: expected a map with left, middle, right, value or a whole number, got a text \"x\""]
    );
}

#[test]
fn inputs_have_the_types_of_json() {
    for kind in InputKind::ALL {
        let literals = [json!("a"), json!(1), json!(1.5), json!(true), json!([1]), json!({"a": 1})];
        for value in literals {
            let fits = Type::of_kind(kind).mismatches(&Type::of_value(&value)).is_empty();
            assert_eq!(fits, kind.accepts(&value), "{kind:?} {value}");
        }
    }
}
