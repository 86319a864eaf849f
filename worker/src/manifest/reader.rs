//! Takes checked values out of a positioned TOML tree, and collects what is wrong.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use rfx_flow::diagnostic::{Problem, Source, did_you_mean};
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Placed;

/// A node of the tree.
pub(super) type Node<'a> = Spanned<DeValue<'a>>;

/// Reads one manifest.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) folder: &'a Path,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source, folder: &'a Path) -> Self {
        Self { source, folder, problems: Vec::new() }
    }

    pub(super) fn problem(&mut self, at: Range<usize>, message: impl Into<String>, help: Option<String>) {
        let problem = Problem::new(self.source, at, message);
        self.problems.push(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }

    /// Refuses keys that are none.
    pub(super) fn keys(&mut self, table: &DeTable<'_>, known: &[&str], whose: &str) {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref().as_ref();
            let help = did_you_mean(name, known.iter().copied())
                .unwrap_or_else(|| format!("{whose} has: {}", known.join(", ")));
            self.problem(key.span(), format!("{whose} has no key {name:?}"), Some(help));
        }
    }

    /// The value of a key, if it is there and right.
    pub(super) fn get<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        read: impl FnOnce(&mut Self, &Node<'_>) -> Option<T>,
    ) -> Option<T> {
        table.get(key).and_then(|value| read(self, value))
    }

    fn expected<T>(&mut self, value: &Node<'_>, what: &str, example: &str) -> Option<T> {
        let message = format!("expected {what}, got {}", kind(value.get_ref()));
        self.problem(value.span(), message, Some(format!("write it as {example}")));
        None
    }

    pub(super) fn table<'n, 'i>(&mut self, value: &'n Node<'i>) -> Option<&'n DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.expected(value, "a table", "{ key = \"value\" }"),
        }
    }

    pub(super) fn any_text(&mut self, value: &Node<'_>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.clone().into_owned()),
            _ => self.expected(value, "a text", "\"…\""),
        }
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, value: &Node<'_>) -> Option<String> {
        let text = self.any_text(value)?;
        if text.trim().is_empty() {
            self.problem(value.span(), "this text is empty", Some("leave the key out".to_owned()));
            return None;
        }
        Some(text)
    }

    pub(super) fn placed_text(&mut self, value: &Node<'_>) -> Option<Placed<String>> {
        Some(Placed { value: self.text(value)?, at: value.span() })
    }

    pub(super) fn list<T>(
        &mut self,
        value: &Node<'_>,
        mut read: impl FnMut(&mut Self, &Node<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        match value.get_ref() {
            DeValue::Array(items) => Some(items.iter().filter_map(|item| read(self, item)).collect()),
            _ => self.expected(value, "a list", "[\"…\", \"…\"]"),
        }
    }

    pub(super) fn placed_texts(&mut self, value: &Node<'_>) -> Option<Vec<Placed<String>>> {
        self.list(value, Self::placed_text)
    }

    pub(super) fn texts(&mut self, value: &Node<'_>) -> Option<Vec<String>> {
        self.list(value, Self::text)
    }

    /// A type that says itself what is wrong with a text.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, value: &Node<'_>) -> Option<T> {
        let text = self.text(value)?;
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.problem(value.span(), error.to_string(), None);
                None
            }
        }
    }

    pub(super) fn whole(&mut self, value: &Node<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        number.filter(|number| range.contains(number)).or_else(|| {
            let what = format!("a whole number from {} to {}", range.start(), range.end());
            self.expected(value, &what, "3")
        })
    }

    /// A text such as `30s`, or a number of seconds.
    pub(super) fn duration(&mut self, value: &Node<'_>) -> Option<Duration> {
        let seconds = |number: &str| number.parse().ok().and_then(|n| Duration::try_from_secs_f64(n).ok());
        let duration = match value.get_ref() {
            DeValue::String(text) => {
                text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok())
            }
            DeValue::Integer(number) => seconds(number.as_str()),
            DeValue::Float(number) => seconds(number.as_str()),
            _ => None,
        };
        duration.filter(|duration| !duration.is_zero()).or_else(|| {
            self.expected(value, "a duration above zero", "\"30s\", \"1min 30s\", or a number of seconds")
        })
    }

    /// A size such as `1GiB`, in bytes.
    pub(super) fn memory(&mut self, value: &Node<'_>) -> Option<u64> {
        let size = match value.get_ref() {
            DeValue::String(text) => bytes(text),
            _ => None,
        };
        size.or_else(|| {
            self.expected(value, "a size with its unit, at least 16MiB", "\"512MiB\" or \"2GiB\"")
        })
    }

    pub(super) fn json(&mut self, value: &Node<'_>) -> Option<Value> {
        let number = |parsed: Option<Value>, reader: &mut Self| {
            parsed.or_else(|| reader.expected(value, "what JSON can say", "a text, a number or a list"))
        };
        match value.get_ref() {
            DeValue::String(text) => Some(Value::from(text.as_ref())),
            DeValue::Boolean(flag) => Some(Value::from(*flag)),
            DeValue::Integer(n) => {
                number(i64::from_str_radix(n.as_str(), n.radix()).ok().map(Value::from), self)
            }
            DeValue::Float(n) => {
                let parsed = n.as_str().parse().ok().and_then(serde_json::Number::from_f64);
                number(parsed.map(Value::Number), self)
            }
            DeValue::Array(_) => self.list(value, Self::json).map(Value::Array),
            DeValue::Table(table) => {
                let entry = |(key, value): (&Spanned<_>, &Node<'_>)| {
                    let key: &std::borrow::Cow<'_, str> = key.get_ref();
                    Some((key.clone().into_owned(), self.json(value)?))
                };
                Some(Value::Object(table.iter().filter_map(entry).collect()))
            }
            DeValue::Datetime(_) => number(None, self),
        }
    }
}

/// All texts in a tree.
pub(super) fn texts_in(table: &DeTable<'_>, into: &mut Vec<String>) {
    fn of(value: &DeValue<'_>, into: &mut Vec<String>) {
        match value {
            DeValue::String(text) => into.push(text.clone().into_owned()),
            DeValue::Array(items) => items.iter().for_each(|item| of(item.get_ref(), into)),
            DeValue::Table(table) => texts_in(table, into),
            _ => {}
        }
    }
    table.values().for_each(|value| of(value.get_ref(), into));
}

/// What a value is, for messages.
fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.len() <= 40 => format!("{text:?}"),
        DeValue::String(_) => "a text".to_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// `1.5 GiB` in bytes; less than a runner can start with is none.
fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 6] = [
        ("KiB", 1024.0),
        ("MiB", 1024.0 * 1024.0),
        ("GiB", 1024.0 * 1024.0 * 1024.0),
        ("KB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
    ];
    let (unit, factor) = UNITS.into_iter().find(|(unit, _)| text.ends_with(unit))?;
    let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
    let least = 16.0 * 1024.0 * 1024.0;
    let size = (number * factor).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the bounds")]
    (size >= least && size <= 1e15).then_some(size as u64)
}
