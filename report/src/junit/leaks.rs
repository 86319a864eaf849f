//! Leaks as cases of their own: a run may have one although all cases of its steps have passed.

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use rfx_schemas::report::{CallReport, Report};

use super::{line, xml};
use crate::calls;

/// The suite of what should have been undone, and was not; none when there is none.
pub(super) fn suite(report: &Report) -> Option<TestSuite> {
    let cases: Vec<TestCase> = calls::leaks(report).map(|leak| case(report, leak)).collect();
    if cases.is_empty() {
        return None;
    }
    let mut suite = TestSuite::new("undo");
    suite.add_test_cases(cases);
    Some(suite)
}

fn case(report: &Report, leak: &CallReport) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    let why = calls::said(leak).unwrap_or_default();
    status.set_type("leak").set_message(line(&format!("not undone: {why}")));
    if let Some(input) = calls::input(leak) {
        status.set_description(xml(&format!("{} was called with {input}", leak.uses)));
    }
    let mut case = TestCase::new(xml(&calls::name(leak)), status);
    case.set_classname(xml(&format!("{}.undo", report.flow)));
    case.set_time(calls::took(leak));
    case
}

#[cfg(test)]
mod tests {
    use super::super::junit;
    use crate::fixtures;

    #[test]
    fn a_leak_is_an_error_and_a_call_that_failed_is_nothing() {
        let xml = junit(&fixtures::calls());
        assert!(xml.contains(r#"errors="1""#) && xml.contains(r#"failures="0""#), "{xml}");
        assert!(xml.contains(r#"message="not undone: ApiError: the tenant is in use" type="leak""#), "{xml}");
        assert!(!xml.contains("hosts.register"));
        assert!(!junit(&fixtures::failed()).contains("undo"));
    }
}
