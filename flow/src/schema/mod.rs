//! The JSON Schema of the flow format: for editors, which complete, explain and check keys by it.
//!
//! It knows one file: what needs other files or the catalogue is said by `check` and `plan`.

mod table;

use serde_json::{Map, Value, json};

use crate::parse::keys;
use table::Row;

/// Shapes of values, by name.
const DEFINITIONS: &str = include_str!("definitions.json");

/// The schema, draft 2020-12.
pub fn schema() -> Value {
    let mut definitions: Map<String, Value> = serde_json::from_str(DEFINITIONS).expect("it is JSON");
    for (name, title, keys, rows) in maps() {
        let mut map = json!({
            "title": title,
            "type": "object",
            "properties": properties(keys, rows),
            "additionalProperties": false,
        });
        if let (Value::Object(map), Value::Object(rules)) = (&mut map, rules(name)) {
            map.extend(rules);
        }
        definitions.insert(name.to_owned(), map);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:rfx:flow",
        "title": "A flow of rfx",
        "description": "Steps that call functions of pools, with what they are given, expect and wait for. \
                        docs/flows.md tells all about it.",
        "$ref": "#/$defs/flow",
        "$defs": definitions,
    })
}

type Keys = &'static [&'static str];

/// Maps whose keys are fixed: what each is called, its keys, and what is said about them.
fn maps() -> [(&'static str, &'static str, Keys, &'static [Row]); 8] {
    [
        ("flow", "Flow", &keys::FLOW, &table::FLOW),
        ("step", "Step", &keys::STEP, &table::STEP),
        ("defaults", "Defaults", &keys::DEFAULTS, &table::DEFAULTS),
        ("input", "Input", &keys::INPUT, &table::INPUT),
        ("retry", "Retry", &keys::RETRY, &table::RETRY),
        ("polling", "Polling", &keys::UNTIL, &table::UNTIL),
        ("repeat", "Repeat", &keys::REPEAT, &table::REPEAT),
        ("gate", "Gate", &keys::GATE, &table::GATE),
    ]
}

fn properties(keys: Keys, rows: &[Row]) -> Map<String, Value> {
    let row = |key: &&str| rows.iter().find(|row| row.0 == *key);
    keys.iter().filter_map(row).map(|(key, text, name)| ((*key).to_owned(), reference(name, text))).collect()
}

fn reference(name: &str, description: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}"), "description": description })
}

/// What must hold between the keys of a map.
fn rules(map: &str) -> Value {
    let both = |a: &str, b: &str| json!({ "not": { "required": [a, b] } });
    let forbidden = |keys: Vec<&str>| -> Value {
        keys.into_iter().map(|key| (key.to_owned(), Value::Bool(false))).collect::<Map<_, _>>().into()
    };
    match map {
        "flow" => {
            let own = keys::TAKEN_OVER.to_vec();
            json!({
                "required": ["flow"],
                "if": { "required": ["extends"] },
                "then": { "properties": forbidden(own) },
                "else": { "required": ["steps"], "properties": { "steps": { "minProperties": 1 } } },
            })
        }
        "step" => json!({
            "required": ["uses"],
            "allOf": [
                both("each", "matrix"), both("each", "repeat"), both("matrix", "repeat"),
                {
                    "if": { "required": ["batch"] },
                    "then": { "anyOf": [{ "required": ["each"] }, { "required": ["matrix"] }] },
                },
                {
                    "if": { "required": ["until"] },
                    "then": { "properties": { "expect_failure": { "const": false } } },
                },
            ],
        }),
        "polling" => json!({ "required": ["expect"] }),
        "repeat" => json!({ "oneOf": [{ "required": ["count"] }, { "required": ["for"] }] }),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use rfx_schemas::input::InputKind;

    #[test]
    fn every_key_is_in_the_schema_and_the_other_way_round() {
        let schema = schema();
        for (name, _, keys, rows) in maps() {
            let said: Vec<_> = rows.iter().map(|row| row.0).collect();
            let (known, unique): (BTreeSet<_>, BTreeSet<_>) =
                (keys.iter().copied().collect(), said.iter().copied().collect());
            assert_eq!(known, unique, "{name}: flow/src/schema/table.rs has a row for each key of keys.rs");
            assert_eq!(said.len(), unique.len(), "{name}: a key has one row");
            let properties = schema["$defs"][name]["properties"].as_object().expect("properties");
            assert_eq!(properties.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "{name}");
            for (key, property) in properties {
                let text = property["description"].as_str().unwrap_or_default();
                assert!(text.len() > 10 && text.ends_with('.'), "{name}.{key}: what is it for?");
            }
        }
        let matrix = schema["$defs"]["matrix"]["properties"].as_object().expect("properties");
        assert!(matrix.keys().map(String::as_str).eq(["exclude", "include"]) && keys::MATRIX.len() == 2);
        let kinds = InputKind::ALL.map(InputKind::as_str);
        assert_eq!(schema["$defs"]["input_type"]["enum"], json!(kinds));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let schema = schema();
        let (mut open, mut seen) = (vec![&schema], BTreeSet::new());
        while let Some(value) = open.pop() {
            if let Some(Value::String(to)) = value.get("$ref") {
                let name = to.strip_prefix("#/$defs/").expect("references stay inside");
                assert!(schema["$defs"][name].is_object(), "{to}");
                seen.insert(name);
            }
            match value {
                Value::Object(fields) => open.extend(fields.values()),
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
        let all: BTreeSet<_> =
            schema["$defs"].as_object().expect("definitions").keys().map(String::as_str).collect();
        assert_eq!(seen, all, "every definition is used");
    }
}
