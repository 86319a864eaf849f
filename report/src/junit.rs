//! `junit.xml`: a suite a step, a case a job, for the CI systems that read it. What JUnit has no
//! word for keeps its own: `lost` is an error of type `lost`, `cancelled` a skip that says so.
//!
//! A composite is no suite, since the cases of its steps are there; only what none of them explains
//! is a case of its own: an input that was refused, an expectation that did not hold. Calls that jobs
//! make are no cases either, since their callers judge them; what was not undone is one.

mod leaks;

use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestRerun, TestSuite, XmlString};
use rfx_schemas::outcome::Failure;
use rfx_schemas::report::{AttemptReport, Detail, JobReport, Report, StepReport};
use rfx_schemas::verdict::{OutcomeKind, Verdict};

use crate::tree::Tree;
use crate::{pick, text};

/// Most characters of one text in the file; CI systems refuse or cut large ones.
const TEXT_LIMIT: usize = 32 * 1024;

/// The report as JUnit XML.
pub fn junit(report: &Report) -> String {
    let mut file = quick_junit::Report::new(xml(&report.flow));
    file.set_time(report.duration);
    let tree = Tree::of(report);
    let cases = |at| Step { report, tree: &tree, at, step: &report.steps[at] }.suite();
    file.add_test_suites((0..report.steps.len()).filter_map(cases));
    file.add_test_suites(gate(report));
    file.add_test_suites(leaks::suite(report));
    file.to_string().expect("XML is written to memory, from texts that are UTF-8")
}

/// What the gate was not kept to: without it, a run may fail whose cases have all passed.
fn gate(report: &Report) -> Option<TestSuite> {
    let breaches: Vec<String> = pick::breaches(report).collect();
    if breaches.is_empty() {
        return None;
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status
        .set_type("gate")
        .set_message(line(&breaches.join("; ")))
        .set_description(xml(&breaches.join("\n")));
    let mut case = TestCase::new("gate", status);
    case.set_classname(xml(&format!("{}.gate", report.flow)));
    let mut suite = TestSuite::new("gate");
    suite.add_test_case(case);
    Some(suite)
}

/// A step, with where it stands.
struct Step<'a> {
    report: &'a Report,
    tree: &'a Tree,
    at: usize,
    step: &'a StepReport,
}

impl Step<'_> {
    /// None for a composite that its steps tell all about.
    fn suite(&self) -> Option<TestSuite> {
        let cases = self.cases();
        if cases.is_empty() {
            return None;
        }
        let mut suite = TestSuite::new(xml(&pick::step_name(self.step)));
        suite.set_time(self.step.duration);
        if let Some((from, _)) = pick::span(self.step) {
            // The setter wants a type of a date library that nothing else here needs.
            suite.extra.insert("timestamp".into(), from.to_string().into());
        }
        suite.add_properties(self.properties());
        suite.add_test_cases(cases);
        Some(suite)
    }

    fn cases(&self) -> Vec<TestCase> {
        let step = self.step;
        let (name, composite) = (pick::step_name(step), step.composite);
        // Readers of JUnit fold by dots, and so show a composite's steps inside of it.
        let class = xml(&format!("{}.{}", self.report.flow, name.replace('/', ".")));
        if step.jobs.is_empty() && (!composite || pick::is_concern(step.verdict)) {
            let mut case = TestCase::new(xml(&name), self.without_jobs());
            case.set_classname(class);
            return vec![case];
        }
        let told = |job: &&JobReport| !composite || (pick::tells(step, job) && pick::is_concern(job.verdict));
        step.jobs.iter().filter(told).map(|job| self.case(job, &class)).collect()
    }

    fn properties(&self) -> Vec<Property> {
        let (report, step) = (self.report, self.step);
        let run = report.run.to_string();
        let all = [
            ("run", run.as_str()),
            ("trace", &report.trace),
            ("uses", &step.uses),
            ("extends", &step.extends.join(", ")),
            ("group", &step.group),
            ("queue", &step.queue),
            ("owner", self.tree.owner(report, self.at).unwrap_or_default()),
            ("tags", &step.about.tags.join(", ")),
        ];
        let some = all.into_iter().filter(|(_, value)| !value.is_empty());
        let labels = step.about.labels.iter().map(|(key, value)| {
            // Apart from the names above, which a label may have too.
            Property::new(line(&format!("label.{key}")), xml(value))
        });
        some.map(|(name, value)| Property::new(name, xml(value))).chain(labels).collect()
    }

    fn case(&self, job: &JobReport, class: &XmlString) -> TestCase {
        let mut case = TestCase::new(xml(&pick::job_name(job)), self.status(job));
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

    fn status(&self, job: &JobReport) -> TestCaseStatus {
        if let Some(why) = self.forgiven(job.verdict) {
            return forgiven(why, job);
        }
        let mut status = match job.verdict {
            Some(Verdict::Passed | Verdict::Flaky) => TestCaseStatus::success(),
            Some(Verdict::Failed) => not_passed(self.step, job, NonSuccessKind::Failure),
            Some(Verdict::Error) => not_passed(self.step, job, NonSuccessKind::Error),
            Some(Verdict::Lost) => lost(self.step, job),
            Some(Verdict::Skipped) => {
                let said = pick::error(job).map(|error| error.message.as_str());
                skip(said.or(self.step.reason.as_deref()).unwrap_or("skipped"))
            }
            Some(Verdict::Cancelled) => skip("cancelled"),
            None => skip("not finished"),
        };
        let before = job.attempts.split_last().map_or(&[][..], |(_, before)| before);
        status.add_reruns(before.iter().map(rerun));
        status
    }

    /// Why what ended so does not fail the run: its step may fail, or the gate admits some failures.
    fn forgiven(&self, verdict: Option<Verdict>) -> Option<&'static str> {
        let failed = matches!(verdict, Some(Verdict::Failed | Verdict::Error));
        match self.report.verdict {
            _ if self.tree.allows(self.at, verdict) => Some("allowed failure"),
            Some(run) if failed && run.is_pass() => Some("failure within the gate"),
            _ => None,
        }
    }

    /// A step that never came to its jobs: skipped for a reason, or not startable at all.
    fn without_jobs(&self) -> TestCaseStatus {
        let reason = self.tree.reason(self.report, self.at).unwrap_or("no jobs");
        if let Some(why) = self.forgiven(self.step.verdict) {
            return skip(&format!("{why}: {reason}"));
        }
        let kind = match self.step.verdict {
            Some(Verdict::Error) => "error",
            Some(Verdict::Lost) => "lost",
            _ => return skip(reason),
        };
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type(kind).set_message(line(reason));
        status
    }
}

/// What failed and may. JUnit knows no failure that leaves the whole green, and CI systems go red at
/// the first one; of the words that do not, only a skip carries a message.
fn forgiven(why: &str, job: &JobReport) -> TestCaseStatus {
    let said = pick::said(job).unwrap_or_else(|| "nothing was recorded about it".to_owned());
    let mut status = skip(&format!("{why}: {said}"));
    if let Some(evidence) = described(job) {
        status.set_description(xml(&evidence));
    }
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
        None => {
            let reason = job.reason.as_deref().or(step.reason.as_deref());
            status.set_message(line(reason.unwrap_or("nothing was recorded about it")))
        }
    };
    if let Some(evidence) = described(job) {
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
    let kind = match attempt.kind {
        OutcomeKind::Failed | OutcomeKind::Unmet => NonSuccessKind::Failure,
        _ => NonSuccessKind::Error,
    };
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

/// What stands below the message of a job, or of an execution that no job explains.
fn described(job: &JobReport) -> Option<String> {
    let text = match (pick::detail(job), job.reason.as_deref()) {
        (Some(detail), _) => evidence(detail),
        (None, reason) => reason.filter(|reason| reason.contains('\n')).unwrap_or_default().to_owned(),
    };
    (!text.is_empty()).then_some(text)
}

/// What a reader of the failure wants below its message: the message if the line above had to join its
/// lines, comparisons, diff, traceback.
fn evidence(detail: &Detail) -> String {
    let mut parts: Vec<String> = Vec::new();
    let message = detail.error.as_ref().map(|error| error.message.trim_end());
    parts.extend(message.filter(|message| message.contains('\n')).map(str::to_owned));
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
            let calls = report.steps.iter().filter(|step| !step.composite);
            for step in calls {
                let suite =
                    file.test_suites.iter().find(|suite| suite.name.as_str() == pick::step_name(step));
                let cases = suite.map(|suite| suite.test_cases.len());
                assert_eq!(cases, Some(step.jobs.len().max(1)), "{name}: {}", step.name);
            }
        }
    }

    #[test]
    fn flows_inside_of_flows() {
        insta::assert_snapshot!(junit(&fixtures::composites()));
    }

    #[test]
    fn composites_are_cases_only_where_no_job_explains_them_and_what_is_allowed_is_a_skip() {
        let report = fixtures::composites();
        let file = read(&report);
        assert_eq!(
            (file.failures, file.errors),
            (3, 2),
            "two failed and the gate; an error, a refused input"
        );
        assert_eq!(file.skipped, 2, "one allowed; a step of the skipped composite");
        assert_eq!(file.tests, 13 + 1 + 2 + 1, "jobs, a step without, executions, the gate");
        let mut report = report;
        report.counts.allowed = 0;
        assert_eq!(read(&report).failures, 4, "not allowed in all executions");
    }

    #[test]
    fn a_run_that_passed_has_no_failures() {
        let mut report = fixtures::failed();
        report.verdict = Some(Verdict::Passed);
        assert_eq!((read(&report).failures, read(&report).skipped), (0, 1));
        assert!(junit(&report).contains("failure within the gate: AssertionError: 2 findings"));
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
        let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        for (name, report) in fixtures::table() {
            let xml = junit(&report);
            assert_eq!(xml.chars().find(|c| !allowed(*c)), None, "{name}");
            assert!(!xml.contains("<script") && !xml.contains("]]>"), "{name}");
        }
    }
}
