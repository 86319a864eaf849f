//! The environment as values: read once, so that nothing below asks the process again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use config::Value;

use super::keys::{self, Table};

/// Variables that start like settings but are none: our own, and what a worker tells executables, which
/// may call commands of rfx in their turn.
const OTHERS: [&str; 18] = [
    "RFX_CONFIG",
    "RFX_NATS_SERVER",
    "RFX_MARK",
    "RFX_RUN",
    "RFX_FLOW",
    "RFX_STEP",
    "RFX_JOB",
    "RFX_ATTEMPT",
    "RFX_FUNCTION",
    "RFX_KEY",
    "RFX_DEADLINE",
    "RFX_TARGET",
    "RFX_POOL",
    "RFX_INPUT",
    "RFX_OUTPUT",
    "RFX_ERROR",
    "RFX_ASSERTIONS",
    "RFX_ARTIFACTS",
];

/// Secrets that a worker gives to functions are none, either, nor are addresses of the target.
const PREFIXES: [&str; 2] = ["RFX_SECRET_", "RFX_TARGET_"];

/// The variables of the environment. An empty one counts as not set, as compose files leave them.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    variables: BTreeMap<String, String>,
    unreadable: Vec<String>,
}

impl Environment {
    pub(super) fn new(variables: &[(OsString, OsString)]) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables.iter().filter(|(_, value)| !value.is_empty()) {
            let name = name.to_string_lossy().into_owned();
            match value.to_str() {
                Some(value) => drop(environment.variables.insert(name, value.to_owned())),
                None => environment.unreadable.push(name),
            }
        }
        environment
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The user's home, for `~/`.
    pub(super) fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from)
    }

    /// The layer of `RFX_…` variables.
    pub(super) fn layer(&self, problems: &mut Vec<String>) -> Table {
        let unreadable = self.unreadable.iter().filter(|name| name.starts_with("RFX_"));
        problems.extend(unreadable.map(|name| format!("{name}: its value is not UTF-8")));
        let mut layer = Table::new();
        for (name, text) in &self.variables {
            if OTHERS.contains(&name.as_str()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            if let Some(rest) = name.strip_prefix("RFX_") {
                let path = rest.to_lowercase();
                let path: Vec<_> = path.split("__").collect();
                keys::insert(&mut layer, &path, Value::new(Some(name), text.as_str()));
            }
        }
        layer
    }
}

/// The variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    format!("RFX_{}", key.replace('.', "__").to_uppercase())
}
