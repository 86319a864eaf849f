//! How wrong settings are said: the key, the value, where it comes from, and what would be right.

use std::fmt;

use config::{Value, ValueKind};

use super::server;

/// Keys whose value is never shown.
const SECRETS: [&str; 2] = ["nats.password", "nats.token"];

/// All that is wrong with the settings, one problem a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    problems: Vec<String>,
}

impl SettingsError {
    /// An error if there is at least one problem.
    pub(super) fn none_of(problems: Vec<String>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// The problems, each in one line.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl std::error::Error for SettingsError {}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [one] => f.write_str(one),
            many => {
                write!(f, "{} settings are not valid", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

/// What is wrong with the value of a key.
pub(super) fn of_value(key: &str, value: &Value, reason: &str) -> String {
    let shown = match SECRETS.contains(&key) {
        true => String::new(),
        false => format!(" = {}", show(key, value)),
    };
    format!("{key}{shown} (from {}): {reason}", origin(value))
}

/// Where a value comes from, in words.
pub(super) fn origin(value: &Value) -> &str {
    match &value.kind {
        // The tables that `config` makes while merging have no origin, their entries do.
        ValueKind::Table(table) => table.values().next().map_or("an empty table", origin),
        _ => value.origin().unwrap_or("an unknown place"),
    }
}

fn show(key: &str, value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) if key == "nats.url" => format!("{:?}", server::without_secrets(text)),
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Array(_) => "[…]".to_owned(),
        ValueKind::Table(_) => "{…}".to_owned(),
        other => other.to_string(),
    }
}
