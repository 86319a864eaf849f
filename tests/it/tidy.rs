//! Rules of the codebase that no compiler keeps: who may depend on whom, where things may be said,
//! how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rfx_tests::process::root;

/// Longest file. The aim is 300 lines.
const LINES: usize = 400;

/// What each crate may use of the others.
const EDGES: [(&str, &[&str]); 14] = [
    ("schemas", &[]),
    ("expr", &[]),
    ("flow", &["rfx-expr", "rfx-schemas"]),
    ("report", &["rfx-flow", "rfx-schemas"]),
    ("config", &["rfx-schemas"]),
    ("transport", &["rfx-config", "rfx-schemas"]),
    ("publisher", &["rfx-config", "rfx-flow", "rfx-report", "rfx-schemas", "rfx-transport"]),
    ("worker", &["rfx-config", "rfx-expr", "rfx-flow", "rfx-schemas", "rfx-transport"]),
    ("collector", &["rfx-config", "rfx-flow", "rfx-report", "rfx-schemas", "rfx-transport"]),
    ("cli", &["rfx-collector", "rfx-config", "rfx-publisher", "rfx-schemas", "rfx-transport", "rfx-worker"]),
    ("tests", &["rfx", "rfx-config", "rfx-report", "rfx-schemas", "rfx-transport", "rfx-worker"]),
    ("xtask", &[]),
    ("examples/executables", &[]),
    ("examples/native-worker", &["rfx-worker"]),
];

/// Libraries that only some crates may name.
const FENCED: [(&str, &[&str]); 6] = [
    ("async-nats", &["transport"]),
    ("opentelemetry", &["config"]),
    ("opentelemetry_sdk", &["config"]),
    ("opentelemetry-otlp", &["config"]),
    ("cel", &["expr"]),
    ("clap", &["publisher", "worker", "collector", "cli", "xtask"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut dirs: Vec<_> = EDGES.iter().map(|(dir, _)| root().join(dir)).collect();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                files.push((path.strip_prefix(root()).expect("in the repository").to_owned(), text));
            }
        }
    }
    assert!(files.len() > 60, "found {} files only", files.len());
    files
}

fn manifest(dir: &str) -> toml::Table {
    let text = std::fs::read_to_string(root().join(dir).join("Cargo.toml")).expect("a manifest");
    text.parse().expect("TOML")
}

fn dependencies(manifest: &toml::Table, kind: &str) -> BTreeSet<String> {
    manifest.get(kind).and_then(|d| d.as_table()).map(|d| d.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn crates_depend_only_on_those_below_them() {
    let allowed: BTreeMap<_, _> = EDGES.into_iter().collect();
    let workspace = manifest(".");
    let members = workspace["workspace"]["members"].as_array().expect("members");
    assert_eq!(members.len(), allowed.len(), "every crate has its row in EDGES");
    for (dir, allowed) in allowed {
        for name in dependencies(&manifest(dir), "dependencies").iter().filter(|n| n.starts_with("rfx")) {
            assert!(allowed.contains(&name.as_str()), "{dir} may not depend on {name}");
        }
    }
}

#[test]
fn fenced_libraries_stay_behind_their_fence() {
    for (dir, _) in EDGES {
        let manifest = manifest(dir);
        let names = dependencies(&manifest, "dependencies");
        for (library, allowed) in FENCED {
            assert!(!names.contains(library) || allowed.contains(&dir), "{dir} may not use {library}");
        }
    }
    for (path, text) in sources() {
        let path = path.display().to_string();
        if path == "tests/it/tidy.rs" {
            continue;
        }
        let telemetry = path.starts_with("config/src/telemetry");
        assert!(telemetry || !text.contains("opentelemetry::"), "{path}: OpenTelemetry is telemetry's alone");
        let arguments = path.ends_with("args.rs") || path.ends_with("main.rs") || path.starts_with("xtask/");
        assert!(arguments || !text.contains("use clap"), "{path}: clap is the argument modules' alone");
    }
}

#[test]
fn subjects_are_spelled_in_one_place() {
    let spelled =
        ["rfx.job.>", "rfx.event.", "rfx.blob.", "rfx.live.", ".job.{", ".event.{", ".blob.{", ".live.{"];
    for (path, text) in sources() {
        if path == Path::new("schemas/src/subject.rs") || path.starts_with("tests") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for subject in spelled {
            assert!(
                !code.contains(subject),
                "{}: {subject} belongs into schemas/src/subject.rs",
                path.display()
            );
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_readable() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(text.starts_with("//!"), "{}: starts with what it is for (//!)", path.display());
        assert!(
            lines <= LINES,
            "{}: {lines} lines, {LINES} are allowed: which two things is it?",
            path.display()
        );
        for (number, line) in text.lines().enumerate() {
            let waits = line.contains(concat!("thread::", "sleep"));
            let open = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME")];
            let place = format!("{}:{}", path.display(), number + 1);
            assert!(!waits && !open.iter().any(|word| line.contains(word)), "{place}: {line}");
        }
    }
}
