//! A step's expectations over a job's output. Pure.

use rfx_expr::{Expression, Scope, diff};
use rfx_schemas::outcome::{Assertion, Failure, kind};
use rfx_schemas::rules::ExpectFailure;
use rfx_schemas::verdict::OutcomeKind;
use serde_json::Value;

use crate::attempt::Ending;
use crate::text::shorten;

/// Longest value shown beside an expectation, in bytes.
const SHOWN: usize = 8 * 1024;

/// What the expectations read besides the output.
pub struct Given<'a> {
    /// Variables of the run, by name.
    pub scope: Option<&'a Value>,
    /// The job's item, or its batch of items.
    pub item: Option<&'a Value>,
    /// The item's number.
    pub index: u32,
}

/// Evaluates all expectations. What did not hold is named by the failure.
pub fn check(expect: &[String], output: &Value, given: &Given<'_>) -> (Vec<Assertion>, Option<Failure>) {
    let mut scope = Scope::default();
    for (name, value) in given.scope.and_then(Value::as_object).into_iter().flatten() {
        scope.set(name, value);
    }
    if let Some(item) = given.item {
        // The items of a batch go by the other name. Which of them a step has, the flow's check knows.
        for name in ["item", "items"].into_iter().filter(|name| expect.iter().any(|e| e.contains(name))) {
            scope.set(name, item);
        }
    }
    scope.set("index", &Value::from(given.index));
    scope.set("output", output);
    let mut failure: Option<Failure> = None;
    let mut assertions = Vec::with_capacity(expect.len());
    for text in expect {
        let (assertion, difference) = one(text, &scope);
        if !assertion.passed {
            match &mut failure {
                Some(failure) => failure.message.push_str(&format!("; {}", said(&assertion))),
                None => {
                    failure =
                        Some(Failure { diff: difference, ..Failure::new(kind::EXPECT, said(&assertion)) })
                }
            }
        }
        assertions.push(assertion);
    }
    (assertions, failure)
}

fn one(text: &str, scope: &Scope<'_>) -> (Assertion, Option<String>) {
    let none = Assertion { label: text.to_owned(), passed: false, expected: None, seen: None, message: None };
    let checked = Expression::parse(text).map_err(|e| e.to_string());
    match checked.and_then(|expression| expression.check(scope).map_err(|e| e.to_string())) {
        Ok(check) => {
            let difference = match (&check.expected, &check.seen) {
                (Some(rfx_expr::Expected::Equal(expected)), Some(seen)) => diff(expected, seen),
                _ => None,
            };
            let shown = |text: String| shorten(&text, SHOWN);
            let expected = check.expected.map(|e| shown(e.to_string()));
            let seen = check.seen.map(|s| shown(s.to_string()));
            let difference = difference.map(|d| shorten(&d, 2 * SHOWN));
            (Assertion { passed: check.passed, expected, seen, ..none }, difference)
        }
        Err(error) => (Assertion { message: Some(shorten(&error, SHOWN)), ..none }, None),
    }
}

/// An ending that passed, as its step judges it: what the step polls for, and once that is there what it
/// expects.
pub fn by_step(until: &[String], expect: &[String], given: &Given<'_>, mut ending: Ending) -> Ending {
    if ending.kind != OutcomeKind::Passed || (until.is_empty() && expect.is_empty()) {
        return ending;
    }
    let output: Value = match serde_json::from_slice(ending.output.as_deref().unwrap_or(b"null")) {
        Ok(output) => output,
        Err(error) => {
            let failure = Failure::new("OutputError", format!("the output is not JSON: {error}"));
            return Ending { tail: ending.tail, ..Ending::failed(OutcomeKind::Error, failure) };
        }
    };
    let (_, unmet) = check(until, &output, given);
    if let Some(unmet) = unmet {
        ending.kind = OutcomeKind::Unmet;
        ending.error = Some(Failure { kind: kind::UNTIL.to_owned(), ..unmet });
        return ending;
    }
    let (assertions, failure) = check(expect, &output, given);
    ending.assertions.extend(assertions);
    if failure.is_some() {
        ending.kind = OutcomeKind::Failed;
        ending.error = failure;
    }
    ending
}

/// An ending whose own assertions count: what passed has failed if one of them did not hold.
pub fn judge(ending: Ending) -> Ending {
    let broken: Vec<_> = ending.assertions.iter().filter(|a| !a.passed).collect();
    if ending.kind != OutcomeKind::Passed || broken.is_empty() {
        return ending;
    }
    let count = format!("{} of {} expectations did not hold", broken.len(), ending.assertions.len());
    let message = broken.iter().fold(count, |all, assertion| match assertion {
        Assertion { label, message: Some(message), .. } => format!("{all}\n{label}: {message}"),
        Assertion { label, expected: Some(expected), seen: Some(seen), .. } => {
            format!("{all}\n{label}: expected {expected}, seen {seen}")
        }
        Assertion { label, .. } => format!("{all}\n{label}"),
    });
    Ending { kind: OutcomeKind::Failed, error: Some(Failure::new("Failed", message)), ..ending }
}

/// Turns an ending round for a job that is meant to fail. A timeout or a crash is not what was meant.
pub fn failure(rule: ExpectFailure, ending: Ending) -> Ending {
    let ours = |e: &Failure| matches!(e.kind.as_str(), kind::TIMED_OUT | kind::CRASHED);
    let meant = match ending.kind {
        OutcomeKind::Failed => rule != ExpectFailure::Error,
        OutcomeKind::Error => rule != ExpectFailure::Failed && !ending.error.as_ref().is_some_and(ours),
        OutcomeKind::Passed => {
            let failure = Failure::new(kind::EXPECT_FAILURE, "it passed, and was meant to fail");
            return Ending { kind: OutcomeKind::Failed, error: Some(failure), ..ending };
        }
        _ => false,
    };
    if !meant {
        let wanted = if rule == ExpectFailure::Error { "an error" } else { "a failed test" };
        let mut ending = ending;
        if let (Some(error), true) =
            (&mut ending.error, matches!(ending.kind, OutcomeKind::Failed | OutcomeKind::Error))
        {
            error.message = format!("{wanted} is expected, this is none: {}", error.message);
        }
        return ending;
    }
    let why = ending.error.as_ref().map(|e| format!("{}: {}", e.kind, e.message)).unwrap_or_default();
    let label = "it fails, as expected".to_owned();
    let assertion = Assertion { label, passed: true, expected: None, seen: None, message: Some(why) };
    let assertions = vec![assertion];
    Ending { kind: OutcomeKind::Passed, error: None, assertions, ..ending }
}

fn said(assertion: &Assertion) -> String {
    let Assertion { label, expected, seen, message, .. } = assertion;
    match (expected, seen, message) {
        (Some(expected), Some(seen), _) => format!("{label}: expected {expected}, seen {seen}"),
        (None, Some(seen), _) => format!("{label} is false: {seen}"),
        (_, None, Some(message)) => message.clone(),
        _ => format!("{label} is false"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(expect: &[&str]) -> (Vec<Assertion>, Option<Failure>) {
        let item = json!({"apps": ["a"]});
        let scope = json!({"inputs": {"min": 2}});
        let given = Given { scope: Some(&scope), item: Some(&item), index: 4 };
        let expect: Vec<_> = expect.iter().map(|e| (*e).to_owned()).collect();
        check(&expect, &json!({"os": 1, "apps": ["a", "b"]}), &given)
    }

    #[test]
    fn what_is_meant_to_fail_passes_when_it_does() {
        let ended = |kind, what: &str| Ending::failed(kind, Failure::new(what, "no"));
        let cases = [
            (ExpectFailure::Any, ended(OutcomeKind::Failed, "AssertionError"), OutcomeKind::Passed),
            (ExpectFailure::Any, ended(OutcomeKind::Error, "ValueError"), OutcomeKind::Passed),
            (ExpectFailure::Failed, ended(OutcomeKind::Error, "ValueError"), OutcomeKind::Error),
            (ExpectFailure::Error, ended(OutcomeKind::Failed, "AssertionError"), OutcomeKind::Failed),
            (ExpectFailure::Any, ended(OutcomeKind::Error, kind::TIMED_OUT), OutcomeKind::Error),
            (ExpectFailure::Any, ended(OutcomeKind::Lost, kind::BROKER), OutcomeKind::Lost),
            (ExpectFailure::Any, Ending::of(OutcomeKind::Passed), OutcomeKind::Failed),
        ];
        for (rule, ending, expected) in cases {
            let what = format!("{rule:?} {ending:?}");
            assert_eq!(failure(rule, ending).kind, expected, "{what}");
        }
    }

    #[test]
    fn a_step_judges_what_passed_and_looks_at_its_expectations_once_it_has_what_it_polls_for() {
        let passed =
            |output: &'static str| Ending { output: Some(output.into()), ..Ending::of(OutcomeKind::Passed) };
        let judged = |until: &str, expect: &str, ending| {
            let given = Given { scope: None, item: None, index: 0 };
            by_step(&[until.to_owned()], &[expect.to_owned()], &given, ending)
        };
        let unmet = judged("output > 1", "output > 2", passed("1"));
        assert_eq!((unmet.kind, unmet.assertions.len()), (OutcomeKind::Unmet, 0));
        assert_eq!(unmet.error.expect("why").kind, kind::UNTIL);
        let failed = judged("output > 1", "output > 2", passed("2"));
        assert_eq!((failed.kind, failed.assertions.len()), (OutcomeKind::Failed, 1));
        assert_eq!(judged("output > 1", "output > 2", passed("3")).kind, OutcomeKind::Passed);
        assert_eq!(judged("true", "true", passed("{")).error.expect("why").kind, "OutputError");
        let skipped = Ending::of(OutcomeKind::Skipped);
        assert_eq!(judged("false", "false", skipped.clone()), skipped);
    }

    #[test]
    fn what_holds_is_recorded_too() {
        let (assertions, failure) = run(&["output.os < inputs.min", "index == 4"]);
        assert!(assertions.iter().all(|a| a.passed) && assertions.len() == 2);
        assert_eq!(failure, None);
    }

    #[test]
    fn a_batch_is_read_as_items() {
        let given = Given { scope: None, item: Some(&json!([1, 2])), index: 0 };
        let (assertions, failure) = check(&["output == items".to_owned()], &json!([1, 2]), &given);
        assert!(assertions[0].passed, "{failure:?}");
    }

    #[test]
    fn what_does_not_hold_is_shown_with_both_sides_and_a_diff() {
        let (assertions, failure) = run(&["output.os > 0", "output.apps == item.apps", "output.nope"]);
        assert_eq!(assertions.iter().map(|a| a.passed).collect::<Vec<_>>(), [true, false, false]);
        let failure = failure.expect("two do not hold");
        assert!(
            failure.message.starts_with(r#"output.apps == item.apps: expected ["a"], seen ["a","b"]; "#),
            "{failure:?}"
        );
        assert!(failure.diff.expect("lists differ").contains("+  \"b\""));
        assert!(assertions[2].message.as_deref().expect("why").contains("nope"), "{assertions:?}");
    }
}
