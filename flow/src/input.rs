//! The input of one call, as it is written on the command line: JSON, and single fields besides. It is checked
//! against a schema before anything is submitted, and each problem says where it stands.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};

use crate::diagnostic::{Problem, Problems, Source, did_you_mean};
use crate::types::{Mismatch, MismatchKind, Type};
use crate::yaml::{self, Kind, Node};

/// An input, with the places that its values come from.
#[derive(Debug)]
pub struct Input {
    value: Value,
    /// By path: names of fields and positions of items, from the outside.
    places: BTreeMap<Vec<String>, Place>,
}

/// Where a value stands.
#[derive(Debug, Clone)]
struct Place {
    source: Source,
    /// The name of the field; of an item: the item.
    name: Range<usize>,
    value: Range<usize>,
}

impl Input {
    /// An input without any field.
    pub fn empty(command: &str) -> Self {
        let source = Source::new("the command line", command);
        let at = 0..command.len();
        let place = Place { source, name: at.clone(), value: at };
        Self { value: Value::Object(Map::new()), places: [(Vec::new(), place)].into() }
    }

    /// Reads a JSON object.
    pub fn parse(source: &Source) -> Result<Self, Problem> {
        let value: Value = crate::data::json(source)?;
        if !value.is_object() {
            let problem = Problem::new(source, 0..source.text().len(), "an input is a JSON object");
            return Err(problem.help("write it as {\"name\": value, …}, with the names of the parameters"));
        }
        let mut input = Self { value, places: BTreeMap::new() };
        let all = 0..source.text().len();
        let whole = Place { source: source.clone(), name: all.clone(), value: all };
        input.places.insert(Vec::new(), whole);
        // What YAML reads differently keeps its value, and loses only its place.
        if let Ok(node) = yaml::parse(source) {
            input.find_places(source, &mut Vec::new(), node.at.clone(), &node);
        }
        Ok(input)
    }

    fn find_places(&mut self, source: &Source, path: &mut Vec<String>, name: Range<usize>, node: &Node) {
        self.places.insert(path.clone(), Place { source: source.clone(), name, value: node.at.clone() });
        let mut step = |name: String, at: &Range<usize>, inner: &Node| {
            path.push(name);
            self.find_places(source, path, at.clone(), inner);
            path.pop();
        };
        match &node.kind {
            Kind::Map(fields) => fields.iter().for_each(|(key, v)| step(key.name.clone(), &key.at, v)),
            Kind::List(items) => items.iter().enumerate().for_each(|(n, v)| step(n.to_string(), &v.at, v)),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {}
        }
    }

    /// Sets a field by `name=value`, or one inside by `host.name=value`. The value is JSON where the schema
    /// takes that, else text.
    pub fn set(&mut self, text: &str, schema: &Value) -> Result<(), Problem> {
        let source = Source::new("--set", text);
        let all = 0..text.len();
        let Some((name, given)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            let problem = Problem::new(&source, all, "this sets nothing");
            return Err(problem.help("write it as --set NAME=VALUE, or --set OUTER.INNER=VALUE"));
        };
        let path: Vec<String> = name.split('.').map(str::to_owned).collect();
        let mut place = |value: Value| {
            let mut whole = self.value.clone();
            put(&mut whole, &path, value).then_some(whole)
        };
        let as_text = place(Value::String(given.to_owned()));
        let as_json = serde_json::from_str(given).ok().and_then(&mut place);
        let fits = |whole: &Value| {
            let wrong = Type::of_schema(schema).mismatches(&Type::of_value(whole));
            !wrong.iter().any(|mismatch| mismatch.path.starts_with(&path))
        };
        let text_only = as_json.is_none() || !as_json.as_ref().is_some_and(fits);
        let chosen = match text_only && as_text.as_ref().is_some_and(fits) {
            true => as_text,
            false => as_json.or(as_text),
        };
        self.value = chosen.ok_or_else(|| {
            let problem =
                Problem::new(&source, 0..name.len(), format!("{name} is inside of what is no object"));
            problem.help("set the outer field to an object, or name another one")
        })?;
        let place = Place { source, name: 0..name.len(), value: name.len() + 1..text.len() };
        self.places.retain(|known, _| !known.starts_with(&path));
        self.places.insert(path, place);
        Ok(())
    }

    /// Whether a schema takes it; `what` is what the schema is of.
    pub fn check(&self, what: &str, schema: &Value) -> Result<(), Problems> {
        let wrong = Type::of_schema(schema).mismatches(&Type::of_value(&self.value));
        Problems::from_list(wrong.iter().map(|mismatch| self.problem(what, mismatch)).collect())
    }

    /// The input.
    pub fn value(self) -> Value {
        self.value
    }

    fn problem(&self, what: &str, mismatch: &Mismatch) -> Problem {
        let path = &mismatch.path;
        // The value itself, or the nearest around it whose place is known.
        let known = (0..=path.len()).rev().find_map(|depth| Some((depth, self.places.get(&path[..depth])?)));
        let (depth, place) = known.expect("the whole has a place");
        let name = shown(path);
        match &mismatch.kind {
            MismatchKind::Missing { expected } => {
                let problem =
                    Problem::new(&place.source, place.value.clone(), format!("{what} needs {name}"));
                let last = path.last().map_or("", String::as_str);
                problem.label(format!("without {last}")).help(format!("add {last}, {expected}"))
            }
            MismatchKind::Unknown { known } => {
                let at = if depth == path.len() { &place.name } else { &place.value };
                let problem = Problem::new(&place.source, at.clone(), format!("{what} takes no {name}"));
                let last = path.last().map_or("", String::as_str);
                let near = did_you_mean(last, known.iter().map(String::as_str));
                problem.label("unknown").help(near.unwrap_or_else(|| match known.is_empty() {
                    true => "it takes nothing here".to_owned(),
                    false => format!("it takes {}", known.join(", ")),
                }))
            }
            MismatchKind::Type { expected, got } => {
                let message = format!("{name}: expected {expected}, got {got}");
                let problem = Problem::new(&place.source, place.value.clone(), message);
                problem.label(format!("expected {expected}"))
            }
        }
    }
}

/// Puts a value at a path; whether that is possible.
fn put(whole: &mut Value, path: &[String], value: Value) -> bool {
    let Some((name, inner)) = path.split_first() else {
        *whole = value;
        return true;
    };
    if whole.is_null() {
        *whole = Value::Object(Map::new());
    }
    match whole {
        Value::Object(fields) => put(fields.entry(name.clone()).or_insert(Value::Null), inner, value),
        Value::Array(items) => {
            let item = name.parse().ok().and_then(|at: usize| items.get_mut(at));
            item.is_some_and(|item| put(item, inner, value))
        }
        _ => false,
    }
}

/// `apps[0].name`
fn shown(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            text.push_str(&format!("[{part}]"));
        } else {
            text.push_str(if text.is_empty() { "" } else { "." });
            text.push_str(part);
        }
    }
    if text.is_empty() { "the input".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        let host = json!({"type": "object", "properties": {"name": {"type": "string"}, "cpus": {"type": "integer"}},
            "required": ["name"], "additionalProperties": false});
        json!({"type": "object", "properties": {"hosts": {"type": "array", "items": {"$ref": "#/$defs/Host"}},
            "host": {"$ref": "#/$defs/Host"}, "version": {"type": "string"}, "on": {"type": "boolean"}},
            "additionalProperties": false, "required": [], "$defs": {"Host": host}})
    }

    fn said(text: &str) -> Vec<(String, String)> {
        let input = Input::parse(&Source::new("--input", text)).expect("JSON");
        let problems = input.check("t.f", &schema()).expect_err("it does not fit");
        problems.iter().map(|problem| (problem.place(), problem.to_string())).collect()
    }

    #[test]
    fn what_does_not_fit_is_said_where_it_stands() {
        let place = |text: &str, at: &str| format!("--input:1:{}", text.find(at).expect("there") + 1);
        let text = r#"{"hosts": [{"name": "a"}, {"name": 7}]}"#;
        assert_eq!(said(text), [(place(text, "7"), "hosts[1].name: expected a text, got 7".to_owned())]);
        let text = r#"{"host": {"cpus": 2}}"#;
        assert_eq!(said(text), [(place(text, "{\"cpus"), "t.f needs host.name".to_owned())]);
        let text = r#"{"vresion": "1"}"#;
        assert_eq!(said(text), [(place(text, "\"vresion"), "t.f takes no vresion".to_owned())]);
    }

    #[test]
    fn what_is_no_json_object_is_refused_with_its_place() {
        for (text, place, message) in [
            ("{\"a\": }", "--input:1:7", "this is not JSON: expected value"),
            ("[1]", "--input:1:1", "an input is a JSON object"),
        ] {
            let problem = Input::parse(&Source::new("--input", text)).expect_err(text);
            assert_eq!((problem.place().as_str(), problem.to_string().as_str()), (place, message));
        }
    }

    #[test]
    fn a_field_is_json_where_the_schema_takes_that_and_text_elsewhere() {
        let mut input = Input::empty("t.f");
        for text in ["version=1.10", "on=true", "host.name=web-1", "host.cpus=4", "hosts=[{\"name\": \"a\"}]"]
        {
            input.set(text, &schema()).expect(text);
        }
        input.check("t.f", &schema()).expect("it fits");
        input.set("hosts.0.name=b", &schema()).expect("an item");
        let expected = json!({"version": "1.10", "on": true, "host": {"name": "web-1", "cpus": 4},
            "hosts": [{"name": "b"}]});
        assert_eq!(input.value, expected);
        input.set("on=maybe", &schema()).expect("it is set, and refused by the check");
        let problems = input.check("t.f", &schema()).expect_err("no boolean");
        assert_eq!(problems.iter().next().expect("one").place(), "--set:1:4");
        assert!(input.set("on.x=1", &schema()).is_err() && input.set("on", &schema()).is_err());
    }
}
