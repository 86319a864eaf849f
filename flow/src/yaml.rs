//! YAML as one positioned tree. What it means is decided by whoever reads the tree, so that every
//! error can say where.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::diagnostic::{Problem, Source};

/// A value and where it stands, in bytes.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where.
    pub at: Range<usize>,
    /// What.
    pub kind: Kind,
}

/// A key of a map and where it stands.
#[derive(Debug, Clone)]
pub struct Key {
    /// Where.
    pub at: Range<usize>,
    /// The key.
    pub name: String,
}

/// The kinds of value.
#[derive(Debug, Clone)]
pub enum Kind {
    /// `null`, or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, kept as JSON has it.
    Number(serde_json::Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<(Key, Node)>),
}

impl Node {
    /// What the value is, for messages.
    pub fn what(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The value without positions.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Number(n) => Value::Number(n.clone()),
            Kind::Text(s) => Value::String(s.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Map(fields) => {
                Value::Object(fields.iter().map(|(k, v)| (k.name.clone(), v.to_json())).collect())
            }
        }
    }
}

/// Reads one document.
pub fn parse(source: &Source) -> Result<Node, Problem> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(source.text(), options) {
        Ok(raw) => Ok(placed(raw)),
        Err(error) => {
            let at = error.location().map_or(0, |l| source.offset(l.line(), l.column()));
            let text = error.without_snippet().to_string();
            let message = text.lines().next().unwrap_or_default().trim().to_owned();
            Err(Problem::new(source, at..at + 1, format!("this is not the YAML that flows use: {message}"))
                .help("check indentation, quotes and brackets at this place"))
        }
    }
}

/// The tree as the deserializer gives it.
enum Raw {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn range(location: &serde_saphyr::Location) -> Range<usize> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset().unwrap_or(0)).unwrap_or(0);
    let len = usize::try_from(span.byte_len().unwrap_or(1)).unwrap_or(1);
    start..start + len.max(1)
}

fn placed(raw: Spanned<Raw>) -> Node {
    let at = range(&raw.referenced);
    let kind = match raw.value {
        Raw::Null => Kind::Null,
        Raw::Bool(b) => Kind::Bool(b),
        Raw::Number(n) => Kind::Number(n),
        Raw::Text(s) => Kind::Text(s),
        Raw::List(items) => Kind::List(items.into_iter().map(placed).collect()),
        Raw::Map(fields) => {
            let key = |k: Spanned<String>| Key { at: range(&k.referenced), name: k.value };
            Kind::Map(fields.into_iter().map(|(k, v)| (key(k), placed(v))).collect())
        }
    };
    Node { at, kind }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Raw, E> {
        let number = serde_json::Number::from_f64(value);
        number.map(Raw::Number).ok_or_else(|| E::custom("infinite numbers and NaN are not allowed"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = access.next_entry()? {
            fields.push(entry);
        }
        Ok(Raw::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Node, Problem> {
        parse(&Source::new("t.yaml", text))
    }

    #[test]
    fn values_keep_type_order_and_place() {
        let text = "b: [1, 2.5, yes, '3']\na: {x: null, y: 012}\n";
        let node = read(text).expect("valid");
        assert_eq!(node.to_json(), json!({"a": {"x": null, "y": "012"}, "b": [1, 2.5, "yes", "3"]}));
        let Kind::Map(fields) = &node.kind else { panic!("a map") };
        assert_eq!(fields[0].0.name, "b");
        assert_eq!(&text[fields[1].0.at.clone()], "a");
        let Kind::List(items) = &fields[0].1.kind else { panic!("a list") };
        assert_eq!(&text[items[1].at.clone()], "2.5");
    }

    #[test]
    fn what_is_not_yaml_says_where() {
        for (text, place) in [("a: 1\na: 2\n", "t.yaml:2:1"), ("a: [1\nb: 2\n", "t.yaml:2:1")] {
            let problem = read(text).expect_err(text);
            assert!(problem.place().starts_with(&place[..8]), "{text:?} {}", problem.place());
        }
    }
}
