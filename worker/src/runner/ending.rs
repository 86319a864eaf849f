//! How a call ended, in the words of an outcome. Pure.

use std::time::Duration;

use bytes::Bytes;
use rfx_schemas::outcome::{Assertion, Failure, kind};
use rfx_schemas::verdict::OutcomeKind;

use super::crew::Request;
use super::frames::{BROKE, End, SaidAssertion};
use super::process::Exit;
use super::sdk;
use crate::attempt::Ending;
use crate::text::text_of;

/// Where a dump of Python's stacks begins in what a process printed.
const DUMPS: [&str; 3] = ["Fatal Python error:", "Current thread 0x", "Thread 0x"];

/// Most levels of an output: those that read it later give up at more.
const DEEPEST: usize = 120;

/// Why a call was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Its time was over.
    TimedOut,
    /// Its run was cancelled.
    Cancelled,
}

/// A call that the runner has answered.
pub fn said(end: End, body: Bytes, tail: String) -> Ending {
    Ending {
        kind: end.kind,
        output: (!body.is_empty()).then_some(body),
        error: end.error,
        assertions: end.assertions.into_iter().map(assertion).collect(),
        tail,
        ..Ending::of(end.kind)
    }
}

/// A call that a program of the pool's own has answered, which may have said anything.
pub fn checked(end: End, body: Bytes, tail: String) -> Ending {
    let refused = |kind: &str, why: String| Ending {
        tail: tail.clone(),
        ..Ending::failed(OutcomeKind::Error, Failure::new(kind, why))
    };
    if !matches!(
        end.kind,
        OutcomeKind::Passed | OutcomeKind::Failed | OutcomeKind::Error | OutcomeKind::Skipped
    ) {
        let why = format!("its runner says that it is {}, which only a worker can", end.kind);
        return refused(kind::CRASHED, why);
    }
    match check_json(&body) {
        Err(why) => refused("OutputError", why),
        Ok(()) => said(end, body, tail),
    }
}

/// Whether an output can be read later. It may be big: nothing is made of it.
fn check_json(body: &[u8]) -> Result<(), String> {
    if body.is_empty() {
        return Ok(());
    }
    let wrong = |error: &dyn std::fmt::Display| format!("the output is not JSON: {error}");
    let text = std::str::from_utf8(body).map_err(|error| wrong(&error))?;
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| wrong(&error))?;
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    match deepest > DEEPEST {
        true => Err(format!("the output is nested {deepest} deep; at most {DEEPEST} levels are carried")),
        false => Ok(()),
    }
}

/// A call whose process sent what is no frame.
pub fn broke(what: &str, tail: String) -> Ending {
    let message = format!("the runner {BROKE}{what}; it was killed");
    Ending { tail, ..Ending::failed(OutcomeKind::Error, Failure::new(kind::CRASHED, message)) }
}

/// A call that was asked to stop and did so, with whatever it answered.
pub fn stopped(why: Stopped, ending: Ending, request: &Request) -> Ending {
    let traceback = ending.error.and_then(|error| error.traceback);
    let (kind, failure) = words(why, "the attempt ran longer than its timeout", request);
    Ending { kind, output: None, error: Some(Failure { traceback, ..failure }), ..ending }
}

/// A call that did not stop when asked to.
pub fn killed(why: Stopped, tail: String, request: &Request) -> Ending {
    let (kind, failure) = words(
        why,
        "the attempt ran longer than its timeout, did not stop when asked to, and was killed",
        request,
    );
    let (tail, traceback) = dump(tail);
    Ending { tail, ..Ending::failed(kind, Failure { traceback, ..failure }) }
}

fn words(why: Stopped, late: &str, request: &Request) -> (OutcomeKind, Failure) {
    match why {
        Stopped::TimedOut => {
            let failure = Failure::new(kind::TIMED_OUT, format!("{late}{}", so_far(request)));
            (OutcomeKind::Error, failure)
        }
        Stopped::Cancelled => {
            (OutcomeKind::Cancelled, Failure::new(kind::CANCELLED, "the run was cancelled"))
        }
    }
}

/// A process that ended under its call.
pub fn crashed(exit: &Exit, tail: String, request: &Request) -> Ending {
    let (tail, traceback) = dump(tail);
    let message = format!("the process that ran the function {exit}{}", so_far(request));
    let failure = Failure { traceback, ..Failure::new(kind::CRASHED, message) };
    Ending { tail, ..Ending::failed(OutcomeKind::Error, failure) }
}

/// A process that something else than its function has ended: that is nothing the test said.
pub fn orphaned(exit: &Exit, tail: String) -> Ending {
    let message = format!("the process that ran the function {exit}");
    Ending { tail, ..Ending::failed(OutcomeKind::Lost, Failure::new(kind::CRASHED, message)) }
}

/// A process that used too much memory.
pub fn out_of_memory(used: u64, limit: u64, tail: String) -> Ending {
    let mebibytes = |bytes: u64| bytes >> 20;
    let message = format!(
        "it used {} MiB of memory with all that it started, {} MiB are allowed (memory in pool.toml), and was killed",
        mebibytes(used),
        mebibytes(limit)
    );
    Ending { tail, ..Ending::failed(OutcomeKind::Error, Failure::new(kind::MEMORY, message)) }
}

/// The last that a function said of its progress.
fn so_far(request: &Request) -> String {
    let Some((message, ago)) = request.desk.last_progress() else { return String::new() };
    let ago = Duration::from_millis(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX));
    match message {
        Some(message) => format!("; it said {ago:?} before: {message}"),
        None => format!("; its last beat was {ago:?} before"),
    }
}

/// Takes a dump of Python's stacks out of what was printed: it says where, and goes where people look.
fn dump(tail: String) -> (String, Option<String>) {
    let begins = |mark: &&str| {
        let at = tail.find(*mark)?;
        (at == 0 || tail[..at].ends_with('\n')).then_some(at)
    };
    match DUMPS.iter().filter_map(begins).min() {
        Some(at) => (tail[..at].to_owned(), Some(authors(tail[at..].trim_end()))),
        None => (tail, None),
    }
}

/// A dump without the frames of rfx and of how Python was started, which are the same in every one.
fn authors(dump: &str) -> String {
    let ours = |line: &&str| {
        let file = line.trim_start().strip_prefix("File \"").unwrap_or_default();
        file.starts_with("<frozen ") || (file.contains(sdk::PREFIX) && file.contains("/rfx/"))
    };
    dump.lines().filter(|line| !ours(line)).collect::<Vec<_>>().join("\n")
}

fn assertion(said: SaidAssertion) -> Assertion {
    Assertion {
        label: said.label,
        passed: said.passed,
        // A comparison with None is one too, where a value stands on the other side.
        expected: text_of(said.expected),
        seen: text_of(said.seen),
        message: said.message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_json_that_can_be_read() {
        for good in ["", "null", r#"{"a": ["\"[[[", "\\"]}"#] {
            assert_eq!(check_json(good.as_bytes()), Ok(()), "{good}");
        }
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(check_json(deep(DEEPEST).as_bytes()), Ok(()));
        for (bad, why) in [
            (deep(DEEPEST + 1).as_bytes(), "nested 121 deep"),
            (b"{\"a\": }", "line 1 column 7"),
            (b"\"\xff\"", "invalid utf-8"),
            (b"1 2", "trailing characters"),
        ] {
            let said = check_json(bad).expect_err("it is wrong");
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_dump_is_taken_out_of_what_was_printed() {
        let (tail, dump_of) =
            dump("working\nFatal Python error: Segmentation fault\n\nCurrent thread 0x1\n".to_owned());
        assert_eq!(tail, "working\n");
        assert!(
            dump_of.expect("it is there").starts_with("Fatal Python error: Segmentation fault\n\nCurrent")
        );
        let frames = "Current thread 0x1 (most recent call first):\n  File \"/pool/a.py\", line 3 in hang\n  File \"/tmp/rfx-sdk-1/rfx/_serve.py\", line 9 in _take\n  File \"<frozen runpy>\", line 88 in _run_code";
        assert!(authors(frames).ends_with("line 3 in hang"), "{}", authors(frames));
        let printed = "a Thread 0x in the midst of a line\n".to_owned();
        assert_eq!(dump(printed.clone()), (printed, None));
    }
}
