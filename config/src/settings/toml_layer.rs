//! A TOML text as a layer whose values know their line.

use config::{Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::Table;

/// A TOML text, and what it is called in messages.
struct Source<'a> {
    name: &'a str,
    text: &'a str,
    /// Whether a line number means anything to the reader of a message.
    lines: bool,
}

/// A file's layer. Says all that is no TOML; what is, is used.
pub(super) fn file(name: &str, text: &str, problems: &mut Vec<String>) -> Table {
    let source = Source { name, text, lines: true };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        // Not the library's own rendering: it shows the line, which may hold a password.
        let start = error.span().map_or(0, |span| span.start);
        problems.push(format!("{}: {}", source.place(start), error.message()));
    }
    source.table(table.into_inner())
}

/// The layer of `default.toml`.
pub(super) fn defaults(text: &str) -> Table {
    let source = Source { name: "default.toml", text, lines: false };
    source.table(DeTable::parse(text).expect("default.toml is TOML: a test reads it").into_inner())
}

impl Source<'_> {
    fn place(&self, offset: usize) -> String {
        if !self.lines {
            return self.name.to_owned();
        }
        let before = self.text.as_bytes().iter().take(offset);
        format!("{}:{}", self.name, before.filter(|byte| **byte == b'\n').count() + 1)
    }

    fn table(&self, table: DeTable<'_>) -> Table {
        let entries = table.into_iter();
        entries.map(|(key, value)| (key.into_inner().into_owned(), self.value(value))).collect()
    }

    fn value(&self, value: Spanned<DeValue<'_>>) -> Value {
        let place = self.place(value.span().start);
        let kind = match value.into_inner() {
            DeValue::String(text) => ValueKind::String(text.into_owned()),
            DeValue::Boolean(flag) => ValueKind::Boolean(flag),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => ValueKind::I64(number),
                Err(_) => ValueKind::String(number.as_str().to_owned()),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => ValueKind::Float(number),
                Err(_) => ValueKind::String(number.as_str().to_owned()),
            },
            DeValue::Datetime(time) => ValueKind::String(time.to_string()),
            DeValue::Array(items) => {
                ValueKind::Array(items.into_iter().map(|item| self.value(item)).collect())
            }
            DeValue::Table(table) => ValueKind::Table(self.table(table)),
        };
        Value::new(Some(&place), kind)
    }
}
