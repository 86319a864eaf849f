//! A short markdown for the job summaries of CI systems: the terminal summary's content, with the
//! evidence folded away. Texts from functions can neither format nor mention nor embed anything.

use rfx_schemas::report::{Detail, JobReport, Report, StepReport};

use crate::pick::{self, Mark};
use crate::text;

/// Most jobs that are told about one by one.
const JOBS: usize = 20;
/// Most comparisons of a job that did not hold.
const ASSERTIONS: usize = 10;
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
    parts.extend(pick::concerns(report).take(JOBS).map(|(step, job)| concern(step, job)));
    let more = pick::concerns(report).count().saturating_sub(JOBS);
    parts.extend((more > 0).then(|| format!("… and {more} more")));
    parts.extend(flaky(report));
    parts.push(format!("`rfx-publish show {}`", report.run));
    parts.join("\n\n") + "\n"
}

fn heading(report: &Report) -> String {
    let mark = Mark::of(report.verdict);
    let flow = line(&report.flow);
    let mut text = format!("### {} {} · {flow}\n\n", mark.sign, mark.word.to_uppercase());
    let (counts, duration) = (pick::counts(report), text::human(report.duration));
    text.push_str(&format!(
        "**{counts}** in {duration} · run `{}` · trace {}",
        report.run,
        code(&report.trace)
    ));
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
    for step in &report.steps {
        let mark = Mark::of(step.verdict);
        let counts: String =
            verdicts.iter().map(|verdict| format!(" {} |", step.counts.get(*verdict))).collect();
        let (name, uses, place) = (line(&pick::step_name(step)), code(&step.uses), line(&pick::place(step)));
        let (jobs, time) = (step.jobs.len(), pick::step_took(step));
        text.push_str(&format!(
            "\n| {} {} | {name} | {uses} | {place} | {jobs} |{counts} {time} |",
            mark.sign, mark.word
        ));
    }
    text
}

fn skipped(step: &StepReport) -> Option<String> {
    let reason = line(step.reason.as_deref()?);
    Some(format!("- {} {}: {reason}", Mark::of(step.verdict).word, line(&pick::step_name(step))))
}

fn concern(step: &StepReport, job: &JobReport) -> String {
    let mark = Mark::of(job.verdict);
    let message =
        pick::error(job).map(|error| format!(" — {}", line(&pick::message(error)))).unwrap_or_default();
    let (name, key) = (line(&pick::step_name(step)), line(&pick::job_name(job)));
    let summary = format!("<summary>{} {} · {name} · {key}{message}</summary>", mark.sign, mark.word);
    let evidence = pick::detail(job).map(evidence).unwrap_or_default();
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
    let name = |(step, job): (&StepReport, &JobReport)| {
        format!(
            "{} {} ({} attempts)",
            line(&pick::step_name(step)),
            line(&pick::job_name(job)),
            job.attempts.len()
        )
    };
    let all = pick::flaky(report).count();
    let named: Vec<String> = pick::flaky(report).take(JOBS).map(name).collect();
    let more = if all > JOBS { format!(", … and {} more", all - JOBS) } else { String::new() };
    (all > 0).then(|| format!("≈ flaky: {}{more}", named.join(", ")))
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
    fn evidence_of_a_failed_job_is_folded_away() {
        insta::assert_snapshot!(markdown(&fixtures::failed()));
    }

    #[test]
    fn only_our_own_tags_stand_outside_of_code_blocks() {
        let text = markdown(&fixtures::every_verdict());
        let mut fence: Option<&str> = None;
        for line in text.lines() {
            let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
            match fence {
                Some(open) if line == open => fence = None,
                Some(_) => {}
                None if ticks.len() >= 3 => fence = Some(ticks),
                None => assert!(!line.contains("<script") && !line.contains("<img"), "{line}"),
            }
        }
        assert_eq!(fence, None);
    }

    #[test]
    fn a_large_run_stays_small() {
        let text = markdown(&fixtures::many(3_000, 400));
        assert!(text.contains("… and 380 more") && text.len() < 100_000, "{}", text.len());
    }
}
