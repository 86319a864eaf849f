//! `runner`: the program that executes a pool's functions, and when a process of it is given up.

use std::time::Duration;

use toml::de::DeTable;

use super::reader::{Node, Reader};
use super::{Manifest, Placed, function};

const KEYS: [&str; 4] = ["exec", "start_timeout", "max_jobs", "memory"];

/// How a pool's runners are started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runner {
    /// The pool's own program and its arguments, never empty; none is the runner for Python.
    pub exec: Option<Placed<Vec<String>>>,
    /// How long one may take until it says what it offers.
    pub start_timeout: Option<Duration>,
    /// When one is given up.
    pub limits: Limits,
}

/// When a runner is given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// A warm process is retired after so many attempts.
    pub max_jobs: Option<u64>,
    /// Most memory of a runner with all that it started, in bytes.
    pub memory: Option<u64>,
}

/// A list is the program alone; a table says more.
pub(super) fn read(reader: &mut Reader<'_>, value: &Node<'_>) -> Option<Runner> {
    let exec = |reader: &mut Reader<'_>, value: &Node<'_>| {
        let words = function::exec(reader, value, r#"["./runner", "--verbose"]"#)?;
        Some(Placed { value: words, at: value.span() })
    };
    if value.get_ref().is_array() || value.get_ref().is_str() {
        return Some(Runner { exec: exec(reader, value), ..Runner::default() });
    }
    let table = reader.table(value)?;
    reader.keys(table, &KEYS, "[runner]");
    let max_jobs = reader.get(table, "max_jobs", |reader, value| reader.whole(value, 1..=1_000_000_000));
    let limits = Limits { max_jobs, memory: reader.get(table, "memory", Reader::memory) };
    let start_timeout = reader.get(table, "start_timeout", Reader::duration);
    Some(Runner { exec: reader.get(table, "exec", exec), start_timeout, limits })
}

/// A program of the pool's own says itself what functions there are.
pub(super) fn check(reader: &mut Reader<'_>, table: &DeTable<'_>, manifest: &Manifest) {
    if let (Some(_), Some(modules)) = (&manifest.runner.exec, table.get("modules")) {
        let help = "leave out modules, or the runner";
        let message = "modules are for Python's runner, and this pool has one of its own";
        reader.problem(modules.span(), message, Some(help.to_owned()));
    }
}
