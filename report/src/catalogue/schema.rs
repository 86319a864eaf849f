//! What a JSON Schema says, for people: its fields as rows, its types as words, and an input that it takes.

use serde_json::{Map, Value, json};

/// How deep fields of fields are shown, and examples made.
const MAX_DEPTH: usize = 4;
/// Longest list of allowed values in a type's words.
const MAX_VALUES: usize = 8;

/// A field of an input or output.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// `host`, or inside of it `host.name`; `hosts[].name` for the items of a list.
    pub name: String,
    /// `string`, `Host`, `array of Host`.
    pub kind: String,
    /// Whether it must be given.
    pub required: bool,
    /// What it is without being given.
    pub default: Option<Value>,
    /// In the author's words.
    pub description: String,
}

/// The fields that a schema names, each followed by those inside.
pub fn rows(schema: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    add_rows(schema, schema, "", &mut Vec::new(), &mut rows);
    rows
}

fn add_rows(root: &Value, schema: &Value, prefix: &str, above: &mut Vec<String>, rows: &mut Vec<Row>) {
    let schema = resolve(root, schema);
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // Those that must be given first, in the author's order.
    let mut fields: Vec<_> = properties.iter().collect();
    let rank = |name: &str| required.iter().position(|one| *one == name).unwrap_or(required.len());
    fields.sort_by_key(|(name, _)| rank(name));
    for (name, field) in fields {
        let path = format!("{prefix}{name}");
        let target = resolve(root, field);
        let description = field["description"].as_str().or_else(|| target["description"].as_str());
        rows.push(Row {
            name: path.clone(),
            kind: kind(root, field),
            required: required.contains(&name.as_str()),
            default: field.get("default").cloned(),
            description: description.unwrap_or_default().to_owned(),
        });
        let (inner, path) = match field_of_items(root, field) {
            Some(item) => (item, format!("{path}[].")),
            None => (field, format!("{path}.")),
        };
        // A shape that contains itself is shown once.
        let shape = inner["$ref"].as_str().unwrap_or_default().to_owned();
        if above.len() < MAX_DEPTH && (shape.is_empty() || !above.contains(&shape)) {
            above.push(shape);
            add_rows(root, inner, &path, above, rows);
            above.pop();
        }
    }
}

fn field_of_items<'a>(root: &'a Value, field: &'a Value) -> Option<&'a Value> {
    let field = resolve(root, field);
    field.get("items").filter(|items| items.is_object())
}

/// The schema that a reference names.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..MAX_DEPTH {
        let named = schema["$ref"].as_str().and_then(|to| root.pointer(to.strip_prefix('#')?));
        let Some(named) = named else { return schema };
        schema = named;
    }
    schema
}

/// The type in words: `integer or null`, `array of Host`, `"linux" or "windows"`.
pub fn kind(root: &Value, schema: &Value) -> String {
    words(root, schema, MAX_DEPTH)
}

fn words(root: &Value, schema: &Value, depth: usize) -> String {
    let Some(keywords) = schema.as_object().filter(|_| depth > 0) else { return "any".to_owned() };
    if let Some(name) = name_of(schema) {
        return name.to_owned();
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(Value::Array(all)) = keywords.get(keyword) {
            return joined(all.iter().map(|one| words(root, one, depth - 1)));
        }
    }
    if let Some(value) = keywords.get("const") {
        return value.to_string();
    }
    if let Some(Value::Array(values)) = keywords.get("enum") {
        let shown = values.iter().take(MAX_VALUES).map(Value::to_string);
        let more = (values.len() > MAX_VALUES).then(|| "…".to_owned());
        return joined(shown.chain(more));
    }
    match keywords.get("type") {
        Some(Value::String(kind)) => one_type(root, keywords, kind, depth),
        Some(Value::Array(kinds)) => {
            joined(kinds.iter().filter_map(Value::as_str).map(|kind| one_type(root, keywords, kind, depth)))
        }
        _ if keywords.contains_key("properties") => "object".to_owned(),
        _ => "any".to_owned(),
    }
}

fn one_type(root: &Value, keywords: &Map<String, Value>, kind: &str, depth: usize) -> String {
    let inner = |keyword: &str| keywords.get(keyword).filter(|inner| inner.is_object());
    match (kind, inner("items"), inner("additionalProperties")) {
        ("array", Some(items), _) => format!("array of {}", words(root, items, depth - 1)),
        ("object", _, Some(values)) if !keywords.contains_key("properties") => {
            format!("object of {}", words(root, values, depth - 1))
        }
        ("string", ..) => keywords.get("format").and_then(Value::as_str).unwrap_or(kind).to_owned(),
        _ => kind.to_owned(),
    }
}

fn joined(words: impl Iterator<Item = String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for word in words {
        if !distinct.contains(&word) {
            distinct.push(word);
        }
    }
    distinct.join(" or ")
}

/// The name of a shape: what a reference ends with, else its title.
fn name_of(schema: &Value) -> Option<&str> {
    let referred =
        schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()).filter(|name| !name.is_empty());
    referred.or_else(|| schema["title"].as_str().filter(|_| schema["type"] == "object"))
}

/// Whether an input has a field of a type, at any depth: `Host`, `string`, `array`, `date`; or one of that name.
pub fn takes(schema: &Value, wanted: &str) -> bool {
    let mut seen = Vec::new();
    let properties = resolve(schema, schema)["properties"].as_object();
    properties
        .into_iter()
        .flatten()
        .any(|(name, field)| name.eq_ignore_ascii_case(wanted) || is_of(schema, field, wanted, &mut seen))
}

fn is_of<'a>(root: &'a Value, schema: &'a Value, wanted: &str, seen: &mut Vec<&'a str>) -> bool {
    let fits = |text: Option<&str>| text.is_some_and(|text| text.eq_ignore_ascii_case(wanted));
    if fits(name_of(schema)) || fits(schema["title"].as_str()) || fits(schema["format"].as_str()) {
        return true;
    }
    let kinds = &schema["type"];
    if fits(kinds.as_str()) || kinds.as_array().is_some_and(|all| all.iter().any(|kind| fits(kind.as_str())))
    {
        return true;
    }
    if let Some(to) = schema["$ref"].as_str() {
        if seen.contains(&to) {
            return false;
        }
        seen.push(to);
        return is_of(root, resolve(root, schema), wanted, seen);
    }
    let lists = ["anyOf", "oneOf", "allOf", "prefixItems"];
    let inner = lists.into_iter().filter_map(|keyword| schema[keyword].as_array()).flatten();
    let inner = inner.chain(["items", "additionalProperties"].into_iter().map(|keyword| &schema[keyword]));
    let fields = schema["properties"].as_object().into_iter().flat_map(Map::values);
    inner.chain(fields).any(|inner| inner.is_object() && is_of(root, inner, wanted, seen))
}

/// The smallest input that a schema takes: the required fields, each with a value that shows what it is.
pub fn example(schema: &Value) -> Value {
    let made = value(schema, schema, "", MAX_DEPTH + 2);
    if made.is_object() { made } else { json!({}) }
}

fn value(root: &Value, schema: &Value, name: &str, depth: usize) -> Value {
    let schema = resolve(root, schema);
    if depth == 0 {
        return Value::Null;
    }
    for keyword in ["const", "default"] {
        if let Some(value) = schema.get(keyword) {
            return value.clone();
        }
    }
    for keyword in ["examples", "enum"] {
        if let Some(first) = schema[keyword].as_array().and_then(|all| all.first()) {
            return first.clone();
        }
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        if let Some(all) = schema[keyword].as_array() {
            let told = all.iter().find(|one| one["type"] != "null").or(all.first());
            return told.map_or(Value::Null, |one| value(root, one, name, depth - 1));
        }
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.as_str(),
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).find(|k| *k != "null").unwrap_or("null")
        }
        _ if schema.get("properties").is_some() => "object",
        _ => "null",
    };
    of_type(root, schema, kind, name, depth)
}

fn of_type(root: &Value, schema: &Value, kind: &str, name: &str, depth: usize) -> Value {
    match kind {
        "object" => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let field =
                |name: &str| (name.to_owned(), value(root, &schema["properties"][name], name, depth - 1));
            Value::Object(required.map(field).collect())
        }
        "array" => {
            let first = schema["prefixItems"].as_array().into_iter().flatten();
            let mut items: Vec<_> = first.map(|item| value(root, item, name, depth - 1)).collect();
            let least =
                schema["minItems"].as_u64().and_then(|least| usize::try_from(least).ok()).unwrap_or(0);
            while items.len() < least.min(MAX_VALUES) {
                items.push(value(root, &schema["items"], name, depth - 1));
            }
            Value::Array(items)
        }
        "string" => json!(match schema["format"].as_str() {
            Some("date") => "2026-01-31",
            Some("date-time") => "2026-01-31T12:00:00Z",
            Some("time") => "12:00:00",
            Some("uuid") => "0190b5b2-7c1e-7000-8000-000000000001",
            _ if name.is_empty() => "text",
            _ => name,
        }),
        "integer" => schema["minimum"].as_i64().map_or(json!(1), |least| json!(least.max(1))),
        "number" => schema["minimum"].as_f64().map_or(json!(1.5), |least| json!(least.max(1.5))),
        "boolean" => json!(true),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use rfx_flow::types::Type;

    use super::*;
    use crate::catalogue::fixtures::record;

    fn nested() -> Value {
        json!({"type": "object", "required": ["root", "when", "os"], "properties": {
            "root": {"$ref": "#/$defs/Node"},
            "all": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": null},
            "os": {"enum": ["linux", "windows"]},
            "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2},
        }, "$defs": {"Node": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "description": "What people call it"},
            "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}}}})
    }

    #[test]
    fn fields_are_rows_with_those_inside_of_them() {
        let rows = rows(&nested());
        let told: Vec<_> =
            rows.iter().map(|row| (row.name.as_str(), row.kind.as_str(), row.required)).collect();
        let expected = [
            ("root", "Node", true),
            ("root.name", "string", true),
            ("root.next", "Node or null", false),
            ("when", "date or null", true),
            ("os", "\"linux\" or \"windows\"", true),
            ("all", "array of Node", false),
            ("all[].name", "string", true),
            ("all[].next", "Node or null", false),
            ("pair", "array", false),
        ];
        assert_eq!(told, expected);
        assert_eq!(rows[6].description, "What people call it");
    }

    #[test]
    fn an_example_is_taken_by_its_schema() {
        for schema in [nested(), record("t.f", "1", "a", "").input, json!({}), Value::Null] {
            let example = example(&schema);
            let wrong = Type::of_schema(&schema).mismatches(&Type::of_value(&example));
            assert!(wrong.is_empty(), "{example} {wrong:?}");
        }
        let expected = json!({"tenant": "tenant", "host": {}});
        assert_eq!(example(&record("t.f", "1", "a", "").input), expected);
    }

    #[test]
    fn inputs_are_found_by_type_and_by_name() {
        let schema = nested();
        for wanted in ["Node", "node", "array", "date", "string", "os"] {
            assert!(takes(&schema, wanted), "{wanted}");
        }
        for wanted in ["Host", "boolean", "name", ""] {
            assert!(!takes(&schema, wanted), "{wanted}");
        }
    }
}
