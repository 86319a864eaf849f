//! Which keys there are, and what a layer says that is no key at all.
//!
//! Invariant: what [`Known::prune`] leaves of a layer has the shape of `default.toml`, so that no
//! layer can replace a whole section, and merging can lose nothing.

use config::{Map, Value, ValueKind};

use super::environment::variable;
use super::problem;

/// A layer, or a table in one.
pub(super) type Table = Map<String, Value>;

/// Tables whose keys are not ours.
const MAPS: [&str; 3] = ["worker.labels", "worker.slots", "telemetry.attributes"];

/// How many single-character edits away a key may be to be suggested.
const NEAR: usize = 3;

/// The keys of `default.toml`.
#[derive(Debug)]
pub(super) struct Known(Vec<String>);

impl Known {
    pub(super) fn of(defaults: &Table) -> Self {
        let mut keys = Vec::new();
        collect(defaults, "", &mut keys);
        keys.sort();
        Self(keys)
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> &[String] {
        &self.0
    }

    /// Keeps what is a key, and says what is not.
    pub(super) fn prune(&self, layer: Table, problems: &mut Vec<String>) -> Table {
        self.prune_at("", layer, problems)
    }

    fn prune_at(&self, prefix: &str, table: Table, problems: &mut Vec<String>) -> Table {
        let mut kept = Table::new();
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, value) in entries {
            let key = format!("{prefix}{name}");
            let below = format!("{key}.");
            let is_section = self.0.iter().any(|known| known.starts_with(&below));
            match value.kind {
                _ if MAPS.contains(&key.as_str()) => drop(kept.insert(name, value)),
                ValueKind::Table(table) if is_section => {
                    let table = self.prune_at(&below, table, problems);
                    kept.insert(name, Value::new(None, ValueKind::Table(table)));
                }
                _ if is_section => {
                    let reason =
                        format!("it is a table, set one of the keys in it, such as {}", self.first(&below));
                    problems.push(problem::of_value(&key, &value, &reason));
                }
                ValueKind::Table(_) if self.0.contains(&key) => {
                    problems.push(problem::of_value(&key, &value, "it takes one value, not a table"));
                }
                _ if self.0.contains(&key) => drop(kept.insert(name, value)),
                _ => problems.push(self.unknown(&key, problem::origin(&value))),
            }
        }
        kept
    }

    fn first(&self, below: &str) -> &str {
        self.0.iter().find(|known| known.starts_with(below)).map_or("", String::as_str)
    }

    fn unknown(&self, key: &str, origin: &str) -> String {
        let is_variable = origin.starts_with("RFX_");
        let near = self.near(key).map(|near| if is_variable { variable(near) } else { near.to_owned() });
        let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
        match is_variable {
            true => format!("unknown variable {origin}{near}"),
            false => format!("unknown setting {key} (from {origin}){near}"),
        }
    }

    /// The known key that is written most alike, or whose last part is the same.
    fn near(&self, key: &str) -> Option<&str> {
        let distance = |known: &String| strsim::damerau_levenshtein(known, key);
        let last = |key: &str| key.rsplit('.').next().map(str::to_owned);
        let same = self.0.iter().find(|known| last(known) == last(key));
        let near = self.0.iter().min_by_key(|known| distance(known));
        near.filter(|known| distance(known) <= NEAR).or(same).map(String::as_str)
    }
}

fn collect(table: &Table, prefix: &str, keys: &mut Vec<String>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match &value.kind {
            ValueKind::Table(table) if !MAPS.contains(&key.as_str()) => {
                collect(table, &format!("{key}."), keys);
            }
            _ => keys.push(key),
        }
    }
}

/// The value at a dotted key.
pub(super) fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((first, rest)) => match &table.get(first)?.kind {
            ValueKind::Table(table) => get(table, rest),
            _ => None,
        },
    }
}

/// Puts a value at a path; a value that is in the way of the path gives way.
pub(super) fn insert(table: &mut Table, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => drop(table.insert((*last).to_owned(), value)),
        [first, rest @ ..] => {
            let below = table.entry((*first).to_owned()).or_default();
            if !matches!(below.kind, ValueKind::Table(_)) {
                below.kind = ValueKind::Table(Table::new());
            }
            if let ValueKind::Table(below) = &mut below.kind {
                insert(below, rest, value);
            }
        }
    }
}
