//! The terminal summary: a table of steps, what did not pass, and one line that says it all.
//!
//! It must read well in a CI log too, so without colour it is plain text and nothing depends on width.

mod steps;

use rfx_schemas::outcome::Assertion;
use rfx_schemas::report::{Detail, JobReport, Report, StepReport};
use rfx_schemas::verdict::Verdict;

use crate::pick::{self, Mark};
use crate::text;

/// Most jobs that are told about one by one.
const JOBS: usize = 10;
/// Most comparisons of a job that did not hold.
const ASSERTIONS: usize = 10;
/// Most lines of a diff, a traceback and what was printed.
const DIFF_LINES: usize = 40;
const TRACE_LINES: usize = 15;
const TAIL_LINES: usize = 10;
/// Most characters of such a line: a log viewer wraps, but not for ever.
const LINE_LIMIT: usize = 400;

/// How the terminal wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Whether it shows colours; not when it is no terminal or `NO_COLOR` is set.
    pub color: bool,
    /// Its width in columns, which the table then keeps to; none leaves lines as long as they are.
    pub width: Option<u16>,
}

/// The summary, ending in a newline.
pub fn summary(report: &Report, style: Style) -> String {
    let mut out = Lines { style, text: String::new() };
    if !report.steps.is_empty() {
        out.line(&steps::table(report, style));
        out.line("");
    }
    skipped_steps(&mut out, report);
    concerns(&mut out, report);
    flaky(&mut out, report);
    if let Some(reason) = &report.cancelled {
        out.line(&format!("cancelled: {}", text::one_line(reason, pick::MESSAGE_LIMIT)));
    }
    out.line(&closing(report, style));
    out.text
}

/// The text so far, and how it is coloured.
struct Lines {
    style: Style,
    text: String,
}

impl Lines {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn indented(&mut self, depth: usize, line: &str, paint: Paint) {
        let line = text::clip(line, LINE_LIMIT);
        let shown = if line.is_empty() { String::new() } else { self.style.paint(paint, &line) };
        self.line(format!("{:depth$}{shown}", "").trim_end());
    }
}

/// What a piece of text is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Plain,
    Faint,
    Good,
    Bad,
    Odd,
    Ours,
}

impl Paint {
    fn of(verdict: Option<Verdict>) -> Self {
        match verdict {
            Some(Verdict::Passed) => Self::Good,
            Some(Verdict::Failed | Verdict::Error) => Self::Bad,
            Some(Verdict::Flaky | Verdict::Cancelled) => Self::Odd,
            Some(Verdict::Lost) => Self::Ours,
            Some(Verdict::Skipped) => Self::Faint,
            None => Self::Plain,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Faint => "2",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Odd => "33",
            Self::Ours => "35",
        }
    }
}

impl Style {
    fn paint(self, paint: Paint, text: &str) -> String {
        if self.color && paint != Paint::Plain {
            format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code())
        } else {
            text.to_owned()
        }
    }
}

/// Why whole steps were skipped.
fn skipped_steps(out: &mut Lines, report: &Report) {
    let skipped: Vec<_> =
        report.steps.iter().filter_map(|step| Some((step, step.reason.as_deref()?))).collect();
    for (step, reason) in skipped.iter().take(JOBS) {
        let word = Mark::of(step.verdict).word;
        let reason = text::one_line(reason, pick::MESSAGE_LIMIT);
        out.indented(0, &format!("{word}  {}: {reason}", pick::step_name(step)), Paint::Faint);
    }
    more(out, skipped.len());
    if !skipped.is_empty() {
        out.line("");
    }
}

/// What to look at, job by job.
fn concerns(out: &mut Lines, report: &Report) {
    for (step, job) in pick::concerns(report).take(JOBS) {
        heading(out, step, job);
        if let Some(detail) = pick::detail(job) {
            evidence(out, detail);
        }
        out.line("");
    }
    let all = pick::concerns(report).count();
    more(out, all);
    if all > JOBS {
        out.line("");
    }
}

fn more(out: &mut Lines, all: usize) {
    if all > JOBS {
        out.line(&format!("… and {} more", all - JOBS));
    }
}

fn heading(out: &mut Lines, step: &StepReport, job: &JobReport) {
    let mark = Mark::of(job.verdict);
    let verdict = out.style.paint(Paint::of(job.verdict), &format!("{} {}", mark.sign, mark.word));
    let mut line = format!("{verdict}  {}  {}", pick::step_name(step), pick::job_name(job));
    if let Some(last) = job.attempts.last() {
        let nth =
            if job.attempts.len() > 1 { format!("attempt {}, ", job.attempts.len()) } else { String::new() };
        let facts = format!("  {nth}{} on {}", text::human(pick::took(last)), pick::worker(last));
        line.push_str(&out.style.paint(Paint::Faint, &facts));
    }
    out.line(&line);
}

fn evidence(out: &mut Lines, detail: &Detail) {
    if let Some(error) = &detail.error {
        out.indented(4, &pick::message(error), Paint::Bad);
    }
    for assertion in pick::broken(detail).take(ASSERTIONS) {
        compared(out, assertion);
    }
    let more = pick::broken(detail).count().saturating_sub(ASSERTIONS);
    if more > 0 {
        out.indented(4, &format!("… and {more} more not true"), Paint::Faint);
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
        out.indented(6, &format!("{label:<8}  {}", text::one_line(seen, pick::MESSAGE_LIMIT)), Paint::Plain);
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

/// What passed only at a later attempt, in one line each.
fn flaky(out: &mut Lines, report: &Report) {
    for (step, job) in pick::flaky(report).take(JOBS) {
        let mark = Mark::of(job.verdict);
        let verdict = out.style.paint(Paint::Odd, &format!("{} {}", mark.sign, mark.word));
        let attempts = job.attempts.len();
        out.line(&format!(
            "{verdict}  {}  {}  passed at attempt {attempts}",
            pick::step_name(step),
            pick::job_name(job)
        ));
    }
    let all = pick::flaky(report).count();
    more(out, all);
    if all > 0 {
        out.line("");
    }
}

/// `FAILED  flow  7 passed, 1 failed, 0 skipped in 1.2 s   run 0190…`.
fn closing(report: &Report, style: Style) -> String {
    let word = Mark::of(report.verdict).word.to_uppercase();
    let verdict = style.paint(Paint::of(report.verdict), &word);
    let flow = text::one_line(&report.flow, pick::MESSAGE_LIMIT);
    let (counts, duration) = (pick::counts(report), text::human(report.duration));
    format!("{verdict}  {flow}  {counts} in {duration}   run {}", report.run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn shown(report: &Report, style: Style) -> String {
        summary(report, style).replace('\u{1b}', "␛")
    }

    #[test]
    fn every_verdict_in_plain_text() {
        insta::assert_snapshot!(shown(&fixtures::every_verdict(), Style::default()));
    }

    #[test]
    fn a_failed_run_in_colour_within_its_width() {
        let text = shown(&fixtures::failed(), Style { color: true, width: Some(80) });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_run_that_goes_on_and_an_empty_one() {
        let table = fixtures::table();
        let some = table.iter().filter(|(name, _)| matches!(*name, "running" | "empty"));
        let texts: Vec<_> = some.map(|(_, report)| shown(report, Style::default())).collect();
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn at_most_ten_jobs_are_told_about() {
        let text = summary(&fixtures::many(300, 40), Style::default());
        assert_eq!(text.matches("✗ failed").count(), 10);
        assert!(text.contains("… and 30 more\n"));
        assert!(text.ends_with("in 713 ms   run 019abf5e-6c00-7000-8000-000000000001\n"), "{text}");
    }

    #[test]
    fn no_function_reaches_the_terminal() {
        for (name, report) in fixtures::table() {
            let text = summary(&report, Style::default());
            assert_eq!(text.chars().find(|c| c.is_control() && *c != '\n'), None, "{name}");
            assert!(text.lines().all(|line| line.chars().count() < 1_000), "{name}");
        }
    }
}
