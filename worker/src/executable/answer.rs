//! What a program leaves behind, made into an ending: its exit code says how it ended, its files say
//! the rest.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use bytes::Bytes;
use rfx_schemas::outcome::{Assertion, Failure, kind};
use rfx_schemas::verdict::OutcomeKind;
use serde::Deserialize;
use serde_json::Value;

use crate::attempt::Ending;
use crate::child::how;
use crate::expect::judge;
use crate::file::{self, Links};
use crate::text::text_of;

/// Names in an attempt's folder.
pub(super) const INPUT: &str = "input.json";
pub(super) const OUTPUT: &str = "output.json";
pub(super) const ERROR: &str = "error";
pub(super) const ASSERTIONS: &str = "assertions.jsonl";
pub(super) const ARTIFACTS: &str = "artifacts";
pub(super) const SCRATCH: &str = "tmp";

/// The exit code of a failed test, and that of one that does not apply here (as in automake).
const FAILED: i32 = 1;
const SKIPPED: i32 = 77;

/// Longest answer, as for runners; longest error and list of assertions that are read.
const MAX_ANSWER: u64 = 64 << 20;
const MAX_NOTES: u64 = 1 << 20;
/// Most artifacts of an attempt.
const MAX_ARTIFACTS: usize = 100;

/// What a program says in `$RFX_ERROR`, when it is JSON.
#[derive(Deserialize)]
struct Said {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: String,
    traceback: Option<String>,
}

/// One line of `$RFX_ASSERTIONS`.
#[derive(Deserialize)]
struct Line {
    label: String,
    passed: bool,
    #[serde(default)]
    expected: Option<Value>,
    #[serde(default)]
    seen: Option<Value>,
    #[serde(default)]
    message: Option<String>,
}

/// The ending of a program that has ended by itself; `last` is the last line of its stderr.
pub(super) fn read(folder: &Path, status: ExitStatus, last: Option<String>) -> Ending {
    let Some(code) = status.code() else {
        let dumped = if status.core_dumped() { "; its core was dumped" } else { "" };
        let said = last.map(|last| format!("; its last words: {last}")).unwrap_or_default();
        let message = format!("the program {}{dumped}{said}", how(status));
        return Ending::failed(OutcomeKind::Error, Failure::new(kind::CRASHED, message));
    };
    let mut ending = match code {
        0 => passed(folder),
        SKIPPED => {
            let failure = failure(folder, "Skipped", last, "it did not say why");
            Ending::failed(OutcomeKind::Skipped, failure)
        }
        FAILED => {
            let failure = failure(folder, "Failed", last, "it ended with exit code 1 and did not say why");
            Ending { output: output(folder).ok().flatten(), ..Ending::failed(OutcomeKind::Failed, failure) }
        }
        _ => {
            let failure =
                failure(folder, "ExitCode", last.map(|last| format!("{last} (it {})", how(status))), "");
            let silent = failure.message.is_empty();
            let message = if silent { format!("it {}", how(status)) } else { failure.message };
            Ending::failed(OutcomeKind::Error, Failure { message, ..failure })
        }
    };
    match assertions(folder) {
        Ok(assertions) => ending.assertions = assertions,
        Err(message) => return Ending::failed(OutcomeKind::Error, Failure::new("OutputError", message)),
    }
    judge(ending)
}

fn passed(folder: &Path) -> Ending {
    match output(folder) {
        Ok(output) => Ending { output, ..Ending::of(OutcomeKind::Passed) },
        Err(message) => Ending::failed(OutcomeKind::Error, Failure::new("OutputError", message)),
    }
}

/// The answer: none without a file, else what is in it.
fn output(folder: &Path) -> Result<Option<Bytes>, String> {
    let text = match file::whole(&folder.join(OUTPUT), Links::Follow, MAX_ANSWER) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("the answer in $RFX_OUTPUT cannot be read: {error}")),
    };
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err("the answer in $RFX_OUTPUT is empty; write JSON into it, or leave it out".to_owned());
    }
    match serde_json::from_slice::<Value>(text) {
        Ok(_) => Ok(Some(Bytes::copy_from_slice(text))),
        Err(error) => Err(format!("the answer in $RFX_OUTPUT is not JSON: {error}")),
    }
}

/// Why it did not pass: what it wrote to `$RFX_ERROR`, else the `error` of its answer, else the last
/// line of its stderr, else `otherwise`.
fn failure(folder: &Path, what: &str, last: Option<String>, otherwise: &str) -> Failure {
    let written = short(&folder.join(ERROR))
        .ok()
        .flatten()
        .map(|text| text.trim().to_owned())
        .filter(|t| !t.is_empty());
    if let Some(text) = written {
        return said(what, serde_json::from_str(&text).ok(), || text.clone());
    }
    let answer = output(folder).ok().flatten().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    match answer.and_then(|mut answer| answer.get_mut("error").map(Value::take)) {
        Some(Value::String(message)) => Failure::new(what, message),
        Some(error) if !error.is_null() => {
            let text = error.to_string();
            said(what, serde_json::from_value(error).ok(), || text)
        }
        _ => Failure::new(what, last.unwrap_or_else(|| otherwise.to_owned())),
    }
}

fn said(what: &str, said: Option<Said>, text: impl FnOnce() -> String) -> Failure {
    match said {
        Some(Said { kind, message, traceback }) => {
            Failure { traceback, ..Failure::new(kind.unwrap_or_else(|| what.to_owned()), message) }
        }
        None => Failure::new(what, text()),
    }
}

fn assertions(folder: &Path) -> Result<Vec<Assertion>, String> {
    let text = short(&folder.join(ASSERTIONS))
        .map_err(|error| format!("the assertions in $RFX_ASSERTIONS cannot be read: {error}"))?;
    let Some(text) = text else { return Ok(Vec::new()) };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let assertion = |(number, line): (usize, &str)| {
        let line: Line = serde_json::from_str(line)
            .map_err(|error| format!("line {} of $RFX_ASSERTIONS is no assertion: {error}", number + 1))?;
        let Line { label, passed, expected, seen, message } = line;
        let (expected, seen) = (expected.and_then(text_of), seen.and_then(text_of));
        Ok(Assertion { label, passed, expected, seen, message })
    };
    lines.map(assertion).collect()
}

/// A file's text, as far as it is read; none without a file.
fn short(path: &Path) -> std::io::Result<Option<String>> {
    match file::start(path, Links::Follow, MAX_NOTES) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The files in `$RFX_ARTIFACTS`, by name. Folders and links are left out: a link could name a file
/// that is none of the attempt's.
pub(super) fn artifacts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join(ARTIFACTS)).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut files: Vec<_> = files.map(|entry| entry.path()).collect();
    files.sort();
    files.truncate(MAX_ARTIFACTS);
    files
}
