//! What the terminal summary shows of a job that did not pass: the message in its lines, comparisons,
//! a diff, what it printed, where. Each is cut: the report has all.

use rfx_schemas::outcome::Assertion;
use rfx_schemas::report::{Detail, JobReport};

use super::{Lines, Paint};
use crate::text;
use crate::{calls, pick};

/// Most comparisons of a job that did not hold.
const ASSERTIONS: usize = 10;
/// Most lines of a diff, a traceback and what was printed.
const DIFF_LINES: usize = 40;
const TRACE_LINES: usize = 15;
const TAIL_LINES: usize = 10;
/// Most files that it left.
const ARTIFACTS: usize = 10;

/// What there is to see of a job, or of a composite's execution.
pub(super) fn of(out: &mut Lines, job: &JobReport) {
    // Below an error stands what belongs to it; the lines of a reason are equals.
    let below = if pick::error(job).is_some() { 6 } else { 4 };
    for (number, line) in pick::said_lines(job).iter().enumerate() {
        out.indented(if number == 0 { 4 } else { below }, line, Paint::Bad);
    }
    if let Some(detail) = pick::detail(job) {
        evidence(out, detail);
    }
}

fn evidence(out: &mut Lines, detail: &Detail) {
    for assertion in pick::broken(detail).take(ASSERTIONS) {
        compared(out, assertion);
    }
    let more = pick::broken(detail).count().saturating_sub(ASSERTIONS);
    if more > 0 {
        out.indented(4, &format!("… and {more} more not true"), Paint::Faint);
    }
    for artifact in detail.artifacts.iter().take(ARTIFACTS) {
        out.indented(4, &format!("left {}", calls::artifact(artifact)), Paint::Plain);
    }
    let error = detail.error.as_ref();
    if let Some(diff) = error.and_then(|error| error.diff.as_deref()) {
        unified(out, &text::plain(diff));
    }
    block(out, "printed", &detail.tail, TAIL_LINES);
    block(
        out,
        "traceback",
        error.and_then(|error| error.traceback.as_deref()).unwrap_or_default(),
        TRACE_LINES,
    );
}

fn compared(out: &mut Lines, assertion: &Assertion) {
    let label = text::one_line(&assertion.label, pick::MESSAGE_LIMIT);
    out.indented(4, &format!("not true: {label}"), Paint::Plain);
    for (label, seen) in pick::compared(assertion) {
        for (number, line) in pick::lines(seen).iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            out.indented(6, &format!("{label:<8}  {line}"), Paint::Plain);
        }
    }
}

fn unified(out: &mut Lines, diff: &str) {
    let lines: Vec<&str> = diff.trim_end().lines().collect();
    for line in lines.iter().take(DIFF_LINES) {
        let paint = match line.as_bytes().first() {
            _ if line.starts_with("--- ") || line.starts_with("+++ ") => Paint::Faint,
            Some(b'+') => Paint::Good,
            Some(b'-') => Paint::Bad,
            Some(b'@') => Paint::Faint,
            _ => Paint::Plain,
        };
        out.indented(4, line, paint);
    }
    if lines.len() > DIFF_LINES {
        out.indented(4, &format!("… and {} more lines", lines.len() - DIFF_LINES), Paint::Faint);
    }
}

fn block(out: &mut Lines, title: &str, content: &str, most: usize) {
    let content = text::plain(content);
    let lines = text::last_lines(&content, most);
    if lines.is_empty() {
        return;
    }
    let all = content.trim_end().lines().count();
    let title = if all > most { format!("{title} (last {most} of {all} lines)") } else { title.to_owned() };
    out.indented(4, &title, Paint::Faint);
    for line in lines {
        out.indented(6, line, Paint::Plain);
    }
}
