//! What fits what, as properties of generated schemas and values.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::told;
use super::{Item, MismatchKind, Type};

/// Schemas whose values `value_of` can make.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        proptest::sample::select(vec!["string", "integer", "number", "boolean", "null"])
            .prop_map(|name| json!({"type": name})),
        vec(literals(), 1..4).prop_map(|values| json!({"enum": values})),
        Just(json!({})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let required = any::<proptest::sample::Index>();
        prop_oneof![
            (inner.clone(), 0..3u32)
                .prop_map(|(i, min)| json!({"type": "array", "items": i, "minItems": min})),
            vec(inner.clone(), 0..3).prop_map(
                |list| json!({"type": "array", "minItems": list.len(), "prefixItems": list, "items": false})
            ),
            vec(inner.clone(), 1..4).prop_map(|list| json!({"anyOf": list})),
            inner.clone().prop_map(|i| json!({"allOf": [i]})),
            (btree_map("[a-d]", inner.clone(), 0..4), required, prop_oneof![Just(json!(false)), inner])
                .prop_map(|(fields, required, rest)| {
                    let names: Vec<_> = fields.keys().cloned().collect();
                    let required =
                        &names[..if names.is_empty() { 0 } else { required.index(names.len()) + 1 }];
                    json!({
                        "type": "object", "properties": fields, "required": required,
                        "additionalProperties": rest,
                    })
                }),
        ]
    })
}

fn literals() -> BoxedStrategy<Value> {
    prop_oneof![
        "[a-c]{0,2}".prop_map(Value::from),
        (-3..3i64).prop_map(Value::from),
        (-6..6i32).prop_map(|n| json!(f64::from(n) / 2.0)),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ]
    .boxed()
}

/// Values that a schema allows.
fn value_of(schema: &Value) -> BoxedStrategy<Value> {
    let list = |key: &str| schema[key].as_array().cloned().unwrap_or_default();
    if let Some(inner) = list("allOf").first() {
        return value_of(inner);
    }
    if !list("anyOf").is_empty() {
        return proptest::sample::select(list("anyOf")).prop_flat_map(|branch| value_of(&branch)).boxed();
    }
    if !list("enum").is_empty() {
        return proptest::sample::select(list("enum")).boxed();
    }
    match schema["type"].as_str() {
        Some("string") => "[a-c]{0,2}".prop_map(Value::from).boxed(),
        Some("integer") => (-3..3i64).prop_map(Value::from).boxed(),
        Some("number") => (-6..6i32).prop_map(|n| json!(f64::from(n) / 2.0)).boxed(),
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("null") => Just(Value::Null).boxed(),
        Some("array") => match schema["items"] == json!(false) {
            true => {
                list("prefixItems").iter().map(value_of).collect::<Vec<_>>().prop_map(Value::from).boxed()
            }
            false => {
                let min = usize::try_from(schema["minItems"].as_u64().unwrap_or(0)).expect("small");
                vec(value_of(&schema["items"]), min..min + 3).prop_map(Value::from).boxed()
            }
        },
        Some("object") => object_of(schema),
        _ => literals(),
    }
}

fn object_of(schema: &Value) -> BoxedStrategy<Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let fields = schema["properties"].as_object().cloned().unwrap_or_default().into_iter();
    let fields: Vec<_> = fields
        .map(|(name, inner)| {
            let always = required.contains(&json!(name));
            (value_of(&inner), any::<bool>())
                .prop_map(move |(v, here)| (here || always).then(|| (name.clone(), v)))
        })
        .collect();
    let rest = match &schema["additionalProperties"] {
        Value::Bool(false) => Just(None).boxed(),
        inner => proptest::option::of(value_of(inner)).boxed(),
    };
    (fields, rest)
        .prop_map(|(fields, rest)| {
            let rest = rest.map(|value| ("rest".to_owned(), value));
            Value::Object(fields.into_iter().flatten().chain(rest).collect())
        })
        .boxed()
}

fn schemas_and_values() -> impl Strategy<Value = (Value, Vec<Value>)> {
    schemas().prop_flat_map(|schema| {
        let values = vec(value_of(&schema), 1..40);
        (Just(schema), values)
    })
}

proptest! {
    #[test]
    fn what_a_schema_allows_never_mismatches_it((schema, values) in schemas_and_values()) {
        let want = Type::of_schema(&json!({"$ref": "#/$defs/Own", "$defs": {"Own": schema}}));
        for value in &values {
            let given = Type::of_value(value);
            prop_assert_eq!(told(&want, &given), [""; 0], "{}", value);
            prop_assert_eq!(told(&given, &want), [""; 0], "{}", value);
        }
        let rows = Type::of_value(&Value::from(values));
        let list = Type::of_schema(&json!({"type": "array", "items": schema}));
        prop_assert_eq!(told(&list, &rows), [""; 0]);
    }

    #[test]
    fn merged_rows_fit_what_one_of_them_fits((schema, values) in schemas_and_values(), other in literals()) {
        let want = Type::of_schema(&schema);
        let mut rows = values.clone();
        rows.extend(vec![other; 20]);
        if let Item::Known(row) = Type::of_value(&Value::from(rows)).item() {
            prop_assert_eq!(told(&want, &row), [""; 0]);
        }
    }

    #[test]
    fn a_value_of_another_kind_is_refused_as_a_whole(a in 0..6usize, b in 0..6usize, text in "[a-c]*") {
        let names = ["string", "number", "boolean", "null", "array", "object"];
        let values = [json!(text), json!(1), json!(true), json!(null), json!([text]), json!({"a": text})];
        let found = Type::of_schema(&json!({"type": names[a]})).mismatches(&Type::of_value(&values[b]));
        if a == b {
            prop_assert_eq!(found, []);
        } else {
            prop_assert_eq!(found.len(), 1);
            let of_type = matches!(found[0].kind, MismatchKind::Type { .. });
            prop_assert!(found[0].path.is_empty() && of_type);
        }
    }
}
