//! `junit.xml`: a suite a step, a case a job, for the CI systems that read it. What JUnit has no
//! word for keeps its own: `lost` is an error of type `lost`, `cancelled` a skip that says so.

use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestRerun, TestSuite, XmlString};
use rfx_schemas::outcome::Failure;
use rfx_schemas::report::{AttemptReport, Detail, JobReport, Report, StepReport};
use rfx_schemas::verdict::{OutcomeKind, Verdict};

use crate::{pick, text};

/// Most characters of one text in the file; CI systems refuse or cut large ones.
const TEXT_LIMIT: usize = 32 * 1024;

/// The report as JUnit XML.
pub fn junit(report: &Report) -> String {
    let mut file = quick_junit::Report::new(xml(&report.flow));
    file.set_time(report.duration);
    file.add_test_suites(report.steps.iter().map(|step| suite(report, step)));
    file.to_string().expect("XML is written to memory, from texts that are UTF-8")
}

fn suite(report: &Report, step: &StepReport) -> TestSuite {
    let name = pick::step_name(step);
    let class = xml(&format!("{}.{name}", report.flow));
    let mut suite = TestSuite::new(xml(&name));
    suite.set_time(step.duration);
    if let Some((from, _)) = pick::span(step) {
        // The setter wants a type of a date library that nothing else here needs.
        suite.extra.insert("timestamp".into(), from.to_string().into());
    }
    suite.add_properties(properties(report, step));
    if step.jobs.is_empty() {
        let mut case = TestCase::new(xml(&name), without_jobs(step));
        case.set_classname(class);
        suite.add_test_case(case);
    } else {
        suite.add_test_cases(step.jobs.iter().map(|job| case(step, job, &class)));
    }
    suite
}

fn properties(report: &Report, step: &StepReport) -> Vec<Property> {
    let run = report.run.to_string();
    [
        ("run", &run),
        ("trace", &report.trace),
        ("uses", &step.uses),
        ("group", &step.group),
        ("queue", &step.queue),
    ]
    .map(|(name, value)| Property::new(name, xml(value)))
    .to_vec()
}

fn case(step: &StepReport, job: &JobReport, class: &XmlString) -> TestCase {
    let mut case = TestCase::new(xml(&pick::job_name(job)), status(step, job));
    case.set_classname(class.clone());
    if let Some(last) = job.attempts.last() {
        case.set_time(pick::took(last));
    }
    if let Some(detail) = pick::detail(job) {
        if !detail.assertions.is_empty() {
            case.set_assertions(detail.assertions.len());
        }
        if !detail.tail.is_empty() {
            case.set_system_out(xml(&detail.tail));
        }
    }
    case
}

fn status(step: &StepReport, job: &JobReport) -> TestCaseStatus {
    let mut status = match job.verdict {
        Some(Verdict::Passed | Verdict::Flaky) => TestCaseStatus::success(),
        Some(Verdict::Failed) => not_passed(step, job, NonSuccessKind::Failure),
        Some(Verdict::Error) => not_passed(step, job, NonSuccessKind::Error),
        Some(Verdict::Lost) => lost(step, job),
        Some(Verdict::Skipped) => {
            let said = pick::error(job).map(|error| error.message.as_str());
            skip(said.or(step.reason.as_deref()).unwrap_or("skipped"))
        }
        Some(Verdict::Cancelled) => skip("cancelled"),
        None => skip("not finished"),
    };
    let before = job.attempts.split_last().map_or(&[][..], |(_, before)| before);
    status.add_reruns(before.iter().map(rerun));
    status
}

/// A step that never came to its jobs: skipped for a reason, or not startable at all.
fn without_jobs(step: &StepReport) -> TestCaseStatus {
    let reason = step.reason.as_deref().unwrap_or("no jobs");
    let kind = match step.verdict {
        Some(Verdict::Error) => "error",
        Some(Verdict::Lost) => "lost",
        _ => return skip(reason),
    };
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(kind).set_message(line(reason));
    status
}

fn skip(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(line(message));
    status
}

fn not_passed(step: &StepReport, job: &JobReport, kind: NonSuccessKind) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    match pick::error(job) {
        Some(error) => status.set_type(line(&error.kind)).set_message(line(&error.message)),
        None => status.set_message(line(step.reason.as_deref().unwrap_or("nothing was recorded about it"))),
    };
    if let Some(evidence) = pick::detail(job).map(evidence).filter(|text| !text.is_empty()) {
        status.set_description(xml(&evidence));
    }
    status
}

/// Ours, not the test's: the type is always `lost`, so what it was moves into the message.
fn lost(step: &StepReport, job: &JobReport) -> TestCaseStatus {
    let mut status = not_passed(step, job, NonSuccessKind::Error);
    status.set_type("lost");
    if let Some(error) = pick::error(job) {
        status.set_message(xml(&pick::message(error)));
    }
    status
}

/// An attempt that another one followed.
fn rerun(attempt: &AttemptReport) -> TestRerun {
    let kind =
        if attempt.kind == OutcomeKind::Failed { NonSuccessKind::Failure } else { NonSuccessKind::Error };
    let mut rerun = TestRerun::new(kind);
    rerun.set_time(pick::took(attempt));
    rerun.set_type(attempt.kind.as_str());
    let Some(detail) = attempt.detail.as_deref() else { return rerun };
    if let Some(error) = &detail.error {
        rerun.set_message(line(&error.message));
        if attempt.kind != OutcomeKind::Lost {
            rerun.set_type(line(&error.kind));
        }
    }
    let evidence = evidence(detail);
    if !evidence.is_empty() {
        rerun.set_description(xml(&evidence));
    }
    if !detail.tail.is_empty() {
        rerun.set_system_out(xml(&detail.tail));
    }
    rerun
}

/// What a reader of the failure wants below its message: comparisons, diff, traceback.
fn evidence(detail: &Detail) -> String {
    let mut parts: Vec<String> = Vec::new();
    for assertion in pick::broken(detail) {
        let lines = pick::compared(assertion).into_iter().map(|(label, text)| format!("  {label}: {text}"));
        parts.push(
            std::iter::once(format!("not true: {}", assertion.label))
                .chain(lines)
                .collect::<Vec<_>>()
                .join("\n"),
        );
    }
    if let Some(Failure { diff, traceback, .. }) = &detail.error {
        parts.extend([diff, traceback].into_iter().flatten().map(|text| text.trim_end().to_owned()));
    }
    parts.join("\n\n")
}

fn xml(text: &str) -> XmlString {
    XmlString::new(text::shorten(text, TEXT_LIMIT))
}

fn line(text: &str) -> XmlString {
    XmlString::new(text::one_line(text, pick::MESSAGE_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn read(report: &Report) -> quick_junit::Report {
        quick_junit::Report::deserialize_from_str(&junit(report)).unwrap()
    }

    #[test]
    fn every_verdict_has_its_element() {
        let text = junit(&fixtures::every_verdict());
        // The long runs of one letter test the cut; they are no pleasure to review.
        insta::with_settings!({filters => vec![("(long){9,}", "[long]"), ("x{40,}", "[x]")]}, {
            insta::assert_snapshot!(text);
        });
    }

    #[test]
    fn every_fixture_is_xml_with_a_case_for_each_job() {
        for (name, report) in fixtures::table() {
            let file = read(&report);
            assert_eq!(file.test_suites.len(), report.steps.len(), "{name}");
            for (suite, step) in file.test_suites.iter().zip(&report.steps) {
                assert_eq!(suite.test_cases.len(), step.jobs.len().max(1), "{name}: {}", step.name);
            }
        }
    }

    #[test]
    fn a_lost_job_is_an_error_of_type_lost_and_a_cancelled_one_a_skip() {
        let file = read(&fixtures::every_verdict());
        assert_eq!((file.failures, file.errors), (2, 2), "two failed; one error, one lost");
        assert_eq!(file.skipped, 3, "a job that asked for it, a cancelled one, a step without jobs");
        let xml = junit(&fixtures::every_verdict());
        assert!(xml.contains(r#"<error message="unserved: no worker of aws-eu1 serves it" type="lost"/>"#));
        assert!(xml.contains(r#"<skipped message="cancelled"/>"#));
        assert!(xml.contains("<flakyError "), "the attempt before the pass");
        assert!(xml.contains("<rerunError "), "the attempt before the error");
    }

    #[test]
    fn no_character_that_xml_forbids_is_left() {
        let xml = junit(&fixtures::every_verdict());
        let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        assert_eq!(xml.chars().find(|c| !allowed(*c)), None);
        assert!(!xml.contains("<script") && !xml.contains("]]>"));
    }
}
