//! A short markdown for the job summaries of CI systems: the terminal summary's content, with the
//! evidence folded away. Texts from functions can neither format nor mention nor embed anything.

use rfx_schemas::report::{CallReport, Detail, JobReport, Report, StepReport};
use rfx_schemas::verdict::Verdict;

use crate::pick::{self, Mark};
use crate::tree::Tree;
use crate::{calls, text};

/// Most jobs that are told about one by one.
const JOBS: usize = 20;
/// Most comparisons of a job that did not hold.
const ASSERTIONS: usize = 10;
/// Most of the flow's outputs.
const OUTPUTS: usize = 10;
/// Deepest indentation of a step.
const DEPTH: usize = 8;
/// Most characters of one text. The whole stays far below the 1 MiB that GitHub allows.
const TEXT_LIMIT: usize = 4_000;

/// The report as markdown, ending in a newline.
pub fn markdown(report: &Report) -> String {
    let mut parts = vec![heading(report)];
    if !report.steps.is_empty() {
        parts.push(steps(report));
    }
    let reasons: Vec<String> = report.steps.iter().filter_map(skipped).take(JOBS).collect();
    parts.extend((!reasons.is_empty()).then(|| reasons.join("\n")));
    let concerns = pick::concerns(report);
    parts.extend(concerns.iter().take(JOBS).map(|(step, job)| concern(step, job)));
    let more = concerns.len().saturating_sub(JOBS);
    parts.extend((more > 0).then(|| format!("… and {more} more")));
    parts.extend(leaks(report));
    parts.extend(called(report));
    parts.extend(allowed(report));
    parts.extend(flaky(report));
    parts.extend(outputs(report));
    parts.push(format!("`rfx-publish show {}`", report.run));
    parts.join("\n\n") + "\n"
}

fn heading(report: &Report) -> String {
    let mark = Mark::of(report.verdict);
    let flow = line(&report.flow);
    let mut text = format!("### {} {} · {flow}\n\n", mark.sign, mark.word.to_uppercase());
    let (counts, duration) = (pick::counts(report), text::human(report.duration));
    let leaks = calls::leaked(report).map(|leaks| format!(", {leaks}")).unwrap_or_default();
    text.push_str(&format!(
        "**{counts}{leaks}** in {duration} · run `{}` · trace {}",
        report.run,
        code(&report.trace)
    ));
    let about: Vec<_> = pick::about(&report.about)
        .into_iter()
        .map(|(what, text)| format!("{what} {}", line(&text)))
        .collect();
    if !about.is_empty() {
        text.push_str(&format!(" · {}", about.join(" · ")));
    }
    for why in pick::unmade(report) {
        text.push_str(&format!("\n\n**Output without a value:** {}", line(&why)));
    }
    for breach in pick::breaches(report) {
        text.push_str(&format!("\n\n**Gate not kept:** {}", line(&breach)));
    }
    if let Some(reason) = &report.cancelled {
        text.push_str(&format!("\n\nCancelled: {}", line(reason)));
    }
    text
}

fn steps(report: &Report) -> String {
    let verdicts = pick::columns(report);
    let words: String = verdicts.iter().map(|verdict| format!(" {verdict} |")).collect();
    let rules = " ---: |".repeat(verdicts.len());
    let mut text = format!(
        "| verdict | step | uses | where | jobs |{words} time |\n|---|---|---|---| ---: |{rules} ---: |"
    );
    let tree = Tree::of(report);
    for (at, step) in report.steps.iter().enumerate() {
        let indent = "&emsp;".repeat(tree.depth(at).min(DEPTH));
        let allowed = tree.allows(at, step.verdict);
        text.push_str(&format!("\n{}", row(step, &indent, allowed, &verdicts)));
    }
    text
}

fn row(step: &StepReport, indent: &str, allowed: bool, verdicts: &[Verdict]) -> String {
    let (sign, word) = (Mark::of(step.verdict).sign, pick::word(step.verdict, allowed));
    let name = line(&pick::own_name(step));
    let lineage = pick::lineage(step).map(|lineage| format!(" {}", line(&lineage))).unwrap_or_default();
    // Executions of a flow are no jobs, and stand in no column whose sum is that of the jobs.
    let (place, jobs) = match step.composite {
        true => (pick::executions_by_verdict(step), String::new()),
        false => (pick::place(step), step.jobs.len().to_string()),
    };
    let count = |verdict: &Verdict| match step.composite {
        true => " |".to_owned(),
        false => format!(" {} |", step.counts.get(*verdict)),
    };
    let counts: String = verdicts.iter().map(count).collect();
    let (uses, place, time) = (code(&step.uses), line(&place), pick::step_took(step));
    format!("| {sign} {word} | {indent}{name} | {uses}{lineage} | {place} | {jobs} |{counts} {time} |")
}

fn skipped(step: &StepReport) -> Option<String> {
    let reason = line(step.reason.as_deref()?);
    Some(format!("- {} {}: {reason}", Mark::of(step.verdict).word, line(&pick::step_name(step))))
}

fn concern(step: &StepReport, job: &JobReport) -> String {
    let mark = Mark::of(job.verdict);
    let message = pick::said(job).map(|said| format!(" — {}", line(&said))).unwrap_or_default();
    let (name, key) = (line(&pick::step_name(step)), line(&pick::job_name(job)));
    let polled = pick::polled(job).map(|polled| format!(" · {polled}")).unwrap_or_default();
    let summary = format!("<summary>{} {} · {name} · {key}{polled}{message}</summary>", mark.sign, mark.word);
    // What the line above had to join is told again, in its lines.
    let lines = pick::said_lines(job);
    let mut evidence = String::new();
    fenced(&mut evidence, "Message", "text", (lines.len() > 1).then(|| lines.join("\n")).as_deref());
    evidence.push_str(&pick::detail(job).map_or_else(|| "\n".to_owned(), self::evidence));
    format!("<details>{summary}\n\n{evidence}</details>")
}

fn evidence(detail: &Detail) -> String {
    let mut text = String::new();
    for assertion in pick::broken(detail).take(ASSERTIONS) {
        text.push_str(&format!("- not true: {}\n", code(&assertion.label)));
        for (label, seen) in pick::compared(assertion) {
            text.push_str(&format!("  - {label}: {}\n", code(seen)));
        }
    }
    let more = pick::broken(detail).count().saturating_sub(ASSERTIONS);
    if more > 0 {
        text.push_str(&format!("- … and {more} more not true\n"));
    }
    for artifact in detail.artifacts.iter().take(ASSERTIONS) {
        text.push_str(&format!("- left {}\n", line(&calls::artifact(artifact))));
    }
    let error = detail.error.as_ref();
    let traceback = error.and_then(|error| error.traceback.as_deref());
    fenced(&mut text, "Expected against seen", "diff", error.and_then(|error| error.diff.as_deref()));
    fenced(
        &mut text,
        "Printed",
        "text",
        Some(&detail.tail).filter(|tail| !tail.is_empty()).map(String::as_str),
    );
    fenced(&mut text, "Traceback", "text", traceback);
    text.push('\n');
    text
}

/// A code block whose fence is longer than any run of ticks in it, so that nothing in it can end it.
fn fenced(text: &mut String, title: &str, language: &str, content: Option<&str>) {
    let Some(content) = content else { return };
    let content = text::shorten(content, TEXT_LIMIT);
    let longest = content.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    text.push_str(&format!("\n{title}:\n\n{fence}{language}\n{}\n{fence}\n", content.trim_end()));
}

fn flaky(report: &Report) -> Option<String> {
    let all: Vec<_> = pick::flaky(report).collect();
    named("≈ flaky", &all, |job| format!("{} attempts", pick::tries(job)))
}

/// What failed and may, in one line: it is not what to look at.
fn allowed(report: &Report) -> Option<String> {
    named("allowed to fail", &pick::allowed(report), |job| Mark::of(job.verdict).word.to_owned())
}

fn named(
    title: &str,
    all: &[(&StepReport, &JobReport)],
    fact: impl Fn(&JobReport) -> String,
) -> Option<String> {
    let name = |(step, job): &(&StepReport, &JobReport)| {
        format!("{} {} ({})", line(&pick::step_name(step)), line(&pick::job_name(job)), fact(job))
    };
    let named: Vec<String> = all.iter().take(JOBS).map(name).collect();
    let more = if all.len() > JOBS { format!(", … and {} more", all.len() - JOBS) } else { String::new() };
    (!all.is_empty()).then(|| format!("{title}: {}{more}", named.join(", ")))
}

/// What should have been undone, and was not.
fn leaks(report: &Report) -> Option<String> {
    let all: Vec<_> = calls::leaks(report).collect();
    let mut lines: Vec<_> = all.iter().take(JOBS).map(|leak| self::leak(leak)).collect();
    lines.extend((all.len() > JOBS).then(|| format!("- … and {} more", all.len() - JOBS)));
    (!all.is_empty()).then(|| format!("**Not undone**, still there:\n\n{}", lines.join("\n")))
}

fn leak(leak: &CallReport) -> String {
    let input = calls::input(leak).map(|input| format!(" {}", code(&input))).unwrap_or_default();
    format!("- {}{input}: {}", line(&calls::name(leak)), line(&calls::said(leak).unwrap_or_default()))
}

/// What steps have called and undone, in a line each; calls that did not pass were judged by their callers.
fn called(report: &Report) -> Option<String> {
    let mut lines: Vec<_> = calls::by_step(report)
        .take(JOBS)
        .map(|(step, counted)| format!("- {}: {counted}", line(&step)))
        .collect();
    lines.extend((!report.undos.is_empty()).then(|| format!("- {}", calls::counted(&report.undos, "undo"))));
    (!lines.is_empty()).then(|| format!("Calls:\n\n{}", lines.join("\n")))
}

/// What the flow gave back.
fn outputs(report: &Report) -> Option<String> {
    let lines = pick::outputs(report);
    let more = lines.len().saturating_sub(OUTPUTS);
    let mut shown: Vec<String> = lines.iter().take(OUTPUTS).map(|one| format!("- {}", code(one))).collect();
    shown.extend((more > 0).then(|| format!("- … and {more} more")));
    (!lines.is_empty()).then(|| format!("Outputs:\n\n{}", shown.join("\n")))
}

/// A text in one line that markdown and HTML take as it is.
fn line(text: &str) -> String {
    escape(&text::one_line(text, pick::MESSAGE_LIMIT))
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", line(text))
}

/// Character references work in tables, in HTML and in prose alike; backslashes would not. All
/// that could begin a tag, a format, a table cell, a link or a mention is written as one.
fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '"' | '|' | '`' | '*' | '_' | '~' | '[' | ']' | '\\' | '@' | '#' | '!'
            | '$' | ':' => {
                shown.push_str(&format!("&#{};", u32::from(c)));
            }
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn every_verdict_in_markdown() {
        let text = markdown(&fixtures::every_verdict());
        insta::with_settings!({filters => vec![("(long){9,}", "[long]"), ("x{40,}", "[x]")]}, {
            insta::assert_snapshot!(text);
        });
    }

    #[test]
    fn flows_inside_of_flows() {
        insta::assert_snapshot!(markdown(&fixtures::composites()));
    }

    #[test]
    fn calls_and_leaks() {
        insta::assert_snapshot!(markdown(&fixtures::calls()));
    }

    #[test]
    fn evidence_of_a_failed_job_is_folded_away() {
        insta::assert_snapshot!(markdown(&fixtures::failed()));
    }

    #[test]
    fn only_our_own_tags_stand_outside_of_code_blocks() {
        for (name, report) in fixtures::table() {
            let text = markdown(&report);
            let mut fence: Option<&str> = None;
            for line in text.lines() {
                let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
                match fence {
                    Some(open) if line == open => fence = None,
                    Some(_) => {}
                    None if ticks.len() >= 3 => fence = Some(ticks),
                    None => assert!(!line.contains("<script") && !line.contains("<img"), "{name}: {line}"),
                }
            }
            assert_eq!(fence, None, "{name}");
        }
    }

    #[test]
    fn a_large_run_stays_small() {
        let text = markdown(&fixtures::many(3_000, 400));
        assert!(text.contains("… and 380 more") && text.len() < 100_000, "{}", text.len());
    }
}
