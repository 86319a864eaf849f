//! The terminal summary: the tree of steps as a table, what did not pass, what the flow gave back, and
//! one line that says it all.
//!
//! It must read well in a CI log too, so without colour it is plain text and nothing depends on width.

mod calls;
mod evidence;
mod steps;

use rfx_schemas::report::{JobReport, Report, StepReport};
use rfx_schemas::verdict::Verdict;

use crate::pick::{self, Mark};
use crate::text;

/// Most jobs that are told about one by one.
const JOBS: usize = 10;
/// Most of the flow's outputs.
const OUTPUTS: usize = 10;
/// Most characters of a line of evidence: a log viewer wraps, but not for ever.
const LINE_LIMIT: usize = 400;

/// How the terminal wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Whether it shows colours; not when it is no terminal or `NO_COLOR` is set.
    pub color: bool,
    /// Its width in columns, which the table then keeps to; none leaves lines as long as they are.
    pub width: Option<u16>,
    /// Only the verdict and what did not pass.
    pub brief: bool,
}

/// The summary, ending in a newline.
pub fn summary(report: &Report, style: Style) -> String {
    let mut out = Lines { style, text: String::new() };
    if !report.steps.is_empty() && !style.brief {
        out.line(&steps::table(report, style));
        out.line("");
    }
    if !style.brief {
        reasons(&mut out, report);
    }
    if !style.brief {
        calls::called(&mut out, report);
    }
    concerns(&mut out, report);
    calls::leaks(&mut out, report);
    quiet(&mut out, &pick::allowed(report), allowed);
    quiet(&mut out, &pick::flaky(report).collect::<Vec<_>>(), flaky);
    if !style.brief {
        outputs(&mut out, report);
    }
    if let Some(reason) = &report.cancelled {
        out.line(&format!("cancelled: {}", text::one_line(reason, pick::MESSAGE_LIMIT)));
    }
    for why in pick::unmade(report) {
        out.line(&format!("{} {why}", style.paint(Paint::Odd, "output without a value:")));
    }
    for breach in pick::breaches(report) {
        let gate = style.paint(Paint::Bad, "gate not kept:");
        out.line(&format!("{gate} {breach}"));
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

/// Why whole steps were skipped, or never came to their jobs.
fn reasons(out: &mut Lines, report: &Report) {
    let with: Vec<_> = report.steps.iter().filter_map(|step| Some((step, step.reason.as_deref()?))).collect();
    for (step, reason) in with.iter().take(JOBS) {
        let word = Mark::of(step.verdict).word;
        let paint = if pick::is_concern(step.verdict) { Paint::of(step.verdict) } else { Paint::Faint };
        let reason = pick::lines(reason);
        let (first, rest) =
            reason.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        out.indented(0, &format!("{word}  {}: {first}", pick::step_name(step)), paint);
        rest.iter().for_each(|line| out.indented(4, line, paint));
    }
    more(out, with.len());
    if !with.is_empty() {
        out.line("");
    }
}

/// What to look at, one by one.
fn concerns(out: &mut Lines, report: &Report) {
    let all = pick::concerns(report);
    for (step, job) in all.iter().take(JOBS) {
        heading(out, step, job);
        evidence::of(out, job);
        out.line("");
    }
    more(out, all.len());
    if all.len() > JOBS {
        out.line("");
    }
}

fn more(out: &mut Lines, all: usize) {
    if all > JOBS {
        out.line(&format!("… and {} more", all - JOBS));
    }
}

fn heading(out: &mut Lines, step: &StepReport, job: &JobReport) {
    let mut facts = Vec::new();
    if let Some(last) = job.attempts.last() {
        match pick::polled(job) {
            Some(polled) => facts.push(polled),
            None if job.attempts.len() > 1 => facts.push(format!("attempt {}", pick::tries(job))),
            None => {}
        }
        facts.push(format!("{} on {}", text::human(pick::took(last)), pick::worker(last)));
    }
    facts.extend(step.about.owner.as_deref().map(|who| format!("owner {}", text::one_line(who, 60))));
    let mut line = named(out.style, step, job);
    if !facts.is_empty() {
        line.push_str(&out.style.paint(Paint::Faint, &format!("  {}", facts.join(", "))));
    }
    out.line(&line);
}

/// `✗ failed  device  web-03`.
fn named(style: Style, step: &StepReport, job: &JobReport) -> String {
    let mark = Mark::of(job.verdict);
    let verdict = style.paint(Paint::of(job.verdict), &format!("{} {}", mark.sign, mark.word));
    format!("{verdict}  {}  {}", pick::step_name(step), pick::job_name(job))
}

/// What need not be looked at, in one line each.
fn quiet(
    out: &mut Lines,
    all: &[(&StepReport, &JobReport)],
    line: fn(Style, &StepReport, &JobReport) -> String,
) {
    for (step, job) in all.iter().take(JOBS) {
        let line = line(out.style, step, job);
        out.line(&line);
    }
    more(out, all.len());
    if !all.is_empty() {
        out.line("");
    }
}

/// What failed and may: without its colour, so that it does not draw the eye from what may not.
fn allowed(style: Style, step: &StepReport, job: &JobReport) -> String {
    let name = named(Style { color: false, ..style }, step, job);
    let said = pick::said(job).map(|said| format!("  {said}")).unwrap_or_default();
    style.paint(Paint::Faint, &format!("{name}  allowed{said}"))
}

/// What passed only at a later attempt.
fn flaky(style: Style, step: &StepReport, job: &JobReport) -> String {
    format!("{}  passed at attempt {}", named(style, step, job), pick::tries(job))
}

/// What the flow gave back, a line each.
fn outputs(out: &mut Lines, report: &Report) {
    let lines = pick::outputs(report);
    if lines.is_empty() {
        return;
    }
    out.line("outputs");
    lines.iter().take(OUTPUTS).for_each(|line| out.indented(2, line, Paint::Plain));
    if lines.len() > OUTPUTS {
        out.indented(2, &format!("… and {} more", lines.len() - OUTPUTS), Paint::Faint);
    }
    out.line("");
}

/// `FAILED  flow  7 passed, 1 failed, 0 skipped in 1.2 s   run 0190…`.
fn closing(report: &Report, style: Style) -> String {
    let word = Mark::of(report.verdict).word.to_uppercase();
    let verdict = style.paint(Paint::of(report.verdict), &word);
    let flow = text::one_line(&report.flow, pick::MESSAGE_LIMIT);
    let (counts, duration) = (pick::counts(report), text::human(report.duration));
    // A run passes in spite of a failure only where its gate says how many it admits.
    let failed = (report.counts.failed + report.counts.error).saturating_sub(report.counts.allowed);
    let gate =
        if report.verdict.is_some_and(Verdict::is_pass) && failed > 0 { ", within the gate," } else { "" };
    let leaks = crate::calls::leaked(report).map(|leaks| format!(", {leaks}")).unwrap_or_default();
    format!("{verdict}  {flow}  {counts}{leaks}{gate} in {duration}   run {}", report.run)
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
        let text = shown(&fixtures::failed(), Style { color: true, width: Some(80), brief: false });
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
    fn flows_inside_of_flows() {
        insta::assert_snapshot!(shown(&fixtures::composites(), Style::default()));
    }

    #[test]
    fn calls_and_leaks() {
        insta::assert_snapshot!(shown(&fixtures::calls(), Style::default()));
        let brief = shown(&fixtures::calls(), Style { brief: true, ..Style::default() });
        assert!(brief.contains("! leak  steps.device/undo-1 tenants.delete") && !brief.contains("call-2"));
    }

    #[test]
    fn the_tree_keeps_its_shape_in_a_narrow_terminal() {
        let text = shown(&fixtures::composites(), Style { color: true, width: Some(90), brief: false });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn at_most_ten_outputs_are_shown() {
        let mut report = fixtures::failed();
        let all = (0..12).map(|n| (format!("out{n:02}"), n.into()));
        report.outputs = Some(serde_json::Value::Object(all.collect()));
        let text = summary(&report, Style::default());
        assert!(text.contains("  out09: 9\n  … and 2 more\n") && !text.contains("out10"), "{text}");
        report.outputs = Some(serde_json::json!({}));
        assert!(!summary(&report, Style::default()).contains("outputs"));
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
