//! `[[function]]`: an executable that is a function.

use std::ops::Range;
use std::time::Duration;

use rfx_schemas::name::{Function, Queue, Version};
use rfx_schemas::rules::Retry;
use rfx_schemas::verdict::OutcomeKind;
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::reader::{Node, Reader};

const KEYS: [&str; 13] = [
    "name", "version", "exec", "doc", "tags", "owner", "timeout", "queue", "secrets", "retry", "input",
    "output", "examples",
];
const RETRY_KEYS: [&str; 4] = ["max_attempts", "backoff", "max_backoff", "on"];

/// An executable as its pool declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// Its dotted name.
    pub name: Function,
    /// Its version.
    pub version: Version,
    /// The program and its arguments; never empty.
    pub exec: Vec<String>,
    /// Its documentation.
    pub doc: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Longest time that an attempt may run.
    pub timeout: Option<Duration>,
    /// The lane that its jobs take.
    pub queue: Queue,
    /// Names of secrets that it needs.
    pub secrets: Vec<String>,
    /// When it is tried again.
    pub retry: Option<Retry>,
    /// JSON Schema of its input.
    pub input: Value,
    /// JSON Schema of its output.
    pub output: Value,
    /// Inputs that its author shows.
    pub examples: Vec<Value>,
    /// Its program's place in the file, in bytes.
    pub at: Range<usize>,
    /// Its line in the file.
    pub line: usize,
}

/// Every function of a manifest.
pub(super) fn all(reader: &mut Reader<'_>, table: &DeTable<'_>, owner: Option<&str>) -> Vec<Declared> {
    let Some(value) = table.get("function") else { return Vec::new() };
    if !value.get_ref().is_array() {
        let help = "write it with two brackets: [[function]]".to_owned();
        reader.problem(value.span(), "functions are a list of tables", Some(help));
        return Vec::new();
    }
    let read = |reader: &mut Reader<'_>, value: &Node<'_>| one(reader, value, owner);
    let functions = reader.list(value, read).unwrap_or_default();
    for (nth, function) in functions.iter().enumerate() {
        let same = |f: &&Declared| f.name == function.name && f.version == function.version;
        if let Some(first) = functions[..nth].iter().find(same) {
            let message = format!(
                "{} version {} is declared twice, first in line {}",
                function.name, function.version, first.line
            );
            reader.problem(function.at.clone(), message, Some("give one of them another version".to_owned()));
        }
    }
    functions
}

fn one(reader: &mut Reader<'_>, value: &Node<'_>, owner: Option<&str>) -> Option<Declared> {
    let table = reader.table(value)?;
    reader.keys(table, &KEYS, "a function");
    for key in ["name", "exec"].into_iter().filter(|key| !table.contains_key(*key)) {
        let help = r#"write name = "disks.check" and exec = ["./check.sh"]"#.to_owned();
        reader.problem(value.span(), format!("this function has no {key}"), Some(help));
    }
    let name = reader.get(table, "name", Reader::parsed);
    let exec = reader.get(table, "exec", |r, v| self::exec(r, v, r#"["./check.sh", "--all"]"#));
    let version = reader.get(table, "version", Reader::parsed);
    let at = table.get("exec").map_or_else(|| value.span(), toml::Spanned::span);
    let place = table.get("name").map_or_else(|| value.span(), toml::Spanned::span);
    let rest = Declared {
        // Taken only if name and exec are right; the rest is read all the same, to say what is wrong.
        name: "x".parse().expect("a name"),
        version: version.unwrap_or_else(|| "1".parse().expect("a version")),
        exec: Vec::new(),
        doc: reader.get(table, "doc", Reader::any_text).unwrap_or_default(),
        tags: reader.get(table, "tags", Reader::texts).unwrap_or_default(),
        owner: reader.get(table, "owner", Reader::text).or_else(|| owner.map(str::to_owned)),
        timeout: reader.get(table, "timeout", Reader::duration),
        queue: reader.get(table, "queue", Reader::parsed).unwrap_or_else(Queue::main),
        secrets: reader.get(table, "secrets", secrets).unwrap_or_default(),
        retry: reader.get(table, "retry", retry),
        input: reader.get(table, "input", schema).unwrap_or_default(),
        output: reader.get(table, "output", schema).unwrap_or_default(),
        examples: reader.get(table, "examples", |r, v| r.list(v, Reader::json)).unwrap_or_default(),
        line: reader.source.position(place.start).0,
        at,
    };
    Some(Declared { name: name?, exec: exec?, ..rest })
}

/// A program and its arguments.
pub(super) fn exec(reader: &mut Reader<'_>, value: &Node<'_>, example: &str) -> Option<Vec<String>> {
    if value.get_ref().is_str() {
        let help = format!("no shell splits it: write {example}");
        reader.problem(value.span(), "a command is a list of the program and its arguments", Some(help));
        return None;
    }
    // Arguments may be empty, the program may not.
    let words = reader.list(value, Reader::any_text)?;
    if words.first().is_none_or(|program| program.trim().is_empty()) {
        let help = format!("write it as {example}");
        reader.problem(value.span(), "this command names no program", Some(help));
        return None;
    }
    Some(words)
}

/// Names that an environment variable can end with.
fn secrets(reader: &mut Reader<'_>, value: &Node<'_>) -> Option<Vec<String>> {
    let names = reader.placed_texts(value)?;
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for name in names.iter().filter(|name| !name.value.chars().all(valid)) {
        let help = "use letters, digits and underscores, such as API_TOKEN".to_owned();
        reader.problem(name.at.clone(), format!("{:?} is not the name of a secret", name.value), Some(help));
    }
    Some(names.into_iter().map(|name| name.value).collect())
}

fn retry(reader: &mut Reader<'_>, value: &Node<'_>) -> Option<Retry> {
    let table = reader.table(value)?;
    reader.keys(table, &RETRY_KEYS, "retry");
    let mut retry = Retry::default();
    match reader.get(table, "max_attempts", |r, v| r.whole(v, 1..=1000)) {
        Some(most) => retry.max_attempts = u32::try_from(most).unwrap_or(1),
        None if table.contains_key("max_attempts") => {}
        None => {
            let help = "write retry = { max_attempts = 3 }".to_owned();
            reader.problem(value.span(), "this retry has no max_attempts", Some(help));
        }
    }
    if let Some(backoff) = reader.get(table, "backoff", Reader::duration) {
        retry.backoff = backoff;
    }
    if let Some(longest) = reader.get(table, "max_backoff", Reader::duration) {
        retry.max_backoff = longest;
    }
    if let Some(on) = reader.get(table, "on", |r, v| r.list(v, kind)) {
        retry.on = on;
    }
    Some(retry)
}

fn kind(reader: &mut Reader<'_>, value: &Node<'_>) -> Option<OutcomeKind> {
    match reader.text(value)?.as_str() {
        "failed" => Some(OutcomeKind::Failed),
        "error" => Some(OutcomeKind::Error),
        other => {
            let help = "use failed, error or both".to_owned();
            reader.problem(value.span(), format!("{other:?} is not tried again"), Some(help));
            None
        }
    }
}

/// A JSON Schema as a table, or the file that holds it.
fn schema(reader: &mut Reader<'_>, value: &Node<'_>) -> Option<Value> {
    let DeValue::String(file) = value.get_ref() else {
        return match value.get_ref() {
            DeValue::Table(_) => reader.json(value),
            _ => {
                let help = r#"write { type = "object", … } or "schema.json""#.to_owned();
                reader.problem(value.span(), "a JSON Schema is a table or the name of a file", Some(help));
                None
            }
        };
    };
    let path = reader.folder.join(file.as_ref());
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    let read = text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
    match read {
        Ok(schema @ (Value::Object(_) | Value::Bool(_))) => Some(schema),
        Ok(_) => {
            reader.problem(value.span(), format!("{} holds no JSON Schema", path.display()), None);
            None
        }
        Err(error) => {
            reader.problem(value.span(), format!("{} cannot be read: {error}", path.display()), None);
            None
        }
    }
}
