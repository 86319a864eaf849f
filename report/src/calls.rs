//! What every rendering asks of a report about calls and undos, so that all of them give the same answer.
//!
//! A call that failed is nothing to look at by itself: its caller has judged it. A leak is: what should be
//! gone is still there.

use std::time::Duration;

use rfx_schemas::outcome::{Artifact, Failure};
use rfx_schemas::report::{CallReport, Report, StepReport};
use rfx_schemas::verdict::{Counts, Verdict};

use crate::{pick, text};

/// What should have been undone, and was not.
pub(crate) fn leaks(report: &Report) -> impl Iterator<Item = &CallReport> {
    report.undos.iter().filter(|undo| undo.leak.is_some())
}

/// `2 leaks`; nothing when there is none.
pub(crate) fn leaked(report: &Report) -> Option<String> {
    let leaks = leaks(report).count();
    (leaks > 0).then(|| pick::counted(leaks, "leak"))
}

/// `steps.device/call-1 hosts.register`, and the item of whoever called.
pub(crate) fn name(call: &CallReport) -> String {
    let key = call.key.as_deref().map(|key| format!("  {}", text::one_line(key, 120))).unwrap_or_default();
    format!("{}{key}", text::one_line(&call.path, pick::MESSAGE_LIMIT))
}

/// Why it was not undone, or what went wrong, in one line.
pub(crate) fn said(call: &CallReport) -> Option<String> {
    let leak = call.leak.as_deref().map(|leak| text::one_line(leak, pick::MESSAGE_LIMIT));
    leak.or_else(|| Some(text::one_line(&pick::message(error(call)?), pick::MESSAGE_LIMIT)))
}

fn error(call: &CallReport) -> Option<&Failure> {
    call.attempts.last()?.detail.as_ref()?.error.as_ref()
}

/// What it was called with, in one line; of leaks.
pub(crate) fn input(call: &CallReport) -> Option<String> {
    call.input.as_ref().map(|input| text::one_line(&input.to_string(), pick::MESSAGE_LIMIT))
}

/// How long it took, attempts and waits between them.
pub(crate) fn took(call: &CallReport) -> Duration {
    let (first, last) = (call.attempts.first(), call.attempts.last());
    first.zip(last).map_or(Duration::ZERO, |(first, last)| last.ended.since(first.released))
}

/// `60 calls: 58 passed, 2 failed`.
pub(crate) fn counted(calls: &[CallReport], what: &str) -> String {
    let mut counts = Counts::default();
    calls.iter().filter_map(|call| call.verdict).for_each(|verdict| counts.add(verdict));
    let some = Verdict::ALL.into_iter().filter(|verdict| counts.get(*verdict) > 0);
    let mut words: Vec<_> = some.map(|verdict| format!("{} {verdict}", counts.get(verdict))).collect();
    let open = calls.len() - counts.total() as usize;
    words.extend((open > 0).then(|| format!("{open} running")));
    format!("{}: {}", pick::counted(calls.len(), what), words.join(", "))
}

/// A line for each step that has called.
pub(crate) fn by_step(report: &Report) -> impl Iterator<Item = (String, String)> {
    let called = report.steps.iter().filter(|step: &&StepReport| !step.calls.is_empty());
    called.map(|step| (pick::step_name(step), counted(&step.calls, "call")))
}

/// Calls and undos that did not pass, but for leaks, which stand by themselves.
pub(crate) fn not_passed(report: &Report) -> Vec<&CallReport> {
    let calls = report.steps.iter().flat_map(|step| &step.calls);
    let odd =
        |call: &&CallReport| call.verdict.is_some_and(|verdict| !verdict.is_pass()) && call.leak.is_none();
    calls.filter(odd).collect()
}

/// `page.html (12 KiB, text/html)`.
pub(crate) fn artifact(artifact: &Artifact) -> String {
    let size = match artifact.size {
        bytes @ 0..1_024 => format!("{bytes} bytes"),
        bytes @ 1_024..1_048_576 => format!("{} KiB", bytes.div_ceil(1_024)),
        bytes => format!("{} MiB", bytes.div_ceil(1_048_576)),
    };
    format!("{} ({size}, {})", text::one_line(&artifact.name, 200), text::one_line(&artifact.media_type, 100))
}
