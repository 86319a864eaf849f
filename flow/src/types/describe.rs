//! Types in words, for messages.

use std::fmt;

use serde_json::Value;

use super::{List, Map, Scalar, Shape, Type};

/// How many names or values are listed.
const MAX_LISTED: usize = 8;

/// How much of a text is shown.
const MAX_CHARS: usize = 40;

/// How deep lists of lists are told.
const MAX_DEPTH: u8 = 3;

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(MAX_DEPTH))
    }
}

impl Type {
    fn words(&self, depth: u8) -> String {
        if depth == 0 {
            return "anything".to_owned();
        }
        let mut words: Vec<String> = Vec::new();
        for alternative in self.alternatives() {
            let new = alternative.plain(depth);
            if new == "anything" {
                return new;
            }
            if !words.contains(&new) {
                words.push(new);
            }
        }
        match words.split_last() {
            None => "nothing".to_owned(),
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
        }
    }

    /// In words, if it is no union or reference.
    fn plain(&self, depth: u8) -> String {
        match &self.0 {
            Shape::Scalar(scalar) => scalar.word().to_owned(),
            Shape::OneOf(values) => match &values[..] {
                [Value::String(text)] => format!("a text {}", quoted(text)),
                [value] => value.to_string(),
                values => format!("one of {}", listed(values.iter().map(value_word))),
            },
            Shape::List(list) => list.words(depth),
            Shape::Map(map) => map.words(depth),
            Shape::Any | Shape::Union(_) | Shape::Ref(_) => "anything".to_owned(),
        }
    }
}

impl Scalar {
    fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "true or false",
            Self::Text => "a text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
        }
    }
}

impl List {
    fn words(&self, depth: u8) -> String {
        match self.max() {
            Some(0) => return "an empty list".to_owned(),
            Some(_) => return self.length(),
            None if !self.first.is_empty() || self.rest.is_any() => return "a list".to_owned(),
            None => {}
        }
        format!("a list{}", of(&self.rest, depth - 1))
    }

    /// In words that tell how long it is.
    pub(super) fn length(&self) -> String {
        let items = |count: usize| if count == 1 { "1 item".to_owned() } else { format!("{count} items") };
        match self.max() {
            Some(max) if max <= self.min => format!("a list of {}", items(max)),
            Some(max) => format!("a list of at most {}", items(max)),
            None => format!("a list of at least {}", items(self.min)),
        }
    }
}

impl Map {
    fn words(&self, depth: u8) -> String {
        let names = listed(self.known());
        match (names.is_empty(), self.rest.is_never()) {
            (false, _) => format!("a map with {names}"),
            (true, true) => "an empty map".to_owned(),
            (true, false) => format!("a map{}", of(&self.rest, depth - 1)),
        }
    }
}

/// ` of texts`
fn of(item: &Type, depth: u8) -> String {
    let words = item.words(depth);
    if words == "anything" {
        return String::new();
    }
    let plural = |noun: &str| {
        let more = words.strip_prefix("a ")?.strip_prefix(noun)?;
        let told_of_all = more.is_empty() || (noun != "text" && more.starts_with(' '));
        told_of_all.then(|| format!(" of {noun}s{more}"))
    };
    let plural = ["text", "number", "whole number", "map", "list"].into_iter().find_map(plural);
    plural.filter(|_| item.alternatives().len() == 1).unwrap_or_else(|| format!(", each {words}"))
}

fn listed(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.take(MAX_LISTED + 1).collect();
    if words.len() > MAX_LISTED {
        words[MAX_LISTED] = "…".to_owned();
    }
    words.join(", ")
}

fn value_word(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        value => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{:?}…", &text[..at]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_told_in_plain_words() {
        let long = "x".repeat(50);
        for (value, words) in [
            (json!("x"), r#"a text "x""#),
            (json!(long), &format!("a text {:?}…", &long[..40])),
            (json!(3), "3"),
            (json!(true), "true"),
            (json!(null), "null"),
            (json!([]), "an empty list"),
            (json!([1]), "a list of 1 item"),
            (json!({}), "an empty map"),
            (json!({"name": 1, "os": 2}), "a map with name, os"),
            (json!(vec![json!({"name": 1}); 20]), "a list of maps with name"),
        ] {
            assert_eq!(Type::of_value(&value).to_string(), words);
        }
    }

    #[test]
    fn schemas_are_told_in_plain_words() {
        let many: Vec<_> = (0..20).collect();
        for (schema, words) in [
            (json!({}), "anything"),
            (json!(false), "nothing"),
            (json!({"type": "number"}), "a number"),
            (json!({"type": "boolean"}), "true or false"),
            (json!({"type": ["integer", "string", "null"]}), "a whole number, a text or null"),
            (json!({"enum": ["a", "b", 1]}), r#"one of "a", "b", 1"#),
            (json!({"enum": many}), "one of 0, 1, 2, 3, 4, 5, 6, 7, …"),
            (json!({"type": "array"}), "a list"),
            (json!({"type": "array", "items": {"type": "string"}}), "a list of texts"),
            (json!({"type": "array", "items": {"enum": ["a", "b"]}}), r#"a list, each one of "a", "b""#),
            (
                json!({"type": "array", "prefixItems": [{}, {}], "items": false, "minItems": 2}),
                "a list of 2 items",
            ),
            (json!({"type": "array", "prefixItems": [{}, {}], "items": false}), "a list of at most 2 items"),
            (
                json!({"type": "array", "items": {"type": ["number", "null"]}}),
                "a list, each a number or null",
            ),
            (json!({"type": "object"}), "a map"),
            (
                json!({"type": "object", "additionalProperties": {"type": "integer"}}),
                "a map of whole numbers",
            ),
            (json!({"required": ["a"]}), "null, true or false, a text, a number, a list or a map with a"),
            (json!({"type": "array", "items": {"$ref": "#"}}), "a list of lists of lists"),
        ] {
            assert_eq!(Type::of_schema(&schema).to_string(), words, "{schema}");
        }
    }
}
