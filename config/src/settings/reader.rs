//! Takes checked values out of merged ones, one key at a time, and collects what is wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::environment::Environment;
use super::keys::{self, Table};
use super::parse::{self, Parsed};
use super::problem;

/// The merged values, and what was found wrong with them so far.
pub(super) struct Reader<'a> {
    values: Table,
    defaults: Table,
    environment: &'a Environment,
    problems: Vec<String>,
    #[cfg(test)]
    pub(super) read: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        values: Table,
        defaults: Table,
        environment: &'a Environment,
        problems: Vec<String>,
    ) -> Self {
        Self {
            values,
            defaults,
            environment,
            problems,
            #[cfg(test)]
            read: Vec::new(),
        }
    }

    pub(super) fn into_problems(self) -> Vec<String> {
        self.problems
    }

    /// A variable that is no setting of ours.
    pub(super) fn variable(&self, name: &str) -> Option<&'a str> {
        self.environment.get(name)
    }

    /// The value of a key. A wrong one is noted and the built-in one taken instead, so that what is
    /// wrong with other keys is found too.
    pub(super) fn get<T>(&mut self, key: &'static str, parse: impl Fn(&config::Value) -> Parsed<T>) -> T {
        #[cfg(test)]
        self.read.push(key);
        let value = keys::get(&self.values, key).expect("every key read is in default.toml: a test compares");
        parse(value).unwrap_or_else(|reason| {
            self.problems.push(problem::of_value(key, value, &reason));
            let built_in = keys::get(&self.defaults, key).expect("the merged values hold all defaults");
            parse(built_in).unwrap_or_else(|reason| panic!("default.toml: {key}: {reason}"))
        })
    }

    /// The entries of a table whose keys are not ours. A wrong one is noted and left out.
    pub(super) fn entries<K: Ord, V>(
        &mut self,
        key: &'static str,
        check: impl Fn(&str, &config::Value) -> Parsed<(K, V)>,
    ) -> BTreeMap<K, V> {
        let entries = self.get(key, parse::entries);
        let mut checked = BTreeMap::new();
        for (name, value) in entries {
            match check(&name, &value) {
                Ok((name, value)) => drop(checked.insert(name, value)),
                Err(reason) => {
                    self.problems.push(problem::of_value(&format!("{key}.{name}"), &value, &reason))
                }
            }
        }
        checked
    }

    /// Notes what is wrong with a key in the light of others.
    pub(super) fn refuse(&mut self, key: &str, reason: &str) {
        let value = keys::get(&self.values, key).expect("only keys of default.toml are refused");
        self.problems.push(problem::of_value(key, value, reason));
    }

    /// Whether something in a table was refused.
    pub(super) fn has_refused(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| problem.starts_with(key))
    }

    /// Notes what is wrong elsewhere.
    pub(super) fn note(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// A path, where an empty text is none.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.get(key, parse::optional).map(|text| self.expand(&text))
    }

    /// The path of a file that has to be there.
    pub(super) fn file(&mut self, key: &'static str) -> Option<PathBuf> {
        let path = self.path(key);
        if let Some(path) = &path
            && !path.is_file()
        {
            self.refuse(key, "there is no such file");
        }
        path
    }

    /// A path with `~/` put in full.
    pub(super) fn expand(&self, text: &str) -> PathBuf {
        match (text.strip_prefix("~/"), self.environment.home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(text),
        }
    }
}
